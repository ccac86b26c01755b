//! Finds the tiles of one level of a DICOM slide that are stored as JPEGs.
//!
//! Each tile is a frame of the level's instance. If the instance is `TILED_FULL`, frames are in the order of their
//! places, row by row (DICOM PS3.3, C.7.6.17.3). The bytes of frames are the items of the pixel data, which follow a
//! table of offsets that may be empty (PS3.5, A.4); newer instances have a table in an element before the pixel data.

use std::io::{Read, Seek, SeekFrom};

use super::super::tiff::jpeg::Components;
use super::super::tiff::raster::Location;
use super::super::tile_grid::TileGrid;
use super::elements::{END_OF_SEQUENCE, ITEM, Tag};
use super::header::Header;

/// Transfer syntax of baseline JPEGs of 8 bits.
const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";

/// Bytes of an item's tag and length.
const ITEM_HEADER: u64 = 8;
/// Fewest bytes of a frame: a JPEG with its tables has more than twice as many.
const LEAST_BYTES: u64 = 64;

/// Bytes that a frame may take for each pixel, beyond those for tables.
const MOST_BYTES_PER_PIXEL: u64 = 6;
const MOST_BYTES_OF_TABLES: u64 = 1 << 16;

/// The tiles of a level.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::slide) struct Frames {
    pub grid: TileGrid,
    /// Meaning of the samples.
    pub components: Components,
    /// The item of each tile, with its header.
    items: Vec<Location>,
}

impl Frames {
    /// Reads where the tiles of an instance of `size` bytes with this header are.
    ///
    /// # Errors
    /// A message, when it does not hold a level in plain JPEG tiles, or is damaged.
    pub fn of(header: &Header, mut source: impl Read + Seek, size: u64) -> Result<Self, String> {
        if header.syntax != JPEG_BASELINE {
            return Err("its tiles are not baseline JPEGs".to_owned());
        }
        if let Some(damage) = &header.damage {
            return Err(format!("its elements are damaged: {damage}"));
        }
        let fragments = header.fragments.ok_or("its tiles are not stored one after the other in one file")?;
        let (grid, components) = layout(header)?;
        let offsets = match header.offset_table {
            Some((start, length)) => {
                source.seek(SeekFrom::Start(start)).map_err(|error| error.to_string())?;
                Some(extended_offsets(&mut source, length, header.frames, size)?)
            }
            None => None,
        };
        source.seek(SeekFrom::Start(fragments)).map_err(|error| error.to_string())?;
        let items = items(&mut source, header.frames, offsets, size)?;
        Ok(Self { grid, components, items })
    }

    /// Number of bytes of a tile.
    pub fn stored_bytes(&self, tile: usize) -> u64 {
        self.items[tile].length - ITEM_HEADER
    }

