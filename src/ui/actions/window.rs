//! Panels, theme and help.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, AnnotationAction, Entry, ctrl, ctrl_shift, plain, shift};

/// An action on the whole window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WindowAction {
    /// Shows or hides the slide list.
    ToggleSlides,
    /// Shows or hides the match list.
    ToggleMatches,
    /// Shows or hides the report.
    ToggleReport,
    /// Writes the report to the project's reports.
    WriteReport,
    /// Switches between the dark and the light theme.
    ToggleTheme,
    /// Enlarges text and controls.
    TextLarger,
    /// Shrinks text and controls.
    TextSmaller,
    /// Resets the size of text and controls.
    ResetTextSize,
    /// Opens or closes the command palette.
    TogglePalette,
    /// Opens or closes the settings.
    ToggleSettings,
    /// Opens or closes the help sheet.
    ToggleHelp,
    /// Opens the guide in the browser.
    OpenGuide,
    /// Shows the first steps again.
    ShowFirstSteps,
    /// Opens or closes the dialog on version and licences.
    ToggleAbout,
    /// Copies diagnostic information to the clipboard.
    CopyDiagnostics,
    /// Closes the window.
    Quit,
}

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::Annotations(AnnotationAction::ToggleList),
        ICON_FORMAT_LIST_BULLETED,
        "Annotation list",
        "Show or hide the list of annotations",
        [plain(Key::F5)]
    ),
    entry!(
        Action::Window(WindowAction::ToggleSlides),
        ICON_LEFT_PANEL_OPEN,
        "Slide list",
        "Show or hide the list of slides",
        [plain(Key::F2)]
    ),
    entry!(
        Action::Window(WindowAction::ToggleMatches),
        ICON_RIGHT_PANEL_OPEN,
        "Match list",
        "Show or hide the list of matches",
        [plain(Key::F3)]
    ),
    entry!(
        Action::Window(WindowAction::ToggleReport),
        ICON_ANALYTICS,
        "Report",
        "Measure how well encoders work on your slides: ADDR, retrieval, classes, map",
        [plain(Key::F7)]
    ),
    entry!(
        Action::Window(WindowAction::WriteReport),
        ICON_SAVE,
        "Export report",
        "Export the report as HTML, PDF, CSV and JSON to the project's folder “reports”",
        [ctrl_shift(Key::E)]
    ),
    entry!(
        Action::Window(WindowAction::ToggleTheme),
        ICON_CONTRAST,
        "Switch theme",
        "Switch between the dark and the light theme",
        [plain(Key::F4)]
    ),
    entry!(
        Action::Window(WindowAction::TextLarger),
        ICON_TEXT_INCREASE,
        "Larger text",
        "Make text and controls larger",
        [ctrl(Key::Plus), ctrl(Key::Equals)]
    ),
    entry!(
        Action::Window(WindowAction::TextSmaller),
        ICON_TEXT_DECREASE,
        "Smaller text",
        "Make text and controls smaller",
        [ctrl(Key::Minus)]
    ),
    entry!(
        Action::Window(WindowAction::ResetTextSize),
        ICON_FORMAT_SIZE,
        "Default text size",
        "Reset the size of text and controls",
        [ctrl(Key::Num0)]
    ),
    entry!(
        Action::Window(WindowAction::TogglePalette),
        ICON_SEARCH,
        "Search commands…",
        "Find a command by its name",
        [ctrl(Key::L), ctrl(Key::K)]
    ),
    entry!(
        Action::Window(WindowAction::ToggleSettings),
        ICON_SETTINGS,
        "Settings…",
        "Change keys, appearance, units, and what new projects and the next start use",
        [ctrl(Key::Comma)]
    ),
    entry!(
        Action::Window(WindowAction::ToggleHelp),
        ICON_HELP,
        "Help",
        "Show all commands and their shortcuts",
        [plain(Key::F1)]
    ),
    entry!(
        Action::Window(WindowAction::OpenGuide),
        ICON_MENU_BOOK,
        "Open the guide",
        "Read the guide in the browser; it is on this computer and needs no network",
        []
    ),
    entry!(
        Action::Window(WindowAction::ShowFirstSteps),
        ICON_TOUR,
        "Show first steps",
        "Show the three first steps again: open a slide, wait for the first tiles, find similar tissue",
        []
    ),
    entry!(
        Action::Window(WindowAction::ToggleAbout),
        ICON_INFO,
        "About histokin",
        "Show version and licences",
        [shift(Key::F1)]
    ),
    entry!(
        Action::Window(WindowAction::CopyDiagnostics),
        ICON_CONTENT_COPY,
        "Copy diagnostics",
        "Copy versions, graphics, device and counts as text, for support; without paths and names",
        [ctrl(Key::F1)]
    ),
];
