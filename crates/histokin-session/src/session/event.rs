//! What the workers have found out.

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

/// How far the embedding of one slide has come.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SlideProgress {
    /// Tiles embedded or found unreadable, earlier runs included.
    pub done: u32,
    /// Tissue tiles of the slide.
    pub total: u32,
    /// Of `done`, those that could not be read.
    pub failed: u32,
}

/// One thing that has happened.
pub enum Event {
    /// A folder turned out to be a project; its slides follow as paths to open.
    ProjectOpened(Box<Project>),
    /// Files were found in the paths that the user gave.
    PathsFound(Vec<PathBuf>),
    SlideOpened(Arc<dyn SlideSource>),
    /// What lies at the place where the project has listed a slide that was opened elsewhere.
    ListedPlaceSeen {
        source: Arc<dyn SlideSource>,
        there: Option<Box<SlideInfo>>,
    },
    SlideFailed {
        path: PathBuf,
        reason: String,
    },
    /// There is no file at `path` (any more).
    SlideMissing {
        path: PathBuf,
        reason: String,
    },
    /// An open slide cannot be read any more: its file has gone or changed.
    SlideUnavailable {
        slide: SlideId,
        reason: String,
    },
    /// A slide that had gone can be read again.
    SlideBack {
        slide: SlideId,
    },
    /// A picture that is stored beside the slide's pyramid.
    AssociatedRead {
        slide: SlideId,
        name: String,
        picture: Result<RgbaImage, String>,
    },
    ThumbnailMade {
        slide: SlideId,
        thumbnail: RgbaImage,
    },
    TissueFound {
        slide: SlideId,
        tissue: Arc<TissueMask>,
    },
    /// The colour profile that a slide embeds; `None` when it embeds none that can be used.
    ProfileRead {
        slide: SlideId,
        profile: Option<Arc<ProfileTable>>,
    },
    /// Colours of a slide's tissue; `None` when it has too little.
    ColoursMeasured {
        slide: SlideId,
        colours: Option<LabStatistics>,
    },
    /// The encoder is known (libtorch need not be loaded yet).
    EncoderKnown(Box<EncoderSpec>),
    /// The encoder runs, on the named device.
    EncoderRuns {
        device: String,
    },
    EncoderFailed {
        reason: String,
    },
    /// The encoder is a TorchScript module, a program, that the user has not allowed to run.
    EncoderUntrusted {
        path: PathBuf,
    },
    /// No earlier run has embedded this slide.
    NoDescriptors {
        slide: SlideId,
    },
    EmbeddingStarted {
        slide: SlideId,
        progress: SlideProgress,
    },
    EmbeddingProgress {
        slide: SlideId,
        progress: SlideProgress,
        tiles_per_second: f64,
    },
    /// Descriptors that can be searched from now on; `finished` when the slide is done.
    DescriptorsReady {
        set: Arc<DescriptorSet>,
        finished: bool,
    },
    /// A slide was embedded and has no tile.
    NoTiles {
        slide: SlideId,
        why: NoTiles,
    },
    /// A slide made room for another or was stopped; it goes on later where it was.
    EmbeddingInterrupted {
        slide: SlideId,
    },
    EmbeddingFailed {
        slide: SlideId,
        reason: String,
    },
    /// A new index over all descriptors handed in so far.
    IndexBuilt(Arc<Snapshot>),
    /// There is no new index; the one of before goes on answering.
    IndexFailed,
    Answered {
        generation: u64,
        answer: Result<Answer, QueryError>,
        /// What the second encoder answers, where there is one.
        second_encoder: Option<Result<Answer, QueryError>>,
    },
    /// A picture has been described, to be asked with.
    PictureEmbedded(Result<Box<ShownExample>, String>),
    /// Slides and their patients, as a list has them.
    PatientsRead {
        path: PathBuf,
        patients: Result<Vec<(String, String)>, String>,
    },
    /// The recipes by which slides of the project have been described.
    RecipesFound(Vec<Recipe>),
    /// A second encoder's descriptors can be searched.
    SecondEncoderOpened {
        recipe: Recipe,
        index: Arc<Snapshot>,
    },
    /// The archive and the project have been asked together.
    ArchiveAnswered {
        generation: u64,
        answer: Result<Box<ArchiveAnswer>, String>,
    },
    /// Tiles have been described on the spot.
    TilesEmbedded {
        slide: SlideId,
        rects: Vec<Level0Rect>,
        descriptors: Result<Vec<Vec<f32>>, String>,
    },
    /// What the project has kept of its queries.
    HistoryLoaded(Box<QueryHistory>),
    TilePictureRead {
        slide: SlideId,
        rect: Level0Rect,
        picture: Result<RgbaImage, String>,
    },
    Training(TrainingEvent),
    Annotations(AnnotationEvent),
    /// The share (0 to 1) of the evaluation that is done.
    EvaluationProgress {
        share: f64,
        doing: String,
    },
    Evaluated(Result<Arc<Study>, String>),
    /// How far every tile of the last evaluation is from a question.
    DistancesMeasured {
        generation: u64,
        distances: Arc<[f32]>,
    },
    /// The folder of a report that was asked for.
    ReportWritten(Result<PathBuf, String>),
    /// A job has failed because of an error in the program. Where the session waits for the job, its own event
    /// says so, too.
    Crashed(Crash),
    /// Something that the user may want to know.
    Notice(String),
    /// Something that the user should know went wrong.
    Trouble(String),
}
