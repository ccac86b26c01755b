//! Slides ranked by how much tissue like the query's they hold.

use rayon::prelude::*;

use super::Match;
use super::example::ExampleTile;
use crate::index::{Snapshot, TileFilter};
use crate::slide::SlideId;

/// Tiles of the query that slides are compared with at most.
const MOST_COMPARED: usize = 32;

/// How like the query a slide is.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideRank {
    pub slide: SlideId,
    /// Median over the query's tiles of the distance to the most similar tile of the slide (Kalra et al. 2020,
    /// "Yottixel", §3.4).
    pub median_distance: f32,
    /// Matches that lie on it.
    pub matches: usize,
    /// Its tiles.
    pub tiles: usize,
}

/// Rank all slides that `filter` accepts: the most similar first.
pub fn rank(
    index: &Snapshot,
    like: &[ExampleTile<'_>],
    filter: &TileFilter,
    matches: &[Match],
) -> Vec<SlideRank> {
    let step = like.len().div_ceil(MOST_COMPARED).max(1);
    let compared: Vec<&ExampleTile<'_>> = like.iter().step_by(step).collect();
    let places: Vec<u32> =
        (0..index.sets().len() as u32).filter(|place| filter.accepts_set(*place)).collect();
    let rank = |place: &u32| {
        let set = &index.sets()[*place as usize];
        let only = (0..index.sets().len() as u32).map(|other| other == *place).collect();
        let filter = TileFilter { sets: only, ..filter.clone() };
        let mut nearest: Vec<f32> = compared
            .iter()
            .filter_map(|tile| Some(index.nearest(&tile.descriptor, &filter, 1).first()?.distance))
            .collect();
        nearest.sort_by(f32::total_cmp);
        let slide = set.header.slide_id.clone();
        let matches = matches.iter().filter(|found| found.slide == slide).count();
        Some(SlideRank { median_distance: median(&nearest)?, matches, tiles: set.len(), slide })
    };
    let mut ranked: Vec<SlideRank> = places.par_iter().filter_map(rank).collect();
    ranked.sort_by(|a, b| {
        a.median_distance
            .total_cmp(&b.median_distance)
            .then(b.matches.cmp(&a.matches))
            .then(a.slide.cmp(&b.slide))
    });
    ranked
}

/// The middle of sorted values, or between the two middle ones.
fn median(sorted: &[f32]) -> Option<f32> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len.is_multiple_of(2) => Some(f32::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}
