//! The k-d tree over the first principal coordinates and the norm of what is left.

use kiddo::{ImmutableKdTree, SquaredEuclidean};

use super::basis::Projected;

/// Principal coordinates in the tree: few enough for a k-d tree to prune, and most of the variance of encoders'
/// descriptors.
const AXES: usize = 12;
const TREE_AXES: usize = AXES + 1;

/// What a tree holds for each item, in bytes: its coordinates, its number, and its share of a branch.
pub const BYTES_PER_ITEM: usize = 4 * TREE_AXES + 4 + 1;

/// A descriptor as the tree sees it: its first coordinates in order of variance, since the tree splits the axes
/// in turn, then the norm of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct TreePoint([f32; TREE_AXES]);

impl TreePoint {
    pub fn new(projected: &Projected) -> Self {
        let mut point = [0.0; TREE_AXES];
        for (coordinate, along) in point.iter_mut().zip(&projected.along[..AXES]) {
            *coordinate = *along as f32;
        }
        point[AXES] = projected.residual_after(AXES) as f32;
        Self(point)
    }

    /// Lower bound of the squared distance to another descriptor.
    pub fn bound(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}

/// A candidate of the tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub item: u32,
    /// Lower bound of the squared distance.
    pub bound: f32,
}

/// A tree over points.
pub struct PointTree(ImmutableKdTree<f32, TREE_AXES>);

impl PointTree {
    /// Build a tree over `points`, whose numbers are finite. Items are numbered as the points are. `None` where
    /// kiddo refuses them.
    pub fn build(points: &[TreePoint]) -> Option<Self> {
        ImmutableKdTree::new_from_slice_parallel(bytemuck::cast_slice(points)).ok().map(Self)
    }

    /// Call `take` with every item whose bound is at most `radius_squared`, beginning in the leaf where `point`
    /// belongs and going outwards, until it answers `false`.
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
