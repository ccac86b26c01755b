//! Drawing of near and far tiles on the same slide.
//!
//! No list of all pairs is made. Near partners are looked up in a grid of buckets. Far partners are drawn at
//! random until one is far enough, at most `TRIES` times, and are then chosen among all that are. Which tiles
//! have a far partner is known beforehand, since the tile furthest from any point is a corner of the convex
//! hull; so a draw always ends.

mod slide_pairs;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::TrainingError;
use super::config::{LossKind, Method, SlideWeighting, SlidesWithoutFarPairs, TrainingConfig};
use super::slides::TrainingSlide;
use histokin_core::geometry::Level0Rect;
use histokin_core::number_format::{decimal, plain};
use slide_pairs::SlidePairs;

pub use slide_pairs::{PairCount, count_pairs, has_far_pairs};

/// Whether two tiles are near each other or far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// Closer than the near limit, or judged to be the same tissue.
    Near,
    /// Farther apart than the far limit, or judged to be different tissue.
    Far,
}

/// One tile of a training slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileRef {
    /// Position of the slide among those given to the sampler.
    pub slide: usize,
    /// The tile in level-0 pixels.
    pub rect: Level0Rect,
}

/// Two tiles, by their positions in a [`Group`], and their relation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Position of the first tile.
    pub first: usize,
    /// Position of the second tile.
    pub second: usize,
    /// Whether they are near or far.
    pub relation: Relation,
    /// Distance of their centres in mm; `None` for pairs judged by the user, which may be on different
    /// slides.
    pub distance_mm: Option<f64>,
}

/// Tiles that are drawn together: a pair, a triplet, or a single tile.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The tiles.
    pub tiles: Vec<TileRef>,
    /// Pairs among the tiles.
    pub pairs: Vec<Pair>,
    /// Index of the first tile among all tiles of all slides.
    pub instance: usize,
}

/// Two tiles judged by the user to be the same or different tissue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgedPair {
    /// The two tiles.
    pub tiles: [TileRef; 2],
    /// True for the same tissue, false for different tissue.
    pub same: bool,
}

/// Draws the groups of every step. A group depends only on the seed, the step, its position in the batch and
/// the attempt.
pub struct PairSampler {
    slides: Vec<SlidePairs>,
    tiles: Vec<Vec<Level0Rect>>,
    /// Index of each slide's first tile among all tiles.
    first_instance: Vec<usize>,
    weights: Vec<f64>,
    judged_pairs: Vec<JudgedPair>,
    config: TrainingConfig,
}

impl PairSampler {
    /// Creates the sampler. Also returns notices for the user, such as slides without far pairs.
    ///
    /// # Errors
    /// Returns [`TrainingError::NoNearPairs`], [`TrainingError::NoFarPairs`] or [`TrainingError::AllNear`] if
    /// no slide has the pairs that the loss needs.
    pub fn new(
        slides: &[TrainingSlide],
        judged_pairs: Vec<JudgedPair>,
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
        // NT-Xent compares a pair with the tiles of its batch that are not near it. If a batch is drawn from
        // one slide, that slide must have such tiles.
        let slides_together = match config.slides_per_batch {
            0 => slides.len(),
            count => count.min(slides.len()),
        };
        let needs_negatives = config.method == Method::Siamese && !config.needs_far() && slides_together == 1;
        if needs_negatives
            && let Some(widest) = widest
            && prepared[widest].reach_mm < config.near_mm
        {
            return Err(TrainingError::AllNear {
                near_mm: config.near_mm,
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
                    SlidesWithoutFarPairs::LeaveOut => {
                        weight = 0.0;
                        "it is not used"
                    }
                    SlidesWithoutFarPairs::NearOnly => "only its near pairs are used",
                };
                notices.push(format!(
                    "{}: no tissue tiles are more than {} mm apart (largest distance {} mm), so {what}",
                    slide.name(),
                    plain(config.far_mm),
                    decimal(pairs.reach_mm, 1)
                ));
            }
            if needs_negatives && pairs.reach_mm < config.near_mm {
                weight = 0.0;
                notices.push(format!(
                    "{}: all its tissue tiles are at most {} mm apart, less than {} mm, so a near pair has nothing to be \
                     compared with, and it is not used",
                    slide.name(),
                    decimal(pairs.reach_mm, 1),
                    plain(config.near_mm)
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
            Self { slides: prepared, tiles, first_instance, weights, judged_pairs, config: config.clone() },
            notices,
        ))
    }

    /// Number of tiles of all slides.
    pub fn instances(&self) -> usize {
        self.tiles.iter().map(Vec::len).sum()
    }

    /// Draws a group. A higher `attempt` gives another group, in place of one that could not be read.
    pub fn group(&self, step: u64, position: usize, attempt: usize) -> Group {
        let mut random = self.random(step, 1 + position, attempt);
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
        if let Some(judged) = self.judged(&mut random) {
            return judged;
        }
        match self.config.loss {
            LossKind::Triplet => self.triplet(&allowed, &mut random),
            LossKind::NtXent => self.pair(Relation::Near, &allowed, &mut random),
            LossKind::Contrastive | LossKind::ContrastiveSquared => {
                self.pair(relation, &allowed, &mut random)
            }
        }
    }

    /// Draws the indices of `count` tiles uniformly at random, as noise for NPID.
    pub fn noise(&self, step: u64, count: usize) -> Vec<i64> {
        let mut random = self.random(step, 0, 1);
        let all = self.instances();
        (0..count).map(|_| random.random_range(0..all) as i64).collect()
    }

    /// Returns the random generator for one purpose of one step.
    fn random(&self, step: u64, position: usize, attempt: usize) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.config.seed);
        random.set_stream((step << 24) | ((position as u64) << 4) | attempt as u64);
        random
    }

