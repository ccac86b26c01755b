//! Tiled JPEGs read without OpenSlide's compositing, which costs several times what their decoding does.
//!
//! The bytes of a tile, completed with the tables that all tiles share, go straight to libjpeg-turbo and from
//! there into the region that was asked for. OpenSlide stays beside it: it says what the slide is, and it
//! reads whatever this way cannot. A file is read this way only after [`prove`] has found that its level 0
//! comes out equal to OpenSlide's pixels, bit by bit.

mod directory;
mod jpeg;
#[cfg(test)]
mod made;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use image::RgbaImage;

use super::openslide::OpenSlideSource;
use super::reduced::read_in_parts;
use super::steady::Stamp;
use super::{Level, Reader, SlideError, SlideInfo, SlideSource, clip, transparent};
use crate::geometry::LevelRect;
use crate::memory::{Budget, Kind, Shelf};
use directory::{TiledImage, tiled_jpegs};
use jpeg::TileJpegs;

/// Vendors, by OpenSlide's names, whose files lay their tiles out plainly: without overlaps, margins or
/// pictures put together from parts.
const PLAIN_VENDORS: [&str; 2] = ["aperio", "generic-tiff"];

/// Tiles of level 0 that are compared with OpenSlide's, beside the last one: those with the most bytes.
const DETAILED_TILES_COMPARED: usize = 3;

/// The reduction that libjpeg-turbo takes from the mean of each block of 8 × 8, without computing its pixels.
const EIGHTH: u32 = 8;

/// A slide of which some levels are read without OpenSlide.
pub(super) struct RawTileSource {
    info: SlideInfo,
    openslide: OpenSlideSource,
    levels: RawLevels,
}

/// The levels of a slide that may be read without OpenSlide.
pub(super) struct RawLevels {
    /// The file is opened anew for each read: an archive has more slides than a process may have open files, and a
    /// file that was replaced meanwhile must not be read with the old offsets.
    stamp: Stamp,
    /// By index of the level; `None` for those that OpenSlide has to read.
    levels: Vec<Option<RawLevel>>,
    /// Decoded tiles of which a region took a part, for the region that takes the rest.
    shelf: Shelf,
}

struct RawLevel {
    image: TiledImage,
    jpegs: TileJpegs,
}

