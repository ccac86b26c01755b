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
mod keys;
mod presets;
mod search;
mod slides;
#[cfg(test)]
mod tests;
mod view;
mod window;

pub use annotations::AnnotationAction;
pub use embedding::EmbeddingAction;
pub use keys::{Keys, Preset, can_be_assigned, label};
pub use search::SearchAction;
pub use slides::SlideAction;
pub use view::ViewAction;
pub use window::WindowAction;

use egui::{Context, Event, Key, KeyboardShortcut, Modifiers};
use egui_material_icons::MaterialIcon;

use crate::session::{EvaluationState, Session};

/// Defines the actions of all groups. Those of a single group can be passed on as they are, by [`From`].
macro_rules! enum_of_groups {
    ($(#[$about:meta])* pub enum $whole:ident { $($(#[$doc:meta])* $group:ident($part:ty),)* }) => {
        $(#[$about])*
        pub enum $whole {
            $($(#[$doc])* $group($part),)*
        }

        $(impl From<$part> for $whole {
            fn from(part: $part) -> Self {
                Self::$group(part)
            }
        })*
    };
}

enum_of_groups! {
    /// An action that the user can perform by name or shortcut.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub enum Action {
        /// Opens slides and moves between them.
        Slides(SlideAction),
        /// Moves over a slide, and changes how it is shown.
        View(ViewAction),
        /// Draws, imports and exports annotations.
        Annotations(AnnotationAction),
        /// Searches for similar tissue, and judges matches.
        Search(SearchAction),
        /// Embeds and trains.
        Embedding(EmbeddingAction),
        /// Concerns the whole window.
        Window(WindowAction),
    }
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
    Search,
    /// Embedding and training.
    Embedding,
    /// Panels, theme and help.
    Window,
}

impl Group {
    /// All groups, in the order of the menu and the help sheet.
    pub const ALL: [Self; 6] =
        [Self::Slides, Self::View, Self::Annotations, Self::Search, Self::Embedding, Self::Window];

    /// Heading of the group.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slides => "Slides",
            Self::View => "View",
            Self::Annotations => "Annotations",
            Self::Search => "Similar tissue",
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
            Self::Search => search::ENTRIES,
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
    /// Shortcuts of the default preset; the first one is shown. Those in force are in [`Keys`].
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

const fn alt_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::ALT.plus(Modifiers::SHIFT), key)
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
pub fn entry(action: impl Into<Action>) -> &'static Entry {
    let action = action.into();
    table().find(|entry| entry.action == action).unwrap_or(&window::ENTRIES[window::ENTRIES.len() - 1])
}

impl Entry {
    /// Returns the first shortcut as this system writes it, if there is one.
    pub fn shortcut_label(&self, ctx: &Context) -> Option<String> {
        Keys::current(ctx).of(self).first().map(|shortcut| label(ctx, shortcut))
    }

    /// Returns the name, with the shortcut in parentheses, to be named within a sentence.
    pub fn named(&self, ctx: &Context) -> String {
        let name = self.name.trim_end_matches('…');
        match self.shortcut_label(ctx) {
            Some(shortcut) => format!("{name} ({shortcut})"),
            None => name.to_owned(),
        }
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
    /// Whether a dialog waits for the new key of a command: every key is its answer.
    pub assigning: bool,
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
    /// Name of the action in settings files. It is that of the variants, so that the name that is shown can be
    /// reworded without costing users their keys; who renames a variant has to read the former id as well.
    pub fn id(self) -> String {
        format!("{self:?}")
    }

    /// Says what is missing for the action to do anything; `None` if it can be performed.
    pub fn obstacle(self, session: &Session) -> Option<&'static str> {
        let needs_slide = match self {
            Self::View(_) | Self::Annotations(_) => true,
            Self::Slides(action) => matches!(
                action,
                SlideAction::Next
                    | SlideAction::Previous
                    | SlideAction::Properties
                    | SlideAction::Calibrate
                    | SlideAction::Remove
            ),
            Self::Search(action) => matches!(
                action,
                SearchAction::FindSimilar
                    | SearchAction::DrawRegion(_)
                    | SearchAction::ByAnnotations
                    | SearchAction::BySlide
                    | SearchAction::ByPictureFile
                    | SearchAction::PastePicture
                    | SearchAction::ToggleHeatMap
                    | SearchAction::ToggleQueryHeatMap
                    | SearchAction::ToggleClassMap
                    | SearchAction::ExportHeatMap
            ),
            Self::Embedding(_) | Self::Window(_) => false,
        };
        let needs_query = matches!(
            self,
            Self::Search(
                SearchAction::NextMatch
                    | SearchAction::PreviousMatch
                    | SearchAction::Judge(_)
                    | SearchAction::ChooseMatch
                    | SearchAction::ClassifyMatches
                    | SearchAction::SaveConcept
                    | SearchAction::ExportMatches
            )
        );
        let is_report = self == Self::Window(WindowAction::WriteReport);
        if needs_slide && session.active().is_none() {
            Some("Open a slide first.")
        } else if needs_query && session.query().is_none() {
            Some("Search for some tissue first.")
        } else if is_report && !matches!(session.evaluation(), EvaluationState::Done(_)) {
            Some("Measure a report first.")
        } else {
            None
        }
    }

    /// Whether the action repeats while its key is held; toggles do not.
    fn repeats(self) -> bool {
        matches!(
            self,
            Self::View(ViewAction::Move(..))
                | Self::View(ViewAction::ZoomIn)
                | Self::View(ViewAction::ZoomOut)
                | Self::View(ViewAction::Turn(..))
                | Self::Slides(SlideAction::Next)
                | Self::Slides(SlideAction::Previous)
                | Self::Search(SearchAction::NextMatch)
                | Self::Search(SearchAction::PreviousMatch)
                | Self::Annotations(AnnotationAction::ResizeBrush(_))
                | Self::Annotations(AnnotationAction::Undo)
                | Self::Annotations(AnnotationAction::Redo)
                | Self::Window(WindowAction::TextLarger)
                | Self::Window(WindowAction::TextSmaller)
        )
    }

    /// Whether the action works while a dialog is open: it concerns the whole window or closes the dialog.
    fn works_over_dialogs(self) -> bool {
        matches!(
            self,
            Self::Search(SearchAction::Clear)
                | Self::Window(WindowAction::TogglePalette)
                | Self::Window(WindowAction::ToggleHelp)
                | Self::Window(WindowAction::ToggleSettings)
                | Self::Window(WindowAction::Quit)
                | Self::Window(WindowAction::ToggleTheme)
                | Self::Window(WindowAction::TextLarger)
                | Self::Window(WindowAction::TextSmaller)
                | Self::Window(WindowAction::ResetTextSize)
        )
    }
}

/// Returns the actions whose shortcuts were pressed since the last frame, and removes those key events.
pub fn pressed(ctx: &Context, busy: Busy) -> Vec<Action> {
    if busy.assigning {
        return Vec::new();
    }
    // Shortcuts with more modifiers are tested first, so that Ctrl+Shift+O is not taken for Ctrl+O.
    let keys = Keys::current(ctx);
    // An open menu or list is closed by Escape, which then does nothing else.
    let closes_popup =
        |shortcut: &KeyboardShortcut| shortcut.logical_key == Key::Escape && egui::Popup::is_any_open(ctx);
    let mut shortcuts: Vec<(&KeyboardShortcut, Action)> = table()
        .flat_map(|entry| keys.of(entry).iter().map(|shortcut| (shortcut, entry.action)))
        .filter(|(shortcut, action)| !busy.keeps(shortcut, *action) && !closes_popup(shortcut))
        .collect();
    let modifiers = |shortcut: &KeyboardShortcut| {
        let Modifiers { alt, ctrl, shift, command, .. } = shortcut.modifiers;
        [alt, ctrl, shift, command].into_iter().filter(|held| *held).count()
    };
    shortcuts.sort_by_key(|(shortcut, _)| std::cmp::Reverse(modifiers(shortcut)));
    let mut requests = Vec::new();
    ctx.input_mut(|input| {
        for (shortcut, action) in shortcuts {
            input.events.retain(|event| match event {
                Event::Key { key, modifiers, pressed: true, repeat, .. }
                    if *key == shortcut.logical_key && is_held_for(*modifiers, shortcut) =>
                {
                    if !repeat || action.repeats() {
                        requests.push(action);
                    }
                    false
                }
                _ => true,
            });
        }
    });
    requests
}

/// Whether the modifiers being held are those of a shortcut. Shift and Alt may be needed to type a sign or a
/// digit on some keyboards; with letters and other keys they make another shortcut.
fn is_held_for(held: Modifiers, shortcut: &KeyboardShortcut) -> bool {
    let name = shortcut.logical_key.name();
    let is_sign_or_digit = name.len() == 1 && name.chars().all(|sign| sign.is_ascii_digit())
        || shortcut.logical_key.symbol_or_name() != name;
    match is_sign_or_digit {
        true => held.matches_logically(shortcut.modifiers),
        false => held.matches_exact(shortcut.modifiers),
    }
}

fn is_function_key(key: Key) -> bool {
    let number = key.name().strip_prefix('F').and_then(|number| number.parse::<u8>().ok());
    number.is_some()
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

/// Returns the entries whose name or tooltip contains every word of `search`: first names that begin with it, then those
/// that contain its words.
pub fn matching(search: &str) -> Vec<&'static Entry> {
    let search = search.trim().to_lowercase();
    let words: Vec<&str> = search.split_whitespace().collect();
    let mut found: Vec<(u8, &Entry)> = table()
        .filter_map(|entry| {
            let name = entry.name.to_lowercase();
            let all = format!("{name} {}", entry.tooltip.to_lowercase());
            let by_name = words.iter().all(|word| name.contains(word));
            let worse = if name.starts_with(&search) { 0 } else { 2 - u8::from(by_name) };
            words.iter().all(|word| all.contains(word)).then_some((worse, entry))
        })
        .collect();
    found.sort_by_key(|(worse, _)| *worse);
    found.into_iter().map(|(_, entry)| entry).collect()
}
