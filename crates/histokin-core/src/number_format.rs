//! Numbers as people read them.

/// A whole number with thin spaces between thousands: "12 345".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202F}');
        }
        text.push(digit);
    }
    text
}

/// So many of a thing whose plural takes an s: "1 slide", "12 345 slides".
pub fn counted(number: u64, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {thing}{end}", grouped(number))
}

/// A clause as a sentence: with a capital letter and a full stop.
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
