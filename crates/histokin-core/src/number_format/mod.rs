//! Formatting of numbers and sentences for messages and labels. Everything that people read goes through here;
//! files that programs read have their own formats.

mod style;

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

pub use style::{
    NumberStyle, may_be_thousands, number_style, of_program, set_number_style, set_system_number_style,
    system_number_style,
};

/// Unit in which lengths and areas on calibrated slides are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LengthUnit {
    /// Micrometres for what is small, millimetres for what is large.
    #[default]
    Automatic,
    /// Always micrometres.
    Micrometres,
    /// Always millimetres.
    Millimetres,
}

impl LengthUnit {
    /// All units, the default first.
    pub const ALL: [Self; 3] = [Self::Automatic, Self::Micrometres, Self::Millimetres];

    /// Whether a value is shown in millimetres (or mm²): one of at least `from`, in the unit of `value`, if the
    /// unit is automatic.
    pub fn is_mm(self, value: f64, from: f64) -> bool {
        match self {
            Self::Automatic => value >= from,
            Self::Micrometres => false,
            Self::Millimetres => true,
        }
    }
}

/// The unit of this process, as its place in [`LengthUnit::ALL`].
static LENGTH_UNIT: AtomicU8 = AtomicU8::new(0);

/// Sets the unit in which this process shows lengths and areas.
pub fn set_length_unit(unit: LengthUnit) {
    let place = LengthUnit::ALL.iter().position(|known| *known == unit).unwrap_or_default();
    LENGTH_UNIT.store(place as u8, Ordering::Relaxed);
}

/// Returns the unit in which this process shows lengths and areas.
pub fn length_unit() -> LengthUnit {
    LengthUnit::ALL.get(usize::from(LENGTH_UNIT.load(Ordering::Relaxed))).copied().unwrap_or_default()
}

/// Formats a whole number, its thousands separated: "12 345".
pub fn grouped(number: u64) -> String {
    number_style().written(&number.to_string())
}

/// Formats a number with this many decimals: "12 345.60".
pub fn decimal(value: impl Into<f64>, decimals: usize) -> String {
    number_style().written(&format!("{:.decimals$}", value.into()))
}

/// Formats a number with its sign, "+" if it is not negative, and this many decimals: "+0.25".
pub fn signed(value: impl Into<f64>, decimals: usize) -> String {
    number_style().written(&format!("{:+.decimals$}", value.into()))
}

/// Formats a number with this many decimals and a power of ten: "1.2e-4".
pub fn scientific(value: impl Into<f64>, decimals: usize) -> String {
    number_style().written(&format!("{:.decimals$e}", value.into()))
}

/// Formats a number with as many decimals as it has: "0.25".
pub fn plain(value: impl Display) -> String {
    number_style().written(&value.to_string())
}

/// Formats a number with at most this many decimals, without zeros at its end: "12.5".
pub fn rounded(value: impl Into<f64>, most_decimals: usize) -> String {
    let text = format!("{:.most_decimals$}", value.into());
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    number_style().written(text)
}

/// Reads a number that a user has typed ([`NumberStyle::read`]).
pub fn read(typed: &str) -> Option<f64> {
    number_style().read(typed)
}

/// Reads a number of less than 1000 that a user has typed ([`NumberStyle::read_small`]).
pub fn read_small(typed: &str) -> Option<f64> {
    number_style().read_small(typed)
}

/// Formats a count with a noun whose plural takes an s: "1 slide", "12 345 slides".
pub fn counted(number: u64, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {noun}{end}", grouped(number))
}

/// Turns a clause into a sentence: capitalises the first letter and adds a full stop unless it ends with
/// punctuation.
pub fn sentence(clause: &str) -> String {
    let mut rest = clause.chars();
    let first: String = rest.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let end = if clause.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_shown_in_the_unit_that_was_chosen() {
        assert_eq!(length_unit(), LengthUnit::Automatic);
        let shown = |value| LengthUnit::ALL.map(|unit| unit.is_mm(value, 1000.0));
        assert_eq!(shown(1000.0), [true, false, true]);
        assert_eq!(shown(999.0), [false, false, true]);
    }

    #[test]
    fn thousands_stand_apart_and_one_is_not_many() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202F}234\u{202F}567");
        assert_eq!(sentence("élan vital"), "Élan vital.");
        assert_eq!((sentence("Done."), sentence("")), ("Done.".to_owned(), ".".to_owned()));
        assert_eq!(counted(1, "slide"), "1 slide");
        assert_eq!(counted(0, "slide"), "0 slides");
        assert_eq!(counted(1000, "tile"), "1\u{202F}000 tiles");
    }

    #[test]
    fn decimals_are_those_that_are_asked_for() {
        assert_eq!((decimal(1234.567, 2), decimal(0.5_f32, 0)), ("1\u{202F}234.57".into(), "0".into()));
        assert_eq!((signed(0.25, 1), signed(-0.25, 2)), ("+0.2".into(), "-0.25".into()));
        assert_eq!((scientific(0.00025, 1), plain(0.1_f32)), ("2.5e-4".into(), "0.1".into()));
        assert_eq!(
            (rounded(12.50, 2), rounded(100.0, 0), rounded(2.0, 3)),
            ("12.5".into(), "100".into(), "2".into())
        );
        assert_eq!((read("12.5"), read("twelve")), (Some(12.5), None));
    }
}
