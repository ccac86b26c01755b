//! How numbers are written: the decimal sign, and what separates thousands.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// Decimal sign and separator of thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberStyle {
    /// 12 345.6, with narrow no-break spaces: the international one (ISO 80000-1) in English.
    #[default]
    SpacePoint,
    /// 12 345,6, with narrow no-break spaces.
    SpaceComma,
    /// 12,345.6
    CommaPoint,
    /// 12.345,6
    PointComma,
    /// 12’345.6
    ApostrophePoint,
}

impl NumberStyle {
    /// All styles, the one used where none is chosen first.
    pub const ALL: [Self; 5] =
        [Self::SpacePoint, Self::SpaceComma, Self::CommaPoint, Self::PointComma, Self::ApostrophePoint];

    /// The decimal sign.
    pub fn decimal_sign(self) -> char {
        match self {
            Self::SpacePoint | Self::CommaPoint | Self::ApostrophePoint => '.',
            Self::SpaceComma | Self::PointComma => ',',
        }
    }

    /// What separates thousands.
    pub fn separator(self) -> char {
        match self {
            Self::SpacePoint | Self::SpaceComma => '\u{202F}',
            Self::CommaPoint => ',',
            Self::PointComma => '.',
            Self::ApostrophePoint => '\u{2019}',
        }
    }

    /// Returns the style of a locale, such as `de_CH.UTF-8` or `pt-BR`, as the Common Locale Data Repository
    /// (CLDR) states it for the country's language; the default for `C`, `POSIX` and an empty text.
    pub fn of_locale(locale: &str) -> Self {
        let name = locale.split(['.', '@']).next().unwrap_or_default();
        let mut parts = name.split(['_', '-']);
        let language = parts.next().unwrap_or_default().to_ascii_lowercase();
        // Between the language and the country, a script of four letters may stand.
        let country = parts.find(|part| matches!(part.len(), 2 | 3)).unwrap_or_default().to_ascii_uppercase();
        match (language.as_str(), country.as_str()) {
            ("" | "c" | "posix", _) => Self::SpacePoint,
            ("de" | "it" | "rm" | "gsw", "CH" | "LI") | ("rm" | "gsw", _) | ("en", "CH") => {
                Self::ApostrophePoint
            }
            ("de", "AT") | ("es", "CR") | ("en", "FI" | "SE") => Self::SpaceComma,
            ("pt", "BR" | "") => Self::PointComma,
            (
                "af" | "be" | "bg" | "cs" | "et" | "fi" | "fr" | "hu" | "hy" | "ka" | "kk" | "ky" | "lt"
                | "lv" | "nb" | "nn" | "no" | "pl" | "pt" | "ru" | "sk" | "sq" | "sv" | "uk",
                _,
            ) => Self::SpaceComma,
            ("es", "419" | "CU" | "DO" | "GT" | "HN" | "MX" | "NI" | "PA" | "PE" | "PR" | "SV" | "US") => {
                Self::CommaPoint
            }
            (
                "az" | "bs" | "ca" | "da" | "de" | "el" | "es" | "eu" | "fo" | "gl" | "hr" | "id" | "is"
                | "it" | "mk" | "nl" | "ro" | "sl" | "sr" | "tr" | "vi",
                _,
            )
            | ("en", "BE" | "DE" | "DK" | "NL" | "SI" | "150") => Self::PointComma,
            _ => Self::CommaPoint,
        }
    }

