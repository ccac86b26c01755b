//! Simulated relevance feedback: precision of the matches that are not yet judged, by the number of
//! judgements.
//!
//! Tiles with a label are used as queries for tiles of other slides or patients. The best matches without a
//! judgement are judged, `ROUND` at a time, by whether their label is the query's class, and the remaining
//! tiles are ranked again using these judgements (Rocchio 1971, "Relevance feedback in information
//! retrieval").

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::intervals::Resampling;
use super::retrieval::Figure;
use super::{Class, Descriptors, EvaluationError, Exclude, Tiles, health};

/// Number of matches that are judged at a time.
const ROUND: usize = 5;

/// Weight of matches judged as different, relative to those judged as the same.
const WEIGHT_OF_DIFFERENT: f64 = 0.5;

/// Numbers of judgements after which precision is measured.
pub const JUDGEMENTS: [usize; 4] = [0, 5, 10, 20];

/// What the figures mean, as sentences.
pub const EXPLANATION: &str = "P@20 of the matches without a judgement: a tile is the query, the five best matches are \
    judged the same or different, the others are ranked again by these judgements, and so on. Matches come from other \
    patients or slides. Mean over classes; in brackets: 95 % intervals from resampling patients or slides.";

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
    /// Total number of queries.
    pub queries: usize,
}

/// Mean results of the queries of one class and one slide (or patient).
struct QueryGroup {
    class: Class,
    /// Index of the slide (or patient) among all that have queries.
    group: usize,
    precision: [Option<f64>; 4],
    queries: usize,
}

/// Simulates relevance feedback with tiles of every class that occurs in at least two slides (or patients) as
/// queries. Returns `None` if there is no such class.
///
/// The score of a tile `x` is `½ ‖x − n‖² − ‖x − p‖²`, where `p` is the mean of the query and all matches
/// judged as the same, and `n` is the mean of all matches judged as different. For descriptors of length 1,
/// tiles are ranked as by `x · (p − ½ n)`.
///
/// # Errors
/// [`EvaluationError`] if `tiles` and `descriptors` do not belong together.
pub fn simulate(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    exclude: Exclude,
    seed: u64,
    resampling: &Resampling,
) -> Result<Option<FeedbackCurve>, EvaluationError> {
    tiles.check(descriptors)?;
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
    let most = (QUERIES / querying.len().max(1)).clamp(5, QUERIES_OF_EACH);
    let query_groups: Vec<QueryGroup> = querying
        .into_iter()
        .map(|(class, group)| {
            let own = &rows[&(class, group)];
            let others: Vec<usize> = pool.iter().copied().filter(|&row| groups[row] != group).collect();
            let outcomes: Vec<[Option<f64>; 4]> = health::sample(own.len(), most, seed)
                .par_iter()
                .map(|step| simulate_query(descriptors, tiles, own[*step as usize], class, &others))
                .collect();
            QueryGroup {
                class,
                // Always found, since `all_groups` contains every group with queries.
                group: all_groups.partition_point(|other| *other < group),
                precision: std::array::from_fn(|step| mean(outcomes.iter().map(|outcome| outcome[step]))),
                queries: outcomes.len(),
            }
        })
        .collect();
    if query_groups.is_empty() {
        return Ok(None);
    }
    let precision = std::array::from_fn(|step| {
        let value = mean_over_classes(&query_groups, step, &vec![1; all_groups.len()])?;
        let ci95 =
            resampling.interval(all_groups.len(), |counts| mean_over_classes(&query_groups, step, counts));
        Some(Figure { value, ci95 })
    });
    let queries = query_groups.iter().map(|one| one.queries).sum();
    Ok(Some(FeedbackCurve { judgements: JUDGEMENTS, precision, queries }))
}

