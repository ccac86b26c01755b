//! Computed levels for slides whose file lacks them, such as a single level of gigapixels or a step from 1:1
//! to 1:64.
//!
//! The choice of levels depends on the stored levels only (`missing_levels`). Computed levels serve viewing,
//! thumbnails and the tissue mask; tiles to be embedded are always read from stored levels. Their pixels are
//! computed tile by tile on request and cached in memory and in a folder (`cache`); caching affects the speed
//! of reads only.

mod cache;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbaImage;
use rayon::prelude::*;

use super::reduced::shrink_into;
use super::{Level, SlideError, SlideInfo, SlideSource, clip, transparent};
use crate::geometry::{Downsample, LevelRect};
use crate::memory::{Budget, Kind, MemoryCache};
use cache::TileCache;
pub use cache::keep_in;

/// Downsample of a computed level relative to the level from which it is computed: the largest factor at
/// which libjpeg-turbo decodes a reduced image from a fraction of the JPEG coefficients.
const FACTOR: u32 = 8;

/// Step between stored levels above which a level is computed. Smaller steps are bridged while drawing.
const WIDEST_STEP: f64 = 12.0;

/// Number of pixels of a level above which a coarser level is needed. A level of this size can be read at
/// once and takes about a second.
const LARGE: u64 = 1 << 26;

/// Edge of the tiles in which levels are computed and cached, in pixels of the computed level.
const TILE_PX: u32 = 512;

/// Edge of the parts in which a tile is computed if the file is damaged, in pixels of the computed level.
const PART_PX: u32 = 64;

/// The level from which a computed level is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The stored level of this index.
    Stored(u32),
    /// The computed level of this index.
    Computed(u32),
}

/// Returns the levels missing between and after the `stored` ones, finest first.
fn missing_levels(stored: &[Level]) -> Vec<(Level, Origin)> {
    let mut missing: Vec<(Level, Origin)> = Vec::new();
    for (index, level) in stored.iter().enumerate() {
        let next = stored.get(index + 1).map_or(f64::INFINITY, |next| next.downsample.mean());
        let (mut finer, mut origin) = (*level, Origin::Stored(index as u32));
        while u64::from(finer.width) * u64::from(finer.height) > LARGE
            && next / finer.downsample.mean() > WIDEST_STEP
        {
            // The last columns and rows that do not fill a pixel are dropped, because edge tiles have margins
            // beyond the edge of the image.
            let coarser = Level {
                width: (finer.width / FACTOR).max(1),
                height: (finer.height / FACTOR).max(1),
                downsample: Downsample {
                    x: finer.downsample.x * f64::from(FACTOR),
                    y: finer.downsample.y * f64::from(FACTOR),
                },
            };
            missing.push((coarser, origin));
            (finer, origin) = (coarser, Origin::Computed(missing.len() as u32 - 1));
        }
    }
    missing
}

/// A slide with its missing levels.
pub(super) struct ComputedLevels {
    inner: Arc<dyn SlideSource>,
    levels: Vec<Level>,
    origins: Vec<Origin>,
    /// Decoded tiles, in memory.
    memory_cache: MemoryCache,
    cache: TileCache,
    /// Number of tiles in `cache`.
    kept: AtomicUsize,
    /// Locked while a tile is computed, so that two threads that need the same tile compute it only once.
    locks: [Mutex<()>; 32],
}

/// Returns `source` with its missing levels, or unchanged if none are missing. `file_size` is the size of the
/// slide's file in bytes.
pub(super) fn complete(source: Arc<dyn SlideSource>, file_size: u64) -> Arc<dyn SlideSource> {
    let (levels, origins): (Vec<Level>, Vec<Origin>) =
        missing_levels(&source.info().levels).into_iter().unzip();
    if levels.is_empty() {
        return source;
    }
    let cache = TileCache::of(source.info(), file_size);
    let memory_cache = MemoryCache::new(Budget::of_process(), Kind::Shared);
    let locks = std::array::from_fn(|_| Mutex::default());
    let kept = AtomicUsize::new(cache.count());
    Arc::new(ComputedLevels { inner: source, levels, origins, memory_cache, cache, kept, locks })
}

impl SlideSource for ComputedLevels {
    fn info(&self) -> &SlideInfo {
        self.inner.info()
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.inner.read(region)
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        self.inner.read_reduced(region, factor)
    }

    fn computed_levels(&self) -> &[Level] {
        &self.levels
    }

