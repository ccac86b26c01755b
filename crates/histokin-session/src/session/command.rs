//! What the user asks for.

use std::path::PathBuf;

use uuid::Uuid;

use super::{Annotate, PictureQuery, TrainingCommand};
use histokin_core::annotation::AnnotationClass;
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use histokin_core::query::{Patients, QuerySettings, Region, TilePlace, Verdict};
use histokin_core::slide::SlideId;
use histokin_core::tissue::TissueSettings;
use histokin_evaluation::comparison::ComparisonSettings;
use histokin_project::project::{ArchiveUrl, Password};

/// One wish of the user.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Open slides, and all slides in folders; a folder that is a project brings its slides.
    Open(Vec<PathBuf>),
    /// Bring a slide into the view.
    Show(SlideId),
    /// Take a slide off the list; its descriptors stay on the disk.
    Remove(SlideId),
    /// Open a slide again after its file could not be read.
    Retry(PathBuf),
    /// Read a picture stored beside the slide, such as its macro; shown when it has come.
    ReadAssociated {
        slide: SlideId,
        name: String,
    },
    /// State the pixel size of a slide that does not know its own.
    SetMpp {
        slide: SlideId,
        mpp: MicronsPerPixel,
    },
    /// The part of a slide that is in view now; what lies there is embedded first.
    LookAt {
        slide: SlideId,
        field: Level0Rect,
    },
    /// Read the colour profile that a slide embeds, for showing it through that.
    ReadProfile(SlideId),
    /// Find out the colours of a slide's tissue, for showing it normalised.
    MeasureColours(SlideId),
    /// Draw, change, import or export annotations.
    Annotate(Annotate),
    /// Let the encoder run, a TorchScript module that has not run here before, or not.
    TrustEncoder(bool),
    /// Let an encoder that comes with histokin, by its name, describe the slides from now on.
    ChooseEncoder(String),
    PauseEmbedding,
    ResumeEmbedding,
    /// Change what counts as tissue and which tiles are embedded. Tiles are added and taken away; those that stay are
    /// not embedded again.
    SetTissue(TissueSettings),
    /// Embed a slide after that has failed; it goes on from where it was.
    EmbedAgain(SlideId),
    /// Stop embedding; what is done is kept, and resuming goes on from there.
    CancelEmbedding,
    /// Ask for tiles like the one under `point`. `from` is the view at this moment, to come back to.
    QueryAt {
        slide: SlideId,
        point: Level0Point,
    },
    /// Look for tiles like those whose centre lies in a region.
    QueryRegion {
        slide: SlideId,
        region: Region,
    },
    /// Look for tiles like any of these; of very many some are taken, evenly.
    QueryTiles(Vec<TilePlace>),
    /// Mark tiles with a class: one annotation on each slide, around all of them.
    MarkTiles {
        tiles: Vec<TilePlace>,
        class: AnnotationClass,
    },
    /// Have the picture of a tile read, for showing it under the pointer.
    ReadTilePicture {
        slide: SlideId,
        rect: Level0Rect,
    },
    /// Compute how far every tile of the last evaluation is from the question in hand.
    MeasureDistances,
    /// Look for tissue like that of annotations of a slide.
    QueryAnnotations {
        slide: SlideId,
        ids: Vec<Uuid>,
    },
    /// Look for tissue like all that has this class, on all slides.
    QueryClass(String),
    /// Rank the other slides by how much of their tissue is like that of this one.
    QuerySlide(SlideId),
    /// Look for tissue like that of a picture.
    QueryPicture(PictureQuery),
    /// Add the tile under `point` to the question: as one more example of what is looked for, or of what is
    /// not. A tile that is one already is taken away again.
    AddExample {
        slide: SlideId,
        point: Level0Point,
        is_positive: bool,
    },
    /// Take an example away, by its place in its list.
    RemoveExample {
        is_positive: bool,
        place: usize,
    },
    /// How questions are answered from now on.
    SetQuery(QuerySettings),
    /// Put questions to this archive, too, or to none any more. The password is for this run only.
    SetArchive {
        url: Option<ArchiveUrl>,
        password: Option<Password>,
    },
    /// Which patients' slides may hold matches.
    SetPatients(Patients),
    /// Read which patient each slide is of from a CSV file with the columns `slide` (or `file`) and `patient`.
    ReadPatients(PathBuf),
    /// Look which encoders have described slides of this project.
    ListRecipes,
    /// Have another encoder answer beside the project's own, or no longer.
    CompareWith(Option<Recipe>),
    /// Ask a question of the history again, 0 being the newest.
    Recall(usize),
    /// Say of a match, by its place in the ranking, whether it is the same tissue; `None` takes that back.
    Judge {
        rank: usize,
        verdict: Option<Verdict>,
    },
    UndoJudgement,
    /// Choose a match, by its place in the ranking, to be given a class, or leave it out again.
    ChooseMatch(usize),
    /// Choose these matches and no others.
    ChooseMatches(Vec<usize>),
    /// Make the chosen matches annotations of a class.
    ClassifyMatches(Option<AnnotationClass>),
    /// Take back the last time that matches were given a class.
    UndoClassification,
    /// Write the matches into the project's reports.
    ExportMatches,
    /// Write into the project's reports how like a tile all tiles of slides are.
    ExportHeatMap {
        tile: TilePlace,
        on: Vec<SlideId>,
    },
    /// Go to an example of the question. `from` is where the view is now.
    GoToExample {
        place: TilePlace,
        from: Option<(SlideId, Level0Rect)>,
    },
    ClearQuery,
    /// Go to a match, by its place in the ranking (0 is the best). `from` is where the view is now.
    GoToMatch {
        rank: usize,
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Show a slide of the ranking that is not open: it is opened if the archive knows where it lies and that can be
    /// reached, else it is told where it lies.
    ShowArchived(SlideId),
    /// Go to a tile of an open slide. `from` is where the view is now.
    GoToTile {
        slide: SlideId,
        rect: Level0Rect,
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Measure how good the encoder is, in place of an evaluation that runs.
    Evaluate(Box<ComparisonSettings>),
    StopEvaluation,
    /// Write the report of the last evaluation into the project, with codes in place of patients' names where that
    /// is asked for.
    WriteReport {
        pseudonymise: bool,
    },
    /// Return to where the view was before the last jump.
    Back,
    /// Whatever has to do with training.
    Train(TrainingCommand),
    /// Note a message as read.
    DismissMessage(u64),
    /// Show something to the user that went wrong in the window itself.
    Report(String),
}
