//! Exact search through a k-d tree over the first principal coordinates.
//!
//! With `P` the first `AXES` coordinates in an orthonormal basis and `r` the norm of what is left,
//! `‖x − y‖² ≥ ‖Px − Py‖² + (r_x − r_y)²`. The tree over these `AXES + 1` numbers therefore gives lower
//! bounds of the true distances, in growing order: once the last bound exceeds the k-th true distance
//! found so far, nothing nearer can be left. Where the data is so flat that this takes too long, every
//! descriptor is compared instead.

use std::num::NonZeroUsize;
use std::sync::Arc;

use kiddo::{ImmutableKdTree, SquaredEuclidean};
use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::brute_force::{self, Best};
use super::{Neighbour, TileFilter, TileRef, squared_distance};
use crate::descriptors::{DescriptorSet, Row};

/// Principal coordinates in the tree: few enough for a k-d tree to prune, and most of the variance of
/// encoders' descriptors.
const AXES: usize = 12;
const TREE_AXES: usize = AXES + 1;

/// Descriptors from which the basis is fitted; a basis fitted on fewer bounds less tightly, never wrongly.
const FIT_SAMPLE: usize = 50_000;

/// Widest descriptor for which a tree is built: fitting takes the eigenvectors of a width × width matrix.
const WIDEST: usize = 512;

/// Candidates after which comparing with everything is quicker.
const MOST_CANDIDATES: usize = 20_000;

/// Rounding may lift a bound above the true distance by this much of the bound, …
const RELATIVE_SLACK: f32 = 1e-5;
/// … and by this much of the largest coordinate, which was rounded to 24 bits when it was stored.
const ABSOLUTE_SLACK: f32 = 1e-6;

/// A tree over the descriptors of several slides.
pub struct KdTreeIndex {
    sets: Vec<Arc<DescriptorSet>>,
    /// Item number of the first row of each set.
    starts: Vec<u32>,
    basis: Basis,
    tree: ImmutableKdTree<f32, TREE_AXES>,
    len: usize,
    /// Largest absolute coordinate in the tree.
    reach: f32,
}

impl KdTreeIndex {
    /// Build a tree over all rows of `sets`, which are of equal width. `None` where a tree is of no use:
    /// no tiles, too few numbers in a descriptor or too many, or more tiles than item numbers.
    pub fn build(sets: &[Arc<DescriptorSet>]) -> Option<Self> {
        let width = sets.first()?.width();
        let len: usize = sets.iter().map(|set| set.len()).sum();
        if len == 0 || !(TREE_AXES..=WIDEST).contains(&width) || u32::try_from(len).is_err() {
            return None;
        }
        let basis = Basis::fit(sets, width, len);
        let mut starts = Vec::with_capacity(sets.len());
        let mut points = Vec::with_capacity(len);
        for set in sets {
            starts.push(points.len() as u32);
            points.extend(set.features().chunks_exact(width).map(|descriptor| basis.project(descriptor)));
        }
        let tree = ImmutableKdTree::new_from_slice(&points).ok()?;
        let reach = points.iter().flatten().fold(0.0f32, |most, value| most.max(value.abs()));
        Some(Self { sets: sets.to_vec(), starts, basis, tree, len, reach })
    }

