//! Reduced regions of levels that are stored in strips.
//!
//! A strip spans the whole width and is decoded as a whole. Regions side by side would decode the same strips again and
//! again, for example 8 times for a level of 30,000 px read in regions of 4096 px. Therefore, whole rows are reduced at
//! once and cached, and regions are cut from them.

use std::sync::{Arc, PoisonError};

use image::RgbaImage;

use super::super::SlideSource;
use super::super::reduced::{read_in_parts, shrink_into};
use super::super::{Level, SlideError};
use super::source::TiffSource;
use crate::geometry::LevelRect;

/// Number of rows that are reduced and cached together, in pixels of the result.
const BAND_ROWS: u32 = 64;

/// Maximum number of bytes of unreduced pixels held while a band is computed.
const MAX_SLICE_BYTES: u64 = 64 << 20;

/// Marks keys of bands in the cache; keys of tiles and strips are smaller.
const BAND_KEY: u64 = 1 << 63;

impl TiffSource {
    /// As [`SlideSource::read_reduced`].
    pub(super) fn read_reduced_region(
        &self,
        region: &LevelRect,
        factor: u32,
    ) -> Result<RgbaImage, SlideError> {
        match self.info().levels.get(region.level as usize) {
            Some(level) if self.is_in_strips(region.level) && consists_of_blocks(region, factor, level) => {
                self.cut_from_bands(region, factor, level)
            }
            _ => read_in_parts(&|part| self.read(part), region, factor),
        }
    }

    fn cut_from_bands(
        &self,
        region: &LevelRect,
        factor: u32,
        level: &Level,
    ) -> Result<RgbaImage, SlideError> {
        let (left, top) = (region.x as u32 / factor, region.y as u32 / factor);
        let (width, height) = (region.width.div_ceil(factor), region.height.div_ceil(factor));
        let mut reduced = RgbaImage::new(width, height);
        for index in top / BAND_ROWS..=(top + height - 1) / BAND_ROWS {
            let band = self.band(region.level, index, factor, level)?;
            let first = index * BAND_ROWS;
            let (from, to) = (first.max(top), (first + band.height()).min(top + height));
            let part = image::imageops::crop_imm(&*band, left, from - first, width, to - from);
            image::imageops::replace(&mut reduced, &part.to_image(), 0, (from - top).into());
        }
        Ok(reduced)
    }

    /// Returns the rows of band `index` at the full width of the level.
    fn band(
        &self,
        number: u32,
        index: u32,
        factor: u32,
        level: &Level,
    ) -> Result<Arc<RgbaImage>, SlideError> {
        let key = BAND_KEY | u64::from(number) << 52 | u64::from(factor) << 32 | u64::from(index);
        if let Some(band) = self.memory_cache.get(key) {
            return Ok(band);
        }
        // Regions of the same rows are often read by several threads at once.
        let lock = &self.bands[index as usize % self.bands.len()];
        let _computing = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(band) = self.memory_cache.get(key) {
            return Ok(band);
        }
        let top = index * BAND_ROWS * factor;
        let rows = (BAND_ROWS * factor).min(level.height - top);
        let mut band = RgbaImage::new(level.width.div_ceil(factor), rows.div_ceil(factor));
        let most = (MAX_SLICE_BYTES / (u64::from(level.width) * 4).max(1)).min(u64::from(rows)) as u32;
        let slice = (most / factor).max(1) * factor;
        for offset in (0..rows).step_by(slice as usize) {
            let region = LevelRect {
                level: number,
                x: 0,
                y: i64::from(top + offset),
                width: level.width,
                height: slice.min(rows - offset),
            };
            shrink_into(&self.read(&region)?, factor, &mut band, (0, offset / factor));
        }
        let band = Arc::new(band);
        self.memory_cache.insert(key, band.as_raw().len(), band.clone());
        Ok(band)
    }
}

/// Whether a region lies on the level and consists of the same squares of pixels that a band is reduced from.
fn consists_of_blocks(region: &LevelRect, factor: u32, level: &Level) -> bool {
    let fits = |start: i64, length: u32, extent: u32| {
        let (step, extent) = (i64::from(factor), i64::from(extent));
        let end = start + i64::from(length);
        start >= 0 && length > 0 && start % step == 0 && end <= extent && (end % step == 0 || end == extent)
    };
    factor > 1 && fits(region.x, region.width, level.width) && fits(region.y, region.height, level.height)
}
