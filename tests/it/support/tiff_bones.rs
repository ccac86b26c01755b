//! The bones of a classic TIFF file: where its directories, tags and values lie, so that tests can break one at
//! a time.

use std::ops::Range;

pub mod tag {
    pub const IMAGE_WIDTH: u16 = 256;
    pub const IMAGE_LENGTH: u16 = 257;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const DESCRIPTION: u16 = 270;
    pub const SAMPLES_PER_PIXEL: u16 = 277;
    pub const X_RESOLUTION: u16 = 282;
    pub const Y_RESOLUTION: u16 = 283;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_LENGTH: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_BYTE_COUNTS: u16 = 325;
    pub const JPEG_TABLES: u16 = 347;
}

pub struct Field {
    pub tag: u16,
    /// Where its twelve bytes begin.
    pub entry: usize,
    /// Where its values lie.
    pub values: Range<usize>,
    pub bytes_each: usize,
}

pub struct Directory {
    pub start: usize,
    /// Where the offset of the next directory stands.
    pub next: usize,
    pub fields: Vec<Field>,
}

impl Directory {
    pub fn field(&self, tag: u16) -> Option<&Field> {
        self.fields.iter().find(|field| field.tag == tag)
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The directories of a sound little-endian classic TIFF file.
pub fn directories(file: &[u8]) -> Vec<Directory> {
    assert_eq!(file[..4], *b"II*\0", "a little-endian classic TIFF");
    let mut found = Vec::new();
    let mut start = number(&file[4..8]);
    while start != 0 {
        let count = number(&file[start..start + 2]);
        let field = |index: usize| {
            let entry = start + 2 + 12 * index;
            let kind = number(&file[entry + 2..entry + 4]);
            let bytes_each = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8][kind];
            let length = number(&file[entry + 4..entry + 8]) * bytes_each;
            let at = if length <= 4 { entry + 8 } else { number(&file[entry + 8..entry + 12]) };
            Field { tag: number(&file[entry..entry + 2]) as u16, entry, values: at..at + length, bytes_each }
        };
        let fields = (0..count).map(field).collect();
        let next = start + 2 + 12 * count;
        found.push(Directory { start, next, fields });
        start = number(&file[next..next + 4]);
    }
    found
}

/// Write `value` over the number at `place`.
pub fn put(file: &mut [u8], place: usize, bytes: usize, value: u64) {
    file[place..place + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
}
