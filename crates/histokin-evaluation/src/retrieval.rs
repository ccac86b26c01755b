//! Retrieval: each tile of known class is a query for the most similar tiles on other slides or of other
//! patients; an answer is correct if it is of the query's class.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use super::average_precision::average_precisions;
use super::intervals::Resampling;
use super::neighbours::{Neighbour, Pool};
use super::{Class, Descriptors, EvaluationError, Exclude, Tiles};

/// Number of answers stored for each query.
pub const ANSWERS: usize = 20;

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
    /// All tiles; those without a class count as incorrect answers.
    All,
}

/// Settings of retrieval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrievalSettings {
    /// Tiles that are excluded from the answers.
    pub exclude: Exclude,
    /// Tiles that can be answers.
    pub pool: PoolKind,
    /// Maximum number of queries of each class, drawn at random.
    pub queries_per_class: usize,
    /// Seed for drawing queries.
    pub seed: u64,
    /// The only class whose tiles are queries; `None` for all classes.
    pub only: Option<Class>,
}

impl Default for RetrievalSettings {
    fn default() -> Self {
        Self {
            exclude: Exclude::default(),
            pool: PoolKind::Labelled,
            queries_per_class: 10_000,
            seed: 0,
            only: None,
        }
    }
}

/// A query and its answers.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryOutcome {
    /// Row of the query tile.
    pub tile: u32,
    /// Class of the query tile.
    pub class: Class,
    /// Number of tiles that can be answers.
    pub pool: u32,
    /// Chance level: share of these that are of the query's class.
    pub chance_level: f64,
    /// Up to [`ANSWERS`] nearest tiles, nearest first.
    pub answers: Vec<Neighbour>,
    /// For each answer, whether it is of the query's class.
    pub hits: Vec<bool>,
    /// Most frequent class of the first five answers; of equally frequent ones, the one that comes first.
    pub vote: Option<Class>,
    /// Average precision: mean over all tiles of the query's class of the precision at their rank; `None` if
    /// not measured.
    pub average_precision: Option<f64>,
}

impl QueryOutcome {
    /// Returns the share of the first `count` answers that are of the query's class.
    pub fn precision(&self, count: usize) -> f64 {
        let first = &self.hits[..count.min(self.hits.len())];
        first.iter().filter(|hit| **hit).count() as f64 / first.len().max(1) as f64
    }

    /// Returns the value of a measure, if it was measured.
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

/// A measure of retrieval; each is a mean over queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Measure {
    /// Precision at 1: share of queries whose nearest tile is of their class.
    #[serde(rename = "p_at_1")]
    P1,
    /// Precision at 5.
    #[serde(rename = "p_at_5")]
    P5,
    /// Precision at 20.
    #[serde(rename = "p_at_20")]
    P20,
    /// Mean average precision.
    #[serde(rename = "map")]
    Map,
    /// Share of queries whose class is the most frequent one of the five nearest tiles.
    #[serde(rename = "majority_at_5")]
    Majority5,
}

impl Measure {
    /// All measures, in the order of reports.
    pub const ALL: [Self; 5] = [Self::P1, Self::P5, Self::P20, Self::Map, Self::Majority5];

    /// Returns its key in JSON and CSV files.
    pub fn key(self) -> &'static str {
        match self {
            Self::P1 => "p_at_1",
            Self::P5 => "p_at_5",
            Self::P20 => "p_at_20",
            Self::Map => "map",
            Self::Majority5 => "majority_at_5",
        }
    }

    /// Returns its displayed name.
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

/// All queries of one encoder on a sample of tiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    /// Settings of the retrieval.
    pub settings: RetrievalSettings,
    /// Queries, ordered by class, then by row.
    pub queries: Vec<QueryOutcome>,
    /// Classes that occur on one slide (or patient) only, so that their queries have no correct answer.
    pub unanswerable: Vec<Class>,
    /// Slide of each query, in the same order.
    slides: Vec<u32>,
    /// Patient of each query, in the same order.
    patients: Vec<u32>,
}

/// A value and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The value, usually a share from 0 to 1.
    pub value: f64,
    /// 95 % interval from resampling slides or patients; `None` if it cannot be estimated.
    pub ci95: Option<[f64; 2]>,
}

/// Retrieval score of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The class.
    pub class: Class,
    /// Number of queries.
    pub queries: usize,
    /// Mean over queries of the number of tiles that can be answers.
    pub pool: f64,
    /// Mean over queries of the chance level.
    pub chance_level: f64,
    /// Values in the order of [`Measure::ALL`]; `None` if not measured.
    pub figures: [Option<Figure>; 5],
}

impl Score {
    /// Returns the value of a measure, if it was measured.
    pub fn figure(&self, measure: Measure) -> Option<Figure> {
        self.figures[Measure::ALL.iter().position(|other| *other == measure)?]
    }
}

