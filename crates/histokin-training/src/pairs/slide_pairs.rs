//! The pairs that one slide gives.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Relation;
use crate::slides::TrainingSlide;

/// Random draws of a far partner before all are looked at.
const TRIES: usize = 64;

/// Up to so many tiles all pairs are counted; beyond, as many random pairs tell their share.
const COUNTED_TILES: usize = 2000;
const SAMPLED_PAIRS: u32 = 200_000;

/// How many pairs a slide can give.
#[derive(Debug, Clone, PartialEq)]
pub struct PairCount {
    pub tiles: usize,
    pub near: u64,
    pub far: u64,
    /// Whether `far` was counted; of large slides it is estimated from random pairs.
    pub exact: bool,
    /// Largest distance between two tissue tiles.
    pub reach_mm: f64,
}

/// The tissue tiles of one slide, ready to be drawn from.
pub(super) struct SlidePairs {
    pub(super) centres: Vec<[f64; 2]>,
    pub(super) buckets: HashMap<(i64, i64), Vec<usize>>,
    /// Tiles that have a near partner, a far one, and both.
    pub(super) with_near: Vec<usize>,
    pub(super) with_far: Vec<usize>,
    pub(super) with_both: Vec<usize>,
    pub(super) reach_mm: f64,
    pub(super) near_mm: f64,
    pub(super) far_mm: f64,
}

impl SlidePairs {
    pub(super) fn new(centres: Vec<[f64; 2]>, near_mm: f64, far_mm: f64) -> Self {
        let mut buckets: HashMap<(i64, i64), Vec<usize>> = HashMap::new();
        for (index, centre) in centres.iter().enumerate() {
            buckets.entry(bucket(*centre, near_mm)).or_default().push(index);
        }
        let hull = convex_hull(&centres);
        let furthest = |from: [f64; 2]| hull.iter().map(|corner| distance(from, *corner)).fold(0.0, f64::max);
        let reach_mm = hull.iter().map(|corner| furthest(*corner)).fold(0.0, f64::max);
        let mut slide = Self {
            buckets,
            with_near: Vec::new(),
            with_far: Vec::new(),
            with_both: Vec::new(),
            reach_mm,
            near_mm,
            far_mm,
            centres,
        };
        for index in 0..slide.centres.len() {
            let has_near = slide.near_of(index).next().is_some();
            let has_far = reach_mm > far_mm && furthest(slide.centres[index]) > far_mm;
            if has_near {
                slide.with_near.push(index);
            }
            if has_far {
                slide.with_far.push(index);
            }
            if has_near && has_far {
                slide.with_both.push(index);
            }
        }
        slide
    }

    pub(super) fn distance(&self, a: usize, b: usize) -> f64 {
        distance(self.centres[a], self.centres[b])
    }

    /// All tiles nearer than the near limit, the tile itself left out.
    fn near_of(&self, index: usize) -> impl Iterator<Item = usize> {
        let (column, row) = bucket(self.centres[index], self.near_mm);
        (column - 1..=column + 1)
            .flat_map(move |column| (row - 1..=row + 1).map(move |row| (column, row)))
            .filter_map(|place| self.buckets.get(&place))
            .flatten()
            .copied()
            .filter(move |other| *other != index && self.distance(index, *other) < self.near_mm)
    }

    pub(super) fn near_partner(&self, index: usize, random: &mut ChaCha8Rng) -> Option<usize> {
        let near: Vec<usize> = self.near_of(index).collect();
        pick(&near, random)
    }

    pub(super) fn far_partner(&self, index: usize, random: &mut ChaCha8Rng) -> Option<usize> {
        for _ in 0..TRIES {
            let other = random.random_range(0..self.centres.len());
            if self.distance(index, other) > self.far_mm {
                return Some(other);
            }
        }
        let far: Vec<usize> =
            (0..self.centres.len()).filter(|other| self.distance(index, *other) > self.far_mm).collect();
        pick(&far, random)
    }

    pub(super) fn has(&self, relation: Relation) -> bool {
        match relation {
            Relation::Near => !self.with_near.is_empty(),
            Relation::Far => !self.with_far.is_empty(),
        }
    }

    pub(super) fn count(&self) -> PairCount {
        let tiles = self.centres.len();
        let near = (0..tiles).map(|index| self.near_of(index).count() as u64).sum::<u64>() / 2;
        let all = tiles as u64 * (tiles as u64).saturating_sub(1) / 2;
        let exact = tiles <= COUNTED_TILES || self.with_far.is_empty();
        let far = if self.with_far.is_empty() {
            0
        } else if exact {
            let of = |a: usize| (0..a).filter(|b| self.distance(a, *b) > self.far_mm).count() as u64;
            (0..tiles).map(of).sum()
        } else {
            let mut random = ChaCha8Rng::seed_from_u64(0);
            let mut any = || random.random_range(0..tiles);
            let found = (0..SAMPLED_PAIRS).filter(|_| self.distance(any(), any()) > self.far_mm).count();
            (all as f64 * found as f64 / f64::from(SAMPLED_PAIRS)) as u64
        };
        PairCount { tiles, near, far, exact, reach_mm: self.reach_mm }
    }
}

/// How many pairs `slide` can give within these limits.
pub fn count_pairs(slide: &TrainingSlide, near_mm: f64, far_mm: f64) -> PairCount {
    SlidePairs::new(slide.centres_mm.clone(), near_mm, far_mm).count()
}

/// Whether any two tissue tiles of `slide` are that far apart.
pub fn has_far_pairs(slide: &TrainingSlide, far_mm: f64) -> bool {
    let hull = convex_hull(&slide.centres_mm);
    hull.iter().any(|corner| hull.iter().any(|other| distance(*corner, *other) > far_mm))
}

pub(super) fn pick(from: &[usize], random: &mut ChaCha8Rng) -> Option<usize> {
    (!from.is_empty()).then(|| from[random.random_range(0..from.len())])
}

fn bucket([x, y]: [f64; 2], edge: f64) -> (i64, i64) {
    ((x / edge).floor() as i64, (y / edge).floor() as i64)
}

pub(super) fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Corners of the convex hull (Andrew 1979, the monotone chain).
pub(super) fn convex_hull(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let turns_left = |a: [f64; 2], b: [f64; 2], c: [f64; 2]| {
        (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0.0
    };
    let half = |points: &mut dyn Iterator<Item = [f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
        for point in points {
            while let [.., before, last] = chain[..]
                && !turns_left(before, last, point)
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut sorted.iter().copied());
    hull.extend(half(&mut sorted.iter().rev().copied()));
    hull
}
