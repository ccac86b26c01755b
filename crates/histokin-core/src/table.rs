//! Tables of other programs: CSV with commas, or with semicolons or tabs as spreadsheets write it in many languages.

use std::io::{self, Cursor};
use std::path::Path;

use crate::{text, untrusted};

/// Maximum size of a table, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// First bytes of files that are often taken for tables, and what they are.
const OTHER_KINDS: [(&[u8], &str); 4] = [
    (b"PK\x03\x04", "it is a workbook (.xlsx, .ods) or another archive; save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "it is an Excel workbook (.xls); save the sheet as CSV (UTF-8)"),
    (b"PAR1", "it is a Parquet file; save it as CSV"),
    (b"\x1f\x8b", "it is compressed; unpack it first"),
];

/// A table with a header, before its rows are read.
pub struct Table {
    reader: csv::Reader<Cursor<Vec<u8>>>,
    /// Names of the columns, without the spaces around them.
    header: Vec<String>,
    /// Byte between the fields of a row.
    separator: u8,
    /// Sentence for the user, if the encoding of the table had to be guessed.
    pub note: Option<String>,
}

/// Why a table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct TableError {
    /// Line, from 1.
    pub line: u64,
    /// What is wrong, for the user.
    pub reason: String,
}

impl TableError {
    /// Makes an error of the header.
    pub fn of_header(reason: impl Into<String>) -> Self {
        Self { line: 1, reason: reason.into() }
    }

    fn of_reader(error: &csv::Error) -> Self {
        Self { line: error.position().map_or(1, csv::Position::line), reason: error.to_string() }
    }
}

/// A row of a table, of which at least one field is not empty.
#[derive(Debug, Default)]
pub struct Row(csv::StringRecord);

impl Row {
    /// Returns the field of a column, without the spaces around it; empty if the row ends before it.
    pub fn text(&self, column: usize) -> &str {
        self.0.get(column).unwrap_or_default()
    }

    /// Returns the field of a column, without the spaces around it; empty also if it has a word that programs write where
    /// there is no value.
    pub fn value(&self, column: usize) -> &str {
        /// What pandas, R, Excel and databases write, in lower case.
        const NOTHING: [&str; 7] = ["na", "n/a", "#n/a", "<na>", "nan", "null", "#ref!"];
        let text = self.text(column);
        if NOTHING.contains(&text.to_lowercase().as_str()) { "" } else { text }
    }

    /// Returns the line on which the row begins, from 1.
    pub fn line(&self) -> u64 {
        self.0.position().map_or(0, csv::Position::line)
    }

    /// Makes an error about the row.
    pub fn wrong(&self, reason: impl Into<String>) -> TableError {
        TableError { line: self.line(), reason: reason.into() }
    }
}

