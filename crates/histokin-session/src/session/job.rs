//! Jobs for the workers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    AnnotationJob, ConceptJob, EncoderChange, EvaluateRequest, PictureQuery, PreviewRequest, TrainingJob,
    TrialRequest,
};
use histokin_core::concept::ConceptStore;
use histokin_core::descriptors::{DescriptorSet, DescriptorStore, Recipe};
use histokin_core::geometry::{Level0Rect, MicronsPerPixel};
use histokin_core::index::{IndexCache, Snapshot};
use histokin_core::query::{AnnotationsBySlide, Answer, Patients, Query, QueryHistory, TilePosition};
use histokin_core::slide::channel::ChannelDisplay;
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::tissue::{TissueMask, TissueSettings};
use histokin_evaluation::study::Study;
use histokin_project::pipeline::{Slides, ThumbnailCache, TileSelection};
use histokin_project::project::{ArchiveUrl, Claim, FormerIds, Password, Project};

/// One slide to embed.
#[derive(Clone)]
pub struct EmbedTarget {
    /// Slide to embed.
    pub slide: Arc<dyn SlideSource>,
    /// Tissue mask by the settings of the selection, if it is known already.
    pub tissue: Option<Arc<TissueMask>>,
    /// Which tiles are embedded.
    pub selection: TileSelection,
}

/// What the embedder works on from now on; replaces the previous plan.
#[derive(Clone)]
pub struct EmbedPlan {
    /// Recipe of the descriptors.
    pub recipe: Recipe,
    /// Name or path of the encoder.
    pub encoder: String,
    /// Where the descriptors are written.
    pub store: DescriptorStore,
    /// Slides in order of priority: the slide in view first.
    pub targets: Vec<EmbedTarget>,
    /// Part of the first slide that is in view, in level-0 pixels.
    pub focus: Option<Level0Rect>,
    /// Whether embedding is paused.
    pub paused: bool,
}

/// A query to the index.
#[derive(Clone)]
pub struct SearchRequest {
    /// Number of the query; answers to older numbers are dropped.
    pub generation: u64,
    /// Index to search.
    pub index: Arc<Snapshot>,
    /// Examples and settings.
    pub query: Query,
    /// Annotations to which the query's settings refer.
    pub annotations: AnnotationsBySlide,
    /// Index of the second encoder, which is searched as well.
    pub second_encoder: Option<Arc<Snapshot>>,
}

/// A picture to embed, to be used as an example.
#[derive(Clone)]
pub struct PictureRequest {
    /// Picture to embed.
    pub picture: PictureQuery,
    /// Folder in which pictures without a file are saved.
    pub folder: PathBuf,
    /// Recipe of the descriptors.
    pub recipe: Recipe,
    /// Name or path of the encoder.
    pub encoder: String,
}

/// A query to the archive and the index together.
#[derive(Clone)]
pub struct ArchiveRequest {
    /// The query to the index.
    pub search: SearchRequest,
    /// Address of the archive.
    pub url: ArchiveUrl,
    /// Password typed in this run.
    pub password: Option<Password>,
    /// Recipe whose descriptors are compared.
    pub recipe: Recipe,
    /// Which patients' slides may hold matches.
    pub patients: Patients,
    /// Code of the patient of the query's slide.
    pub own_patient: Option<String>,
    /// Former IDs of the project's slides, by which the archive may know them.
    pub former_ids: FormerIds,
}

/// Tiles to embed at once, ahead of the plan.
#[derive(Clone)]
pub struct TileRequest {
    /// Slide with the tiles.
    pub slide: Arc<dyn SlideSource>,
    /// Tiles in level-0 pixels.
    pub rects: Vec<Level0Rect>,
    /// Recipe of the descriptors.
    pub recipe: Recipe,
    /// Name or path of the encoder.
    pub encoder: String,
}

/// One job for the workers. Each worker has its own job type, so that a job cannot be given to the wrong one.
pub enum Job {
    /// Job of the worker that opens slides and encoders.
    Open(OpenJob),
    /// Job of the worker that lists encoders and changes the user's.
    Encoders(EncoderJob),
    /// Job of the worker that reads whole slides at low magnification.
    Scan(ScanJob),
    /// Job of the worker that loads descriptors and lists.
    Load(LoadJob),
    /// Job of the worker that reads thumbnails of tiles.
    Picture(PictureJob),
    /// Job of the worker that keeps queries and judgements.
    History(HistoryJob),
    /// Job of the worker that evaluates encoders.
    Evaluation(EvaluationJob),
    /// Checks an unavailable slide until it can be read again.
    AwaitSlide(Arc<dyn SlideSource>),
    /// Checks from time to time whether the companions of an open slide were replaced.
    WatchSlide(Arc<dyn SlideSource>),
    /// Job of the embedder.
    Embedding(EmbeddingJob),
    /// Builds the index.
    BuildIndex(IndexBuild),
    /// Searches the index.
    Search(SearchRequest),
    /// Job of the worker that searches the archive.
    Archive(ArchiveJob),
    /// Job of the annotation worker.
    Annotations(AnnotationJob),
    /// Saves the project's list of slides and settings.
    SaveProject(Box<Project>),
    /// Job of the training workers.
    Training(TrainingJob),
}

