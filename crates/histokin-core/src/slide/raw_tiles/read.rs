//! Reads regions of levels that are stored as JPEG tiles.

use std::fs::File;
use std::sync::Arc;

use image::RgbaImage;
use turbojpeg::ScalingFactor;

use super::super::tiff::jpeg::TilePart;
use super::super::tile_grid::TileGrid;
use super::super::{clip, transparent};
use super::level::RawLevel;
use super::recent::RecentRegions;
use crate::geometry::LevelRect;
use crate::memory::{Budget, Kind, MemoryCache};

/// The reduction that libjpeg-turbo computes from the mean of each 8 × 8 block, without computing its pixels.
pub(super) const EIGHTH: u32 = 8;

/// The levels of a slide that can be read without OpenSlide.
pub(in crate::slide) struct RawLevels {
    /// By index of the level; `None` for levels that OpenSlide has to read.
    levels: Vec<Option<RawLevel>>,
    /// Decoded tiles that were only partly used, for the neighbouring regions.
    memory_cache: MemoryCache,
    recent: RecentRegions,
}

impl RawLevels {
    /// `levels` by index; `None` for levels that OpenSlide has to read.
    pub(super) fn new(levels: Vec<Option<RawLevel>>) -> Self {
        let memory_cache = MemoryCache::new(Budget::of_process(), Kind::Shared);
        Self { levels, memory_cache, recent: RecentRegions::default() }
    }

    /// Leaves a level to OpenSlide.
    pub(super) fn omit(&mut self, level: usize) {
        self.levels[level] = None;
    }

    /// Returns the level of this index.
    ///
    /// # Errors
    /// A message, when OpenSlide has to read it.
    pub(super) fn level(&self, index: usize) -> Result<&RawLevel, String> {
        let level = self.levels.get(index).and_then(Option::as_ref);
        level.ok_or_else(|| "it is not stored as plain JPEG tiles".to_owned())
    }

    /// Decodes `region`.
    ///
    /// # Errors
    /// A message, when the region has to be read through OpenSlide.
    pub(super) fn read(&self, region: &LevelRect) -> Result<RgbaImage, String> {
        let raw = self.level(region.level as usize)?;
        let mut canvas = transparent(region)?;
        let grid = raw.grid();
        let Some(part) = clip(region, grid.width, grid.height) else { return Ok(canvas) };
        let are_neighbours_read = self.recent.note(region);
        let mut reading = Reading { raw, level: region.level, file: raw.file.reopen()?, are_neighbours_read };
        let pitch = canvas.width() as usize * 4;
        for tile in grid.tiles_under(&part) {
            let shown = Shown::of(&grid.region(region.level, tile), &part);
            let start = (shown.top - region.y) as usize * pitch + (shown.left - region.x) as usize * 4;
            let pixels = &mut canvas.as_flat_samples_mut().samples[start..];
            self.draw(&mut reading, tile, &shown, pixels, pitch)?;
        }
        Ok(canvas)
    }

    /// Decodes `region` at 1/8 of its resolution, if it consists of whole tiles.
    ///
    /// # Errors
    /// A message, when it has to be read at full resolution.
    pub(super) fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, String> {
        let raw = self.level(region.level as usize)?;
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
            let samples = tile_pixels.as_flat_samples_mut().samples;
            raw.decode(&mut file, tile, ScalingFactor::ONE_EIGHTH, samples, pitch)?;
            let shown = raw.grid().region(region.level, tile);
            let to = |at: i64, start: i64| (at - start) / i64::from(EIGHTH);
            image::imageops::replace(&mut canvas, &tile_pixels, to(shown.x, region.x), to(shown.y, region.y));
        }
        Ok(canvas)
    }

    /// Decodes what is shown of a tile into RGBA rows that begin `pitch` bytes apart.
    fn draw(
        &self,
        Reading { raw, level, file, are_neighbours_read }: &mut Reading,
        tile: usize,
        shown: &Shown,
        canvas: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        let (tile_width, tile_height) = raw.tile_size();
        let TilePart { x, y, width, height } = shown.part;
        if (width, height) == (tile_width, tile_height) {
            return raw.decode(file, tile, ScalingFactor::ONE, canvas, pitch);
        }
        let key = u64::from(*level) << 48 | tile as u64;
        let pixels = match self.memory_cache.get(key) {
            Some(pixels) => pixels,
            // The rest of the tile is decoded where neighbouring regions are likely to need it.
            None if !*are_neighbours_read
                && shown.is_small_part_of(tile_width, tile_height)
                && raw.decode_part(file, tile, shown.part, canvas, pitch).is_ok() =>
            {
                return Ok(());
            }
            None => {
                let tile_pitch = tile_width as usize * 4;
                let mut pixels = vec![0; tile_pitch * tile_height as usize];
                raw.decode(file, tile, ScalingFactor::ONE, &mut pixels, tile_pitch)?;
                let pixels = Arc::new(pixels);
                if shown.is_part {
                    self.memory_cache.insert(key, pixels.len(), pixels.clone());
                }
                pixels
            }
        };
        let (skipped, length) = (x as usize * 4, width as usize * 4);
        let lines = pixels.chunks_exact(tile_width as usize * 4).skip(y as usize);
        for (row, line) in canvas.chunks_mut(pitch).zip(lines).take(height as usize) {
            row[..length].copy_from_slice(&line[skipped..skipped + length]);
        }
        Ok(())
    }
}

/// A level, and how it is read for one region.
struct Reading<'a> {
    raw: &'a RawLevel,
    /// Index of the level.
    level: u32,
    file: File,
    are_neighbours_read: bool,
}

/// What is shown of a tile.
struct Shown {
    /// Left edge in pixels of the level.
    left: i64,
    /// Upper edge in pixels of the level.
    top: i64,
    part: TilePart,
    /// Whether some of the tile's pixels that lie on the level are not shown.
    is_part: bool,
}

impl Shown {
    /// `tile` is the region of a tile on its level, `part` what is read of the level.
    fn of(tile: &LevelRect, part: &LevelRect) -> Self {
        // All positions lie on the level, so no sum overflows.
        let end = |start: i64, length: u32| start + i64::from(length);
        let (left, top) = (tile.x.max(part.x), tile.y.max(part.y));
        let right = end(tile.x, tile.width).min(end(part.x, part.width));
        let bottom = end(tile.y, tile.height).min(end(part.y, part.height));
        let part = TilePart {
            x: (left - tile.x) as u32,
            y: (top - tile.y) as u32,
            width: (right - left) as u32,
            height: (bottom - top) as u32,
        };
        Self { left, top, part, is_part: (part.width, part.height) != (tile.width, tile.height) }
    }

    /// Whether decoding no more than this saves much: not if most of the tile is shown.
    fn is_small_part_of(&self, tile_width: u32, tile_height: u32) -> bool {
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        2 * area(self.part.width, self.part.height) <= area(tile_width, tile_height)
    }
}
