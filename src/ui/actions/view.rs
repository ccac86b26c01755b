//! Moving over a slide, and how it is shown.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, ctrl, ctrl_shift, plain, shift};
use crate::ui::panes::Split;

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::Fit,
        ICON_FIT_SCREEN,
        "Whole slide",
        "Fit the whole slide into the view",
        [plain(Key::Num0)]
    ),
    entry!(
        Action::Power(1.25),
        ICON_ZOOM_IN,
        "Magnification 1.25×",
        "8 µm per screen pixel",
        [plain(Key::Num1)]
    ),
    entry!(
        Action::Power(2.5),
        ICON_ZOOM_IN,
        "Magnification 2.5×",
        "4 µm per screen pixel",
        [plain(Key::Num2)]
    ),
    entry!(Action::Power(5.0), ICON_ZOOM_IN, "Magnification 5×", "2 µm per screen pixel", [plain(Key::Num3)]),
    entry!(
        Action::Power(10.0),
        ICON_ZOOM_IN,
        "Magnification 10×",
        "1 µm per screen pixel",
        [plain(Key::Num4)]
    ),
    entry!(
        Action::Power(20.0),
        ICON_ZOOM_IN,
        "Magnification 20×",
        "0.5 µm per screen pixel",
        [plain(Key::Num5)]
    ),
    entry!(
        Action::Power(40.0),
        ICON_ZOOM_IN,
        "Magnification 40×",
        "0.25 µm per screen pixel",
        [plain(Key::Num6)]
    ),
    entry!(
        Action::Pixels,
        ICON_GRID_ON,
        "Slide pixels 1:1",
        "One slide pixel per screen pixel",
        [plain(Key::Num7)]
    ),
    entry!(
        Action::ZoomIn,
        ICON_ADD,
        "Zoom in",
        "Double the magnification",
        [plain(Key::Plus), plain(Key::Equals)]
    ),
    entry!(Action::ZoomOut, ICON_REMOVE, "Zoom out", "Halve the magnification", [plain(Key::Minus)]),
    entry!(
        Action::Look(-1, 0),
        ICON_ARROW_BACK,
        "Move left",
        "Move the view to the left",
        [plain(Key::ArrowLeft)]
    ),
    entry!(
        Action::Look(1, 0),
        ICON_ARROW_FORWARD,
        "Move right",
        "Move the view to the right",
        [plain(Key::ArrowRight)]
    ),
    entry!(Action::Look(0, -1), ICON_ARROW_UPWARD, "Move up", "Move the view up", [plain(Key::ArrowUp)]),
    entry!(
        Action::Look(0, 1),
        ICON_ARROW_DOWNWARD,
        "Move down",
        "Move the view down",
        [plain(Key::ArrowDown)]
    ),
    entry!(
        Action::Turn(90),
        ICON_ROTATE_90_DEGREES_CW,
        "Turn right",
        "Turn the slide clockwise by 90°; Alt-drag or Alt-wheel turns it freely",
        [plain(Key::R)]
    ),
    entry!(
        Action::Turn(-90),
        ICON_ROTATE_90_DEGREES_CCW,
        "Turn left",
        "Turn the slide anticlockwise by 90°; Alt-drag or Alt-wheel turns it freely",
        [shift(Key::R)]
    ),
    entry!(
        Action::Turn(15),
        ICON_ROTATE_RIGHT,
        "Turn right by 15°",
        "Turn the slide clockwise by 15°",
        [plain(Key::Period)]
    ),
    entry!(
        Action::Turn(-15),
        ICON_ROTATE_LEFT,
        "Turn left by 15°",
        "Turn the slide anticlockwise by 15°",
        [plain(Key::Comma)]
    ),
    entry!(
        Action::MirrorLeftRight,
        ICON_FLIP,
        "Mirror left to right",
        "Flip the view left to right",
        [plain(Key::F)]
    ),
    entry!(
        Action::MirrorTopBottom,
        ICON_FLIP,
        "Mirror top to bottom",
        "Flip the view top to bottom",
        [shift(Key::F)]
    ),
    entry!(Action::Upright, ICON_EXPLORE, "Upright", "Remove all rotation and mirroring", [plain(Key::U)]),
    entry!(
        Action::Appearance,
        ICON_TUNE,
        "Appearance…",
        "Brightness, contrast, gamma, stains, and pixel interpolation",
        [plain(Key::B)]
    ),
    entry!(
        Action::NextColouring,
        ICON_COLORIZE,
        "Next colouring",
        "Original colours, haematoxylin only, eosin only, normalised",
        [plain(Key::C)]
    ),
    entry!(
        Action::OwnColours,
        ICON_FORMAT_COLOR_RESET,
        "Original colours",
        "Show the slide's own colours again",
        [shift(Key::C)]
    ),
    entry!(
        Action::Split(Split::ALL[0]),
        ICON_CROP_SQUARE,
        "One pane",
        "Show one slide in the whole canvas",
        [ctrl(Key::Num1)]
    ),
    entry!(
        Action::Split(Split::ALL[1]),
        ICON_SPLITSCREEN_RIGHT,
        "Two panes",
        "Show two slides side by side; click a pane, then a slide in the list",
        [ctrl(Key::Num2)]
    ),
    entry!(
        Action::Split(Split::ALL[2]),
        ICON_GRID_VIEW,
        "Four panes",
        "Show four slides; click a pane, then a slide in the list",
        [ctrl(Key::Num3)]
    ),
    entry!(
        Action::Split(Split::ALL[3]),
        ICON_APPS,
        "Nine panes",
        "Show nine slides; click a pane, then a slide in the list",
        [ctrl(Key::Num4)]
    ),
    entry!(
        Action::LinkPanes,
        ICON_LINK,
        "Link panes",
        "Move, zoom, turn and mirror all panes together",
        [plain(Key::L)]
    ),
    entry!(
        Action::ToggleViewHistory,
        ICON_FOOTPRINT,
        "View history",
        "Show on the overview which parts you have viewed, and at which magnification",
        [shift(Key::T)]
    ),
    entry!(
        Action::ClearViewHistory,
        ICON_LAYERS_CLEAR,
        "Clear view history",
        "Clear the view history of the slides in view",
        []
    ),
    entry!(
        Action::SaveView,
        ICON_SAVE,
        "Save view…",
        "Save the view as a PNG, JPEG or TIFF picture",
        [ctrl(Key::S)]
    ),
    entry!(
        Action::SaveRegion,
        ICON_CROP,
        "Save region…",
        "Draw a rectangle on the slide to save or copy it at any scale",
        [ctrl_shift(Key::S)]
    ),
    entry!(
        Action::CopyView,
        ICON_CONTENT_COPY,
        "Copy view",
        "Copy the view to the clipboard, with a scale bar",
        [ctrl(Key::C)]
    ),
    entry!(
        Action::ToggleTissue,
        ICON_TEXTURE,
        "Tissue mask",
        "Shade everything outside the tissue mask",
        [plain(Key::T)]
    ),
    entry!(
        Action::ToggleMarks,
        ICON_HIGHLIGHT,
        "Highlights",
        "Show or hide highlighted matches and annotations",
        [plain(Key::H)]
    ),
];