    /// Returns a number as Rust writes it, such as `-1234.50` or `1.2e-4`, in this style. Digits of the whole
    /// part are separated in threes.
    pub fn written(self, number: &str) -> String {
        let start = number.find(|c: char| c.is_ascii_digit()).unwrap_or(number.len());
        let (sign, digits) = number.split_at(start);
        let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (whole, rest) = digits.split_at(whole);
        let mut text = sign.to_owned();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                text.push(self.separator());
            }
            text.push(digit);
        }
        match rest.strip_prefix('.') {
            Some(decimals) => {
                text.push(self.decimal_sign());
                text += decimals;
            }
            None => text += rest,
        }
        text
    }

    /// Reads a number that a user has typed, in this style or with any other decimal sign that is not mistaken
    /// for a separator of this style; `None` if it is not a finite number.
    pub fn read(self, typed: &str) -> Option<f64> {
        let text: String = typed
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '\'' | '\u{2019}'))
            .map(|c| if c == '\u{2212}' { '-' } else { c })
            .collect();
        let last = text.rfind([',', '.']);
        let Some((last, sign)) = last.and_then(|at| text[at..].chars().next().map(|sign| (at, sign))) else {
            return finite(&text);
        };
        let (whole, decimals) = (&text[..last], &text[last + 1..]);
        let other = if sign == ',' { '.' } else { ',' };
        let is_decimal = !whole.contains(sign) && (sign != self.separator() || !is_thousands(&text, sign));
        let number = if is_decimal && (!whole.contains(other) || is_thousands(whole, other)) {
            format!("{}.{decimals}", whole.replace(other, ""))
        } else if !whole.contains(other) && is_thousands(&text, sign) {
            text.replace(sign, "")
        } else {
            return None;
        };
        finite(&number)
    }

    /// Reads a number of less than 1000 that a user has typed, such as a pixel size in µm: as [`Self::read`], but nothing in it
    /// separates thousands, so that `1.024` is little more than 1 in every style.
    pub fn read_small(self, typed: &str) -> Option<f64> {
        let number = self.read(typed)?;
        let signs = typed.matches([',', '.']).count();
        match number.abs() >= 1000.0 && signs == 1 {
            true => finite(&typed.trim().replace(',', ".")),
            false => Some(number),
        }
    }
}

/// Reads a number that a program has written into a file for other programs: with a decimal point, or with a comma where the
/// program goes by the system's language, and without anything between thousands. `None` if it is not a finite number.
pub fn of_program(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.split_once(',') {
        Some((whole, decimals)) if !whole.contains('.') && !decimals.contains([',', '.']) => {
            let has_digit = decimals.bytes().next().is_none_or(|first| first.is_ascii_digit());
            finite(&format!("{whole}.{decimals}")).filter(|_| has_digit)
        }
        _ => finite(text),
    }
}

/// Whether a text may be a number of thousands, such as `1.024` or `1,024`, as well as one with three decimals.
pub fn may_be_thousands(text: &str) -> bool {
    let signs = text.matches([',', '.']).count();
    signs == 1 && [',', '.'].iter().any(|sign| text.contains(*sign) && is_thousands(text, *sign))
}

