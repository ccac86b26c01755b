//! Ranking of tiles by the judgements of a query, in the ways of the program.

use crate::Descriptors;
use histokin_core::index::{DescriptorStatistics, squared_distance};
use histokin_core::query::{RankBy, direction};

/// Ranks tiles by judgements; holds what the rankings need to know about all tiles.
pub(super) struct Ranker<'a> {
    descriptors: Descriptors<'a>,
    rank_by: RankBy,
    statistics: DescriptorStatistics,
}

impl<'a> Ranker<'a> {
    /// Prepares the ranking of the tiles in `pool`.
    pub fn new(descriptors: Descriptors<'a>, pool: &[usize], rank_by: RankBy) -> Self {
        let rows: Vec<f32> = pool.iter().flat_map(|row| descriptors.row(*row)).copied().collect();
        let statistics = DescriptorStatistics::of_rows(&rows, descriptors.width());
        if rank_by == RankBy::Discriminant {
            // Tiles are ranked on the thread pool.
            statistics.prepare();
        }
        Self { descriptors, rank_by, statistics }
    }

    /// Returns a score for each of `tiles`; the greatest is the best. `same` is not empty.
    pub fn scores(&self, tiles: &[usize], same: &[usize], different: &[usize]) -> Vec<f64> {
        let row = |tile: &usize| self.descriptors.row(*tile);
        if self.rank_by.learns() {
            let rows = |tiles: &[usize]| tiles.iter().map(row).collect::<Vec<_>>();
            let point = direction(rows(same), rows(different), self.rank_by, &self.statistics);
            let point = point.unwrap_or_default();
            return tiles.iter().map(|tile| -f64::from(squared_distance(row(tile), &point))).collect();
        }
        let nearest = |to: &[usize], x: &[f32]| {
            to.iter().map(|tile| squared_distance(row(tile), x)).fold(f32::INFINITY, f32::min)
        };
        let score = |x: &[f32]| {
            let (same, different) = (nearest(same, x), nearest(different, x));
            // Beyond every distance that occurs.
            let last = if different <= same { 1e12 } else { 0.0 };
            -f64::from(same) - last
        };
        tiles.iter().map(|tile| score(row(tile))).collect()
    }
}
