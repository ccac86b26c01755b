//! Reading the directories of TIFF and BigTIFF files.
//!
//! Only tags are read here, never pixels. Nothing is believed: an offset must lie in the file, and what it points
//! at must fit into the file, before memory is taken for it.
//!
//! TIFF 6.0: <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>; BigTIFF:
//! <https://libtiff.gitlab.io/libtiff/specification/bigtiff.html>.

use std::io::{Read, Seek, SeekFrom};

/// Tags of one directory; slides have thirty.
const MAX_TAGS: u64 = 4096;

/// Longest text that is read: the OME-XML of a file with thousands of planes has a few MiB.
const LONGEST_TEXT: u64 = 16 << 20;

/// Numbers of the tags that are read.
pub(in crate::slide) mod tag {
    pub const NEW_SUBFILE_TYPE: u16 = 254;
    pub const SUBFILE_TYPE: u16 = 255;
    pub const IMAGE_WIDTH: u16 = 256;
    pub const IMAGE_LENGTH: u16 = 257;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const IMAGE_DESCRIPTION: u16 = 270;
    pub const MAKE: u16 = 271;
    pub const MODEL: u16 = 272;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES_PER_PIXEL: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_BYTE_COUNTS: u16 = 279;
    pub const MAX_SAMPLE_VALUE: u16 = 281;
    pub const X_RESOLUTION: u16 = 282;
    pub const Y_RESOLUTION: u16 = 283;
    pub const PLANAR: u16 = 284;
    pub const RESOLUTION_UNIT: u16 = 296;
    pub const SOFTWARE: u16 = 305;
    pub const DATE_TIME: u16 = 306;
    pub const PREDICTOR: u16 = 317;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_LENGTH: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_BYTE_COUNTS: u16 = 325;
    pub const SUB_IFDS: u16 = 330;
    pub const INK_SET: u16 = 332;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const IMAGE_DEPTH: u16 = 32997;
    pub const ICC_PROFILE: u16 = 34675;
}

/// A file, and how its numbers are written.
pub(in crate::slide) struct Tiff<R> {
    source: R,
    /// Bytes of the file.
    pub size: u64,
    pub is_big_endian: bool,
    /// BigTIFF: offsets and counts are of 8 bytes.
    is_big: bool,
}

/// One directory: the tags of one image.
#[derive(Debug, Default)]
pub(in crate::slide) struct Directory {
    pub entries: Vec<Entry>,
    /// Offset of the directory after this one; 0 after the last.
    pub next: u64,
}

/// One tag. Its value stands in the entry itself if it fits, else where the entry points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::slide) struct Entry {
    pub tag: u16,
    pub kind: u16,
    pub count: u64,
    /// 4 bytes, or 8 in BigTIFF.
    value: Vec<u8>,
}

impl Directory {
    pub fn find(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

impl Entry {
    /// Bytes of one value; 0 for types that no one defines.
    fn bytes_each(&self) -> u64 {
        match self.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => 0,
        }
    }
}

impl<R: Read + Seek> Tiff<R> {
    /// Read the header; the offset of the first directory is answered.
    ///
    /// # Errors
    /// In words, when the file is no TIFF.
    pub fn begin(mut source: R) -> Result<(Self, u64), String> {
        let size = source.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
        let mut tiff = Self { source, size, is_big_endian: false, is_big: false };
        let magic = tiff.bytes(0, 4)?;
        tiff.is_big_endian = match &magic[..2] {
            b"II" => false,
            b"MM" => true,
            _ => return Err("it is no TIFF file".to_owned()),
        };
        match tiff.number(&magic[2..]) {
            42 => {}
            43 => tiff.is_big = true,
            _ => return Err("it is no TIFF file".to_owned()),
        }
        if !tiff.is_big {
            let first = tiff.bytes(4, 4)?;
            let first = tiff.number(&first);
            return Ok((tiff, first));
        }
        let rest = tiff.bytes(4, 12)?;
        if tiff.number(&rest[..2]) != 8 || tiff.number(&rest[2..4]) != 0 {
            return Err("its BigTIFF header is damaged".to_owned());
        }
        let first = tiff.number(&rest[4..]);
        Ok((tiff, first))
    }