/// Reads a number with a decimal point; `None` for what is not finite, which no field can use.
fn finite(number: &str) -> Option<f64> {
    number.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Whether `sign` separates the digits of a number in threes.
fn is_thousands(number: &str, sign: char) -> bool {
    let mut groups = number.trim_start_matches(['-', '+']).split(sign);
    let are_digits = |group: &str| group.chars().all(|c| c.is_ascii_digit());
    groups.next().is_some_and(|first| matches!(first.len(), 1..=3) && are_digits(first) && first != "0")
        && groups.all(|group| group.len() == 3 && are_digits(group))
}

/// The style of this process and that of its system, as their places in [`NumberStyle::ALL`].
static STYLE: AtomicU8 = AtomicU8::new(0);
/// See [`STYLE`].
static SYSTEM: AtomicU8 = AtomicU8::new(0);

/// Sets the style in which this process writes numbers for people to read. Files for programs are not affected.
pub fn set_number_style(style: NumberStyle) {
    STYLE.store(place(style), Ordering::Relaxed);
}

/// Returns the style in which this process writes numbers for people to read.
pub fn number_style() -> NumberStyle {
    at(STYLE.load(Ordering::Relaxed))
}

/// Notes the style of the system's language, which applies where the user has chosen none.
pub fn set_system_number_style(style: NumberStyle) {
    SYSTEM.store(place(style), Ordering::Relaxed);
}

/// Returns the style of the system's language; the default where none was noted.
pub fn system_number_style() -> NumberStyle {
    at(SYSTEM.load(Ordering::Relaxed))
}

fn place(style: NumberStyle) -> u8 {
    NumberStyle::ALL.iter().position(|known| *known == style).unwrap_or_default() as u8
}

fn at(place: u8) -> NumberStyle {
    NumberStyle::ALL.get(usize::from(place)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::NumberStyle::{self, ApostrophePoint, CommaPoint, PointComma, SpaceComma, SpacePoint};
    use super::{may_be_thousands, of_program};

    #[test]
    fn each_style_writes_signs_thousands_and_exponents() {
        let written = |number: &str| NumberStyle::ALL.map(|style| style.written(number));
        assert_eq!(
            written("-1234567.25"),
            [
                "-1\u{202F}234\u{202F}567.25",
                "-1\u{202F}234\u{202F}567,25",
                "-1,234,567.25",
                "-1.234.567,25",
                "-1\u{2019}234\u{2019}567.25"
            ]
        );
        assert_eq!(written("+0.5"), ["+0.5", "+0,5", "+0.5", "+0,5", "+0.5"]);
        assert_eq!(PointComma.written("1.2e-4"), "1,2e-4");
        assert_eq!(PointComma.written("999"), "999");
        assert_eq!((PointComma.written("NaN"), PointComma.written("-inf")), ("NaN".into(), "-inf".into()));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for style in NumberStyle::ALL {
            for number in [0.0, -0.25, 0.125, 7.0, 999.5, 1234.0, -1234.5, 1e6, 1234567.25, 0.001] {
                let written = style.written(&number.to_string());
                assert_eq!(style.read(&written), Some(number), "{style:?}: {written}");
            }
            assert_eq!(style.read(&style.written("2.5e-4")), Some(2.5e-4));
            assert_eq!(style.read("\u{2212}3"), Some(-3.0));
        }
    }

    #[test]
    fn another_decimal_sign_is_read_unless_it_separates_thousands_here() {
        for style in NumberStyle::ALL {
            assert_eq!((style.read("0.25"), style.read("0,25")), (Some(0.25), Some(0.25)), "{style:?}");
            assert_eq!((style.read("1,234.5"), style.read("1.234,5")), (Some(1234.5), Some(1234.5)));
            assert_eq!(
                (style.read("1,234,567"), style.read("1.234.567")),
                (Some(1234567.0), Some(1234567.0))
            );
            for odd in ["", "abc", "1,2,3", "1.2.3", "1,23,456", "1.2,3.4", "1,2.5", "NaN", "-inf", "1e999"] {
                assert_eq!(style.read(odd), None, "{style:?}: {odd}");
            }
        }
        assert_eq!((CommaPoint.read("1,234"), SpacePoint.read("1,234")), (Some(1234.0), Some(1.234)));
        assert_eq!((PointComma.read("1.234"), SpaceComma.read("1.234")), (Some(1234.0), Some(1.234)));
        assert_eq!(PointComma.read("0.234"), Some(0.234));
    }

    #[test]
    fn what_is_less_than_a_thousand_has_no_separators() {
        for style in NumberStyle::ALL {
            assert_eq!(
                (style.read_small("1.024"), style.read_small(" 1,024")),
                (Some(1.024), Some(1.024)),
                "{style:?}"
            );
            assert_eq!((style.read_small("0,25"), style.read_small("0.5")), (Some(0.25), Some(0.5)));
            assert_eq!((style.read_small("1024"), style.read_small("12.5")), (Some(1024.0), Some(12.5)));
            assert_eq!((style.read_small(""), style.read_small("1.2.3")), (None, None));
        }
    }

    #[test]
    fn programs_separate_no_thousands() {
        for (text, number) in [
            ("10,500", Some(10.5)),
            ("1.024", Some(1.024)),
            ("1,024", Some(1.024)),
            (" -1.5 ", Some(-1.5)),
            ("1,234.5", None),
            ("1.234,5", None),
            ("1,2,3", None),
            (",5", Some(0.5)),
            ("5,", Some(5.0)),
            ("2,5e-1", Some(0.25)),
            ("1e3", Some(1000.0)),
            ("inf", None),
            ("", None),
            ("1,-2", None),
        ] {
            assert_eq!(of_program(text), number, "{text}");
        }
        let odd = ["1.024", "1,024", "-12.345"].map(may_be_thousands);
        assert_eq!(odd, [true; 3]);
        let plain = ["1024", "0.024", "1.02", "1234.567", "1.024.000", "1,024.5"].map(may_be_thousands);
        assert_eq!(plain, [false; 6]);
    }

    #[test]
    fn locales_have_the_style_of_their_country() {
        for (locales, style) in [
            (&["", "C", "C.UTF-8", "POSIX"][..], SpacePoint),
            (&["en_US.UTF-8", "en-GB", "ja_JP", "zh_Hans_CN", "es_MX", "es-419", "he_IL"], CommaPoint),
            (
                &["de_DE.UTF-8", "de", "nl-NL", "pt_BR", "tr_TR", "es_ES@euro", "sr_Latn_RS", "en_DK"],
                PointComma,
            ),
            (&["fr_FR.UTF-8", "fr-CH", "pl_PL", "pt_PT", "nb_NO", "sv-SE", "de_AT", "ru_RU"], SpaceComma),
            (&["de_CH.UTF-8", "it-CH", "de-LI", "gsw"], ApostrophePoint),
        ] {
            for locale in locales {
                assert_eq!(NumberStyle::of_locale(locale), style, "{locale}");
            }
        }
    }
}
