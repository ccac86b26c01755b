//! Accuracy of simple classifiers on fixed descriptors, cross-validated: each tile is classified by a model
//! trained on other patients (or slides).

use nalgebra::{Cholesky, DMatrix};
use serde::Serialize;

use super::neighbours::Pool;
use super::{Class, Descriptors, EvaluationError, Exclude, Tiles};

/// Number of cross-validation folds, by patient (or slide).
const FOLDS: usize = 5;

/// Number of neighbours that vote.
const NEIGHBOURS: usize = 20;

/// Weight of the ridge penalty, as a fraction of the mean variance of a descriptor's numbers.
const RIDGE: f64 = 1e-2;

/// Share of tiles that are classified correctly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Share of all classified tiles.
    pub overall: f64,
    /// Mean over classes of the share of their tiles; the chance level is one over the number of classes.
    pub balanced: f64,
    /// Number of classified tiles.
    pub tiles: usize,
}

/// Accuracy of both classifiers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Probe {
    /// Linear classifier: least squares with a ridge penalty, all classes with the same weight.
    pub linear: Accuracy,
    /// Majority vote of the 20 nearest tiles of other patients (or slides).
    pub nearest: Accuracy,
}

/// Classifies every tile of a class that occurs in at least two groups (slides or patients). Returns `None`
/// if there are fewer than two such classes.
///
/// # Errors
/// [`EvaluationError::Lengths`] when `tiles` and `descriptors` do not match.
pub fn judge(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    exclude: Exclude,
) -> Result<Option<Probe>, EvaluationError> {
    tiles.check(descriptors)?;
    let groups = tiles.groups(exclude);
    let known = Known::of(tiles, groups);
    if known.classes.len() < 2 {
        return Ok(None);
    }
    let nearest = Pool::new(descriptors, groups, known.rows.clone()).nearest(&known.rows, NEIGHBOURS);
    let class_at = |row: u32| known.class_of(tiles, row);
    let votes = nearest.iter().map(|answers| {
        let mut votes = vec![0_usize; known.classes.len()];
        answers.iter().for_each(|answer| votes[class_at(answer.tile)] += 1);
        most(&votes)
    });
    let nearest = known.accuracy(tiles, votes);

    let mut classified = vec![None; known.rows.len()];
    for fold in 0..FOLDS as u32 {
        let is_held_out = |row: &u32| known.fold(groups[*row as usize]) == fold;
        let training: Vec<u32> = known.rows.iter().copied().filter(|row| !is_held_out(row)).collect();
        let Some(weights) = fit(descriptors, &training, &known, tiles) else { continue };
        for (index, row) in known.rows.iter().enumerate().filter(|(_, row)| is_held_out(row)) {
            classified[index] = Some(weights.class(descriptors.row(*row as usize)));
        }
    }
    let linear = known.accuracy(tiles, classified.into_iter());
    Ok(Some(Probe { linear, nearest }))
}

/// Returns the index of the largest number, the first of equal ones; `None` if all are 0.
fn most(votes: &[usize]) -> Option<usize> {
    let most = votes.iter().max().filter(|most| **most > 0)?;
    votes.iter().position(|votes| votes == most)
}

/// The tiles that can be classified.
struct Known {
    rows: Vec<u32>,
    classes: Vec<Class>,
    /// Groups with such tiles; the fold of each is its index modulo the number of folds.
    groups: Vec<u32>,
}

impl Known {
    fn of(tiles: &Tiles, groups: &[u32]) -> Self {
        let mut pairs: Vec<(Class, u32)> =
            tiles.classes.iter().zip(groups).filter_map(|(class, group)| Some(((*class)?, *group))).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut classes: Vec<Class> = pairs
            .chunk_by(|a, b| a.0 == b.0)
            .filter(|of_class| of_class.len() > 1)
            .map(|of_class| of_class[0].0)
            .collect();
        classes.dedup();
        let is_known = |row: &u32| tiles.classes[*row as usize].is_some_and(|class| classes.contains(&class));
        let rows: Vec<u32> = (0..tiles.len() as u32).filter(is_known).collect();
        let mut with_tiles: Vec<u32> = rows.iter().map(|row| groups[*row as usize]).collect();
        with_tiles.sort_unstable();
        with_tiles.dedup();
        Self { rows, classes, groups: with_tiles }
    }

    fn fold(&self, group: u32) -> u32 {
        (self.groups.partition_point(|other| *other < group) % FOLDS) as u32
    }

    /// Returns the index of the tile's class among `classes`.
    fn class_of(&self, tiles: &Tiles, row: u32) -> usize {
        let class = tiles.classes[row as usize];
        self.classes.iter().position(|other| Some(*other) == class).unwrap_or(0)
    }

    /// Returns the accuracy of the classes assigned to `rows`; tiles without one are not counted.
    fn accuracy(&self, tiles: &Tiles, assigned: impl Iterator<Item = Option<usize>>) -> Accuracy {
        let mut correct = vec![0_usize; self.classes.len()];
        let mut all = correct.clone();
        for (row, assigned) in self.rows.iter().zip(assigned) {
            let class = self.class_of(tiles, *row);
            let Some(assigned) = assigned else { continue };
            all[class] += 1;
            correct[class] += usize::from(assigned == class);
        }
        let shares: Vec<f64> = correct
            .iter()
            .zip(&all)
            .filter(|(_, all)| **all > 0)
            .map(|(correct, all)| *correct as f64 / *all as f64)
            .collect();
        let tiles: usize = all.iter().sum();
        Accuracy {
            overall: correct.iter().sum::<usize>() as f64 / tiles.max(1) as f64,
            balanced: shares.iter().sum::<f64>() / shares.len().max(1) as f64,
            tiles,
        }
    }
}