    /// The sets in the tree.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<DescriptorSet>> {
        self.sets.iter()
    }

    /// Number of tiles in the tree.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `count` tiles nearest to `query`, nearest first, exact. `places` are the sets' places in the
    /// snapshot, in which `filter` and the answer speak.
    pub fn nearest(
        &self,
        query: &[f32],
        places: &[u32],
        filter: &TileFilter,
        count: usize,
    ) -> Vec<Neighbour> {
        let projected = self.basis.project(query);
        let mut wanted = 2 * count + 16;
        loop {
            let asked = NonZeroUsize::new(wanted.min(self.len)).expect("a tree is never built over nothing");
            let candidates = self.tree.query(&projected).nearest_n::<SquaredEuclidean<f32>>(asked).execute();
            let mut best = Best::new(count);
            for candidate in &candidates {
                let local = self.tile(candidate.item);
                let set = &self.sets[local.set as usize];
                let tile = TileRef { set: places[local.set as usize], row: local.row };
                if filter.accepts(set, tile) {
                    let distance = squared_distance(query, set.descriptor(local.row)).sqrt();
                    best.offer(Neighbour { tile, distance });
                }
            }
            let bound = candidates.last().map_or(f32::INFINITY, |last| last.distance.sqrt());
            let slack = bound * RELATIVE_SLACK + self.reach * ABSOLUTE_SLACK;
            let complete = candidates.len() == self.len;
            if complete || (best.is_full() && best.worst_distance() < bound - slack) {
                return best.into_sorted();
            }
            wanted *= 4;
            if wanted > MOST_CANDIDATES.min(self.len / 2).max(1) {
                return self.scan(query, places, filter, count);
            }
        }
    }

    /// Compare with every descriptor of the tree.
    fn scan(&self, query: &[f32], places: &[u32], filter: &TileFilter, count: usize) -> Vec<Neighbour> {
        let mut best: Vec<Neighbour> = Vec::new();
        for (local, place) in (0u32..).zip(places) {
            // The oracle works on places of a slice of sets: each set is a slice of its own here.
            let set = &self.sets[local as usize..=local as usize];
            let moved = TileFilter {
                sets: vec![filter.accepts_set(*place)],
                excluded: filter
                    .excluded
                    .filter(|disc| disc.set == *place)
                    .map(|disc| super::Exclusion { set: 0, ..disc }),
            };
            let found = brute_force::nearest(set, &[0], query, &moved, count);
            best.extend(
                found.into_iter().map(|n| Neighbour {
                    tile: TileRef { set: *place, row: n.tile.row },
                    distance: n.distance,
                }),
            );
        }
        best.sort_by(Neighbour::rank);
        best.truncate(count);
        best
    }

    fn tile(&self, item: u32) -> TileRef {
        let set = self.starts.partition_point(|start| *start <= item) - 1;
        TileRef { set: set as u32, row: Row(item - self.starts[set]) }
    }
}

/// The first principal axes of the data, in order of variance.
struct Basis {
    mean: Vec<f32>,
    /// `AXES × width`, orthonormal rows.
    axes: Vec<Vec<f32>>,
}

impl Basis {
    fn fit(sets: &[Arc<DescriptorSet>], width: usize, len: usize) -> Self {
        let step = len.div_ceil(FIT_SAMPLE).max(1);
        let rows = || sets.iter().flat_map(|set| set.features().chunks_exact(width)).step_by(step);
        let count = rows().count().max(1) as f64;
        let mut mean = DVector::<f64>::zeros(width);
        for row in rows() {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value) / count;
            }
        }
        let mut covariance = DMatrix::<f64>::zeros(width, width);
        // In blocks, so that the matrix product does the work.
        let mut block = Vec::with_capacity(1024 * width);
        let mut add = |block: &mut Vec<f64>| {
            let centred = DMatrix::from_column_slice(width, block.len() / width, block);
            covariance.gemm(1.0 / count, &centred, &centred.transpose(), 1.0);
            block.clear();
        };
        for row in rows() {
            block.extend(row.iter().zip(mean.iter()).map(|(value, mean)| f64::from(*value) - mean));
            if block.len() == 1024 * width {
                add(&mut block);
            }
        }
        add(&mut block);
        let eigen = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let axes = order[..AXES]
            .iter()
            .map(|column| eigen.eigenvectors.column(*column).iter().map(|value| *value as f32).collect())
            .collect();
        Self { mean: mean.iter().map(|value| *value as f32).collect(), axes }
    }

    /// The first principal coordinates, then the norm of the rest.
    fn project(&self, descriptor: &[f32]) -> [f32; TREE_AXES] {
        let mut rest: Vec<f64> =
            descriptor.iter().zip(&self.mean).map(|(value, mean)| f64::from(value - mean)).collect();
        let mut point = [0.0; TREE_AXES];
        for (coordinate, axis) in point.iter_mut().zip(&self.axes) {
            let along: f64 = rest.iter().zip(axis).map(|(value, axis)| value * f64::from(*axis)).sum();
            for (value, axis) in rest.iter_mut().zip(axis) {
                *value -= along * f64::from(*axis);
            }
            *coordinate = along as f32;
        }
        point[AXES] = rest.iter().map(|value| value * value).sum::<f64>().sqrt() as f32;
        point
    }
}
