//! Ranking of slides by their similarity to the query.

use rayon::prelude::*;

use super::Match;
use crate::descriptors::{DescriptorSet, Row};
use crate::index::{Snapshot, TileFilter, squared_distance};
use crate::slide::SlideId;

/// Maximum number of query tiles that slides are compared with.
const MOST_COMPARED: usize = 64;

/// Number of bars of a histogram.
pub const HISTOGRAM_BINS: usize = 24;

/// Maximum number of a slide's tiles in its histogram, sampled evenly.
const MOST_COUNTED: usize = 4096;
/// Maximum number of query tiles that histograms are computed for, sampled evenly.
const MOST_ASKING: usize = 8;

/// Similarity of a slide to the query.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideRank {
    /// The slide.
    pub slide: SlideId,
    /// Median over the query's tiles of the distance to the most similar tile of the slide (Kalra et al.
    /// 2020, "Yottixel", §3.4).
    pub median_distance: f32,
    /// Number of matches on the slide.
    pub matches: usize,
    /// Number of the slide's tiles.
    pub tiles: usize,
    /// Histogram of the tiles' distances to the query, evenly sampled on large slides; bars range from 0 to
    /// `farthest`.
    pub histogram: [u32; HISTOGRAM_BINS],
    /// Upper end of the histogram, as a descriptor distance; the same for all slides of an answer.
    pub farthest: f32,
}

/// A slide that is not in the local index, compared with the query elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideElsewhere {
    /// The slide.
    pub slide: SlideId,
    /// Number of the slide's tiles.
    pub tiles: usize,
    /// Distance of each of the query's [`compared`] tiles to the most similar tile of the slide that the
    /// filters allow; query tiles without one are left out.
    pub nearest: Vec<f32>,
    /// Distances of the slide's tiles, or of an even sample, to the nearest of the query's [`asking`] tiles.
    pub distances: Vec<f32>,
}

/// Returns the indices of the query tiles that slides are compared with, sampled evenly from `tiles`.
pub fn compared(tiles: usize) -> impl Iterator<Item = usize> {
    (0..tiles).step_by(tiles.div_ceil(MOST_COMPARED).max(1))
}

/// Returns the indices of the query tiles that histograms are computed for, sampled evenly from `tiles`.
pub fn asking(tiles: usize) -> impl Iterator<Item = usize> {
    (0..tiles).step_by(tiles.div_ceil(MOST_ASKING).max(1))
}

/// Ranks all slides that `filter` accepts, and those `elsewhere`, most similar to the query's `points` first.
pub fn rank(
    index: &Snapshot,
    points: &[&[f32]],
    filter: &TileFilter,
    matches: &[Match],
    elsewhere: Vec<SlideElsewhere>,
) -> Vec<SlideRank> {
    let compared: Vec<&[f32]> = compared(points.len()).map(|point| points[point]).collect();
    let set_indices: Vec<u32> =
        (0..index.sets().len() as u32).filter(|set_index| filter.accepts_set(*set_index)).collect();
    let asking: Vec<&[f32]> = asking(points.len()).map(|point| points[point]).collect();
    let rank = |set_index: &u32| {
        let set = &index.sets()[*set_index as usize];
        let only = (0..index.sets().len() as u32).map(|other| other == *set_index).collect();
        let filter = TileFilter { sets: only, ..filter.clone() };
        let nearest = compared
            .iter()
            .filter_map(|point| Some(index.nearest(point, &filter, 1).first()?.distance))
            .collect();
        let (slide, distances) = (set.header.slide_id.clone(), distances(set, &asking));
        unbinned(SlideElsewhere { slide, tiles: set.len(), nearest, distances }, matches)
    };
    let mut ranked: Vec<(SlideRank, Vec<f32>)> = set_indices.par_iter().filter_map(rank).collect();
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

/// Returns the rank of a slide without its histogram, and the distances that go into the histogram. `None` if
/// the filters allow no tile of the slide.
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

/// Returns the distances of an even sample of a slide's tiles to the nearest tile in `asking`.
fn distances(set: &DescriptorSet, asking: &[&[f32]]) -> Vec<f32> {
    let rows = (0..set.len() as u32).map(Row).step_by(set.len().div_ceil(MOST_COUNTED).max(1));
    let nearest = |row: Row| {
        let squared = asking.iter().map(|asking| squared_distance(asking, set.descriptor(row)));
        squared.fold(f32::INFINITY, f32::min).sqrt()
    };
    rows.map(nearest).filter(|distance| distance.is_finite()).collect()
}

/// Returns the median of sorted values.
fn median(sorted: &[f32]) -> Option<f32> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len.is_multiple_of(2) => Some(f32::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}
