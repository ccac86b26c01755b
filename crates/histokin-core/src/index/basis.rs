//! The first principal axes of descriptors, in which a few numbers tell most of a distance.
//!
//! With `P` the coordinates along any orthonormal axes and `r` the norm of what lies outside them,
//! `‖x − y‖² ≥ ‖Px − Py‖² + (r_x − r_y)²`. Which axes are taken decides how close this bound comes, never
//! whether it holds: a basis of a sample serves all tiles.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector, DVectorView, SymmetricEigen};
use rayon::prelude::*;

use super::distance::{CODE_AXES, centre};
use crate::descriptors::DescriptorSet;

/// Numbers in the sample from which the axes are found: 20,000 descriptors of 128 numbers, whose covariance is
/// known to one in a hundred.
const FIT_NUMBERS: usize = 20_000 * 128;

/// Descriptors projected at once, so that a matrix product does the work.
pub const BLOCK: usize = 1024;

/// Directions searched beside those that are wanted, so that the wanted ones settle quickly.
const SPARE_AXES: usize = 8;
const ROUNDS: usize = 8;

/// Up to [`CODE_AXES`] orthonormal axes in order of variance, and the mean that they start from.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    mean: DVector<f64>,
    /// One axis a row.
    axes: DMatrix<f64>,
    /// Standard deviation along the first axis.
    pub spread: f64,
}

/// A descriptor in a [`Basis`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projected {
    /// Coordinates along the axes; 0 beyond the last one.
    pub along: [f64; CODE_AXES],
    /// Norm of what lies outside all axes.
    pub residual: f64,
}

impl Basis {
    /// The axes of a sample of all rows of `sets`, which are of equal `width` and hold at least one row. `None` when
    /// the sample holds numbers that are not finite.
    pub fn fit(sets: &[Arc<DescriptorSet>], width: usize) -> Option<Self> {
        let len: usize = sets.iter().map(|set| set.len()).sum();
        let step = (len * width).div_ceil(FIT_NUMBERS).max(1);
        let rows = sets.iter().flat_map(|set| set.features().chunks_exact(width)).step_by(step);
        let sample: Vec<f32> = rows.flatten().copied().collect();
        let count = (sample.len() / width).max(1) as f64;
        let mut mean = DVector::<f64>::zeros(width);
        for row in sample.chunks_exact(width) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value) / count;
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
        // Summed in the order of the blocks, so that the same descriptors give the same axes.
        let parts: Vec<DMatrix<f64>> = sample.par_chunks(BLOCK * width).map(of_block).collect();
        let covariance = parts.iter().fold(DMatrix::zeros(width, width), |sum, part| sum + part) / count;
        let (axes, spread) = first_axes(&covariance, CODE_AXES.min(width));
        Some(Self { mean, axes, spread })
    }

    /// Take a basis from the numbers that [`Basis::numbers`] gave; `None` where they are none.
    pub fn from_numbers(numbers: &[f64], width: usize) -> Option<Self> {
        let (head, axes) = numbers.split_at_checked(1 + width)?;
        let count = CODE_AXES.min(width);
        (axes.len() == count * width).then(|| Self {
            mean: DVector::from_column_slice(&head[1..]),
            axes: DMatrix::from_column_slice(count, width, axes),
            spread: head[0],
        })
    }

    /// All that the basis is, for keeping.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = vec![self.spread];
        numbers.extend(self.mean.iter().chain(self.axes.iter()));
        numbers
    }

    /// Numbers in a descriptor.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Project one descriptor.
    pub fn project(&self, descriptor: &[f32]) -> Projected {
        let mut one = None;
        self.project_block(descriptor, |projected| one = Some(projected));
        one.expect("one descriptor has one projection")
    }

    /// Project all of `descriptors` (`n × width`, at most [`BLOCK`] of them), in order.
    pub fn project_block(&self, descriptors: &[f32], mut take: impl FnMut(Projected)) {
        let width = self.width();
        let mut centred = DMatrix::zeros(width, descriptors.len() / width);
        centre(descriptors, self.mean.as_slice(), centred.as_mut_slice());
        let along = &self.axes * &centred;
        for (column, row) in along.column_iter().zip(centred.column_iter()) {
            take(Projected::new(column, row.norm_squared()));
        }
    }
}

