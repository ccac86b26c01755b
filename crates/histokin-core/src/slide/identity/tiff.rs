//! The structure of a TIFF file, classic or BigTIFF, in either byte order: all directories, with the values
//! that they contain and refer to.

use std::collections::HashSet;
use std::io::{Read, Seek};

use sha2::{Digest, Sha256};

/// Maximum number of directories that are read, including sub-directories.
const MAX_DIRECTORIES: usize = 512;

/// Maximum number of bytes of values outside of directories that are read in total.
const MAX_VALUE_BYTES: u64 = 64 << 20;

/// Number of different lengths of tiles or strips above which they distinguish a file from others.
/// Uncompressed tiles and strips have one length, or two with a shorter strip at the end.
const DIFFERENT_LENGTHS: usize = 8;

/// Largest file with 32-bit offsets.
const CLASSIC_LIMIT: u64 = u32::MAX as u64;

const COMPRESSION: u16 = 259;
const STRIP_BYTE_COUNTS: u16 = 279;
const TILE_BYTE_COUNTS: u16 = 325;
const SUB_DIRECTORIES: u16 = 330;

/// The properties that distinguish a TIFF file from others.
pub(super) struct Structure {
    /// SHA-256 of all directories and values, with their offsets.
    pub digest: [u8; 32],
    /// Whether tiles or strips differ in length.
    pub identifies_slide: bool,
    /// Whether any directory states a compression.
    pub is_compressed: bool,
}

/// Reads the structure of `file`, which has `size` bytes. `None` if it is not a TIFF file, or if it has more
/// than 4 GiB with 32-bit offsets, which are then not valid as written (NDPI).
pub(super) fn structure<F: Read + Seek>(file: &mut F, size: u64) -> Option<Structure> {
    let layout = Layout::of(&super::read(file, 0, 16).ok()?)?;
    if !layout.is_big && size > CLASSIC_LIMIT {
        return None;
    }
    let mut walk = Walk {
        file,
        size,
        layout,
        hash: Sha256::new(),
        value_bytes_left: MAX_VALUE_BYTES,
        max_lengths: 0,
        is_compressed: false,
    };
    let mut waiting = vec![layout.first];
    let mut seen = HashSet::new();
    while let Some(offset) = waiting.pop() {
        if offset == 0 || offset >= size || seen.len() >= MAX_DIRECTORIES || !seen.insert(offset) {
            continue;
        }
        // A directory that cannot be read ends this branch; the rest of the file is sampled regardless.
        if let Some(next) = walk.directory(offset) {
            waiting.extend(next.into_iter().rev());
        }
    }
    let identifies_slide = walk.max_lengths >= DIFFERENT_LENGTHS;
    Some(Structure {
        digest: walk.hash.finalize().into(),
        identifies_slide,
        is_compressed: walk.is_compressed,
    })
}

/// How numbers are written, and the offset of the first directory.
#[derive(Debug, Clone, Copy)]
struct Layout {
    is_little: bool,
    is_big: bool,
    first: u64,
}

impl Layout {
    fn of(header: &[u8]) -> Option<Self> {
        let is_little = match header.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let layout = Self { is_little, is_big: false, first: 0 };
        match layout.number(header.get(2..4)?) {
            42 => Some(Self { first: layout.number(header.get(4..8)?), ..layout }),
            43 => Some(Self { is_big: true, first: layout.number(header.get(8..16)?), ..layout }),
            _ => None,
        }
    }

    /// Decodes an unsigned number of up to eight bytes.
    fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    /// Sizes in bytes of: the number of entries, an entry, the value in an entry.
    fn sizes(self) -> (u64, u64, usize) {
        if self.is_big { (8, 20, 8) } else { (2, 12, 4) }
    }
}

struct Walk<'a, F> {
    file: &'a mut F,
    size: u64,
    layout: Layout,
    hash: Sha256,
    value_bytes_left: u64,
    /// The largest number of different lengths of tiles or strips in one directory.
    max_lengths: usize,
    is_compressed: bool,
}

impl<F: Read + Seek> Walk<'_, F> {
    /// Hashes the directory at `offset`; returns the offsets of the directories that it refers to, in order.
    fn directory(&mut self, offset: u64) -> Option<Vec<u64>> {
        let (count_bytes, entry_bytes, value_bytes) = self.layout.sizes();
        let count = self.layout.number(&self.bytes(offset, count_bytes)?);
        let count = count.min(u64::from(u16::MAX));
        let entries = self.bytes(offset + count_bytes, count * entry_bytes + value_bytes as u64)?;
        let (entries, next) = entries.split_at_checked((count * entry_bytes) as usize)?;
        self.hash.update(offset.to_le_bytes());
        self.hash.update(count.to_le_bytes());
        self.hash.update(entries);
        let mut following = Vec::new();
        for entry in entries.chunks_exact(entry_bytes as usize) {
            following.extend(self.entry(entry, value_bytes));
        }
        following.push(self.layout.number(next));
        Some(following)
    }

    /// Hashes the values that an entry refers to; returns the offsets of directories among them.
    fn entry(&mut self, entry: &[u8], value_bytes: usize) -> Vec<u64> {
        let layout = self.layout;
        let (tag, kind) = (layout.number(&entry[..2]) as u16, layout.number(&entry[2..4]));
        let (count, value) = entry[4..].split_at(value_bytes);
        let each: u64 = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => return Vec::new(),
        };
        let length = layout.number(count).saturating_mul(each);
        let far;
        let value = if length <= value_bytes as u64 {
            &value[..length as usize]
        } else {
            let offset = layout.number(value);
            let length = length.min(self.size.saturating_sub(offset)).min(self.value_bytes_left);
            self.value_bytes_left -= length;
            let Some(bytes) = self.bytes(offset, length) else { return Vec::new() };
            self.hash.update(length.to_le_bytes());
            self.hash.update(&bytes);
            far = bytes;
            &far
        };
        let numbers = || value.chunks_exact(each as usize).map(move |bytes| layout.number(bytes));
        match tag {
            COMPRESSION => self.is_compressed |= numbers().next().is_some_and(|number| number > 1),
            STRIP_BYTE_COUNTS | TILE_BYTE_COUNTS => {
                let mut lengths = HashSet::new();
                numbers()
                    .take_while(|length| lengths.insert(*length) || lengths.len() < 2 * DIFFERENT_LENGTHS)
                    .count();
                self.max_lengths = self.max_lengths.max(lengths.len());
            }
            SUB_DIRECTORIES => return numbers().take(MAX_DIRECTORIES).collect(),
            _ => {}
        }
        Vec::new()
    }

    /// Reads exactly these bytes of the file.
    fn bytes(&mut self, offset: u64, length: u64) -> Option<Vec<u8>> {
        if offset.checked_add(length)? > self.size {
            return None;
        }
        super::read(self.file, offset, length).ok().filter(|bytes| bytes.len() as u64 == length)
    }
}
