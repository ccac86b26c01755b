//! Opening slides, and moving between them.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, WindowAction, ctrl, ctrl_shift, plain, shift};

/// An action that opens slides or moves between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SlideAction {
    /// Opens slides chosen in the system's dialog.
    OpenFiles,
    /// Opens a folder or project chosen in the system's dialog.
    OpenFolder,
    /// Opens a typed path.
    OpenPath,
    /// Opens the demonstration slides in a project of their own.
    OpenDemonstration,
    /// Opens a recent path.
    OpenRecent,
    /// Shows the next slide in the list.
    Next,
    /// Shows the previous slide in the list.
    Previous,
    /// Shows the metadata of the active slide.
    Properties,
    /// Sets the spacing of the active slide.
    Calibrate,
    /// Takes the active slide off the list.
    Remove,
}

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::Slides(SlideAction::OpenFiles),
        ICON_FILE_OPEN,
        "Open slides…",
        "Choose slides or images to open",
        [ctrl(Key::O)]
    ),
    entry!(
        Action::Slides(SlideAction::OpenFolder),
        ICON_FOLDER_OPEN,
        "Open folder…",
        "Open all slides of a folder, or a project",
        [ctrl_shift(Key::O)]
    ),
    entry!(
        Action::Slides(SlideAction::OpenPath),
        ICON_KEYBOARD,
        "Open path…",
        "Type or paste the path of a slide, a folder or a project",
        [ctrl(Key::P)]
    ),
    entry!(
        Action::Slides(SlideAction::OpenRecent),
        ICON_HISTORY,
        "Open recent…",
        "Choose from recently opened slides, folders and projects",
        [ctrl(Key::R)]
    ),
    entry!(
        Action::Slides(SlideAction::OpenDemonstration),
        ICON_SLIDESHOW,
        "Open demonstration",
        "Open two small example slides in a project of their own",
        []
    ),
    entry!(
        Action::Slides(SlideAction::Next),
        ICON_ARROW_DOWNWARD,
        "Next slide",
        "Show the next slide in the list",
        [plain(Key::PageDown)]
    ),
    entry!(
        Action::Slides(SlideAction::Previous),
        ICON_ARROW_UPWARD,
        "Previous slide",
        "Show the previous slide in the list",
        [plain(Key::PageUp)]
    ),
    entry!(
        Action::Slides(SlideAction::Properties),
        ICON_INFO,
        "Slide properties",
        "Show measurements, associated images and metadata of the slide",
        [plain(Key::I)]
    ),
    entry!(
        Action::Slides(SlideAction::Calibrate),
        ICON_STRAIGHTEN,
        "Set pixel size…",
        "Enter the size of this slide's pixels in µm",
        [shift(Key::M)]
    ),
    entry!(
        Action::Slides(SlideAction::Remove),
        ICON_PLAYLIST_REMOVE,
        "Remove slide from list",
        "Take the slide off the list; its file, annotations and descriptors are kept, and opening it again brings them back",
        []
    ),
    entry!(
        Action::Window(WindowAction::Quit),
        ICON_LOGOUT,
        "Quit",
        "Close histokin; embedded tiles are kept",
        [ctrl(Key::Q)]
    ),
];
