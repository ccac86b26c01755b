//! Retrieval: each tile of known class asks for the tiles most like it on other slides or of other
//! patients, and the answers are counted that are of its class.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use super::intervals::Resampling;
use super::neighbours::{Neighbour, Pool};
use super::{Class, Descriptors, EvaluationError, Exclude, Tiles};

/// Answers that are kept of every query.
pub const ANSWERS: usize = 20;

/// Up to so many distances in all, average precision is taken over every query; beyond, over as many
/// queries as that allows, drawn at random.
const RANKED_DISTANCES: usize = 1_000_000_000;

/// Which tiles can be answers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PoolKind {
    /// Tiles whose class is known.
    #[default]
    Labelled,
    /// All tiles; those without a class count as wrong answers.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrievalSettings {
    pub exclude: Exclude,
    pub pool: PoolKind,
    /// At most so many queries of each class, drawn at random.
    pub queries_per_class: usize,
    pub seed: u64,
    /// The one class that asks; all where there is none.
    pub only: Option<Class>,
}

impl Default for RetrievalSettings {
    fn default() -> Self {
        Self {
            exclude: Exclude::Slide,
            pool: PoolKind::Labelled,
            queries_per_class: 10_000,
            seed: 0,
            only: None,
        }
    }
}

/// One query and what it got.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryOutcome {
    /// Row of the query tile.
    pub tile: u32,
    pub class: Class,
    /// Tiles that could have answered.
    pub pool: u32,
    /// Share of these that are of the query's class: what guessing would score.
    pub base_rate: f64,
    /// Up to [`ANSWERS`] nearest tiles, nearest first.
    pub answers: Vec<Neighbour>,
    /// Of each answer, whether it is of the query's class.
    pub hits: Vec<bool>,
    /// The class that most of the first five answers have; of equally frequent ones that which comes first.
    pub vote: Option<Class>,
    /// Mean over all tiles of the query's class of the precision down to that tile, where it was measured.
    pub average_precision: Option<f64>,
}

impl QueryOutcome {
    /// Share of the first `count` answers that are of the query's class.
    pub fn precision(&self, count: usize) -> f64 {
        let first = &self.hits[..count.min(self.hits.len())];
        first.iter().filter(|hit| **hit).count() as f64 / first.len().max(1) as f64
    }

    /// The value of one measure, where there is one.
    pub fn value(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::P1 => Some(self.precision(1)),
            Measure::P5 => Some(self.precision(5)),
            Measure::P20 => Some(self.precision(20)),
            Measure::Map => self.average_precision,
            Measure::Majority5 => Some(if self.vote == Some(self.class) { 1.0 } else { 0.0 }),
        }
    }
}

/// What is measured of retrieval; each is the mean over queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Measure {
    #[serde(rename = "p_at_1")]
    P1,
    #[serde(rename = "p_at_5")]
    P5,
    #[serde(rename = "p_at_20")]
    P20,
    #[serde(rename = "map")]
    Map,
    #[serde(rename = "majority_at_5")]
    Majority5,
}

impl Measure {
    pub const ALL: [Self; 5] = [Self::P1, Self::P5, Self::P20, Self::Map, Self::Majority5];

    /// Its name in tables for machines.
    pub fn key(self) -> &'static str {
        match self {
            Self::P1 => "p_at_1",
            Self::P5 => "p_at_5",
            Self::P20 => "p_at_20",
            Self::Map => "map",
            Self::Majority5 => "majority_at_5",
        }
    }

    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::P1 => "P@1",
            Self::P5 => "P@5",
            Self::P20 => "P@20",
            Self::Map => "mAP",
            Self::Majority5 => "majority of 5",
        }
    }
}

/// All queries of one encoder on some tiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    pub settings: RetrievalSettings,
    /// Ordered by class, then by row.
    pub queries: Vec<QueryOutcome>,
    /// Classes that only one slide (or patient) has: no query of theirs can be answered.
    pub unanswerable: Vec<Class>,
    /// Slide of each query, in the same order.
    slides: Vec<u32>,
    slide_count: usize,
}

