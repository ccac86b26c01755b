//! Tile pairs that the user has judged, from the project's query history and its concepts, as training pairs.

use std::path::Path;

use super::TrainingError;
use super::concept_marks::{self, ConceptMark, ConceptMarks};
use super::pairs::{JudgedPair, TileRef};
use super::slides::TrainingSlide;
use histokin_core::query::{JUDGEMENTS_FILE, JudgedMatch, Judgement, QueryHistory, TilePosition};
use histokin_core::slide::SlideId;
use histokin_core::tiling::TileGrid;

/// Name of the file in a project's folder; a copy as of the start of a run is in the run's folder.
pub const FILE: &str = JUDGEMENTS_FILE;

/// Reads the judged pairs of the run in `folder` whose tiles are both on `slides`: its judgements of matches, except
/// those judged as unsure, and pairs of the tiles that were marked for concepts.
///
/// # Errors
/// Returns [`TrainingError::File`] if a file exists but cannot be read; it is not changed.
pub fn read(folder: &Path, slides: &[TrainingSlide]) -> Result<Vec<JudgedPair>, TrainingError> {
    let query_history = QueryHistory::load(folder)
        .map_err(|error| TrainingError::File { path: folder.join(FILE), reason: error.to_string() })?;
    let tile = |position: &TilePosition| {
        Some(TileRef { slide: slide_of(slides, &position.slide)?, rect: position.rect })
    };
    let pair = |judged: &JudgedMatch| {
        let same = match judged.judgement {
            Judgement::Same => true,
            Judgement::Different => false,
            Judgement::Unsure => return None,
        };
        Some(JudgedPair { tiles: [tile(&judged.query)?, tile(&judged.found)?], same })
    };
    let mut pairs: Vec<JudgedPair> = query_history.judgements().iter().filter_map(pair).collect();
    for concept in concept_marks::of_run(folder)? {
        pairs.extend(pairs_of(&concept, slides));
    }
    Ok(pairs)
}

/// Pairs each tile that shows what a concept was taught with the next one, the last with the first, and each of
/// different tissue with one of the former, so that every mark counts and the number of pairs is that of marks.
fn pairs_of(concept: &ConceptMarks, slides: &[TrainingSlide]) -> Vec<JudgedPair> {
    let tile = |mark: &ConceptMark| {
        let slide = slide_of(slides, &mark.slide)?;
        let grid = TileGrid::new(slides[slide].source.info(), concept.tiles).ok()?;
        Some(TileRef { slide, rect: grid.rect(grid.tile_at(mark.at)?) })
    };
    let marked = |is_same: bool| -> Vec<TileRef> {
        concept.marks.iter().filter(|mark| mark.is_same == is_same).filter_map(tile).collect()
    };
    let (same, different) = (marked(true), marked(false));
    let count = match same.len() {
        // One pair, not the same twice.
        0..=2 => same.len().saturating_sub(1),
        several => several,
    };
    let alike = (0..count).map(|one| [same[one], same[(one + 1) % same.len()]]);
    let unlike = different.iter().zip(same.iter().cycle()).map(|(one, other)| [*one, *other]);
    let pair = |same: bool| move |tiles: [TileRef; 2]| JudgedPair { tiles, same };
    alike.map(pair(true)).chain(unlike.map(pair(false))).collect()
}

/// Returns the index of a slide by its ID, or by an ID that it had in earlier versions.
fn slide_of(slides: &[TrainingSlide], id: &SlideId) -> Option<usize> {
    let by_id = slides.iter().position(|slide| slide.source.info().id == *id);
    by_id.or_else(|| slides.iter().position(|slide| slide.source.info().has_id(id)))
}
