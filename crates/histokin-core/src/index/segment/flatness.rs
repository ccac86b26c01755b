//! Whether bounds from a few axes say anything of distances here. In flat data, such as noise, all tiles are about
//! equally far from each other and nearly all bounds lie within reach: walking a tree is then work for nothing.

use super::Segment;
use crate::index::distance::squared_distance;
use crate::index::kd_tree::TreePoint;

/// Tiles that stand for all, and those of them that ask.
const SAMPLE: usize = 1024;
const ASKING: usize = 15;

/// Where more than this share of the sample lies within reach of its median query, the tree is of no use. The
/// nearest tile of a sample is farther than that of all tiles, so that where a tree is of use far less does.
const HOPELESS: f32 = 0.5;

/// Whether the tree of a segment over `points` would rule out too little to be worth walking.
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
