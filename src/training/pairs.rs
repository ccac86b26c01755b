//! Drawing tiles that lie near each other and tiles that lie far apart, on the same slide.
//!
//! No list of all pairs is ever made. Near partners are looked up in a grid of buckets; far partners are
//! drawn until one is far enough, at most `TRIES` times, and then chosen among all that are. Which tiles have
//! a far partner at all is known beforehand, since the tile furthest from any point is a corner of the
//! convex hull: a draw always ends.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::TrainingError;
use super::config::{LossKind, Method, SlideWeighting, TrainingConfig, WithoutFar};
use super::slides::TrainingSlide;
use crate::geometry::Level0Rect;

/// Random draws of a far partner before all are looked at.
const TRIES: usize = 64;

/// Up to so many tiles all pairs are counted; beyond, as many random pairs tell their share.
const COUNTED_TILES: usize = 2000;
const SAMPLED_PAIRS: u32 = 200_000;

/// Whether two tiles lie near each other or far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    Near,
    Far,
}

/// One tile of one of the training slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileRef {
    /// Place of the slide among those that the sampler was made from.
    pub slide: usize,
    pub rect: Level0Rect,
}

/// Two tiles by their place in a [`Group`], and how they lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    pub first: usize,
    pub second: usize,
    pub relation: Relation,
    /// Distance of their centres; `None` between slides, which only the user's marks join.
    pub distance_mm: Option<f64>,
}

/// What is drawn together: a pair, a triplet, or a tile alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub tiles: Vec<TileRef>,
    pub pairs: Vec<Pair>,
    /// Number of the first tile among all tiles of all slides.
    pub instance: usize,
}

/// Two tiles that the user has marked as the same tissue or as different ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarkedPair {
    pub tiles: [TileRef; 2],
    pub same: bool,
}

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
struct SlidePairs {
    centres: Vec<[f64; 2]>,
    buckets: HashMap<(i64, i64), Vec<usize>>,
    /// Tiles that have a near partner, a far one, and both.
    with_near: Vec<usize>,
    with_far: Vec<usize>,
    with_both: Vec<usize>,
    reach_mm: f64,
    near_mm: f64,
    far_mm: f64,
}

