//! Files as text, whatever their encoding.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::file::FormatError;

/// A file's text without a byte order mark, and a sentence where its encoding had to be guessed.
///
/// A byte order mark goes before all else, then the encoding that an XML declaration names; XML that is no
/// UTF-8 then is taken for Windows-1252, as the programs that write XML by hand leave it.
///
/// # Errors
/// When the text is no XML and not UTF-8, or when it is not in the encoding that it names.
pub fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<String>), FormatError> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return with(encoding, &bytes[length..]).map(|text| (text, None));
    }
    let encoding = match bytes {
        [b'<', 0, ..] => UTF_16LE,
        [0, b'<', ..] => UTF_16BE,
        _ => match declared(bytes) {
            Some(label) => match Encoding::for_label(label) {
                // A declaration that can be read byte by byte is not in UTF-16.
                Some(named) if named == UTF_16LE || named == UTF_16BE => UTF_8,
                Some(named) => named,
                None => {
                    let label = String::from_utf8_lossy(label);
                    return Err(FormatError::at(
                        1,
                        format!("its encoding {label:?} is not known; save it as UTF-8"),
                    ));
                }
            },
            None => UTF_8,
        },
    };
    let is_xml = bytes.trim_ascii_start().starts_with(b"<");
    match with(encoding, bytes) {
        Err(_) if is_xml && encoding == UTF_8 => {
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
            let note = "The file is not in UTF-8, though it says nothing else: it was read as Windows-1252.";
            Ok((text, Some(note.to_owned())))
        }
        read => read.map(|text| (text, None)),
    }
}

fn with<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Result<Cow<'a, str>, FormatError> {
    if encoding == UTF_8 {
        return std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            FormatError::at_offset(&before, before.len(), "it is no text in UTF-8")
        });
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    text.ok_or_else(|| FormatError::at(1, format!("it is no text in {}, as it says", encoding.name())))
}

/// The encoding that an XML declaration names.
fn declared(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.trim_ascii_start().strip_prefix(b"<?xml")?;
    let declaration = &rest[..rest.windows(2).take(512).position(|pair| pair == b"?>")?];
    let key = b"encoding";
    let after = declaration.windows(key.len()).position(|window| window == key)? + key.len();
    let value = declaration[after..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, value) = value.split_first()?;
    let end = value.iter().position(|byte| byte == quote)?;
    matches!(quote, b'"' | b'\'').then_some(&value[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect()
    }

    #[test]
    fn marks_declarations_and_guesses_are_gone_by_in_turn() {
        let latin1 = b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a n=\"L\xe4\"/>";
        assert!(decode(latin1).unwrap().0.contains("Lä"));
        let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a n=\"Lä\"/>";
        for little in [true, false] {
            let mark: &[u8] = if little { b"\xff\xfe" } else { b"\xfe\xff" };
            assert_eq!(decode(&[mark, &utf16(text, little)].concat()).unwrap(), (Cow::Borrowed(text), None));
            assert_eq!(decode(&utf16(text, little)).unwrap().0, text);
        }
        assert_eq!(decode(text.as_bytes()).unwrap().0, text, "it names UTF-16 and is in UTF-8");
        assert_eq!(decode("\u{feff}{}".as_bytes()).unwrap().0, "{}");
        let (guessed, note) = decode(b"<a n=\"L\xe4\"/>").unwrap();
        assert!(guessed.contains("Lä") && note.unwrap().contains("Windows-1252"));
    }

    #[test]
    fn what_is_in_no_encoding_is_refused() {
        assert_eq!(decode(b"{\n\"a\":\"\xe4\"}").unwrap_err().line, Some(2));
        let unknown = decode(b"<?xml version=\"1.0\" encoding=\"x-own\"?><a/>").unwrap_err();
        assert!(unknown.reason.contains("\"x-own\""), "{unknown:?}");
        let odd = [b"\xff\xfe".as_slice(), &utf16("<a/>", true), &[0x00, 0xd8]].concat();
        assert!(decode(&odd).unwrap_err().reason.contains("UTF-16LE"));
    }
}
