//! Colours as other programs write them in text.

/// Order of the four channels of a hexadecimal colour with an opacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlphaPlace {
    /// `#AARRGGBB`, as Qt's `QColor` reads and writes it, and with it ASAP.
    First,
    /// `#RRGGBBAA`, as CSS has it.
    Last,
}

/// The sRGB colour that a text states: `#RGB`, `#RRGGBB`, eight digits with an opacity, one of CSS's and SVG's
/// names, or `rgb(…)`. Opacities are passed over.
pub fn parse(text: &str, alpha: AlphaPlace) -> Option<[u8; 3]> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix('#')
        && digits.len() == 8
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    {
        let packed = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        return Some(match alpha {
            AlphaPlace::First => [packed[1], packed[2], packed[3]],
            AlphaPlace::Last => [packed[0], packed[1], packed[2]],
        });
    }
    // Digits without `#` would be read as a colour, too: a number is none.
    if !text.starts_with(|first: char| first == '#' || first.is_ascii_alphabetic()) {
        return None;
    }
    let hexadecimal = !text.starts_with('#') && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let [r, g, b, _] = csscolorparser::parse(text).ok().filter(|_| !hexadecimal)?.to_rgba8();
    Some([r, g, b])
}

/// The colour of a number that packs it as 0xAARRGGBB, signed, as Java does.
pub fn from_argb(packed: i64) -> [u8; 3] {
    [16, 8, 0].map(|shift| (packed >> shift) as u8)
}

/// The colour of a number that packs it as 0xBBGGRR, as Windows does.
pub fn from_bgr(packed: i64) -> [u8; 3] {
    [0, 8, 16].map(|shift| (packed >> shift) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_in_every_spelling() {
        for (text, color) in [
            ("#112233", Some([0x11, 0x22, 0x33])),
            (" #F80 ", Some([0xff, 0x88, 0])),
            ("red", Some([255, 0, 0])),
            ("LightSeaGreen", Some([32, 178, 170])),
            ("rgb(1, 2, 3)", Some([1, 2, 3])),
            ("12", None),
            ("fade", None),
            ("#12", None),
            ("reddish", None),
            ("#ééé", None),
            ("", None),
        ] {
            assert_eq!(parse(text, AlphaPlace::First), color, "{text}");
        }
        assert_eq!(parse("#80F4FA58", AlphaPlace::First), Some([0xf4, 0xfa, 0x58]));
        assert_eq!(parse("#F4FA5880", AlphaPlace::Last), Some([0xf4, 0xfa, 0x58]));
        assert_eq!(from_argb(-16_746_241), [0, 120, 255]);
        assert_eq!(from_bgr(65_280), [0, 255, 0]);
        assert_eq!(from_bgr(255), [255, 0, 0]);
    }
}