/// A figure and its 95 % interval from resampling slides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    pub value: f64,
    pub ci95: Option<[f64; 2]>,
}

/// Retrieval of the tiles of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    pub class: Class,
    pub queries: usize,
    /// Tiles that could answer, in the mean over queries.
    pub pool: f64,
    /// What guessing would score.
    pub base_rate: f64,
    /// In the order of [`Measure::ALL`]; none where it was not measured.
    pub figures: [Option<Figure>; 5],
}

impl Score {
    pub fn figure(&self, measure: Measure) -> Option<Figure> {
        self.figures[Measure::ALL.iter().position(|other| *other == measure)?]
    }
}

/// Let every tile of known class ask, of every class that at least two slides (or patients) have.
///
/// # Errors
/// When `tiles` are not those of `descriptors`.
pub fn ask(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    settings: &RetrievalSettings,
) -> Result<Retrieval, EvaluationError> {
    tiles.check(descriptors)?;
    let groups = tiles.groups(settings.exclude);
    let rows: Vec<u32> = (0..tiles.len() as u32)
        .filter(|row| settings.pool == PoolKind::All || tiles.classes[*row as usize].is_some())
        .collect();
    let pool = Pool::new(descriptors, groups, rows);
    let counts = Counts::of(tiles, groups, pool.rows());
    let (queries, unanswerable) = choose_queries(tiles, groups, settings);
    let answers = pool.nearest(&queries, ANSWERS);
    let precisions = average_precisions(&pool, tiles, groups, &queries, settings.seed);
    let outcomes: Vec<QueryOutcome> = queries
        .iter()
        .zip(answers)
        .zip(precisions)
        .filter_map(|((query, answers), average_precision)| {
            let class = tiles.classes[*query as usize]?;
            let of = |answer: &Neighbour| tiles.classes[answer.tile as usize];
            let (size, same) = counts.others(groups[*query as usize], class);
            Some(QueryOutcome {
                tile: *query,
                class,
                pool: size,
                base_rate: f64::from(same) / f64::from(size.max(1)),
                hits: answers.iter().map(|answer| of(answer) == Some(class)).collect(),
                vote: vote(answers.iter().take(5).map(of)),
                answers,
                average_precision,
            })
        })
        .collect();
    let slides = outcomes.iter().map(|outcome| tiles.slides[outcome.tile as usize]).collect();
    Ok(Retrieval {
        settings: *settings,
        queries: outcomes,
        unanswerable,
        slides,
        slide_count: tiles.slide_count(),
    })
}

impl Retrieval {
    /// Classes that were asked for, in order.
    pub fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.queries.iter().map(|query| query.class).collect();
        classes.dedup();
        classes
    }

    /// Retrieval of `class`; none where no tile of it could ask.
    pub fn score(&self, class: Class, resampling: &Resampling) -> Option<Score> {
        let queries: Vec<&QueryOutcome> = self.queries.iter().filter(|query| query.class == class).collect();
        if queries.is_empty() {
            return None;
        }
        let mean = |value: &dyn Fn(&QueryOutcome) -> f64| {
            queries.iter().map(|query| value(query)).sum::<f64>() / queries.len() as f64
        };
        Some(Score {
            class,
            queries: queries.len(),
            pool: mean(&|query| f64::from(query.pool)),
            base_rate: mean(&|query| query.base_rate),
            figures: Measure::ALL.map(|measure| {
                let sums = self.sums(class, measure);
                let value = ratio(&sums, None)?;
                Some(Figure {
                    value,
                    ci95: resampling.interval(sums.len(), |counts| ratio(&sums, Some(counts))),
                })
            }),
        })
    }

    /// The difference of one measure of two encoders on the same queries, and its 95 % interval over the
    /// same draws of slides for both.
    pub fn difference(
        &self,
        other: &Self,
        class: Class,
        measure: Measure,
        resampling: &Resampling,
    ) -> Option<Figure> {
        let (own, others) = (self.sums(class, measure), other.sums(class, measure));
        let value = ratio(&own, None)? - ratio(&others, None)?;
        let ci95 = resampling.interval(own.len().min(others.len()), |counts| {
            Some(ratio(&own, Some(counts))? - ratio(&others, Some(counts))?)
        });
        Some(Figure { value, ci95 })
    }

    /// For each slide with queries of `class`: sum of a measure over these, and how many they are.
    fn sums(&self, class: Class, measure: Measure) -> Vec<(f64, u32)> {
        let mut sums = vec![(0.0, 0); self.slide_count];
        for (query, slide) in self.queries.iter().zip(&self.slides).filter(|(query, _)| query.class == class)
        {
            if let Some(value) = query.value(measure) {
                sums[*slide as usize].0 += value;
                sums[*slide as usize].1 += 1;
            }
        }
        sums.retain(|(_, count)| *count > 0);
        sums
    }
}

