//! How well descriptors use their dimensions: variance spectrum, effective dimension, near-duplicates.

use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::Serialize;

use super::Descriptors;
use super::intervals::median;
use super::neighbours::Pool;
use histokin_core::number_format::decimal;
use histokin_core::two_class_threshold::TwoClassThreshold;

/// Maximum number of tiles that are examined, drawn at random.
const SAMPLE: usize = 5000;

/// For descriptors wider than this, eigenvalues are computed from the Gram matrix of this many tiles, which
/// is faster.
const WIDEST_COVARIANCE: usize = 512;

/// Two tiles are near-duplicates if their distance is below this fraction of the median distance of tiles.
const DUPLICATE_SHARE: f64 = 0.02;

/// An axis is bimodal if the centres of two clusters account for more than this share of its variance.
const BIMODAL: f64 = 0.85;

/// Measures of how well the descriptors of an encoder use their dimensions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// Share of the variance along each principal axis, in descending order; the shares sum to 1.
    pub spectrum: Vec<f64>,
    /// Participation ratio (Σλ)² / Σλ² of the variances λ: 1 if one axis has all variance, the width if all
    /// axes have the same.
    pub effective_dimension: f64,
    /// Share of the first axis's variance that the centres of two clusters of tiles account for.
    pub first_axis_split: f64,
    /// Share of tiles with another tile nearer than 2 % of the median distance of two tiles.
    pub near_duplicates: f64,
    /// Median Euclidean distance of two tiles.
    pub median_distance: f64,
    /// Number of tiles examined.
    pub sample: usize,
}

impl Health {
    /// Returns a description of what is wrong; `None` for sound descriptors.
    pub fn warning(&self) -> Option<String> {
        let dimension = self.discriminative_dimension();
        if self.median_distance <= 0.0 {
            Some("collapsed: all tiles have the same descriptor".to_owned())
        } else if dimension < 2.0 {
            Some(format!(
                "collapsed to {} effective dimensions: the descriptors distinguish few tiles",
                decimal(dimension, 1)
            ))
        } else if self.near_duplicates > 0.5 {
            Some(format!(
                "{} % of the tiles have a near-duplicate: the descriptors distinguish few tiles",
                decimal(100.0 * self.near_duplicates, 0)
            ))
        } else {
            None
        }
    }

    /// Returns the effective dimension, without the first axis if that is bimodal: such an axis may have
    /// nearly all variance while the others distinguish the tiles of each cluster.
    fn discriminative_dimension(&self) -> f64 {
        match self.spectrum.split_first() {
            Some((_, others)) if self.first_axis_split > BIMODAL => participation(others),
            _ => self.effective_dimension,
        }
    }
}

/// Returns the participation ratio (Σλ)² / Σλ².
fn participation(variances: &[f64]) -> f64 {
    let (total, squares) = variances
        .iter()
        .fold((0.0, 0.0), |(total, squares), variance| (total + variance, squares + variance * variance));
    if squares > 0.0 { total * total / squares } else { 0.0 }
}

/// Examines up to 5000 of `descriptors`, drawn with `seed`. Returns `None` for fewer than two tiles.
pub fn examine(descriptors: Descriptors<'_>, seed: u64) -> Option<Health> {
    if descriptors.len() < 2 {
        return None;
    }
    let rows = sample(descriptors.len(), SAMPLE, seed);
    let Axes { variances, first } = axes(descriptors, &rows, seed);
    let total: f64 = variances.iter().sum();
    let pairs = rows.iter().zip(rows.iter().cycle().skip(rows.len() / 2));
    let typical =
        median(pairs.map(|(a, b)| f64::from(descriptors.distance(*a as usize, *b as usize))).collect())?;
    let own: Vec<u32> = (0..descriptors.len() as u32).collect();
    let nearest = Pool::new(descriptors, &own, rows.clone()).nearest(&rows, 1);
    let duplicates = nearest
        .iter()
        .filter(|found| {
            found.first().is_some_and(|first| f64::from(first.distance) <= DUPLICATE_SHARE * typical)
        })
        .count();
    Some(Health {
        spectrum: variances.iter().map(|variance| if total > 0.0 { variance / total } else { 0.0 }).collect(),
        effective_dimension: participation(&variances),
        first_axis_split: TwoClassThreshold::of(first).map_or(0.0, |clusters| clusters.share),
        near_duplicates: duplicates as f64 / rows.len() as f64,
        median_distance: typical,
        sample: rows.len(),
    })
}

