//! Which keys perform which commands: a preset, and what the user has changed of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use egui::{Context, Id, Key, KeyboardShortcut, Modifiers};
use serde::{Deserialize, Serialize};

use super::{Action, Entry, presets, table};

/// Keys that are familiar to users of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The keys of QuPath for what QuPath has.
    #[default]
    QuPath,
    /// The keys of ASAP for what ASAP has.
    Asap,
    /// The keys of histokin before it had presets.
    Classic,
}

impl Preset {
    /// All presets, the default first.
    pub const ALL: [Self; 3] = [Self::QuPath, Self::Asap, Self::Classic];

    /// Name for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::QuPath => "QuPath",
            Self::Asap => "ASAP",
            Self::Classic => "histokin (classic)",
        }
    }

    /// The shortcuts of a command in this preset; the first one is shown.
    pub fn of(self, entry: &Entry) -> &'static [KeyboardShortcut] {
        let own = |list: &'static [(Action, &'static [KeyboardShortcut])]| {
            list.iter().find(|(action, _)| *action == entry.action).map(|(_, shortcuts)| *shortcuts)
        };
        match self {
            Self::QuPath => None,
            Self::Asap => own(presets::ASAP),
            Self::Classic => own(presets::CLASSIC),
        }
        .unwrap_or(entry.shortcuts)
    }
}

/// The keys of all commands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Keys {
    /// The keys of commands that are not changed.
    pub preset: Preset,
    /// The shortcuts of changed commands, by the command's name. An empty list is a command without keys. The
    /// settings file has the action's [`Action::id`] in place of the name.
    #[serde(with = "as_text", skip_serializing_if = "BTreeMap::is_empty")]
    changed: BTreeMap<&'static str, Vec<KeyboardShortcut>>,
}

impl Keys {
    /// The keys of a preset, unchanged.
    #[cfg(test)]
    pub fn of_preset(preset: Preset) -> Self {
        Self { preset, ..Self::default() }
    }

    /// The keys that are in force in the window of `ctx`; those of the default preset before
    /// [`Self::install`].
    pub fn current(ctx: &Context) -> Arc<Self> {
        ctx.data(|data| data.get_temp(Self::slot())).unwrap_or_default()
    }

    /// Puts these keys in force in the window of `ctx`: for pressed keys, tooltips, menus and help.
    pub fn install(&self, ctx: &Context) {
        ctx.data_mut(|data| data.insert_temp(Self::slot(), Arc::new(self.clone())));
    }

    fn slot() -> Id {
        Id::unique("keys of commands")
    }

    /// The shortcuts of a command; the first one is shown.
    pub fn of<'a>(&'a self, entry: &Entry) -> &'a [KeyboardShortcut] {
        match self.changed.get(entry.name) {
            Some(changed) => changed,
            None => self.preset.of(entry),
        }
    }

    /// Whether the user has changed the shortcuts of a command.
    pub fn is_changed(&self, entry: &Entry) -> bool {
        self.changed.contains_key(entry.name)
    }

    /// Whether the user has changed any shortcut.
    pub fn any_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// All commands that a shortcut performs. More than one is a conflict: the first one is performed.
    pub fn performed_by(&self, shortcut: KeyboardShortcut) -> impl Iterator<Item = &'static Entry> {
        table().filter(move |entry| self.of(entry).contains(&shortcut))
    }

    /// Another command that has one of the shortcuts of `entry`, if there is one.
    pub fn conflict(&self, entry: &Entry) -> Option<&'static Entry> {
        let shared = self.of(entry).iter().flat_map(|shortcut| self.performed_by(*shortcut));
        shared.into_iter().find(|other| other.name != entry.name)
    }

    /// Gives a command a shortcut, in place of `before` if that is one of its own, and takes it from all
    /// others.
    pub fn assign(&mut self, entry: &Entry, before: Option<KeyboardShortcut>, shortcut: KeyboardShortcut) {
        let others: Vec<_> = self.performed_by(shortcut).filter(|other| other.name != entry.name).collect();
        others.into_iter().for_each(|other| self.remove(other, shortcut));
        let mut shortcuts = self.of(entry).to_vec();
        shortcuts.retain(|known| *known != shortcut);
        match shortcuts.iter_mut().find(|known| Some(**known) == before) {
            Some(known) => *known = shortcut,
            None => shortcuts.push(shortcut),
        }
        self.set(entry, shortcuts);
    }

    /// Takes a shortcut from a command.
    pub fn remove(&mut self, entry: &Entry, shortcut: KeyboardShortcut) {
        let shortcuts = self.of(entry).iter().copied().filter(|known| *known != shortcut).collect();
        self.set(entry, shortcuts);
    }

    fn set(&mut self, entry: &Entry, shortcuts: Vec<KeyboardShortcut>) {
        if shortcuts == self.preset.of(entry) {
            self.changed.remove(entry.name);
        } else {
            self.changed.insert(entry.name, shortcuts);
        }
    }

    /// Returns a command to the shortcuts of the preset.
    pub fn reset(&mut self, entry: &Entry) {
        self.changed.remove(entry.name);
    }

    /// Returns all commands to the shortcuts of the preset.
    pub fn reset_all(&mut self) {
        self.changed.clear();
    }
}