/// Mean over queries, each slide counted as often as `counts` says.
pub(super) fn ratio(sums: &[(f64, u32)], counts: Option<&[u32]>) -> Option<f64> {
    let times = |place: usize| counts.map_or(1.0, |counts| f64::from(counts[place]));
    let (mut sum, mut count) = (0.0, 0.0);
    for (place, (value, queries)) in sums.iter().enumerate() {
        sum += times(place) * value;
        count += times(place) * f64::from(*queries);
    }
    (count > 0.0).then(|| sum / count)
}

/// The most frequent of the classes; of equally frequent ones that which comes first.
fn vote(classes: impl Iterator<Item = Option<Class>>) -> Option<Class> {
    let mut votes: Vec<(Option<Class>, usize)> = Vec::new();
    for class in classes {
        match votes.iter_mut().find(|(other, _)| *other == class) {
            Some((_, count)) => *count += 1,
            None => votes.push((class, 1)),
        }
    }
    let most = votes.iter().map(|(_, count)| *count).max()?;
    votes.into_iter().find(|(_, count)| *count == most).and_then(|(class, _)| class)
}

/// Rows of the tiles that ask, by class and row, and the classes of which none can.
fn choose_queries(tiles: &Tiles, groups: &[u32], settings: &RetrievalSettings) -> (Vec<u32>, Vec<Class>) {
    let last = tiles.classes.iter().flatten().max().map_or(0, |class| class.0 + 1);
    let (mut queries, mut unanswerable) = (Vec::new(), Vec::new());
    let asks = |class: &Class| settings.only.is_none_or(|only| only == *class);
    for class in (0..last).map(Class).filter(asks) {
        let rows: Vec<u32> =
            (0..tiles.len() as u32).filter(|row| tiles.classes[*row as usize] == Some(class)).collect();
        let Some(first) = rows.first() else { continue };
        if rows.iter().all(|row| groups[*row as usize] == groups[*first as usize]) {
            unanswerable.push(class);
            continue;
        }
        let seed = settings.seed.wrapping_add(u64::from(class.0));
        let chosen = super::health::sample(rows.len(), settings.queries_per_class, seed);
        queries.extend(chosen.iter().map(|place| rows[*place as usize]));
    }
    (queries, unanswerable)
}

/// How many tiles of the pool each group has, and how many of each class.
struct Counts {
    all: u32,
    by_class: Vec<u32>,
    by_group: Vec<u32>,
    by_group_and_class: std::collections::HashMap<(u32, Class), u32>,
}

impl Counts {
    fn of(tiles: &Tiles, groups: &[u32], rows: &[u32]) -> Self {
        let classes = tiles.classes.iter().flatten().max().map_or(0, |class| usize::from(class.0) + 1);
        let group_count = groups.iter().max().map_or(0, |last| *last as usize + 1);
        let mut counts = Self {
            all: rows.len() as u32,
            by_class: vec![0; classes],
            by_group: vec![0; group_count],
            by_group_and_class: std::collections::HashMap::new(),
        };
        for row in rows {
            let group = groups[*row as usize];
            counts.by_group[group as usize] += 1;
            if let Some(class) = tiles.classes[*row as usize] {
                counts.by_class[usize::from(class.0)] += 1;
                *counts.by_group_and_class.entry((group, class)).or_default() += 1;
            }
        }
        counts
    }

