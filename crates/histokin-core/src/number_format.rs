//! Formatting of numbers and sentences for messages and labels.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

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

/// Formats a whole number with narrow no-break spaces between thousands: "12 345".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202F}');
        }
        text.push(digit);
    }
    text
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
}
