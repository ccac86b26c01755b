//! Reading of the directories of TIFF and BigTIFF files.
//!
//! Only tags are read here, no pixels. File contents are untrusted: before memory is allocated for a value,
//! its offset and length are checked against the size of the file.
//!
//! TIFF 6.0: <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>; BigTIFF:
//! <https://libtiff.gitlab.io/libtiff/specification/bigtiff.html>.

use std::io::{Read, Seek, SeekFrom};

/// Maximum number of tags of one directory; slides have about thirty.
const MAX_TAGS: u64 = 4096;

/// Longest text in bytes that is read; the OME-XML of a file with thousands of planes has a few MiB.
const MAX_TEXT_BYTES: u64 = 16 << 20;

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

/// A TIFF file, and how its numbers are written.
pub(in crate::slide) struct Tiff<R> {
    source: R,
    /// Size of the file in bytes.
    pub size: u64,
    /// Whether numbers begin with their highest byte.
    pub is_big_endian: bool,
    /// Whether it is a BigTIFF, with 8-byte offsets and counts.
    is_big: bool,
}

/// A directory: the tags of one image.
#[derive(Debug, Default)]
pub(in crate::slide) struct Directory {
    /// The tags, in the order of the file.
    pub entries: Vec<Entry>,
    /// Offset of the next directory; 0 after the last.
    pub next: u64,
}

/// A tag. Its value is in the entry itself if it fits, otherwise at the offset in the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::slide) struct Entry {
    /// Number of the tag, see [`tag`].
    pub tag: u16,
    /// TIFF's number for the type of the values.
    pub kind: u16,
    /// Number of values.
    pub count: u64,
    /// 4 bytes, or 8 in BigTIFF; all values of an entry that is not in a file.
    value: Vec<u8>,
}