/// Find the levels of `slide` that can be read as raw tiles, level 0 among them.
///
/// # Errors
/// In words, why the slide has to be read through OpenSlide.
pub(super) fn prove(slide: &OpenSlideSource) -> Result<RawLevels, String> {
    let info = slide.info();
    if !PLAIN_VENDORS.contains(&info.vendor.as_str()) {
        return Err(format!("files of {} are not laid out plainly", info.vendor));
    }
    let file = File::open(&info.path).map_err(|error| error.to_string())?;
    let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
    let images = tiled_jpegs(BufReader::new(file))?;
    // Where a tile is missing, Aperio's readers draw that place, on all coarser levels too, from others.
    let misses_tiles = images.iter().any(|image| image.tiles.iter().any(|place| place.length == 0));
    if info.vendor == "aperio" && misses_tiles {
        return Err("some of its tiles are missing".to_owned());
    }
    let levels = info.levels.iter().map(|level| raw_level(level, &images)).collect();
    let mut raw = RawLevels { stamp, levels, shelf: Shelf::new(Budget::of_process(), Kind::Shared) };
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

/// The one image of `images` that is of the level's size.
fn raw_level(level: &Level, images: &[TiledImage]) -> Option<RawLevel> {
    let mut of_size =
        images.iter().filter(|image| (image.width, image.height) == (level.width, level.height));
    let image = of_size.next().filter(|_| of_size.next().is_none())?.clone();
    let jpegs = TileJpegs::of(&image).ok()?;
    Some(RawLevel { image, jpegs })
}

impl RawLevels {
    /// Compare some tiles of a level with OpenSlide's, which must not be found different; and on level 0 not
    /// all unreadable either.
    fn compare(&self, slide: &OpenSlideSource, level: usize) -> Result<(), String> {
        let Some(raw) = &self.levels[level] else {
            return Err("it is not stored as plain JPEG tiles".to_owned());
        };
        let info = slide.info();
        let mut equal = 0;
        // The other levels were written by the same hand.
        let most = if level == 0 { DETAILED_TILES_COMPARED } else { 1 };
        let openslides = slide.own_downsample(level).ok_or("OpenSlide has no such level")?;
        for tile in tiles_to_compare(&raw.image, openslides, most) {
            let region = raw.image.region(level as u32, tile);
            match (slide.read(&region), self.read(info, &region)) {
                (Ok(theirs), Ok(ours)) if theirs == ours => equal += 1,
                // Left to OpenSlide when it comes to it.
                (_, Err(_)) => {}
                _ => return Err(format!("tile {tile} differs from OpenSlide's")),
            }
        }
        if equal == 0 { Err("none of its tiles could be compared".to_owned()) } else { Ok(()) }
    }

    /// Decode `region`.
    ///
    /// # Errors
    /// In words, when OpenSlide has to be asked.
    fn read(&self, info: &SlideInfo, region: &LevelRect) -> Result<RgbaImage, String> {
        let raw = self.levels.get(region.level as usize).and_then(Option::as_ref);
        let raw = raw.ok_or("it is not stored as plain JPEG tiles")?;
        let mut canvas = transparent(region)?;
        let Some(part) = clip(region, raw.image.width, raw.image.height) else { return Ok(canvas) };
        let mut file = self.open(&info.path)?;
        for tile in raw.image.tiles_under(&part) {
            self.draw(raw, tile, &mut file, &part, &mut canvas, region)?;
        }
        Ok(canvas)
    }

    /// Decode `region` at 1/8 of its resolution, where it consists of whole tiles.
    ///
    /// # Errors
    /// In words, when it has to be read in full.
    fn read_reduced(&self, info: &SlideInfo, region: &LevelRect, factor: u32) -> Result<RgbaImage, String> {
        let raw = self.levels.get(region.level as usize).and_then(Option::as_ref);
        let raw = raw.ok_or("it is not stored as plain JPEG tiles")?;
        let image = &raw.image;
        let (tile_width, tile_height) = (image.tile_width, image.tile_height);
        let is_whole = |start: i64, length: u32, tile: u32, whole: u32| {
            let end = start.saturating_add(length.into());
            start >= 0
                && start % i64::from(tile) == 0
                && end <= i64::from(whole)
                && (end % i64::from(tile) == 0 || i64::from(whole) - end < i64::from(EIGHTH))
        };
        if factor != EIGHTH
            || tile_width % EIGHTH != 0
            || tile_height % EIGHTH != 0
            || region.width % EIGHTH != 0
            || region.height % EIGHTH != 0
            || !is_whole(region.x, region.width, tile_width, image.width)
            || !is_whole(region.y, region.height, tile_height, image.height)
        {
            return Err("it does not consist of whole tiles".to_owned());
        }
        let mut canvas = RgbaImage::new(region.width / EIGHTH, region.height / EIGHTH);
        let mut tile_pixels = RgbaImage::new(tile_width / EIGHTH, tile_height / EIGHTH);
        let pitch = tile_pixels.width() as usize * 4;
        let mut file = self.open(&info.path)?;
        for tile in image.tiles_under(region) {
            let stream = image.stream(&mut file, self.stamp.size, tile)?;
            let samples = tile_pixels.as_flat_samples_mut().samples;
            raw.jpegs.decode_eighth(&stream, samples, pitch)?;
            let place = image.region(region.level, tile);
            let to = |at: i64, start: i64| (at - start) / i64::from(EIGHTH);
            image::imageops::replace(&mut canvas, &tile_pixels, to(place.x, region.x), to(place.y, region.y));
        }
        Ok(canvas)
    }

    /// Decode a tile and put what `part` shows of it onto the canvas of `region`.
    fn draw(
        &self,
        raw: &RawLevel,
        tile: usize,
        file: &mut File,
        part: &LevelRect,
        canvas: &mut RgbaImage,
        region: &LevelRect,
    ) -> Result<(), String> {
        let visible = raw.image.region(region.level, tile);
        // All lie on the level: no sum overflows.
        let end = |start: i64, length: u32| start + i64::from(length);
        let (left, top) = (visible.x.max(part.x), visible.y.max(part.y));
        let right = end(visible.x, visible.width).min(end(part.x, part.width));
        let bottom = end(visible.y, visible.height).min(end(part.y, part.height));
        let (width, height) = ((right - left) as u32, (bottom - top) as u32);
        let (x, y) = ((left - region.x) as usize, (top - region.y) as usize);
        let canvas_pitch = canvas.width() as usize * 4;
        let canvas = canvas.as_flat_samples_mut().samples;
        if (width, height) == (raw.image.tile_width, raw.image.tile_height) {
            let stream = raw.image.stream(file, self.stamp.size, tile)?;
            return raw.jpegs.decode(&stream, &mut canvas[y * canvas_pitch + x * 4..], canvas_pitch);
        }
        let is_shared = (width, height) != (visible.width, visible.height);
        let pixels = self.tile(raw, tile, file, region.level, is_shared)?;
        let (skipped, length) = ((left - visible.x) as usize * 4, width as usize * 4);
        let lines = pixels.chunks_exact(raw.image.tile_width as usize * 4).skip((top - visible.y) as usize);
        for (line, row) in lines.zip(y..y + height as usize) {
            let start = row * canvas_pitch + x * 4;
            canvas[start..start + length].copy_from_slice(&line[skipped..skipped + length]);
        }
        Ok(())
    }

    /// The RGBA pixels of a whole tile with its margins, kept if other regions will want their share of it.
    fn tile(
        &self,
        raw: &RawLevel,
        tile: usize,
        file: &mut File,
        level: u32,
        is_shared: bool,
    ) -> Result<Arc<Vec<u8>>, String> {
        let place = u64::from(level) << 48 | tile as u64;
        if let Some(pixels) = self.shelf.get(place) {
            return Ok(pixels);
        }
        let stream = raw.image.stream(file, self.stamp.size, tile)?;
        let pitch = raw.image.tile_width as usize * 4;
        let mut pixels = vec![0; pitch * raw.image.tile_height as usize];
        raw.jpegs.decode(&stream, &mut pixels, pitch)?;
        let pixels = Arc::new(pixels);
        if is_shared {
            self.shelf.keep(place, pixels.len(), pixels.clone());
        }
        Ok(pixels)
    }

    fn open(&self, path: &Path) -> Result<File, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if Stamp::of(&metadata) != self.stamp {
            return Err("the file was replaced since it was opened".to_owned());
        }
        Ok(file)
    }
}

