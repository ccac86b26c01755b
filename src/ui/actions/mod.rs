//! All actions of the window: one table, from which the menu, command palette, help sheet, tooltips and
//! shortcuts are built. The entries of each group are in their own file.

/// An entry of the table.
macro_rules! entry {
    ($action:expr, $icon:ident, $name:literal, $tooltip:literal, [$($shortcut:expr),*]) => {
        Entry {
            action: $action,
            icon: icons::$icon,
            name: $name,
            tooltip: $tooltip,
            shortcuts: &[$($shortcut),*],
        }
    };
}

mod annotations;
mod embedding;
mod similarity;
mod slides;
mod view;
mod window;

use egui::{Context, Event, Key, KeyboardShortcut, Modifiers};
use egui_material_icons::MaterialIcon;

use super::panes::Split;
use super::region_tool::RegionShape;
use super::slide_view::Tool;
use crate::query::Verdict;

/// An action that the user can perform by name or shortcut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Opens slides chosen in the system's dialog.
    OpenFiles,
    /// Opens a folder or project chosen in the system's dialog.
    OpenFolder,
    /// Opens a typed path.
    OpenPath,
    /// Opens a recent path.
    OpenRecent,
    /// Shows the next slide in the list.
    NextSlide,
    /// Shows the previous slide in the list.
    PreviousSlide,
    /// Shows the metadata of the active slide.
    SlideProperties,
    /// Sets the spacing of the active slide.
    Calibrate,
    /// Closes the window.
    Quit,
    /// Fits the whole slide into the view.
    Fit,
    /// Doubles the magnification.
    ZoomIn,
    /// Halves the magnification.
    ZoomOut,
    /// Zooms to a magnification such as 10×.
    Power(f64),
    /// Zooms to one level-0 pixel per screen pixel.
    Pixels,
    /// Moves the view by steps to the right and down.
    Look(i8, i8),
    /// Rotates the slide clockwise, in degrees.
    Turn(i16),
    /// Mirrors the view left to right.
    MirrorLeftRight,
    /// Mirrors the view top to bottom.
    MirrorTopBottom,
    /// Removes rotation and mirroring.
    Upright,
    /// Opens or closes the card of colour settings.
    Appearance,
    /// Switches to the next colouring.
    NextColouring,
    /// Restores the slide's own colours.
    OwnColours,
    /// Divides the canvas into panes.
    Split(Split),
    /// Links or unlinks the movement of all panes.
    LinkPanes,
    /// Selects an annotation tool.
    Tool(Tool),
    /// Undoes the last change to the annotations.
    Undo,
    /// Redoes the last undone change to the annotations.
    Redo,
    /// Selects all visible annotations of the active slide.
    SelectAnnotations,
    /// Deletes the selected annotations that are not locked.
    DeleteAnnotations,
    /// Makes the brush larger (`true`) or smaller.
    ResizeBrush(bool),
    /// Imports annotations from files.
    ImportAnnotations,
    /// Exports annotations to a file chosen in the system's dialog.
    ExportAnnotations,
    /// Exports annotations to a typed path.
    ExportAnnotationsPath,
    /// Shows or hides the annotation list.
    ToggleAnnotations,
    /// Shows or hides the view history on the overview.
    ToggleViewHistory,
    /// Clears the view history of the slides in view.
    ClearViewHistory,
    /// Saves the view as a picture.
    SaveView,
    /// Draws a region to save as a picture.
    SaveRegion,
    /// Chooses the file of the view's picture in the system's dialog.
    ChoosePicture,
    /// Copies the view to the clipboard.
    CopyView,
    /// Searches with the tile under the cursor.
    FindSimilar,
    /// Goes to the next match.
    NextMatch,
    /// Goes to the previous match.
    PreviousMatch,
    /// Switches the heat map under the cursor on or off.
    ToggleHeatMap,
    /// Writes the heat map to files.
    ExportHeatMap,
    /// Draws a region to search with.
    SelectRegion(RegionShape),
    /// Judges whether the visited match is the same tissue.
    Judge(Verdict),
    /// Undoes the last relevance judgement.
    UndoJudgement,
    /// Searches with the selected annotations.
    QueryAnnotations,
    /// Ranks slides by similarity to the whole active slide.
    QuerySlide,
    /// Searches with a picture file.
    ChooseQueryPicture,
    /// Searches with the picture on the clipboard.
    PasteQuery,
    /// Loads a list that assigns slides to patients.
    ChoosePatients,
    /// Shows the query and its matches side by side, or returns to one pane.
    CompareWithQuery,
    /// Adds the visited match to the chosen ones, or removes it.
    ChooseMatch,
    /// Gives the chosen matches the current annotation class.
    ClassifyMatches,
    /// Undoes the last classification of matches.
    UndoClassification,
    /// Writes the matches to the project's reports.
    ExportMatches,
    /// Sets up the connection to the archive.
    SetUpArchive,
    /// Shows or hides the query history.
    ToggleHistory,
    /// Returns to the view before the last jump, or removes the last point of a path being drawn.
    Back,
    /// Closes the dialog, cancels the tool, clears the selection, or removes the query, whichever applies
    /// first.
    ClearQuery,
    /// Pauses or resumes embedding.
    PauseOrResume,
    /// Stops embedding.
    StopEmbedding,
    /// Opens or closes the card of embedding settings.
    EmbeddingSettings,
    /// Opens or closes the training panel.
    ToggleTraining,
    /// Loads training settings from a file.
    LoadTrainingSettings,
    /// Saves training settings to a file.
    SaveTrainingSettings,
    /// Shows or hides the slide list.
    ToggleSlides,
    /// Shows or hides the match list.
    ToggleMatches,
    /// Shows or hides the shade outside the tissue mask.
    ToggleTissue,
    /// Shows or hides highlighted matches and annotations.
    ToggleMarks,
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
    TextUsual,
    /// Opens or closes the command palette.
    Palette,
    /// Opens or closes the help sheet.
    Help,
    /// Opens or closes the dialog on version and licences.
    About,
    /// Copies diagnostic information to the clipboard.
    CopyDiagnostics,
}