    /// The bytes from `offset` on, taking memory only for what the file holds.
    fn bytes(&mut self, offset: u64, count: u64) -> Result<Vec<u8>, String> {
        if offset.checked_add(count).is_none_or(|end| end > self.size) {
            return Err("it points beyond its own end".to_owned());
        }
        let mut bytes = vec![0; count as usize];
        let read = self.source.seek(SeekFrom::Start(offset)).and_then(|_| self.source.read_exact(&mut bytes));
        read.map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// An unsigned number of at most 8 bytes.
    fn number(&self, bytes: &[u8]) -> u64 {
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
    }

    /// The directory at `offset`.
    ///
    /// # Errors
    /// In words, when it does not lie in the file.
    pub fn directory(&mut self, offset: u64) -> Result<Directory, String> {
        let (count_bytes, entry_bytes, word) = if self.is_big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.bytes(offset, count_bytes)?;
        let count = self.number(&count);
        if count > MAX_TAGS {
            return Err("one of its directories is damaged".to_owned());
        }
        // `bytes` has seen that these offsets lie in the file.
        let bytes = self.bytes(offset + count_bytes, count * entry_bytes + word)?;
        let (entries, next) = bytes.split_at((count * entry_bytes) as usize);
        let entry = |bytes: &[u8]| Entry {
            tag: self.number(&bytes[..2]) as u16,
            kind: self.number(&bytes[2..4]) as u16,
            count: self.number(&bytes[4..bytes.len() - word as usize]),
            value: bytes[bytes.len() - word as usize..].to_vec(),
        };
        let entries = entries.chunks_exact(entry_bytes as usize).map(entry).collect();
        Ok(Directory { entries, next: self.number(next) })
    }

    /// The bytes of a tag's first `count` values.
    fn values(&mut self, entry: &Entry, count: u64) -> Result<Vec<u8>, String> {
        let damaged = || format!("its tag {} is damaged", entry.tag);
        let bytes_each = entry.bytes_each();
        if bytes_each == 0 || entry.count < count || count == 0 {
            return Err(damaged());
        }
        let whole = entry.count.checked_mul(bytes_each).ok_or_else(damaged)?;
        let wanted = count * bytes_each;
        if whole as usize <= entry.value.len() {
            return Ok(entry.value[..wanted as usize].to_vec());
        }
        let offset = self.number(&entry.value);
        self.bytes(offset, wanted)
    }

    /// The first `count` values of a tag of unsigned whole numbers.
    ///
    /// # Errors
    /// In words, when it has fewer, others, or points beyond the file's end.
    pub fn numbers(&mut self, entry: &Entry, count: u64) -> Result<Vec<u64>, String> {
        if !matches!(entry.kind, 1 | 3 | 4 | 7 | 13 | 16 | 18) {
            return Err(format!("its tag {} is damaged", entry.tag));
        }
        let bytes = self.values(entry, count)?;
        Ok(bytes.chunks_exact(entry.bytes_each() as usize).map(|bytes| self.number(bytes)).collect())
    }

    /// The value of the tag `tag` as an unsigned whole number, or `default` where the tag is missing. As libtiff does it,
    /// a tag that has several values where there can be one counts as missing, but for the compression.
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn one(&mut self, directory: &Directory, tag: u16, default: u64) -> Result<u64, String> {
        match directory.find(tag) {
            Some(entry) if entry.count == 1 || tag == tag::COMPRESSION => Ok(self.numbers(entry, 1)?[0]),
            _ => Ok(default),
        }
    }

    /// The first value of a tag of fractions (RATIONAL); may be nonsense.
    pub fn fraction(&mut self, entry: &Entry) -> Option<f64> {
        let bytes = self.values(entry, 1).ok().filter(|_| entry.kind == 5)?;
        let (numerator, denominator) = bytes.split_at(4);
        Some(self.number(numerator) as f64 / self.number(denominator) as f64)
    }

    /// The text of a tag up to its first zero byte. Bytes that are no UTF-8 are taken for Latin-1. `None` for what
    /// is no text, lies elsewhere or is longer than any text has a reason to be.
    pub fn text(&mut self, entry: &Entry) -> Option<String> {
        if !matches!(entry.kind, 1 | 2 | 7) || entry.count > LONGEST_TEXT {
            return None;
        }
        let mut bytes = self.values(entry, entry.count).ok()?;
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        Some(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect()),
        )
    }

    /// All bytes of a tag that has at most `most`.
    ///
    /// # Errors
    /// In words, when it has more or does not lie in the file.
    pub fn blob(&mut self, entry: &Entry, most: u64) -> Result<Vec<u8>, String> {
        if entry.count > most || entry.bytes_each() != 1 {
            return Err(format!("its tag {} is damaged", entry.tag));
        }
        self.values(entry, entry.count)
    }
}