/// Of the tiles that OpenSlide reads unresampled, those `most` with the most bytes, and the last one.
///
/// OpenSlide takes positions in whole level-0 pixels, divides them by its own `downsample` of the level, and
/// resamples where they do not fall on the level's.
fn tiles_to_compare(image: &TiledImage, downsample: f64, most: usize) -> Vec<usize> {
    let is_exact = |tile: &usize| {
        let region = image.region(0, *tile);
        [region.x, region.y].iter().all(|px| (*px as f64 * downsample).fract() == 0.0)
    };
    let mut tiles: Vec<usize> = (0..image.tiles.len()).filter(is_exact).collect();
    let last = tiles.last().copied();
    let bytes = |tile: &usize| std::cmp::Reverse(image.tiles[*tile].length);
    let most = most.min(tiles.len());
    if most < tiles.len() {
        tiles.select_nth_unstable_by_key(most, bytes);
        tiles.truncate(most);
        tiles.extend(last.filter(|last| !tiles.contains(last)));
    }
    tiles
}

impl TiledImage {
    /// What a tile shows, without the margin of the last ones.
    fn region(&self, level: u32, tile: usize) -> LevelRect {
        let (column, row) = (tile as u32 % self.columns(), tile as u32 / self.columns());
        let (x, y) = (column * self.tile_width, row * self.tile_height);
        let (width, height) = (self.tile_width.min(self.width - x), self.tile_height.min(self.height - y));
        LevelRect { level, x: x.into(), y: y.into(), width, height }
    }

    /// The tiles that share pixels with `part`, which lies on the image.
    fn tiles_under(&self, part: &LevelRect) -> impl Iterator<Item = usize> + use<> {
        let range = |start: i64, length: u32, tile: u32| {
            let (start, end) = (start as usize, start as usize + length as usize);
            start / tile as usize..end.div_ceil(tile as usize)
        };
        let across = range(part.x, part.width, self.tile_width);
        let columns = self.columns() as usize;
        range(part.y, part.height, self.tile_height)
            .flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }

    /// The bytes of a tile.
    fn stream(&self, file: &mut File, file_size: u64, tile: usize) -> Result<Vec<u8>, String> {
        let place = self.tiles[tile];
        // Hardly compressed at all, and as much again.
        let most = u64::from(self.tile_width) * u64::from(self.tile_height) * 6 + (1 << 16);
        let length = u64::from(place.length);
        if length == 0 || length > most || place.offset.saturating_add(length) > file_size {
            return Err("a tile is missing".to_owned());
        }
        let mut stream = vec![0; length as usize];
        let read = file.seek(SeekFrom::Start(place.offset)).and_then(|_| file.read_exact(&mut stream));
        read.map_err(|error| error.to_string())?;
        Ok(stream)
    }
}

#[cfg(fuzzing)]
pub(crate) fn fuzz_tiff_directories(file: impl Read + Seek) {
    for image in tiled_jpegs(file).unwrap_or_default() {
        let _ = TileJpegs::of(&image);
    }
}

#[cfg(fuzzing)]
pub(crate) fn fuzz_jpeg_tile(tile: &[u8]) {
    let (width, height, edge) = (256, 256, 256);
    for colors in [directory::TileColors::Rgb, directory::TileColors::YCbCr] {
        let (tables, tiles) = (Vec::new(), Vec::new());
        let image = TiledImage { width, height, tile_width: edge, tile_height: edge, colors, tables, tiles };
        let mut pixels = vec![0; (edge * edge * 4) as usize];
        if let Ok(jpegs) = TileJpegs::of(&image) {
            let _ = jpegs.decode(tile, &mut pixels, edge as usize * 4);
        }
    }
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

    /// The level's own pixels wherever it begins: unlike OpenSlide, which interpolates where a level's
    /// downsample is not an integer. What cannot be read this way is OpenSlide's to read or to refuse.
    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.levels.read(&self.info, region).or_else(|reason| {
            tracing::debug!(path = %self.info.path.display(), ?region, reason, "left to OpenSlide");
            self.openslide.read(region)
        })
    }

    /// Whole tiles are decoded at 1/8 by libjpeg-turbo, which takes a fraction of the time.
    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        self.levels.read_reduced(&self.info, region, factor).or_else(|reason| {
            tracing::debug!(path = %self.info.path.display(), ?region, reason, "reduced in full");
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
    use super::super::{open, open_with_openslide};
    use super::made::{MadeTiff, tiff_bytes};
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
    fn missing_tiles_are_left_to_openslide() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(&folder, &tiff_bytes(&MadeTiff { missing: Some(4), ..MadeTiff::default() }));
        let (slide, openslide) = (open(&path, None).unwrap(), open_with_openslide(&path).unwrap());
        assert_eq!(slide.info().reader, Reader::RawTiles);
        let all = region(0, 0, 0, 130, 90);
        match (slide.read(&all), openslide.read(&all)) {
            (Ok(ours), Ok(theirs)) => assert!(ours == theirs),
            (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string()),
            (ours, theirs) => panic!("{:?}, but OpenSlide {:?}", ours.is_ok(), theirs.is_ok()),
        }
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
        // OpenSlide reads it again from the start, and finds the same.
        assert!(slide.read(&all).unwrap() == before);
        std::fs::write(&path, b"something else").unwrap();
        // What OpenSlide still has in its cache is what the slide was.
        assert!(slide.read(&all).is_err() || slide.read(&all).unwrap() == before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A damaged slide never shows other pixels than OpenSlide's, and whatever OpenSlide reads is read.
        /// Some tiles that OpenSlide refuses, for what stands elsewhere in the file, come out sound.
        #[test]
        fn damage_never_shows_other_pixels_than_openslides(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = tiff_bytes(&MadeTiff::default());
            for (place, byte) in changes {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
            let path = written(&folder, &bytes);
            if let (Ok(ours), Ok(theirs)) = (open(&path, None), open_with_openslide(&path)) {
                for (x, y) in [(0, 0), (48, 0), (96, 0), (0, 48), (48, 48), (96, 48)] {
                    let tile = region(0, x, y, 48, 48);
                    match (ours.read(&tile), theirs.read(&tile)) {
                        (Ok(ours), Ok(theirs)) => prop_assert!(ours == theirs, "{tile:?}"),
                        (Err(error), Ok(_)) => prop_assert!(false, "{tile:?}: {error}"),
                        (_, Err(_)) => {}
                    }
                }
            }
        }
    }
}