/// Group of an action in the menu and the help sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Opening slides and moving between them.
    Slides,
    /// Moving over a slide, and how it is shown.
    View,
    /// Drawing, importing and exporting annotations.
    Annotations,
    /// Searching and judging matches.
    Similarity,
    /// Embedding and training.
    Embedding,
    /// Panels, theme and help.
    Window,
}

impl Group {
    /// All groups, in the order of the menu and the help sheet.
    pub const ALL: [Self; 6] =
        [Self::Slides, Self::View, Self::Annotations, Self::Similarity, Self::Embedding, Self::Window];

    /// Heading of the group.
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

    /// The group's entries, in the order of the menu and the help sheet.
    pub fn entries(self) -> &'static [Entry] {
        match self {
            Self::Slides => slides::ENTRIES,
            Self::View => view::ENTRIES,
            Self::Annotations => annotations::ENTRIES,
            Self::Similarity => similarity::ENTRIES,
            Self::Embedding => embedding::ENTRIES,
            Self::Window => window::ENTRIES,
        }
    }
}

/// One entry of the table.
pub struct Entry {
    /// The action.
    pub action: Action,
    /// Icon for buttons and menus.
    pub icon: MaterialIcon,
    /// Name, unique in the table.
    pub name: &'static str,
    /// One line on what the action does.
    pub tooltip: &'static str,
    /// Shortcuts; the first one is shown.
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

const fn alt(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::ALT, key)
}

const fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

const fn ctrl_alt(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::ALT), key)
}

/// All entries, in the order of the menu and the help sheet.
pub fn table() -> impl Iterator<Item = &'static Entry> {
    Group::ALL.into_iter().flat_map(Group::entries)
}

/// The entry of an action.
pub fn entry(action: Action) -> &'static Entry {
    table().find(|entry| entry.action == action).unwrap_or(&window::ENTRIES[window::ENTRIES.len() - 1])
}

impl Entry {
    /// Returns the first shortcut as this system writes it, if there is one.
    pub fn shortcut_label(&self, ctx: &Context) -> Option<String> {
        self.shortcuts.first().map(|shortcut| {
            let label = ctx.format_shortcut(shortcut);
            let key = shortcut.logical_key;
            // Show the symbol on the key, not the key's name.
            let is_sign = matches!(
                key,
                Key::Plus
                    | Key::Minus
                    | Key::Equals
                    | Key::Comma
                    | Key::Period
                    | Key::OpenBracket
                    | Key::CloseBracket
            );
            match label.strip_suffix(key.name()) {
                Some(modifiers) if is_sign => format!("{modifiers}{}", key.symbol_or_name()),
                _ => label,
            }
        })
    }

