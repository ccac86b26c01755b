//! Comparison of levels with each other.
//!
//! An image of the slide's shape may be a level, or a different region, section or picture of the glass, whatever the file
//! calls it. And the size of a level does not always tell its downsample: where writers pad levels, the quotient of the sizes is
//! a few per cent too small. The pixels tell both.

use image::imageops;

use super::super::SlideSource;
use super::super::calibration::SlideWarning;
use super::layout::Evidence;
use super::set::Handles;
use super::source::TiffSource;
use crate::geometry::{Downsample, LevelRect};

/// Number of samples along each axis.
const SAMPLES: u32 = 4;

/// Edge of a sample, in pixels of the coarser level. Some writers take every other pixel, or every eighth, instead of their
/// mean: on 17 real sections, blocks of 4 × 4 such pixels correlated with those of the finer level by as little as 0.34, blocks
/// of 8 × 8 by 0.67 at least, and other images' mostly by less than 0.2.
const SAMPLE_PX: u32 = 64;

/// Usual largest edge of a sample, in pixels of the finer level.
const MAX_FINE_PX: f64 = 1024.0;

/// The same where a sample has no more than a pixel of the coarser level for each block.
const MOST_FINE_PX: f64 = 4096.0;

/// Number of blocks along the edge of a sample, whose mean values are compared: pixels of both levels may be shifted by one.
const BLOCKS: u32 = 8;

/// Smallest correlation of the blocks of two levels of the same slide, if no flag says that they are.
const MIN_CORRELATION: f64 = 0.5;

/// The same, if a flag says so.
const MIN_STATED_CORRELATION: f64 = 0.4;

/// Correlation above which a few samples are enough.
const CERTAIN_CORRELATION: f64 = 0.7;

/// Number of samples with something to see that are enough then.
const ENOUGH_SAMPLES: u32 = 4;

/// Variance of the blocks' grey values (0 to 255) below which there is nothing to compare.
const MIN_VARIANCE: f64 = 4.0;

/// Variance of the differences between neighbouring blocks below which compression and noise make most of them.
const MIN_DETAIL: f64 = 1.0;

/// Smallest difference of two correlations that tells which downsample is right.
const CLEARLY_BETTER: f64 = 0.05;

/// Number of pixels of a tile or strip above which decoding it takes too long to compare levels.
const LARGEST_CHUNK: u64 = 1 << 22;

/// Largest padding of a level without tiles, in its pixels.
const MAX_PADDING: f64 = 64.0;