    fn read_computed(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let failed = |reason: String| self.failed(region, reason);
        let mut canvas = transparent(region).map_err(failed)?;
        let Some(level) = self.levels.get(region.level as usize) else {
            return Err(failed(format!("the slide has no computed level {}", region.level)));
        };
        let Some(part) = clip(region, level.width, level.height) else { return Ok(canvas) };
        let range =
            |start: i64, length: u32| start as u32 / TILE_PX..(start as u32 + length).div_ceil(TILE_PX);
        let columns = range(part.x, part.width);
        let tiles: Vec<(u32, u32)> = range(part.y, part.height)
            .flat_map(|row| columns.clone().map(move |column| (column, row)))
            .collect();
        let draw = |canvas: &mut RgbaImage, (column, row): (u32, u32), tile: &RgbaImage| {
            let (left, top) = (i64::from(column * TILE_PX), i64::from(row * TILE_PX));
            image::imageops::replace(canvas, tile, left - region.x, top - region.y);
        };
        match tiles.as_slice() {
            [position] => draw(&mut canvas, *position, &*self.tile(region.level, *position)?),
            tiles => {
                let canvas = Mutex::new(&mut canvas);
                tiles.par_iter().try_for_each(|position| -> Result<(), SlideError> {
                    let tile = self.tile(region.level, *position)?;
                    draw(&mut canvas.lock().unwrap_or_else(PoisonError::into_inner), *position, &tile);
                    Ok(())
                })?;
            }
        }
        Ok(canvas)
    }

    fn computed_is_cached(&self) -> bool {
        self.kept.load(Ordering::Relaxed) >= self.levels.iter().map(tiles_of).sum::<usize>()
    }

    fn companions(&self) -> &[PathBuf] {
        self.inner.companions()
    }

    fn check(&self) -> Result<(), SlideError> {
        self.inner.check()
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.inner.associated(name)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        self.inner.icc_profile()
    }
}

/// Number of tiles of a level.
fn tiles_of(level: &Level) -> usize {
    level.width.div_ceil(TILE_PX) as usize * level.height.div_ceil(TILE_PX) as usize
}

impl ComputedLevels {
    fn failed(&self, region: &LevelRect, reason: String) -> SlideError {
        SlideError::Read { path: self.info().path.clone(), region: *region, reason }
    }