    /// Returns the tooltip, with the shortcut in parentheses.
    pub fn hint(&self, ctx: &Context) -> String {
        match self.shortcut_label(ctx) {
            Some(shortcut) => format!("{} ({shortcut})", self.tooltip),
            None => self.tooltip.to_owned(),
        }
    }
}

/// Input states in which keys are not shortcuts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Busy {
    /// Whether text is being typed: plain keys are letters, and Ctrl+Z undoes typing.
    pub typing: bool,
    /// `None` without an open dialog; otherwise the action that opened the dialog and closes it again, if
    /// any.
    pub dialog: Option<Option<Action>>,
}

impl Busy {
    /// Whether a shortcut is ignored in this state.
    fn keeps(self, shortcut: &KeyboardShortcut, action: Action) -> bool {
        let types = !shortcut.modifiers.command && !is_function_key(shortcut.logical_key)
            || shortcut.modifiers.command && edits_text(shortcut.logical_key);
        if self.typing && types {
            return true;
        }
        let closes = |opened_by: Option<Action>| opened_by == Some(action);
        self.dialog.is_some_and(|opened_by| !action.works_over_dialogs() && !closes(opened_by))
    }
}

impl Action {
    /// Whether the action repeats while its key is held; toggles do not.
    fn repeats(self) -> bool {
        matches!(
            self,
            Self::Look(..)
                | Self::ZoomIn
                | Self::ZoomOut
                | Self::Turn(..)
                | Self::NextSlide
                | Self::PreviousSlide
                | Self::NextMatch
                | Self::PreviousMatch
                | Self::ResizeBrush(_)
                | Self::Undo
                | Self::Redo
                | Self::TextLarger
                | Self::TextSmaller
        )
    }

    /// Whether the action works while a dialog is open: it concerns the whole window or closes the dialog.
    fn works_over_dialogs(self) -> bool {
        matches!(
            self,
            Self::ClearQuery
                | Self::Palette
                | Self::Help
                | Self::Quit
                | Self::ToggleTheme
                | Self::TextLarger
                | Self::TextSmaller
                | Self::TextUsual
        )
    }
}

/// Returns the actions whose shortcuts were pressed since the last frame, and removes those key events.
pub fn pressed(ctx: &Context, busy: Busy) -> Vec<Action> {
    // Shortcuts with more modifiers are tested first, so that Ctrl+Shift+O is not taken for Ctrl+O.
    let mut shortcuts: Vec<(&KeyboardShortcut, Action)> = table()
        .flat_map(|entry| entry.shortcuts.iter().map(|shortcut| (shortcut, entry.action)))
        .filter(|(shortcut, action)| !busy.keeps(shortcut, *action))
        .collect();
    let modifiers = |shortcut: &KeyboardShortcut| {
        let Modifiers { alt, ctrl, shift, command, .. } = shortcut.modifiers;
        [alt, ctrl, shift, command].into_iter().filter(|held| *held).count()
    };
    shortcuts.sort_by_key(|(shortcut, _)| std::cmp::Reverse(modifiers(shortcut)));
    let mut asked = Vec::new();
    ctx.input_mut(|input| {
        for (shortcut, action) in shortcuts {
            input.events.retain(|event| match event {
                Event::Key { key, modifiers, pressed: true, repeat, .. }
                    if *key == shortcut.logical_key && modifiers.matches_logically(shortcut.modifiers) =>
                {
                    if !repeat || action.repeats() {
                        asked.push(action);
                    }
                    false
                }
                _ => true,
            });
        }
    });
    asked
}

fn is_function_key(key: Key) -> bool {
    matches!(key, Key::F1 | Key::F2 | Key::F3 | Key::F4 | Key::F5 | Key::F6 | Key::F7)
}

/// Keys that, with Ctrl held, edit the text being typed or move in it.
fn edits_text(key: Key) -> bool {
    matches!(
        key,
        Key::A
            | Key::C
            | Key::V
            | Key::X
            | Key::Y
            | Key::Z
            | Key::ArrowLeft
            | Key::ArrowRight
            | Key::Backspace
            | Key::Delete
    )
}

