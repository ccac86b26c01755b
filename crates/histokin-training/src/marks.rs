//! Tile pairs that the user has judged, from the project's query history, as training pairs.

use std::path::Path;

use super::TrainingError;
use super::pairs::{MarkedPair, TileRef};
use super::slides::TrainingSlide;
use histokin_core::query::{JUDGEMENTS_FILE, Judgement, QueryHistory, TilePlace, Verdict};

/// Name of the file in a project's folder; a copy as of the start of a run is in the run's folder.
pub const FILE: &str = JUDGEMENTS_FILE;

/// Reads the judged pairs in `folder` whose tiles are both on `slides`. Pairs judged as unsure are left out.
///
/// # Errors
/// Returns [`TrainingError::File`] if the file exists but cannot be read; the file is not changed.
pub fn read(folder: &Path, slides: &[TrainingSlide]) -> Result<Vec<MarkedPair>, TrainingError> {
    let query_history = QueryHistory::load(folder)
        .map_err(|error| TrainingError::File { path: folder.join(FILE), reason: error.to_string() })?;
    let tile = |place: &TilePlace| {
        let by_id = slides.iter().position(|slide| slide.source.info().id == place.slide);
        let slide =
            by_id.or_else(|| slides.iter().position(|slide| slide.source.info().has_id(&place.slide)))?;
        Some(TileRef { slide, rect: place.rect })
    };
    let pair = |judgement: &Judgement| {
        let same = match judgement.verdict {
            Verdict::Same => true,
            Verdict::Different => false,
            Verdict::Unsure => return None,
        };
        Some(MarkedPair { tiles: [tile(&judgement.query)?, tile(&judgement.found)?], same })
    };
    Ok(query_history.judgements().iter().filter_map(pair).collect())
}
