//! Every action of the window: one table, from which menu, command palette, help sheet, tooltips and
//! shortcuts are made. Its lines stand in the file of their group.

/// A line of the table.
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

/// Something the user can do by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    OpenFiles,
    OpenFolder,
    OpenPath,
    OpenRecent,
    NextSlide,
    PreviousSlide,
    SlideProperties,
    Calibrate,
    Quit,
    Fit,
    ZoomIn,
    ZoomOut,
    /// A magnification such as 10×.
    Power(f64),
    /// One slide pixel on each screen pixel.
    Pixels,
    Look(i8, i8),
    /// Turn the slide by so many degrees clockwise.
    Turn(i16),
    MirrorLeftRight,
    MirrorTopBottom,
    Upright,
    Appearance,
    NextColouring,
    OwnColours,
    /// Divide the canvas into panes.
    Split(Split),
    LinkPanes,
    /// Take up an annotation tool.
    Tool(Tool),
    Undo,
    Redo,
    SelectAnnotations,
    DeleteAnnotations,
    /// Larger or smaller.
    ResizeBrush(bool),
    ImportAnnotations,
    ExportAnnotations,
    ExportAnnotationsPath,
    ToggleAnnotations,
    ToggleViewHistory,
    ClearViewHistory,
    SaveView,
    /// Draw the part of the slide to be saved.
    SaveRegion,
    /// Choose by the system's dialog where the view is saved.
    ChoosePicture,
    CopyView,
    FindSimilar,
    NextMatch,
    PreviousMatch,
    ToggleHeatMap,
    /// Write the heat map as files.
    ExportHeatMap,
    /// Draw the region of a question.
    SelectRegion(RegionShape),
    /// Say whether the match that was gone to is the same tissue.
    Judge(Verdict),
    UndoJudgement,
    /// Ask with the selected annotations.
    QueryAnnotations,
    /// Ask with the whole slide.
    QuerySlide,
    /// Choose a picture's file to ask with.
    ChooseQueryPicture,
    /// Ask with the picture on the clipboard.
    PasteQuery,
    /// Choose a list that tells whose slides they are.
    ChoosePatients,
    CompareWithQuery,
    /// Choose the match that was gone to, or leave it out again.
    ChooseMatch,
    /// Give the chosen matches the class that is drawn with.
    ClassifyMatches,
    UndoClassification,
    ExportMatches,
    SetUpArchive,
    ToggleHistory,
    Back,
    ClearQuery,
    PauseOrResume,
    StopEmbedding,
    EmbeddingSettings,
    ToggleTraining,
    LoadTrainingSettings,
    SaveTrainingSettings,
    ToggleSlides,
    ToggleMatches,
    ToggleTissue,
    ToggleMarks,
    ToggleReport,
    WriteReport,
    ToggleTheme,
    TextLarger,
    TextSmaller,
    TextUsual,
    Palette,
    Help,
    About,
    CopyDiagnostics,
}

/// Where an action stands in menu and help sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Slides,
    View,
    Annotations,
    Similarity,
    Embedding,
    Window,
}

impl Group {
    pub const ALL: [Self; 6] =
        [Self::Slides, Self::View, Self::Annotations, Self::Similarity, Self::Embedding, Self::Window];

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

    /// Its lines of the table, in the order of menu and help sheet.
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

/// One line of the table.
pub struct Entry {
    pub action: Action,
    pub icon: MaterialIcon,
    pub name: &'static str,
    pub tooltip: &'static str,
    /// The first one is shown.
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

/// The whole table, in the order of menu and help sheet.
pub fn table() -> impl Iterator<Item = &'static Entry> {
    Group::ALL.into_iter().flat_map(Group::entries)
}

/// The line of an action.
pub fn entry(action: Action) -> &'static Entry {
    table().find(|entry| entry.action == action).unwrap_or(&window::ENTRIES[window::ENTRIES.len() - 1])
}

impl Entry {
    /// The shortcut as the keyboard of this system writes it, if there is one.
    pub fn shortcut_label(&self, ctx: &Context) -> Option<String> {
        self.shortcuts.first().map(|shortcut| {
            let label = ctx.format_shortcut(shortcut);
            let key = shortcut.logical_key;
            // As the key looks, not as it is called.
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

    /// Tooltip with shortcut.
    pub fn hint(&self, ctx: &Context) -> String {
        match self.shortcut_label(ctx) {
            Some(shortcut) => format!("{} ({shortcut})", self.tooltip),
            None => self.tooltip.to_owned(),
        }
    }
}

/// What the keys belong to before they belong to the table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Busy {
    /// Text is being typed: a key is a letter there, and Ctrl+Z takes back a word.
    pub typing: bool,
    /// A dialog is open over the window, perhaps one that an action of the table closes again.
    pub dialog: Option<Option<Action>>,
}

impl Busy {
    /// Whether a shortcut is to be left alone.
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
    /// Whether it is done again and again while its key is held; what switches something on and off is not.
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

    /// Whether it concerns the whole window, or closes what lies over it.
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

/// The actions whose shortcuts were pressed since the last frame.
pub fn pressed(ctx: &Context, busy: Busy) -> Vec<Action> {
    // The ones with more modifiers are looked for first, so that Ctrl+Shift+O is not taken for Ctrl+O.
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

/// Keys that, with Ctrl held, change or move over the text that is being typed.
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

/// Actions whose name or tooltip holds every word of `search`, the best first.
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

    /// What comes of keys, pressed one after the other.
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
        // egui insists on being told that these were taken care of.
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
        assert_eq!(actions_of(&undo, typing), [], "the last word is taken back, not the last annotation");
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