    /// Returns a tile of a computed level from memory, from the disk cache, or by computing it. The tile must
    /// lie on the level.
    fn tile(&self, level: u32, (column, row): (u32, u32)) -> Result<Arc<RgbaImage>, SlideError> {
        let key = u64::from(level) << 56 | u64::from(row) << 28 | u64::from(column);
        if let Some(tile) = self.memory_cache.get(key) {
            return Ok(tile);
        }
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        let lock = &self.locks[(hash.finish() % self.locks.len() as u64) as usize];
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tile) = self.memory_cache.get(key) {
            return Ok(tile);
        }
        let Level { width, height, .. } = self.levels[level as usize];
        let (x, y) = (column * TILE_PX, row * TILE_PX);
        let extent = (TILE_PX.min(width - x), TILE_PX.min(height - y));
        let name = format!("{level}-{column}-{row}");
        let tile = match self.cache.get(&name, extent) {
            Some(tile) => tile,
            None => {
                let (tile, is_whole) = self.compute(level, (x, y), extent)?;
                if is_whole && self.cache.put(&name, &tile) {
                    self.kept.fetch_add(1, Ordering::Relaxed);
                }
                tile
            }
        };
        let tile = Arc::new(tile);
        self.memory_cache.insert(key, tile.as_raw().len(), tile.clone());
        Ok(tile)
    }

    /// Computes a tile; also returns whether all of it could be read.
    fn compute(
        &self,
        level: u32,
        (x, y): (u32, u32),
        extent: (u32, u32),
    ) -> Result<(RgbaImage, bool), SlideError> {
        let finer = |index: u32| LevelRect {
            level: index,
            x: i64::from(x * FACTOR),
            y: i64::from(y * FACTOR),
            width: extent.0 * FACTOR,
            height: extent.1 * FACTOR,
        };
        match self.origins[level as usize] {
            Origin::Stored(index) => match self.inner.read_reduced(&finer(index), FACTOR) {
                Ok(pixels) => Ok((pixels, true)),
                Err(error) if error.is_unavailable() => Err(error),
                Err(error) => self.readable_parts(&finer(index)).map(|pixels| (pixels, false)).ok_or(error),
            },
            Origin::Computed(index) => {
                let mut reduced = RgbaImage::new(extent.0, extent.1);
                shrink_into(&self.read_computed(&finer(index))?, FACTOR, &mut reduced, (0, 0));
                let is_whole = reduced.pixels().all(|pixel| pixel.0[3] == u8::MAX);
                Ok((reduced, is_whole))
            }
        }
    }

    /// Returns the readable parts of a region of a stored level, reduced; the rest is transparent. `None` if
    /// no part can be read.
    fn readable_parts(&self, region: &LevelRect) -> Option<RgbaImage> {
        let mut reduced = RgbaImage::new(region.width / FACTOR, region.height / FACTOR);
        let mut is_readable = false;
        for y in (0..reduced.height()).step_by(PART_PX as usize) {
            for x in (0..reduced.width()).step_by(PART_PX as usize) {
                let part = LevelRect {
                    level: region.level,
                    x: region.x + i64::from(x * FACTOR),
                    y: region.y + i64::from(y * FACTOR),
                    width: PART_PX.min(reduced.width() - x) * FACTOR,
                    height: PART_PX.min(reduced.height() - y) * FACTOR,
                };
                if let Ok(pixels) = self.inner.read_reduced(&part, FACTOR) {
                    image::imageops::replace(&mut reduced, &pixels, x.into(), y.into());
                    is_readable = true;
                }
            }
        }
        is_readable.then_some(reduced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slide::test_slide::TestSlide;

    fn levels(sizes: &[(u32, u32, f64)]) -> Vec<Level> {
        let level = |&(width, height, downsample): &(u32, u32, f64)| Level {
            width,
            height,
            downsample: Downsample::square(downsample),
        };
        sizes.iter().map(level).collect()
    }

    #[test]
    fn levels_are_computed_where_the_file_has_a_wide_gap() {
        let sizes = |stored: &[(u32, u32, f64)]| -> Vec<(u32, u32, Origin)> {
            let missing = missing_levels(&levels(stored));
            missing.iter().map(|(level, origin)| (level.width, level.height, *origin)).collect()
        };
        assert_eq!(sizes(&[(60_000, 45_000, 1.0)]), [(7500, 5625, Origin::Stored(0))]);
        // One step is not enough for a whole double slide.
        let huge = sizes(&[(600_000, 400_003, 1.0)]);
        assert_eq!(huge, [(75_000, 50_000, Origin::Stored(0)), (9375, 6250, Origin::Computed(0))]);
        // A much coarser thumbnail; a gap between coarser levels.
        assert_eq!(sizes(&[(60_000, 45_000, 1.0), (937, 703, 64.0)]), [(7500, 5625, Origin::Stored(0))]);
        let gap = [(200_000, 200_000, 1.0), (100_000, 100_000, 2.0), (1562, 1562, 128.0)];
        assert_eq!(sizes(&gap)[0], (12_500, 12_500, Origin::Stored(1)));
        // Levels as scanners write them; a small picture.
        assert_eq!(sizes(&[(100_000, 80_000, 1.0), (25_000, 20_000, 4.0), (6250, 5000, 16.0)]), []);
        assert_eq!(sizes(&[(8000, 8000, 1.0)]), []);
    }

    /// A computed level that is small enough for a test.
    fn computed(slide: TestSlide, folder: &std::path::Path) -> ComputedLevels {
        let (width, height) = (slide.info().width() / FACTOR, slide.info().height() / FACTOR);
        let cache = TileCache::in_folder(slide.info(), 1, Some(folder.to_owned()));
        ComputedLevels {
            levels: levels(&[(width, height, 8.0)]),
            origins: vec![Origin::Stored(0)],
            inner: Arc::new(slide),
            memory_cache: MemoryCache::new(&Budget::new(1 << 30), Kind::Shared),
            kept: AtomicUsize::new(cache.count()),
            cache,
            locks: std::array::from_fn(|_| Mutex::default()),
        }
    }

    #[test]
    fn what_is_kept_is_what_was_computed() {
        let folder = tempfile::tempdir().unwrap();
        let slide = || TestSlide::new(8 * 700 + 5, 8 * 600 + 3);
        let all = LevelRect { level: 0, x: 0, y: 0, width: 700, height: 600 };
        let first = computed(slide(), folder.path());
        assert!(!first.computed_is_cached());
        let pixels = first.read_computed(&all).unwrap();
        let mut expected = RgbaImage::new(701, 601);
        shrink_into(&slide().pixels(), 8, &mut expected, (0, 0));
        assert!(pixels == image::imageops::crop_imm(&expected, 0, 0, 700, 600).to_image());
        // The second slide finds the stored tiles; reading level 0 would fail.
        let second = computed(slide().with_unreadable(10, 10), folder.path());
        assert!(second.computed_is_cached());
        assert!(second.read_computed(&all).unwrap() == pixels);
        // Tiles of another slide are not used. Parts that cannot be read are transparent, and the tile is not
        // stored.
        let other = computed(TestSlide::new(8 * 700, 8 * 600).with_unreadable(10, 10), folder.path());
        for _ in 0..2 {
            let part = other.read_computed(&all).unwrap();
            for (x, y, pixel) in part.enumerate_pixels() {
                let is_damaged = x < PART_PX && y < PART_PX;
                assert!(
                    if is_damaged { pixel.0[3] == 0 } else { pixel == pixels.get_pixel(x, y) },
                    "{x}, {y}"
                );
            }
            assert!(!other.computed_is_cached());
        }
        // A tile of which no part can be read is an error.
        let small = computed(TestSlide::new(8 * 60, 8 * 60).with_unreadable(10, 10), folder.path());
        let message =
            small.read_computed(&LevelRect { width: 60, height: 60, ..all }).unwrap_err().to_string();
        assert!(message.contains("test damage"), "{message}");
        // Pixels beyond the edges are transparent.
        let edge = LevelRect { level: 0, x: -10, y: 590, width: 40, height: 40 };
        let part = second.read_computed(&edge).unwrap();
        assert_eq!(part.get_pixel(9, 0).0, [0; 4]);
        assert_eq!(part.get_pixel(10, 0), pixels.get_pixel(0, 590));
        assert_eq!(part.get_pixel(10, 10).0, [0; 4]);
    }
}