/// Whether a key can be part of a shortcut. Tab, Enter and Space move the focus, press what has it, and pan
/// while held; those of the clipboard never arrive as keys.
pub fn can_be_assigned(shortcut: KeyboardShortcut) -> bool {
    let KeyboardShortcut { modifiers, logical_key } = shortcut;
    let is_clipboard = modifiers.command && matches!(logical_key, Key::C | Key::X | Key::V);
    !matches!(logical_key, Key::Tab | Key::Enter | Key::Space | Key::Escape) && !is_clipboard
}

/// Writes a shortcut as it looks on this system.
pub fn label(ctx: &Context, shortcut: &KeyboardShortcut) -> String {
    let label = ctx.format_shortcut(shortcut);
    let key = shortcut.logical_key;
    // The symbol on the key instead of the key's name.
    let is_sign = matches!(
        key,
        Key::Plus
            | Key::Minus
            | Key::Equals
            | Key::Comma
            | Key::Period
            | Key::OpenBracket
            | Key::CloseBracket
            | Key::Slash
            | Key::Backslash
            | Key::Semicolon
            | Key::Quote
            | Key::Backtick
    );
    match label.strip_suffix(key.name()) {
        Some(modifiers) if is_sign => format!("{modifiers}{}", key.symbol_or_name()),
        _ => label,
    }
}

/// Writes a shortcut for the settings file, the same on all systems: `Ctrl+Shift+Period`.
fn to_text(shortcut: &KeyboardShortcut) -> String {
    let Modifiers { alt, ctrl, shift, command, .. } = shortcut.modifiers;
    let names = [(ctrl || command, "Ctrl+"), (alt, "Alt+"), (shift, "Shift+")];
    let held: String = names.into_iter().filter_map(|(is_held, name)| is_held.then_some(name)).collect();
    format!("{held}{}", shortcut.logical_key.name())
}

/// Reads what [`to_text`] writes; `None` for anything else.
fn from_text(text: &str) -> Option<KeyboardShortcut> {
    let mut parts: Vec<&str> = text.split('+').collect();
    let key = Key::from_name(parts.pop()?)?;
    let mut modifiers = Modifiers::NONE;
    for part in parts {
        modifiers |= match part {
            "Ctrl" => Modifiers::COMMAND,
            "Alt" => Modifiers::ALT,
            "Shift" => Modifiers::SHIFT,
            _ => return None,
        };
    }
    Some(KeyboardShortcut::new(modifiers, key))
}

/// Commands by their ids and shortcuts as text in the settings file. What cannot be read is left out, so that one
/// wrong word does not cost all settings.
mod as_text {
    use std::collections::BTreeMap;

    use egui::KeyboardShortcut;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{from_text, table, to_text};

    type Changed = BTreeMap<&'static str, Vec<KeyboardShortcut>>;