/// Simulates one query; returns the precision after each number of judgements in [`JUDGEMENTS`], `None` once fewer
/// than [`ANSWERS`] tiles are left.
fn simulate_query(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    query: usize,
    class: Class,
    pool: &[usize],
) -> [Option<f64>; 4] {
    let is_right = |row: usize| tiles.classes[row] == Some(class);
    let mut right = Mean::of(descriptors.row(query));
    let mut wrong: Option<Mean> = None;
    let mut left: Vec<usize> = pool.to_vec();
    let mut precision = [None; 4];
    for judged in (0..=JUDGEMENTS[3]).step_by(ROUND) {
        let score = |row: usize| {
            let x = descriptors.row(row);
            WEIGHT_OF_DIFFERENT * wrong.as_ref().map_or(0.0, |wrong| wrong.squared_distance(x))
                - right.squared_distance(x)
        };
        let mut scored: Vec<(f64, usize)> = left.iter().map(|&row| (score(row), row)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if scored.len() < ANSWERS {
            break;
        }
        if let Some(step) = JUDGEMENTS.iter().position(|judgements| *judgements == judged) {
            let hits = scored[..ANSWERS].iter().filter(|(_, row)| is_right(*row)).count();
            precision[step] = Some(hits as f64 / ANSWERS as f64);
        }
        for (_, row) in &scored[..ROUND] {
            let x = descriptors.row(*row);
            match (is_right(*row), &mut wrong) {
                (true, _) => right.add(x),
                (false, Some(wrong)) => wrong.add(x),
                (false, none) => *none = Some(Mean::of(x)),
            }
        }
        left = scored[ROUND..].iter().map(|(_, row)| *row).collect();
    }
    precision
}

/// A running mean of descriptors.
struct Mean {
    sum: Vec<f64>,
    count: f64,
}

impl Mean {
    fn of(row: &[f32]) -> Self {
        Self { sum: row.iter().map(|value| f64::from(*value)).collect(), count: 1.0 }
    }

    fn add(&mut self, row: &[f32]) {
        self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        self.count += 1.0;
    }

    fn squared_distance(&self, row: &[f32]) -> f64 {
        self.sum.iter().zip(row).map(|(sum, value)| (sum / self.count - f64::from(*value)).powi(2)).sum()
    }
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Returns the mean over classes of the means over groups, each group weighted by its entry in `counts`.
/// Classes without a group of positive weight are left out.
fn mean_over_classes(query_groups: &[QueryGroup], step: usize, counts: &[u32]) -> Option<f64> {
    let of_class = |of_class: &[QueryGroup]| {
        let (mut sum, mut weight) = (0.0, 0.0);
        for one in of_class {
            let times = f64::from(counts[one.group]);
            if let Some(precision) = one.precision[step] {
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
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

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

    fn curve(tells: f32) -> Vec<f64> {
        let (values, tiles) = tiles(tells);
        let descriptors = Descriptors::new(&values, WIDTH).unwrap();
        let resampling = Resampling { draws: 100, seed: 0 };
        let curve = simulate(descriptors, &tiles, Exclude::Patient, 0, &resampling).unwrap().unwrap();
        assert_eq!(curve.queries, 3 * 2 * 40);
        curve.precision.iter().map(|figure| figure.unwrap().value).collect()
    }

    #[test]
    fn marks_teach_what_descriptors_tell_faintly_and_nothing_where_they_tell_nothing() {
        let faint = curve(0.25);
        assert!(faint[0] < 0.8 && faint[1] > faint[0] && faint[3] > faint[0] + 0.1, "{faint:?}");
        let nothing = curve(0.0);
        assert!(nothing.iter().all(|precision| (precision - 0.5).abs() < 0.15), "{nothing:?}");
    }

    #[test]
    fn classes_of_one_patient_do_not_ask() {
        let (values, mut tiles) = tiles(0.5);
        for (class, patient) in tiles.classes.iter_mut().zip(&tiles.patients) {
            *class = Some(Class(*patient as u16));
        }
        let descriptors = Descriptors::new(&values, WIDTH).unwrap();
        let found = simulate(descriptors, &tiles, Exclude::Patient, 0, &Resampling::default()).unwrap();
        assert_eq!(found, None);
    }

    #[test]
    fn groups_count_as_often_as_they_are_drawn() {
        let one = |class, group, precision| QueryGroup {
            class: Class(class),
            group,
            precision: [Some(precision), None, None, None],
            queries: 1,
        };
        let query_groups = [one(0, 0, 1.0), one(0, 1, 0.0), one(1, 1, 0.5)];
        assert_eq!(mean_over_classes(&query_groups, 0, &[1, 1]), Some(0.5));
        assert_eq!(mean_over_classes(&query_groups, 0, &[3, 1]), Some(0.625));
        assert_eq!(mean_over_classes(&query_groups, 0, &[2, 0]), Some(1.0));
        assert_eq!(mean_over_classes(&query_groups, 1, &[1, 1]), None);
    }
}
