//! Which tiles to mark next: those of the best answers about which the marks say least, unlike each other and from
//! several slides.

use std::collections::HashMap;

use super::asked::{Asked, Found};
use crate::index::{Snapshot, squared_distance};

/// Number of best tiles among which suggestions are chosen.
const AMONG: usize = 200;

/// Suggestions come from this many times as many tiles about which the marks say least.
const UNCERTAIN: usize = 4;

/// Returns `count` of the best answers in the order in which they should be marked. `nearest(n)` returns the `n`
/// nearest tiles, nearest first.
///
/// A tile is uncertain that is about as near to what is the same as to what is different. Of the most uncertain ones,
/// each suggestion is the one farthest from those before (Gonzalez 1985, "Clustering to minimize the maximum
/// intercluster distance"), on one of the slides with the fewest suggestions so far.
pub(super) fn suggested(
    index: &Snapshot,
    asked: &Asked<'_>,
    count: usize,
    nearest: impl Fn(usize) -> Vec<Found>,
) -> Vec<Found> {
    let descriptor = |found: &Found| index.sets()[found.tile.set as usize].descriptor(found.tile.row);
    let mut left: Vec<(f32, Found)> = nearest(AMONG.max(count))
        .into_iter()
        .map(|found| (asked.certainty(descriptor(&found)), found))
        .collect();
    // The sort is stable: of equally uncertain tiles the nearest come first.
    left.sort_by(|a, b| a.0.total_cmp(&b.0));
    left.truncate(UNCERTAIN * count);
    let mut left: Vec<Found> = left.into_iter().map(|(_, found)| found).collect();
    let mut from_chosen = vec![f32::INFINITY; left.len()];
    let mut of_slide: HashMap<u32, usize> = HashMap::new();
    let mut chosen: Vec<Found> = Vec::new();
    while chosen.len() < count && !left.is_empty() {
        let so_far = |found: &Found| of_slide.get(&found.tile.set).copied().unwrap_or(0);
        let fewest = left.iter().map(so_far).min().unwrap_or(0);
        let allowed = (0..left.len()).filter(|place| so_far(&left[*place]) == fewest);
        // The first of equally far ones, which is the most uncertain.
        let farthest = allowed.rev().max_by(|a, b| from_chosen[*a].total_cmp(&from_chosen[*b])).unwrap_or(0);
        from_chosen.remove(farthest);
        let next = left.remove(farthest);
        for (nearest, found) in from_chosen.iter_mut().zip(&left) {
            *nearest = nearest.min(squared_distance(descriptor(&next), descriptor(found)));
        }
        *of_slide.entry(next.tile.set).or_default() += 1;
        chosen.push(next);
    }
    chosen
}