impl SlidePairs {
    fn new(centres: Vec<[f64; 2]>, near_mm: f64, far_mm: f64) -> Self {
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

    fn distance(&self, a: usize, b: usize) -> f64 {
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

    fn near_partner(&self, index: usize, random: &mut ChaCha8Rng) -> Option<usize> {
        let near: Vec<usize> = self.near_of(index).collect();
        pick(&near, random)
    }

    fn far_partner(&self, index: usize, random: &mut ChaCha8Rng) -> Option<usize> {
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

    fn has(&self, relation: Relation) -> bool {
        match relation {
            Relation::Near => !self.with_near.is_empty(),
            Relation::Far => !self.with_far.is_empty(),
        }
    }

    fn count(&self) -> PairCount {
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

/// Draws the groups of every step. A group depends on the seed, its step and its place in the batch alone.
pub struct PairSampler {
    slides: Vec<SlidePairs>,
    tiles: Vec<Vec<Level0Rect>>,
    /// Number of each slide's first tile among all tiles.
    first_instance: Vec<usize>,
    weights: Vec<f64>,
    marks: Vec<MarkedPair>,
    config: TrainingConfig,
}

impl PairSampler {
    /// The sampler, and what the user should know: the slides that give no far pairs.
    ///
    /// # Errors
    /// [`TrainingError::NoNearPairs`] or [`TrainingError::NoFarPairs`] when what the loss needs cannot be
    /// drawn from any slide.
    pub fn new(
        slides: &[TrainingSlide],
        marks: Vec<MarkedPair>,
        config: &TrainingConfig,
    ) -> Result<(Self, Vec<String>), TrainingError> {
        let prepared: Vec<SlidePairs> = slides
            .iter()
            .map(|slide| SlidePairs::new(slide.centres_mm.clone(), config.near_mm, config.far_mm))
            .collect();
        if config.method == Method::Siamese && !prepared.iter().any(|slide| slide.has(Relation::Near)) {
            return Err(TrainingError::NoNearPairs { near_mm: config.near_mm });
        }
        let widest = (0..slides.len()).max_by(|a, b| prepared[*a].reach_mm.total_cmp(&prepared[*b].reach_mm));
        if config.needs_far()
            && !prepared.iter().any(|slide| !slide.with_both.is_empty())
            && let Some(widest) = widest
        {
            return Err(TrainingError::NoFarPairs {
                far_mm: config.far_mm,
                loss: config.loss.name(),
                widest: slides[widest].name(),
                reach_mm: prepared[widest].reach_mm,
            });
        }
        let mut notices = Vec::new();
        let mut weights = Vec::new();
        for (slide, pairs) in slides.iter().zip(&prepared) {
            let tiles = pairs.centres.len() as f64;
            let mut weight = match config.slide_weighting {
                SlideWeighting::Equal => 1.0,
                SlideWeighting::SquareRoot => tiles.sqrt(),
                SlideWeighting::Tiles => tiles,
            };
            if config.needs_far() && !pairs.has(Relation::Far) {
                let what = match config.without_far {
                    WithoutFar::LeaveOut => {
                        weight = 0.0;
                        "it is left out"
                    }
                    WithoutFar::NearOnly => "it gives near pairs only",
                };
                notices.push(format!(
                    "{}: no tissue tiles are more than {} mm apart (the furthest {:.1} mm), so {what}",
                    slide.name(),
                    config.far_mm,
                    pairs.reach_mm
                ));
            }
            weights.push(weight);
        }
        let mut first_instance = Vec::new();
        let mut instances = 0;
        for pairs in &prepared {
            first_instance.push(instances);
            instances += pairs.centres.len();
        }
        let tiles = slides.iter().map(|slide| slide.tiles.clone()).collect();
        Ok((
            Self { slides: prepared, tiles, first_instance, weights, marks, config: config.clone() },
            notices,
        ))
    }

    /// Tiles of all slides together.
    pub fn instances(&self) -> usize {
        self.tiles.iter().map(Vec::len).sum()
    }

    /// Draw one group. `attempt` gives another one in place of a group that could not be read.
    pub fn group(&self, step: u64, place: usize, attempt: usize) -> Group {
        let mut random = self.random(step, 1 + place, attempt);
        let relation = if random.random_bool(0.5) { Relation::Near } else { Relation::Far };
        let allowed = self.slides_of_step(step);
        if self.config.method == Method::Npid {
            let slide = self.choose(&allowed, |_| true, &mut random);
            let tile = random.random_range(0..self.tiles[slide].len());
            return Group {
                tiles: vec![self.tile(slide, tile)],
                pairs: Vec::new(),
                instance: self.first_instance[slide] + tile,
            };
        }
        if let Some(marked) = self.marked(&mut random) {
            return marked;
        }
        match self.config.loss {
            LossKind::Triplet => self.triplet(&allowed, &mut random),
            LossKind::NtXent => self.pair(Relation::Near, &allowed, &mut random),
            LossKind::Contrastive | LossKind::ContrastiveSquared => {
                self.pair(relation, &allowed, &mut random)
            }
        }
    }

    /// Numbers of `count` tiles for every tile of a batch to be compared with, all of them by chance.
    pub fn noise(&self, step: u64, count: usize) -> Vec<i64> {
        let mut random = self.random(step, 0, 1);
        let all = self.instances();
        (0..count).map(|_| random.random_range(0..all) as i64).collect()
    }

    /// A generator for one purpose of one step.
    fn random(&self, step: u64, place: usize, attempt: usize) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.config.seed);
        random.set_stream((step << 24) | ((place as u64) << 4) | attempt as u64);
        random
    }

    /// The slides that a step draws from; empty for all.
    fn slides_of_step(&self, step: u64) -> Vec<usize> {
        let count = self.config.slides_per_batch;
        if count == 0 || count >= self.slides.len() {
            return Vec::new();
        }
        let mut random = self.random(step, 0, 0);
        let needed = if self.config.needs_far() { Relation::Far } else { Relation::Near };
        let mut chosen = Vec::new();
        // The first has to give what the loss needs; the others may be any.
        chosen.push(self.choose(&[], |slide| slide.has(needed), &mut random));
        while chosen.len() < count {
            let left: Vec<usize> = (0..self.slides.len())
                .filter(|slide| self.weights[*slide] > 0.0 && !chosen.contains(slide))
                .collect();
            if left.is_empty() {
                break;
            }
            chosen.push(self.choose(&left, |_| true, &mut random));
        }
        chosen
    }

    /// A slide by weight, among `allowed` (all where that is empty, or none of them will do).
    fn choose(&self, allowed: &[usize], can: impl Fn(&SlidePairs) -> bool, random: &mut ChaCha8Rng) -> usize {
        let weight = |slide: usize, among: &[usize]| {
            let is_allowed = among.is_empty() || among.contains(&slide);
            if is_allowed && can(&self.slides[slide]) { self.weights[slide] } else { 0.0 }
        };
        let total = |among: &[usize]| (0..self.slides.len()).map(|slide| weight(slide, among)).sum::<f64>();
        let among = if total(allowed) > 0.0 { allowed } else { &[] };
        let mut left = random.random_range(0.0..1.0) * total(among);
        let mut last = 0;
        for slide in 0..self.slides.len() {
            let own = weight(slide, among);
            if own > 0.0 {
                last = slide;
                left -= own;
                if left < 0.0 {
                    break;
                }
            }
        }
        last
    }

    fn pair(&self, relation: Relation, allowed: &[usize], random: &mut ChaCha8Rng) -> Group {
        let slide = self.choose(allowed, |slide| slide.has(relation), random);
        let pairs = &self.slides[slide];
        let anchors = match relation {
            Relation::Near => &pairs.with_near,
            Relation::Far => &pairs.with_far,
        };
        let partner = |anchor: usize, random: &mut ChaCha8Rng| match relation {
            Relation::Near => pairs.near_partner(anchor, random),
            Relation::Far => pairs.far_partner(anchor, random),
        };
        let anchor = anchors[random.random_range(0..anchors.len())];
        // An anchor of these lists has a partner.
        let other = partner(anchor, random).unwrap_or(anchor);
        self.joined(slide, anchor, &[(other, relation)])
    }

    fn triplet(&self, allowed: &[usize], random: &mut ChaCha8Rng) -> Group {
        let slide = self.choose(allowed, |slide| !slide.with_both.is_empty(), random);
        let pairs = &self.slides[slide];
        let anchor = pairs.with_both[random.random_range(0..pairs.with_both.len())];
        let near = pairs.near_partner(anchor, random).unwrap_or(anchor);
        let far = pairs.far_partner(anchor, random).unwrap_or(anchor);
        self.joined(slide, anchor, &[(near, Relation::Near), (far, Relation::Far)])
    }

    fn joined(&self, slide: usize, anchor: usize, others: &[(usize, Relation)]) -> Group {
        let pairs = &self.slides[slide];
        let mut group = Group {
            tiles: vec![self.tile(slide, anchor)],
            pairs: Vec::new(),
            instance: self.first_instance[slide] + anchor,
        };
        for (place, (other, relation)) in (1..).zip(others) {
            group.tiles.push(self.tile(slide, *other));
            let distance_mm = Some(pairs.distance(anchor, *other));
            group.pairs.push(Pair { first: 0, second: place, relation: *relation, distance_mm });
        }
        group
    }

    /// One of the user's marks, as often as the settings say and where the loss can learn from it.
    fn marked(&self, random: &mut ChaCha8Rng) -> Option<Group> {
        let usable = |mark: &&MarkedPair| match self.config.loss {
            LossKind::Contrastive | LossKind::ContrastiveSquared => true,
            LossKind::NtXent => mark.same,
            LossKind::Triplet => false,
        };
        let usable: Vec<&MarkedPair> = self.marks.iter().filter(usable).collect();
        if usable.is_empty() || !random.random_bool(self.config.marks_share) {
            return None;
        }
        let mark = usable[random.random_range(0..usable.len())];
        let relation = if mark.same { Relation::Near } else { Relation::Far };
        let pair = Pair { first: 0, second: 1, relation, distance_mm: None };
        Some(Group { tiles: mark.tiles.to_vec(), pairs: vec![pair], instance: 0 })
    }

    fn tile(&self, slide: usize, tile: usize) -> TileRef {
        TileRef { slide, rect: self.tiles[slide][tile] }
    }
}

fn pick(from: &[usize], random: &mut ChaCha8Rng) -> Option<usize> {
    (!from.is_empty()).then(|| from[random.random_range(0..from.len())])
}

fn bucket([x, y]: [f64; 2], edge: f64) -> (i64, i64) {
    ((x / edge).floor() as i64, (y / edge).floor() as i64)
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Corners of the convex hull (Andrew 1979, the monotone chain).
fn convex_hull(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(columns: usize, rows: usize, step_mm: f64) -> Vec<[f64; 2]> {
        (0..columns * rows)
            .map(|i| [(i % columns) as f64 * step_mm, (i / columns) as f64 * step_mm])
            .collect()
    }

    fn sampler(sections: &[Vec<[f64; 2]>], config: &TrainingConfig) -> PairSampler {
        let slides: Vec<SlidePairs> = sections
            .iter()
            .map(|centres| SlidePairs::new(centres.clone(), config.near_mm, config.far_mm))
            .collect();
        let rect = |centre: &[f64; 2]| {
            Level0Rect::new((centre[0] * 1000.0) as i64, (centre[1] * 1000.0) as i64, 224, 224)
        };
        let tiles: Vec<Vec<Level0Rect>> =
            sections.iter().map(|centres| centres.iter().map(rect).collect()).collect();
        let first_instance =
            tiles.iter().scan(0, |at, tiles| Some(std::mem::replace(at, *at + tiles.len()))).collect();
        let weights = vec![1.0; slides.len()];
        PairSampler { slides, tiles, first_instance, weights, marks: Vec::new(), config: config.clone() }
    }

    fn config(loss: LossKind) -> TrainingConfig {
        TrainingConfig { loss, near_mm: 2.0, far_mm: 10.0, ..TrainingConfig::default() }
    }

    #[test]
    fn pairs_keep_the_limits_and_come_half_and_half() {
        let sampler = sampler(&[grid(60, 40, 0.3), grid(90, 20, 0.2)], &config(LossKind::Contrastive));
        let groups: Vec<Group> =
            (0..2000).map(|place| sampler.group(place / 16, place as usize % 16, 0)).collect();
        let mut near = 0;
        for group in &groups {
            let [pair] = group.pairs[..] else { panic!("{group:?}") };
            assert_eq!(group.tiles[0].slide, group.tiles[1].slide);
            assert_ne!(group.tiles[0], group.tiles[1]);
            let distance = pair.distance_mm.unwrap();
            match pair.relation {
                Relation::Near => {
                    near += 1;
                    assert!(distance < 2.0);
                }
                Relation::Far => assert!(distance > 10.0),
            }
        }
        assert!((900..1100).contains(&near), "{near}");
        // Both slides are drawn from alike.
        let first = groups.iter().filter(|group| group.tiles[0].slide == 0).count();
        assert!((850..1150).contains(&first), "{first}");
    }

    #[test]
    fn a_triplet_has_an_anchor_a_near_and_a_far_tile() {
        let sampler = sampler(&[grid(60, 40, 0.3)], &config(LossKind::Triplet));
        for place in 0..200 {
            let group = sampler.group(3, place, 0);
            assert_eq!(group.tiles.len(), 3);
            assert!(group.pairs[0].distance_mm.unwrap() < 2.0 && group.pairs[1].distance_mm.unwrap() > 10.0);
        }
    }

    #[test]
    fn a_group_is_a_function_of_seed_step_place_and_attempt() {
        let make =
            |seed| sampler(&[grid(60, 40, 0.3)], &TrainingConfig { seed, ..config(LossKind::Contrastive) });
        assert_eq!(make(7).group(5, 3, 0), make(7).group(5, 3, 0));
        let first = make(7).group(5, 3, 0);
        for other in
            [make(8).group(5, 3, 0), make(7).group(6, 3, 0), make(7).group(5, 4, 0), make(7).group(5, 3, 1)]
        {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_batch_keeps_to_its_slides() {
        let sections = vec![grid(60, 40, 0.3); 6];
        let sampler = sampler(&sections, &TrainingConfig { slides_per_batch: 2, ..config(LossKind::NtXent) });
        for step in 0..20 {
            let mut slides: Vec<usize> =
                (0..64).map(|place| sampler.group(step, place, 0).tiles[0].slide).collect();
            slides.sort();
            slides.dedup();
            assert_eq!(slides.len(), 2);
        }
    }

    #[test]
    fn far_pairs_of_two_far_corners_are_found_although_they_are_rare() {
        // 4000 tiles in one place and a single one 20 mm away.
        let mut section = grid(80, 50, 0.05);
        section.push([20.0, 1.0]);
        let sampler = sampler(&[section], &config(LossKind::Contrastive));
        let far = (0..200)
            .map(|place| sampler.group(0, place, 0))
            .filter(|group| group.pairs[0].relation == Relation::Far);
        let mut count = 0;
        for group in far {
            assert!(group.pairs[0].distance_mm.unwrap() > 10.0);
            count += 1;
        }
        assert!(count > 50);
    }

    #[test]
    fn counts_agree_with_all_pairs() {
        let section = grid(40, 30, 0.35);
        let slide = SlidePairs::new(section.clone(), 2.0, 10.0);
        let all = || (0..section.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let count = |holds: &dyn Fn(f64) -> bool| {
            all().filter(|(a, b)| holds(distance(section[*a], section[*b]))).count() as u64
        };
        let found = slide.count();
        assert_eq!((found.near, found.far), (count(&|d| d < 2.0), count(&|d| d > 10.0)));
        assert!(found.exact && (found.reach_mm - (39.0_f64 * 0.35).hypot(29.0 * 0.35)).abs() < 1e-9);
        let large = SlidePairs::new(grid(80, 60, 0.2), 2.0, 10.0).count();
        let counted: u64 = {
            let points = grid(80, 60, 0.2);
            (0..points.len())
                .map(|a| (0..a).filter(|b| distance(points[a], points[*b]) > 10.0).count() as u64)
                .sum()
        };
        assert!(!large.exact && (large.far as f64 / counted as f64 - 1.0).abs() < 0.02);
    }

    proptest! {
        #[test]
        fn the_hull_holds_the_furthest_tile_of_any(points in proptest::collection::vec((0.0..20.0_f64, 0.0..20.0_f64), 1..60)) {
            let points: Vec<[f64; 2]> = points.into_iter().map(|(x, y)| [x, y]).collect();
            let hull = convex_hull(&points);
            for point in &points {
                let furthest = |among: &[[f64; 2]]| among.iter().map(|other| distance(*point, *other)).fold(0.0, f64::max);
                prop_assert!((furthest(&hull) - furthest(&points)).abs() < 1e-9);
            }
        }
    }
}
