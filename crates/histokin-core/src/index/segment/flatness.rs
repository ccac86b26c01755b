//! Detection of flat data. In flat data, such as noise, all tiles are about equally far from each other and
//! nearly all bounds from a few axes are within the search radius, so that a tree search is useless.

use super::Segment;
use crate::index::distance::squared_distance;
use crate::index::kd_tree::TreePoint;

/// Number of tiles in the sample.
const SAMPLE: usize = 1024;
/// Number of tiles of the sample that serve as queries.
const ASKING: usize = 15;

/// The tree is useless if, for the median query, more than this share of the sample is within the search
/// radius. The nearest tile of a sample is farther than that of all tiles, so the share is far smaller where
/// a tree helps.
const HOPELESS: f32 = 0.5;

/// Returns whether the tree of a segment over `points` would prune too little to be useful.
pub fn is_flat(segment: &Segment, points: &[TreePoint]) -> bool {
    let step = points.len().div_ceil(SAMPLE).max(1);
    let items: Vec<u32> = (0..points.len() as u32).step_by(step).collect();
    let descriptor = |item: u32| {
        let (local, row) = segment.tile(item);
        segment.sets[local].descriptor(row)
    };
    let share = |asking: u32| {
        let others = || items.iter().filter(|item| **item != asking);
        let nearest = others()
            .map(|item| squared_distance(descriptor(asking), descriptor(*item)))
            .fold(f32::INFINITY, f32::min);
        let reached = others()
            .filter(|item| points[asking as usize].bound(&points[**item as usize]) <= nearest)
            .count();
        reached as f32 / items.len() as f32
    };
    let mut shares: Vec<f32> =
        items.iter().step_by((items.len() / ASKING).max(1)).map(|item| share(*item)).collect();
    shares.sort_by(f32::total_cmp);
    shares.get(shares.len() / 2).is_some_and(|median| *median > HOPELESS)
}
