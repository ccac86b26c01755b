//! Retrieval of every tissue class: score of each, mean over classes, and confusion matrix.

use serde::Serialize;

use super::intervals::Resampling;
use super::retrieval::{Figure, Measure, Retrieval, Score, ratio};
use super::{Class, Tiles};

/// Retrieval scores of all classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassRetrieval {
    /// Score of every class with queries.
    pub scores: Vec<Score>,
    /// Mean over classes of each measure, in the order of [`Measure::ALL`]: rare and frequent classes have
    /// the same weight.
    pub mean: [Option<Figure>; 5],
    /// Mean over classes of the chance level.
    pub chance_level: f64,
    /// Classes of the nearest tiles.
    pub confusion: Confusion,
    /// What the mean of P@5 is made of, to compare encoders by it.
    #[serde(skip)]
    precision: ClassSums,
}

/// For each class and patient, the sum of a measure over the queries and their number.
#[derive(Debug, Clone, PartialEq)]
struct ClassSums {
    by_class: Vec<Vec<(f64, u32)>>,
    patients: usize,
}

impl ClassSums {
    fn of(retrieval: &Retrieval, measure: Measure) -> Self {
        let mut by_class: Vec<Vec<(f64, u32)>> =
            retrieval.classes().into_iter().map(|class| retrieval.sums_by_patient(class, measure)).collect();
        // Patients without queries are not resampled.
        let all = by_class.first().map_or(0, Vec::len);
        let asks: Vec<bool> =
            (0..all).map(|patient| by_class.iter().any(|sums| sums[patient].1 > 0)).collect();
        for sums in &mut by_class {
            let mut asks = asks.iter();
            sums.retain(|_| asks.next() == Some(&true));
        }
        Self { by_class, patients: asks.iter().filter(|asks| **asks).count() }
    }

    /// Returns the mean over classes of the means over queries, each patient weighted by its number in
    /// `counts`. Classes without a patient of positive weight are left out.
    fn mean(&self, counts: Option<&[u32]>) -> Option<f64> {
        let of_classes: Vec<f64> = self.by_class.iter().filter_map(|sums| ratio(sums, counts)).collect();
        (!of_classes.is_empty()).then(|| of_classes.iter().sum::<f64>() / of_classes.len() as f64)
    }

    fn figure(&self, resampling: &Resampling) -> Option<Figure> {
        let ci95 = resampling.interval(self.patients, |counts| self.mean(Some(counts)));
        Some(Figure { value: self.mean(None)?, ci95 })
    }
}

impl ClassRetrieval {
    /// Returns the mean over classes of a measure, if it was measured.
    pub fn figure(&self, measure: Measure) -> Option<Figure> {
        self.mean[Measure::ALL.iter().position(|other| *other == measure)?]
    }
}

/// Returns the mean over classes of P@5 of `a` minus that of `b` (same tiles, same settings), with its 95 %
/// interval from the same draws of patients for both.
pub fn difference(a: &ClassRetrieval, b: &ClassRetrieval, resampling: &Resampling) -> Option<Figure> {
    let (a, b) = (&a.precision, &b.precision);
    let value = a.mean(None)? - b.mean(None)?;
    let ci95 = resampling
        .interval(a.patients.min(b.patients), |counts| Some(a.mean(Some(counts))? - b.mean(Some(counts))?));
    Some(Figure { value, ci95 })
}

/// Confusion matrix: class of the nearest tile for queries of each class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// Classes of the rows.
    pub queries: Vec<Class>,
    /// Classes of the columns; `None` stands for tiles of unknown class.
    pub answers: Vec<Option<Class>>,
    /// `counts[row][column]`: queries of the row's class whose nearest tile is of the column's class.
    pub counts: Vec<Vec<u32>>,
    /// Up to eight examples for each cell: tile rows of a query and its nearest tile.
    #[serde(skip)]
    pub examples: Vec<Vec<Vec<[u32; 2]>>>,
}

/// Maximum number of examples for each cell.
const EXAMPLES: usize = 8;

/// Scores every class of `retrieval`. Returns `None` if no class has queries.
pub fn of(retrieval: &Retrieval, tiles: &Tiles, resampling: &Resampling) -> Option<ClassRetrieval> {
    let scores: Vec<Score> = retrieval
        .classes()
        .into_iter()
        .filter_map(|class| retrieval.score_by_patient(class, resampling))
        .collect();
    if scores.is_empty() {
        return None;
    }
    Some(ClassRetrieval {
        mean: Measure::ALL.map(|measure| ClassSums::of(retrieval, measure).figure(resampling)),
        chance_level: scores.iter().map(|score| score.chance_level).sum::<f64>() / scores.len() as f64,
        confusion: confusion(retrieval, tiles),
        precision: ClassSums::of(retrieval, Measure::P5),
        scores,
    })
}

/// Counts the classes of the nearest tiles.
fn confusion(retrieval: &Retrieval, tiles: &Tiles) -> Confusion {
    let queries = retrieval.classes();
    let nearest = |query: usize| {
        let first = retrieval.queries[query].answers.first()?;
        Some(tiles.classes[first.tile as usize])
    };
    let mut answers: Vec<Option<Class>> = (0..retrieval.queries.len()).filter_map(nearest).collect();
    answers.extend(queries.iter().map(|class| Some(*class)));
    // Tiles of unknown class come last.
    answers.sort_by_key(|class| class.map_or(u32::MAX, |class| u32::from(class.0)));
    answers.dedup();
    let mut counts = vec![vec![0; answers.len()]; queries.len()];
    let mut examples = vec![vec![Vec::new(); answers.len()]; queries.len()];
    for (index, query) in retrieval.queries.iter().enumerate() {
        let row = queries.iter().position(|class| *class == query.class);
        let column = nearest(index).and_then(|class| answers.iter().position(|other| *other == class));
        if let (Some(row), Some(column)) = (row, column) {
            counts[row][column] += 1;
            let kept = &mut examples[row][column];
            if let (true, Some(first)) = (kept.len() < EXAMPLES, query.answers.first()) {
                kept.push([query.tile, first.tile]);
            }
        }
    }
    Confusion { queries, answers, counts, examples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_counts_the_same_and_every_patient_as_often_as_drawn() {
        let sums =
            ClassSums { by_class: vec![vec![(3.0, 4), (0.0, 2)], vec![(0.0, 0), (1.0, 1)]], patients: 2 };
        assert_eq!(sums.mean(None), Some((0.5 + 1.0) / 2.0));
        assert_eq!(sums.mean(Some(&[2, 0])), Some(0.75), "no patient of the second class is drawn");
        assert_eq!(sums.mean(Some(&[0, 2])), Some((0.0 + 1.0) / 2.0));
        assert_eq!(sums.mean(Some(&[0, 0])), None);
    }
}
