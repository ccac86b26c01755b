//! Moving over a slide, and how it is shown.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, alt, alt_shift, ctrl, ctrl_alt, ctrl_shift, plain, shift};
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
    /// Shows or hides annotations.
    ToggleAnnotations,
    /// Goes to a position that is typed.
    GoToPosition,
    /// Copies the name of the active slide and the position under the pointer.
    CopyPosition,
    /// Fills areas, or only outlines them.
    ToggleFill,
    /// Shows or hides a grid over the slide.
    ToggleGrid,
    /// Shows or hides a cross-hair in the middle of the view.
    ToggleCrosshair,
}

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::View(ViewAction::Fit),
        ICON_FIT_SCREEN,
        "Zoom to fit",
        "Fit the whole slide in the view",
        [plain(Key::Num0)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(1.25)),
        ICON_ZOOM_IN,
        "Zoom to 1.25×",
        "Magnification 1.25×: 8 µm per screen pixel",
        [plain(Key::Num1)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(2.5)),
        ICON_ZOOM_IN,
        "Zoom to 2.5×",
        "Magnification 2.5×: 4 µm per screen pixel",
        [plain(Key::Num2)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(5.0)),
        ICON_ZOOM_IN,
        "Zoom to 5×",
        "Magnification 5×: 2 µm per screen pixel",
        [plain(Key::Num3)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(10.0)),
        ICON_ZOOM_IN,
        "Zoom to 10×",
        "Magnification 10×: 1 µm per screen pixel",
        [plain(Key::Num4)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(20.0)),
        ICON_ZOOM_IN,
        "Zoom to 20×",
        "Magnification 20×: 0.5 µm per screen pixel",
        [plain(Key::Num5)]
    ),
    entry!(
        Action::View(ViewAction::ZoomTo(40.0)),
        ICON_ZOOM_IN,
        "Zoom to 40×",
        "Magnification 40×: 0.25 µm per screen pixel",
        [plain(Key::Num6)]
    ),
    entry!(
        Action::View(ViewAction::ZoomToPixels),
        ICON_GRID_ON,
        "Actual pixels (1:1)",
        "Show one slide pixel per screen pixel",
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
        "Pan left",
        "Pan the view to the left",
        [plain(Key::ArrowLeft)]
    ),
    entry!(
        Action::View(ViewAction::Move(1, 0)),
        ICON_ARROW_FORWARD,
        "Pan right",
        "Pan the view to the right",
        [plain(Key::ArrowRight)]
    ),
    entry!(
        Action::View(ViewAction::Move(0, -1)),
        ICON_ARROW_UPWARD,
        "Pan up",
        "Pan the view up",
        [plain(Key::ArrowUp)]
    ),
    entry!(
        Action::View(ViewAction::Move(0, 1)),
        ICON_ARROW_DOWNWARD,
        "Pan down",
        "Pan the view down",
        [plain(Key::ArrowDown)]
    ),
    entry!(
        Action::View(ViewAction::GoToPosition),
        ICON_MY_LOCATION,
        "Go to position…",
        "Type or paste a position, in pixels, µm or mm, and go there",
        [ctrl(Key::J)]
    ),
    entry!(
        Action::View(ViewAction::CopyPosition),
        ICON_LOCATION_ON,
        "Copy position",
        "Copy the name of the slide and the position under the pointer, in level-0 pixels",
        [ctrl_shift(Key::J)]
    ),
    entry!(
        Action::View(ViewAction::Turn(90)),
        ICON_ROTATE_90_DEGREES_CW,
        "Rotate 90° clockwise",
        "Rotate the slide 90° clockwise; Alt + drag or Alt + wheel rotates it freely",
        [alt(Key::R)]
    ),
    entry!(
        Action::View(ViewAction::Turn(-90)),
        ICON_ROTATE_90_DEGREES_CCW,
        "Rotate 90° anticlockwise",
        "Rotate the slide 90° anticlockwise; Alt + drag or Alt + wheel rotates it freely",
        [alt_shift(Key::R)]
    ),
    entry!(
        Action::View(ViewAction::Turn(15)),
        ICON_ROTATE_RIGHT,
        "Rotate 15° clockwise",
        "Rotate the slide 15° clockwise",
        [alt(Key::Period)]
    ),
    entry!(
        Action::View(ViewAction::Turn(-15)),
        ICON_ROTATE_LEFT,
        "Rotate 15° anticlockwise",
        "Rotate the slide 15° anticlockwise",
        [alt(Key::Comma)]
    ),
    entry!(
        Action::View(ViewAction::MirrorLeftRight),
        ICON_FLIP,
        "Flip horizontally",
        "Flip the slide left to right",
        [alt(Key::F)]
    ),
    entry!(
        Action::View(ViewAction::MirrorTopBottom),
        ICON_FLIP,
        "Flip vertically",
        "Flip the slide top to bottom",
        [alt_shift(Key::F)]
    ),
    entry!(
        Action::View(ViewAction::Upright),
        ICON_EXPLORE,
        "Reset rotation",
        "Show the slide upright, without rotation and flips",
        [plain(Key::U)]
    ),
    entry!(
        Action::View(ViewAction::ToggleAppearance),
        ICON_TUNE,
        "Brightness/contrast…",
        "Adjust brightness, contrast, gamma, stains and pixel interpolation",
        [shift(Key::C)]
    ),
    entry!(
        Action::View(ViewAction::NextColouring),
        ICON_COLORIZE,
        "Next stain view",
        "Cycle through original colours, each of the slide's two stains alone (such as haematoxylin and eosin), and normalised",
        [plain(Key::C)]
    ),
    entry!(
        Action::View(ViewAction::ResetColours),
        ICON_FORMAT_COLOR_RESET,
        "Original colours",
        "Reset brightness, contrast and stains to the slide's original colours",
        [alt(Key::C)]
    ),
    entry!(
        Action::View(ViewAction::Split(Split::ALL[0])),
        ICON_CROP_SQUARE,
        "One pane",
        "Show one slide",
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
        "Pan, zoom, rotate and flip all panes together",
        [ctrl_alt(Key::S)]
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
        "Save the view as a PNG, JPEG or TIFF image",
        [ctrl(Key::S)]
    ),
    entry!(
        Action::View(ViewAction::SaveRegion),
        ICON_CROP,
        "Save region…",
        "Draw a rectangle on the slide, and save or copy it at any scale",
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
        "Shade everything that does not count as tissue",
        [plain(Key::T)]
    ),
    entry!(
        Action::View(ViewAction::ToggleHighlights),
        ICON_HIGHLIGHT,
        "Overlays",
        "Show or hide matches and annotations on the slide",
        [plain(Key::H)]
    ),
    entry!(
        Action::View(ViewAction::ToggleAnnotations),
        ICON_SHAPES,
        "Show annotations",
        "Show or hide annotations on the slide",
        [plain(Key::A)]
    ),
    entry!(
        Action::View(ViewAction::ToggleFill),
        ICON_FORMAT_COLOR_FILL,
        "Fill annotations",
        "Fill annotated areas with their colour, or show their outlines only",
        [plain(Key::F)]
    ),
    entry!(
        Action::View(ViewAction::ToggleGrid),
        ICON_GRID_4X4,
        "Grid",
        "Show or hide a grid over the slide, with its spacing",
        [plain(Key::G)]
    ),
    entry!(
        Action::View(ViewAction::ToggleCrosshair),
        ICON_POINT_SCAN,
        "Cross-hair",
        "Show or hide a cross-hair in the middle of the view",
        [shift(Key::G)]
    ),
];
