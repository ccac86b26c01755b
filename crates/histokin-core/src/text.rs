//! Decoding of text files of other programs, which may be in various encodings.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The text, without a byte order mark.
    pub text: Cow<'a, str>,
    /// Whether it is not UTF-8, declares no other encoding, and was read as Windows-1252.
    pub is_guessed: bool,
}

impl Decoded<'_> {
    /// Returns a sentence for the user if the encoding had to be guessed.
    pub fn note(&self) -> Option<String> {
        self.is_guessed.then(|| {
            "The file is not UTF-8 and declares no other encoding: it was read as Windows-1252.".to_owned()
        })
    }
}

/// Why a file cannot be decoded, for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Decodes the text of a file.
///
/// A byte order mark takes precedence; then text in UTF-16 without one is known by the zeros in its first two
/// characters, and that of XML by the encoding that it declares. Text that is not valid UTF-8 otherwise is read as
/// Windows-1252, in which spreadsheets and programs that write without a library save in many countries.
///
/// # Errors
/// Fails if the text is not valid in the encoding that it states, or that encoding is not supported.
pub fn decode(bytes: &[u8]) -> Result<Decoded<'_>, DecodeError> {
    // The mark of UTF-32 begins with that of UTF-16.
    if let Some(text) = utf32(bytes) {
        return text.map(|text| Decoded { text: Cow::Owned(text), is_guessed: false });
    }
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return stated(encoding, &bytes[length..]);
    }
    let is_text = |byte: &u8| *byte != 0;
    match bytes {
        [a, 0, b, 0, ..] if [a, b].into_iter().all(is_text) => return stated(UTF_16LE, bytes),
        [0, a, 0, b, ..] if [a, b].into_iter().all(is_text) => return stated(UTF_16BE, bytes),
        _ => {}
    }
    let encoding = match declared(bytes) {
        Some(label) => match Encoding::for_label(label) {
            // If the declaration is readable as single bytes, the text is not in UTF-16.
            Some(named) if named == UTF_16LE || named == UTF_16BE => UTF_8,
            Some(named) => named,
            None => {
                let label = String::from_utf8_lossy(label);
                return Err(DecodeError(format!(
                    "its encoding {label:?} is not supported; save it as UTF-8"
                )));
            }
        },
        None => UTF_8,
    };
    if encoding != UTF_8 {
        return stated(encoding, bytes);
    }
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => Decoded { text: Cow::Borrowed(text), is_guessed: false },
        Err(_) => {
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
            Decoded { text, is_guessed: true }
        }
    })
}

/// Decodes text that begins with the mark of UTF-32, in which Python writes under that name; `None` for any other.
fn utf32(bytes: &[u8]) -> Option<Result<String, DecodeError>> {
    let (rest, is_little) = match bytes {
        [0xff, 0xfe, 0, 0, rest @ ..] => (rest, true),
        [0, 0, 0xfe, 0xff, rest @ ..] => (rest, false),
        _ => return None,
    };
    let (characters, left) = rest.as_chunks();
    let number = |bytes| if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let text: Option<String> = characters.iter().map(|bytes| char::from_u32(number(*bytes))).collect();
    let text = text.filter(|_| left.is_empty());
    Some(text.ok_or_else(|| DecodeError("it is not valid UTF-32".to_owned())))
}

/// Decodes text in an encoding that is not guessed.
fn stated<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    let text = text.ok_or_else(|| DecodeError(format!("it is not valid {}", encoding.name())))?;
    Ok(Decoded { text, is_guessed: false })
}

/// Returns the encoding named in an XML declaration.
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
    fn a_mark_a_declaration_or_a_guess_tells_the_encoding() {
        let read =
            |bytes: &[u8]| decode(bytes).map(|read| (read.text.into_owned(), read.is_guessed)).unwrap();
        let latin1 = b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a n=\"L\xe4\"/>";
        assert!(read(latin1).0.contains("Lä"));
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a n=\"Lä\"/>";
        for text in [xml, "[{\"name\":\"Müller\"}]", " {}", "slide;patient\r\na;Müller\r\n"] {
            for little in [true, false] {
                let mark: &[u8] = if little { b"\xff\xfe" } else { b"\xfe\xff" };
                let wanted = (text.to_owned(), false);
                assert_eq!(read(&[mark, &utf16(text, little)].concat()), wanted);
                assert_eq!(read(&utf16(text, little)), wanted, "without a mark");
            }
        }
        let utf32 = |bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
            format!("\u{feff}{xml}").chars().flat_map(|letter| bytes(letter.into())).collect()
        };
        for bytes in [utf32(u32::to_le_bytes), utf32(u32::to_be_bytes)] {
            assert_eq!(read(&bytes), (xml.to_owned(), false));
            assert!(decode(&bytes[..bytes.len() - 1]).unwrap_err().to_string().contains("UTF-32"));
        }
        assert_eq!(read(xml.as_bytes()).0, xml, "it declares UTF-16 but is UTF-8");
        assert_eq!(read("\u{feff}{}".as_bytes()).0, "{}");
        for guessed in [&b"<a n=\"L\xe4\"/>"[..], b"{\n\"a\":\"L\xe4\"}", b"slide,patient\na,L\xe4\n"] {
            let read = decode(guessed).unwrap();
            assert!(read.text.contains("Lä") && read.note().unwrap().contains("Windows-1252"));
        }
        assert_eq!(decode(b"{}").unwrap().note(), None);
    }

    #[test]
    fn what_is_not_in_the_encoding_that_it_states_is_refused() {
        let refusal = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        let unknown = refusal(b"<?xml version=\"1.0\" encoding=\"x-own\"?><a/>");
        assert!(unknown.contains("\"x-own\""), "{unknown}");
        let odd = [&utf16("<a/>", true)[..], &[0x00, 0xd8]].concat();
        for odd in [[b"\xff\xfe", &odd[..]].concat(), odd] {
            assert!(refusal(&odd).contains("UTF-16LE"));
        }
        assert!(refusal(b"\xef\xbb\xbf{\"a\":\"\xe4\"}").contains("UTF-8"));
    }
}