    /// Reads the JPEG stream of a tile.
    ///
    /// # Errors
    /// A message, when it is divided into several items, damaged, or cannot be read.
    pub fn stream(&self, file: &mut (impl Read + Seek), tile: usize) -> Result<Vec<u8>, String> {
        let item = self.items[tile];
        let pixels = u64::from(self.grid.tile_width) * u64::from(self.grid.tile_height);
        if item.length > MOST_BYTES_PER_PIXEL.saturating_mul(pixels).saturating_add(MOST_BYTES_OF_TABLES) {
            return Err("one of its tiles has more bytes than its pixels need".to_owned());
        }
        file.seek(SeekFrom::Start(item.offset)).map_err(|error| error.to_string())?;
        if item_length(file)? != item.length - ITEM_HEADER {
            return Err("one of its tiles is stored in several parts".to_owned());
        }
        let mut bytes = vec![0; (item.length - ITEM_HEADER) as usize];
        file.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

/// Returns the grid of tiles and the meaning of their samples.
fn layout(header: &Header) -> Result<(TileGrid, Components), String> {
    let components = match header.photometric.as_str() {
        "YBR_FULL_422" => Components::YCbCr,
        "RGB" => Components::Rgb,
        _ => return Err("its samples are neither RGB nor YCbCr".to_owned()),
    };
    let is_full = header.organization == "TILED_FULL" && header.focal_planes.unwrap_or(1) == 1;
    if !header.is_volume() || !is_full || header.samples != 3 {
        return Err("it is not a level in a full grid of colour tiles".to_owned());
    }
    let ((width, height), (tile_width, tile_height)) = (header.level, header.tile);
    if [width, height, tile_width, tile_height].contains(&0) {
        return Err("it does not state its size".to_owned());
    }
    let grid = TileGrid { width, height, tile_width, tile_height };
    // Several optical paths have more.
    if u64::from(width.div_ceil(tile_width)) * u64::from(height.div_ceil(tile_height)) != header.frames as u64
    {
        return Err("it does not have one frame for each tile".to_owned());
    }
    Ok((grid, components))
}

/// Reads the table of offsets before the pixel data, of `length` bytes.
pub(in crate::slide) fn extended_offsets(
    source: &mut impl Read,
    length: u32,
    frames: usize,
    size: u64,
) -> Result<Vec<u64>, String> {
    if u64::from(length) > most_frames(size).min(frames as u64) * 8 {
        return Err("its table of offsets has more entries than frames".to_owned());
    }
    let mut bytes = vec![0; length as usize];
    source.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.as_chunks().0.iter().map(|offset| u64::from_le_bytes(*offset)).collect())
}

/// Maximum number of frames that an instance of `size` bytes can contain.
fn most_frames(size: u64) -> u64 {
    size / (ITEM_HEADER + LEAST_BYTES)
}

/// Finds the items of the pixel data, at whose beginning `source` is.
pub(in crate::slide) fn items(
    source: &mut (impl Read + Seek),
    frames: usize,
    offsets: Option<Vec<u64>>,
    size: u64,
) -> Result<Vec<Location>, String> {
    let damaged = |error: std::io::Error| format!("its tiles cannot be found: {error}");
    if frames as u64 > most_frames(size) {
        return Err("it lists more tiles than it can contain".to_owned());
    }
    let table_bytes = item_length(source)?;
    let offsets = match offsets {
        Some(offsets) => {
            source.seek_relative(table_bytes as i64).map_err(damaged)?;
            Some(offsets)
        }
        None if table_bytes == 0 => None,
        None if table_bytes == frames as u64 * 4 => {
            let mut table = vec![0; table_bytes as usize];
            source.read_exact(&mut table).map_err(damaged)?;
            Some(table.as_chunks().0.iter().map(|offset| u64::from(u32::from_le_bytes(*offset))).collect())
        }
        None => return Err("its table of offsets is damaged".to_owned()),
    };
    let first = source.stream_position().map_err(damaged)?;
    match offsets {
        Some(offsets) => items_at(source, first, &offsets, frames, size),
        None => items_in_turn(source, first, frames, size),
    }
}

/// Finds the items by their offsets from the first one, of which each extends to the next.
fn items_at(
    source: &mut (impl Read + Seek),
    first: u64,
    offsets: &[u64],
    frames: usize,
    size: u64,
) -> Result<Vec<Location>, String> {
    let damaged = "its table of offsets is damaged";
    let starts: Option<Vec<u64>> = offsets.iter().map(|offset| first.checked_add(*offset)).collect();
    let starts = starts.filter(|starts| starts.len() == frames).ok_or(damaged)?;
    let last = *starts.last().ok_or(damaged)?;
    source.seek(SeekFrom::Start(last)).map_err(|error| error.to_string())?;
    let length = item_length(source)?;
    let end = last + ITEM_HEADER + length;
    if end > size {
        return Err(damaged.to_owned());
    }
    let ends = starts.iter().skip(1).copied().chain([end]);
    let locations = starts.iter().zip(ends).map(|(start, end)| {
        let length = end.checked_sub(*start).filter(|length| *length >= ITEM_HEADER)?;
        Some(Location { offset: *start, length })
    });
    locations.collect::<Option<_>>().ok_or_else(|| damaged.to_owned())
}

/// Finds the items one after the other, each of which holds a whole frame.
fn items_in_turn(
    source: &mut (impl Read + Seek),
    first: u64,
    frames: usize,
    size: u64,
) -> Result<Vec<Location>, String> {
    let mut offset = first;
    // It grows with what is found: the file may have far fewer items than it states frames.
    let mut items = Vec::new();
    for _ in 0..frames {
        let length = ITEM_HEADER + item_length(source)?;
        items.push(Location { offset, length });
        offset += length;
        if offset > size {
            return Err("one of its tiles is beyond the end of the file: the file is truncated".to_owned());
        }
        source.seek_relative((length - ITEM_HEADER) as i64).map_err(|error| error.to_string())?;
    }
    match header(source)? {
        (END_OF_SEQUENCE, _) => Ok(items),
        _ => Err("its tiles are stored in several parts".to_owned()),
    }
}

/// Reads the header of an item; returns the length of its value in bytes.
pub(in crate::slide) fn item_length(source: &mut impl Read) -> Result<u64, String> {
    match header(source)? {
        (ITEM, length) if length != u32::MAX => Ok(length.into()),
        _ => Err("its tiles are damaged".to_owned()),
    }
}

fn header(source: &mut impl Read) -> Result<(Tag, u32), String> {
    let mut bytes = [0; ITEM_HEADER as usize];
    source.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    let [g0, g1, e0, e1, length @ ..] = bytes;
    Ok(((u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1])), u32::from_le_bytes(length)))
}

