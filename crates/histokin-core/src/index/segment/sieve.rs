//! Search by layers: all tiles are compared by their first layer; those within the search radius by both layers, and
//! what is left by the descriptors.

use std::ops::Range;

use rayon::prelude::*;

use super::{Probe, Reached, Segment};
use crate::index::best::Best;
use crate::index::brute_force::{compare, in_pieces};
use crate::index::distance::prefetch;
use crate::index::layer_loops::{BLOCK_TILES, BlockDistances, Layer, LayerBlock, Passed, pass_first};
use crate::index::layers::LayerProbe;
use crate::index::{TileFilter, TileRef};

/// Number of blocks in one unit of work.
const PIECE: usize = 32;

/// The search begins within the radius of the matches among a few tiles whose first layers are nearest. They are
/// looked for in so many times as many blocks as matches are wanted, and no fewer than the second number.
const SEEDED: (usize, usize) = (3, 64);

/// Number of descriptors that are being loaded while an earlier one is compared.
const AHEAD: usize = 4;

/// Number of tiles that have passed the first layer by which it is estimated how many pass both. All descriptors of a piece
/// are compared instead if more than one in so many of its tiles passes both: a descriptor that is read on its own takes
/// several times as long as one after another.
const TRIED: usize = 256;
const WORTH_SINGLING_OUT: usize = 8;

/// Distances of first layers: room that a segment keeps for the next search.
#[derive(Default)]
pub(super) struct Distances {
    /// Of each block.
    of: Vec<BlockDistances>,
    /// Least of each block.
    least: Vec<u16>,
}

/// What a search by layers goes by.
pub(super) struct Sieve<'a> {
    pub segment: &'a Segment,
    pub probe: &'a Probe<'a>,
    pub layers: LayerProbe,
    pub blocks: &'a [LayerBlock],
    pub seconds: &'a [Layer],
    /// Indices of the segment's sets in the snapshot; `None` for those that are not searched.
    pub set_indices: &'a [Option<u32>],
    pub filter: &'a TileFilter,
}

/// A unit of work: the number of its first block, the distances of its blocks, and the least of each.
type Piece<'a> = (usize, &'a [BlockDistances], &'a [u16]);

