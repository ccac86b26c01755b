//! Class maps: of several concepts, the one that each tile belongs to.

use super::areas::on_slide;
use super::{Concept, ConceptError, TileArea};
use crate::descriptors::{DescriptorSet, Row};

/// Difference of half squared distances, which among unit vectors is one of cosines, that changes the ratio of
/// two classes' shares by a factor of e. It sets how gradual the shares are and does not affect the classes.
const TEMPERATURE: f32 = 0.05;

/// The class of one tile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classified {
    /// Index of its concept; `None` if it belongs to none of them.
    pub concept: Option<usize>,
    /// Share (0 to 1) of the class in the soft-max over all concepts and "none of them". It tells how clear the
    /// decision is; it is not a probability.
    pub share: f32,
}

/// Returns the class of each tile of a set, in the order of its rows.
///
/// The score of a concept with threshold `t` for a tile at distance `d` from its direction is `(t² − d²) / 2`, and
/// that of "none of them" is 0, so that a tile beyond all thresholds belongs to none.
///
/// # Errors
/// [`ConceptError::OtherRecipe`] and [`ConceptError::NoThreshold`] of one of the concepts.
pub fn class_map(set: &DescriptorSet, concepts: &[&Concept]) -> Result<Vec<Classified>, ConceptError> {
    let mut scores = Vec::new();
    for concept in concepts {
        let threshold = concept.threshold_for(&set.header.recipe)?;
        let score = |distance: f32| (threshold * threshold - distance * distance) / 2.0;
        scores.push(concept.distances(set).into_iter().map(score).collect::<Vec<f32>>());
    }
    let of_tile = |row: usize| classified(scores.iter().map(|scores| scores[row]));
    Ok((0..set.len()).map(of_tile).collect())
}

/// Returns the tiles and areas of each class on a slide: one entry for each concept, and then one for "none of them".
///
/// # Errors
/// As [`class_map`].
pub fn class_areas(set: &DescriptorSet, concepts: &[&Concept]) -> Result<Vec<TileArea>, ConceptError> {
    let mut rows: Vec<Vec<Row>> = vec![Vec::new(); concepts.len() + 1];
    for (row, tile) in (0..).map(Row).zip(class_map(set, concepts)?) {
        rows[tile.concept.unwrap_or(concepts.len())].push(row);
    }
    Ok(rows.into_iter().map(|rows| on_slide(set, rows).found).collect())
}

/// Returns the class with the greatest score, or none of them if all scores are negative.
fn classified(scores: impl Iterator<Item = f32> + Clone) -> Classified {
    let best = scores.clone().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, best)| *best >= 0.0);
    let greatest = best.map_or(0.0, |(_, score)| score);
    let all: f32 =
        std::iter::once(0.0).chain(scores).map(|score| ((score - greatest) / TEMPERATURE).exp()).sum();
    Classified { concept: best.map(|(concept, _)| concept), share: 1.0 / all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_beyond_all_thresholds_belongs_to_none() {
        let of = |scores: &[f32]| classified(scores.iter().copied());
        assert_eq!(of(&[-0.1, -0.2]).concept, None);
        assert_eq!(of(&[-0.1, 0.2, 0.1]).concept, Some(1));
        assert_eq!(of(&[]), Classified { concept: None, share: 1.0 });
        let (clear, narrow) = (of(&[0.5, -0.5]).share, of(&[0.2, 0.19]).share);
        assert!(clear > 0.99 && narrow < 0.6, "{clear} {narrow}");
        assert!(of(&[-0.01]).share < 0.6, "hardly beyond");
    }
}
