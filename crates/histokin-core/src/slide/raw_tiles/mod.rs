//! Decoding of tiled JPEGs without OpenSlide's compositing, which takes several times as long as the decoding
//! itself.
//!
//! The bytes of a tile, completed with the tables that all tiles share, are decoded with libjpeg-turbo
//! directly into the requested region. OpenSlide still provides the metadata, and reads whatever cannot be
//! read directly. A slide is read directly only after [`prove`] has found its level 0 to be bit-identical to
//! OpenSlide's pixels.
//!
//! The levels of a TIFF slide are images of one file, those of a DICOM slide are files of one folder.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbaImage;
use turbojpeg::ScalingFactor;

use super::dicom;
use super::dicom::frames::Frames;
use super::dicom::header::Header;
use super::openslide::OpenSlideSource;
use super::reconnecting::Stamp;
use super::reduced::read_in_parts;
use super::tiff::directory::Tiff;
use super::tiff::jpeg::TileJpegs;
use super::tiff::page::{self, Page};
use super::tiff::raster::{Raster, most_chunks};
use super::tile_grid::TileGrid;
use super::{Level, Reader, SlideError, SlideInfo, SlideSource, clip, transparent};
use crate::geometry::LevelRect;
use crate::memory::{Budget, Kind, MemoryCache};
use crate::untrusted;

/// Vendors, by OpenSlide's names, whose TIFF files have simple tile grids: without overlaps, margins or composed
/// images.
const PLAIN_VENDORS: [&str; 2] = ["aperio", "generic-tiff"];

/// OpenSlide's name for DICOM slides.
const DICOM: &str = "dicom";

/// Number of tiles of level 0 that are compared with OpenSlide's, besides the last one: those with the most
/// bytes.
const DETAILED_TILES_COMPARED: usize = 3;

/// The reduction that libjpeg-turbo computes from the mean of each 8 × 8 block, without computing its pixels.
const EIGHTH: u32 = 8;

/// A slide with some levels that are read without OpenSlide.
pub(super) struct RawTileSource {
    info: SlideInfo,
    openslide: OpenSlideSource,
    levels: RawLevels,
}

/// The levels of a slide that can be read without OpenSlide.
pub(super) struct RawLevels {
    /// By index of the level; `None` for levels that OpenSlide has to read.
    levels: Vec<Option<RawLevel>>,
    /// Decoded tiles that were only partly used, for the neighbouring regions.
    memory_cache: MemoryCache,
}

/// A level and the decoder of its tiles.
struct RawLevel {
    file: Arc<TileFile>,
    tiles: Tiles,
    jpegs: TileJpegs,
}

/// A file with tiles. It is reopened for each read: an archive has more slides than a process may have open files, and
/// a file that was replaced in the meantime must not be read with the old offsets.
struct TileFile {
    path: PathBuf,
    stamp: Stamp,
}

/// Where the tiles of a level are stored.
enum Tiles {
    Tiff(Arc<Raster>),
    Dicom(Arc<Frames>),
}

/// Longest edge of a tile in pixels; slides have 240 to 2048.
const MAX_TILE_EDGE: u64 = 4096;

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