/// Jobs of the embedder.
pub enum EmbeddingJob {
    /// Replaces the plan.
    Plan(EmbedPlan),
    /// Embeds tiles before everything else.
    Tiles(TileRequest),
    /// Embeds a picture before everything else.
    Picture(PictureRequest),
    /// Embeds a sample of tiles with another encoder, before the plan.
    Preview(Box<PreviewRequest>),
}

/// Descriptors of which the index is built.
pub struct IndexBuild {
    /// Descriptors of all slides to be indexed.
    pub sets: Vec<Arc<DescriptorSet>>,
    /// Where built segments of the index are kept.
    pub cache: IndexCache,
    /// Whether these are all sets for now. If not, only cached segments are used and none is built.
    pub settled: bool,
}

/// Jobs of the worker that searches the archive.
pub enum ArchiveJob {
    /// Searches the archive and the index together.
    Search(Box<ArchiveRequest>),
    /// Cancels the running search.
    Cancel,
}

/// Jobs of the worker that opens slides and encoders.
pub enum OpenJob {
    /// Finds slides, a project and an encoder in files and folders.
    FindPaths {
        /// Number of the request; later ones have larger numbers.
        request: u64,
        /// The files and folders.
        paths: Vec<PathBuf>,
    },
    /// Opens a slide.
    OpenSlide {
        /// Path of the slide.
        path: PathBuf,
        /// Pixel size set by the user, which overrides the file's own.
        user_mpp: Option<MicronsPerPixel>,
    },
    /// Checks the path under which the project lists a slide that was opened from another path.
    CheckListedPath {
        /// The slide as opened.
        source: Arc<dyn SlideSource>,
        /// Path in the project's list.
        path: PathBuf,
    },
    /// Searches for a slide of the project whose file is missing: by file name in `folders`, then by content.
    FindMoved {
        /// ID of the slide.
        slide: SlideId,
        /// Path at which it was expected.
        path: PathBuf,
        /// Pixel size set by the user.
        user_mpp: Option<MicronsPerPixel>,
        /// Folders to search.
        folders: Vec<PathBuf>,
    },
    /// Opens a slide once more, with its channels shown in another way.
    ApplyChannels {
        /// The slide as it is open.
        slide: Arc<dyn SlideSource>,
        /// How the channels are shown.
        channels: Vec<ChannelDisplay>,
    },
    /// Reads the specification of an encoder, given by name or path. libtorch is loaded only for a TorchScript module.
    ReadEncoderSpec(String),
    /// Records that the user allows a TorchScript module to run, and reads its specification.
    TrustEncoder {
        /// File of the module.
        module: PathBuf,
        /// Name or path of the encoder.
        encoder: String,
    },
}

/// Jobs of the worker that lists encoders and changes the user's.
pub enum EncoderJob {
    /// Lists the encoders that can be chosen in a project.
    List(Box<Project>),
    /// Reads what is known of an encoder, given by name or path. libtorch is loaded only for a TorchScript module.
    Examine(String),
    /// Adds, renames or removes an encoder of the user.
    Change(EncoderChange),
}

/// Jobs of the worker that reads whole slides at low magnification.
pub enum ScanJob {
    /// Makes the thumbnail of a slide.
    MakeThumbnail {
        /// The slide.
        slide: Arc<dyn SlideSource>,
        /// Where it is kept.
        cache: ThumbnailCache,
    },
    /// Reads an associated image of a slide.
    ReadAssociated {
        /// Slide with the image.
        slide: Arc<dyn SlideSource>,
        /// Name of the image.
        name: String,
    },
    /// Computes the tissue mask of a slide.
    FindTissue {
        /// Slide to examine.
        slide: Arc<dyn SlideSource>,
        /// What counts as tissue.
        settings: TissueSettings,
    },
    /// Reads the embedded colour profile of a slide, if it has one.
    ReadProfile(Arc<dyn SlideSource>),
    /// Measures the colour statistics of a slide's tissue.
    MeasureColours(Arc<dyn SlideSource>),
    /// Estimates the stain vectors of a slide.
    EstimateStains {
        /// The slide.
        slide: Arc<dyn SlideSource>,
        /// Region with both stains, in level-0 pixels.
        region: Level0Rect,
    },
}

