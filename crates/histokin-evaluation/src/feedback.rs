//! Simulated relevance feedback: precision of the matches that are not yet judged, by the number of
//! judgements.
//!
//! Tiles with a label are used as queries for tiles of other slides or patients. The best matches without a
//! judgement are judged, `ROUND` at a time, by whether their label is the query's class, and the remaining
//! tiles are ranked again using these judgements, by default in the way of the program
//! ([`direction`](histokin_core::query::direction())).

mod ranking;

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::intervals::Resampling;
use super::retrieval::Figure;
use super::{Class, Descriptors, EvaluationError, Exclude, Tiles, health};
use histokin_core::query::RankBy;
use ranking::Ranker;

/// Number of matches that are judged at a time.
const ROUND: usize = 5;

/// Numbers of judgements after which precision is measured.
pub const JUDGEMENTS: [usize; 4] = [0, 5, 10, 20];

/// What the figures mean, as sentences.
pub const EXPLANATION: &str = "P@20 of the matches without a judgement: a tile is the query, the five best matches are \
    judged the same or different, the others are ranked again by these judgements, and so on. Matches come from other \
    patients or slides. Mean over classes; in brackets: 95 % intervals from resampling patients or slides.";

/// Says why there are no figures, as a sentence.
pub const TOO_FEW: &str = "Too few labelled tiles: after the judgements, at least 20 tiles of other patients or slides \
    have to be left.";

/// Returns a number of judgements in words.
pub fn count_of(judgements: usize) -> String {
    match judgements {
        0 => "no judgement".to_owned(),
        count => format!("{count} judgements"),
    }
}

/// Number of best matches without a judgement whose precision is measured.
pub const ANSWERS: usize = 20;

/// Maximum number of queries for each class and slide (or patient); drawn at random if there are more.
const QUERIES_OF_EACH: usize = 40;

/// Approximate total number of queries.
const QUERIES: usize = 1000;

/// Maximum number of tiles that are searched; drawn at random if there are more.
const POOL: usize = 20_000;

/// Precision of the matches without a judgement, for each number of judgements in [`JUDGEMENTS`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeedbackCurve {
    /// Numbers of judgements, equal to [`JUDGEMENTS`].
    pub judgements: [usize; 4],
    /// P@20: the mean over classes of the means over querying slides (or patients), with confidence intervals
    /// from resampling these. `None` if too few tiles are left.
    pub precision: [Option<Figure>; 4],
    /// The same of the best matches on slides (or of patients) without any judgement.
    pub elsewhere: [Option<Figure>; 4],
    /// Total number of queries.
    pub queries: usize,
}

impl FeedbackCurve {
    /// Returns whether there were enough tiles for any of the figures.
    pub fn is_measured(&self) -> bool {
        self.precision.iter().any(Option::is_some)
    }
}

/// Settings of a simulation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulation {
    /// Which tiles a query does not search: those of its slide, or of its patient.
    pub exclude: Exclude,
    /// How tiles are ranked by judgements.
    pub rank_by: RankBy,
    /// Share (0 to 1) of the judgements that are wrong, at random.
    pub wrong: f64,
    /// Seed of all random choices.
    pub seed: u64,
    /// Resampling for the intervals.
    pub resampling: Resampling,
}

/// Mean results of the queries of one class and one slide (or patient).
struct QueryGroup {
    class: Class,
    /// Index of the slide (or patient) among all that have queries.
    group: usize,
    outcome: Outcome,
    queries: usize,
}

/// Precision after each number of judgements in [`JUDGEMENTS`]: of the matches without a judgement, and of those on slides
/// (or of patients) without any judgement. `None` if fewer than [`ANSWERS`] tiles are left.
type Outcome = [[Option<f64>; 4]; 2];

