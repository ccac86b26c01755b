//! Comparing with every descriptor: the oracle, and the quickest way while there are few.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::best::Best;
use super::distance::{squared_distance, squared_distances};
use super::{Neighbour, TileFilter, TileRef};
use crate::descriptors::{DescriptorSet, Row};

/// Rows that one thread compares at a time.
const PIECE: u32 = 2048;

/// From this many rows on several threads are quicker than one.
const SHARED_FROM: u64 = 16_384;

/// The `count` tiles nearest to `query` among the sets at `places` that `filter` accepts, nearest first.
/// All sets have the query's width.
pub fn nearest(
    sets: &[Arc<DescriptorSet>],
    places: &[u32],
    query: &[f32],
    filter: &TileFilter,
    count: usize,
) -> Vec<Neighbour> {
    let best = Best::new(count, filter.max_distance);
    let parts = places.iter().map(|place| (&*sets[*place as usize], *place));
    compare_all(parts, query, filter, best).into_sorted()
}

/// Offer every tile of `parts`, sets and their places in the snapshot, to `best`.
pub(super) fn compare_all<'a>(
    parts: impl Iterator<Item = (&'a DescriptorSet, u32)>,
    query: &[f32],
    filter: &TileFilter,
    best: Best,
) -> Best {
    let pieces: Vec<(&DescriptorSet, u32, Range<u32>)> = parts
        .filter(|(_, place)| filter.accepts_set(*place))
        .flat_map(|(set, place)| pieces(set.len() as u32).map(move |rows| (set, place, rows)))
        .collect();
    in_pieces(&pieces, best, |best, (set, place, rows)| {
        compare(set, *place, rows.clone(), query, filter, best);
    })
}

/// The rows of a set in pieces.
pub(super) fn pieces(len: u32) -> impl Iterator<Item = Range<u32>> {
    (0..len).step_by(PIECE as usize).map(move |start| start..len.min(start + PIECE))
}

/// Do `work` on every piece of up to [`PIECE`] rows, on all cores when there are many.
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

/// Offer the tiles of some rows of a set to `best`.
pub(super) fn compare(
    set: &DescriptorSet,
    place: u32,
    rows: Range<u32>,
    query: &[f32],
    filter: &TileFilter,
    best: &mut Best,
) {
    const AT_ONCE: usize = 64;
    if let Some(mask) = filter.mask(place) {
        // Few rows count, perhaps: each by itself.
        for row in rows.map(Row).filter(|row| mask.contains(*row)) {
            let distance = squared_distance(query, set.descriptor(row)).sqrt();
            let tile = TileRef { set: place, row };
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
                let tile = TileRef { set: place, row };
                if best.takes(tile, distance) && filter.accepts(set, tile, distance) {
                    best.offer(Neighbour { tile, distance });
                }
            }
        }
    }
}
