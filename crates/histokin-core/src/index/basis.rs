//! Principal axes of descriptors; a few coordinates along them give a good lower bound of a distance.
//!
//! With `P` the coordinates along any orthonormal axes and `r` the norm of the component orthogonal to them,
//! `‖x − y‖² ≥ ‖Px − Py‖² + (r_x − r_y)²`. The choice of axes only affects how tight this bound is, not
//! whether it holds, so a basis fitted to a sample is valid for all tiles.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector, DVectorView, SymmetricEigen};

use super::distance::{centre, sum_of_squares};
use super::moments::Moments;
use crate::descriptors::DescriptorSet;

/// Number of axes: as many as the two layers of [`super::layers`] hold.
pub const AXES: usize = 105;

/// Number of descriptors in one matrix product.
pub const BLOCK: usize = 1024;

/// Directions iterated in addition to the wanted ones, for faster convergence.
const SPARE_AXES: usize = 8;
/// Number of orthogonal iterations.
const ROUNDS: usize = 8;

/// Up to [`AXES`] orthonormal axes in order of variance, and the mean as their origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    mean: DVector<f64>,
    /// One axis per row.
    axes: DMatrix<f64>,
    /// Standard deviation along the first axis.
    pub spread: f64,
}

/// A descriptor in a [`Basis`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projected {
    /// Coordinates along the axes; 0 beyond the last one.
    pub along: [f64; AXES],
    /// Norm of the component orthogonal to all axes.
    pub residual: f64,
}

impl Basis {
    /// Fits axes to a sample of all rows of `sets`, which have equal `width` and at least one row. `None`
    /// when the sample contains non-finite numbers.
    pub fn fit(sets: &[Arc<DescriptorSet>], width: usize) -> Option<Self> {
        let Moments { mean, covariance, .. } = Moments::of_sample(sets, width, 1)?;
        let (axes, spread) = first_axes(&covariance, AXES.min(width));
        Some(Self { mean, axes, spread })
    }

    /// Leaves only the first `axes` axes.
    pub fn only(self, axes: usize) -> Self {
        let count = axes.min(self.axes.nrows());
        Self { axes: self.axes.rows(0, count).into_owned(), ..self }
    }

    /// Restores a basis of up to `axes` axes from the output of [`Basis::numbers`]; `None` if the count of numbers is wrong.
    pub fn from_numbers(numbers: &[f64], width: usize, axes: usize) -> Option<Self> {
        let (head, numbers) = numbers.split_at_checked(1 + width)?;
        let count = axes.min(width);
        (numbers.len() == count * width).then(|| Self {
            mean: DVector::from_column_slice(&head[1..]),
            axes: DMatrix::from_column_slice(count, width, numbers),
            spread: head[0],
        })
    }

    /// Returns the complete basis as numbers, for storage.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = vec![self.spread];
        numbers.extend(self.mean.iter().chain(self.axes.iter()));
        numbers
    }

    /// Returns the number of values in a descriptor.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Projects one descriptor.
    pub fn project(&self, descriptor: &[f32]) -> Projected {
        let mut one = None;
        self.project_block(descriptor, |projected| one = Some(projected));
        one.expect("one descriptor has one projection")
    }

    /// Projects `descriptors` (`n × width`, `n` at most [`BLOCK`]) and passes each to `take`, in order.
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
        let mut coordinates = [0.0; AXES];
        coordinates[..along.len()].copy_from_slice(along.as_slice());
        let outside = norm_squared - along.norm_squared();
        // Rounding may make it negative; NaN stays NaN.
        Self { along: coordinates, residual: if outside < 0.0 { 0.0 } else { outside.sqrt() } }
    }

    /// Returns the norm of all but the first `axes` coordinates.
    pub fn residual_after(&self, axes: usize) -> f64 {
        (sum_of_squares(&self.along[axes..]) + self.residual * self.residual).sqrt()
    }

    /// Returns the distance from the mean, which no coordinate and no norm of several exceeds.
    pub fn reach(&self) -> f64 {
        self.residual_after(0)
    }
}

/// Returns the `count` directions of largest variance as orthonormal rows, and the standard deviation along
/// the first. Uses orthogonal iteration (Golub and Van Loan, Matrix Computations, 4th ed., §8.2.4), which
/// avoids a full decomposition of the large covariance matrices of wide encoders.
pub fn first_axes(covariance: &DMatrix<f64>, count: usize) -> (DMatrix<f64>, f64) {
    let width = covariance.nrows();
    let tried = (count + SPARE_AXES).min(width);
    // Any deterministic start works that is not orthogonal to the wanted directions.
    let mut directions = DMatrix::from_fn(width, tried, |row, column| {
        let index = (row * tried + column) as f64;
        (index * 0.618_033_988_749_895).fract() - 0.5 + f64::from(u8::from(row == column))
    });
    directions = directions.qr().q();
    for _ in 0..ROUNDS {
        directions = (covariance * directions).qr().q();
    }
    let within = SymmetricEigen::new(directions.transpose() * covariance * &directions);
    let mut order: Vec<usize> = (0..tried).collect();
    order.sort_by(|a, b| within.eigenvalues[*b].total_cmp(&within.eigenvalues[*a]));
    let spread = within.eigenvalues[order[0]].max(0.0).sqrt();
    let turned = directions * within.eigenvectors;
    let chosen: Vec<DVector<f64>> =
        order[..count].iter().map(|column| turned.column(*column).into()).collect();
    // Orthonormalised again, since the bounds rely on it.
    (DMatrix::from_columns(&chosen).qr().q().transpose(), spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn axes_are_orthonormal_and_hold_the_variance(seed in 0u32..1000, width in 1usize..80) {
            let value = |row: usize, axis: usize| {
                let hash = (row as u32 + 7 * seed).wrapping_mul(2_654_435_761).rotate_left(axis as u32 % 31);
                (f64::from(hash % 1000) / 1000.0 - 0.5) * 0.8f64.powi(axis as i32)
            };
            let rows = DMatrix::from_fn(300, width, value);
            let covariance = rows.transpose() * &rows / 300.0;
            let count = AXES.min(width);
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
        assert_eq!(Basis::from_numbers(&basis.numbers(), 3, AXES), Some(basis.clone()));
        assert_eq!(Basis::from_numbers(&basis.numbers()[1..], 3, AXES), None);
        let only = basis.clone().only(2);
        assert_eq!(Basis::from_numbers(&only.numbers(), 3, 2), Some(only.clone()));
        assert_eq!(only.project(&[2.0, 4.0, 3.0]).along[..2], basis.project(&[2.0, 4.0, 3.0]).along[..2]);
        let projected = basis.project(&[2.0, 4.0, 3.0]);
        assert!((projected.along[0].abs() - 2.0).abs() < 1e-9 && projected.residual < 1e-6);
    }
}
