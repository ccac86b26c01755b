//! Tables of other programs: CSV with commas, or with semicolons or tabs as spreadsheets write it in many languages.

use std::cell::RefCell;
use std::io::{self, Cursor};
use std::path::Path;

use crate::number_format::{NumberStyle, may_be_thousands};
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
    /// Decimal sign of its numbers, and what separates thousands in them.
    style: NumberStyle,
    /// The first number that was read and could mean another one, as it stands and as it was understood.
    ambiguous: RefCell<Option<(String, f64)>>,
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
        let style = style_of(reader.get_ref().get_ref(), separator);
        Ok(Self { reader, header, separator, style, ambiguous: RefCell::default(), note })
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

    /// Parses a finite number, with the decimal sign of the table's numbers. What could mean another number is noted for
    /// [`Self::note_on_numbers`].
    pub fn number(&self, text: &str) -> Option<f64> {
        // Spaces separate thousands in what a user types only.
        if text.contains(char::is_whitespace) {
            return None;
        }
        let number = self.style.read(text)?;
        let is_by_chance = match self.style {
            NumberStyle::SpacePoint if text.contains(',') && may_be_thousands(text) => return None,
            NumberStyle::SpaceComma => true,
            _ => number.abs() >= 1000.0,
        };
        if is_by_chance && may_be_thousands(text) {
            self.ambiguous.borrow_mut().get_or_insert_with(|| (text.to_owned(), number));
        }
        Some(number)
    }

    /// Returns a sentence for the user on how numbers were understood that could mean others, if there were any.
    pub fn note_on_numbers(&self) -> Option<String> {
        let ambiguous = self.ambiguous.borrow();
        let (text, number) = ambiguous.as_ref()?;
        Some(format!(
            "Numbers such as {text} were read as {number}; if that is wrong, write all of them with a decimal point and without \
             separators of thousands."
        ))
    }
}

/// Determines the decimal sign of a table's numbers. Those that can have one meaning only tell it; spreadsheets write semicolons
/// between fields in languages with a decimal comma. Where fields are separated by tabs, nothing tells.
fn style_of(text: &[u8], separator: u8) -> NumberStyle {
    let (mut has_comma, mut has_point) = (false, false);
    let fields = text.split(|byte| *byte == separator || matches!(byte, b'\n' | b'\r' | b'"'));
    for field in
        fields.map(<[u8]>::trim_ascii).filter(|field| field.iter().any(|byte| matches!(byte, b',' | b'.')))
    {
        let is_numeric = field.iter().all(|byte| byte.is_ascii_digit() || b"+-.,".contains(byte));
        let Some(field) = std::str::from_utf8(field).ok().filter(|_| is_numeric) else { continue };
        let Some(last) = field.rfind([',', '.']) else { continue };
        let is_certain = !may_be_thousands(field) && field.matches(&field[last..=last]).count() == 1;
        has_comma |= is_certain && field[last..].starts_with(',');
        has_point |= is_certain && field[last..].starts_with('.');
    }
    match (has_comma, has_point) {
        (true, false) => NumberStyle::PointComma,
        (false, true) => NumberStyle::CommaPoint,
        _ if separator == b';' => NumberStyle::SpaceComma,
        _ if separator == b'\t' => NumberStyle::SpacePoint,
        _ => NumberStyle::CommaPoint,
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
    fn the_numbers_of_a_table_tell_its_decimal_sign() {
        let read = |text: &str| {
            let mut table = Table::of(text.into()).unwrap();
            let (mut row, mut numbers) = (Row::default(), Vec::new());
            while table.read_row(&mut row).unwrap() {
                numbers.extend((0..table.header.len()).map(|column| table.number(row.text(column))));
            }
            (numbers, table.note_on_numbers())
        };
        for (text, numbers, is_noted) in [
            // Spreadsheets of languages with a decimal comma.
            ("a;b\n12,5;1.024\n", [Some(12.5), Some(1024.0)], true),
            ("a\tb\n12,5\t1.024,5\n", [Some(12.5), Some(1024.5)], false),
            ("a,b\n\"12,5\",\"3,25\"\n", [Some(12.5), Some(3.25)], false),
            ("a;b\n1,5;1.5\n", [Some(1.5), Some(1.5)], false),
            // Other programs.
            ("a;b\n12.5;1.024\n", [Some(12.5), Some(1.024)], false),
            ("a\tb\n12.5\t1,024\n", [Some(12.5), Some(1024.0)], true),
            ("a,b\n12.5,\"1,024.5\"\n", [Some(12.5), Some(1024.5)], false),
            ("a,b\n1.024,\"1,500\"\n", [Some(1.024), Some(1500.0)], true),
            ("a,b\n1.024,2e3\n", [Some(1.024), Some(2000.0)], false),
            // Neither is certain.
            ("a;b\n1,024;7\n", [Some(1.024), Some(7.0)], true),
            ("a;b\n1.024;7\n", [Some(1.024), Some(7.0)], true),
            ("a\tb\n1,500\t7\n", [None, Some(7.0)], false),
            ("a;b\n1,2,3;inf\n", [None, None], false),
            ("a;b\n1 024;x\n", [None, None], false),
        ] {
            let (read, note) = read(text);
            assert_eq!((read.as_slice(), note.is_some()), (&numbers[..], is_noted), "{text:?}: {note:?}");
        }
        let note = read("a;b\n12,5;1.024\n").1.unwrap();
        assert!(note.contains("1.024 were read as 1024"), "{note}");
    }
}