impl Sieve<'_> {
    /// Offers all tiles that may be among the matches to `best`.
    pub fn search(&self, distances: &mut Distances, best: Best) -> Best {
        self.compare_first(distances);
        let Distances { of, least } = distances;
        let limit = self.radius_of_seeds(of, least, &best);
        let best = best.limited_to(limit);
        let reached = Reached::new(best.worst_distance());
        let pieces = of.chunks(PIECE).zip(least.chunks(PIECE)).enumerate();
        let pieces: Vec<Piece<'_>> = pieces
            .map(|(number, (of, least))| (number * PIECE, of, least))
            .filter(|(start, of, _)| self.is_searched(*start, of.len()))
            .collect();
        in_pieces(&pieces, best, |best, piece| self.search_piece(*piece, &reached, best))
    }

    /// Compares the first layers of all tiles.
    fn compare_first(&self, distances: &mut Distances) {
        let Distances { of, least } = distances;
        of.resize(self.blocks.len(), [0; BLOCK_TILES]);
        least.resize(self.blocks.len(), 0);
        let pieces =
            self.blocks.par_chunks(PIECE).zip(of.par_chunks_mut(PIECE)).zip(least.par_chunks_mut(PIECE));
        pieces.enumerate().for_each(|(number, ((blocks, of), least))| {
            if self.is_searched(number * PIECE, blocks.len()) {
                self.layers.compare_first(blocks, of, least);
            } else {
                least.fill(u16::MAX);
            }
        });
    }

    /// Returns the distance of the farthest match among a few tiles that are probably near: no match is farther. That of
    /// the farthest one so far if there are too few tiles.
    fn radius_of_seeds(&self, of: &[BlockDistances], least: &[u16], best: &Best) -> f32 {
        let seeded = best.wanted().saturating_mul(SEEDED.0).max(SEEDED.1);
        if seeded >= least.len() {
            return best.worst_distance();
        }
        let mut blocks: Vec<(u16, u32)> = least.iter().copied().zip(0..).collect();
        blocks.select_nth_unstable(seeded);
        blocks.truncate(seeded);
        let farthest = blocks.iter().map(|(least, _)| *least).max().unwrap_or(0);
        // Their own collection, since the search that follows meets them again.
        let mut best = best.for_part();
        for (_, block) in blocks {
            let first = block as usize * BLOCK_TILES;
            for (item, distance) in (first..self.seconds.len()).zip(of[block as usize]) {
                if distance <= farthest {
                    self.offer(item as u32, &mut best);
                }
            }
        }
        best.worst_distance()
    }

    fn search_piece(&self, (start, distances, least): Piece<'_>, reached: &Reached, best: &mut Best) {
        let end = start + distances.len();
        let items = start * BLOCK_TILES..self.seconds.len().min(end * BLOCK_TILES);
        let (first, seconds) = (items.start as u32, &self.seconds[items.clone()]);
        let [of_first, mut of_both] = self.limits(reached.lower_to(best.worst_distance()));

        let mut passed = [Passed::default(); PIECE * BLOCK_TILES];
        let mut count = pass_first(distances, least, of_first, &mut passed);
        // The last block may be filled up.
        while count > 0 && passed[count - 1].place as usize >= items.len() {
            count -= 1;
        }
        let mut left = [Passed::default(); PIECE * BLOCK_TILES];
        let passed = &passed[..count];
        let (tried, rest) = passed.split_at(count.min(TRIED));
        let mut count = self.layers.pass_second(seconds, tried, of_both, &mut left);
        if count * passed.len() * WORTH_SINGLING_OUT > tried.len() * items.len() {
            self.compare_all(items, best);
            reached.lower_to(best.worst_distance());
            return;
        }
        count += self.layers.pass_second(seconds, rest, of_both, &mut left[count..]);
        let left = &left[..count];

        for (number, tile) in left.iter().enumerate() {
            if let Some(next) = left.get(number + AHEAD) {
                let (local, row) = self.segment.tile(first + next.place);
                prefetch(self.segment.sets[local].descriptor(row));
            }
            if tile.distance <= of_both && self.offer(first + tile.place, best) {
                [_, of_both] = self.limits(reached.lower_to(best.worst_distance()));
            }
        }
    }

    /// Compares the descriptors of all tiles in `items`.
    fn compare_all(&self, items: Range<usize>, best: &mut Best) {
        for (local, set_index, rows) in self.ranges(items) {
            compare(&self.segment.sets[local], set_index, rows, self.probe.query, self.filter, best);
        }
    }

    /// Compares the descriptor of a tile; returns whether it was accepted.
    fn offer(&self, item: u32, best: &mut Best) -> bool {
        let (local, row) = self.segment.tile(item);
        let Some(set) = self.set_indices[local] else { return false };
        let tile = TileRef { set, row };
        self.filter.accepts_row(tile) && self.segment.offer(self.probe, local, tile, self.filter, best)
    }

    /// Returns whether any of some blocks has tiles of a set that is searched.
    fn is_searched(&self, start: usize, blocks: usize) -> bool {
        let items = start * BLOCK_TILES..((start + blocks) * BLOCK_TILES).min(self.seconds.len());
        self.ranges(items).next().is_some()
    }

    /// Returns the rows of the searched sets among some items, with the number of the set and its index in the snapshot.
    fn ranges(&self, items: Range<usize>) -> impl Iterator<Item = (usize, u32, Range<u32>)> {
        let (start, end) = (items.start as u32, items.end as u32);
        let starts = &self.segment.starts;
        let first = starts.partition_point(|first| *first <= start) - 1;
        let sets = (first..self.set_indices.len()).take_while(move |local| starts[*local] < end);
        sets.filter_map(move |local| {
            let rows = start.max(starts[local]) - starts[local]..end.min(starts[local + 1]) - starts[local];
            Some((local, self.set_indices[local]?, rows)).filter(|(_, _, rows)| !rows.is_empty())
        })
    }

    fn limits(&self, distance: f32) -> [u32; 2] {
        self.layers.limits(self.probe.radius(distance))
    }
}
