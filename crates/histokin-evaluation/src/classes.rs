//! Retrieval of every tissue class: score of each, mean over classes, and confusion matrix.

use serde::Serialize;

use super::intervals::Resampling;
use super::retrieval::{Measure, Retrieval, Score};
use super::{Class, Tiles};

/// Retrieval scores of all classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassRetrieval {
    /// Score of every class with queries.
    pub scores: Vec<Score>,
    /// Mean over classes of each measure, in the order of [`Measure::ALL`]: rare and frequent classes have
    /// the same weight.
    pub mean: [Option<f64>; 5],
    /// Mean over classes of the chance level.
    pub base_rate: f64,
    /// Classes of the nearest tiles.
    pub confusion: Confusion,
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
    let scores: Vec<Score> =
        retrieval.classes().into_iter().filter_map(|class| retrieval.score(class, resampling)).collect();
    if scores.is_empty() {
        return None;
    }
    let mean = |of: &dyn Fn(&Score) -> Option<f64>| {
        let values: Vec<f64> = scores.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Some(ClassRetrieval {
        mean: Measure::ALL.map(|measure| mean(&|score| Some(score.figure(measure)?.value))),
        base_rate: mean(&|score| Some(score.base_rate)).unwrap_or(f64::NAN),
        confusion: confusion(retrieval, tiles),
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