#[cfg(test)]
mod tests {
    use super::super::elements::has_prefix;
    use super::super::made::{MadeDicom, Table};
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn of(bytes: &[u8]) -> Result<Frames, String> {
        of_size(bytes, bytes.len() as u64)
    }

    fn of_size(bytes: &[u8], size: u64) -> Result<Frames, String> {
        let mut source = Cursor::new(bytes);
        if !has_prefix(&mut source) {
            return Err("it is not a DICOM file".to_owned());
        }
        let header = Header::read(&mut source);
        Frames::of(&header, source, size)
    }

    #[test]
    fn tiles_are_found_with_and_without_a_table() {
        for table in [Table::None, Table::Basic, Table::Extended] {
            let made = MadeDicom { table, ..MadeDicom::default() };
            let bytes = made.bytes();
            let frames = of(&bytes).unwrap();
            assert_eq!(
                frames.grid,
                TileGrid { width: made.width, height: made.height, tile_width: 48, tile_height: 48 }
            );
            assert_eq!(frames.components, Components::YCbCr);
            for (number, tile) in made.tiles().iter().enumerate() {
                assert!(frames.stream(&mut Cursor::new(&bytes), number).unwrap() == *tile, "{table:?}");
                assert_eq!(frames.stored_bytes(number), tile.len() as u64);
            }
        }
    }

    #[test]
    fn other_layouts_are_refused() {
        let made = MadeDicom::default;
        for (other, reason) in [
            (MadeDicom { organization: "TILED_SPARSE", ..made() }, "full grid"),
            (MadeDicom { kind: r"ORIGINAL\PRIMARY\LABEL\NONE", ..made() }, "full grid"),
            (MadeDicom { photometric: "MONOCHROME2", ..made() }, "RGB"),
            (MadeDicom { is_divided: true, ..made() }, "several parts"),
        ] {
            let message = of(&other.bytes()).unwrap_err();
            assert!(message.contains(reason), "{message}");
        }
        // With a table it is noticed when the tile is read.
        let divided = MadeDicom { is_divided: true, table: Table::Basic, ..made() };
        let bytes = divided.bytes();
        let message = of(&bytes).unwrap().stream(&mut Cursor::new(&bytes), 0).unwrap_err();
        assert!(message.contains("several parts"), "{message}");
        let cut = made().bytes();
        for length in (0..cut.len() - 8).step_by(7) {
            assert!(of(&cut[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_table_takes_no_more_memory_than_the_frames_need() {
        let mut bytes = MadeDicom { table: Table::Extended, ..MadeDicom::default() }.bytes();
        let head = b"\xe0\x7f\x01\0OV\0\0";
        let at = bytes.windows(head.len()).position(|part| part == head).unwrap() + head.len();
        bytes[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
        // As large as a sparse file may be.
        let message = of_size(&bytes, 1 << 40).unwrap_err();
        assert!(message.contains("damaged"), "it ends before its table does: {message}");
        let message = extended_offsets(&mut std::io::empty(), 0xffff_fff0, 1000, 1 << 40).unwrap_err();
        assert!(message.contains("more entries than frames"), "refused before it is read: {message}");
        assert!(extended_offsets(&mut [0; 16].as_slice(), 16, 2, 1 << 40).is_ok());
    }

    proptest! {
        #[test]
        fn damaged_files_are_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            table in prop::sample::select(vec![Table::None, Table::Basic, Table::Extended]),
        ) {
            let mut bytes = MadeDicom { table, ..MadeDicom::default() }.bytes();
            for (position, byte) in changes {
                let at = position.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(frames) = of(&bytes) {
                for tile in 0..frames.grid.tiles() {
                    let _ = frames.stream(&mut Cursor::new(&bytes), tile);
                }
            }
        }
    }
}