/// Finds the levels of `slide` that can be read as raw tiles, which must include level 0.
///
/// # Errors
/// A message, why the slide has to be read through OpenSlide.
pub(super) fn prove(slide: &OpenSlideSource) -> Result<RawLevels, String> {
    let info = slide.info();
    let levels = match info.vendor.as_str() {
        DICOM => dicom_levels(info),
        vendor if PLAIN_VENDORS.contains(&vendor) => tiff_levels(info)?,
        vendor => return Err(format!("files of {vendor} have no simple tile grid")),
    };
    let mut raw = RawLevels { levels, memory_cache: MemoryCache::new(Budget::of_process(), Kind::Shared) };
    for level in 0..info.levels.len() {
        match raw.compare(slide, level) {
            Err(reason) if level == 0 => return Err(reason),
            Err(reason) => {
                tracing::debug!(path = %info.path.display(), level, reason, "level read through OpenSlide");
                raw.levels[level] = None;
            }
            Ok(()) => {}
        }
    }
    Ok(raw)
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
            let header = Header::of(path).ok_or("it is no DICOM file")?;
            let frames = Frames::of(&header, BufReader::new(source), file.stamp.size)?;
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

impl TileFile {
    fn open(path: &Path) -> Result<(Arc<Self>, File), String> {
        let file = untrusted::open(path).map_err(|error| error.to_string())?;
        let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
        Ok((Arc::new(Self { path: path.to_owned(), stamp }), file))
    }

    fn reopen(&self) -> Result<File, String> {
        let file = File::open(&self.path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if Stamp::of(&metadata) != self.stamp {
            return Err("the file was replaced after it was opened".to_owned());
        }
        Ok(file)
    }
}

impl RawLevel {
    fn grid(&self) -> TileGrid {
        match &self.tiles {
            Tiles::Tiff(image) => image.grid,
            Tiles::Dicom(frames) => frames.grid,
        }
    }

    fn stored_bytes(&self, tile: usize) -> u64 {
        match &self.tiles {
            Tiles::Tiff(image) => image.stored_bytes(tile),
            Tiles::Dicom(frames) => frames.stored_bytes(tile),
        }
    }

    /// Reads the JPEG stream of a tile.
    fn stream(&self, file: &mut File, tile: usize) -> Result<Vec<u8>, String> {
        match &self.tiles {
            Tiles::Tiff(image) => image.stream(file, tile),
            Tiles::Dicom(frames) => frames.stream(file, tile),
        }
    }
}

impl RawLevels {
    /// Compares some tiles of a level with OpenSlide's. Fails if any of them differs or if none of them can
    /// be compared.
    fn compare(&self, slide: &OpenSlideSource, level: usize) -> Result<(), String> {
        let Some(raw) = &self.levels[level] else {
            return Err("it is not stored as plain JPEG tiles".to_owned());
        };
        let mut equal = 0;
        // The other levels were written by the same program, so one tile is enough.
        let count = if level == 0 { DETAILED_TILES_COMPARED } else { 1 };
        let downsample = slide.own_downsample(level).ok_or("OpenSlide has no such level")?;
        for tile in tiles_to_compare(raw, downsample, count) {
            let region = raw.grid().region(level as u32, tile);
            match (slide.read(&region), self.read(&region)) {
                (Ok(theirs), Ok(ours)) if theirs == ours => equal += 1,
                // Such a tile is later read through OpenSlide.
                (_, Err(_)) => {}
                _ => return Err(format!("tile {tile} differs from OpenSlide's")),
            }
        }
        if equal == 0 { Err("none of its tiles could be compared".to_owned()) } else { Ok(()) }
    }

    /// Decodes `region`.
    ///
    /// # Errors
    /// A message, when the region has to be read through OpenSlide.
    fn read(&self, region: &LevelRect) -> Result<RgbaImage, String> {
        let raw = self.levels.get(region.level as usize).and_then(Option::as_ref);
        let raw = raw.ok_or("it is not stored as plain JPEG tiles")?;
        let mut canvas = transparent(region)?;
        let grid = raw.grid();
        let Some(part) = clip(region, grid.width, grid.height) else { return Ok(canvas) };
        let mut file = raw.file.reopen()?;
        for tile in grid.tiles_under(&part) {
            self.draw(raw, tile, &mut file, &part, &mut canvas, region)?;
        }
        Ok(canvas)
    }

    /// Decodes `region` at 1/8 of its resolution, if it consists of whole tiles.
    ///
    /// # Errors
    /// A message, when it has to be read at full resolution.
    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, String> {
        let raw = self.levels.get(region.level as usize).and_then(Option::as_ref);
        let raw = raw.ok_or("it is not stored as plain JPEG tiles")?;
        let TileGrid { width, height, tile_width, tile_height } = raw.grid();
        let is_whole = |start: i64, length: u32, tile: u32, whole: u32| {
            let end = start.saturating_add(length.into());
            start >= 0
                && start % i64::from(tile) == 0
                && end <= i64::from(whole)
                && (end % i64::from(tile) == 0 || i64::from(whole) - end < i64::from(EIGHTH))
        };
        if factor != EIGHTH
            || !tile_width.is_multiple_of(EIGHTH)
            || !tile_height.is_multiple_of(EIGHTH)
            || !region.width.is_multiple_of(EIGHTH)
            || !region.height.is_multiple_of(EIGHTH)
            || !is_whole(region.x, region.width, tile_width, width)
            || !is_whole(region.y, region.height, tile_height, height)
        {
            return Err("it does not consist of whole tiles".to_owned());
        }
        let mut canvas = RgbaImage::new(region.width / EIGHTH, region.height / EIGHTH);
        let mut tile_pixels = RgbaImage::new(tile_width / EIGHTH, tile_height / EIGHTH);
        let pitch = tile_pixels.width() as usize * 4;
        let mut file = raw.file.reopen()?;
        for tile in raw.grid().tiles_under(region) {
            let stream = raw.stream(&mut file, tile)?;
            let samples = tile_pixels.as_flat_samples_mut().samples;
            let size = (tile_width, tile_height);
            raw.jpegs.decode(&stream, size, ScalingFactor::ONE_EIGHTH, samples, pitch)?;
            let shown = raw.grid().region(region.level, tile);
            let to = |at: i64, start: i64| (at - start) / i64::from(EIGHTH);
            image::imageops::replace(&mut canvas, &tile_pixels, to(shown.x, region.x), to(shown.y, region.y));
        }
        Ok(canvas)
    }

    /// Decodes a tile and draws the part of it inside `part` onto the canvas of `region`.
    fn draw(
        &self,
        raw: &RawLevel,
        tile: usize,
        file: &mut File,
        part: &LevelRect,
        canvas: &mut RgbaImage,
        region: &LevelRect,
    ) -> Result<(), String> {
        let grid = raw.grid();
        let visible = grid.region(region.level, tile);
        // All positions lie on the level, so no sum overflows.
        let end = |start: i64, length: u32| start + i64::from(length);
        let (left, top) = (visible.x.max(part.x), visible.y.max(part.y));
        let right = end(visible.x, visible.width).min(end(part.x, part.width));
        let bottom = end(visible.y, visible.height).min(end(part.y, part.height));
        let (width, height) = ((right - left) as u32, (bottom - top) as u32);
        let (x, y) = ((left - region.x) as usize, (top - region.y) as usize);
        let canvas_pitch = canvas.width() as usize * 4;
        let canvas = canvas.as_flat_samples_mut().samples;
        if (width, height) == (grid.tile_width, grid.tile_height) {
            let stream = raw.stream(file, tile)?;
            return raw.jpegs.decode(
                &stream,
                (width, height),
                ScalingFactor::ONE,
                &mut canvas[y * canvas_pitch + x * 4..],
                canvas_pitch,
            );
        }
        let is_shared = (width, height) != (visible.width, visible.height);
        let pixels = self.tile(raw, tile, file, region.level, is_shared)?;
        let (skipped, length) = ((left - visible.x) as usize * 4, width as usize * 4);
        let lines = pixels.chunks_exact(grid.tile_width as usize * 4).skip((top - visible.y) as usize);
        for (line, row) in lines.zip(y..y + height as usize) {
            let start = row * canvas_pitch + x * 4;
            canvas[start..start + length].copy_from_slice(&line[skipped..skipped + length]);
        }
        Ok(())
    }

    /// Returns the RGBA pixels of a whole tile including its margins; caches them if other regions need parts
    /// of it.
    fn tile(
        &self,
        raw: &RawLevel,
        tile: usize,
        file: &mut File,
        level: u32,
        is_shared: bool,
    ) -> Result<Arc<Vec<u8>>, String> {
        let key = u64::from(level) << 48 | tile as u64;
        if let Some(pixels) = self.memory_cache.get(key) {
            return Ok(pixels);
        }
        let stream = raw.stream(file, tile)?;
        let size = (raw.grid().tile_width, raw.grid().tile_height);
        let pitch = size.0 as usize * 4;
        let mut pixels = vec![0; pitch * size.1 as usize];
        raw.jpegs.decode(&stream, size, ScalingFactor::ONE, &mut pixels, pitch)?;
        let pixels = Arc::new(pixels);
        if is_shared {
            self.memory_cache.insert(key, pixels.len(), pixels.clone());
        }
        Ok(pixels)
    }
}

/// Selects the `count` tiles with the most bytes, and the last one, among those that OpenSlide reads without
/// resampling.
///
/// OpenSlide takes positions in integer level-0 pixels, divides them by its own `downsample` of the level,
/// and resamples if the result is not an integer position on the level.
fn tiles_to_compare(level: &RawLevel, downsample: f64, count: usize) -> Vec<usize> {
    let is_exact = |tile: &usize| {
        let region = level.grid().region(0, *tile);
        [region.x, region.y].iter().all(|px| (*px as f64 * downsample).fract() == 0.0)
    };
    let mut tiles: Vec<usize> = (0..level.grid().tiles()).filter(is_exact).collect();
    let last = tiles.last().copied();
    let bytes = |tile: &usize| std::cmp::Reverse(level.stored_bytes(*tile));
    let count = count.min(tiles.len());
    if count < tiles.len() {
        tiles.select_nth_unstable_by_key(count, bytes);
        tiles.truncate(count);
        tiles.extend(last.filter(|last| !tiles.contains(last)));
    }
    tiles
}

impl RawTileSource {
    pub(super) fn new(openslide: OpenSlideSource, levels: RawLevels) -> Self {
        let info = SlideInfo { reader: Reader::RawTiles, ..openslide.info().clone() };
        Self { info, openslide, levels }
    }
}

impl SlideSource for RawTileSource {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    /// Returns the level's own pixels at any position, unlike OpenSlide, which interpolates if a level's
    /// downsample is not an integer. Falls back to OpenSlide.
    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.levels.read(region).or_else(|reason| {
            tracing::debug!(path = %self.info.path.display(), ?region, reason, "read through OpenSlide");
            self.openslide.read(region)
        })
    }

    /// Whole tiles are decoded at 1/8 by libjpeg-turbo, in a fraction of the time.
    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        self.levels.read_reduced(region, factor).or_else(|reason| {
            tracing::debug!(path = %self.info.path.display(), ?region, reason, "read at full scale");
            read_in_parts(&|part| self.read(part), region, factor)
        })
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.openslide.associated(name)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        self.openslide.icc_profile()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dicom::made::{MadeDicom, Table};
    use super::super::tiff::made::{MadeTiff, tiff_bytes};
    use super::super::{open, open_with_openslide};
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn written(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join("slide.tif");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn region(level: u32, x: i64, y: i64, width: u32, height: u32) -> LevelRect {
        LevelRect { level, x, y, width, height }
    }

    #[test]
    fn every_region_equals_openslides() {
        let folder = tempfile::tempdir().unwrap();
        for is_big in [false, true] {
            let path = written(&folder, &tiff_bytes(&MadeTiff { is_big, ..MadeTiff::default() }));
            let (raw, openslide) = (open(&path, None).unwrap(), open_with_openslide(&path).unwrap());
            assert_eq!((raw.info().reader, openslide.info().reader), (Reader::RawTiles, Reader::OpenSlide));
            assert_eq!(raw.info().id, openslide.info().id);
            assert_eq!(raw.info().properties, openslide.info().properties);
            for level in 0..2 {
                for (x, y, width, height) in [
                    (0, 0, 130, 90),
                    (-5, -9, 200, 150),
                    (47, 47, 2, 2),
                    (48, 48, 48, 41),
                    (60, 3, 1, 80),
                    (300, 0, 4, 4),
                ] {
                    let region = region(level, x, y, width, height);
                    assert!(raw.read(&region).unwrap() == openslide.read(&region).unwrap(), "{region:?}");
                }
            }
        }
    }

    #[test]
    fn dicom_levels_equal_openslides() {
        for table in [Table::None, Table::Basic, Table::Extended] {
            let folder = tempfile::tempdir().unwrap();
            let level_0 = MadeDicom { table, ..MadeDicom::default() };
            let level_1 = MadeDicom { width: 65, height: 45, instance: "1.2.3.2", ..MadeDicom::default() };
            let label = MadeDicom {
                kind: r"ORIGINAL\PRIMARY\LABEL\NONE",
                instance: "1.2.3.3",
                ..MadeDicom::default()
            };
            for (name, made) in [("b", level_1), ("c", label), ("a", level_0)] {
                std::fs::write(folder.path().join(name), made.bytes()).unwrap();
            }
            let (raw, openslide) =
                (open(folder.path(), None).unwrap(), open_with_openslide(folder.path()).unwrap());
            assert_eq!((raw.info().reader, openslide.info().reader), (Reader::RawTiles, Reader::OpenSlide));
            assert_eq!((raw.info().levels.len(), &raw.info().id), (2, &openslide.info().id));
            for level in 0..2 {
                for (x, y, width, height) in
                    [(0, 0, 130, 90), (-5, -9, 200, 150), (47, 47, 2, 2), (48, 48, 48, 41)]
                {
                    let region = region(level, x, y, width, height);
                    assert!(
                        raw.read(&region).unwrap() == openslide.read(&region).unwrap(),
                        "{table:?} {region:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn dicom_tiles_in_several_parts_are_read_through_openslide() {
        let folder = tempfile::tempdir().unwrap();
        let divided = MadeDicom { is_divided: true, table: Table::Basic, ..MadeDicom::default() };
        std::fs::write(folder.path().join("a"), divided.bytes()).unwrap();
        let slide = open(folder.path(), None).unwrap();
        assert_eq!(slide.info().reader, Reader::OpenSlide);
        assert!(slide.read(&region(0, 0, 0, 130, 90)).is_ok());
    }

    #[test]
    fn an_eighth_is_about_the_mean_of_the_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(&folder, &tiff_bytes(&MadeTiff::default()));
        let slide = super::super::openslide::open(&path, None).unwrap().expect("OpenSlide reads it");
        let levels = prove(&slide).unwrap();
        // Whole tiles, up to the slide's edge except for incomplete pixels.
        for (width, height) in [(96, 48), (128, 88)] {
            let region = region(0, 0, 0, width, height);
            let fast = levels.read_reduced(&region, EIGHTH).unwrap();
            let slow = read_in_parts(&|part| slide.read(part), &region, EIGHTH).unwrap();
            assert_eq!(fast.dimensions(), slow.dimensions());
            let apart = fast.as_raw().iter().zip(slow.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
            let mean = apart.sum::<f64>() / fast.as_raw().len() as f64;
            assert!(mean < 4.0, "{mean} grey levels apart");
        }
        // Parts of tiles are read at full resolution.
        assert!(levels.read_reduced(&region(0, 8, 0, 88, 48), EIGHTH).is_err());
        assert!(levels.read_reduced(&region(0, 0, 0, 96, 48), 4).is_err());
    }

    #[test]
    fn a_file_that_was_replaced_is_not_read_with_the_old_offsets() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(&folder, &tiff_bytes(&MadeTiff::default()));
        let slide = open(&path, None).unwrap();
        let all = region(0, 0, 0, 130, 90);
        let before = slide.read(&all).unwrap();
        let mut other = tiff_bytes(&MadeTiff::default());
        other.extend_from_slice(b"more");
        std::fs::write(&path, &other).unwrap();
        // A file with different content is a different slide, even if the pixels happen to be equal.
        assert!(slide.read(&all).is_err_and(|error| error.is_unavailable()));
        std::fs::write(&path, b"something else").unwrap();
        // OpenSlide may still return the old pixels from its cache.
        assert!(slide.read(&all).is_err() || slide.read(&all).unwrap() == before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// A damaged slide never shows different pixels from OpenSlide's, and whatever OpenSlide can read can
        /// be read. Some tiles that OpenSlide refuses because of damage elsewhere in the file can be decoded.
        #[test]
        fn damage_never_shows_other_pixels_than_openslides(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = tiff_bytes(&MadeTiff::default());
            for (position, byte) in changes {
                let at = position.index(bytes.len());
                bytes[at] = byte;
            }
            let path = written(&folder, &bytes);
            if let (Ok(ours), Ok(theirs)) = (open(&path, None), open_with_openslide(&path))
            {
                for (x, y) in [(0, 0), (48, 0), (96, 0), (0, 48), (48, 48), (96, 48)] {
                    let tile = region(0, x, y, 48, 48);
                    match (ours.read(&tile), theirs.read(&tile)) {
                        (Ok(a), Ok(b)) => prop_assert!(a == b, "{tile:?}, {:?}", ours.info().reader),
                        (Err(error), Ok(_)) => prop_assert!(false, "{tile:?}, {:?}: {error}", ours.info().reader),
                        (_, Err(_)) => {}
                    }
                }
            }
        }
    }
}
