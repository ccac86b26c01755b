//! Export of values on a slide's tile grid as a pyramid for slide viewers: a tiled TIFF with several levels,
//! which OpenSlide reads as `generic-tiff`.
//!
//! Each cell of the grid becomes a square of several pixels, since viewers mistake a spacing of 100 µm for a
//! screen resolution. Grey is written as RGBA: with grey plus alpha, libtiff misreads tiles at the right edge
//! when RGBA is requested, as OpenSlide does. The `tiff` crate writes tags and directories but not tiles, so
//! splitting into tiles and compression are done here.

use std::io::{Cursor, Seek, Write};
use std::path::Path;

use tiff::TiffResult;
use tiff::encoder::compression::{CompressionAlgorithm, Deflate};
use tiff::encoder::{Rational, TiffEncoder};
use tiff::tags::{
    CompressionMethod, ExtraSamples, PhotometricInterpretation, PlanarConfiguration, ResolutionUnit, Tag,
};

use super::InterchangeError;
use histokin_core::durable;

/// Maximum spacing of level 0, in µm.
const COARSEST_UM: f64 = 16.0;

/// Edge of a TIFF tile in pixels.
const TILE: u32 = 256;

/// `NewSubfileType` of all levels but the first: a reduced version of another image in the file.
const REDUCED: u32 = 1;

/// One value for each tile of a slide's tile grid, whose origin is the slide's top-left corner.
#[derive(Debug, Clone, Copy)]
pub struct GridValues<'a> {
    /// Columns and rows.
    pub grid: [usize; 2],
    /// Values row by row; 0 for no value.
    pub values: &'a [u8],
    /// Edge of a tile of the grid, in µm.
    pub tile_um: f64,
}

impl GridValues<'_> {
    /// Returns the edge of a cell in level-0 pixels: a power of two, so that cells consist of whole pixels on
    /// coarser levels.
    fn cell_px(&self) -> u32 {
        let least = (self.tile_um / COARSEST_UM).ceil().clamp(1.0, 1024.0);
        (least as u32).next_power_of_two()
    }

    /// Returns the mean value of `cells` × `cells` cells starting at a column and row, ignoring cells without
    /// a value; 0 if none has one.
    fn mean(&self, [column, row]: [usize; 2], cells: usize) -> u8 {
        let [columns, rows] = self.grid;
        let line = |row: usize| &self.values[row * columns..][column..(column + cells).min(columns)];
        let present = || (row..(row + cells).min(rows)).flat_map(line).filter(|value| **value > 0);
        let (sum, count) =
            present().fold((0u64, 0u64), |(sum, count), value| (sum + u64::from(*value), count + 1));
        (sum + count / 2).checked_div(count).unwrap_or(0) as u8
    }
}

/// Writes `map` with the values as grey; cells without a value are transparent. Every level halves the
/// previous one down to a single TIFF tile; a pixel that covers several cells is the mean of those with a
/// value.
///
/// # Errors
/// [`InterchangeError`]; an existing file is left unchanged.
pub fn write_map_tiff(path: &Path, map: GridValues<'_>) -> Result<(), InterchangeError> {
    let mut file = Cursor::new(Vec::new());
    write_levels(&mut file, map)
        .map_err(|error| InterchangeError::Unwritable { path: path.to_owned(), reason: error.to_string() })?;
    durable::write(path, file.get_ref())
        .map_err(|source| InterchangeError::Io { path: path.to_owned(), source })
}

fn write_levels(file: &mut (impl Write + Seek), map: GridValues<'_>) -> TiffResult<()> {
    let mut tiff = TiffEncoder::new(file)?;
    let cell_px = map.cell_px();
    let mut level = 0;
    loop {
        let shrunk = 1u32 << level;
        let [width, height] = map.grid.map(|count| (count as u32 * cell_px).div_ceil(shrunk));
        let pixel_um = map.tile_um / f64::from(cell_px) * f64::from(shrunk);
        let mut directory = tiff.image_directory()?;
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        for top in (0..height).step_by(TILE as usize) {
            for left in (0..width).step_by(TILE as usize) {
                let mut packed = Vec::new();
                Deflate::default().write_to(&mut packed, &tile(map, [left, top], shrunk))?;
                lengths.push(u32::try_from(packed.len())?);
                offsets.push(u32::try_from(directory.write_data(packed.as_slice())?)?);
            }
        }
        directory.write_tag(Tag::NewSubfileType, if level == 0 { 0 } else { REDUCED })?;
        directory.write_tag(Tag::ImageWidth, width)?;
        directory.write_tag(Tag::ImageLength, height)?;
        directory.write_tag(Tag::BitsPerSample, [8u16; 4].as_slice())?;
        directory.write_tag(Tag::Compression, CompressionMethod::Deflate)?;
        directory.write_tag(Tag::PhotometricInterpretation, PhotometricInterpretation::RGB)?;
        directory.write_tag(Tag::SamplesPerPixel, 4u16)?;
        directory.write_tag(Tag::PlanarConfiguration, PlanarConfiguration::Chunky)?;
        directory.write_tag(Tag::ExtraSamples, [ExtraSamples::AssociatedAlpha].as_slice())?;
        let per_cm = pixels_per_cm(pixel_um);
        directory.write_tag(Tag::XResolution, per_cm.clone())?;
        directory.write_tag(Tag::YResolution, per_cm)?;
        directory.write_tag(Tag::ResolutionUnit, ResolutionUnit::Centimeter)?;
        directory.write_tag(Tag::TileWidth, TILE)?;
        directory.write_tag(Tag::TileLength, TILE)?;
        directory.write_tag(Tag::TileOffsets, offsets.as_slice())?;
        directory.write_tag(Tag::TileByteCounts, lengths.as_slice())?;
        directory.finish()?;
        if width.max(height) <= TILE {
            return Ok(());
        }
        level += 1;
    }
}