/// Returns the mean descriptor of all tiles.
pub fn mean(descriptors: Descriptors<'_>) -> Vec<f64> {
    let width = descriptors.width();
    let sums = descriptors
        .values()
        .par_chunks(width * 4096)
        .map(|rows| {
            let mut sums = vec![0.0f64; width];
            for row in rows.chunks_exact(width) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            sums
        })
        .collect::<Vec<_>>();
    let mut mean = vec![0.0; width];
    for part in sums {
        mean.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    mean.iter_mut().for_each(|sum| *sum /= descriptors.len().max(1) as f64);
    mean
}

/// Returns `most` of `count` rows in ascending order, drawn with `seed`; all rows if there are no more.
pub fn sample(count: usize, most: usize, seed: u64) -> Vec<u32> {
    if count <= most {
        return (0..count as u32).collect();
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<u32> =
        rand::seq::index::sample(&mut random, count, most).into_iter().map(|row| row as u32).collect();
    rows.sort_unstable();
    rows
}

/// The principal axes.
struct Axes {
    /// Variances along them, descending.
    variances: Vec<f64>,
    /// Coordinates of the tiles along the first axis, up to a factor.
    first: Vec<f64>,
}

/// Returns the eigenvalues of the covariance matrix or of the Gram matrix, which are the same except for
/// zeros, and the coordinates along the first axis.
fn axes(descriptors: Descriptors<'_>, rows: &[u32], seed: u64) -> Axes {
    let width = descriptors.width();
    let fewer: Vec<u32>;
    let rows = if width > WIDEST_COVARIANCE {
        fewer =
            sample(rows.len(), WIDEST_COVARIANCE, seed).iter().map(|index| rows[*index as usize]).collect();
        &fewer
    } else {
        rows
    };
    let mut matrix = DMatrix::<f64>::from_fn(rows.len(), width, |row, column| {
        f64::from(descriptors.row(rows[row] as usize)[column])
    });
    for mut column in matrix.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    let few = rows.len() < width;
    let products = if few { &matrix * matrix.transpose() } else { matrix.transpose() * &matrix };
    let eigen = (products / (rows.len() - 1).max(1) as f64).symmetric_eigen();
    let (largest, _) = eigen.eigenvalues.argmax();
    let vector = eigen.eigenvectors.column(largest);
    let first = if few { vector.into_owned() } else { &matrix * vector };
    let mut variances: Vec<f64> = eigen.eigenvalues.iter().map(|value| value.max(0.0)).collect();
    variances.sort_by(|a, b| b.total_cmp(a));
    Axes { variances, first: first.iter().copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(index: usize, speed: f64) -> f32 {
        (index as f64 * speed).sin() as f32
    }

    #[test]
    fn equal_axes_count_fully_and_a_single_one_is_a_collapse() {
        let even: Vec<f32> =
            (0..900).flat_map(|index| [1.1, 2.3, 3.7].map(|speed| wave(index, speed))).collect();
        let health = examine(Descriptors::new(&even, 3).unwrap(), 0).unwrap();
        assert!((health.effective_dimension - 3.0).abs() < 0.05, "{health:?}");
        assert!((health.spectrum.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(health.warning(), None);

        let flat: Vec<f32> =
            (0..900).flat_map(|index| [wave(index, 1.1), 5.0, 1e-3 * wave(index, 2.3)]).collect();
        let health = examine(Descriptors::new(&flat, 3).unwrap(), 0).unwrap();
        assert!(health.effective_dimension < 1.01);
        assert!(health.warning().unwrap().contains("collapsed"));

        // A bimodal axis also has most of the variance, but the other axes distinguish tiles, unless they lie
        // on a line.
        let bimodal = |others: [f64; 3]| -> Vec<f32> {
            let row = |index: usize| {
                let side = if index.is_multiple_of(2) { 9.0 } else { 0.0 };
                [side].into_iter().chain(others.map(|speed| wave(index, speed)))
            };
            (0..900).flat_map(row).collect()
        };
        let sound = examine(Descriptors::new(&bimodal([1.1, 2.3, 3.7]), 4).unwrap(), 0).unwrap();
        assert!(sound.effective_dimension < 1.5 && sound.first_axis_split > 0.99, "{sound:?}");
        assert_eq!(sound.warning(), None);
        let line = examine(Descriptors::new(&bimodal([1.1, 1.1, 1.1]), 4).unwrap(), 0).unwrap();
        assert!(line.warning().unwrap().contains("collapsed to 1.0"), "{line:?}");
    }

    #[test]
    fn duplicates_are_counted() {
        let twice: Vec<f32> =
            (0..400).flat_map(|index| [1.1, 2.3, 3.7].map(|speed| wave(index / 2, speed))).collect();
        let health = examine(Descriptors::new(&twice, 3).unwrap(), 0).unwrap();
        assert_eq!(health.near_duplicates, 1.0);
        assert_eq!(examine(Descriptors::new(&[1.0; 40], 4).unwrap(), 0).unwrap().median_distance, 0.0);
    }

    #[test]
    fn wide_descriptors_have_the_same_variances() {
        let wide: Vec<f32> = (0..600 * 40).map(|index| wave(index, 0.77) * (1 + index % 40) as f32).collect();
        let descriptors = Descriptors::new(&wide, 40).unwrap();
        let rows: Vec<u32> = (0..30).collect();
        let few = axes(descriptors, &rows, 0).variances;
        assert_eq!(few.len(), 30, "of fewer tiles than numbers, by products");
        let total: f64 = (0..40)
            .map(|column| {
                let values: Vec<f64> =
                    rows.iter().map(|row| f64::from(descriptors.row(*row as usize)[column])).collect();
                let mean = values.iter().sum::<f64>() / 30.0;
                values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 29.0
            })
            .sum();
        assert!((few.iter().sum::<f64>() / total - 1.0).abs() < 1e-9);
    }
}
