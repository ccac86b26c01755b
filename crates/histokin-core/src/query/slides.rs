//! Slides ranked by how much tissue like the query's they hold.

use rayon::prelude::*;

use super::Match;
use super::example::ExampleTile;
use crate::descriptors::{DescriptorSet, Row};
use crate::index::{Snapshot, TileFilter, squared_distance};
use crate::slide::SlideId;

/// Tiles of the query that slides are compared with at most.
const MOST_COMPARED: usize = 64;

/// Bars of a histogram.
pub const HISTOGRAM_BINS: usize = 24;

/// Of the tiles of a slide, and of those of the query, so many make its histogram at most, evenly.
const MOST_COUNTED: usize = 4096;
const MOST_ASKING: usize = 8;

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
    /// Its tiles (of a large slide every so many), by the distance to the query's: the first bar begins at 0, the
    /// last one ends at `farthest`, which is the same for all slides of an answer.
    pub histogram: [u32; HISTOGRAM_BINS],
    pub farthest: f32,
}

/// A slide that no index here holds, compared where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideElsewhere {
    pub slide: SlideId,
    /// Its tiles.
    pub tiles: usize,
    /// Distance of each of the query's [`compared`] tiles to the most similar one of the slide that counts; tiles
    /// that have none are left out.
    pub nearest: Vec<f32>,
    /// Distance of its tiles, or evenly of some, to the nearest of the query's [`asking`] tiles.
    pub distances: Vec<f32>,
}

/// Which of so many tiles of a query slides are compared with: evenly some of them.
pub fn compared(tiles: usize) -> impl Iterator<Item = usize> {
    (0..tiles).step_by(tiles.div_ceil(MOST_COMPARED).max(1))
}

/// Which of them make the histograms.
pub fn asking(tiles: usize) -> impl Iterator<Item = usize> {
    (0..tiles).step_by(tiles.div_ceil(MOST_ASKING).max(1))
}

/// Rank all slides that `filter` accepts, and those `elsewhere`: the most similar first.
pub fn rank(
    index: &Snapshot,
    positives: &[ExampleTile<'_>],
    filter: &TileFilter,
    matches: &[Match],
    elsewhere: Vec<SlideElsewhere>,
) -> Vec<SlideRank> {
    let compared: Vec<&ExampleTile<'_>> = compared(positives.len()).map(|place| &positives[place]).collect();
    let places: Vec<u32> =
        (0..index.sets().len() as u32).filter(|place| filter.accepts_set(*place)).collect();
    let asking: Vec<&[f32]> = asking(positives.len()).map(|place| &*positives[place].descriptor).collect();
    let rank = |place: &u32| {
        let set = &index.sets()[*place as usize];
        let only = (0..index.sets().len() as u32).map(|other| other == *place).collect();
        let filter = TileFilter { sets: only, ..filter.clone() };
        let nearest = compared
            .iter()
            .filter_map(|tile| Some(index.nearest(&tile.descriptor, &filter, 1).first()?.distance))
            .collect();
        let (slide, distances) = (set.header.slide_id.clone(), distances(set, &asking));
        unbinned(SlideElsewhere { slide, tiles: set.len(), nearest, distances }, matches)
    };
    let mut ranked: Vec<(SlideRank, Vec<f32>)> = places.par_iter().filter_map(rank).collect();
    ranked.extend(elsewhere.into_iter().filter_map(|slide| unbinned(slide, matches)));
    let all = ranked.iter().flat_map(|(_, distances)| distances);
    let farthest = all.copied().fold(f32::MIN_POSITIVE, f32::max);
    for (rank, distances) in &mut ranked {
        rank.farthest = farthest;
        for distance in distances {
            let bin = (*distance / farthest * HISTOGRAM_BINS as f32) as usize;
            rank.histogram[bin.min(HISTOGRAM_BINS - 1)] += 1;
        }
    }
    let mut ranked: Vec<SlideRank> = ranked.into_iter().map(|(rank, _)| rank).collect();
    ranked.sort_by(|a, b| {
        a.median_distance
            .total_cmp(&b.median_distance)
            .then(b.matches.cmp(&a.matches))
            .then(a.slide.cmp(&b.slide))
    });
    ranked
}

/// The rank of a slide without its histogram, and the distances that make it; none where no tile of it counts.
fn unbinned(compared: SlideElsewhere, matches: &[Match]) -> Option<(SlideRank, Vec<f32>)> {
    let SlideElsewhere { slide, tiles, mut nearest, distances } = compared;
    nearest.sort_by(f32::total_cmp);
    let rank = SlideRank {
        median_distance: median(&nearest)?,
        matches: matches.iter().filter(|found| found.slide == slide).count(),
        tiles,
        slide,
        histogram: [0; HISTOGRAM_BINS],
        farthest: 0.0,
    };
    Some((rank, distances))
}

/// Distance of tiles of a slide, evenly taken, to the nearest of those that ask.
fn distances(set: &DescriptorSet, asking: &[&[f32]]) -> Vec<f32> {
    let rows = (0..set.len() as u32).map(Row).step_by(set.len().div_ceil(MOST_COUNTED).max(1));
    let nearest = |row: Row| {
        let squared = asking.iter().map(|asking| squared_distance(asking, set.descriptor(row)));
        squared.fold(f32::INFINITY, f32::min).sqrt()
    };
    rows.map(nearest).filter(|distance| distance.is_finite()).collect()
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