/// Returns the RGBA pixels of one TIFF tile, given its top-left pixel, on the level with the downsample
/// `shrunk`.
fn tile(map: GridValues<'_>, [left, top]: [u32; 2], shrunk: u32) -> Vec<u8> {
    let cell_px = map.cell_px();
    let cells = (shrunk / cell_px).max(1) as usize;
    let cell = |pixel: u32| (u64::from(pixel) * u64::from(shrunk) / u64::from(cell_px)) as usize;
    let mut pixels = Vec::with_capacity((4 * TILE * TILE) as usize);
    for row in (top..top + TILE).map(cell) {
        for column in (left..left + TILE).map(cell) {
            let is_on_grid = column < map.grid[0] && row < map.grid[1];
            let value = if is_on_grid { map.mean([column, row], cells) } else { 0 };
            pixels.extend([value, value, value, if value == 0 { 0 } else { 255 }]);
        }
    }
    pixels
}

fn pixels_per_cm(pixel_um: f64) -> Rational {
    /// Five decimal places; the numerator fits `u32` for pixels of 1 µm or more.
    const FRACTIONS: u32 = 100_000;
    Rational { n: (1e4 / pixel_um * f64::from(FRACTIONS)).round() as u32, d: FRACTIONS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::geometry::LevelRect;
    use histokin_core::slide;

    #[test]
    fn openslide_reads_the_values_and_their_size_on_every_level() {
        // 100 × 70 cells of 112 µm: 8 pixels of 14 µm each, the first half of the columns empty.
        let (columns, rows) = (100, 70);
        let value = |column: usize, row: usize| {
            if column < 50 { 0 } else { 1 + ((column * 7 + row * 3) % 255) as u8 }
        };
        let values: Vec<u8> =
            (0..rows).flat_map(|row| (0..columns).map(move |column| value(column, row))).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.tif");
        write_map_tiff(&path, GridValues { grid: [columns, rows], values: &values, tile_um: 112.0 }).unwrap();

        let map = slide::open(&path, None).unwrap();
        let info = map.info();
        assert_eq!(info.vendor, "generic-tiff");
        let sizes: Vec<[u32; 2]> = info.levels.iter().map(|level| [level.width, level.height]).collect();
        assert_eq!(sizes, [[800, 560], [400, 280], [200, 140]]);
        let mpp = info.mpp.unwrap();
        assert!((mpp.x() - 14.0).abs() < 1e-4 && (mpp.y() - 14.0).abs() < 1e-4, "{mpp:?}");
        for (level, cell_px) in [(0, 8), (1, 4), (2, 2)] {
            let [width, height] = sizes[level];
            let region = LevelRect { level: level as u32, x: 0, y: 0, width, height };
            let pixels = map.read(&region).unwrap();
            for (x, y, pixel) in pixels.enumerate_pixels() {
                let value = value((x / cell_px) as usize, (y / cell_px) as usize);
                let expected = if value == 0 { [0; 4] } else { [value, value, value, 255] };
                assert_eq!(pixel.0, expected, "level {level} at {x}, {y}");
            }
        }
    }

    #[test]
    fn pixels_of_several_cells_are_the_mean_of_what_there_is() {
        let mut values = vec![0; 600 * 2];
        values[..3].copy_from_slice(&[10, 20, 7]);
        values[600] = 30;
        let map = GridValues { grid: [600, 2], values: &values, tile_um: 10.0 };
        assert_eq!(map.cell_px(), 1);
        assert_eq!([map.mean([0, 0], 2), map.mean([2, 0], 2), map.mean([4, 0], 2)], [20, 7, 0]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.tif");
        write_map_tiff(&path, map).unwrap();
        let map = slide::open(&path, None).unwrap();
        let second = map.read(&LevelRect { level: 1, x: 0, y: 0, width: 3, height: 1 }).unwrap();
        assert_eq!(second.pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>(), [20, 7, 0]);
    }
}
