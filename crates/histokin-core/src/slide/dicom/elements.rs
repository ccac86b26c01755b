//! Reads the elements of a DICOM data set one after the other, explicit or implicit, little-endian (DICOM PS3.5 and
//! PS3.10).

use std::io::{self, Read, Seek};

/// Group and number of an element.
pub(in crate::slide) type Tag = (u16, u16);

/// Transfer syntaxes whose elements are not explicit little-endian.
const IMPLICIT: &str = "1.2.840.10008.1.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Group of the elements before the data set, which are always explicit little-endian.
const HEADER_GROUP: u16 = 0x0002;
const TRANSFER_SYNTAX: Tag = (HEADER_GROUP, 0x0010);
const ITEM_GROUP: u16 = 0xfffe;
/// Beginning of an item of a sequence, or of a fragment of pixel data.
pub(in crate::slide) const ITEM: Tag = (ITEM_GROUP, 0xe000);
pub(in crate::slide) const END_OF_SEQUENCE: Tag = (ITEM_GROUP, 0xe0dd);
pub(in crate::slide) const END_OF_ITEM: Tag = (ITEM_GROUP, 0xe00d);

/// Types whose length takes four bytes, after two unused ones.
const LONG_TYPES: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];

/// Maximum number of elements that are read; bounds the work on damaged files.
const MAX_ELEMENTS: usize = 10_000;
/// Maximum nesting of sequences.
const MAX_DEPTH: usize = 16;
/// Longest text that is read, in bytes; identifiers have at most 64.
const MAX_TEXT_BYTES: u32 = 1024;

/// Reads the prefix of a file; returns whether it is DICOM.
pub(in crate::slide) fn has_prefix(source: &mut impl Read) -> bool {
    let mut prefix = [0; 132];
    source.read_exact(&mut prefix).is_ok() && prefix.ends_with(b"DICM")
}

/// The elements of a data set, from the first one on.
pub(in crate::slide) struct Elements<R> {
    source: R,
    syntax: String,
    is_implicit: bool,
    left: usize,
}

/// An element, without its value.
pub(in crate::slide) struct Element {
    pub tag: Tag,
    /// Bytes of the value; `None` for sequences and pixel data that end with a delimiter.
    pub length: Option<u32>,
}

impl<R: Read + Seek> Elements<R> {
    /// Reads the header up to the data set. `source` is at the end of the prefix, see [`has_prefix`].
    ///
    /// # Errors
    /// When the header is damaged, or the elements are big-endian or compressed.
    pub fn begin(source: R) -> io::Result<Self> {
        let mut elements = Self { source, syntax: String::new(), is_implicit: false, left: MAX_ELEMENTS };
        loop {
            let mut group = [0; 2];
            elements.source.read_exact(&mut group)?;
            elements.source.seek_relative(-2)?;
            if u16::from_le_bytes(group) != HEADER_GROUP {
                break;
            }
            let element = elements.next()?;
            match element.tag {
                TRANSFER_SYNTAX => elements.syntax = elements.text(&element)?,
                _ => elements.skip(&element)?,
            }
        }
        match elements.syntax.as_str() {
            DEFLATED | BIG_ENDIAN => Err(io::ErrorKind::Unsupported.into()),
            syntax => {
                elements.is_implicit = syntax == IMPLICIT;
                Ok(elements)
            }
        }
    }

    /// Allows this number of elements, instead of those of a header without the places of frames.
    pub fn with_limit(self, elements: usize) -> Self {
        Self { left: elements, ..self }
    }

    /// Identifier of the transfer syntax: how elements and pixels are stored.
    pub fn syntax(&self) -> &str {
        &self.syntax
    }

    /// Reads the tag and the length of the next element, whose value then has to be read or skipped.
    ///
    /// # Errors
    /// At the end of the file.
    pub fn next(&mut self) -> io::Result<Element> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::InvalidData)?;
        let mut head = [0; 8];
        self.source.read_exact(&mut head)?;
        let [g0, g1, e0, e1, v0, v1, l0, l1] = head;
        let tag = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
        let length = if self.is_implicit || tag.0 == ITEM_GROUP {
            u32::from_le_bytes([v0, v1, l0, l1])
        } else if LONG_TYPES.contains(&&[v0, v1]) {
            let mut long = [0; 4];
            self.source.read_exact(&mut long)?;
            u32::from_le_bytes(long)
        } else {
            u16::from_le_bytes([l0, l1]).into()
        };
        Ok(Element { tag, length: (length != u32::MAX).then_some(length) })
    }

    /// Reads a value of text, without padding.
    ///
    /// # Errors
    /// When it is longer than any identifier, or not whole.
    pub fn text(&mut self, element: &Element) -> io::Result<String> {
        let value = self.bytes(element, MAX_TEXT_BYTES.into())?;
        Ok(String::from_utf8_lossy(&value).trim_matches(['\0', ' ']).to_owned())
    }

    /// Reads a value of at most `most` bytes.
    ///
    /// # Errors
    /// When it is longer, or not whole.
    pub fn bytes(&mut self, element: &Element, most: u64) -> io::Result<Vec<u8>> {
        let length = element.length.filter(|length| u64::from(*length) <= most);
        let mut value = vec![0; length.ok_or(io::ErrorKind::InvalidData)? as usize];
        self.source.read_exact(&mut value)?;
        Ok(value)
    }

    /// Reads a whole number of 16 or 32 bits that is not negative; 0 for other values.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn number(&mut self, element: &Element) -> io::Result<u64> {
        Ok(match *self.bytes(element, MAX_TEXT_BYTES.into())? {
            [b0, b1] => u16::from_le_bytes([b0, b1]).into(),
            [b0, b1, b2, b3] => u32::from_le_bytes([b0, b1, b2, b3]).into(),
            _ => 0,
        })
    }

    /// Reads a whole number of 16 or 32 bits; 0 for other values.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn signed(&mut self, element: &Element) -> io::Result<i64> {
        Ok(match *self.bytes(element, MAX_TEXT_BYTES.into())? {
            [b0, b1] => i16::from_le_bytes([b0, b1]).into(),
            [b0, b1, b2, b3] => i32::from_le_bytes([b0, b1, b2, b3]).into(),
            _ => 0,
        })
    }

    /// Reads a number with a fraction of 32 or 64 bits; 0 for other values.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn float(&mut self, element: &Element) -> io::Result<f64> {
        let value = self.bytes(element, MAX_TEXT_BYTES.into())?;
        Ok(match (value.as_chunks().0, value.as_chunks().0) {
            ([only], []) => f32::from_le_bytes(*only).into(),
            (_, [only]) => f64::from_le_bytes(*only),
            _ => 0.0,
        })
    }

    /// Skips a value.
    ///
    /// # Errors
    /// When it is a sequence that does not end.
    pub fn skip(&mut self, element: &Element) -> io::Result<()> {
        self.skip_at(element, 0)
    }

    fn skip_at(&mut self, element: &Element, depth: usize) -> io::Result<()> {
        if let Some(length) = element.length {
            return self.source.seek_relative(length.into());
        }
        if depth > MAX_DEPTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        loop {
            let inner = self.next()?;
            if inner.tag == END_OF_SEQUENCE || inner.tag == END_OF_ITEM {
                return Ok(());
            }
            self.skip_at(&inner, depth + 1)?;
        }
    }

    /// Offset in the file, after what was read or skipped last.
    ///
    /// # Errors
    /// When the source cannot tell.
    pub fn position(&mut self) -> io::Result<u64> {
        self.source.stream_position()
    }
}
