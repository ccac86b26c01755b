//! The page of keys: a preset, and the keys of every command.

use egui::{
    Align, Button, Event, KeyboardShortcut, Layout, Margin, Modifiers, RichText, ScrollArea, TextEdit, Ui,
    Vec2,
};
use egui_material_icons::icons;

use super::super::{chip_ui, icon_button};
use super::{choices_ui, reset_ui, row_ui};
use crate::ui::actions::{self, Entry, Group, Preset, SearchAction, can_be_assigned, label};
use crate::ui::settings::{FindSimilar, Settings, Trackpad};
use crate::ui::theme::{self, Palette};

/// A command whose new key is awaited.
struct Assigning {
    entry: &'static Entry,
    /// The shortcut that is replaced; `None`: one is added.
    before: Option<KeyboardShortcut>,
    /// A shortcut of another command, until the user says whether to take it.
    wanted: Option<(KeyboardShortcut, &'static Entry)>,
    /// Why the last key was not taken.
    problem: Option<String>,
}

/// State of the page.
#[derive(Default)]
pub(super) struct KeysPage {
    search: String,
    assigning: Option<Assigning>,
}

impl KeysPage {
    /// Whether the next key is the new key of a command.
    pub(super) fn is_assigning(&self) -> bool {
        self.assigning.is_some()
    }

    /// Stops waiting for a key.
    pub(super) fn cancel(&mut self) {
        self.assigning = None;
    }

    /// Draws the page in `height` points.
    pub(super) fn ui(&mut self, ui: &mut Ui, settings: &mut Settings, height: f32, palette: &Palette) {
        mouse_ui(ui, settings, palette);
        ui.horizontal(|ui| {
            ui.label(RichText::new("Preset").color(palette.text));
            for preset in Preset::ALL {
                if chip_ui(ui, preset.name(), settings.keys.preset == preset, palette).clicked() {
                    settings.keys.preset = preset;
                    self.cancel();
                }
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let reset = Button::new("Reset keys");
                let hint = "Return all keys to those of the preset";
                if ui.add_enabled(settings.keys.any_changed(), reset).on_hover_text(hint).clicked() {
                    settings.keys.reset_all();
                    self.cancel();
                }
                let edit = TextEdit::singleline(&mut self.search).hint_text("Search commands");
                ui.add(edit.desired_width(150.0).margin(Margin::symmetric(8, 5)))
                    .accessible_name("Search commands");
            });
        });
        ui.add_space(4.0);
        self.take_key(ui, settings);
        let found = actions::matching(&self.search);
        let room = (height - 124.0).max(80.0);
        ScrollArea::vertical().max_height(room).min_scrolled_height(room).auto_shrink(false).show(ui, |ui| {
            for group in Group::ALL {
                let entries = group.entries().iter();
                let mut entries =
                    entries.filter(|entry| found.iter().any(|one| one.name == entry.name)).peekable();
                if entries.peek().is_none() {
                    continue;
                }
                ui.add_space(6.0);
                ui.label(RichText::new(group.name()).family(theme::bold()).color(palette.accent));
                entries.for_each(|entry| self.entry_ui(ui, entry, settings, palette));
            }
            if found.is_empty() {
                ui.label(RichText::new("No matching command").color(palette.weak));
            }
        });
    }

    /// Draws a command with its keys.
    fn entry_ui(&mut self, ui: &mut Ui, entry: &'static Entry, settings: &mut Settings, palette: &Palette) {
        ui.horizontal(|ui| {
            ui.set_min_height(30.0);
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.label(entry.icon.rich_text().size(17.0).color(palette.weak));
            ui.allocate_ui_with_layout(Vec2::new(250.0, 28.0), Layout::left_to_right(Align::Center), |ui| {
                ui.set_min_width(250.0);
                ui.label(RichText::new(entry.name).color(palette.text)).on_hover_text(entry.tooltip);
            });
            if self.assigning.as_ref().is_some_and(|assigning| assigning.entry.name == entry.name) {
                self.question_ui(ui, settings, palette);
                return;
            }
            for shortcut in settings.keys.of(entry) {
                let text = label(ui.ctx(), shortcut);
                let button = ui.add(Button::new(RichText::new(&text).color(palette.strong)).small());
                button.widget_info(|| {
                    let name = format!("change {text} of {}", entry.name);
                    egui::WidgetInfo::labeled(egui::Role::Button, true, name)
                });
                if button.on_hover_text("Click to change or remove this key").clicked() {
                    self.ask(entry, Some(*shortcut));
                }
            }
            let add = format!("add a key to {}", entry.name);
            if icon_button(ui, icons::ICON_ADD, &add, "Add a key", palette.weak).clicked() {
                self.ask(entry, None);
            }
            if let Some(other) = settings.keys.conflict(entry) {
                let text = format!("Conflict: also {}", other.name);
                ui.label(RichText::new(text).small().color(palette.error));
            }
            if reset_ui(ui, &format!("keys of {}", entry.name), !settings.keys.is_changed(entry), palette) {
                settings.keys.reset(entry);
            }
        });
    }

