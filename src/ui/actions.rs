//! Every action of the window: one table, from which menu, command palette, help sheet, tooltips and
//! shortcuts are made.

use egui::{Context, Key, KeyboardShortcut, Modifiers};
use egui_material_icons::{MaterialIcon, icons};

use super::panes::Split;
use super::region_tool::RegionShape;
use super::slide_view::Tool;
use crate::query::Verdict;

/// Something the user can do by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    OpenFiles,
    OpenFolder,
    OpenPath,
    OpenRecent,
    NextSlide,
    PreviousSlide,
    SlideProperties,
    Calibrate,
    Quit,
    Fit,
    ZoomIn,
    ZoomOut,
    /// A magnification such as 10×.
    Power(f64),
    /// One slide pixel on each screen pixel.
    Pixels,
    Look(i8, i8),
    /// Turn the slide by so many degrees clockwise.
    Turn(i16),
    MirrorLeftRight,
    MirrorTopBottom,
    Upright,
    Appearance,
    NextColouring,
    OwnColours,
    /// Divide the canvas into panes.
    Split(Split),
    LinkPanes,
    /// Take up an annotation tool.
    Tool(Tool),
    Undo,
    Redo,
    DeleteAnnotations,
    /// Larger or smaller.
    ResizeBrush(bool),
    ImportAnnotations,
    ExportAnnotations,
    ExportAnnotationsPath,
    ToggleAnnotations,
    ToggleTrail,
    ClearTrail,
    SaveView,
    /// Choose by the system's dialog where the view is saved.
    ChoosePicture,
    CopyView,
    FindSimilar,
    NextMatch,
    PreviousMatch,
    ToggleHeatMap,
    /// Draw the region of a question.
    SelectRegion(RegionShape),
    /// Say whether the match that was gone to is the same tissue.
    Judge(Verdict),
    UndoJudgement,
    ExportMatches,
    ToggleHistory,
    Back,
    ClearQuery,
    PauseOrResume,
    StopEmbedding,
    ToggleTraining,
    ToggleSlides,
    ToggleMatches,
    ToggleTissue,
    ToggleMarks,
    ToggleReport,
    WriteReport,
    ToggleTheme,
    TextLarger,
    TextSmaller,
    TextUsual,
    Palette,
    Help,
}

/// Where an action stands in menu and help sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Slides,
    View,
    Annotations,
    Similarity,
    Embedding,
    Window,
}

impl Group {
    pub const ALL: [Self; 6] =
        [Self::Slides, Self::View, Self::Annotations, Self::Similarity, Self::Embedding, Self::Window];

    pub fn name(self) -> &'static str {
        match self {
            Self::Slides => "Slides",
            Self::View => "View",
            Self::Annotations => "Annotations",
            Self::Similarity => "Similar tissue",
            Self::Embedding => "Embedding",
            Self::Window => "Window",
        }
    }
}

/// One line of the table.
pub struct Entry {
    pub action: Action,
    pub group: Group,
    pub icon: MaterialIcon,
    pub name: &'static str,
    pub tooltip: &'static str,
    /// The first one is shown.
    pub shortcuts: &'static [KeyboardShortcut],
}

const fn plain(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const fn ctrl(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

const fn shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::SHIFT, key)
}

const fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

macro_rules! entry {
    ($action:expr, $group:ident, $icon:ident, $name:literal, $tooltip:literal, [$($shortcut:expr),*]) => {
        Entry {
            action: $action,
            group: Group::$group,
            icon: icons::$icon,
            name: $name,
            tooltip: $tooltip,
            shortcuts: &[$($shortcut),*],
        }
    };
}

