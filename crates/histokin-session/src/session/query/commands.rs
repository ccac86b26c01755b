//! Commands on the query and on its matches.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::PictureQuery;
use histokin_core::annotation::AnnotationClass;
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::{Level0Point, Level0Rect};
use histokin_core::query::{Judgement, Patients, QuerySettings, Region, TilePosition};
use histokin_core::slide::SlideId;

/// A command that makes or changes a query.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryCommand {
    /// Searches for tiles like the one under `point`.
    At {
        /// Slide with the example.
        slide: SlideId,
        /// Point within the example tile, in level-0 pixels.
        point: Level0Point,
    },
    /// Searches for tiles like those whose centre lies in a region.
    Region {
        /// Slide with the region.
        slide: SlideId,
        /// Region whose tiles are the examples.
        region: Region,
    },
    /// Searches for tiles like any of these; of a large number, an even sample is used.
    Tiles(Vec<TilePosition>),
    /// Searches for tissue like that of annotations of a slide.
    Annotations {
        /// Slide with the annotations.
        slide: SlideId,
        /// Annotations that are the examples.
        ids: Vec<Uuid>,
    },
    /// Searches for tissue like that of all annotations of this class, on all slides.
    Class(String),
    /// Ranks the other slides by how much of their tissue is similar to that of this one.
    Slide(SlideId),
    /// Searches for tissue like that of a picture.
    Picture(PictureQuery),
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
        index: usize,
    },
    /// Marks tissue as the same as what is looked for, or as different, and ranks matches again. Without a query, tissue
    /// that is the same begins one.
    Mark {
        /// The tissue.
        tissue: MarkedTissue,
        /// What it is.
        judgement: Judgement,
    },
    /// Removes a mark, by its index in the list of marks.
    RemoveMark(usize),
    /// Goes to an example of the query.
    GoToExample {
        /// The example.
        position: TilePosition,
        /// Current view, to return to.
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Sets the query settings.
    SetSettings(QuerySettings),
    /// Restricts matches to slides of certain patients.
    SetPatients(Patients),
    /// Reads the patient of each slide from a CSV file with the columns `slide` (or `file`) and `patient`.
    ReadPatients(PathBuf),
    /// Lists the recipes by which slides of this project have been embedded.
    ListRecipes,
    /// Searches with a second recipe as well, or `None` to stop that.
    CompareWith(Option<Recipe>),
    /// Repeats a query of the history; 0 is the newest.
    Repeat(usize),
    /// Clears the query and its answer.
    Clear,
}

/// Tissue to mark that is no match of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum MarkedTissue {
    /// Tiles; of a large number, an even sample is used.
    Tiles(Vec<TilePosition>),
    /// The tiles whose centre lies in a region.
    Region {
        /// Slide with the region.
        slide: SlideId,
        /// The region.
        region: Region,
    },
    /// The tiles within annotations of a slide.
    Annotations {
        /// Slide with the annotations.
        slide: SlideId,
        /// The annotations.
        ids: Vec<Uuid>,
    },
}

/// What all tiles are compared with in a heat map.
#[derive(Debug, Clone, PartialEq)]
pub enum HeatReference {
    /// A tile.
    Tile(TilePosition),
    /// A point in descriptor space: the direction of a taught query or a concept.
    Point(Arc<[f32]>),
}

/// A command on the matches of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum MatchCommand {
    /// Goes to a match.
    GoTo {
        /// Index of the match in the answer; 0 is the best.
        rank: usize,
        /// Current view, to return to.
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Sets the relevance judgement of a match; `None` removes it. Unless the nearest example ranks, the match becomes a
    /// mark, by which the query is answered again.
    Judge {
        /// Index of the match in the answer, from 0.
        rank: usize,
        /// The judgement.
        judgement: Option<Judgement>,
    },
    /// Undoes the last relevance judgement with the mark that it made, or the last [`QueryCommand::Mark`].
    UndoJudgement,
    /// Adds a match, by its index in the answer (from 0), to the chosen ones, or removes it from them.
    Choose(usize),
    /// Chooses exactly these matches, by their indices in the answer.
    ChooseExactly(Vec<usize>),
    /// Makes the chosen matches annotations of a class.
    Classify(Option<AnnotationClass>),
    /// Undoes the last [`MatchCommand::Classify`].
    UndoClassification,
    /// Writes the matches to the project's reports.
    Export,
    /// Writes similarity maps to the project's reports.
    ExportHeatMap {
        /// What all tiles are compared with.
        reference: HeatReference,
        /// Slides for which a map is written.
        on: Vec<SlideId>,
    },
}