    fn ask(&mut self, entry: &'static Entry, before: Option<KeyboardShortcut>) {
        self.assigning = Some(Assigning { entry, before, wanted: None, problem: None });
    }

    /// Draws the question for the new key in place of a command's keys.
    fn question_ui(&mut self, ui: &mut Ui, settings: &mut Settings, palette: &Palette) {
        let Some(assigning) = &mut self.assigning else { return };
        let (entry, before) = (assigning.entry, assigning.before);
        if let Some((shortcut, other)) = assigning.wanted {
            let text = format!("{} is already assigned to {}.", label(ui.ctx(), &shortcut), other.name);
            ui.label(RichText::new(text).color(palette.query));
            let taken = ui
                .button("Reassign")
                .on_hover_text("Remove the key from that command, and use it here")
                .clicked();
            if taken {
                settings.keys.assign(entry, before, shortcut);
            }
            if taken || ui.button("Cancel").clicked() {
                self.cancel();
            }
            return;
        }
        let text = assigning.problem.as_deref().unwrap_or("Press the new key; Esc cancels");
        let color = if assigning.problem.is_some() { palette.error } else { palette.accent };
        ui.label(RichText::new(text).color(color));
        if let Some(before) = before
            && ui.button("Remove key").clicked()
        {
            settings.keys.remove(entry, before);
            self.cancel();
        }
    }

    /// Takes the key that was pressed for the command that waits for one, before any other use of it.
    fn take_key(&mut self, ui: &Ui, settings: &mut Settings) {
        let Some(assigning) = &mut self.assigning else { return };
        let mut pressed = None;
        let mut is_clipboard = false;
        ui.input_mut(|input| {
            input.events.retain(|event| match event {
                Event::Key { key, pressed: true, modifiers, .. } => {
                    let Modifiers { alt, shift, command, .. } = *modifiers;
                    let held = Modifiers { alt, shift, command, ..Modifiers::NONE };
                    pressed = Some(KeyboardShortcut::new(held, *key));
                    false
                }
                Event::Copy | Event::Cut | Event::Paste(_) | Event::PasteImage(_) => {
                    is_clipboard = true;
                    false
                }
                _ => true,
            });
        });
        if is_clipboard {
            assigning.problem = Some("Copy, cut and paste keep their keys. Press another key".to_owned());
        }
        let Some(shortcut) = pressed else { return };
        if shortcut == KeyboardShortcut::new(Modifiers::NONE, egui::Key::Escape) {
            self.assigning = None;
            return;
        }
        if !can_be_assigned(shortcut) {
            assigning.problem =
                Some(format!("{} cannot be used. Press another key", label(ui.ctx(), &shortcut)));
            return;
        }
        let entry = assigning.entry;
        let other = settings.keys.performed_by(shortcut).find(|other| other.name != entry.name);
        match other {
            Some(other) => assigning.wanted = Some((shortcut, other)),
            None => {
                settings.keys.assign(entry, assigning.before, shortcut);
                self.assigning = None;
            }
        }
    }
}

/// Draws what mouse and trackpad do.
fn mouse_ui(ui: &mut Ui, settings: &mut Settings, palette: &Palette) {
    let key = actions::entry(SearchAction::FindSimilar).shortcut_label(ui.ctx());
    let names = FindSimilar::ALL.map(|choice| choice.name(key.as_deref()));
    let choices: Vec<(FindSimilar, &str)> =
        FindSimilar::ALL.into_iter().zip(names.iter().map(String::as_str)).collect();
    let is_default = settings.find_similar == FindSimilar::default();
    let hint = "What searches for tissue similar to the tile under the pointer. With a double-click, a single click only \
                selects annotations, and double-clicking no longer zooms in";
    if row_ui(ui, "Find similar tissue with", hint, is_default, palette, |ui, _| {
        choices_ui(ui, &mut settings.find_similar, &choices, palette);
    }) {
        settings.find_similar = FindSimilar::default();
    }
    let is_default = settings.trackpad == Trackpad::default();
    let hint = "What two fingers on a trackpad do. Pinching always zooms, and so does the wheel of a mouse";
    if row_ui(ui, "Two fingers on a trackpad", hint, is_default, palette, |ui, _| {
        choices_ui(ui, &mut settings.trackpad, &[(Trackpad::Pan, "Pan"), (Trackpad::Zoom, "Zoom")], palette);
    }) {
        settings.trackpad = Trackpad::default();
    }
}
