//! Searching for similar tissue, and judging matches.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, alt, ctrl, ctrl_shift, plain, shift};
use crate::query::Judgement;
use crate::ui::region_tool::RegionShape;

/// An action on the query or its matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SearchAction {
    /// Searches with the tile under the pointer.
    FindSimilar,
    /// Draws a region to search with.
    DrawRegion(RegionShape),
    /// Searches with the selected annotations.
    ByAnnotations,
    /// Ranks slides by similarity to the whole active slide.
    BySlide,
    /// Searches with a picture file.
    ByPictureFile,
    /// Searches with the picture on the clipboard.
    PastePicture,
    /// Loads a list that assigns slides to patients.
    ChoosePatients,
    /// Goes to the next match.
    NextMatch,
    /// Goes to the previous match.
    PreviousMatch,
    /// Shows the query and its matches side by side, or returns to one pane.
    Compare,
    /// Judges whether the visited match is the same tissue.
    Judge(Judgement),
    /// Marks the tissue within the selected annotations.
    MarkAnnotations(Judgement),
    /// Undoes the last relevance judgement or mark.
    UndoJudgement,
    /// Adds the visited match to the chosen ones, or removes it.
    ChooseMatch,
    /// Gives the chosen matches the current annotation class.
    ClassifyMatches,
    /// Undoes the last classification of matches.
    UndoClassification,
    /// Switches between the best matches and those to mark next.
    ToggleSuggestions,
    /// Keeps the query with its marks as a concept.
    SaveConcept,
    /// Shows or hides the concepts of the project.
    ToggleConcepts,
    /// Switches the heat map of the query on or off.
    ToggleQueryHeatMap,
    /// Switches the map of the concepts on or off.
    ToggleClassMap,
    /// Writes the matches to the project's reports.
    ExportMatches,
    /// Shows or hides the query history.
    ToggleHistory,
    /// Switches the heat map under the pointer on or off.
    ToggleHeatMap,
    /// Writes the heat map to files.
    ExportHeatMap,
    /// Sets up the connection to the archive.
    SetUpArchive,
    /// Removes the last point of a path being drawn, or else returns to the view before the last jump.
    Back,
    /// Closes the dialog, cancels the tool, clears the selection, or removes the query, whichever applies
    /// first.
    Clear,
}

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::Search(SearchAction::FindSimilar),
        ICON_CENTER_FOCUS_STRONG,
        "Find similar tissue",
        "Find tiles similar to the one under the pointer, on all slides",
        [plain(Key::S), ctrl(Key::F)]
    ),
    entry!(
        Action::Search(SearchAction::NextMatch),
        ICON_SKIP_NEXT,
        "Next match",
        "Go to the next match in the ranking",
        [plain(Key::N)]
    ),
    entry!(
        Action::Search(SearchAction::PreviousMatch),
        ICON_SKIP_PREVIOUS,
        "Previous match",
        "Go to the previous match in the ranking",
        [shift(Key::N)]
    ),
    entry!(
        Action::Search(SearchAction::ToggleHeatMap),
        ICON_GRADIENT,
        "Similarity heat map",
        "Colour every tile by its similarity to the tile under the pointer",
        [plain(Key::D)]
    ),
    entry!(
        Action::Search(SearchAction::ToggleQueryHeatMap),
        ICON_MAP,
        "Query heat map",
        "Colour every tile by its similarity to the query with its marks",
        [shift(Key::D)]
    ),
    entry!(
        Action::Search(SearchAction::ToggleClassMap),
        ICON_CATEGORY,
        "Class map",
        "Colour every tile by the concept that it belongs to",
        [shift(Key::K)]
    ),
    entry!(
        Action::Search(SearchAction::ExportHeatMap),
        ICON_FILE_EXPORT,
        "Export heat map",
        "Export the heat map of the slides in view to the project's folder “reports”, as a PNG with its position on the slide and \
         as a TIFF pyramid",
        [ctrl(Key::D)]
    ),
    entry!(
        Action::Search(SearchAction::DrawRegion(RegionShape::Rect)),
        ICON_SELECT,
        "Search by rectangle",
        "Draw a rectangle, and find tiles similar to any of its tiles; with Shift or Ctrl at its end, mark them as the same or as \
         different tissue",
        [plain(Key::Q)]
    ),
    entry!(
        Action::Search(SearchAction::DrawRegion(RegionShape::Lasso)),
        ICON_LASSO_SELECT,
        "Search by freehand region",
        "Draw around tissue, and find tiles similar to any of its tiles; with Shift or Ctrl at its end, mark them as the same or as \
         different tissue",
        [shift(Key::Q)]
    ),
    entry!(
        Action::Search(SearchAction::ByAnnotations),
        ICON_FRAME_INSPECT,
        "Search by annotation",
        "Find tiles similar to those within the selected annotations",
        [alt(Key::S)]
    ),
    entry!(
        Action::Search(SearchAction::BySlide),
        ICON_LEADERBOARD,
        "Find similar slides",
        "Rank all slides by their similarity to this whole slide",
        [ctrl_shift(Key::L)]
    ),
    entry!(
        Action::Search(SearchAction::ByPictureFile),
        ICON_IMAGE_SEARCH,
        "Search by image…",
        "Choose an image file, and find tissue similar to the tissue in it",
        [ctrl_shift(Key::F)]
    ),
    entry!(
        Action::Search(SearchAction::PastePicture),
        ICON_CONTENT_PASTE_SEARCH,
        "Search by image on the clipboard",
        "Paste an image, such as a screenshot, and find similar tissue",
        [ctrl(Key::V)]
    ),
    entry!(
        Action::Search(SearchAction::ChoosePatients),
        ICON_CONTACT_PAGE,
        "Load patient list…",
        "Load a CSV file with the columns slide and patient; without it, patients are read from file names",
        []
    ),
    entry!(
        Action::Search(SearchAction::Compare),
        ICON_COMPARE,
        "Compare with query",
        "Show the query and the match side by side, linked in position and zoom",
        [shift(Key::V)]
    ),
    entry!(
        Action::Search(SearchAction::ChooseMatch),
        ICON_CHECK_BOX,
        "Select match",
        "Select the current match, to assign it a class; press again to deselect it",
        [shift(Key::Y)]
    ),
    entry!(
        Action::Search(SearchAction::ClassifyMatches),
        ICON_LABEL,
        "Annotate selected matches",
        "Add an annotation of the current class for each selected match",
        [ctrl(Key::G)]
    ),
    entry!(
        Action::Search(SearchAction::UndoClassification),
        ICON_LABEL_OFF,
        "Undo class assignment",
        "Undo the last assignment of a class to matches, on all slides",
        []
    ),
    entry!(
        Action::Search(SearchAction::Judge(Judgement::Same)),
        ICON_CHECK_CIRCLE,
        "Same tissue",
        "Judge this match to be the same tissue as the query; press again to undo",
        [plain(Key::Y)]
    ),
    entry!(
        Action::Search(SearchAction::Judge(Judgement::Different)),
        ICON_CANCEL,
        "Different tissue",
        "Judge this match to be different tissue from the query; press again to undo",
        [plain(Key::X)]
    ),
    entry!(
        Action::Search(SearchAction::Judge(Judgement::Unsure)),
        ICON_HELP,
        "Unsure",
        "Judge this match as unsure; press again to undo",
        [plain(Key::J)]
    ),
    entry!(
        Action::Search(SearchAction::MarkAnnotations(Judgement::Same)),
        ICON_CHECK_CIRCLE,
        "Mark annotation as same tissue",
        "Mark the tissue within the selected annotations as what the query looks for, and rank matches again",
        [alt(Key::Y)]
    ),
    entry!(
        Action::Search(SearchAction::MarkAnnotations(Judgement::Different)),
        ICON_CANCEL,
        "Mark annotation as different tissue",
        "Mark the tissue within the selected annotations as different from what the query looks for, and rank matches again",
        [alt(Key::X)]
    ),
    entry!(
        Action::Search(SearchAction::UndoJudgement),
        ICON_UNDO,
        "Undo judgement",
        "Undo the last judgement of a match, or the last mark",
        [shift(Key::J)]
    ),
    entry!(
        Action::Search(SearchAction::ToggleSuggestions),
        ICON_TIPS_AND_UPDATES,
        "Suggest what to mark next",
        "Show the tiles that teach most when they are marked, or the best matches again",
        [shift(Key::U)]
    ),
    entry!(
        Action::Search(SearchAction::SaveConcept),
        ICON_BOOKMARK_ADD,
        "Save as concept…",
        "Keep the query with its marks under a name, to find such tissue on all slides",
        [ctrl(Key::B)]
    ),
    entry!(
        Action::Search(SearchAction::ToggleConcepts),
        ICON_BOOKMARKS,
        "Concepts",
        "Show or hide the concepts of this project",
        [shift(Key::B)]
    ),
    entry!(
        Action::Search(SearchAction::ExportMatches),
        ICON_DOWNLOAD,
        "Export matches",
        "Export the matches as CSV, JSON, GeoJSON and contact sheets (PNG, PDF) to the project's folder “reports”",
        [ctrl(Key::E)]
    ),
    entry!(
        Action::Search(SearchAction::ToggleHistory),
        ICON_HISTORY,
        "Query history",
        "Show or hide earlier queries of this project, to repeat one",
        []
    ),
    entry!(
        Action::Search(SearchAction::SetUpArchive),
        ICON_DNS,
        "Set up archive…",
        "Connect to the department archive, to search it as well",
        [ctrl_shift(Key::A)]
    ),
    entry!(
        Action::Search(SearchAction::Back),
        ICON_ARROW_BACK,
        "Back",
        "Return to the view before the last jump",
        [alt(Key::ArrowLeft)]
    ),
    entry!(
        Action::Search(SearchAction::Clear),
        ICON_CLOSE,
        "Clear query",
        "Remove the query and its matches",
        [plain(Key::Escape)]
    ),
];
