//! Where the JPEG tiles of a TIFF or BigTIFF file lie, from the few tags that say so.
//!
//! The `tiff` crate, which reads TIFF elsewhere, refuses images of more than 32,768 tiles as too large; whole
//! slides have hundreds of thousands. This reads tags only, never pixels, and believes nothing: an offset
//! must lie in the file, and what it points at must fit into the file, before any memory is taken for it.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

/// Colours that a tile's three components stand for (TIFF's photometric interpretation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TileColors {
    Rgb,
    YCbCr,
}

/// One image of a TIFF file whose tiles are baseline JPEGs of three 8-bit components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TiledImage {
    pub width: u32,
    pub height: u32,
    pub tile_width: u32,
    pub tile_height: u32,
    pub colors: TileColors,
    /// The JPEG stream of tables that all tiles share; empty when each tile has its own.
    pub tables: Vec<u8>,
    /// Row by row; never empty.
    pub tiles: Vec<TilePlace>,
}

/// Where the bytes of a tile lie. They may reach beyond the file's end: reading tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TilePlace {
    pub offset: u64,
    /// 0 for a tile that the scanner left out.
    pub length: u32,
}

impl TiledImage {
    /// Tiles in a row.
    pub(super) fn columns(&self) -> u32 {
        self.width.div_ceil(self.tile_width)
    }
}

/// Directories of one file that are followed; slides have a dozen.
const MAX_DIRECTORIES: usize = 256;
/// Tags of one directory; slides have thirty.
const MAX_TAGS: u64 = 4096;
/// Longest edge of a tile in pixels; slides have 240 to 2048.
const MAX_TILE_EDGE: u64 = 4096;
/// Bytes that a tile takes in its directory at least: an offset and a length.
const MIN_TILE_ENTRY: u64 = 5;
/// Bytes of shared JPEG tables; four of each kind are below 4 KiB.
const MAX_TABLES: u64 = 1 << 16;

mod tag {
    pub(super) const IMAGE_WIDTH: u16 = 256;
    pub(super) const IMAGE_LENGTH: u16 = 257;
    pub(super) const BITS_PER_SAMPLE: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_LENGTH: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const IMAGE_DEPTH: u16 = 32997;
}

/// The images of `source` that are tiled JPEGs, in the file's order; others are passed over.
///
/// # Errors
/// In words, when the file is no TIFF or its directories are damaged.
pub(super) fn tiled_jpegs(source: impl Read + Seek) -> Result<Vec<TiledImage>, String> {
    let (mut tiff, mut next) = Tiff::begin(source)?;
    let mut seen = HashSet::new();
    let mut images: Vec<TiledImage> = Vec::new();
    while next != 0 {
        if !seen.insert(next) || seen.len() > MAX_DIRECTORIES {
            return Err("its directories have no end".to_owned());
        }
        let directory = tiff.directory(next)?;
        images.extend(tiff.tiled_jpeg(&directory.entries)?);
        // Directories of a damaged file may share their lists of tiles; memory would be taken for each.
        let tiles: usize = images.iter().map(|image| image.tiles.len()).sum();
        if tiles as u64 * MIN_TILE_ENTRY > tiff.size {
            return Err("it names more tiles than it can hold".to_owned());
        }
        next = directory.next;
    }
    Ok(images)
}

/// A file, and how its numbers are written.
struct Tiff<R> {
    source: R,
    size: u64,
    is_big_endian: bool,
    /// BigTIFF: offsets and counts are of 8 bytes.
    is_big: bool,
}

struct Directory {
    entries: Vec<Entry>,
    /// Offset of the directory after this one; 0 after the last.
    next: u64,
}

/// One tag. Its value stands in the entry itself if it fits, else where the entry points to.
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// 4 bytes, or 8 in BigTIFF.
    value: Vec<u8>,
}

