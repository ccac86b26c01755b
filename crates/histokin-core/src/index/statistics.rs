//! What the tiles of an index say about descriptors: how they vary, and whether they have length 1.

use std::sync::Arc;

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::moments::Moments;
use super::squared_distance;
use crate::descriptors::DescriptorSet;

/// Share of equal variances in the covariance.
const SHRINKAGE: f64 = 0.9;

/// Fewest tiles whose covariance is used, as a multiple of the width of their descriptors.
const TILES_PER_NUMBER: usize = 4;

/// Largest deviation from 1 of the length of a descriptor that counts as a unit vector.
pub const UNIT_TOLERANCE: f32 = 1e-3;

/// Number of descriptors, evenly sampled, that tell whether an encoder gives unit vectors: it normalises all
/// of its descriptors or none.
const SAMPLED: usize = 64;

/// Statistics of the descriptors of an index. No label and no mark enters them.
#[derive(Debug, Clone, Default)]
pub struct DescriptorStatistics {
    is_unit: bool,
    /// The covariance shrunk towards equal variances; `None` with too few tiles.
    covariance: Option<Cholesky<f64, Dyn>>,
}

impl DescriptorStatistics {
    /// Computes the statistics of an even sample of all rows of `sets`, which have equal width.
    pub fn of_sets(sets: &[Arc<DescriptorSet>]) -> Self {
        let Some(width) = sets.first().map(|set| set.width()) else { return Self::default() };
        let len: usize = sets.iter().map(|set| set.len()).sum();
        let step = len.div_ceil(SAMPLED).max(1);
        let rows = sets.iter().flat_map(|set| set.features().chunks_exact(width));
        Self::new(is_unit(rows.step_by(step)), || Moments::of_sample(sets, width))
    }

    /// Computes the statistics of `rows` (`n × width`).
    pub fn of_rows(rows: &[f32], width: usize) -> Self {
        Self::new(is_unit(rows.chunks_exact(width.max(1))), || Moments::of(rows, width))
    }

    fn new(is_unit: bool, moments: impl FnOnce() -> Option<Moments>) -> Self {
        // Of other descriptors nothing asks for the covariance.
        let moments = if is_unit { moments() } else { None };
        Self { is_unit, covariance: moments.as_ref().and_then(shrunk) }
    }

    /// Returns whether descriptors have length 1; false if there are none.
    pub fn is_unit(&self) -> bool {
        self.is_unit
    }

    /// Returns the inverse of the shrunk covariance times `axis`: the direction along which a difference of means
    /// stands out most from how tiles vary anyway. `None` if descriptors have not length 1, or if there are fewer than
    /// four tiles for each number of a descriptor (512 for 128 numbers), which do not tell how tiles vary.
    ///
    /// The covariance `C` of `D` numbers is shrunk nine tenths of the way towards equal variances,
    /// `0.1 C + 0.9 (tr C / D) I` (Friedman 1989, "Regularized discriminant analysis", with γ = 0.9).
    pub fn discriminant(&self, axis: &[f64]) -> Option<Vec<f64>> {
        let covariance = self.covariance.as_ref()?;
        let fits = covariance.l_dirty().nrows() == axis.len();
        fits.then(|| covariance.solve(&DVector::from_column_slice(axis)).as_slice().to_vec())
    }
}

/// Returns the decomposition of the shrunk covariance; `None` with too few tiles, or if all are equal.
fn shrunk(moments: &Moments) -> Option<Cholesky<f64, Dyn>> {
    let width = moments.covariance.nrows();
    if moments.count < TILES_PER_NUMBER * width {
        return None;
    }
    let equal = moments.covariance.trace() / width as f64;
    let identity = DMatrix::identity(width, width);
    Cholesky::new(&moments.covariance * (1.0 - SHRINKAGE) + identity * (SHRINKAGE * equal))
}

/// Returns whether descriptors have length 1; false if there are none.
pub fn is_unit<'a>(descriptors: impl IntoIterator<Item = &'a [f32]>) -> bool {
    let mut descriptors = descriptors.into_iter().peekable();
    let has_length_1 = |descriptor: &[f32]| {
        let squared = squared_distance(descriptor, &vec![0.0; descriptor.len()]);
        (squared.sqrt() - 1.0).abs() <= UNIT_TOLERANCE
    };
    descriptors.peek().is_some() && descriptors.all(has_length_1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit vectors of two numbers.
    fn rows(angles: impl Iterator<Item = f32>) -> Vec<f32> {
        angles.flat_map(|angle| [angle.cos(), angle.sin()]).collect()
    }

    #[test]
    fn what_varies_anyway_counts_less() {
        // Along the second number tiles vary much more than along the first.
        let statistics = DescriptorStatistics::of_rows(&rows((-9..=9).map(|step| 0.1 * step as f32)), 2);
        assert!(statistics.is_unit());
        let [first, second] = statistics.discriminant(&[1.0, 1.0]).unwrap()[..] else { unreachable!() };
        assert!(first > second && second > 0.0, "{first} {second}");
    }

    #[test]
    fn few_tiles_and_other_lengths_give_no_discriminant() {
        let few = DescriptorStatistics::of_rows(&rows((0..7).map(|step| step as f32)), 2);
        assert!(few.is_unit() && few.discriminant(&[1.0, 0.0]).is_none());
        let long: Vec<f32> = rows((0..9).map(|step| step as f32)).iter().map(|value| 2.0 * value).collect();
        let long = DescriptorStatistics::of_rows(&long, 2);
        assert!(!long.is_unit() && long.discriminant(&[1.0, 0.0]).is_none());
        assert!(
            !DescriptorStatistics::of_rows(&[], 2).is_unit() && !DescriptorStatistics::of_sets(&[]).is_unit()
        );
        assert!(is_unit([&[0.6, 0.8][..]]) && !is_unit([&[1.0, 0.5][..]]) && !is_unit([]));
    }
}
