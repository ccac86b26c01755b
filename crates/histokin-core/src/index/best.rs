//! Collection of the nearest few of many neighbours.

use std::collections::BinaryHeap;

use super::{Neighbour, TileRef};

/// Collects the `count` nearest of the offered neighbours within a maximum distance.
#[derive(Clone)]
pub struct Best {
    count: usize,
    limit: f32,
    /// Max-heap with the farthest neighbour on top.
    heap: BinaryHeap<Ranked>,
}

/// A neighbour ordered by rank; the farthest is the greatest.
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
    /// Creates an empty collection that rejects neighbours farther than `limit`.
    pub fn new(count: usize, limit: f32) -> Self {
        Self { count, limit, heap: BinaryHeap::new() }
    }

    /// Returns an empty collection with the current worst distance as its limit, for a parallel part of the
    /// work.
    pub fn for_part(&self) -> Self {
        Self::new(self.count, self.worst_distance())
    }

    /// Returns how many neighbours are wanted.
    pub fn wanted(&self) -> usize {
        self.count
    }

    /// Returns the distance beyond which further neighbours are rejected.
    pub fn worst_distance(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.count => worst.0.distance.min(self.limit),
            _ if self.count == 0 => f32::NEG_INFINITY,
            _ => self.limit,
        }
    }

    /// Tightens the maximum distance to `limit` for further neighbours.
    pub fn limited_to(self, limit: f32) -> Self {
        Self { limit: self.limit.min(limit), ..self }
    }

    /// Returns whether a tile at `distance` would be accepted.
    pub fn takes(&self, tile: TileRef, distance: f32) -> bool {
        let is_better = |worst: &Ranked| Neighbour { tile, distance }.rank(&worst.0).is_lt();
        let has_room = self.heap.len() < self.count;
        distance <= self.limit && (has_room || self.heap.peek().is_some_and(is_better))
    }

    /// Adds a neighbour if it is near enough; each tile may be offered once only.
    pub fn offer(&mut self, neighbour: Neighbour) {
        if self.takes(neighbour.tile, neighbour.distance) {
            self.heap.push(Ranked(neighbour));
            if self.heap.len() > self.count {
                self.heap.pop();
            }
        }
    }

    /// Returns whether a tile is already among the nearest.
    pub fn holds(&self, tile: TileRef) -> bool {
        self.heap.iter().any(|ranked| ranked.0.tile == tile)
    }

    /// Returns the nearest of both collections, which must not share a tile.
    pub fn merge(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|ranked| self.offer(ranked.0));
        self
    }

    /// Returns the neighbours, nearest first.
    pub fn into_sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}