impl<R: Read + Seek> Tiff<R> {
    /// Read the header; the offset of the first directory is answered.
    fn begin(mut source: R) -> Result<(Self, u64), String> {
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

    fn directory(&mut self, offset: u64) -> Result<Directory, String> {
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

    /// The image that a directory describes, if it is one of JPEG tiles.
    fn tiled_jpeg(&mut self, entries: &[Entry]) -> Result<Option<TiledImage>, String> {
        let find = |tag| entries.iter().find(|entry| entry.tag == tag);
        let Some(tile_width) = find(tag::TILE_WIDTH) else { return Ok(None) };
        let mut one = |tag, default| match find(tag) {
            Some(entry) => Ok::<u64, String>(self.numbers(entry, 1)?[0]),
            None => Ok(default),
        };
        let is_jpeg = one(tag::COMPRESSION, 1)? == 7;
        let is_plain = one(tag::PLANAR, 1)? == 1 && one(tag::IMAGE_DEPTH, 1)? == 1;
        let has_colors = one(tag::SAMPLES_PER_PIXEL, 1)? == 3;
        let colors = match one(tag::PHOTOMETRIC, 0)? {
            2 => TileColors::Rgb,
            6 => TileColors::YCbCr,
            _ => return Ok(None),
        };
        if !(is_jpeg && is_plain && has_colors) {
            return Ok(None);
        }
        let (width, height) = (one(tag::IMAGE_WIDTH, 0)?, one(tag::IMAGE_LENGTH, 0)?);
        let tile_height = one(tag::TILE_LENGTH, 0)?;
        let tile_width = self.numbers(tile_width, 1)?[0];
        let bits = find(tag::BITS_PER_SAMPLE).map(|entry| self.numbers(entry, 3)).transpose()?;
        let sides = |range: std::ops::RangeInclusive<u64>, a, b| range.contains(&a) && range.contains(&b);
        if bits.is_none_or(|bits| bits != [8, 8, 8])
            || !sides(1..=u64::from(u32::MAX), width, height)
            || !sides(1..=MAX_TILE_EDGE, tile_width, tile_height)
        {
            return Ok(None);
        }
        let tiles = width.div_ceil(tile_width) * height.div_ceil(tile_height);
        let (Some(offsets), Some(lengths)) = (find(tag::TILE_OFFSETS), find(tag::TILE_BYTE_COUNTS)) else {
            return Err("it does not say where its tiles lie".to_owned());
        };
        let (offsets, lengths) = (self.numbers(offsets, tiles)?, self.numbers(lengths, tiles)?);
        let place = |(offset, length)| {
            let length = u32::try_from(length).map_err(|_| "a tile of it is too large".to_owned())?;
            Ok::<_, String>(TilePlace { offset, length })
        };
        let tables = match find(tag::JPEG_TABLES) {
            Some(entry) if entry.count > MAX_TABLES => return Err("its JPEG tables are damaged".to_owned()),
            Some(entry) => self.numbers(entry, entry.count)?.into_iter().map(|byte| byte as u8).collect(),
            None => Vec::new(),
        };
        Ok(Some(TiledImage {
            // All four were compared with u32's range above.
            width: width as u32,
            height: height as u32,
            tile_width: tile_width as u32,
            tile_height: tile_height as u32,
            colors,
            tables,
            tiles: offsets.into_iter().zip(lengths).map(place).collect::<Result<_, _>>()?,
        }))
    }

    /// The `count` unsigned numbers of a tag.
    fn numbers(&mut self, entry: &Entry, count: u64) -> Result<Vec<u64>, String> {
        let bytes_each = match entry.kind {
            1 | 7 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => 0,
        };
        if bytes_each == 0 || entry.count != count || count == 0 {
            return Err(format!("its tag {} is damaged", entry.tag));
        }
        let total = count.saturating_mul(bytes_each);
        let bytes = match entry.value.get(..total as usize) {
            Some(inline) => inline.to_vec(),
            None => {
                let offset = self.number(&entry.value);
                self.bytes(offset, total)?
            }
        };
        Ok(bytes.chunks_exact(bytes_each as usize).map(|bytes| self.number(bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{MadeTiff, tiff_bytes};
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    #[test]
    fn both_byte_orders_and_both_sizes_of_offsets_are_read() {
        for is_big_endian in [false, true] {
            for is_big in [false, true] {
                let made = MadeTiff { is_big_endian, is_big, ..MadeTiff::default() };
                let images = tiled_jpegs(Cursor::new(tiff_bytes(&made))).unwrap();
                assert_eq!(images.len(), 2, "the strip image between the levels is passed over");
                let [fine, coarse] = &images[..] else { unreachable!("two") };
                assert_eq!((fine.width, fine.height, fine.columns()), (made.width, made.height, 3));
                assert_eq!((fine.tile_width, fine.tile_height), (made.tile, made.tile));
                assert_eq!(fine.colors, TileColors::YCbCr);
                assert_eq!((fine.tiles.len(), coarse.tiles.len()), (6, 2));
                let file = tiff_bytes(&made);
                for place in fine.tiles.iter().chain(&coarse.tiles) {
                    assert_eq!(file[place.offset as usize..][..2], [0xff, 0xd8], "a JPEG begins there");
                }
            }
        }
    }

    #[test]
    fn counts_that_no_file_can_hold_take_no_memory() {
        let mut file = tiff_bytes(&MadeTiff { is_big: true, ..MadeTiff::default() });
        let first = u64::from_le_bytes(file[8..16].try_into().unwrap()) as usize;
        file[first..first + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(tiled_jpegs(Cursor::new(&file)).is_err());
        file[8..16].copy_from_slice(&(u64::MAX - 3).to_le_bytes());
        assert!(tiled_jpegs(Cursor::new(&file)).is_err());
    }

    #[test]
    fn directories_in_a_circle_are_refused() {
        let mut file = tiff_bytes(&MadeTiff::default());
        let first = u32::from_le_bytes(file[4..8].try_into().unwrap());
        let tags = u16::from_le_bytes(file[first as usize..][..2].try_into().unwrap());
        let next = first as usize + 2 + 12 * usize::from(tags);
        file[next..next + 4].copy_from_slice(&first.to_le_bytes());
        assert_eq!(tiled_jpegs(Cursor::new(&file)), Err("its directories have no end".to_owned()));
    }

    proptest! {
        /// Whatever is done to a file, it is read or refused, and what is answered has as many tiles as
        /// its size asks for and takes no more memory than the file could fill.
        #[test]
        fn mutated_files_are_read_or_refused(
            is_big in any::<bool>(),
            is_big_endian in any::<bool>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
            length in any::<prop::sample::Index>(),
            cuts in any::<bool>(),
        ) {
            let mut file = tiff_bytes(&MadeTiff { is_big, is_big_endian, ..MadeTiff::default() });
            // Directories come last: changes are to hit them, not the pixels.
            let tail = file.len().saturating_sub(900);
            for (place, byte) in changes {
                let at = if byte % 8 == 0 { place.index(16) } else { tail + place.index(file.len() - tail) };
                file[at] = byte;
            }
            if cuts {
                file.truncate(length.index(file.len()));
            }
            for image in tiled_jpegs(Cursor::new(&file)).unwrap_or_default() {
                let tiles = u64::from(image.columns()) * u64::from(image.height.div_ceil(image.tile_height));
                prop_assert_eq!(image.tiles.len() as u64, tiles);
                prop_assert!(image.tiles.len() <= file.len() && image.tables.len() <= file.len());
            }
        }
    }
}