/// Simulates relevance feedback with tiles of every class that occurs in at least two slides (or patients) as
/// queries. Returns `None` if there is no such class.
///
/// # Errors
/// [`EvaluationError`] if `tiles` and `descriptors` do not belong together.
pub fn simulate(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    simulation: &Simulation,
) -> Result<Option<FeedbackCurve>, EvaluationError> {
    tiles.check(descriptors)?;
    let Simulation { exclude, seed, resampling, .. } = *simulation;
    let groups = tiles.groups(exclude);
    let mut rows: BTreeMap<(Class, u32), Vec<usize>> = BTreeMap::new();
    for (row, class) in tiles.classes.iter().enumerate() {
        if let Some(class) = class {
            rows.entry((*class, groups[row])).or_default().push(row);
        }
    }
    let is_answered = |(class, group): &(Class, u32)| {
        rows.range((*class, 0)..=(*class, u32::MAX)).any(|((_, other), _)| other != group)
    };
    let querying: Vec<(Class, u32)> = rows.keys().copied().filter(is_answered).collect();
    let all_groups: Vec<u32> =
        querying.iter().map(|(_, group)| *group).collect::<BTreeSet<_>>().into_iter().collect();
    let known: Vec<usize> = (0..tiles.len()).filter(|row| tiles.classes[*row].is_some()).collect();
    let pool: Vec<usize> =
        health::sample(known.len(), POOL, seed).into_iter().map(|step| known[step as usize]).collect();
    let ranker = Ranker::new(descriptors, &pool, simulation.rank_by);
    let most = (QUERIES / querying.len().max(1)).clamp(5, QUERIES_OF_EACH);
    let query_groups: Vec<QueryGroup> = querying
        .into_iter()
        .map(|(class, group)| {
            let own = &rows[&(class, group)];
            let others: Vec<usize> = pool.iter().copied().filter(|&row| groups[row] != group).collect();
            let simulate = |number: &u32| {
                let query = SimulatedQuery { tile: own[*number as usize], class, pool: &others };
                simulate_query(&ranker, tiles, groups, &query, simulation)
            };
            let outcomes: Vec<Outcome> =
                health::sample(own.len(), most, seed).par_iter().map(simulate).collect();
            let mean = |of: usize, step: usize| mean(outcomes.iter().map(|outcome| outcome[of][step]));
            QueryGroup {
                class,
                // Always found, since `all_groups` contains every group with queries.
                group: all_groups.partition_point(|other| *other < group),
                outcome: [0, 1].map(|of| std::array::from_fn(|step| mean(of, step))),
                queries: outcomes.len(),
            }
        })
        .collect();
    if query_groups.is_empty() {
        return Ok(None);
    }
    let figure = |of: usize, step: usize| {
        let statistic = |counts: &[u32]| mean_over_classes(&query_groups, (of, step), counts);
        let value = statistic(&vec![1; all_groups.len()])?;
        Some(Figure { value, ci95: resampling.interval(all_groups.len(), statistic) })
    };
    let [precision, elsewhere] = [0, 1].map(|of| std::array::from_fn(|step| figure(of, step)));
    let queries = query_groups.iter().map(|one| one.queries).sum();
    Ok(Some(FeedbackCurve { judgements: JUDGEMENTS, precision, elsewhere, queries }))
}

/// A query and the tiles that it searches.
struct SimulatedQuery<'a> {
    tile: usize,
    class: Class,
    pool: &'a [usize],
}

