//! The number format of the system's language.

use crate::number_format::{NumberStyle, set_system_number_style};

/// Notes how numbers are written in the system's language, for users who have chosen no number format.
pub fn note_number_style() {
    set_system_number_style(NumberStyle::of_locale(&numeric_locale().unwrap_or_default()));
}

/// Returns the locale of numbers, such as `de_DE.UTF-8`: by the POSIX variables where one is set, otherwise by
/// the system's settings.
fn numeric_locale() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    ["LC_ALL", "LC_NUMERIC", "LANG"].into_iter().find_map(set).or_else(sys_locale::get_locale)
}
