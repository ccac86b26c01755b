//! Comparing with every descriptor: the oracle, and the quickest way while there are few.

use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{Neighbour, TileFilter, TileRef, squared_distance};
use crate::descriptors::{DescriptorSet, Row};

/// The `count` tiles nearest to `query` among the sets at `places` that `filter` accepts, nearest first.
/// All sets have the query's width.
pub fn nearest(
    sets: &[Arc<DescriptorSet>],
    places: &[u32],
    query: &[f32],
    filter: &TileFilter,
    count: usize,
) -> Vec<Neighbour> {
    let mut best = Best::new(count);
    for &place in places.iter().filter(|place| filter.accepts_set(**place)) {
        let set = &sets[place as usize];
        for (row, descriptor) in (0..).zip(set.features().chunks_exact(set.width())) {
            let distance = squared_distance(query, descriptor).sqrt();
            let tile = TileRef { set: place, row: Row(row) };
            if distance <= best.worst_distance() && filter.accepts(set, tile) {
                best.offer(Neighbour { tile, distance });
            }
        }
    }
    best.into_sorted()
}

/// The best few of many neighbours.
pub(super) struct Best {
    count: usize,
    heap: BinaryHeap<Ranked>,
}

struct Ranked(Neighbour);

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.rank(&other.0)
    }
}

impl Best {
    pub(super) fn new(count: usize) -> Self {
        Self { count, heap: BinaryHeap::with_capacity(count + 1) }
    }

    /// Distance beyond which nothing gets in any more.
    pub(super) fn worst_distance(&self) -> f32 {
        if self.heap.len() < self.count {
            return f32::INFINITY;
        }
        self.heap.peek().map_or(f32::NEG_INFINITY, |worst| worst.0.distance)
    }

    pub(super) fn is_full(&self) -> bool {
        self.heap.len() == self.count
    }

    pub(super) fn offer(&mut self, neighbour: Neighbour) {
        self.heap.push(Ranked(neighbour));
        if self.heap.len() > self.count {
            self.heap.pop();
        }
    }

    pub(super) fn into_sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}
