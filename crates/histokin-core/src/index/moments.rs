//! Mean and covariance of descriptors, from an even sample.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::basis::BLOCK;
use super::distance::centre;
use crate::descriptors::DescriptorSet;

/// Largest size of a sample, in numbers, unless more rows are wanted: 20,000 descriptors of 128 numbers, which give the
/// covariance to about 1 %.
pub(super) const SAMPLED_NUMBERS: usize = 20_000 * 128;

/// Mean and covariance of descriptors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    /// Number of descriptors that they were computed from; at least 1.
    pub count: usize,
    pub mean: DVector<f64>,
    pub covariance: DMatrix<f64>,
}

impl Moments {
    /// Computes the moments of an even sample of all rows of `sets`, which have equal `width`: of at least `fewest`
    /// rows where there are as many. `None` when there are no rows, or when they contain non-finite numbers.
    ///
    /// It is computed on all cores: other work of the thread pool must not wait for it.
    pub fn of_sample(sets: &[Arc<DescriptorSet>], width: usize, fewest: usize) -> Option<Self> {
        let len: usize = sets.iter().map(|set| set.len()).sum();
        let step = step(len, width, fewest);
        let rows = sets.iter().flat_map(|set| set.features().chunks_exact(width)).step_by(step);
        let sample: Vec<f32> = rows.flatten().copied().collect();
        Self::of(&sample, width)
    }

    /// Computes the moments of `rows` (`n × width`); `None` as in [`Self::of_sample`].
    pub fn of(rows: &[f32], width: usize) -> Option<Self> {
        let count = rows.len().checked_div(width).filter(|count| *count > 0)?;
        let divisor = count as f64;
        let mut mean = DVector::<f64>::zeros(width);
        for row in rows.chunks_exact(width) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value) / divisor;
            }
        }
        if !mean.iter().all(|value| value.is_finite()) {
            return None;
        }
        let of_block = |rows: &[f32]| {
            let mut centred = DMatrix::zeros(width, rows.len() / width);
            centre(rows, mean.as_slice(), centred.as_mut_slice());
            &centred * centred.transpose()
        };
        // Summed in block order, so that the same descriptors always give the same numbers.
        let parts: Vec<DMatrix<f64>> = rows.par_chunks(BLOCK * width).map(of_block).collect();
        let covariance = parts.iter().fold(DMatrix::zeros(width, width), |sum, part| sum + part) / divisor;
        Some(Self { count, mean, covariance })
    }
}

/// Returns of how many rows one is taken into the sample of `len` rows.
fn step(len: usize, width: usize, fewest: usize) -> usize {
    (len * width).div_ceil(SAMPLED_NUMBERS).min(len / fewest.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_enough_rows_and_not_many_more_numbers() {
        for width in [2, 128, 566, 768, 800] {
            let fewest = 4 * width;
            for len in (1..200_usize).map(|part| part * fewest / 10) {
                let sampled = len.div_ceil(step(len, width, fewest));
                assert!(sampled >= fewest.min(len), "{width} numbers, {len} rows: {sampled}");
                assert!(sampled * width <= 2 * SAMPLED_NUMBERS, "{width} numbers, {len} rows: {sampled}");
            }
        }
        assert_eq!(step(40_000, 128, 512), 2);
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        let rows = [1.0, 2.0, 3.0, 0.0, 5.0, 1.0];
        let moments = Moments::of(&rows, 2).unwrap();
        assert_eq!((moments.count, moments.mean.as_slice()), (3, &[3.0, 1.0][..]));
        let expected = [8.0 / 3.0, -2.0 / 3.0, -2.0 / 3.0, 2.0 / 3.0];
        let found = moments.covariance.iter().zip(expected);
        assert!(found.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "{moments:?}");
        assert!(Moments::of(&[], 2).is_none() && Moments::of(&[f32::NAN, 0.0], 2).is_none());
    }
}
