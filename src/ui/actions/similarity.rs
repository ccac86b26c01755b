//! Asking for similar tissue, and judging what was found.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, alt, ctrl, ctrl_shift, plain, shift};
use crate::query::Verdict;
use crate::ui::region_tool::RegionShape;

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::FindSimilar,
        ICON_CENTER_FOCUS_STRONG,
        "Find similar tissue",
        "Find tiles like the one under the cursor, on all slides",
        [plain(Key::S)]
    ),
    entry!(
        Action::NextMatch,
        ICON_SKIP_NEXT,
        "Next match",
        "Go to the next match of the ranking",
        [plain(Key::N)]
    ),
    entry!(
        Action::PreviousMatch,
        ICON_SKIP_PREVIOUS,
        "Previous match",
        "Go to the match before",
        [shift(Key::N)]
    ),
    entry!(
        Action::ToggleHeatMap,
        ICON_GRADIENT,
        "Heat map under the cursor",
        "Colour every tile by how like the tile under the cursor it is, wherever the cursor goes",
        [plain(Key::D)]
    ),
    entry!(
        Action::ExportHeatMap,
        ICON_FILE_EXPORT,
        "Export the heat map",
        "Write the heat map of the slides in view into the project's reports: as PNG with its place on the slide, and as \
         TIFF pyramid",
        [ctrl(Key::D)]
    ),
    entry!(
        Action::SelectRegion(RegionShape::Rect),
        ICON_SELECT,
        "Find tissue like a rectangle's",
        "Draw a rectangle; matches are like any of its tiles",
        [plain(Key::Q)]
    ),
    entry!(
        Action::SelectRegion(RegionShape::Lasso),
        ICON_LASSO_SELECT,
        "Find tissue like a region's",
        "Draw around tissue; matches are like any of its tiles",
        [shift(Key::Q)]
    ),
    entry!(
        Action::QueryAnnotations,
        ICON_FRAME_INSPECT,
        "Find tissue like the annotation's",
        "Look for tiles like those within the selected annotations",
        [shift(Key::S)]
    ),
    entry!(
        Action::QuerySlide,
        ICON_LEADERBOARD,
        "Rank slides by likeness to this one",
        "Which slides hold the most tissue like that of this whole slide",
        [ctrl_shift(Key::L)]
    ),
    entry!(
        Action::ChooseQueryPicture,
        ICON_IMAGE_SEARCH,
        "Find tissue like a picture's…",
        "Choose a picture; matches are like the tissue in it",
        [ctrl_shift(Key::F)]
    ),
    entry!(
        Action::PasteQuery,
        ICON_CONTENT_PASTE_SEARCH,
        "Find tissue like the clipboard's picture",
        "Paste a picture as the question, such as a part of a screen",
        [ctrl(Key::V)]
    ),
    entry!(
        Action::ChoosePatients,
        ICON_CONTACT_PAGE,
        "Patients from a list…",
        "Choose a CSV file with the columns slide and patient; otherwise file names tell",
        []
    ),
    entry!(
        Action::CompareWithQuery,
        ICON_COMPARE,
        "Side by side with the query",
        "Show query and match next to each other, locked in position and zoom; N goes on to the next match",
        [shift(Key::V)]
    ),
    entry!(
        Action::ChooseMatch,
        ICON_CHECK_BOX,
        "Choose this match",
        "Choose the match that was gone to, to be given a class; again leaves it out",
        [shift(Key::Y)]
    ),
    entry!(
        Action::ClassifyMatches,
        ICON_LABEL,
        "Chosen matches become annotations",
        "Each chosen match becomes a rectangle of the class that is drawn with now",
        [ctrl(Key::G)]
    ),
    entry!(
        Action::UndoClassification,
        ICON_LABEL_OFF,
        "Take the last classes back",
        "Take back the last classes that matches were given, on all slides",
        []
    ),
    entry!(
        Action::Judge(Verdict::Same),
        ICON_CHECK_CIRCLE,
        "Same tissue",
        "Mark this match as the same tissue as the query's; again takes it back",
        [plain(Key::Y)]
    ),
    entry!(
        Action::Judge(Verdict::Different),
        ICON_CANCEL,
        "Different tissue",
        "Mark this match as different from the query's tissue; again takes it back",
        [plain(Key::X)]
    ),
    entry!(
        Action::Judge(Verdict::Unsure),
        ICON_HELP,
        "Unsure",
        "Mark this match as one that cannot be told; again takes it back",
        [plain(Key::J)]
    ),
    entry!(
        Action::UndoJudgement,
        ICON_UNDO,
        "Take the last mark back",
        "What was said last of a match is as it was before",
        [shift(Key::J)]
    ),
    entry!(
        Action::ExportMatches,
        ICON_DOWNLOAD,
        "Export matches",
        "Write matches as CSV, JSON, GeoJSON and sheets of pictures (PNG, PDF) into the project's reports",
        [ctrl(Key::E)]
    ),
    entry!(
        Action::ToggleHistory,
        ICON_HISTORY,
        "Queries asked before",
        "Show or hide the questions of this project, to ask one again",
        []
    ),
    entry!(
        Action::SetUpArchive,
        ICON_DNS,
        "Department's archive…",
        "Say where the department's archive is, so that questions are put to it, too",
        [ctrl_shift(Key::A)]
    ),
    entry!(
        Action::Back,
        ICON_ARROW_BACK,
        "Back",
        "Return to where the view was before the last jump",
        [plain(Key::Backspace), alt(Key::ArrowLeft)]
    ),
    entry!(
        Action::ClearQuery,
        ICON_CLOSE,
        "Clear the query",
        "Forget the query and its matches",
        [plain(Key::Escape)]
    ),
];