    /// Writes each shortcut as text.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(changed: &Changed, serializer: S) -> Result<S::Ok, S::Error> {
        let text: BTreeMap<String, Vec<String>> = table()
            .filter_map(|entry| {
                let shortcuts = changed.get(entry.name)?;
                Some((entry.action.id(), shortcuts.iter().map(to_text).collect()))
            })
            .collect();
        text.serialize(serializer)
    }

    /// Reads the shortcuts that are legible.
    ///
    /// # Errors
    /// If the value is not a table of lists of strings.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Changed, D::Error> {
        let text = BTreeMap::<String, Vec<String>>::deserialize(deserializer)?;
        let read = |shortcuts: Vec<String>| {
            let read = shortcuts.iter().filter_map(|shortcut| {
                let read = from_text(shortcut);
                if read.is_none() {
                    tracing::warn!(%shortcut, "this is not a shortcut and is left out of the settings");
                }
                read
            });
            read.collect()
        };
        let names: BTreeMap<String, &'static str> =
            table().map(|entry| (entry.action.id(), entry.name)).collect();
        let kept = text.into_iter().filter_map(|(id, shortcuts)| {
            let name = names.get(&id);
            if name.is_none() {
                tracing::warn!(%id, "this is not a command and is left out of the settings");
            }
            Some((*name?, read(shortcuts)))
        });
        Ok(kept.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnnotationAction, SearchAction, SlideAction, ViewAction, entry};
    use super::*;
    use crate::query::Judgement;
    use crate::ui::slide_view::Tool;
    use egui::Key;

    const R: KeyboardShortcut = KeyboardShortcut::new(Modifiers::NONE, Key::R);

    fn rectangle() -> &'static Entry {
        entry(AnnotationAction::Tool(Tool::Rectangle))
    }

    #[test]
    fn no_preset_gives_a_key_to_two_commands() {
        for preset in Preset::ALL {
            let keys = Keys::of_preset(preset);
            let conflicts: Vec<_> = table()
                .filter_map(|entry| keys.conflict(entry).map(|other| (entry.name, other.name)))
                .collect();
            assert!(conflicts.is_empty(), "{preset:?}: {conflicts:?}");
            for (action, _) in presets::ASAP.iter().chain(presets::CLASSIC) {
                assert!(table().any(|entry| entry.action == *action), "{action:?} is in the table");
            }
        }
    }

    #[test]
    fn the_presets_have_the_keys_that_hands_know() {
        let performs = |preset, key| {
            let keys = Keys::of_preset(preset);
            let entry = keys.performed_by(KeyboardShortcut::new(Modifiers::NONE, key)).next();
            entry.map(|entry| entry.action)
        };
        let tool = |tool| Some(Action::Annotations(AnnotationAction::Tool(tool)));
        let qupath = [
            (Key::M, Tool::Hand),
            (Key::R, Tool::Rectangle),
            (Key::O, Tool::Ellipse),
            (Key::L, Tool::Line),
            (Key::P, Tool::Polygon),
            (Key::V, Tool::Polyline),
            (Key::B, Tool::Brush),
            (Key::W, Tool::Wand),
            (Key::Period, Tool::Point),
        ];
        for (key, expected) in qupath {
            assert_eq!(performs(Preset::QuPath, key), tool(expected), "{key:?}");
        }
        for key in [Key::Backspace, Key::Delete] {
            assert_eq!(performs(Preset::QuPath, key), Some(Action::Annotations(AnnotationAction::Delete)));
        }
        assert_eq!(performs(Preset::QuPath, Key::S), Some(Action::Search(SearchAction::FindSimilar)));
        assert_eq!(performs(Preset::QuPath, Key::G), Some(Action::View(ViewAction::ToggleGrid)));
        assert_eq!(performs(Preset::Asap, Key::X), tool(Tool::Hand));
        assert_eq!(performs(Preset::Asap, Key::D), tool(Tool::Point));
        assert_eq!(performs(Preset::Classic, Key::R), Some(Action::View(ViewAction::Turn(90))));
        assert_eq!(performs(Preset::Classic, Key::M), Some(Action::Slides(SlideAction::Calibrate)));
    }

    #[test]
    fn a_key_that_is_given_to_a_command_is_taken_from_the_one_that_had_it() {
        let mut keys = Keys::default();
        let turn = entry(ViewAction::Turn(90));
        let before = keys.of(turn)[0];
        keys.assign(turn, Some(before), R);
        assert_eq!(keys.of(turn), [R]);
        assert!(keys.of(rectangle()).is_empty() && keys.is_changed(rectangle()));
        assert_eq!(keys.performed_by(R).map(|entry| entry.name).collect::<Vec<_>>(), [turn.name]);
        keys.reset(rectangle());
        assert_eq!(keys.conflict(rectangle()).map(|entry| entry.name), Some(turn.name), "it is shown");
        keys.assign(turn, Some(R), before);
        assert!(!keys.any_changed(), "what is as in the preset is no change");
    }

    #[test]
    fn a_second_key_is_added_and_each_can_be_removed() {
        let mut keys = Keys::default();
        let second = KeyboardShortcut::new(Modifiers::ALT, Key::Num1);
        keys.assign(rectangle(), None, second);
        assert_eq!(keys.of(rectangle()), [R, second]);
        keys.remove(rectangle(), R);
        assert_eq!(keys.of(rectangle()), [second]);
        keys.reset_all();
        assert_eq!(keys, Keys::default());
    }

    #[test]
    fn keys_are_kept_as_text_and_what_is_illegible_costs_nothing_else() {
        let mut keys = Keys::of_preset(Preset::Asap);
        let period = KeyboardShortcut::new(Modifiers::COMMAND | Modifiers::SHIFT, Key::Period);
        keys.assign(rectangle(), Some(R), period);
        let text = toml::to_string(&keys).unwrap();
        assert!(text.contains("asap") && text.contains("Ctrl+Shift+Period"), "{text}");
        assert_eq!(toml::from_str::<Keys>(&text).unwrap(), keys);
        let odd = text.replace("\"Ctrl+Shift+Period\"", "\"Hyper+R\", \"F9\", \"\"");
        let read: Keys = toml::from_str(&odd).unwrap();
        assert_eq!(read.of(rectangle()), [KeyboardShortcut::new(Modifiers::NONE, Key::F9)]);
        for entry in table() {
            for preset in Preset::ALL {
                for shortcut in preset.of(entry) {
                    assert_eq!(from_text(&to_text(shortcut)), Some(*shortcut), "{shortcut:?}");
                }
            }
        }
    }

    #[test]
    fn keys_are_kept_by_the_action_and_not_by_the_name_that_is_shown() {
        let ids: std::collections::BTreeSet<String> = table().map(|entry| entry.action.id()).collect();
        assert_eq!(ids.len(), table().count(), "each command has an id of its own");
        // As in files that users have: these ids stay, whatever the commands are called.
        let kept = "preset = \"qupath\"\n\n[changed]\n\
                    \"Annotations(Tool(Rectangle))\" = [\"J\"]\n\
                    \"Search(Judge(Unsure))\" = []\n\
                    \"View(Turn(-90))\" = [\"F9\", \"Alt+F9\"]\n\
                    \"View(ZoomTo(1.25))\" = [\"F8\"]\n\
                    \"Window(NoSuchCommand)\" = [\"F10\"]\n";
        let keys: Keys = toml::from_str(kept).unwrap();
        let plain = |key| KeyboardShortcut::new(Modifiers::NONE, key);
        assert_eq!(keys.of(rectangle()), [plain(Key::J)]);
        assert!(keys.of(entry(SearchAction::Judge(Judgement::Unsure))).is_empty());
        let second = KeyboardShortcut::new(Modifiers::ALT, Key::F9);
        assert_eq!(keys.of(entry(ViewAction::Turn(-90))), [plain(Key::F9), second]);
        assert_eq!(keys.of(entry(ViewAction::ZoomTo(1.25))), [plain(Key::F8)]);
        assert_eq!(keys.performed_by(plain(Key::F10)).count(), 0);
        let read: Keys = toml::from_str(&toml::to_string(&keys).unwrap()).unwrap();
        assert_eq!(read, keys);
    }

    #[test]
    fn keys_with_a_fixed_meaning_cannot_be_assigned() {
        let plain = |key| can_be_assigned(KeyboardShortcut::new(Modifiers::NONE, key));
        assert!(plain(Key::R) && plain(Key::Backspace) && plain(Key::F11));
        assert!(![Key::Space, Key::Enter, Key::Tab, Key::Escape].into_iter().any(plain));
        assert!(!can_be_assigned(KeyboardShortcut::new(Modifiers::COMMAND, Key::C)));
    }
}
