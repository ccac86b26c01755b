//! Commands of the user.

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

/// One action of the user.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Opens slides, and all slides in folders; for a folder that is a project, opens the project.
    Open(Vec<PathBuf>),
    /// Shows a slide in the view.
    Show(SlideId),
    /// Removes a slide from the list; its descriptors stay on disk.
    Remove(SlideId),
    /// Opens a file again after it could not be read.
    Retry(PathBuf),
    /// Reads an associated image of a slide, such as its macro image; it is shown once it has been read.
    ReadAssociated {
        /// Slide with the image.
        slide: SlideId,
        /// Name of the image, such as `macro`.
        name: String,
    },
    /// Sets the pixel size of a slide that is not calibrated.
    SetMpp {
        /// Slide to calibrate.
        slide: SlideId,
        /// Size of a level-0 pixel.
        mpp: MicronsPerPixel,
    },
    /// Reports the part of a slide that is in view; tiles there are embedded first.
    LookAt {
        /// Slide in view.
        slide: SlideId,
        /// Part in view, in level-0 pixels.
        field: Level0Rect,
    },
    /// Reads the embedded colour profile of a slide, to show its colours through it.
    ReadProfile(SlideId),
    /// Measures the colours of a slide's tissue, to show it normalised.
    MeasureColours(SlideId),
    /// Draws, changes, imports or exports annotations.
    Annotate(Annotate),
    /// Allows or forbids running an encoder that is a TorchScript module not run here before.
    TrustEncoder(bool),
    /// Embeds with an encoder that is part of histokin, given by its name, from now on.
    ChooseEncoder(String),
    /// Pauses embedding.
    PauseEmbedding,
    /// Resumes embedding after a pause or a cancellation.
    ResumeEmbedding,
    /// Changes the tissue settings and with them which tiles are embedded. Tiles are added and removed; those
    /// that stay are not embedded again.
    SetTissue(TissueSettings),
    /// Embeds a slide again after a failure; continues where it stopped.
    EmbedAgain(SlideId),
    /// Stops embedding; the tiles done so far are kept, and resuming continues from there.
    CancelEmbedding,
    /// Searches for tiles like the one under `point`.
    QueryAt {
        /// Slide with the example.
        slide: SlideId,
        /// Point within the example tile, in level-0 pixels.
        point: Level0Point,
    },
    /// Searches for tiles like those whose centre lies in a region.
    QueryRegion {
        /// Slide with the region.
        slide: SlideId,
        /// Region whose tiles are the examples.
        region: Region,
    },
    /// Searches for tiles like any of these; of a large number, an even sample is used.
    QueryTiles(Vec<TilePlace>),
    /// Annotates tiles with a class: one annotation on each slide, around all of them.
    MarkTiles {
        /// Tiles to annotate.
        tiles: Vec<TilePlace>,
        /// Class of the new annotations.
        class: AnnotationClass,
    },
    /// Reads the picture of a tile, to show it under the pointer.
    ReadTilePicture {
        /// Slide with the tile.
        slide: SlideId,
        /// Tile in level-0 pixels.
        rect: Level0Rect,
    },
    /// Computes the distance of every tile of the last evaluation from the current query.
    MeasureDistances,
    /// Searches for tissue like that of annotations of a slide.
    QueryAnnotations {
        /// Slide with the annotations.
        slide: SlideId,
        /// Annotations that are the examples.
        ids: Vec<Uuid>,
    },
    /// Searches for tissue like that of all annotations of this class, on all slides.
    QueryClass(String),
    /// Ranks the other slides by how much of their tissue is similar to that of this one.
    QuerySlide(SlideId),
    /// Searches for tissue like that of a picture.
    QueryPicture(PictureQuery),
    /// Adds the tile under `point` to the query as an example. If it is one already, removes it.
    AddExample {
        /// Slide with the tile.
        slide: SlideId,
        /// Point within the tile, in level-0 pixels.
        point: Level0Point,
        /// True for a positive example, false for a negative one.
        is_positive: bool,
    },
    /// Removes an example from the query.
    RemoveExample {
        /// Whether it is in the list of positive examples.
        is_positive: bool,
        /// Index of the example in its list, from 0.
        place: usize,
    },
    /// Sets the query settings.
    SetQuery(QuerySettings),
    /// Sets the archive to search as well, or none. The password is kept for this run only.
    SetArchive {
        /// Address of the archive; `None` for no archive.
        url: Option<ArchiveUrl>,
        /// Password as typed by the user.
        password: Option<Password>,
    },
    /// Restricts matches to slides of certain patients.
    SetPatients(Patients),
    /// Reads the patient of each slide from a CSV file with the columns `slide` (or `file`) and `patient`.
    ReadPatients(PathBuf),
    /// Lists the recipes by which slides of this project have been embedded.
    ListRecipes,
    /// Searches with a second recipe as well, or `None` to stop that.
    CompareWith(Option<Recipe>),
    /// Repeats a query of the history; 0 is the newest.
    Recall(usize),
    /// Sets the relevance judgement of a match; `None` removes it.
    Judge {
        /// Index of the match in the answer, from 0.
        rank: usize,
        /// The judgement.
        verdict: Option<Verdict>,
    },
    /// Undoes the last relevance judgement.
    UndoJudgement,
    /// Adds a match, by its index in the answer (from 0), to the chosen ones, or removes it from them.
    ChooseMatch(usize),
    /// Chooses exactly these matches, by their indices in the answer.
    ChooseMatches(Vec<usize>),
    /// Makes the chosen matches annotations of a class.
    ClassifyMatches(Option<AnnotationClass>),
    /// Undoes the last [`Command::ClassifyMatches`].
    UndoClassification,
    /// Writes the matches to the project's reports.
    ExportMatches,
    /// Writes similarity maps for a tile to the project's reports.
    ExportHeatMap {
        /// Tile with which all tiles are compared.
        tile: TilePlace,
        /// Slides for which a map is written.
        on: Vec<SlideId>,
    },
    /// Goes to an example of the query.
    GoToExample {
        /// The example.
        place: TilePlace,
        /// Current view, to return to.
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Clears the query and its answer.
    ClearQuery,
    /// Goes to a match.
    GoToMatch {
        /// Index of the match in the answer; 0 is the best.
        rank: usize,
        /// Current view, to return to.
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Shows a slide of the answer that is not open: opens it if the archive knows its location and that can
    /// be reached, else reports the location.
    ShowArchived(SlideId),
    /// Goes to a tile of an open slide.
    GoToTile {
        /// Slide with the tile.
        slide: SlideId,
        /// Tile in level-0 pixels.
        rect: Level0Rect,
        /// Current view, to return to.
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Evaluates the encoder; an evaluation that is running is stopped.
    Evaluate(Box<ComparisonSettings>),
    /// Stops the running evaluation.
    StopEvaluation,
    /// Writes the report of the last evaluation to the project.
    WriteReport {
        /// Whether patients' names are replaced by codes.
        pseudonymise: bool,
    },
    /// Returns to the view before the last jump.
    Back,
    /// A command that concerns training.
    Train(TrainingCommand),
    /// Dismisses a message, by its ID.
    DismissMessage(u64),
    /// Shows an error of the window itself to the user.
    Report(String),
}
