//! The best few of many neighbours.

use std::collections::BinaryHeap;

use super::{Neighbour, TileRef};

/// Keeps the `count` nearest neighbours that it is offered, none farther than a limit.
#[derive(Clone)]
pub struct Best {
    count: usize,
    limit: f32,
    /// The worst one on top.
    heap: BinaryHeap<Ranked>,
}

/// A neighbour by its rank: the farthest is the greatest.
#[derive(Clone)]
pub struct Ranked<Tile = TileRef>(pub Neighbour<Tile>);

impl<Tile: Ord> PartialEq for Ranked<Tile> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<Tile: Ord> Eq for Ranked<Tile> {}
impl<Tile: Ord> PartialOrd for Ranked<Tile> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<Tile: Ord> Ord for Ranked<Tile> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.rank(&other.0)
    }
}

impl Best {
    /// Nothing yet; what is farther than `limit` never gets in.
    pub fn new(count: usize, limit: f32) -> Self {
        Self { count, limit, heap: BinaryHeap::new() }
    }

    /// An empty one that takes only what would get into this one, for a part of the work done beside it.
    pub fn for_part(&self) -> Self {
        Self::new(self.count, self.worst_distance())
    }

    /// Distance beyond which nothing gets in any more.
    pub fn worst_distance(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.count => worst.0.distance.min(self.limit),
            _ if self.count == 0 => f32::NEG_INFINITY,
            _ => self.limit,
        }
    }

    /// The same, but what is farther than `limit` does not get in any more.
    pub fn limited_to(self, limit: f32) -> Self {
        Self { limit: self.limit.min(limit), ..self }
    }

    /// Whether a tile at `distance` would get in.
    pub fn takes(&self, tile: TileRef, distance: f32) -> bool {
        let is_better = |worst: &Ranked| Neighbour { tile, distance }.rank(&worst.0).is_lt();
        let has_room = self.heap.len() < self.count;
        distance <= self.limit && (has_room || self.heap.peek().is_some_and(is_better))
    }

    /// Take a neighbour that has not been offered before.
    pub fn offer(&mut self, neighbour: Neighbour) {
        if self.takes(neighbour.tile, neighbour.distance) {
            self.heap.push(Ranked(neighbour));
            if self.heap.len() > self.count {
                self.heap.pop();
            }
        }
    }

    /// Whether a tile is among the best already.
    pub fn holds(&self, tile: TileRef) -> bool {
        self.heap.iter().any(|held| held.0.tile == tile)
    }

    /// The best of both; no tile may be in both.
    pub fn merge(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|ranked| self.offer(ranked.0));
        self
    }

    /// Nearest first.
    pub fn into_sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}