/// Answers a query for every tile of a class that occurs on at least two slides (or patients), up to the
/// number set.
///
/// # Errors
/// [`EvaluationError::Lengths`] when `tiles` and `descriptors` do not match.
pub fn ask(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    settings: &RetrievalSettings,
) -> Result<Retrieval, EvaluationError> {
    tiles.check(descriptors)?;
    let (queries, unanswerable) = choose_queries(tiles, tiles.groups(settings.exclude), settings);
    let queries = answered(descriptors, tiles, settings, &queries, true);
    Ok(Retrieval::of(queries, tiles, settings, unanswerable))
}

/// Answers those of the queries of [`ask`] for whose rows `is_asked` is true, without average precision.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_some(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    settings: &RetrievalSettings,
    is_asked: impl Fn(u32) -> bool,
) -> Result<Vec<QueryOutcome>, EvaluationError> {
    tiles.check(descriptors)?;
    let (mut queries, _) = choose_queries(tiles, tiles.groups(settings.exclude), settings);
    queries.retain(|query| is_asked(*query));
    Ok(answered(descriptors, tiles, settings, &queries, false))
}

/// Answers the queries at these rows; with `ranks_all` their average precision is measured, which ranks all tiles.
fn answered(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    settings: &RetrievalSettings,
    queries: &[u32],
    ranks_all: bool,
) -> Vec<QueryOutcome> {
    let groups = tiles.groups(settings.exclude);
    let rows: Vec<u32> = (0..tiles.len() as u32)
        .filter(|row| settings.pool == PoolKind::All || tiles.classes[*row as usize].is_some())
        .collect();
    let pool = Pool::new(descriptors, groups, rows);
    let counts = Counts::of(tiles, groups, pool.rows());
    let answers = pool.nearest(queries, ANSWERS);
    let precisions = match ranks_all {
        true => average_precisions(&pool, tiles, groups, queries, settings.seed),
        false => vec![None; queries.len()],
    };
    let outcomes = queries.iter().zip(answers).zip(precisions);
    outcomes
        .filter_map(|((query, answers), average_precision)| {
            let class = tiles.classes[*query as usize]?;
            let of = |answer: &Neighbour| tiles.classes[answer.tile as usize];
            let (size, same) = counts.others(groups[*query as usize], class);
            Some(QueryOutcome {
                tile: *query,
                class,
                pool: size,
                chance_level: f64::from(same) / f64::from(size.max(1)),
                hits: answers.iter().map(|answer| of(answer) == Some(class)).collect(),
                vote: vote(answers.iter().take(5).map(of)),
                answers,
                average_precision,
            })
        })
        .collect()
}

impl Retrieval {
    /// Gathers queries, in any order, of `tiles`.
    pub(super) fn of(
        mut queries: Vec<QueryOutcome>,
        tiles: &Tiles,
        settings: &RetrievalSettings,
        unanswerable: Vec<Class>,
    ) -> Self {
        queries.sort_by_key(|query| (query.class, query.tile));
        let slides = queries.iter().map(|query| tiles.slides[query.tile as usize]).collect();
        let patients = queries.iter().map(|query| tiles.patients[query.tile as usize]).collect();
        Self { settings: *settings, queries, unanswerable, slides, patients }
    }

    /// Returns the classes with queries, in order.
    pub fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.queries.iter().map(|query| query.class).collect();
        classes.dedup();
        classes
    }

    /// Returns the score of `class`, with intervals from resampling slides; `None` if it has no queries.
    pub fn score(&self, class: Class, resampling: &Resampling) -> Option<Score> {
        self.score_over(&self.slides, class, resampling)
    }

    /// Returns the score of `class`, with intervals from resampling patients; `None` if it has no queries.
    pub fn score_by_patient(&self, class: Class, resampling: &Resampling) -> Option<Score> {
        self.score_over(&self.patients, class, resampling)
    }

    /// Returns the score of `class`, with intervals from resampling `groups`, one number for each query.
    fn score_over(&self, groups: &[u32], class: Class, resampling: &Resampling) -> Option<Score> {
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
            chance_level: mean(&|query| query.chance_level),
            figures: Measure::ALL.map(|measure| {
                let sums = asking(self.sums_over(groups, class, measure));
                let value = ratio(&sums, None)?;
                Some(Figure {
                    value,
                    ci95: resampling.interval(sums.len(), |counts| ratio(&sums, Some(counts))),
                })
            }),
        })
    }

    /// Returns the difference in one measure to another encoder on the same queries, with its 95 % interval
    /// from the same draws of slides for both.
    pub fn difference(
        &self,
        other: &Self,
        class: Class,
        measure: Measure,
        resampling: &Resampling,
    ) -> Option<Figure> {
        let sums = |retrieval: &Self| asking(retrieval.sums_over(&retrieval.slides, class, measure));
        let (own, others) = (sums(self), sums(other));
        let value = ratio(&own, None)? - ratio(&others, None)?;
        let ci95 = resampling.interval(own.len().min(others.len()), |counts| {
            Some(ratio(&own, Some(counts))? - ratio(&others, Some(counts))?)
        });
        Some(Figure { value, ci95 })
    }

    /// Returns for each patient the sum of a measure over the queries of `class` and their number.
    pub(super) fn sums_by_patient(&self, class: Class, measure: Measure) -> Vec<(f64, u32)> {
        self.sums_over(&self.patients, class, measure)
    }

    /// Returns for each of `groups` the sum of a measure over the queries of `class` and their number.
    fn sums_over(&self, groups: &[u32], class: Class, measure: Measure) -> Vec<(f64, u32)> {
        let mut sums = vec![(0.0, 0); groups.iter().max().map_or(0, |last| *last as usize + 1)];
        for (query, group) in self.queries.iter().zip(groups).filter(|(query, _)| query.class == class) {
            if let Some(value) = query.value(measure) {
                sums[*group as usize].0 += value;
                sums[*group as usize].1 += 1;
            }
        }
        sums
    }
}

