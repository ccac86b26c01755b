//! The k-d tree over the first principal coordinates and the norm of the remainder.

use kiddo::{ImmutableKdTree, SquaredEuclidean};

use super::basis::Projected;

/// Number of principal coordinates in the tree. The tree splits its axes in turn, about log₂(tiles / 32) times in
/// total: with few axes each is split often enough for the tree to prune, and the codes, which have more axes,
/// rule out what remains.
const AXES: usize = 7;
const TREE_AXES: usize = AXES + 1;

/// Size of a tree in bytes per item: coordinates, item number, and share of a branch.
pub const BYTES_PER_ITEM: usize = 4 * TREE_AXES + 4 + 1;

/// A descriptor as a point in the tree: its first coordinates in order of variance, since the tree splits the
/// axes in turn, then the norm of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct TreePoint([f32; TREE_AXES]);

impl TreePoint {
    /// Creates the point of a projected descriptor.
    pub fn new(projected: &Projected) -> Self {
        let mut point = [0.0; TREE_AXES];
        for (coordinate, along) in point.iter_mut().zip(&projected.along[..AXES]) {
            *coordinate = *along as f32;
        }
        point[AXES] = projected.residual_after(AXES) as f32;
        Self(point)
    }

    /// Returns a lower bound of the squared distance to another descriptor.
    pub fn bound(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}

/// A candidate found in the tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Item number.
    pub item: u32,
    /// Lower bound of the squared distance to the query.
    pub bound: f32,
}

/// A k-d tree over points.
pub struct PointTree(ImmutableKdTree<f32, TREE_AXES>);

impl PointTree {
    /// Builds a tree over `points`, whose coordinates are finite. Item numbers are indices into `points`.
    /// `None` when kiddo cannot build it.
    pub fn build(points: &[TreePoint]) -> Option<Self> {
        ImmutableKdTree::new_from_slice_parallel(bytemuck::cast_slice(points)).ok().map(Self)
    }

    /// Calls `take` for every item whose bound is at most `radius_squared`, starting at the leaf that
    /// contains `point` and going outwards, until it returns `false`.
    pub fn candidates(
        &self,
        point: &TreePoint,
        radius_squared: f32,
        mut take: impl FnMut(Candidate) -> bool,
    ) {
        let within = self.0.query(&point.0).within::<SquaredEuclidean<f32>>(radius_squared).unsorted();
        for found in within.iter() {
            if !take(Candidate { item: found.item, bound: found.distance }) {
                return;
            }
        }
    }
}
