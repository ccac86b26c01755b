//! What a query compares tiles with: its examples, or the direction of its examples and marks.

use std::collections::HashMap;

use rayon::prelude::*;

use super::direction::direction;
use super::example::{self, ExampleTile};
use super::{Judgement, Query, QueryError};
use crate::index::{Neighbour, Snapshot, TileFilter, TileRef, squared_distance};

/// A tile and the tile of the query that it is nearest to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub tile: TileRef,
    pub distance: f32,
    pub example: usize,
}

/// The tiles of a query, and what others are compared with.
pub(super) struct Asked<'a> {
    /// Tiles of the positive examples; never empty.
    pub positives: Vec<ExampleTile<'a>>,
    /// Tiles that were marked as the same.
    same: Vec<ExampleTile<'a>>,
    /// Tiles of the negative examples, and those that were marked as different.
    different: Vec<ExampleTile<'a>>,
    /// The direction of a taught query; `None` if tiles are compared with the nearest example.
    pub direction: Option<Vec<f32>>,
}

impl<'a> Asked<'a> {
    pub fn of(index: &'a Snapshot, query: &'a Query) -> Result<Self, QueryError> {
        let positives = example::tiles(index, &query.positives)?;
        if positives.is_empty() {
            return Err(QueryError::Nothing);
        }
        let marked = |wanted: Judgement| {
            query.marks.iter().filter(move |mark| mark.judgement == wanted).map(|mark| &mark.example)
        };
        let same = example::tiles(index, marked(Judgement::Same))?;
        let different = example::tiles(index, query.negatives.iter().chain(marked(Judgement::Different)))?;
        let mut asked = Self { positives, same, different, direction: None };
        if query.ranks_by_direction() {
            let same = asked.same_tiles().map(|tile| &*tile.descriptor);
            let different = asked.different.iter().map(|tile| &*tile.descriptor);
            asked.direction = direction(same, different, query.settings.rank_by, index.statistics());
        }
        Ok(asked)
    }

    /// Tiles of the positive examples, and those that were marked as the same.
    fn same_tiles(&self) -> impl Iterator<Item = &ExampleTile<'a>> {
        self.positives.iter().chain(&self.same)
    }

    /// What tiles are compared with: the nearest of these counts.
    pub fn points(&self) -> Vec<&[f32]> {
        match &self.direction {
            Some(direction) => vec![direction],
            None => self.same_tiles().map(|tile| &*tile.descriptor).collect(),
        }
    }

    /// Descriptors that keep tiles away which are at least as near to them.
    pub fn negatives(&self) -> Vec<&[f32]> {
        match self.direction {
            Some(_) => Vec::new(),
            None => self.different.iter().map(|tile| &*tile.descriptor).collect(),
        }
    }

    /// Returns the `count` tiles nearest to any of the points, nearest first, each with the nearest positive
    /// example. They are all among the `count` nearest tiles of the single points, so merging those is exact.
    pub fn nearest(&self, index: &Snapshot, filter: &TileFilter, count: usize) -> Vec<Found> {
        let points = self.points();
        let of_one = |point: &&[f32]| index.nearest(point, filter, count);
        let all: Vec<Vec<Neighbour>> = points.par_iter().map(of_one).collect();
        let mut best: HashMap<TileRef, f32> = HashMap::new();
        for Neighbour { tile, distance } in all.into_iter().flatten() {
            let known = best.entry(tile).or_insert(distance);
            *known = known.min(distance);
        }
        let mut best: Vec<(TileRef, f32)> = best.into_iter().collect();
        best.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        best.truncate(count);
        let found = |(tile, distance)| Found { tile, distance, example: self.nearest_example(index, tile) };
        best.into_par_iter().map(found).collect()
    }

    /// Returns how clearly the marks say whether a descriptor is the same or different: the difference of its distances
    /// to the nearest of either kind, 0 if they say nothing.
    pub fn certainty(&self, descriptor: &[f32]) -> f32 {
        let nearest = |tiles: &mut dyn Iterator<Item = &ExampleTile<'a>>| {
            tiles
                .map(|tile| squared_distance(&tile.descriptor, descriptor).sqrt())
                .fold(f32::INFINITY, f32::min)
        };
        let different = nearest(&mut self.different.iter());
        if different.is_infinite() { 0.0 } else { (nearest(&mut self.same_tiles()) - different).abs() }
    }

    /// Returns the tile of the positive examples that is nearest to a tile; the first of equally near ones.
    fn nearest_example(&self, index: &Snapshot, tile: TileRef) -> usize {
        let own = index.sets()[tile.set as usize].descriptor(tile.row);
        let distances = self.positives.iter().map(|example| squared_distance(&example.descriptor, own));
        let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        nearest.map_or(0, |(example, _)| example)
    }
}