impl Directory {
    /// Returns the entry of a tag, if the directory has it.
    pub fn find(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

impl Entry {
    /// An entry with one number of eight bytes (LONG8), which `tiff` can read.
    pub fn of_number<R>(tag: u16, number: u64, tiff: &Tiff<R>) -> Self {
        let value = if tiff.is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        Self { tag, kind: 16, count: 1, value: value.to_vec() }
    }

    /// An entry with numbers of eight bytes, which a file [without directories](Tiff::without_directories) can read.
    pub fn of_numbers(tag: u16, numbers: impl Iterator<Item = u64>) -> Self {
        let value: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        Self { tag, kind: 16, count: value.len() as u64 / 8, value }
    }

    /// An entry with bytes.
    pub fn of_bytes(tag: u16, bytes: Vec<u8>) -> Self {
        Self { tag, kind: 7, count: bytes.len() as u64, value: bytes }
    }

    /// Bytes per value; 0 for undefined types.
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
    /// Reads the header; also returns the offset of the first directory.
    ///
    /// # Errors
    /// A message, when the file is not a TIFF file.
    pub fn begin(mut source: R) -> Result<(Self, u64), String> {
        let size = source.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
        let mut tiff = Self { source, size, is_big_endian: false, is_big: false };
        let magic = tiff.bytes(0, 4)?;
        tiff.is_big_endian = match &magic[..2] {
            b"II" => false,
            b"MM" => true,
            _ => return Err("it is not a TIFF file".to_owned()),
        };
        match tiff.number(&magic[2..]) {
            42 => {}
            43 => tiff.is_big = true,
            _ => return Err("it is not a TIFF file".to_owned()),
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

    /// A file of `size` bytes in another format, whose images are described without directories.
    pub fn without_directories(source: R, size: u64) -> Self {
        Self { source, size, is_big_endian: false, is_big: false }
    }

    /// Reads `count` bytes at `offset`; allocates memory only if they are within the file.
    ///
    /// # Errors
    /// A message, when they are not, or cannot be read.
    pub fn bytes(&mut self, offset: u64, count: u64) -> Result<Vec<u8>, String> {
        if offset.checked_add(count).is_none_or(|end| end > self.size) {
            return Err("it contains an offset beyond its end".to_owned());
        }
        let mut bytes = vec![0; count as usize];
        let read = self.source.seek(SeekFrom::Start(offset)).and_then(|_| self.source.read_exact(&mut bytes));
        read.map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// Decodes an unsigned number of at most 8 bytes.
    fn number(&self, bytes: &[u8]) -> u64 {
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
    }

    /// Reads the directory at `offset`.
    ///
    /// # Errors
    /// A message, when it is not within the file.
    pub fn directory(&mut self, offset: u64) -> Result<Directory, String> {
        let (count_bytes, entry_bytes, word) = if self.is_big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.bytes(offset, count_bytes)?;
        let count = self.number(&count);
        if count > MAX_TAGS {
            return Err("one of its directories is damaged".to_owned());
        }
        // `bytes` has checked that these offsets are within the file.
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

    /// Reads the bytes of a tag's first `count` values.
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

    /// Reads the first `count` values of a tag with integers that are not negative, of signed types too, as libtiff does.
    ///
    /// # Errors
    /// A message, when it has fewer values, other values, or an offset beyond the end of the file.
    pub fn numbers(&mut self, entry: &Entry, count: u64) -> Result<Vec<u64>, String> {
        let damaged = || format!("its tag {} is damaged", entry.tag);
        let is_signed = match entry.kind {
            1 | 3 | 4 | 7 | 13 | 16 | 18 => false,
            6 | 8 | 9 | 17 => true,
            _ => return Err(damaged()),
        };
        let bytes = self.values(entry, count)?;
        let highest_bit = 8 * entry.bytes_each() - 1;
        let number = |bytes| match self.number(bytes) {
            number if is_signed && number >> highest_bit == 1 => Err(damaged()),
            number => Ok(number),
        };
        bytes.chunks_exact(entry.bytes_each() as usize).map(number).collect()
    }

    /// Reads the value of the tag `tag` as an unsigned integer, or returns `default` if the tag is missing.
    /// As in libtiff, a tag with several values where one is expected counts as missing, except for the
    /// compression.
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn one(&mut self, directory: &Directory, tag: u16, default: u64) -> Result<u64, String> {
        match directory.find(tag) {
            Some(entry) if entry.count == 1 || tag == tag::COMPRESSION => Ok(self.numbers(entry, 1)?[0]),
            _ => Ok(default),
        }
    }

    /// Reads the first value of a tag with fractions (RATIONAL, or the types that libtiff reads in its place: SRATIONAL,
    /// FLOAT, DOUBLE); may be invalid (not finite).
    pub fn fraction(&mut self, entry: &Entry) -> Option<f64> {
        let bytes = self.values(entry, 1).ok()?;
        let half = |start: usize| self.number(&bytes[start..start + 4]) as u32;
        let signed = |start: usize| f64::from(half(start).cast_signed());
        match entry.kind {
            5 => Some(f64::from(half(0)) / f64::from(half(4))),
            10 => Some(signed(0) / signed(4)),
            11 => Some(f32::from_bits(half(0)).into()),
            12 => Some(f64::from_bits(self.number(&bytes))),
            _ => None,
        }
    }

    /// Reads the text of a tag up to its first zero byte. Bytes that are not valid UTF-8 are read as Latin-1.
    /// `None` if it is not a text, is not within the file or is longer than [`MAX_TEXT_BYTES`].
    pub fn text(&mut self, entry: &Entry) -> Option<String> {
        if !matches!(entry.kind, 1 | 2 | 7) || entry.count > MAX_TEXT_BYTES {
            return None;
        }
        let mut bytes = self.values(entry, entry.count).ok()?;
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        Some(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect()),
        )
    }

    /// Reads all bytes of a tag that has at most `limit`.
    ///
    /// # Errors
    /// A message, when it has more bytes or is not within the file.
    pub fn blob(&mut self, entry: &Entry, limit: u64) -> Result<Vec<u8>, String> {
        if entry.count > limit || entry.bytes_each() != 1 {
            return Err(format!("its tag {} is damaged", entry.tag));
        }
        self.values(entry, entry.count)
    }
}
