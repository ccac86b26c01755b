//! Class maps: of several concepts, the one that each tile belongs to.

use super::areas::on_slide;
use super::{Areas, Concept, ConceptError};
use crate::descriptors::{DescriptorSet, Row};

/// Returns, for each tile of a set in the order of its rows, the index of the concept that it belongs to; `None` if it
/// belongs to none of them.
///
/// The score of a concept with threshold `t` for a tile at distance `d` from its direction is `t² − d²`. The greatest
/// one decides, and a tile beyond all thresholds belongs to none.
///
/// # Errors
/// [`ConceptError::OtherRecipe`] and [`ConceptError::NoThreshold`] of one of the concepts.
pub fn class_map(set: &DescriptorSet, concepts: &[&Concept]) -> Result<Vec<Option<usize>>, ConceptError> {
    let mut scores = Vec::new();
    for concept in concepts {
        let threshold = concept.threshold_for(&set.header.recipe)?;
        let score = |distance: f32| threshold * threshold - distance * distance;
        scores.push(concept.distances(set).into_iter().map(score).collect::<Vec<f32>>());
    }
    let of_tile = |row: usize| greatest(scores.iter().map(|scores| scores[row]));
    Ok((0..set.len()).map(of_tile).collect())
}

/// Returns what each class covers on a slide: one entry for each concept, and then one for "none of them".
///
/// # Errors
/// As [`class_map`].
pub fn class_areas(set: &DescriptorSet, concepts: &[&Concept]) -> Result<Vec<Areas>, ConceptError> {
    let mut rows: Vec<Vec<Row>> = vec![Vec::new(); concepts.len() + 1];
    for (row, concept) in (0..).map(Row).zip(class_map(set, concepts)?) {
        rows[concept.unwrap_or(concepts.len())].push(row);
    }
    Ok(rows.into_iter().map(|rows| on_slide(set, rows)).collect())
}

/// Returns the index of the greatest score; `None` if all are negative.
fn greatest(scores: impl Iterator<Item = f32>) -> Option<usize> {
    let greatest = scores.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    greatest.filter(|(_, score)| *score >= 0.0).map(|(concept, _)| concept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_beyond_all_thresholds_belongs_to_none() {
        let of = |scores: &[f32]| greatest(scores.iter().copied());
        assert_eq!(of(&[-0.1, -0.2]), None);
        assert_eq!(of(&[-0.1, 0.2, 0.1]), Some(1));
        assert_eq!(of(&[0.0, -0.1]), Some(0), "the threshold itself belongs to the concept");
        assert_eq!(of(&[]), None);
    }
}