/// Simulates one query. `groups` are the slides or patients of all tiles.
fn simulate_query(
    ranker: &Ranker<'_>,
    tiles: &Tiles,
    groups: &[u32],
    query: &SimulatedQuery<'_>,
    simulation: &Simulation,
) -> Outcome {
    let is_right = |row: &usize| tiles.classes[*row] == Some(query.class);
    let share_of = |rows: &[usize]| {
        let hits = rows.iter().take(ANSWERS).filter(|row| is_right(row)).count();
        (rows.len() >= ANSWERS).then(|| hits as f64 / ANSWERS as f64)
    };
    let mut random = ChaCha8Rng::seed_from_u64(simulation.seed);
    random.set_stream(query.tile as u64);
    let (mut same, mut different) = (vec![query.tile], Vec::new());
    let mut left: Vec<usize> = query.pool.to_vec();
    let mut outcome = [[None; 4]; 2];
    for judged in (0..=JUDGEMENTS[3]).step_by(ROUND) {
        let scores = ranker.scores(&left, &same, &different);
        let mut scored: Vec<(f64, usize)> = scores.into_iter().zip(left).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        left = scored.into_iter().map(|(_, row)| row).collect();
        if left.len() < ANSWERS {
            break;
        }
        if let Some(step) = JUDGEMENTS.iter().position(|judgements| *judgements == judged) {
            let judged: BTreeSet<u32> = same[1..].iter().chain(&different).map(|row| groups[*row]).collect();
            let unjudged = left.iter().copied().filter(|row| !judged.contains(&groups[*row]));
            outcome[0][step] = share_of(&left);
            outcome[1][step] = share_of(&unjudged.take(ANSWERS).collect::<Vec<_>>());
        }
        for row in left.drain(..ROUND) {
            let is_wrong = random.random::<f64>() < simulation.wrong;
            if is_right(&row) != is_wrong { same.push(row) } else { different.push(row) }
        }
    }
    outcome
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Returns the mean over classes of the means over groups, each group weighted by its entry in `counts`.
/// Classes without a group of positive weight are left out.
fn mean_over_classes(query_groups: &[QueryGroup], (of, step): (usize, usize), counts: &[u32]) -> Option<f64> {
    let of_class = |of_class: &[QueryGroup]| {
        let (mut sum, mut weight) = (0.0, 0.0);
        for one in of_class {
            let times = f64::from(counts[one.group]);
            if let Some(precision) = one.outcome[of][step] {
                sum += times * precision;
                weight += times;
            }
        }
        (weight > 0.0).then(|| sum / weight)
    };
    mean(query_groups.chunk_by(|a, b| a.class == b.class).map(of_class))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length of a synthetic descriptor: nine random values and one that depends on the class.
    const WIDTH: usize = 10;

    /// Returns three patients with 100 tiles each, half of them of class 0. Descriptors have length 1; their
    /// last value is `tells` or its negative, depending on the class.
    fn tiles(tells: f32) -> (Vec<f32>, Tiles) {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut tiles = Tiles::default();
        let mut values = Vec::new();
        for index in 0..300_u32 {
            let class = (index / 3) % 2;
            let noise: Vec<f32> = (1..WIDTH).map(|_| random.random_range(-1.0..1.0)).collect();
            let length = noise.iter().map(|value| value * value).sum::<f32>().sqrt();
            let rest = (1.0 - tells * tells).sqrt();
            values.extend(noise.iter().map(|value| value * rest / length));
            values.push(if class == 0 { tells } else { -tells });
            tiles.positions_um.push([0.0, 0.0]);
            tiles.slides.push(index % 3);
            tiles.patients.push(index % 3);
            tiles.classes.push(Some(Class(class as u16)));
        }
        (values, tiles)
    }

    fn simulation(rank_by: RankBy, wrong: f64) -> Simulation {
        let resampling = Resampling { draws: 100, seed: 0 };
        Simulation { exclude: Exclude::Patient, rank_by, wrong, seed: 0, resampling }
    }

    fn curve(tells: f32, simulation: &Simulation) -> Vec<f64> {
        let (values, tiles) = tiles(tells);
        let descriptors = Descriptors::new(&values, WIDTH).unwrap();
        let curve = simulate(descriptors, &tiles, simulation).unwrap().unwrap();
        assert_eq!(curve.queries, 3 * 2 * 40);
        curve.precision.iter().map(|figure| figure.unwrap().value).collect()
    }

    #[test]
    fn judgements_teach_what_descriptors_show_weakly_and_nothing_where_they_show_nothing() {
        let usual = simulation(RankBy::default(), 0.0);
        let faint = curve(0.25, &usual);
        assert!(faint[0] < 0.8 && faint[1] > faint[0] && faint[3] > faint[0] + 0.1, "{faint:?}");
        let misled = curve(0.25, &simulation(RankBy::default(), 0.3));
        assert!(misled[3] < faint[3] - 0.05, "wrong judgements cost precision: {misled:?}");
        for rank_by in [RankBy::Nearest, RankBy::Discriminant] {
            let other = curve(0.25, &simulation(rank_by, 0.0));
            assert!(other[3] > other[0], "{rank_by:?} {other:?}");
        }
        let nothing = curve(0.0, &usual);
        assert!(nothing.iter().all(|precision| (precision - 0.5).abs() < 0.15), "{nothing:?}");
    }

    #[test]
    fn classes_of_one_patient_are_not_used_as_queries() {
        let (values, mut tiles) = tiles(0.5);
        for (class, patient) in tiles.classes.iter_mut().zip(&tiles.patients) {
            *class = Some(Class(*patient as u16));
        }
        let descriptors = Descriptors::new(&values, WIDTH).unwrap();
        let found = simulate(descriptors, &tiles, &simulation(RankBy::default(), 0.0)).unwrap();
        assert_eq!(found, None);
    }

    #[test]
    fn few_tiles_give_no_figures() {
        let (values, mut tiles) = tiles(0.5);
        let mut left = BTreeMap::new();
        for (class, patient) in tiles.classes.iter_mut().zip(&tiles.patients) {
            let count: &mut usize = left.entry(*patient).or_default();
            *count += 1;
            if *count > 2 {
                *class = None;
            }
        }
        let descriptors = Descriptors::new(&values, WIDTH).unwrap();
        let found = simulate(descriptors, &tiles, &simulation(RankBy::default(), 0.0)).unwrap();
        assert!(!found.unwrap().is_measured());
    }

    #[test]
    fn groups_count_as_often_as_they_are_drawn() {
        let one = |class, group, precision| QueryGroup {
            class: Class(class),
            group,
            outcome: [[Some(precision), None, None, None], [None; 4]],
            queries: 1,
        };
        let query_groups = [one(0, 0, 1.0), one(0, 1, 0.0), one(1, 1, 0.5)];
        assert_eq!(mean_over_classes(&query_groups, (0, 0), &[1, 1]), Some(0.5));
        assert_eq!(mean_over_classes(&query_groups, (0, 0), &[3, 1]), Some(0.625));
        assert_eq!(mean_over_classes(&query_groups, (0, 0), &[2, 0]), Some(1.0));
        assert_eq!(mean_over_classes(&query_groups, (0, 1), &[1, 1]), None);
    }
}
