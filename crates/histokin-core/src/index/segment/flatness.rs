//! Detection of flat data. In flat data all tiles are about equally far from each other along any few axes, so that
//! a tree over these rules out too few of them, and comparing the layers of all tiles is faster.

use std::sync::Arc;

use rayon::prelude::*;

use crate::descriptors::DescriptorSet;
use crate::index::basis::{BLOCK, Basis, Projected};
use crate::index::distance::squared_distance;
use crate::index::kd_tree::TreePoint;

/// Smallest and largest number of tiles in a sample, where there are as many; in between, as many as have so many
/// numbers in all.
const TILES: (usize, usize) = (1024, 8192);
const NUMBERS: usize = 2 << 20;
/// Number of tiles of the sample that serve as queries.
const ASKING: usize = 31;

/// The tree is slower than layers if, for the mean query, more than this share of the sample is within the search
/// radius. The nearest tile of a sample is farther than that of all tiles, so that the share is smaller in a search.
const TOO_MANY: f32 = 0.04;

/// Returns an even sample of all rows of `sets`, with their projections.
pub fn sample<'a>(sets: &'a [Arc<DescriptorSet>], basis: &Basis) -> Vec<(&'a [f32], Projected)> {
    let width = basis.width();
    let len: usize = sets.iter().map(|set| set.len()).sum();
    let step = len.div_ceil((NUMBERS / width).clamp(TILES.0, TILES.1)).max(1);
    let rows: Vec<&[f32]> =
        sets.iter().flat_map(|set| set.features().chunks_exact(width)).step_by(step).collect();
    let project = |rows: &[&'a [f32]]| {
        let mut projected = Vec::with_capacity(rows.len());
        basis.project_block(&rows.concat(), |one| projected.push(one));
        rows.iter().copied().zip(projected).collect::<Vec<_>>()
    };
    rows.par_chunks(BLOCK).flat_map_iter(project).collect()
}

/// Returns whether the tree would rule out too few tiles; `sample` has a part of them, each with its descriptor.
pub fn is_flat(sample: &[(&[f32], Projected)]) -> bool {
    let points: Vec<TreePoint> = sample.iter().map(|(_, projected)| TreePoint::new(projected)).collect();
    let share = |asking: usize| {
        let others = || (0..sample.len()).filter(|other| *other != asking);
        let nearest = others()
            .map(|other| squared_distance(sample[asking].0, sample[other].0))
            .fold(f32::INFINITY, f32::min);
        let reached = others().filter(|other| points[asking].bound(&points[*other]) <= nearest).count();
        reached as f32 / sample.len() as f32
    };
    let step = (sample.len() / ASKING).max(1);
    let asking: Vec<usize> = (0..sample.len()).step_by(step).collect();
    let shares: Vec<f32> = asking.par_iter().map(|asking| share(*asking)).collect();
    shares.iter().sum::<f32>() > TOO_MANY * shares.len() as f32
}