/// The table, in the order of menu and help sheet.
pub static TABLE: &[Entry] = &[
    entry!(
        Action::OpenFiles,
        Slides,
        ICON_FILE_OPEN,
        "Open slides…",
        "Choose slides or images to open",
        [ctrl(Key::O)]
    ),
    entry!(
        Action::OpenFolder,
        Slides,
        ICON_FOLDER_OPEN,
        "Open folder…",
        "Open all slides of a folder, or a project",
        [KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::O)]
    ),
    entry!(
        Action::OpenPath,
        Slides,
        ICON_KEYBOARD,
        "Open path…",
        "Type or paste the path of a slide, a folder or a project",
        [ctrl(Key::P)]
    ),
    entry!(
        Action::OpenRecent,
        Slides,
        ICON_HISTORY,
        "Open recent…",
        "Choose among the slides, folders and projects opened before",
        [ctrl(Key::R)]
    ),
    entry!(
        Action::NextSlide,
        Slides,
        ICON_ARROW_DOWNWARD,
        "Next slide",
        "Show the next slide of the list",
        [plain(Key::PageDown)]
    ),
    entry!(
        Action::PreviousSlide,
        Slides,
        ICON_ARROW_UPWARD,
        "Previous slide",
        "Show the previous slide of the list",
        [plain(Key::PageUp)]
    ),
    entry!(
        Action::SlideProperties,
        Slides,
        ICON_INFO,
        "Slide properties",
        "All that the file says of itself",
        [plain(Key::I)]
    ),
    entry!(
        Action::Calibrate,
        Slides,
        ICON_STRAIGHTEN,
        "Set pixel size…",
        "State how many µm one pixel of this slide spans",
        [plain(Key::M)]
    ),
    entry!(
        Action::Quit,
        Slides,
        ICON_LOGOUT,
        "Quit",
        "Close the window; embedded tiles are kept",
        [ctrl(Key::Q)]
    ),
    entry!(
        Action::Fit,
        View,
        ICON_FIT_SCREEN,
        "Whole slide",
        "Fit the whole slide into the view",
        [plain(Key::Num0)]
    ),
    entry!(
        Action::Power(1.25),
        View,
        ICON_ZOOM_IN,
        "Magnification 1.25×",
        "8 µm on a screen pixel",
        [plain(Key::Num1)]
    ),
    entry!(
        Action::Power(2.5),
        View,
        ICON_ZOOM_IN,
        "Magnification 2.5×",
        "4 µm on a screen pixel",
        [plain(Key::Num2)]
    ),
    entry!(
        Action::Power(5.0),
        View,
        ICON_ZOOM_IN,
        "Magnification 5×",
        "2 µm on a screen pixel",
        [plain(Key::Num3)]
    ),
    entry!(
        Action::Power(10.0),
        View,
        ICON_ZOOM_IN,
        "Magnification 10×",
        "1 µm on a screen pixel",
        [plain(Key::Num4)]
    ),
    entry!(
        Action::Power(20.0),
        View,
        ICON_ZOOM_IN,
        "Magnification 20×",
        "0.5 µm on a screen pixel",
        [plain(Key::Num5)]
    ),
    entry!(
        Action::Power(40.0),
        View,
        ICON_ZOOM_IN,
        "Magnification 40×",
        "0.25 µm on a screen pixel",
        [plain(Key::Num6)]
    ),
    entry!(
        Action::Pixels,
        View,
        ICON_GRID_ON,
        "Slide pixels 1:1",
        "One slide pixel on each screen pixel",
        [plain(Key::Num7)]
    ),
    entry!(
        Action::ZoomIn,
        View,
        ICON_ADD,
        "Zoom in",
        "Twice as large",
        [plain(Key::Plus), plain(Key::Equals)]
    ),
    entry!(Action::ZoomOut, View, ICON_REMOVE, "Zoom out", "Half as large", [plain(Key::Minus)]),
    entry!(
        Action::Look(-1, 0),
        View,
        ICON_ARROW_BACK,
        "Look left",
        "Move the view to the left",
        [plain(Key::ArrowLeft)]
    ),
    entry!(
        Action::Look(1, 0),
        View,
        ICON_ARROW_FORWARD,
        "Look right",
        "Move the view to the right",
        [plain(Key::ArrowRight)]
    ),
    entry!(
        Action::Look(0, -1),
        View,
        ICON_ARROW_UPWARD,
        "Look up",
        "Move the view up",
        [plain(Key::ArrowUp)]
    ),
    entry!(
        Action::Look(0, 1),
        View,
        ICON_ARROW_DOWNWARD,
        "Look down",
        "Move the view down",
        [plain(Key::ArrowDown)]
    ),
    entry!(
        Action::Turn(90),
        View,
        ICON_ROTATE_90_DEGREES_CW,
        "Turn right",
        "Turn the slide clockwise by 90°; Alt and drag or wheel turn it freely",
        [plain(Key::R)]
    ),
    entry!(
        Action::Turn(-90),
        View,
        ICON_ROTATE_90_DEGREES_CCW,
        "Turn left",
        "Turn the slide anticlockwise by 90°; Alt and drag or wheel turn it freely",
        [shift(Key::R)]
    ),
    entry!(
        Action::Turn(15),
        View,
        ICON_ROTATE_RIGHT,
        "Turn right by 15°",
        "Turn the slide clockwise a little",
        [plain(Key::Period)]
    ),
    entry!(
        Action::Turn(-15),
        View,
        ICON_ROTATE_LEFT,
        "Turn left by 15°",
        "Turn the slide anticlockwise a little",
        [plain(Key::Comma)]
    ),
    entry!(
        Action::MirrorLeftRight,
        View,
        ICON_FLIP,
        "Mirror left to right",
        "Flip the slide as it is on the screen, left to right",
        [plain(Key::F)]
    ),
    entry!(
        Action::MirrorTopBottom,
        View,
        ICON_FLIP,
        "Mirror top to bottom",
        "Flip the slide as it is on the screen, top to bottom",
        [shift(Key::F)]
    ),
    entry!(Action::Upright, View, ICON_EXPLORE, "Upright", "Undo all turning and mirroring", [plain(Key::U)]),
    entry!(
        Action::Appearance,
        View,
        ICON_TUNE,
        "Appearance…",
        "Brightness, contrast, gamma, stains, and how pixels are magnified",
        [plain(Key::B)]
    ),
    entry!(
        Action::NextColouring,
        View,
        ICON_COLORIZE,
        "Next colouring",
        "Own colours, haematoxylin only, eosin only, normalised",
        [plain(Key::C)]
    ),
    entry!(
        Action::OwnColours,
        View,
        ICON_FORMAT_COLOR_RESET,
        "Own colours",
        "Show the slide's own pixels again",
        [shift(Key::C)]
    ),
    entry!(
        Action::Split(Split::ALL[0]),
        View,
        ICON_CROP_SQUARE,
        "One pane",
        "Show one slide in the whole canvas",
        [ctrl(Key::Num1)]
    ),
    entry!(
        Action::Split(Split::ALL[1]),
        View,
        ICON_SPLITSCREEN_RIGHT,
        "Two panes",
        "Show two slides side by side; click a pane, then a slide of the list",
        [ctrl(Key::Num2)]
    ),
    entry!(
        Action::Split(Split::ALL[2]),
        View,
        ICON_GRID_VIEW,
        "Four panes",
        "Show four slides; click a pane, then a slide of the list",
        [ctrl(Key::Num3)]
    ),
    entry!(
        Action::Split(Split::ALL[3]),
        View,
        ICON_APPS,
        "Nine panes",
        "Show nine slides; click a pane, then a slide of the list",
        [ctrl(Key::Num4)]
    ),
    entry!(
        Action::LinkPanes,
        View,
        ICON_LINK,
        "Link panes",
        "Move, zoom, turn and mirror all panes together",
        [plain(Key::L)]
    ),
    entry!(
        Action::ToggleTrail,
        View,
        ICON_FOOTPRINT,
        "Trail",
        "Show on the overview where you have looked, and how closely",
        [shift(Key::T)]
    ),
    entry!(
        Action::ClearTrail,
        View,
        ICON_LAYERS_CLEAR,
        "Clear the trail",
        "Forget where you have looked on the slides in view",
        []
    ),
    entry!(
        Action::SaveView,
        View,
        ICON_SAVE,
        "Save view…",
        "Save what is in view as a PNG, JPEG or TIFF picture",
        [ctrl(Key::S)]
    ),
    entry!(
        Action::CopyView,
        View,
        ICON_CONTENT_COPY,
        "Copy view",
        "Copy what is in view to the clipboard, with a scale bar",
        [ctrl(Key::C)]
    ),
    entry!(
        Action::ToggleTissue,
        View,
        ICON_TEXTURE,
        "Tissue mask",
        "Shade what is not counted as tissue",
        [plain(Key::T)]
    ),
    entry!(
        Action::ToggleMarks,
        View,
        ICON_HIGHLIGHT,
        "Highlights",
        "Show or hide highlighted matches and annotations",
        [plain(Key::H)]
    ),
    entry!(
        Action::Tool(Tool::Hand),
        Annotations,
        ICON_PAN_TOOL,
        "Hand",
        "Move the slide, and click for similar tissue; a click on an outline selects it",
        []
    ),
    entry!(
        Action::Tool(Tool::Select),
        Annotations,
        ICON_ARROW_SELECTOR_TOOL,
        "Select and move",
        "Select annotations, move them and their corners; double-click an outline for a new corner, Ctrl and click takes one off",
        [plain(Key::V)]
    ),
    entry!(
        Action::Tool(Tool::Point),
        Annotations,
        ICON_ADJUST,
        "Point",
        "Mark single places",
        [plain(Key::K)]
    ),
    entry!(
        Action::Tool(Tool::Rectangle),
        Annotations,
        ICON_RECTANGLE,
        "Rectangle",
        "Drag from corner to corner",
        [plain(Key::Z)]
    ),
    entry!(
        Action::Tool(Tool::Ellipse),
        Annotations,
        ICON_CIRCLE,
        "Ellipse",
        "Drag from corner to corner",
        [plain(Key::O)]
    ),
    entry!(
        Action::Tool(Tool::Polygon),
        Annotations,
        ICON_PENTAGON,
        "Polygon",
        "Click corner by corner and double-click to finish, or draw around with the button held",
        [plain(Key::G)]
    ),
    entry!(
        Action::Tool(Tool::Brush),
        Annotations,
        ICON_BRUSH,
        "Brush",
        "Paint an area, or add to the selected one that it touches; [ and ] change its size",
        [plain(Key::W)]
    ),
    entry!(
        Action::Tool(Tool::Eraser),
        Annotations,
        ICON_INK_ERASER,
        "Eraser",
        "Take off the selected areas, or off all that it touches; [ and ] change its size",
        [plain(Key::E)]
    ),
    entry!(
        Action::Tool(Tool::Distance),
        Annotations,
        ICON_STRAIGHTEN,
        "Measure distance",
        "Drag from end to end, or click point by point and double-click to finish",
        [shift(Key::A)]
    ),
    entry!(
        Action::Tool(Tool::Area),
        Annotations,
        ICON_SQUARE_FOOT,
        "Measure area",
        "Click corner by corner and double-click to finish, or draw around with the button held",
        [plain(Key::A)]
    ),
    entry!(
        Action::Undo,
        Annotations,
        ICON_UNDO,
        "Undo",
        "Take back the last change of the annotations",
        [ctrl(Key::Z)]
    ),
    entry!(
        Action::Redo,
        Annotations,
        ICON_REDO,
        "Redo",
        "Do again what was taken back",
        [KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z), ctrl(Key::Y)]
    ),
    entry!(
        Action::DeleteAnnotations,
        Annotations,
        ICON_DELETE,
        "Delete annotations",
        "Delete the selected annotations that are not locked",
        [plain(Key::Delete)]
    ),
    entry!(
        Action::ResizeBrush(false),
        Annotations,
        ICON_REMOVE,
        "Smaller brush",
        "Make brush and eraser smaller",
        [plain(Key::OpenBracket)]
    ),
    entry!(
        Action::ResizeBrush(true),
        Annotations,
        ICON_ADD,
        "Larger brush",
        "Make brush and eraser larger",
        [plain(Key::CloseBracket)]
    ),
    entry!(
        Action::ImportAnnotations,
        Annotations,
        ICON_DOWNLOAD,
        "Import annotations…",
        "Add the annotations of a QuPath GeoJSON or an ASAP XML file; files can also be dropped on the slide",
        [ctrl(Key::I)]
    ),
    entry!(
        Action::ExportAnnotations,
        Annotations,
        ICON_UPLOAD,
        "Export annotations…",
        "Write all annotations of this slide for QuPath (.geojson) or ASAP (.xml)",
        [KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::X)]
    ),
    entry!(
        Action::ExportAnnotationsPath,
        Annotations,
        ICON_KEYBOARD,
        "Export annotations to path…",
        "Type the path of the .geojson or .xml file to write",
        [KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::ALT), Key::E)]
    ),
    entry!(
        Action::ToggleAnnotations,
        Window,
        ICON_FORMAT_LIST_BULLETED,
        "Annotation list",
        "Show or hide the list of annotations",
        [plain(Key::F5)]
    ),
    entry!(
        Action::FindSimilar,
        Similarity,
        ICON_CENTER_FOCUS_STRONG,
        "Find similar tissue",
        "Find tiles like the one under the cursor, on all slides",
        [plain(Key::S)]
    ),
    entry!(
        Action::NextMatch,
        Similarity,
        ICON_SKIP_NEXT,
        "Next match",
        "Go to the next match of the ranking",
        [plain(Key::N)]
    ),
    entry!(
        Action::PreviousMatch,
        Similarity,
        ICON_SKIP_PREVIOUS,
        "Previous match",
        "Go to the match before",
        [KeyboardShortcut::new(Modifiers::SHIFT, Key::N)]
    ),
    entry!(
        Action::ToggleHeatMap,
        Similarity,
        ICON_GRADIENT,
        "Heat map under the cursor",
        "Colour every tile by how like the tile under the cursor it is, wherever the cursor goes",
        [plain(Key::D)]
    ),
    entry!(
        Action::SelectRegion(RegionShape::Rect),
        Similarity,
        ICON_SELECT,
        "Find tissue like a rectangle's",
        "Draw a rectangle; matches are like any of its tiles",
        [plain(Key::Q)]
    ),
    entry!(
        Action::SelectRegion(RegionShape::Lasso),
        Similarity,
        ICON_LASSO_SELECT,
        "Find tissue like a region's",
        "Draw around tissue; matches are like any of its tiles",
        [KeyboardShortcut::new(Modifiers::SHIFT, Key::Q)]
    ),
    entry!(
        Action::Judge(Verdict::Same),
        Similarity,
        ICON_CHECK_CIRCLE,
        "Same tissue",
        "Mark this match as the same tissue as the query's; again takes it back",
        [plain(Key::Y)]
    ),
    entry!(
        Action::Judge(Verdict::Different),
        Similarity,
        ICON_CANCEL,
        "Different tissue",
        "Mark this match as different from the query's tissue; again takes it back",
        [plain(Key::X)]
    ),
    entry!(
        Action::Judge(Verdict::Unsure),
        Similarity,
        ICON_HELP,
        "Unsure",
        "Mark this match as one that cannot be told; again takes it back",
        [plain(Key::J)]
    ),
    entry!(
        Action::UndoJudgement,
        Similarity,
        ICON_UNDO,
        "Take the last mark back",
        "What was said last of a match is as it was before",
        [KeyboardShortcut::new(Modifiers::SHIFT, Key::J)]
    ),
    entry!(
        Action::ExportMatches,
        Similarity,
        ICON_DOWNLOAD,
        "Export matches",
        "Write matches as CSV, JSON, GeoJSON and a sheet of pictures into the project's reports",
        [ctrl(Key::E)]
    ),
    entry!(
        Action::ToggleHistory,
        Similarity,
        ICON_HISTORY,
        "Queries asked before",
        "Show or hide the questions of this project, to ask one again",
        []
    ),
    entry!(
        Action::Back,
        Similarity,
        ICON_UNDO,
        "Back",
        "Return to where the view was before the last jump",
        [plain(Key::Backspace), KeyboardShortcut::new(Modifiers::ALT, Key::ArrowLeft)]
    ),
    entry!(
        Action::ClearQuery,
        Similarity,
        ICON_CLOSE,
        "Clear the query",
        "Forget the query and its matches",
        [plain(Key::Escape)]
    ),
    entry!(
        Action::PauseOrResume,
        Embedding,
        ICON_PAUSE,
        "Pause or resume embedding",
        "Give all power to viewing, or go on embedding",
        [plain(Key::P)]
    ),
    entry!(
        Action::StopEmbedding,
        Embedding,
        ICON_STOP,
        "Stop embedding",
        "Stop; what is done is kept, and resuming goes on from there",
        []
    ),
    entry!(
        Action::ToggleTraining,
        Embedding,
        ICON_MODEL_TRAINING,
        "Training",
        "Teach an encoder on your own slides, and choose among those that were taught",
        [plain(Key::F6)]
    ),
    entry!(
        Action::ToggleSlides,
        Window,
        ICON_LEFT_PANEL_OPEN,
        "Slide list",
        "Show or hide the list of slides",
        [plain(Key::F2)]
    ),
    entry!(
        Action::ToggleMatches,
        Window,
        ICON_RIGHT_PANEL_OPEN,
        "Match list",
        "Show or hide the list of matches",
        [plain(Key::F3)]
    ),
    entry!(
        Action::ToggleReport,
        Window,
        ICON_ANALYTICS,
        "Report",
        "How good the encoder is on your slides: ADDR, retrieval, classes, map",
        [plain(Key::F7)]
    ),
    entry!(
        Action::WriteReport,
        Window,
        ICON_SAVE,
        "Write the report",
        "Write what was measured as a page and tables into the project's folder “reports”",
        [ctrl_shift(Key::E)]
    ),
    entry!(
        Action::ToggleTheme,
        Window,
        ICON_CONTRAST,
        "Dark or light",
        "Change between the dark and the light theme",
        [plain(Key::F4)]
    ),
    entry!(
        Action::TextLarger,
        Window,
        ICON_TEXT_INCREASE,
        "Larger text",
        "Make text and controls larger",
        [ctrl(Key::Plus), ctrl(Key::Equals)]
    ),
    entry!(
        Action::TextSmaller,
        Window,
        ICON_TEXT_DECREASE,
        "Smaller text",
        "Make text and controls smaller",
        [ctrl(Key::Minus)]
    ),
    entry!(
        Action::TextUsual,
        Window,
        ICON_FORMAT_SIZE,
        "Usual text size",
        "Text and controls as large as the system has them",
        [ctrl(Key::Num0)]
    ),
    entry!(
        Action::Palette,
        Window,
        ICON_SEARCH,
        "Search actions…",
        "Find an action by its name",
        [ctrl(Key::K), ctrl(Key::L)]
    ),
    entry!(Action::Help, Window, ICON_HELP, "Help", "All actions and their keys", [plain(Key::F1)]),
];

