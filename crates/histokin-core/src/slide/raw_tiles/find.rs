//! Finds the levels of a slide that are stored as JPEG tiles.

use std::io::{BufReader, Read, Seek};
use std::sync::Arc;

use super::super::dicom;
use super::super::dicom::frames::Frames;
use super::super::dicom::header::Header;
use super::super::tiff::directory::Tiff;
use super::super::tiff::jpeg::TileJpegs;
use super::super::tiff::page::{self, Page};
use super::super::tiff::raster::{Raster, most_chunks};
use super::super::tile_grid::TileGrid;
use super::super::{Level, SlideInfo};
use super::level::{RawLevel, TileFile, Tiles};

/// Vendors, by OpenSlide's names, whose TIFF files have simple tile grids: without overlaps, margins or composed
/// images.
const PLAIN_VENDORS: [&str; 2] = ["aperio", "generic-tiff"];

/// OpenSlide's name for DICOM slides.
const DICOM: &str = "dicom";

/// Longest edge of a tile in pixels; slides have 240 to 2048.
const MAX_TILE_EDGE: u64 = 4096;

/// Returns the levels of the slide that are stored as JPEG tiles, `None` for each of the others.
///
/// # Errors
/// A message, when the slide is of a kind that has no such tiles, or its file is damaged.
pub(super) fn levels(info: &SlideInfo) -> Result<Vec<Option<RawLevel>>, String> {
    match info.vendor.as_str() {
        DICOM => Ok(dicom_levels(info)),
        vendor if PLAIN_VENDORS.contains(&vendor) => tiff_levels(info),
        vendor => Err(format!("files of {vendor} have no simple tile grid")),
    }
}

/// Returns the images of `source` whose tiles are baseline JPEGs of three 8-bit components, in the order of
/// the file.
///
/// # Errors
/// A message, when the file is not a TIFF file or its directories are damaged.
fn tiled_jpegs(source: impl Read + Seek) -> Result<Vec<Arc<Raster>>, String> {
    let (mut tiff, first) = Tiff::begin(source)?;
    let pages = page::pages(&mut tiff, first)?;
    let mut left = most_chunks(tiff.size);
    let is_tiled_jpeg = |page: &&Page| {
        let is_of_size = page.tile.is_some_and(|(width, height)| width.max(height) <= MAX_TILE_EDGE);
        let has_colors =
            page.samples == 3 && page.bits == [8, 8, 8] && matches!(page.photometric, Some(2 | 6));
        is_of_size && has_colors && page.compression == 7 && !page.is_planar && page.orientation == 1
    };
    let rasters = pages.iter().filter(is_tiled_jpeg).map(|page| Raster::of(page, &mut tiff, &mut left));
    rasters.map(|raster| raster.map(Arc::new).map_err(|refusal| refusal.text())).collect()
}

/// Finds the images of a TIFF file that are levels of the slide.
///
/// # Errors
/// A message, when the file is damaged, or its tiles are not all there.
fn tiff_levels(info: &SlideInfo) -> Result<Vec<Option<RawLevel>>, String> {
    let (file, source) = TileFile::open(&info.path)?;
    let images = tiled_jpegs(BufReader::new(source))?;
    // Aperio's readers fill missing tiles from other levels, and so also on all coarser levels.
    let misses_tiles = images.iter().any(|image| (0..image.grid.tiles()).any(|tile| image.is_missing(tile)));
    if info.vendor == "aperio" && misses_tiles {
        return Err("some of its tiles are missing".to_owned());
    }
    let level = |level: &Level| {
        let image = only_of_size(level, &images, |image| image.grid)?;
        let jpegs = image.jpegs()?.clone();
        Some(RawLevel { file: file.clone(), tiles: Tiles::Tiff(image.clone()), jpegs })
    };
    Ok(info.levels.iter().map(level).collect())
}

/// Finds the files of a DICOM slide that hold its levels.
fn dicom_levels(info: &SlideInfo) -> Vec<Option<RawLevel>> {
    let files = dicom::files_of_slide(&info.path);
    let frames = files.iter().filter_map(|path| {
        let read = TileFile::open(path).and_then(|(file, source)| {
            let header = Header::of(path).ok_or("it is not a DICOM file")?;
            let frames = Frames::of(&header, BufReader::new(source), file.size())?;
            Ok((file, Arc::new(frames)))
        });
        read.inspect_err(|reason| tracing::debug!(path = %path.display(), reason, "not read directly")).ok()
    });
    let frames: Vec<(Arc<TileFile>, Arc<Frames>)> = frames.collect();
    let level = |level: &Level| {
        let (file, frames) = only_of_size(level, &frames, |(_, frames)| frames.grid)?;
        let jpegs = TileJpegs::new(frames.components, &[]).ok()?;
        Some(RawLevel { file: file.clone(), tiles: Tiles::Dicom(frames.clone()), jpegs })
    };
    info.levels.iter().map(level).collect()
}

/// Returns the image with the size of the level, if there is exactly one, and its tiles are not too large.
fn only_of_size<'a, T>(level: &Level, images: &'a [T], grid: impl Fn(&T) -> TileGrid) -> Option<&'a T> {
    let mut of_size = images.iter().filter(|image| {
        let grid = grid(image);
        (grid.width, grid.height) == (level.width, level.height)
            && u64::from(grid.tile_width.max(grid.tile_height)) <= MAX_TILE_EDGE
    });
    of_size.next().filter(|_| of_size.next().is_none())
}