impl TiffSource {
    /// Removes levels that show something else than the next finer one, with a warning for each, and further images of the
    /// size of a level. Corrects the downsamples of levels that are padded. `evidence` tells what makes each level one.
    pub(super) fn leave_out_other_images(&mut self, evidence: &[Evidence]) {
        // Opening a file takes as long as reading a tile where it is far away.
        let mut files = self.files();
        let mut level = 1;
        for evidence in evidence.iter().skip(1) {
            let size = |level: usize| (self.info().levels[level].width, self.info().levels[level].height);
            if size(level) == size(level - 1) {
                self.remove_level(level);
                continue;
            }
            let (downsample, correlation) = self.best_downsample(level, &mut files);
            let is_level = match (evidence, correlation) {
                (Evidence::Stated, correlation) => {
                    correlation.is_none_or(|found| found >= MIN_STATED_CORRELATION)
                }
                (Evidence::WholeReduction, correlation) => {
                    correlation.is_none_or(|found| found >= MIN_CORRELATION)
                }
                (Evidence::Shape, correlation) => correlation.is_some_and(|found| found >= MIN_CORRELATION),
            };
            if is_level {
                self.set_downsample(level, downsample);
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

    /// Returns the downsample with which a level resembles the next finer one most, and the correlation of their pixels; `None`
    /// if there is nothing to see.
    fn best_downsample(&self, level: usize, files: &mut Handles) -> (Downsample, Option<f64>) {
        let derived = self.info().levels[level].downsample;
        let mut best = (derived, self.correlation(level, derived, files));
        for padded in self.padded_downsamples(level) {
            let found = self.correlation(level, padded, files);
            if let (Some(found), Some(before)) = (found, best.1)
                && found > before + CLEARLY_BETTER
            {
                best = (padded, Some(found));
            }
        }
        best
    }

    /// The powers of two by which a level may have been reduced before it was padded by less than a tile along both axes, as far
    /// as they differ from the derived downsample by more than a pixel at the slide's far edges.
    fn padded_downsamples(&self, level: usize) -> Vec<Downsample> {
        let (finest, coarse) = (&self.info().levels[0], &self.info().levels[level]);
        let tile = self
            .tile_size(level)
            .map_or((MAX_PADDING, MAX_PADDING), |(width, height)| (width.into(), height.into()));
        let is_padded = |whole: f64, finest: u32, size: u32, tile: f64| {
            let excess = f64::from(size) - f64::from(finest) / whole;
            excess > -1.0 && excess < tile.max(MAX_PADDING)
        };
        let is_far = |whole: f64, finest: u32, derived: f64| {
            (f64::from(finest) / whole - f64::from(finest) / derived).abs() > 1.0
        };
        let is_other = |whole: &f64| {
            let Downsample { x, y } = coarse.downsample;
            // A small level lies within a tile whatever it shows.
            *whole < 2.0 * x.max(y)
                && is_padded(*whole, finest.width, coarse.width, tile.0)
                && is_padded(*whole, finest.height, coarse.height, tile.1)
                && (is_far(*whole, finest.width, x) || is_far(*whole, finest.height, y))
        };
        (1..u32::BITS).map(|power| f64::from(power).exp2()).filter(is_other).map(Downsample::square).collect()
    }

    /// Returns the correlation of a level, at this downsample, with the next finer one; `None` if there is nothing to see.
    fn correlation(&self, level: usize, downsample: Downsample, files: &mut Handles) -> Option<f64> {
        let is_quick = |level: usize| self.pixels_of_chunk(level) <= LARGEST_CHUNK;
        if !is_quick(level) || !is_quick(level - 1) {
            return None;
        }
        let mut sums = Sums::default();
        // A slide's tissue is rather in the middle.
        let from_middle = |index: &u32| (2 * index).abs_diff(SAMPLES - 1);
        let mut places: Vec<(u32, u32)> =
            (0..SAMPLES).flat_map(|row| (0..SAMPLES).map(move |column| (column, row))).collect();
        places.sort_by_key(|(column, row)| from_middle(column) + from_middle(row));
        for (column, row) in places {
            if let Some((coarse, fine)) = self.sample(level, downsample, (column, row), files) {
                sums.add(&coarse, &fine);
                let is_certain = sums.correlation().is_some_and(|found| found >= CERTAIN_CORRELATION);
                if is_certain && sums.visible >= ENOUGH_SAMPLES {
                    break;
                }
            }
        }
        sums.correlation()
    }

    /// Returns the grey values of blocks of both levels; `None` where pixels are missing or cannot be read.
    fn sample(
        &self,
        level: usize,
        downsample: Downsample,
        (column, row): (u32, u32),
        files: &mut Handles,
    ) -> Option<(Vec<f64>, Vec<f64>)> {
        let levels = &self.info().levels;
        let (coarse, fine) = (levels.get(level)?, levels.get(level - 1)?);
        let (across, down) = (downsample.x / fine.downsample.x, downsample.y / fine.downsample.y);
        let widest = ((MAX_FINE_PX / across.max(down)) as u32).max(BLOCKS);
        let edge = SAMPLE_PX.min(widest).min(coarse.width).min(coarse.height);
        if edge < BLOCKS || f64::from(edge) * across.max(down) > MOST_FINE_PX {
            return None;
        }
        // From the start of a tile on, few tiles of either level have to be read, mostly one.
        let start = |size: u32, index: u32, tile: u32| {
            let even = u64::from(size - edge) * u64::from(2 * index + 1) / u64::from(2 * SAMPLES);
            let tile = u64::from(tile.max(1));
            if u64::from(size) >= u64::from(SAMPLES) * tile { even - even % tile } else { even }
        };
        let tile = self.tile_size(level).unwrap_or((1, 1));
        let (x, y) = (start(coarse.width, column, tile.0), start(coarse.height, row, tile.1));
        let scaled = |px: f64, factor: f64| (px * factor).round();
        let mut read = |level: usize, x: f64, y: f64, width: f64, height: f64| -> Option<Vec<f64>> {
            let region = LevelRect {
                level: level as u32,
                x: x as i64,
                y: y as i64,
                width: width.max(1.0) as u32,
                height: height.max(1.0) as u32,
            };
            let blocks = imageops::thumbnail(&self.read_from(files, &region).ok()?, BLOCKS, BLOCKS);
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

/// Sums over the blocks of all samples.
#[derive(Default)]
struct Sums {
    /// Of the differences between blocks and their neighbours.
    details: Products,
    /// Of the differences between blocks and the mean of their sample.
    outlines: Products,
    /// Number of samples in which either level shows something.
    visible: u32,
}

/// Sums of squares of values of both levels, and of their products.
#[derive(Default)]
struct Products {
    coarse: f64,
    fine: f64,
    both: f64,
    count: f64,
}

impl Sums {
    /// Adds a sample of [`BLOCKS`] × [`BLOCKS`] blocks.
    fn add(&mut self, coarse: &[f64], fine: &[f64]) {
        let from_mean = |values: &[f64]| -> Vec<f64> {
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            values.iter().map(|value| value - mean).collect()
        };
        let mut outlines = Products::default();
        outlines.add(&from_mean(coarse), &from_mean(fine));
        if outlines.variance() <= MIN_VARIANCE {
            return;
        }
        self.visible += 1;
        self.outlines.add(&from_mean(coarse), &from_mean(fine));
        self.details.add(&from_neighbours(coarse), &from_neighbours(fine));
    }

    /// Returns the correlation of the details, or of the outlines where there are none, as out of focus; `None` if neither level
    /// shows anything. Different sections may have the same outline.
    fn correlation(&self) -> Option<f64> {
        let shown = if self.details.variance() > MIN_DETAIL { &self.details } else { &self.outlines };
        (self.visible > 0).then(|| shown.both / (shown.coarse * shown.fine).sqrt().max(f64::MIN_POSITIVE))
    }
}

impl Products {
    fn add(&mut self, coarse: &[f64], fine: &[f64]) {
        for (coarse, fine) in coarse.iter().zip(fine) {
            self.coarse += coarse * coarse;
            self.fine += fine * fine;
            self.both += coarse * fine;
            self.count += 1.0;
        }
    }

    /// Variance of the level that varies more.
    fn variance(&self) -> f64 {
        self.coarse.max(self.fine) / self.count.max(1.0)
    }
}

/// Returns the differences between blocks and the mean of their four neighbours, of which those beyond the edge equal the block.
fn from_neighbours(blocks: &[f64]) -> Vec<f64> {
    let edge = BLOCKS as usize;
    let difference = |(at, block): (usize, &f64)| {
        let (x, y) = (at % edge, at / edge);
        let neighbour = |exists: bool, at: usize| if exists { blocks[at] } else { *block };
        let sum = neighbour(x > 0, at.saturating_sub(1))
            + neighbour(x + 1 < edge, at + 1)
            + neighbour(y > 0, at.saturating_sub(edge))
            + neighbour(y + 1 < edge, at + edge);
        block - sum / 4.0
    };
    blocks.iter().enumerate().map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of glass (240) and tissue (160), with an edge at column `edge` and details that depend on `seed`.
    fn sample(edge: usize, seed: u64, detail: f64) -> Vec<f64> {
        let noise =
            |at: u64| ((at + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24);
        let side = BLOCKS as usize;
        let block = |at: usize| match at % side < edge {
            true => 240.0,
            false => 160.0 + detail * (noise(at as u64) - 0.5),
        };
        (0..side * side).map(block).collect()
    }

    fn correlation(coarse: &[f64], fine: &[f64]) -> Option<f64> {
        let mut sums = Sums::default();
        sums.add(coarse, fine);
        sums.correlation()
    }

    #[test]
    fn sections_of_the_same_outline_differ_in_their_details() {
        let same = correlation(&sample(0, 1, 60.0), &sample(0, 1, 50.0));
        assert!(same > Some(0.95), "{same:?}");
        let other = correlation(&sample(0, 1, 60.0), &sample(0, 99, 60.0));
        assert!(other < Some(MIN_STATED_CORRELATION), "{other:?}");
        // Where nothing but an outline is in focus, it has to do.
        let mut blurred = Sums::default();
        let ramp = |slope: f64| (0..64).map(|at| slope * f64::from(at % 8)).collect::<Vec<f64>>();
        blurred.add(&ramp(2.0), &ramp(1.9));
        assert!(blurred.correlation() > Some(0.99));
        assert_eq!(correlation(&[240.0; 64], &[239.0; 64]), None);
    }
}
