//! Tables of other programs: CSV with commas, or with semicolons or tabs as spreadsheets write it in many languages.

use std::io::{self, Cursor};
use std::path::Path;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use crate::untrusted;

/// Maximum size of a table, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// A table with a header, before its rows are read.
pub struct Table {
    /// Header and rows, without the spaces around their fields.
    pub reader: csv::Reader<Cursor<Vec<u8>>>,
    /// Byte between the fields of a row.
    separator: u8,
}

impl Table {
    /// Reads a table, in UTF-8 or, with a byte order mark, in UTF-16. The separator of its fields is the one of `,`, `;`
    /// and tab that occurs most often in its first line.
    ///
    /// # Errors
    /// As [`untrusted::read`]; [`io::ErrorKind::InvalidData`] if it is not in the encoding that it states.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(untrusted::read(path, MOST_BYTES)?)
    }

    fn of(mut bytes: Vec<u8>) -> io::Result<Self> {
        if let Some((encoding, mark)) =
            Encoding::for_bom(&bytes).filter(|(encoding, _)| [UTF_16LE, UTF_16BE].contains(encoding))
        {
            let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark..]);
            let text = text.ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("it is not valid {}", encoding.name()))
            })?;
            bytes = text.into_owned().into_bytes();
        }
        if bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        let separator = separator(&bytes);
        let reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .from_reader(Cursor::new(bytes));
        Ok(Self { reader, separator })
    }

    /// Parses a finite number. Where fields are separated by semicolons, its decimal sign may be a comma: spreadsheets
    /// write semicolons only in languages in which it is.
    pub fn number(&self, text: &str) -> Option<f64> {
        let number: Option<f64> = match self.separator {
            b';' if !text.contains('.') => text.replacen(',', ".", 1).parse().ok(),
            _ => text.parse().ok(),
        };
        number.filter(|number| number.is_finite())
    }
}

/// Returns the separator that occurs most often in the first line, outside of quotes; a comma if several do.
fn separator(bytes: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in bytes {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            _ if is_quoted => {}
            _ => counts.iter_mut().filter(|(one, _)| one == byte).for_each(|(_, count)| *count += 1),
        }
    }
    // The first of several maxima.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut table = Table::of(bytes.to_vec()).unwrap();
        let fields = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect();
        let header = fields(table.reader.headers().unwrap());
        std::iter::once(header).chain(table.reader.records().map(|row| fields(&row.unwrap()))).collect()
    }

    #[test]
    fn fields_are_told_apart_however_a_spreadsheet_separates_them() {
        let wanted = [["slide", "note"], ["a", "b; c"]];
        for text in [
            "slide,note\na,b; c\n",
            "\u{feff}slide;note\r\na;\"b; c\"\r\n",
            "slide\tnote\na\tb; c\n",
            "\"slide\" ; note\na ;\"b; c\"",
        ] {
            assert_eq!(rows(text.as_bytes()), wanted, "{text:?}");
        }
        let utf16: Vec<u8> =
            "\u{feff}slide\tnote\r\na\tb; c".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(rows(&utf16), wanted);
        assert_eq!(rows(b"\"a;b;c\",x\n1,2\n"), [["a;b;c", "x"], ["1", "2"]]);
        assert!(Table::of(vec![0xff, 0xfe, 0, 0xd8]).is_err());
    }

    #[test]
    fn a_comma_is_a_decimal_sign_only_where_it_separates_nothing() {
        let number = |header: &str, text: &str| Table::of(header.into()).unwrap().number(text);
        assert_eq!(number("a;b", "1,5"), Some(1.5));
        assert_eq!(number("a;b", "1.5"), Some(1.5));
        for odd in ["1.234,5", "1,2,3", "", "inf"] {
            assert_eq!(number("a;b", odd), None, "{odd}");
        }
        assert_eq!(number("a,b", "1,500"), None, "it may be thousands");
        assert_eq!(number("a\tb", "1,500"), None, "it may be thousands");
    }
}