/// Returns the sums of the groups that have queries.
fn asking(mut sums: Vec<(f64, u32)>) -> Vec<(f64, u32)> {
    sums.retain(|(_, count)| *count > 0);
    sums
}

/// Returns the mean over queries, with each group weighted by its number in `counts`.
pub(super) fn ratio(sums: &[(f64, u32)], counts: Option<&[u32]>) -> Option<f64> {
    let times = |group: usize| counts.map_or(1.0, |counts| f64::from(counts[group]));
    let (mut sum, mut count) = (0.0, 0.0);
    for (group, (value, queries)) in sums.iter().enumerate() {
        sum += times(group) * value;
        count += times(group) * f64::from(*queries);
    }
    (count > 0.0).then(|| sum / count)
}

/// Returns the most frequent of the classes; of equally frequent ones, the one that comes first.
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

/// Returns the rows of the query tiles, by class and row, and the classes that cannot have queries.
fn choose_queries(tiles: &Tiles, groups: &[u32], settings: &RetrievalSettings) -> (Vec<u32>, Vec<Class>) {
    let last = tiles.classes.iter().flatten().max().map_or(0, |class| class.0 + 1);
    let (mut queries, mut unanswerable) = (Vec::new(), Vec::new());
    let is_wanted = |class: &Class| settings.only.is_none_or(|only| only == *class);
    for class in (0..last).map(Class).filter(is_wanted) {
        let rows: Vec<u32> =
            (0..tiles.len() as u32).filter(|row| tiles.classes[*row as usize] == Some(class)).collect();
        let Some(first) = rows.first() else { continue };
        if rows.iter().all(|row| groups[*row as usize] == groups[*first as usize]) {
            unanswerable.push(class);
            continue;
        }
        let seed = settings.seed.wrapping_add(u64::from(class.0));
        let chosen = super::health::sample(rows.len(), settings.queries_per_class, seed);
        queries.extend(chosen.iter().map(|index| rows[*index as usize]));
    }
    (queries, unanswerable)
}

/// Numbers of tiles of the pool by group and class.
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

    /// Returns the number of tiles outside `group`, and how many of these are of `class`.
    fn others(&self, group: u32, class: Class) -> (u32, u32) {
        let own = self.by_group_and_class.get(&(group, class)).copied().unwrap_or(0);
        (self.all - self.by_group[group as usize], self.by_class[usize::from(class.0)] - own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vote_goes_to_the_most_frequent_and_then_to_the_first() {
        let of = |classes: &[u16]| vote(classes.iter().map(|class| Some(Class(*class))));
        assert_eq!(of(&[1, 2, 2, 3, 3]), Some(Class(2)));
        assert_eq!(of(&[1, 2, 2, 1, 3]), Some(Class(1)));
        assert_eq!(of(&[]), None);
    }

    /// Three slides on a line: class 0 near 0, class 1 near 10, and a class that occurs on one slide only.
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
        let settings = RetrievalSettings { exclude: Exclude::Slide, ..RetrievalSettings::default() };
        let found = ask(descriptors, &tiles, &settings).unwrap();
        assert_eq!(found.unanswerable, [Class(2)]);
        assert_eq!(found.classes(), [Class(0), Class(1)]);
        let score = found.score(Class(0), &Resampling::default()).unwrap();
        assert_eq!((score.queries, score.pool, score.chance_level), (6, 8.0, 0.5));
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
    fn answers_are_of_other_patients_unless_set_otherwise() {
        let (values, tiles) = three_slides();
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let found = ask(descriptors, &tiles, &RetrievalSettings::default()).unwrap();
        assert!(!found.queries.is_empty());
        for query in &found.queries {
            assert!(!query.answers.is_empty());
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
        let settings = RetrievalSettings { exclude: Exclude::Slide, ..RetrievalSettings::default() };
        let labelled = ask(descriptors, &tiles, &settings).unwrap();
        assert!(labelled.queries.iter().all(|query| query.answers.iter().all(|answer| answer.tile != 4)));
        let settings = RetrievalSettings { pool: PoolKind::All, ..settings };
        let all = ask(descriptors, &tiles, &settings).unwrap();
        let first = &all.queries[0];
        assert_eq!((first.answers[0].tile, first.hits[0]), (4, false));
        assert_eq!(first.pool, labelled.queries[0].pool + 1);
    }
}
