//! Comparison of levels with each other.
//!
//! An image of half the size that no flag calls a reduced version of another may be a level, as older writers stored them, or
//! a different region or section.

use image::imageops;

use super::super::SlideSource;
use super::super::calibration::SlideWarning;
use super::source::TiffSource;
use crate::geometry::LevelRect;

/// Number of samples along each axis.
const SAMPLES: u32 = 4;

/// Edge of a sample, in pixels of the coarser level.
const SAMPLE_PX: u32 = 32;

/// Number of blocks along the edge of a sample, whose mean values are compared: pixels of both levels may be shifted by one.
const BLOCKS: u32 = 8;

/// Smallest correlation of the blocks of two levels of the same slide.
const MIN_CORRELATION: f64 = 0.5;

/// Variance of the blocks' grey values (0 to 255) below which there is nothing to compare.
const MIN_VARIANCE: f64 = 4.0;

/// Number of pixels of a tile or strip above which decoding it takes too long to compare levels.
const LARGEST_CHUNK: u64 = 1 << 22;

impl TiffSource {
    /// Removes levels that show something else than the next finer one, with a warning for each. `is_stated` tells of each
    /// level whether the file calls it a reduced version.
    pub(super) fn leave_out_other_images(&mut self, is_stated: &[bool]) {
        let mut level = 1;
        for is_stated in is_stated.iter().skip(1) {
            if *is_stated || self.resembles_finer(level) {
                level += 1;
                continue;
            }
            let other = self.remove_level(level);
            let text = format!(
                "it also contains a different image of {} × {} px, which is not shown",
                other.width, other.height
            );
            self.add_warning(SlideWarning::Shown { text });
        }
    }

    /// Whether a level shows the same as the next finer one, as far as there is anything to see.
    fn resembles_finer(&self, level: usize) -> bool {
        let is_quick = |level: usize| self.pixels_of_chunk(level) <= LARGEST_CHUNK;
        if !is_quick(level) || !is_quick(level - 1) {
            return true;
        }
        let mut sums = Sums::default();
        for row in 0..SAMPLES {
            for column in 0..SAMPLES {
                if let Some((coarse, fine)) = self.sample(level, column, row) {
                    sums.add(&coarse, &fine);
                }
            }
        }
        sums.correlation().is_none_or(|correlation| correlation >= MIN_CORRELATION)
    }

    /// Returns the grey values of blocks of both levels; `None` where pixels are missing or cannot be read.
    fn sample(&self, level: usize, column: u32, row: u32) -> Option<(Vec<f64>, Vec<f64>)> {
        let levels = &self.info().levels;
        let (coarse, fine) = (levels.get(level)?, levels.get(level - 1)?);
        let edge = SAMPLE_PX.min(coarse.width).min(coarse.height);
        if edge < BLOCKS {
            return None;
        }
        let start = |size: u32, index: u32| {
            u64::from(size - edge) * u64::from(2 * index + 1) / u64::from(2 * SAMPLES)
        };
        let (x, y) = (start(coarse.width, column), start(coarse.height, row));
        let (across, down) =
            (coarse.downsample.x / fine.downsample.x, coarse.downsample.y / fine.downsample.y);
        let scaled = |px: f64, factor: f64| (px * factor).round();
        let read = |level: usize, x: f64, y: f64, width: f64, height: f64| -> Option<Vec<f64>> {
            let region = LevelRect {
                level: level as u32,
                x: x as i64,
                y: y as i64,
                width: width.max(1.0) as u32,
                height: height.max(1.0) as u32,
            };
            let blocks = imageops::thumbnail(&self.read(&region).ok()?, BLOCKS, BLOCKS);
            let is_whole = blocks.pixels().all(|pixel| pixel.0[3] == 255);
            is_whole.then(|| {
                blocks
                    .pixels()
                    .map(|pixel| pixel.0[..3].iter().map(|one| f64::from(*one)).sum::<f64>() / 3.0)
                    .collect()
            })
        };
        let (x, y, edge) = (x as f64, y as f64, f64::from(edge));
        let coarse = read(level, x, y, edge, edge)?;
        let fine =
            read(level - 1, scaled(x, across), scaled(y, down), scaled(edge, across), scaled(edge, down))?;
        Some((coarse, fine))
    }
}

/// Sums over the blocks of all samples, of values less the mean of their sample.
#[derive(Default)]
struct Sums {
    coarse: f64,
    fine: f64,
    both: f64,
    count: f64,
}

impl Sums {
    fn add(&mut self, coarse: &[f64], fine: &[f64]) {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (of_coarse, of_fine) = (mean(coarse), mean(fine));
        for (coarse, fine) in coarse.iter().zip(fine) {
            let (coarse, fine) = (coarse - of_coarse, fine - of_fine);
            self.coarse += coarse * coarse;
            self.fine += fine * fine;
            self.both += coarse * fine;
            self.count += 1.0;
        }
    }

    /// Returns the correlation; `None` if neither level shows anything.
    fn correlation(&self) -> Option<f64> {
        let least = MIN_VARIANCE * self.count;
        (self.coarse > least || self.fine > least)
            .then(|| self.both / (self.coarse * self.fine).sqrt().max(f64::MIN_POSITIVE))
    }
}