/// A linear classifier: returns the class with the largest score `w · (x − mean) + b`.
struct Weights {
    mean: Vec<f64>,
    /// `width × classes`.
    weights: DMatrix<f64>,
    bias: Vec<f64>,
}

impl Weights {
    fn class(&self, descriptor: &[f32]) -> usize {
        let scores = self.weights.column_iter().zip(&self.bias).map(|(weights, bias)| {
            let parts = weights.iter().zip(descriptor).zip(&self.mean);
            bias + parts.map(|((weight, value), mean)| weight * (f64::from(*value) - mean)).sum::<f64>()
        });
        let scores: Vec<f64> = scores.collect();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scores.iter().position(|score| *score == best).unwrap_or(0)
    }
}

/// Fits a linear classifier by least squares with a ridge penalty on targets of ±1 for each class against the
/// rest; every class has the same total weight. Returns `None` if `rows` are of fewer than two classes.
fn fit(descriptors: Descriptors<'_>, rows: &[u32], known: &Known, tiles: &Tiles) -> Option<Weights> {
    let width = descriptors.width();
    let mut counts = vec![0_usize; known.classes.len()];
    rows.iter().for_each(|row| counts[known.class_of(tiles, *row)] += 1);
    let present = counts.iter().filter(|count| **count > 0).count();
    if present < 2 {
        return None;
    }
    let weight = |class: usize| 1.0 / (present * counts[class]) as f64;
    let mut mean = vec![0.0; width];
    for row in rows {
        let weight = weight(known.class_of(tiles, *row));
        let values = descriptors.row(*row as usize);
        mean.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    let mut scaled = DMatrix::<f64>::zeros(rows.len(), width);
    let mut targets = DMatrix::<f64>::zeros(rows.len(), known.classes.len());
    let target_mean = 2.0 / present as f64 - 1.0;
    for (index, row) in rows.iter().enumerate() {
        let own = known.class_of(tiles, *row);
        let root = weight(own).sqrt();
        for (column, value) in descriptors.row(*row as usize).iter().enumerate() {
            scaled[(index, column)] = root * (f64::from(*value) - mean[column]);
        }
        for class in 0..known.classes.len() {
            let target = if class == own { 1.0 } else { -1.0 };
            let centre = if counts[class] > 0 { target_mean } else { -1.0 };
            targets[(index, class)] = root * (target - centre);
        }
    }
    let mut gram = scaled.transpose() * &scaled;
    let ridge = (RIDGE * gram.trace() / width as f64).max(f64::MIN_POSITIVE);
    for index in 0..width {
        gram[(index, index)] += ridge;
    }
    let weights = Cholesky::new(gram)?.solve(&(scaled.transpose() * targets));
    let bias = counts.iter().map(|count| if *count > 0 { target_mean } else { -1.0 }).collect();
    Some(Weights { mean, weights, bias })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four patients; the class is the sign of the first number, which differs little between patients.
    fn two_classes(noise: f32) -> (Vec<f32>, Tiles) {
        let (mut values, mut tiles) = (Vec::new(), Tiles::default());
        for index in 0..400_u32 {
            let patient = index % 4;
            let class = (index / 4) % 2;
            let wave = (index as f32 * 0.7).sin();
            values.extend([
                class as f32 * 2.0 - 1.0 + noise * wave,
                patient as f32 * 0.1,
                (index as f32).cos(),
            ]);
            tiles.positions_um.push([0.0, 0.0]);
            tiles.slides.push(patient);
            tiles.patients.push(patient);
            tiles.classes.push(Some(Class(class as u16)));
        }
        (values, tiles)
    }

    #[test]
    fn separable_classes_are_told_apart() {
        let (values, tiles) = two_classes(0.3);
        let probe = judge(Descriptors::new(&values, 3).unwrap(), &tiles, Exclude::Patient).unwrap().unwrap();
        assert_eq!((probe.linear.overall, probe.nearest.overall), (1.0, 1.0));
        assert_eq!(probe.linear.tiles, 400);
    }

    #[test]
    fn descriptors_that_say_nothing_score_at_chance_level() {
        let (_, tiles) = two_classes(0.0);
        let nothing: Vec<f32> = (0..1200).map(|index| (index as f32 * 1.37).sin()).collect();
        let probe = judge(Descriptors::new(&nothing, 3).unwrap(), &tiles, Exclude::Patient).unwrap().unwrap();
        assert!((probe.linear.balanced - 0.5).abs() < 0.12, "{probe:?}");
        assert!((probe.nearest.balanced - 0.5).abs() < 0.12, "{probe:?}");
    }

    #[test]
    fn one_class_or_one_patient_cannot_be_judged() {
        let (values, mut tiles) = two_classes(0.3);
        tiles.patients.fill(0);
        let descriptors = Descriptors::new(&values, 3).unwrap();
        assert_eq!(judge(descriptors, &tiles, Exclude::Patient).unwrap(), None);
        assert!(judge(descriptors, &tiles, Exclude::Slide).unwrap().is_some());
        tiles.classes.fill(Some(Class(0)));
        assert_eq!(judge(descriptors, &tiles, Exclude::Slide).unwrap(), None);
    }
}