    /// Returns the slides that a step draws from; empty for all.
    fn slides_of_step(&self, step: u64) -> Vec<usize> {
        let count = self.config.slides_per_batch;
        if count == 0 || count >= self.slides.len() {
            return Vec::new();
        }
        let mut random = self.random(step, 0, 0);
        let needed = if self.config.needs_far() { Relation::Far } else { Relation::Near };
        let mut chosen = Vec::new();
        // The first slide must have the pairs that the loss needs; the others may be any.
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

    /// Draws a slide by weight, among `allowed`, or among all if that is empty or none of them is suitable.
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
            let slide_weight = weight(slide, among);
            if slide_weight > 0.0 {
                last = slide;
                left -= slide_weight;
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
        // Every anchor in these lists has a partner.
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
        for (position, (other, relation)) in (1..).zip(others) {
            group.tiles.push(self.tile(slide, *other));
            let distance_mm = Some(pairs.distance(anchor, *other));
            group.pairs.push(Pair { first: 0, second: position, relation: *relation, distance_mm });
        }
        group
    }

    /// Draws a pair judged by the user, with the probability in the settings and if the loss can use it.
    fn judged(&self, random: &mut ChaCha8Rng) -> Option<Group> {
        let usable = |pair: &&JudgedPair| match self.config.loss {
            LossKind::Contrastive | LossKind::ContrastiveSquared => true,
            LossKind::NtXent => pair.same,
            LossKind::Triplet => false,
        };
        let usable: Vec<&JudgedPair> = self.judged_pairs.iter().filter(usable).collect();
        if usable.is_empty() || !random.random_bool(self.config.judged_pairs_share) {
            return None;
        }
        let judged = usable[random.random_range(0..usable.len())];
        let relation = if judged.same { Relation::Near } else { Relation::Far };
        let pair = Pair { first: 0, second: 1, relation, distance_mm: None };
        Some(Group { tiles: judged.tiles.to_vec(), pairs: vec![pair], instance: 0 })
    }

    fn tile(&self, slide: usize, tile: usize) -> TileRef {
        TileRef { slide, rect: self.tiles[slide][tile] }
    }
}

#[cfg(test)]
mod tests {
    use super::slide_pairs::{convex_hull, distance};
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
        PairSampler {
            slides,
            tiles,
            first_instance,
            weights,
            judged_pairs: Vec::new(),
            config: config.clone(),
        }
    }

    fn config(loss: LossKind) -> TrainingConfig {
        TrainingConfig { loss, near_mm: 2.0, far_mm: 10.0, ..TrainingConfig::default() }
    }

    #[test]
    fn pairs_keep_the_limits_and_come_half_and_half() {
        let sampler = sampler(&[grid(60, 40, 0.3), grid(90, 20, 0.2)], &config(LossKind::Contrastive));
        let groups: Vec<Group> =
            (0..2000).map(|position| sampler.group(position / 16, position as usize % 16, 0)).collect();
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
        // Both slides are drawn from equally often.
        let first = groups.iter().filter(|group| group.tiles[0].slide == 0).count();
        assert!((850..1150).contains(&first), "{first}");
    }

    #[test]
    fn a_triplet_has_an_anchor_a_near_and_a_far_tile() {
        let sampler = sampler(&[grid(60, 40, 0.3)], &config(LossKind::Triplet));
        for position in 0..200 {
            let group = sampler.group(3, position, 0);
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
                (0..64).map(|position| sampler.group(step, position, 0).tiles[0].slide).collect();
            slides.sort();
            slides.dedup();
            assert_eq!(slides.len(), 2);
        }
    }

    #[test]
    fn far_pairs_of_two_far_corners_are_found_although_they_are_rare() {
        // 4000 tiles close together and a single one 20 mm away.
        let mut section = grid(80, 50, 0.05);
        section.push([20.0, 1.0]);
        let sampler = sampler(&[section], &config(LossKind::Contrastive));
        let far = (0..200)
            .map(|position| sampler.group(0, position, 0))
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
