//! What the workers have to do.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::AnnotationJob;
use super::EvaluateRequest;
use super::PictureQuery;
use super::TrainingJob;
use histokin_core::descriptors::{DescriptorSet, DescriptorStore, Recipe};
use histokin_core::geometry::{Level0Rect, MicronsPerPixel};
use histokin_core::index::{IndexCache, Snapshot, TileRef};
use histokin_core::query::{Answer, Example, Marks, Patients, Query, QueryHistory, TilePlace};
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::tissue::{TissueMask, TissueSettings};
use histokin_evaluation::study::Study;
use histokin_project::pipeline::{Slides, TileSelection};
use histokin_project::project::{ArchiveUrl, Claim, FormerIds, Password, Project};

/// One slide to embed.
#[derive(Clone)]
pub struct EmbedTarget {
    pub slide: Arc<dyn SlideSource>,
    /// Its tissue by the settings of the selection, when it is known already.
    pub tissue: Option<Arc<TissueMask>>,
    /// Which of its tiles are embedded.
    pub selection: TileSelection,
}

/// What the embedder is to work on from now on; replaces the plan before.
#[derive(Clone)]
pub struct EmbedPlan {
    pub recipe: Recipe,
    /// Name or path of the encoder.
    pub encoder: String,
    pub store: DescriptorStore,
    /// In the order of importance: the slide in view first.
    pub targets: Vec<EmbedTarget>,
    /// The part of the first slide that is in view.
    pub focus: Option<Level0Rect>,
    pub paused: bool,
    /// The project stays this program's for as long as something may be written in it.
    pub claim: Claim,
}

/// A question to the index.
#[derive(Clone)]
pub struct SearchRequest {
    /// Answers to older questions than the newest one are dropped.
    pub generation: u64,
    pub index: Arc<Snapshot>,
    pub query: Query,
    /// The annotations that the query's settings speak of.
    pub marks: Marks,
    /// What a second encoder knows, which answers, too.
    pub second_encoder: Option<Arc<Snapshot>>,
}

/// A picture to describe, so that it can be asked with.
#[derive(Clone)]
pub struct PictureRequest {
    pub picture: PictureQuery,
    /// Where pictures that are in no file are kept.
    pub folder: PathBuf,
    pub recipe: Recipe,
    /// Name or path of the encoder.
    pub encoder: String,
}

/// A question to the archive and the index together.
#[derive(Clone)]
pub struct ArchiveRequest {
    pub search: SearchRequest,
    pub url: ArchiveUrl,
    /// What was typed in this run.
    pub password: Option<Password>,
    pub recipe: Recipe,
    pub patients: Patients,
    /// Code of the patient of the query's slide.
    pub own_patient: Option<String>,
    /// Former ids of the project's slides, by which the archive may know them.
    pub former_ids: FormerIds,
}

/// Tiles to describe on the spot.
#[derive(Clone)]
pub struct TileRequest {
    pub slide: Arc<dyn SlideSource>,
    pub rects: Vec<Level0Rect>,
    pub recipe: Recipe,
    /// Name or path of the encoder.
    pub encoder: String,
}

/// One piece of work for the workers. Each worker has a type of its own, so that work for one cannot be handed to
/// another.
pub enum Job {
    Open(OpenJob),
    Scan(ScanJob),
    Load(LoadJob),
    Picture(PictureJob),
    History(HistoryJob),
    Evaluate(EvaluatorJob),
    /// Look for a slide that has gone until it is back.
    AwaitSlide(Arc<dyn SlideSource>),
    Embed(EmbedPlan),
    EmbedTiles(TileRequest),
    EmbedPicture(PictureRequest),
    BuildIndex {
        sets: Vec<Arc<DescriptorSet>>,
        cache: IndexCache,
        /// Whether these are all there will be for now; else only what was kept is used.
        settled: bool,
    },
    Search(SearchRequest),
    SearchArchive(Box<ArchiveRequest>),
    /// Nobody waits for what the archive was asked any more.
    LeaveArchive,
    Annotations(AnnotationJob),
    SaveProject(Box<Project>),
    Train(TrainingJob),
}