impl Projected {
    fn new(along: DVectorView<'_, f64>, norm_squared: f64) -> Self {
        let mut coordinates = [0.0; CODE_AXES];
        coordinates[..along.len()].copy_from_slice(along.as_slice());
        let outside = norm_squared - along.norm_squared();
        // Rounding may take it below 0; what is no number stays none.
        Self { along: coordinates, residual: if outside < 0.0 { 0.0 } else { outside.sqrt() } }
    }

    /// Norm of all but the first `axes` coordinates.
    pub fn residual_after(&self, axes: usize) -> f64 {
        self.along[axes..].iter().map(|value| value * value).sum::<f64>().sqrt().hypot(self.residual)
    }

    /// The largest number in size.
    pub fn reach(&self) -> f64 {
        self.along.iter().fold(self.residual, |most, value| most.max(value.abs()))
    }
}

/// The `count` directions of largest variance as orthonormal rows, and the standard deviation along the first:
/// orthogonal iteration (Golub and Van Loan, Matrix Computations, 4th ed., §8.2.4), which needs no full
/// decomposition of the wide covariances of large encoders.
pub fn first_axes(covariance: &DMatrix<f64>, count: usize) -> (DMatrix<f64>, f64) {
    let width = covariance.nrows();
    let tried = (count + SPARE_AXES).min(width);
    // Any start will do that is not orthogonal to what is looked for; this one repeats.
    let mut directions = DMatrix::from_fn(width, tried, |row, column| {
        let place = (row * tried + column) as f64;
        (place * 0.618_033_988_749_895).fract() - 0.5 + f64::from(u8::from(row == column))
    });
    for _ in 0..ROUNDS {
        directions = (covariance * directions.qr().q()).qr().q();
    }
    let within = SymmetricEigen::new(directions.transpose() * covariance * &directions);
    let mut order: Vec<usize> = (0..tried).collect();
    order.sort_by(|a, b| within.eigenvalues[*b].total_cmp(&within.eigenvalues[*a]));
    let spread = within.eigenvalues[order[0]].max(0.0).sqrt();
    let turned = directions * within.eigenvectors;
    let chosen: Vec<DVector<f64>> =
        order[..count].iter().map(|column| turned.column(*column).into()).collect();
    // Once more orthonormal to the last bit: the bounds rest on it.
    (DMatrix::from_columns(&chosen).qr().q().transpose(), spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn axes_are_orthonormal_and_hold_the_variance(seed in 0u32..1000, width in 1usize..48) {
            let value = |row: usize, axis: usize| {
                let hash = (row as u32 + 7 * seed).wrapping_mul(2_654_435_761).rotate_left(axis as u32 % 31);
                (f64::from(hash % 1000) / 1000.0 - 0.5) * 0.8f64.powi(axis as i32)
            };
            let rows = DMatrix::from_fn(300, width, value);
            let covariance = rows.transpose() * &rows / 300.0;
            let count = CODE_AXES.min(width);
            let (axes, spread) = first_axes(&covariance, count);
            let identity = &axes * axes.transpose();
            prop_assert!((identity - DMatrix::identity(count, count)).norm() < 1e-12);
            let largest = SymmetricEigen::new(covariance).eigenvalues.max();
            prop_assert!((spread * spread - largest).abs() <= 1e-3 * largest);
        }
    }

    #[test]
    fn a_basis_survives_being_kept() {
        let covariance = DMatrix::from_diagonal(&DVector::from_vec(vec![1.0, 4.0, 2.0]));
        let (axes, spread) = first_axes(&covariance, 3);
        let basis = Basis { mean: DVector::from_vec(vec![1.0, 2.0, 3.0]), axes, spread };
        assert_eq!(Basis::from_numbers(&basis.numbers(), 3), Some(basis.clone()));
        assert_eq!(Basis::from_numbers(&basis.numbers()[1..], 3), None);
        let projected = basis.project(&[2.0, 4.0, 3.0]);
        assert!((projected.along[0].abs() - 2.0).abs() < 1e-9 && projected.residual < 1e-6);
    }
}