impl Table {
    /// Reads a table, in the encodings of [`text::decode`]. The separator of its fields is the one that its first line
    /// states as `sep=;`, as Excel writes and reads it, or the one of `,`, `;` and tab that occurs most often in its header.
    ///
    /// # Errors
    /// As [`untrusted::read`]; [`io::ErrorKind::InvalidData`] if it is not in the encoding that it states, or is no
    /// text.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(untrusted::read(path, MOST_BYTES)?)
    }

    fn of(bytes: Vec<u8>) -> io::Result<Self> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        if let Some((_, kind)) = OTHER_KINDS.iter().find(|(start, _)| bytes.starts_with(start)) {
            return Err(invalid((*kind).to_owned()));
        }
        let decoded = text::decode(&bytes).map_err(|error| invalid(error.to_string()))?;
        let note = decoded.note();
        let mut text = decoded.text.into_owned();
        let stated = stated_separator(&text);
        if let Some((_, length)) = stated {
            // The end of the line stays, for the numbers of lines in messages.
            text.drain(..length);
        }
        let separator =
            stated.map_or_else(|| frequent_separator(text.as_bytes()), |(separator, _)| separator);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(Cursor::new(text.into_bytes()));
        let header = reader.headers().map_err(|error| invalid(error.to_string()))?;
        let header = header.iter().map(str::to_owned).collect();
        Ok(Self { reader, header, separator, note })
    }

    /// Returns the column of one of these names, the first that there is. Capital letters, spaces, `_` and `-` in the
    /// header do not matter: `Slide ID` is `slideid`.
    ///
    /// # Errors
    /// Fails if several columns have the name.
    pub fn column(&self, names: &[&str]) -> Result<Option<usize>, TableError> {
        let plain = |column: &String| -> String {
            let letters = column.chars().filter(|letter| !matches!(letter, ' ' | '_' | '-'));
            letters.flat_map(char::to_lowercase).collect()
        };
        let header: Vec<String> = self.header.iter().map(plain).collect();
        for name in names {
            let mut columns = (0..header.len()).filter(|column| header[*column] == *name);
            let Some(column) = columns.next() else { continue };
            return match columns.next() {
                None => Ok(Some(column)),
                Some(_) => Err(TableError::of_header(format!(
                    "several columns are named {}; keep one of them",
                    self.header[column]
                ))),
            };
        }
        Ok(None)
    }

    /// Returns the names of the columns, for messages.
    pub fn shown_header(&self) -> String {
        const MOST: usize = 12;
        let mut names: Vec<&str> =
            self.header.iter().map(String::as_str).filter(|name| !name.is_empty()).take(MOST).collect();
        if self.header.len() > MOST {
            names.push("…");
        }
        names.join(", ")
    }

    /// Reads the next row into `row`, passing over those without any content. Returns false at the end.
    ///
    /// Spreadsheets leave out empty fields at the end of a row.
    ///
    /// # Errors
    /// Fails if it has content beyond the last column of the header.
    pub fn read_row(&mut self, row: &mut Row) -> Result<bool, TableError> {
        while self.reader.read_record(&mut row.0).map_err(|error| TableError::of_reader(&error))? {
            let Some(last) = (0..row.0.len()).rfind(|column| !row.0[*column].is_empty()) else { continue };
            if last >= self.header.len() {
                return Err(row.wrong(format!(
                    "it has {} fields, but the first line has {}; put fields with {} between quotes",
                    last + 1,
                    self.header.len(),
                    match self.separator {
                        b';' => "semicolons",
                        b'\t' => "tabs",
                        _ => "commas",
                    }
                )));
            }
            return Ok(true);
        }
        Ok(false)
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

/// Returns the separator that the first line states as `sep=;`, and the length of this statement.
fn stated_separator(text: &str) -> Option<(u8, usize)> {
    let line = text.split(['\r', '\n']).next()?;
    let [separator] = *line.trim_matches('"').to_ascii_lowercase().strip_prefix("sep=")?.as_bytes() else {
        return None;
    };
    Some((separator, line.len()))
}

/// Returns the separator that occurs most often in the first line with content, outside of quotes; a comma if several do.
fn frequent_separator(bytes: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    let start = bytes.iter().position(|byte| !matches!(byte, b'\n' | b'\r')).unwrap_or_default();
    for byte in &bytes[start..] {
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
        let (columns, mut row) = (table.header.len(), Row::default());
        let mut rows = vec![table.header.clone()];
        while table.read_row(&mut row).unwrap() {
            rows.push((0..columns).map(|column| row.text(column).to_owned()).collect());
        }
        rows
    }

    #[test]
    fn fields_are_told_apart_however_a_spreadsheet_separates_them() {
        let wanted = [["slide", "note"], ["a", "b; c"]];
        for text in [
            "slide,note\na,b; c\n",
            "\u{feff}slide;note\r\na;\"b; c\"\r\n",
            "slide\tnote\na\tb; c\n",
            "\"slide\" ; note\na ;\"b; c\"",
            "sep=;\r\nslide;note\r\na;\"b; c\"\r\n",
            "\u{feff}\"sep=\t\"\nslide\tnote\na\tb; c\n",
            "SEP=|\rslide|note\ra|b; c\r",
            "\r\n\r\nslide;note\r\na;\"b; c\"",
        ] {
            assert_eq!(rows(text.as_bytes()), wanted, "{text:?}");
        }
        let utf16: Vec<u8> =
            "\u{feff}slide\tnote\r\na\tb; c".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(rows(&utf16), wanted);
        assert_eq!(rows(&utf16[2..]), wanted, "without a mark");
        assert_eq!(rows(b"\"a;b;c\",x\n1,2\n"), [["a;b;c", "x"], ["1", "2"]]);
        assert!(Table::of(vec![0xff, 0xfe, 0, 0xd8]).is_err());
    }

    #[test]
    fn what_is_not_utf_8_is_read_as_windows_1252_and_told() {
        let mut table = Table::of(b"slide;patient\r\na;M\xfcller\x80\r\n".to_vec()).unwrap();
        assert!(table.note.as_deref().unwrap().contains("Windows-1252"));
        let mut row = Row::default();
        assert!(table.read_row(&mut row).unwrap());
        assert_eq!(row.text(1), "Müller€");
        assert_eq!(Table::of("slide\nMüller".into()).unwrap().note, None);
        for (start, words) in [("PK\u{3}\u{4}…", "workbook"), ("PAR1", "Parquet")] {
            assert!(Table::of(start.into()).err().unwrap().to_string().contains(words));
        }
    }

    #[test]
    fn rows_may_be_empty_or_end_early_but_not_late() {
        assert_eq!(rows(b"a,b,c\n,,\n1\n\n2,,,,\n , \n"), [["a", "b", "c"], ["1", "", ""], ["2", "", ""]]);
        let mut table = Table::of(b"sep=,\na,b\n\"x\ny\",1\nc,d,e\n".to_vec()).unwrap();
        let mut row = Row::default();
        assert!(table.read_row(&mut row).unwrap());
        assert_eq!((row.text(0), row.line()), ("x\ny", 3));
        let wrong = table.read_row(&mut row).unwrap_err();
        assert_eq!(wrong.line, 5);
        assert!(wrong.reason.contains("3 fields") && wrong.reason.contains("commas"), "{wrong}");
    }

    #[test]
    fn words_for_missing_values_are_no_values() {
        let mut table = Table::of("a,b,c,d,e\nNA,#N/A, nan ,Nathan,\n".into()).unwrap();
        let mut row = Row::default();
        assert!(table.read_row(&mut row).unwrap());
        assert_eq!([0, 1, 2, 3, 4].map(|column| row.value(column)), ["", "", "", "Nathan", ""]);
        assert_eq!(row.text(0), "NA");
    }

    #[test]
    fn columns_are_found_whatever_their_case_and_the_spaces_in_their_names() {
        let table = Table::of(b"Slide ID;CASE_ID;x;x;patient-id\n".to_vec()).unwrap();
        assert_eq!(table.column(&["slide", "slideid"]), Ok(Some(0)));
        assert_eq!(table.column(&["patientid", "caseid"]), Ok(Some(4)), "the first name counts");
        assert_eq!(table.column(&["label"]), Ok(None));
        assert!(table.column(&["x"]).unwrap_err().to_string().contains("several columns are named x"));
        assert_eq!(table.shown_header(), "Slide ID, CASE_ID, x, x, patient-id");
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
