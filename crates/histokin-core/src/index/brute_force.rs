//! Comparison with every descriptor: the reference for tests, and the fastest method for few tiles.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::best::Best;
use super::distance::{squared_distance, squared_distances};
use super::{Neighbour, TileFilter, TileRef};
use crate::descriptors::{DescriptorSet, Row};

/// Number of rows in one unit of work.
const PIECE: u32 = 2048;

/// Number of rows from which several threads are faster than one.
const SHARED_FROM: u64 = 16_384;

/// Returns the `count` tiles nearest to `query` that `filter` accepts, nearest first, among the sets with the
/// indices `set_indices`. All sets have the query's width.
pub fn nearest(
    sets: &[Arc<DescriptorSet>],
    set_indices: &[u32],
    query: &[f32],
    filter: &TileFilter,
    count: usize,
) -> Vec<Neighbour> {
    let best = Best::new(count, filter.max_distance);
    let parts = set_indices.iter().map(|set_index| (&*sets[*set_index as usize], *set_index));
    compare_all(parts, query, filter, best).into_sorted()
}

/// Offers every tile of `parts` (sets and their indices in the snapshot) to `best`.
pub(super) fn compare_all<'a>(
    parts: impl Iterator<Item = (&'a DescriptorSet, u32)>,
    query: &[f32],
    filter: &TileFilter,
    best: Best,
) -> Best {
    let pieces: Vec<(&DescriptorSet, u32, Range<u32>)> = parts
        .filter(|(_, set_index)| filter.accepts_set(*set_index))
        .flat_map(|(set, set_index)| pieces(set.len() as u32).map(move |rows| (set, set_index, rows)))
        .collect();
    in_pieces(&pieces, best, |best, (set, set_index, rows)| {
        compare(set, *set_index, rows.clone(), query, filter, best);
    })
}

/// Splits the rows of a set into pieces of up to [`PIECE`] rows.
pub(super) fn pieces(len: u32) -> impl Iterator<Item = Range<u32>> {
    (0..len).step_by(PIECE as usize).map(move |start| start..len.min(start + PIECE))
}

/// Applies `work` to every piece of up to [`PIECE`] rows, on all cores when there are many.
pub(super) fn in_pieces<T: Sync>(pieces: &[T], best: Best, work: impl Fn(&mut Best, &T) + Sync) -> Best {
    if (pieces.len() as u64) * u64::from(PIECE) < SHARED_FROM {
        let mut best = best;
        pieces.iter().for_each(|piece| work(&mut best, piece));
        return best;
    }
    let found = pieces
        .par_iter()
        .fold(
            || best.for_part(),
            |mut best, piece| {
                work(&mut best, piece);
                best
            },
        )
        .reduce(|| best.for_part(), Best::merge);
    best.merge(found)
}

/// Offers the tiles of some rows of a set to `best`.
pub(super) fn compare(
    set: &DescriptorSet,
    set_index: u32,
    rows: Range<u32>,
    query: &[f32],
    filter: &TileFilter,
    best: &mut Best,
) {
    const AT_ONCE: usize = 64;
    if let Some(mask) = filter.mask(set_index) {
        // Possibly only few rows are accepted, so each is compared individually.
        for row in rows.map(Row).filter(|row| mask.contains(*row)) {
            let distance = squared_distance(query, set.descriptor(row)).sqrt();
            let tile = TileRef { set: set_index, row };
            if best.takes(tile, distance) && filter.accepts(set, tile, distance) {
                best.offer(Neighbour { tile, distance });
            }
        }
        return;
    }
    let mut squared = [0.0f32; AT_ONCE];
    let width = set.width();
    let descriptors = &set.features()[rows.start as usize * width..rows.end as usize * width];
    for (block, first) in descriptors.chunks(AT_ONCE * width).zip(rows.step_by(AT_ONCE)) {
        let squared = &mut squared[..block.len() / width];
        squared_distances(query, block, squared);
        for (row, squared) in (first..).map(Row).zip(squared) {
            let distance = squared.sqrt();
            if distance <= best.worst_distance() {
                let tile = TileRef { set: set_index, row };
                if best.takes(tile, distance) && filter.accepts(set, tile, distance) {
                    best.offer(Neighbour { tile, distance });
                }
            }
        }
    }
}
