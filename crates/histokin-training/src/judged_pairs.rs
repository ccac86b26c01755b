//! Tile pairs that the user has judged, from the project's query history, as training pairs.

use std::path::Path;

use super::TrainingError;
use super::pairs::{JudgedPair, TileRef};
use super::slides::TrainingSlide;
use histokin_core::query::{JUDGEMENTS_FILE, JudgedMatch, Judgement, QueryHistory, TilePosition};

/// Name of the file in a project's folder; a copy as of the start of a run is in the run's folder.
pub const FILE: &str = JUDGEMENTS_FILE;

/// Reads the judged pairs in `folder` whose tiles are both on `slides`. Pairs judged as unsure are left out.
///
/// # Errors
/// Returns [`TrainingError::File`] if the file exists but cannot be read; the file is not changed.
pub fn read(folder: &Path, slides: &[TrainingSlide]) -> Result<Vec<JudgedPair>, TrainingError> {
    let query_history = QueryHistory::load(folder)
        .map_err(|error| TrainingError::File { path: folder.join(FILE), reason: error.to_string() })?;
    let tile = |position: &TilePosition| {
        let by_id = slides.iter().position(|slide| slide.source.info().id == position.slide);
        let slide =
            by_id.or_else(|| slides.iter().position(|slide| slide.source.info().has_id(&position.slide)))?;
        Some(TileRef { slide, rect: position.rect })
    };
    let pair = |judged: &JudgedMatch| {
        let same = match judged.judgement {
            Judgement::Same => true,
            Judgement::Different => false,
            Judgement::Unsure => return None,
        };
        Some(JudgedPair { tiles: [tile(&judged.query)?, tile(&judged.found)?], same })
    };
    Ok(query_history.judgements().iter().filter_map(pair).collect())
}
