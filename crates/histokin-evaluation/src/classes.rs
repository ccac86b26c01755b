//! Retrieval of every class of tissue: each one's score, their mean, and which class is taken for which.

use serde::Serialize;

use super::intervals::Resampling;
use super::retrieval::{Measure, Retrieval, Score};
use super::{Class, Tiles};

/// How the classes do together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassRetrieval {
    /// Of every class that could ask.
    pub scores: Vec<Score>,
    /// Mean over classes of each measure, in the order of [`Measure::ALL`]: rare classes weigh as much as
    /// frequent ones.
    pub mean: [Option<f64>; 5],
    /// Mean over classes of what guessing would score.
    pub base_rate: f64,
    pub confusion: Confusion,
}

/// The class of the nearest tile for queries of each class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// Classes of the rows.
    pub queries: Vec<Class>,
    /// Classes of the columns; none stands for tiles of unknown class.
    pub answers: Vec<Option<Class>>,
    /// `counts[row][column]`: queries of the row's class whose nearest tile is of the column's.
    pub counts: Vec<Vec<u32>>,
    /// Of each cell up to eight queries with their nearest tiles, as rows of the tiles.
    #[serde(skip)]
    pub examples: Vec<Vec<Vec<[u32; 2]>>>,
}

/// Queries that are kept of each cell.
const EXAMPLES: usize = 8;

/// Score every class of `retrieval`. None when no class could ask.
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

fn confusion(retrieval: &Retrieval, tiles: &Tiles) -> Confusion {
    let queries = retrieval.classes();
    let nearest = |place: usize| {
        let first = retrieval.queries[place].answers.first()?;
        Some(tiles.classes[first.tile as usize])
    };
    let mut answers: Vec<Option<Class>> = (0..retrieval.queries.len()).filter_map(nearest).collect();
    answers.extend(queries.iter().map(|class| Some(*class)));
    // Unknown classes last.
    answers.sort_by_key(|class| class.map_or(u32::MAX, |class| u32::from(class.0)));
    answers.dedup();
    let mut counts = vec![vec![0; answers.len()]; queries.len()];
    let mut examples = vec![vec![Vec::new(); answers.len()]; queries.len()];
    for (place, query) in retrieval.queries.iter().enumerate() {
        let row = queries.iter().position(|class| *class == query.class);
        let column = nearest(place).and_then(|class| answers.iter().position(|other| *other == class));
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
