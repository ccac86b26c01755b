//! What the tiles of an index say about descriptors: how they vary, and whether they have length 1.

use std::sync::{Arc, LazyLock};

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::moments::{Moments, SAMPLED_NUMBERS};
use super::squared_distance;
use crate::descriptors::DescriptorSet;

/// Share of equal variances in the covariance.
const SHRINKAGE: f64 = 0.9;

/// Fewest tiles whose covariance is used, as a multiple of the width of their descriptors.
const TILES_PER_NUMBER: usize = 4;

/// Most numbers of a descriptor whose covariance is computed; for more of them the fewest tiles are a large sample.
const MOST_NUMBERS: usize = (SAMPLED_NUMBERS / TILES_PER_NUMBER).isqrt();

/// Largest deviation from 1 of the length of a descriptor that counts as a unit vector.
pub(crate) const UNIT_TOLERANCE: f32 = 1e-3;

/// Number of descriptors, evenly sampled, that tell whether an encoder gives unit vectors: it normalises all
/// of its descriptors or none.
const SAMPLED: usize = 64;

/// A value that is computed when it is first read.
type Lazy<T> = LazyLock<T, Box<dyn FnOnce() -> T + Send>>;

fn lazy<T: 'static>(compute: impl FnOnce() -> T + Send + 'static) -> Lazy<T> {
    LazyLock::new(Box::new(compute))
}

/// Statistics of the descriptors of an index. No label and no mark enters them. Each is computed when it is first asked
/// for: most queries need no covariance.
#[derive(Debug)]
pub struct DescriptorStatistics {
    is_unit: Lazy<bool>,
    /// The covariance shrunk towards equal variances; `None` with too few tiles.
    covariance: Lazy<Option<Cholesky<f64, Dyn>>>,
}

impl DescriptorStatistics {
    /// Returns the statistics of an even sample of all rows of `sets`, which have equal width.
    pub fn of_sets(sets: &[Arc<DescriptorSet>]) -> Self {
        let width = sets.first().map_or(1, |set| set.width());
        let sets: Arc<[Arc<DescriptorSet>]> = sets.into();
        let of_all = sets.clone();
        let is_unit = move || {
            let len: usize = sets.iter().map(|set| set.len()).sum();
            let step = len.div_ceil(SAMPLED).max(1);
            is_unit(sets.iter().flat_map(|set| set.features().chunks_exact(width)).step_by(step))
        };
        Self::new(is_unit, width, move || Moments::of_sample(&of_all, width, TILES_PER_NUMBER * width))
    }

    /// Returns the statistics of `rows` (`n × width`).
    pub fn of_rows(rows: &[f32], width: usize) -> Self {
        let rows: Arc<[f32]> = rows.into();
        let all = rows.clone();
        Self::new(move || is_unit(rows.chunks_exact(width.max(1))), width, move || Moments::of(&all, width))
    }

    fn new(
        is_unit: impl FnOnce() -> bool + Send + 'static,
        width: usize,
        moments: impl FnOnce() -> Option<Moments> + Send + 'static,
    ) -> Self {
        let covariance = move || if width > MOST_NUMBERS { None } else { shrunk(&moments()?) };
        Self { is_unit: lazy(is_unit), covariance: lazy(covariance) }
    }

    /// Returns whether descriptors have length 1; false if there are none.
    pub fn is_unit(&self) -> bool {
        *self.is_unit
    }

    /// Computes what [`Self::discriminant`] needs, which takes all cores and tenths of a second. To be called before
    /// work on the thread pool asks for it: there it would wait for itself.
    pub fn prepare(&self) {
        if self.is_unit() {
            LazyLock::force(&self.covariance);
        }
    }

    /// Returns the inverse of the shrunk covariance times `axis`: the direction along which a difference of means
    /// stands out most from how tiles vary anyway. `None` if descriptors have not length 1 or more than 800 numbers,
    /// or if there are fewer than four tiles for each number of a descriptor (512 for 128 numbers), which do not tell
    /// how tiles vary.
    ///
    /// The covariance `C` of `D` numbers is shrunk nine tenths of the way towards equal variances,
    /// `0.1 C + 0.9 (tr C / D) I` (Friedman 1989, "Regularized discriminant analysis", with γ = 0.9).
    pub fn discriminant(&self, axis: &[f64]) -> Option<Vec<f64>> {
        if !self.is_unit() {
            return None;
        }
        let covariance = (*self.covariance).as_ref()?;
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
fn is_unit<'a>(descriptors: impl IntoIterator<Item = &'a [f32]>) -> bool {
    let mut descriptors = descriptors.into_iter().peekable();
    let has_length_1 = |descriptor: &[f32]| {
        let squared = squared_distance(descriptor, &vec![0.0; descriptor.len()]);
        (squared.sqrt() - 1.0).abs() <= UNIT_TOLERANCE
    };
    descriptors.peek().is_some() && descriptors.all(has_length_1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

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
    fn the_covariance_is_computed_once_and_only_when_it_is_needed() {
        let computed = Arc::new(AtomicUsize::new(0));
        let statistics = |is_unit: bool| {
            let computed = computed.clone();
            let moments = move || {
                computed.fetch_add(1, Ordering::Relaxed);
                Moments::of(&rows((0..9).map(|step| step as f32)), 2)
            };
            DescriptorStatistics::new(move || is_unit, 2, moments)
        };
        let unit = statistics(true);
        assert!(unit.is_unit());
        assert_eq!(computed.load(Ordering::Relaxed), 0);
        unit.prepare();
        assert!(unit.discriminant(&[1.0, 0.0]).is_some() && unit.discriminant(&[0.0, 1.0]).is_some());
        assert_eq!(computed.load(Ordering::Relaxed), 1);
        let other = statistics(false);
        other.prepare();
        assert!(other.discriminant(&[1.0, 0.0]).is_none());
        assert_eq!(computed.load(Ordering::Relaxed), 1, "of other lengths it is not needed");
    }

    #[test]
    fn the_covariance_of_wide_descriptors_is_not_computed() {
        assert_eq!(MOST_NUMBERS, 800);
        let width = MOST_NUMBERS + 1;
        let moments = move || {
            let (mean, covariance) = (DVector::zeros(width), DMatrix::identity(width, width));
            Some(Moments { count: TILES_PER_NUMBER * width, mean, covariance })
        };
        let wide = DescriptorStatistics::new(|| true, width, moments);
        assert!(wide.discriminant(&vec![1.0; width]).is_none());
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