/// The line of an action.
pub fn entry(action: Action) -> &'static Entry {
    TABLE.iter().find(|entry| entry.action == action).unwrap_or(&TABLE[TABLE.len() - 1])
}

impl Entry {
    /// The shortcut as the keyboard of this system writes it, if there is one.
    pub fn shortcut_label(&self, ctx: &Context) -> Option<String> {
        self.shortcuts.first().map(|shortcut| ctx.format_shortcut(shortcut))
    }

    /// Tooltip with shortcut.
    pub fn hint(&self, ctx: &Context) -> String {
        match self.shortcut_label(ctx) {
            Some(shortcut) => format!("{} ({shortcut})", self.tooltip),
            None => self.tooltip.to_owned(),
        }
    }
}

/// The actions whose shortcuts were pressed since the last frame. While text is being typed, only those
/// with Ctrl or a function key count.
pub fn pressed(ctx: &Context) -> Vec<Action> {
    let typing = ctx.egui_wants_keyboard_input();
    // The ones with more modifiers are looked for first, so that Ctrl+Shift+O is not taken for Ctrl+O.
    let mut shortcuts: Vec<(&KeyboardShortcut, Action)> = TABLE
        .iter()
        .flat_map(|entry| entry.shortcuts.iter().map(|shortcut| (shortcut, entry.action)))
        .filter(|(shortcut, _)| {
            !typing || shortcut.modifiers.command || is_function_key(shortcut.logical_key)
        })
        .collect();
    let modifiers = |shortcut: &KeyboardShortcut| {
        let Modifiers { alt, ctrl, shift, command, .. } = shortcut.modifiers;
        [alt, ctrl, shift, command].into_iter().filter(|held| *held).count()
    };
    shortcuts.sort_by_key(|(shortcut, _)| std::cmp::Reverse(modifiers(shortcut)));
    ctx.input_mut(|input| {
        shortcuts
            .into_iter()
            .filter(|(shortcut, _)| input.consume_shortcut(shortcut))
            .map(|(_, action)| action)
            .collect()
    })
}

