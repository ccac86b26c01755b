//! Moving over a slide, and how it is shown.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, ctrl, ctrl_shift, plain, shift};
use crate::ui::panes::Split;

/// An action that moves over a slide or changes how it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ViewAction {
    /// Fits the whole slide into the view.
    Fit,
    /// Doubles the magnification.
    ZoomIn,
    /// Halves the magnification.
    ZoomOut,
    /// Zooms to a magnification such as 10×.
    ZoomTo(f64),
    /// Zooms to one level-0 pixel per screen pixel.
    ZoomToPixels,
    /// Moves the view by steps to the right and down.
    Move(i8, i8),
    /// Rotates the slide clockwise, in degrees.
    Turn(i16),
    /// Mirrors the view left to right.
    MirrorLeftRight,
    /// Mirrors the view top to bottom.
    MirrorTopBottom,
    /// Removes rotation and mirroring.
    Upright,
    /// Opens or closes the card of colour settings.
    ToggleAppearance,
    /// Switches to the next colouring.
    NextColouring,
    /// Restores the slide's own colours.
    ResetColours,
    /// Divides the canvas into panes.
    Split(Split),
    /// Links or unlinks the movement of all panes.
    LinkPanes,
    /// Shows or hides the view history on the overview.
    ToggleViewHistory,
    /// Clears the view history of the slides in view.
    ClearViewHistory,
    /// Saves the view as a picture.
    Save,
    /// Draws a region to save as a picture.
    SaveRegion,
    /// Chooses the file of the view's picture in the system's dialog.
    ChoosePictureFile,
    /// Copies the view to the clipboard.
    Copy,
    /// Shows or hides the shade outside the tissue mask.
    ToggleTissue,
    /// Shows or hides highlighted matches and annotations.
    ToggleHighlights,
}

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::View(ViewAction::Fit),
        ICON_FIT_SCREEN,
        "Whole slide",
        "Fit the whole slide into the view",
        [plain(Key::Num0)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(1.25)),
        ICON_ZOOM_IN,
        "Magnification 1.25×",
        "8 µm per screen pixel",
        [plain(Key::Num1)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(2.5)),
        ICON_ZOOM_IN,
        "Magnification 2.5×",
        "4 µm per screen pixel",
        [plain(Key::Num2)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(5.0)),
        ICON_ZOOM_IN,
        "Magnification 5×",
        "2 µm per screen pixel",
        [plain(Key::Num3)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(10.0)),
        ICON_ZOOM_IN,
        "Magnification 10×",
        "1 µm per screen pixel",
        [plain(Key::Num4)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(20.0)),
        ICON_ZOOM_IN,
        "Magnification 20×",
        "0.5 µm per screen pixel",
        [plain(Key::Num5)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(40.0)),
        ICON_ZOOM_IN,
        "Magnification 40×",
        "0.25 µm per screen pixel",
        [plain(Key::Num6)]
    ),
    entry!(
        Action::View(ViewAction::ZoomToPixels),
        ICON_GRID_ON,
        "Slide pixels 1:1",
        "One slide pixel per screen pixel",
        [plain(Key::Num7)]
    ),
    entry!(
        Action::View(ViewAction::ZoomIn),
        ICON_ADD,
        "Zoom in",
        "Double the magnification",
        [plain(Key::Plus), plain(Key::Equals)]
    ),
    entry!(
        Action::View(ViewAction::ZoomOut),
        ICON_REMOVE,
        "Zoom out",
        "Halve the magnification",
        [plain(Key::Minus)]
    ),
    entry!(
        Action::View(ViewAction::Move(-1, 0)),
        ICON_ARROW_BACK,
        "Move left",
        "Move the view to the left",
        [plain(Key::ArrowLeft)]
    ),
    entry!(
        Action::View(ViewAction::Move(1, 0)),
        ICON_ARROW_FORWARD,
        "Move right",
        "Move the view to the right",
        [plain(Key::ArrowRight)]
    ),
    entry!(
        Action::View(ViewAction::Move(0, -1)),
        ICON_ARROW_UPWARD,
        "Move up",
        "Move the view up",
        [plain(Key::ArrowUp)]
    ),
    entry!(
        Action::View(ViewAction::Move(0, 1)),
        ICON_ARROW_DOWNWARD,
        "Move down",
        "Move the view down",
        [plain(Key::ArrowDown)]
    ),
    entry!(
        Action::View(ViewAction::Turn(90)),
        ICON_ROTATE_90_DEGREES_CW,
        "Turn right",
        "Turn the slide clockwise by 90°; Alt-drag or Alt-wheel turns it freely",
        [plain(Key::R)]
    ),
    entry!(
        Action::View(ViewAction::Turn(-90)),
        ICON_ROTATE_90_DEGREES_CCW,
        "Turn left",
        "Turn the slide anticlockwise by 90°; Alt-drag or Alt-wheel turns it freely",
        [shift(Key::R)]
    ),
    entry!(
        Action::View(ViewAction::Turn(15)),
        ICON_ROTATE_RIGHT,
        "Turn right by 15°",
        "Turn the slide clockwise by 15°",
        [plain(Key::Period)]
    ),
    entry!(
        Action::View(ViewAction::Turn(-15)),
        ICON_ROTATE_LEFT,
        "Turn left by 15°",
        "Turn the slide anticlockwise by 15°",
        [plain(Key::Comma)]
    ),
    entry!(
        Action::View(ViewAction::MirrorLeftRight),
        ICON_FLIP,
        "Mirror left to right",
        "Flip the view left to right",
        [plain(Key::F)]
    ),
    entry!(
        Action::View(ViewAction::MirrorTopBottom),
        ICON_FLIP,
        "Mirror top to bottom",
        "Flip the view top to bottom",
        [shift(Key::F)]
    ),
    entry!(
        Action::View(ViewAction::Upright),
        ICON_EXPLORE,
        "Upright",
        "Remove all rotation and mirroring",
        [plain(Key::U)]
    ),
    entry!(
        Action::View(ViewAction::ToggleAppearance),
        ICON_TUNE,
        "Appearance…",
        "Brightness, contrast, gamma, stains, and pixel interpolation",
        [plain(Key::B)]
    ),
    entry!(
        Action::View(ViewAction::NextColouring),
        ICON_COLORIZE,
        "Next colouring",
        "Original colours, haematoxylin only, eosin only, normalised",
        [plain(Key::C)]
    ),
    entry!(
        Action::View(ViewAction::ResetColours),
        ICON_FORMAT_COLOR_RESET,
        "Original colours",
        "Show the slide's own colours again",
        [shift(Key::C)]
    ),
    entry!(
        Action::View(ViewAction::Split(Split::ALL[0])),
        ICON_CROP_SQUARE,
        "One pane",
        "Show one slide in the whole canvas",
        [ctrl(Key::Num1)]
    ),
    entry!(
        Action::View(ViewAction::Split(Split::ALL[1])),
        ICON_SPLITSCREEN_RIGHT,
        "Two panes",
        "Show two slides side by side; click a pane, then a slide in the list",
        [ctrl(Key::Num2)]
    ),
    entry!(
        Action::View(ViewAction::Split(Split::ALL[2])),
        ICON_GRID_VIEW,
        "Four panes",
        "Show four slides; click a pane, then a slide in the list",
        [ctrl(Key::Num3)]
    ),
    entry!(
        Action::View(ViewAction::Split(Split::ALL[3])),
        ICON_APPS,
        "Nine panes",
        "Show nine slides; click a pane, then a slide in the list",
        [ctrl(Key::Num4)]
    ),
    entry!(
        Action::View(ViewAction::LinkPanes),
        ICON_LINK,
        "Link panes",
        "Move, zoom, turn and mirror all panes together",
        [plain(Key::L)]
    ),
    entry!(
        Action::View(ViewAction::ToggleViewHistory),
        ICON_FOOTPRINT,
        "View history",
        "Show on the overview which parts you have viewed, and at which magnification",
        [shift(Key::T)]
    ),
    entry!(
        Action::View(ViewAction::ClearViewHistory),
        ICON_LAYERS_CLEAR,
        "Clear view history",
        "Clear the view history of the slides in view",
        []
    ),
    entry!(
        Action::View(ViewAction::Save),
        ICON_SAVE,
        "Save view…",
        "Save the view as a PNG, JPEG or TIFF picture",
        [ctrl(Key::S)]
    ),
    entry!(
        Action::View(ViewAction::SaveRegion),
        ICON_CROP,
        "Save region…",
        "Draw a rectangle on the slide to save or copy it at any scale",
        [ctrl_shift(Key::S)]
    ),
    entry!(
        Action::View(ViewAction::Copy),
        ICON_CONTENT_COPY,
        "Copy view",
        "Copy the view to the clipboard, with a scale bar",
        [ctrl(Key::C)]
    ),
    entry!(
        Action::View(ViewAction::ToggleTissue),
        ICON_TEXTURE,
        "Tissue mask",
        "Shade everything outside the tissue mask",
        [plain(Key::T)]
    ),
    entry!(
        Action::View(ViewAction::ToggleHighlights),
        ICON_HIGHLIGHT,
        "Highlights",
        "Show or hide highlighted matches and annotations",
        [plain(Key::H)]
    ),
];
