//! Opening slides, and going from one to the next.

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
        "Choose among the slides, folders and projects opened before",
        [ctrl(Key::R)]
    ),
    entry!(
        Action::NextSlide,
        ICON_ARROW_DOWNWARD,
        "Next slide",
        "Show the next slide of the list",
        [plain(Key::PageDown)]
    ),
    entry!(
        Action::PreviousSlide,
        ICON_ARROW_UPWARD,
        "Previous slide",
        "Show the previous slide of the list",
        [plain(Key::PageUp)]
    ),
    entry!(
        Action::SlideProperties,
        ICON_INFO,
        "Slide properties",
        "All that the file says of itself",
        [plain(Key::I)]
    ),
    entry!(
        Action::Calibrate,
        ICON_STRAIGHTEN,
        "Set pixel size…",
        "State how many µm one pixel of this slide spans",
        [plain(Key::M)]
    ),
    entry!(Action::Quit, ICON_LOGOUT, "Quit", "Close the window; embedded tiles are kept", [ctrl(Key::Q)]),
];