/// Jobs of the worker that loads descriptors and lists.
pub enum LoadJob {
    /// Loads finished descriptors of an earlier run, if the store has them.
    LoadDescriptors {
        /// Store to read from.
        store: DescriptorStore,
        /// Slide of the descriptors.
        slide: SlideId,
        /// Recipe of the descriptors.
        recipe: Recipe,
    },
    /// Discards the descriptors of slides, so that they are embedded again.
    DiscardDescriptors {
        /// Store to delete from.
        store: DescriptorStore,
        /// The slides.
        slides: Vec<SlideId>,
        /// Recipe of the descriptors.
        recipe: Recipe,
    },
    /// Reads the patient of each slide from a CSV file.
    ReadPatients(PathBuf),
    /// Lists the recipes by which slides have been embedded.
    ListRecipes(DescriptorStore),
    /// Opens all descriptors of a second encoder.
    OpenSecondEncoder {
        /// Store to read from.
        store: DescriptorStore,
        /// Slides of the session.
        slides: Vec<SlideId>,
        /// Recipe of the second encoder.
        recipe: Recipe,
        /// Where built segments of the index are kept.
        cache: IndexCache,
    },
}

/// Jobs of the worker that reads thumbnails for lists.
pub enum PictureJob {
    /// Reads the thumbnail of a slide that was made earlier.
    ReadThumbnail {
        /// The slide.
        slide: Arc<dyn SlideSource>,
        /// Where it is kept.
        cache: ThumbnailCache,
    },
    /// Reads the thumbnail of a tile.
    ReadTilePicture {
        /// Slide with the tile.
        slide: Arc<dyn SlideSource>,
        /// Tile in level-0 pixels.
        rect: Level0Rect,
    },
    /// Reads the thumbnail of a picture that is an example.
    ReadQueryPicture {
        /// Identity under which the picture is listed.
        position: TilePosition,
        /// File of the picture.
        file: PathBuf,
        /// How the project shows its channels, if it is one of its slides and the user has set that; empty otherwise.
        channels: Vec<ChannelDisplay>,
    },
}

/// Jobs of the worker that keeps queries, judgements and concepts and exports answers.
pub enum HistoryJob {
    /// A job on concepts.
    Concepts {
        /// Where they are kept.
        store: ConceptStore,
        /// The job.
        job: Box<ConceptJob>,
    },
    /// Reads the query history of the project in a folder.
    LoadHistory(PathBuf),
    /// Saves the query history.
    SaveHistory {
        /// Folder of the project.
        root: PathBuf,
        /// History to save.
        query_history: Box<QueryHistory>,
    },
    /// Adds queries and judgements to the saved history, which the session had not read yet.
    AddToHistory {
        /// Folder of the project.
        root: PathBuf,
        /// What is added.
        added: Box<QueryHistory>,
        /// Keeps the project claimed, which has been left.
        claim: Claim,
    },
    /// Writes an answer with its judgements to a new folder below `reports`.
    ExportAnswer {
        /// Answer to write.
        answer: Box<Answer>,
        /// History with the judgements.
        query_history: Box<QueryHistory>,
        /// Slides from which pictures of matches are read.
        slides: Slides,
        /// Folder of the project's reports.
        reports: PathBuf,
    },
    /// Writes similarity maps to a new folder below `reports`.
    ExportHeatMap {
        /// Index with the descriptors.
        index: Arc<Snapshot>,
        /// Descriptor with which all tiles are compared.
        descriptor: Arc<[f32]>,
        /// Positions in the index of the slides for which a map is written.
        shown: Vec<u32>,
        /// Names of the slides.
        names: HashMap<SlideId, String>,
        /// Folder of the project's reports.
        reports: PathBuf,
    },
}

/// Jobs of the worker that evaluates encoders.
pub enum EvaluationJob {
    /// Evaluates encoders.
    Evaluate(Box<EvaluateRequest>),
    /// Computes the distance of every tile of a study from what the query compares tiles with; NaN for tiles that are
    /// not in the index.
    MeasureDistances {
        /// Number of the query.
        generation: u64,
        /// Evaluation with the tiles.
        study: Arc<Study>,
        /// Index with the descriptors.
        index: Arc<Snapshot>,
        /// The query.
        query: Box<Query>,
    },
    /// Compares the encoder of a training run with the project's.
    Try(Box<TrialRequest>),
    /// Writes the report of an evaluation to the project.
    WriteReport {
        /// Evaluation to report.
        study: Arc<Study>,
        /// Project that gets the report.
        project: Box<Project>,
        /// Whether patients' names are replaced by codes.
        pseudonymise: bool,
    },
}