/// Returns the entries whose name or tooltip contains every word of `search`, matches by name first.
pub fn matching(search: &str) -> Vec<&'static Entry> {
    let words: Vec<String> = search.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let mut found: Vec<(bool, &Entry)> = table()
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
        let names: HashSet<_> = table().map(|entry| entry.name).collect();
        assert_eq!(names.len(), table().count());
        let shortcuts: Vec<_> = table().flat_map(|entry| entry.shortcuts).collect();
        let unique: HashSet<_> = shortcuts.iter().map(|shortcut| format!("{shortcut:?}")).collect();
        assert_eq!(unique.len(), shortcuts.len());
        assert!(table().all(|entry| !entry.tooltip.is_empty()));
    }

    /// The actions of keys pressed one after the other.
    fn actions_of(keys: &[(Modifiers, Key, bool)], busy: Busy) -> Vec<Action> {
        let context = Context::default();
        let press = |&(modifiers, key, repeat)| Event::Key {
            key,
            physical_key: None,
            pressed: true,
            repeat,
            modifiers,
        };
        let input = egui::RawInput { events: keys.iter().map(press).collect(), ..Default::default() };
        let mut asked = Vec::new();
        let mut output = context.run_ui(input, |ui| asked = pressed(ui.ctx(), busy));
        // egui panics if texture updates are dropped unhandled.
        output.textures_delta.clear();
        asked
    }

    #[test]
    fn keys_are_letters_while_text_is_typed() {
        let typing = Busy { typing: true, dialog: None };
        let keys = [Key::A, Key::S, Key::Num7, Key::ArrowLeft, Key::Delete, Key::Escape, Key::Space];
        let letters: Vec<_> = keys.map(|key| (Modifiers::NONE, key, false)).into();
        assert_eq!(actions_of(&letters, typing), []);
        let undo = [(Modifiers::COMMAND, Key::Z, false)];
        assert_eq!(actions_of(&undo, typing), [], "this undoes typing, not the last annotation");
        assert_eq!(actions_of(&undo, Busy::default()), [Action::Undo]);
        let others = [(Modifiers::COMMAND, Key::K, false), (Modifiers::NONE, Key::F1, false)];
        assert_eq!(actions_of(&others, typing), [Action::Palette, Action::Help]);
    }

    #[test]
    fn a_dialog_keeps_all_keys_but_those_of_the_whole_window_and_its_own() {
        let over = |action| Busy { typing: false, dialog: Some(action) };
        let keys = [Key::I, Key::T, Key::Num7, Key::ArrowLeft].map(|key| (Modifiers::NONE, key, false));
        assert_eq!(actions_of(&keys, over(None)), []);
        assert_eq!(actions_of(&keys, over(Some(Action::SlideProperties))), [Action::SlideProperties]);
        let close = [(Modifiers::NONE, Key::Escape, false), (Modifiers::NONE, Key::F1, false)];
        assert_eq!(actions_of(&close, over(None)), [Action::ClearQuery, Action::Help]);
    }

    #[test]
    fn a_held_key_moves_on_but_switches_nothing_to_and_fro() {
        let held = [(Modifiers::NONE, Key::T, false), (Modifiers::NONE, Key::T, true)];
        assert_eq!(actions_of(&held, Busy::default()), [Action::ToggleTissue]);
        let held = [(Modifiers::NONE, Key::ArrowLeft, false), (Modifiers::NONE, Key::ArrowLeft, true)];
        assert_eq!(actions_of(&held, Busy::default()), [Action::Look(-1, 0); 2]);
    }

    #[test]
    fn more_modifiers_are_another_action() {
        let keys = [(Modifiers::SHIFT, Key::R, false), (Modifiers::NONE, Key::R, false)];
        assert_eq!(actions_of(&keys, Busy::default()), [Action::Turn(-90), Action::Turn(90)]);
    }

    #[test]
    fn keys_are_written_as_they_look() {
        let context = Context::default();
        let label = |action| entry(action).shortcut_label(&context);
        assert_eq!(label(Action::ResizeBrush(false)).as_deref(), Some("["));
        assert_eq!(label(Action::TextLarger).as_deref(), Some("Ctrl++"));
        assert_eq!(label(Action::NextSlide).as_deref(), Some("PageDown"));
        assert_eq!(label(Action::ClearViewHistory), None);
    }

    #[test]
    fn the_palette_finds_by_words_of_name_or_tooltip() {
        assert_eq!(matching("whole")[0].action, Action::Fit);
        assert_eq!(matching("magn 10")[0].action, Action::Power(10.0));
        assert!(matching("no such thing").is_empty());
        assert_eq!(matching("").len(), table().count());
    }
}