    /// Tiles outside `group`, and those of them of `class`.
    fn others(&self, group: u32, class: Class) -> (u32, u32) {
        let own = self.by_group_and_class.get(&(group, class)).copied().unwrap_or(0);
        (self.all - self.by_group[group as usize], self.by_class[usize::from(class.0)] - own)
    }
}

/// Average precision of each query over its whole pool, or of as many queries as are feasible.
fn average_precisions(
    pool: &Pool<'_>,
    tiles: &Tiles,
    groups: &[u32],
    queries: &[u32],
    seed: u64,
) -> Vec<Option<f64>> {
    let feasible = (RANKED_DISTANCES / pool.rows().len().max(1)).max(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen: Vec<usize> = if queries.len() <= feasible {
        (0..queries.len()).collect()
    } else {
        rand::seq::index::sample(&mut random, queries.len(), feasible).into_vec()
    };
    chosen.sort_unstable();
    let asked: Vec<u32> = chosen.iter().map(|place| queries[*place]).collect();
    let measured: Vec<std::sync::OnceLock<f64>> = asked.iter().map(|_| std::sync::OnceLock::new()).collect();
    pool.distances(&asked, |place, distances| {
        let query = asked[place] as usize;
        let mut answers = Vec::with_capacity(distances.len());
        for (tile, distance) in pool.rows().iter().zip(distances) {
            if groups[*tile as usize] != groups[query] {
                let of_class = tiles.classes[*tile as usize] == tiles.classes[query];
                answers.push(ranked(*distance, of_class));
            }
        }
        if let Some(precision) = average_precision(answers) {
            // Each place is told of once.
            _ = measured[place].set(precision);
        }
    });
    let mut precisions = vec![None; queries.len()];
    for (place, value) in chosen.into_iter().zip(measured) {
        precisions[place] = value.into_inner();
    }
    precisions
}

/// Mean over the right answers of the share of right ones among all answers at most as far. `answers` are made
/// by [`ranked`], in any order.
fn average_precision(mut answers: Vec<u32>) -> Option<f64> {
    sort(&mut answers);
    let mut right = 0_usize;
    let mut sum = 0.0;
    for (place, answer) in (1..).zip(&answers) {
        if answer & 1 == 1 {
            right += 1;
            sum += right as f64 / f64::from(place);
        }
    }
    (right > 0).then(|| sum / right as f64)
}

/// An answer as a number that sorts by its squared distance: the bits of a float that is not negative ascend with
/// it, and leave the sign's free. Wrong answers as far as a right one stand before it: ties do not flatter.
fn ranked(squared: f32, is_right: bool) -> u32 {
    squared.max(0.0).to_bits() << 1 | u32::from(is_right)
}

/// Sort ascending, digit by digit where there are many (Knuth, The Art of Computer Programming 3, 5.2.5).
fn sort(numbers: &mut Vec<u32>) {
    const FEW: usize = 4096;
    const BITS: u32 = 11;
    if numbers.len() < FEW {
        return numbers.sort_unstable();
    }
    let mut other = vec![0; numbers.len()];
    for shift in [0, BITS, 2 * BITS] {
        let digit = |number: u32| (number >> shift) as usize & ((1 << BITS) - 1);
        let mut places = [0_u32; 1 << BITS];
        numbers.iter().for_each(|number| places[digit(*number)] += 1);
        let mut before = 0;
        for place in &mut places {
            before += std::mem::replace(place, before);
        }
        for number in numbers.iter() {
            let place = &mut places[digit(*number)];
            other[*place as usize] = *number;
            *place += 1;
        }
        std::mem::swap(numbers, &mut other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_of_a_known_order() {
        let of = |right: &[f32], wrong: &[f32]| {
            let right = right.iter().map(|squared| ranked(*squared, true));
            average_precision(right.chain(wrong.iter().map(|squared| ranked(*squared, false))).collect())
        };
        // right, wrong, right, wrong, wrong, right: (1/1 + 2/3 + 3/6) / 3
        let value = of(&[6.0, 1.0, 3.0], &[2.0, 4.0, 5.0]).unwrap();
        assert!((value - (1.0 + 2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12);
        assert_eq!(of(&[1.0, 2.0], &[]), Some(1.0));
        assert_eq!(of(&[1.0], &[1.0]), Some(0.5), "a tie counts against");
        assert_eq!(of(&[], &[1.0]), None);
    }

    #[test]
    fn many_numbers_are_sorted_digit_by_digit() {
        let mut numbers: Vec<u32> = (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
        let mut expected = numbers.clone();
        expected.sort_unstable();
        sort(&mut numbers);
        assert_eq!(numbers, expected);
    }

    #[test]
    fn the_vote_goes_to_the_most_frequent_and_then_to_the_first() {
        let of = |classes: &[u16]| vote(classes.iter().map(|class| Some(Class(*class))));
        assert_eq!(of(&[1, 2, 2, 3, 3]), Some(Class(2)));
        assert_eq!(of(&[1, 2, 2, 1, 3]), Some(Class(1)));
        assert_eq!(of(&[]), None);
    }

    /// Three slides on a line: class 0 about 0, class 1 about 10, and a class that one slide alone has.
    fn three_slides() -> (Vec<f32>, Tiles) {
        let (mut values, mut tiles) = (Vec::new(), Tiles::default());
        for slide in 0..3_u32 {
            for (class, at) in [(0, 0.0), (0, 0.2), (1, 10.0), (1, 10.3)] {
                values.push(at + slide as f32 * 0.01);
                tiles.positions_um.push([0.0, 0.0]);
                tiles.slides.push(slide);
                tiles.patients.push(slide / 2);
                tiles.classes.push(Some(Class(class)));
            }
        }
        tiles.classes[3] = Some(Class(2));
        (values, tiles)
    }

    #[test]
    fn neighbours_of_the_class_are_found_on_other_slides() {
        let (values, tiles) = three_slides();
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let found = ask(descriptors, &tiles, &RetrievalSettings::default()).unwrap();
        assert_eq!(found.unanswerable, [Class(2)]);
        assert_eq!(found.classes(), [Class(0), Class(1)]);
        let score = found.score(Class(0), &Resampling::default()).unwrap();
        assert_eq!((score.queries, score.pool, score.base_rate), (6, 8.0, 0.5));
        assert_eq!(score.figure(Measure::P1).unwrap().value, 1.0);
        assert_eq!(score.figure(Measure::Map).unwrap().value, 1.0);
        assert_eq!(score.figure(Measure::P20).unwrap().value, 0.5, "all eight are answers");
        assert!(found.queries.iter().all(|query| {
            query
                .answers
                .iter()
                .all(|answer| tiles.slides[answer.tile as usize] != tiles.slides[query.tile as usize])
        }));
        assert_eq!(found.score(Class(2), &Resampling::default()), None);
    }

    #[test]
    fn patients_are_kept_apart_when_asked() {
        let (values, tiles) = three_slides();
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let settings = RetrievalSettings { exclude: Exclude::Patient, ..RetrievalSettings::default() };
        let found = ask(descriptors, &tiles, &settings).unwrap();
        for query in &found.queries {
            let patient = tiles.patients[query.tile as usize];
            assert!(query.answers.iter().all(|answer| tiles.patients[answer.tile as usize] != patient));
            assert_eq!(query.pool, if patient == 0 { 4 } else { 8 });
        }
    }

    #[test]
    fn tiles_of_unknown_class_answer_only_when_all_may() {
        let (values, mut tiles) = three_slides();
        tiles.classes[4] = None;
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let labelled = ask(descriptors, &tiles, &RetrievalSettings::default()).unwrap();
        assert!(labelled.queries.iter().all(|query| query.answers.iter().all(|answer| answer.tile != 4)));
        let settings = RetrievalSettings { pool: PoolKind::All, ..RetrievalSettings::default() };
        let all = ask(descriptors, &tiles, &settings).unwrap();
        let first = &all.queries[0];
        assert_eq!((first.answers[0].tile, first.hits[0]), (4, false));
        assert_eq!(first.pool, labelled.queries[0].pool + 1);
    }
}
