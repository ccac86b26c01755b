//! Events: what the workers report.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbaImage;

use super::AnnotationEvent;
use super::ArchiveAnswer;
use super::TrainingEvent;
use crate::crash::Crash;
use histokin_core::descriptors::{DescriptorSet, Recipe};
use histokin_core::geometry::Level0Rect;
use histokin_core::index::Snapshot;
use histokin_core::query::{Answer, QueryError, QueryHistory, ShownExample};
use histokin_core::slide::colour_profile::ProfileTable;
use histokin_core::slide::{SlideId, SlideInfo, SlideSource};
use histokin_core::stain::LabStatistics;
use histokin_core::tissue::TissueMask;
use histokin_core::tissue::selection::NoTiles;
use histokin_encoder::EncoderSpec;
use histokin_evaluation::study::Study;
use histokin_project::project::Project;

/// Progress of the embedding of one slide.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SlideProgress {
    /// Tiles embedded or found unreadable, including those of earlier runs.
    pub done: u32,
    /// Number of tissue tiles of the slide.
    pub total: u32,
    /// Those of `done` that could not be read.
    pub failed: u32,
}

/// A report of a worker.
pub enum Event {
    /// A folder turned out to be a project and was opened; the session lists its slides.
    ProjectOpened(Box<Project>),
    /// Slide files that were found in the paths given by the user.
    PathsFound(Vec<PathBuf>),
    /// A slide was opened.
    SlideOpened(Arc<dyn SlideSource>),
    /// The path under which the project lists a slide that was opened from another path was checked.
    ListedPathChecked {
        /// The slide as opened.
        source: Arc<dyn SlideSource>,
        /// The slide at the listed path, if there is one.
        there: Option<Box<SlideInfo>>,
    },
    /// A file could not be opened as a slide.
    SlideFailed {
        /// Path of the file.
        path: PathBuf,
        /// Why it could not be opened.
        reason: String,
    },
    /// There is no file at `path`, or no longer.
    SlideMissing {
        /// Path of the missing file.
        path: PathBuf,
        /// Message for the user.
        reason: String,
    },
    /// An open slide can no longer be read: its file is gone or has changed.
    SlideUnavailable {
        /// The slide.
        slide: SlideId,
        /// Why it cannot be read.
        reason: String,
    },
    /// An unavailable slide can be read again.
    SlideAvailable {
        /// The slide.
        slide: SlideId,
    },
    /// An associated image was read, or could not be.
    AssociatedRead {
        /// Slide with the image.
        slide: SlideId,
        /// Name of the image.
        name: String,
        /// Its pixels, or why it could not be read.
        picture: Result<RgbaImage, String>,
    },
    /// The thumbnail of a slide was made.
    ThumbnailMade {
        /// The slide.
        slide: SlideId,
        /// Its thumbnail.
        thumbnail: RgbaImage,
    },
    /// The tissue mask of a slide was computed.
    TissueFound {
        /// The slide.
        slide: SlideId,
        /// Its tissue mask.
        tissue: Arc<TissueMask>,
    },
    /// The embedded colour profile of a slide was read.
    ProfileRead {
        /// The slide.
        slide: SlideId,
        /// Its profile; `None` if it embeds no usable one.
        profile: Option<Arc<ProfileTable>>,
    },
    /// The colours of a slide's tissue were measured.
    ColoursMeasured {
        /// The slide.
        slide: SlideId,
        /// Their statistics; `None` if the slide has too little tissue.
        colours: Option<LabStatistics>,
    },
    /// The specification of the encoder is known (libtorch need not be loaded yet).
    EncoderKnown(Box<EncoderSpec>),
    /// The encoder is loaded and ready.
    EncoderRuns {
        /// Name of the device on which it runs.
        device: String,
    },
    /// The encoder cannot be used.
    EncoderFailed {
        /// Why it cannot be used.
        reason: String,
    },
    /// The encoder is a TorchScript module, which is a program, and the user has not allowed it to run.
    EncoderUntrusted {
        /// File of the module.
        path: PathBuf,
    },
    /// No earlier run has embedded this slide.
    NoDescriptors {
        /// The slide.
        slide: SlideId,
    },
    /// Embedding of a slide has started.
    EmbeddingStarted {
        /// The slide.
        slide: SlideId,
        /// Progress at the start.
        progress: SlideProgress,
    },
    /// More tiles of a slide were embedded.
    EmbeddingProgress {
        /// The slide.
        slide: SlideId,
        /// Progress so far.
        progress: SlideProgress,
        /// Current speed.
        tiles_per_second: f64,
    },
    /// Descriptors of a slide can be searched.
    DescriptorsReady {
        /// The descriptors.
        set: Arc<DescriptorSet>,
        /// Whether the slide is done.
        finished: bool,
    },
    /// A slide was embedded and has no tile.
    NoTiles {
        /// The slide.
        slide: SlideId,
        /// Why it has no tile.
        why: NoTiles,
    },
    /// Embedding of a slide was interrupted by other work or stopped; it continues later where it was.
    EmbeddingInterrupted {
        /// The slide.
        slide: SlideId,
    },
    /// A slide could not be embedded.
    EmbeddingFailed {
        /// The slide.
        slide: SlideId,
        /// Why it failed.
        reason: String,
    },
    /// A new index of all current descriptors was built.
    IndexBuilt(Arc<Snapshot>),
    /// Building the index failed; the previous index stays in use.
    IndexFailed,
    /// The search has finished.
    Answered {
        /// Number of the query.
        generation: u64,
        /// Matches, or why there are none.
        answer: Result<Answer, QueryError>,
        /// Answer of the second encoder, if there is one.
        second_encoder: Option<Result<Answer, QueryError>>,
    },
    /// A picture was embedded and can be used as an example, or could not be.
    PictureEmbedded(Result<Box<ShownExample>, String>),
    /// A CSV file of slides and their patients was read, or could not be.
    PatientsRead {
        /// Path of the file.
        path: PathBuf,
        /// Pairs of slide and patient, or why the file could not be read.
        patients: Result<Vec<(String, String)>, String>,
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
    /// The search in archive and project has finished.
    ArchiveAnswered {
        /// Number of the query.
        generation: u64,
        /// Merged answer, or why there is none.
        answer: Result<Box<ArchiveAnswer>, String>,
    },
    /// Requested tiles were embedded, or could not be.
    TilesEmbedded {
        /// Slide of the tiles.
        slide: SlideId,
        /// Tiles in level-0 pixels.
        rects: Vec<Level0Rect>,
        /// One descriptor for each tile, or why there are none.
        descriptors: Result<Vec<Vec<f32>>, String>,
    },
    /// The query history of the project was read.
    HistoryLoaded(Box<QueryHistory>),
    /// The thumbnail of a tile was read, or could not be.
    TilePictureRead {
        /// Slide of the tile.
        slide: SlideId,
        /// Tile in level-0 pixels.
        rect: Level0Rect,
        /// Its pixels, or why it could not be read.
        picture: Result<RgbaImage, String>,
    },
    /// An event of the training workers.
    Training(TrainingEvent),
    /// An event of the annotation worker.
    Annotations(AnnotationEvent),
    /// Progress of the evaluation.
    EvaluationProgress {
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
    },
    /// The evaluation has finished, or failed for the given reason.
    Evaluated(Result<Arc<Study>, String>),
    /// The distance of every tile of the last evaluation from a query was computed.
    DistancesMeasured {
        /// Number of the query.
        generation: u64,
        /// One distance for each tile; NaN for tiles that are not in the index.
        distances: Arc<[f32]>,
    },
    /// The report was written to this folder, or could not be written.
    ReportWritten(Result<PathBuf, String>),
    /// A job failed because of an error in the program. If the session waits for the job's result, the event
    /// with that result is sent too.
    Crashed(Crash),
    /// A message that may interest the user.
    Notice(String),
    /// An error of which the user should know.
    Trouble(String),
}
