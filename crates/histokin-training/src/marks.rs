//! Pairs of tiles that the user has judged, in the project's book of queries, as pairs to learn from.

use std::path::Path;

use super::TrainingError;
use super::pairs::{MarkedPair, TileRef};
use super::slides::TrainingSlide;
use histokin_core::query::{JUDGEMENTS_FILE, Judgement, QueryHistory, TilePlace, Verdict};

/// Name of the file, in a project's folder and, as it was when a run began, in the run's.
pub const FILE: &str = JUDGEMENTS_FILE;

/// The judged pairs in `folder` whose tiles both lie on `slides`. Pairs that the user was unsure of are left out.
///
/// # Errors
/// [`TrainingError::File`] when the file is there and cannot be read; it is left as it is.
pub fn read(folder: &Path, slides: &[TrainingSlide]) -> Result<Vec<MarkedPair>, TrainingError> {
    let query_history = QueryHistory::load(folder)
        .map_err(|error| TrainingError::File { path: folder.join(FILE), reason: error.to_string() })?;
    let tile = |place: &TilePlace| {
        let by_id = slides.iter().position(|slide| slide.source.info().id == place.slide);
        let slide =
            by_id.or_else(|| slides.iter().position(|slide| slide.source.info().goes_by(&place.slide)))?;
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
