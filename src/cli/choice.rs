//! A choice that the library knows, as the value of an option: its names and what they mean stand with its type.

use std::error::Error;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use strum::{EnumMessage, IntoEnumIterator};

/// Reads one of the names of `T`; the help lists them with what `T` says of each.
pub fn choice<T>() -> impl TypedValueParser<Value = T>
where
    T: IntoEnumIterator + EnumMessage + FromStr<Err: Error + Send + Sync> + Clone + Send + Sync + 'static,
{
    let values = T::iter().flat_map(|choice| {
        let meaning = choice.get_documentation().map(|text| text.trim().trim_end_matches('.'));
        choice.get_serializations().iter().map(move |&name| match meaning {
            Some(meaning) => PossibleValue::new(name).help(meaning),
            None => PossibleValue::new(name),
        })
    });
    PossibleValuesParser::new(values).try_map(|name| name.parse::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Scope;
    use crate::training::config::LossKind;
    use clap::{Arg, Command};

    fn command() -> Command {
        Command::new("test")
            .arg(Arg::new("scope").long("scope").value_parser(choice::<Scope>()))
            .arg(Arg::new("loss").long("loss").value_parser(choice::<LossKind>()))
    }

    #[test]
    fn names_are_read_and_others_refused_with_the_choice() {
        let read =
            command().try_get_matches_from(["test", "--scope", "others", "--loss", "nt_xent"]).unwrap();
        assert_eq!(read.get_one::<Scope>("scope"), Some(&Scope::Others));
        assert_eq!(read.get_one::<LossKind>("loss"), Some(&LossKind::NtXent));
        let refused = command().try_get_matches_from(["test", "--scope", "Others"]).unwrap_err().to_string();
        assert!(refused.contains("[possible values: all, same, others, archive]"), "{refused}");
    }

    #[test]
    fn the_help_says_what_each_means() {
        let help = command().render_long_help().to_string();
        assert!(help.contains("contrastive_squared: Squared distances (Hadsell et al. 2006)\n"), "{help}");
    }
}