/// Work for the thread that opens slides and encoders.
pub enum OpenJob {
    /// Find slides in files and folders.
    FindPaths(Vec<PathBuf>),
    OpenSlide {
        path: PathBuf,
        user_mpp: Option<MicronsPerPixel>,
    },
    /// Look at the place where the project has listed a slide that was opened elsewhere.
    LookWhereListed {
        source: Arc<dyn SlideSource>,
        path: PathBuf,
    },
    /// Look for a slide of the project whose file has gone: by file name in `folders`, then by content.
    FindMoved {
        slide: SlideId,
        path: PathBuf,
        user_mpp: Option<MicronsPerPixel>,
        folders: Vec<PathBuf>,
    },
    /// Learn what the encoder is, without loading libtorch.
    LearnEncoder(String),
    /// Remember that the user lets a TorchScript module run, and learn what it is.
    TrustEncoder {
        module: PathBuf,
        encoder: String,
    },
}

/// Work for the thread that reads whole slides at low power.
pub enum ScanJob {
    MakeThumbnail(Arc<dyn SlideSource>),
    /// Read a picture that is stored beside the slide's pyramid.
    ReadAssociated {
        slide: Arc<dyn SlideSource>,
        name: String,
    },
    FindTissue {
        slide: Arc<dyn SlideSource>,
        settings: TissueSettings,
    },
    /// The colour profile that the slide embeds, if it does.
    ReadProfile(Arc<dyn SlideSource>),
    /// Statistics of the colours of a slide's tissue.
    MeasureColours(Arc<dyn SlideSource>),
}

/// Work for the thread that loads descriptors and lists.
pub enum LoadJob {
    /// Finished descriptors of an earlier run, if the store has them.
    LoadDescriptors { store: DescriptorStore, slide: SlideId, recipe: Recipe },
    /// Read which patient each slide is of.
    ReadPatients(PathBuf),
    /// Look by which recipes slides have been described.
    ListRecipes(DescriptorStore),
    /// Open all that a second encoder has described.
    OpenSecondEncoder { store: DescriptorStore, slides: Vec<SlideId>, recipe: Recipe, cache: IndexCache },
}

/// Work for the thread that reads the small pictures of lists.
pub enum PictureJob {
    ReadTilePicture {
        slide: Arc<dyn SlideSource>,
        rect: Level0Rect,
    },
    /// Read the picture of a question, small.
    ReadQueryPicture {
        place: TilePlace,
        file: PathBuf,
    },
}

/// Work for the thread that keeps questions, judgements and what is exported of them.
pub enum HistoryJob {
    /// Read what the project in a folder has kept of its queries.
    LoadHistory(PathBuf),
    SaveHistory {
        root: PathBuf,
        query_history: Box<QueryHistory>,
    },
    /// Write an answer, and what was said of it, into a new folder below `reports`.
    ExportAnswer {
        answer: Box<Answer>,
        query_history: Box<QueryHistory>,
        slides: Slides,
        reports: PathBuf,
    },
    /// Write how like a tile all tiles of the slides at places `shown` are into a new folder below `reports`.
    ExportHeatMap {
        index: Arc<Snapshot>,
        tile: TileRef,
        shown: Vec<u32>,
        /// What the slides are called.
        names: HashMap<SlideId, String>,
        reports: PathBuf,
    },
}

/// Work for the thread that measures encoders.
pub enum EvaluatorJob {
    Evaluate(Box<EvaluateRequest>),
    /// Compute how far every tile of a study is from the question's examples; NaN for those that are not in the
    /// index.
    MeasureDistances {
        generation: u64,
        study: Arc<Study>,
        index: Arc<Snapshot>,
        positives: Vec<Example>,
    },
    WriteReport {
        study: Arc<Study>,
        project: Box<Project>,
        pseudonymise: bool,
    },
}
