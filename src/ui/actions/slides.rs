//! Opening slides, and moving between them.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, ctrl, ctrl_shift, plain};

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::OpenFiles,
        ICON_FILE_OPEN,
        "Open slides…",
        "Choose slides or images to open",
        [ctrl(Key::O)]
    ),
    entry!(
        Action::OpenFolder,
        ICON_FOLDER_OPEN,
        "Open folder…",
        "Open all slides of a folder, or a project",
        [ctrl_shift(Key::O)]
    ),
    entry!(
        Action::OpenPath,
        ICON_KEYBOARD,
        "Open path…",
        "Type or paste the path of a slide, a folder or a project",
        [ctrl(Key::P)]
    ),
    entry!(
        Action::OpenRecent,
        ICON_HISTORY,
        "Open recent…",
        "Choose from recently opened slides, folders and projects",
        [ctrl(Key::R)]
    ),
    entry!(
        Action::NextSlide,
        ICON_ARROW_DOWNWARD,
        "Next slide",
        "Show the next slide in the list",
        [plain(Key::PageDown)]
    ),
    entry!(
        Action::PreviousSlide,
        ICON_ARROW_UPWARD,
        "Previous slide",
        "Show the previous slide in the list",
        [plain(Key::PageUp)]
    ),
    entry!(
        Action::SlideProperties,
        ICON_INFO,
        "Slide properties",
        "Show the metadata of the slide file",
        [plain(Key::I)]
    ),
    entry!(
        Action::Calibrate,
        ICON_STRAIGHTEN,
        "Set pixel size…",
        "Enter the size of this slide's pixels in µm",
        [plain(Key::M)]
    ),
    entry!(Action::Quit, ICON_LOGOUT, "Quit", "Close the window; embedded tiles are kept", [ctrl(Key::Q)]),
];
