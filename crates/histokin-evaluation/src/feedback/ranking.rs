//! Ways to rank tiles by the judgements of a query.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use strum::{EnumIter, IntoStaticStr};

use crate::Descriptors;
use histokin_core::index::squared_distance;
use histokin_core::query::direction;

/// A way to rank tiles by the judgements of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Ranking {
    /// By the distance to the direction of all judgements ([`direction`](direction())), as the program does unless it
    /// is told otherwise.
    #[default]
    Direction,
    /// By the distance to the nearest tile that is the same; tiles at least as near to a different one come last.
    Nearest,
    /// By a linear discriminant with the covariance of all tiles, shrunk nine tenths of the way towards equal variances (Friedman
    /// 1989, "Regularized discriminant analysis", with γ = 0.9): the difference of the means, the different one with the
    /// weight that the direction gives it.
    Discriminant,
}

/// Share of equal variances in the covariance of the discriminant.
const SHRINKAGE: f64 = 0.9;

/// Ranks tiles by judgements; holds what the rankings need to know about all tiles.
pub(super) struct Ranker<'a> {
    descriptors: Descriptors<'a>,
    ranking: Ranking,
    is_unit: bool,
    /// Shrunk covariance of all tiles, for [`Ranking::Discriminant`].
    covariance: Option<Cholesky<f64, Dyn>>,
}

impl<'a> Ranker<'a> {
    /// Prepares the ranking of the tiles in `pool`.
    pub fn new(descriptors: Descriptors<'a>, pool: &[usize], ranking: Ranking) -> Self {
        let rows = pool.iter().map(|row| descriptors.row(*row));
        let is_unit = histokin_core::query::is_unit(rows);
        let covariance = (ranking == Ranking::Discriminant).then(|| covariance(descriptors, pool)).flatten();
        Self { descriptors, ranking, is_unit, covariance }
    }

    /// Returns a score for each of `tiles`; the greatest is the best. `same` is not empty.
    pub fn scores(&self, tiles: &[usize], same: &[usize], different: &[usize]) -> Vec<f64> {
        let row = |tile: &usize| self.descriptors.row(*tile);
        let nearest = |to: &[usize], x: &[f32]| {
            to.iter().map(|tile| squared_distance(row(tile), x)).fold(f32::INFINITY, f32::min)
        };
        match (self.ranking, &self.covariance) {
            (Ranking::Nearest, _) => {
                let score = |x: &[f32]| {
                    let (same, different) = (nearest(same, x), nearest(different, x));
                    // Beyond every distance that occurs.
                    let last = if different <= same { 1e12 } else { 0.0 };
                    -f64::from(same) - last
                };
                tiles.iter().map(|tile| score(row(tile))).collect()
            }
            (Ranking::Discriminant, Some(covariance)) => {
                let point = self.point(same, different);
                let axis =
                    covariance.solve(&DVector::from_iterator(point.len(), point.into_iter().map(f64::from)));
                let along = |x: &[f32]| axis.iter().zip(x).map(|(a, b)| a * f64::from(*b)).sum();
                tiles.iter().map(|tile| along(row(tile))).collect()
            }
            (Ranking::Direction | Ranking::Discriminant, _) => {
                let point = self.point(same, different);
                tiles.iter().map(|tile| -f64::from(squared_distance(row(tile), &point))).collect()
            }
        }
    }

    fn point(&self, same: &[usize], different: &[usize]) -> Vec<f32> {
        let rows = |tiles: &[usize]| tiles.iter().map(|tile| self.descriptors.row(*tile)).collect::<Vec<_>>();
        direction(rows(same), rows(different), self.is_unit).unwrap_or_default()
    }
}

/// Returns the shrunk covariance of tiles; `None` if all of them are equal.
fn covariance(descriptors: Descriptors<'_>, tiles: &[usize]) -> Option<Cholesky<f64, Dyn>> {
    let width = descriptors.width();
    let rows =
        DMatrix::from_fn(tiles.len(), width, |row, column| f64::from(descriptors.row(tiles[row])[column]));
    let mean = rows.row_mean();
    let centred = DMatrix::from_fn(tiles.len(), width, |row, column| rows[(row, column)] - mean[column]);
    let scatter = centred.tr_mul(&centred) / tiles.len().max(1) as f64;
    let equal = scatter.trace() / width as f64;
    let shrunk = scatter * (1.0 - SHRINKAGE) + DMatrix::identity(width, width) * (SHRINKAGE * equal);
    Cholesky::new(shrunk)
}