fn is_function_key(key: Key) -> bool {
    matches!(key, Key::F1 | Key::F2 | Key::F3 | Key::F4 | Key::F5 | Key::F6 | Key::F7)
}

/// Actions whose name or tooltip holds every word of `search`, the best first.
pub fn matching(search: &str) -> Vec<&'static Entry> {
    let words: Vec<String> = search.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let mut found: Vec<(bool, &Entry)> = TABLE
        .iter()
        .filter_map(|entry| {
            let name = entry.name.to_lowercase();
            let all = format!("{name} {}", entry.tooltip.to_lowercase());
            let by_name = words.iter().all(|word| name.contains(word));
            words.iter().all(|word| all.contains(word)).then_some((!by_name, entry))
        })
        .collect();
    found.sort_by_key(|(worse, _)| *worse);
    found.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_shortcuts_are_unique() {
        let names: HashSet<_> = TABLE.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), TABLE.len());
        let shortcuts: Vec<_> = TABLE.iter().flat_map(|entry| entry.shortcuts).collect();
        let unique: HashSet<_> = shortcuts.iter().map(|shortcut| format!("{shortcut:?}")).collect();
        assert_eq!(unique.len(), shortcuts.len());
        assert!(TABLE.iter().all(|entry| !entry.tooltip.is_empty()));
    }

    #[test]
    fn the_palette_finds_by_words_of_name_or_tooltip() {
        assert_eq!(matching("whole")[0].action, Action::Fit);
        assert_eq!(matching("magn 10")[0].action, Action::Power(10.0));
        assert!(matching("no such thing").is_empty());
        assert_eq!(matching("").len(), TABLE.len());
    }
}
