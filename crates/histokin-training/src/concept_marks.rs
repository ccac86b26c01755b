//! The marks of a project's concepts, as a run keeps them to learn from.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TrainingError;
use histokin_core::concept::{Concept, ConceptStore, ConceptTile};
use histokin_core::geometry::Level0Point;
use histokin_core::slide::SlideId;
use histokin_core::tiling::TileSettings;
use histokin_project::project::CONCEPTS_FOLDER;

/// Name of the file in a run's folder: the marks as of the start of the run.
pub(super) const FILE: &str = "concept_marks.json";

/// The marks of one concept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConceptMarks {
    /// Tiles that were marked.
    pub tiles: TileSettings,
    /// Where they are, in the order in which they were marked.
    pub marks: Vec<ConceptMark>,
}

/// A tile that was marked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConceptMark {
    /// Slide of the tile.
    pub slide: SlideId,
    /// Centre of the tile, in level-0 pixels.
    pub at: Level0Point,
    /// Whether it shows what the concept was taught, or different tissue.
    pub is_same: bool,
}

impl ConceptMarks {
    /// Returns the marks of a concept on slides.
    fn of(concept: &Concept) -> Self {
        let mark = |tile: &ConceptTile| {
            Some(ConceptMark { slide: tile.slide.clone()?, at: tile.at, is_same: tile.is_same })
        };
        Self { tiles: concept.recipe.tiles, marks: concept.tiles.iter().filter_map(mark).collect() }
    }
}

/// Returns the marks of all concepts of a project. A damaged concept is logged and left as it is.
///
/// # Errors
/// [`TrainingError::File`] if the concepts cannot be read.
pub(super) fn of_project(project: &Path) -> Result<Vec<ConceptMarks>, TrainingError> {
    let folder = project.join(CONCEPTS_FOLDER);
    let loaded = ConceptStore::new(folder.clone()).read_only().load();
    let loaded = loaded.map_err(|error| TrainingError::File { path: folder, reason: error.to_string() })?;
    loaded.trouble.iter().for_each(|trouble| tracing::warn!("{trouble}"));
    Ok(loaded.concepts.iter().map(ConceptMarks::of).collect())
}

/// Reads the marks that a run keeps; none if it keeps none.
///
/// # Errors
/// [`TrainingError::File`] if the file exists but cannot be read.
pub(super) fn of_run(folder: &Path) -> Result<Vec<ConceptMarks>, TrainingError> {
    let path = folder.join(FILE);
    let failed = |reason: String| TrainingError::File { path: path.clone(), reason };
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error.to_string())),
    }
}
