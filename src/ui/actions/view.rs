//! Moving over a slide and how it is shown.

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
        "8 µm on a screen pixel",
        [plain(Key::Num1)]
    ),
    entry!(
        Action::Power(2.5),
        ICON_ZOOM_IN,
        "Magnification 2.5×",
        "4 µm on a screen pixel",
        [plain(Key::Num2)]
    ),
    entry!(
        Action::Power(5.0),
        ICON_ZOOM_IN,
        "Magnification 5×",
        "2 µm on a screen pixel",
        [plain(Key::Num3)]
    ),
    entry!(
        Action::Power(10.0),
        ICON_ZOOM_IN,
        "Magnification 10×",
        "1 µm on a screen pixel",
        [plain(Key::Num4)]
    ),
    entry!(
        Action::Power(20.0),
        ICON_ZOOM_IN,
        "Magnification 20×",
        "0.5 µm on a screen pixel",
        [plain(Key::Num5)]
    ),
    entry!(
        Action::Power(40.0),
        ICON_ZOOM_IN,
        "Magnification 40×",
        "0.25 µm on a screen pixel",
        [plain(Key::Num6)]
    ),
    entry!(
        Action::Pixels,
        ICON_GRID_ON,
        "Slide pixels 1:1",
        "One slide pixel on each screen pixel",
        [plain(Key::Num7)]
    ),
    entry!(Action::ZoomIn, ICON_ADD, "Zoom in", "Twice as large", [plain(Key::Plus), plain(Key::Equals)]),
    entry!(Action::ZoomOut, ICON_REMOVE, "Zoom out", "Half as large", [plain(Key::Minus)]),
    entry!(
        Action::Look(-1, 0),
        ICON_ARROW_BACK,
        "Look left",
        "Move the view to the left",
        [plain(Key::ArrowLeft)]
    ),
    entry!(
        Action::Look(1, 0),
        ICON_ARROW_FORWARD,
        "Look right",
        "Move the view to the right",
        [plain(Key::ArrowRight)]
    ),
    entry!(Action::Look(0, -1), ICON_ARROW_UPWARD, "Look up", "Move the view up", [plain(Key::ArrowUp)]),
    entry!(
        Action::Look(0, 1),
        ICON_ARROW_DOWNWARD,
        "Look down",
        "Move the view down",
        [plain(Key::ArrowDown)]
    ),
    entry!(
        Action::Turn(90),
        ICON_ROTATE_90_DEGREES_CW,
        "Turn right",
        "Turn the slide clockwise by 90°; Alt and drag or wheel turn it freely",
        [plain(Key::R)]
    ),
    entry!(
        Action::Turn(-90),
        ICON_ROTATE_90_DEGREES_CCW,
        "Turn left",
        "Turn the slide anticlockwise by 90°; Alt and drag or wheel turn it freely",
        [shift(Key::R)]
    ),
    entry!(
        Action::Turn(15),
        ICON_ROTATE_RIGHT,
        "Turn right by 15°",
        "Turn the slide clockwise a little",
        [plain(Key::Period)]
    ),
    entry!(
        Action::Turn(-15),
        ICON_ROTATE_LEFT,
        "Turn left by 15°",
        "Turn the slide anticlockwise a little",
        [plain(Key::Comma)]
    ),
    entry!(
        Action::MirrorLeftRight,
        ICON_FLIP,
        "Mirror left to right",
        "Flip the slide as it is on the screen, left to right",
        [plain(Key::F)]
    ),
    entry!(
        Action::MirrorTopBottom,
        ICON_FLIP,
        "Mirror top to bottom",
        "Flip the slide as it is on the screen, top to bottom",
        [shift(Key::F)]
    ),
    entry!(Action::Upright, ICON_EXPLORE, "Upright", "Undo all turning and mirroring", [plain(Key::U)]),
    entry!(
        Action::Appearance,
        ICON_TUNE,
        "Appearance…",
        "Brightness, contrast, gamma, stains, and how pixels are magnified",
        [plain(Key::B)]
    ),
    entry!(
        Action::NextColouring,
        ICON_COLORIZE,
        "Next colouring",
        "Own colours, haematoxylin only, eosin only, normalised",
        [plain(Key::C)]
    ),
    entry!(
        Action::OwnColours,
        ICON_FORMAT_COLOR_RESET,
        "Own colours",
        "Show the slide's own pixels again",
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
        "Show two slides side by side; click a pane, then a slide of the list",
        [ctrl(Key::Num2)]
    ),
    entry!(
        Action::Split(Split::ALL[2]),
        ICON_GRID_VIEW,
        "Four panes",
        "Show four slides; click a pane, then a slide of the list",
        [ctrl(Key::Num3)]
    ),
    entry!(
        Action::Split(Split::ALL[3]),
        ICON_APPS,
        "Nine panes",
        "Show nine slides; click a pane, then a slide of the list",
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
        "Trail",
        "Show on the overview where you have looked, and how closely",
        [shift(Key::T)]
    ),
    entry!(
        Action::ClearViewHistory,
        ICON_LAYERS_CLEAR,
        "Clear the trail",
        "Forget where you have looked on the slides in view",
        []
    ),
    entry!(
        Action::SaveView,
        ICON_SAVE,
        "Save view…",
        "Save what is in view as a PNG, JPEG or TIFF picture",
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
        "Copy what is in view to the clipboard, with a scale bar",
        [ctrl(Key::C)]
    ),
    entry!(
        Action::ToggleTissue,
        ICON_TEXTURE,
        "Tissue mask",
        "Shade what is not counted as tissue",
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
