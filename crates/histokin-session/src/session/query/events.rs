//! Events of queries.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::ArchiveAnswer;
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::Level0Rect;
use histokin_core::index::Snapshot;
use histokin_core::query::{Answer, PatientList, QueryError, QueryHistory, ShownExample};
use histokin_core::slide::SlideId;

/// A report on a query.
pub enum QueryEvent {
    /// The search has finished.
    Answered {
        /// Number of the query.
        generation: u64,
        /// Matches, or why there are none.
        answer: Result<Answer, QueryError>,
        /// Answer of the second encoder, if there is one.
        second_encoder: Option<Result<Answer, QueryError>>,
    },
    /// The search in archive and project has finished.
    ArchiveAnswered {
        /// Number of the query.
        generation: u64,
        /// Merged answer, or why there is none.
        answer: Result<Box<ArchiveAnswer>, String>,
    },
    /// A picture was embedded and can be used as an example, or could not be.
    PictureEmbedded(Result<Box<ShownExample>, String>),
    /// Requested tiles were embedded, or could not be.
    TilesEmbedded {
        /// Slide of the tiles.
        slide: SlideId,
        /// Tiles in level-0 pixels.
        rects: Vec<Level0Rect>,
        /// Recipe by which they were embedded.
        recipe: Recipe,
        /// One descriptor for each tile, or why there are none.
        descriptors: Result<Vec<Vec<f32>>, String>,
    },
    /// A CSV file of slides and their patients was read, or could not be.
    PatientsRead {
        /// Path of the file.
        path: PathBuf,
        /// Slides and their patients, or why the file could not be read.
        patients: Result<PatientList, String>,
    },
    /// The recipes by which slides of the project have been embedded.
    RecipesFound(Vec<Recipe>),
    /// The descriptors of a second encoder can be searched.
    SecondEncoderOpened {
        /// Its recipe.
        recipe: Recipe,
        /// Index of its descriptors.
        index: Arc<Snapshot>,
    },
    /// The query history of a project was read.
    HistoryLoaded {
        /// Its query history.
        query_history: Box<QueryHistory>,
    },
}
