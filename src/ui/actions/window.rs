//! Panels, theme and help.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, ctrl, ctrl_shift, plain, shift};

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::ToggleAnnotations,
        ICON_FORMAT_LIST_BULLETED,
        "Annotation list",
        "Show or hide the list of annotations",
        [plain(Key::F5)]
    ),
    entry!(
        Action::ToggleSlides,
        ICON_LEFT_PANEL_OPEN,
        "Slide list",
        "Show or hide the list of slides",
        [plain(Key::F2)]
    ),
    entry!(
        Action::ToggleMatches,
        ICON_RIGHT_PANEL_OPEN,
        "Match list",
        "Show or hide the list of matches",
        [plain(Key::F3)]
    ),
    entry!(
        Action::ToggleReport,
        ICON_ANALYTICS,
        "Report",
        "Show how good the encoder is on your slides: ADDR, retrieval, classes, map",
        [plain(Key::F7)]
    ),
    entry!(
        Action::WriteReport,
        ICON_SAVE,
        "Write the report",
        "Write the results as a page and tables to the project's folder “reports”",
        [ctrl_shift(Key::E)]
    ),
    entry!(
        Action::ToggleTheme,
        ICON_CONTRAST,
        "Dark or light",
        "Switch between the dark and the light theme",
        [plain(Key::F4)]
    ),
    entry!(
        Action::TextLarger,
        ICON_TEXT_INCREASE,
        "Larger text",
        "Make text and controls larger",
        [ctrl(Key::Plus), ctrl(Key::Equals)]
    ),
    entry!(
        Action::TextSmaller,
        ICON_TEXT_DECREASE,
        "Smaller text",
        "Make text and controls smaller",
        [ctrl(Key::Minus)]
    ),
    entry!(
        Action::TextUsual,
        ICON_FORMAT_SIZE,
        "Default text size",
        "Reset text and controls to the system's size",
        [ctrl(Key::Num0)]
    ),
    entry!(
        Action::Palette,
        ICON_SEARCH,
        "Search actions…",
        "Find an action by its name",
        [ctrl(Key::K), ctrl(Key::L)]
    ),
    entry!(Action::Help, ICON_HELP, "Help", "Show all actions and their keys", [plain(Key::F1)]),
    entry!(
        Action::About,
        ICON_INFO,
        "About histokin",
        "Version, and licences of third-party components",
        [shift(Key::F1)]
    ),
    entry!(
        Action::CopyDiagnostics,
        ICON_CONTENT_COPY,
        "Copy diagnostics",
        "Copy versions, graphics, device and counts as text for support; contains no paths and no names",
        [ctrl(Key::F1)]
    ),
];
