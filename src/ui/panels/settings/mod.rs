//! The settings: keys, view, embedding and folders. Changes apply at once and are kept.

mod embedding;
mod folders;
mod keys;
mod view;

use egui::{Align, Button, Id, Layout, RichText, ScrollArea, Ui, Vec2};
use egui_material_icons::icons;

use super::{chip_ui, dialog_width, icon_button};
use crate::session::Session;
use crate::ui::app::Requests;
use crate::ui::settings::Settings;
use crate::ui::theme::{self, Palette};
use keys::KeysPage;

/// Width of the names of settings, in points.
const NAME_WIDTH: f32 = 210.0;

/// Parts of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Keys,
    View,
    Embedding,
    Folders,
}

impl Page {
    const ALL: [Self; 4] = [Self::Keys, Self::View, Self::Embedding, Self::Folders];

    fn name(self) -> &'static str {
        match self {
            Self::Keys => "Keys and mouse",
            Self::View => "View",
            Self::Embedding => "Embedding and memory",
            Self::Folders => "Folders",
        }
    }
}

/// State of the dialog.
pub struct SettingsForm {
    page: Page,
    settings: Settings,
    keys: KeysPage,
    folders: folders::FoldersPage,
}

impl SettingsForm {
    /// The dialog with the settings in force, on the page of keys.
    pub fn new(settings: Settings) -> Self {
        let folders = folders::FoldersPage::of(&settings);
        Self { page: Page::Keys, settings, keys: KeysPage::default(), folders }
    }

    /// Whether the dialog waits for the new key of a command.
    pub fn is_assigning(&self) -> bool {
        self.keys.is_assigning()
    }
}

/// Draws the dialog; returns whether to close it.
pub fn settings_ui(
    ui: &mut Ui,
    form: &mut SettingsForm,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    dialog_width(ui, 780.0);
    super::dialogs::title_ui(ui, "Settings", palette);
    ui.horizontal(|ui| {
        for page in Page::ALL {
            if chip_ui(ui, page.name(), form.page == page, palette).clicked() {
                form.page = page;
                form.keys.cancel();
            }
        }
    });
    ui.add_space(6.0);
    let before = form.settings.clone();
    let height = (ui.ctx().content_rect().height() - 230.0).clamp(0.0, 560.0);
    ui.scope(|ui| {
        ui.set_min_height(height);
        let area =
            ScrollArea::vertical().id_salt(form.page.name()).max_height(height).min_scrolled_height(height);
        match form.page {
            Page::Keys => form.keys.ui(ui, &mut form.settings, height, palette),
            Page::View => area.show(ui, |ui| view::view_ui(ui, &mut form.settings, palette, requests)).inner,
            Page::Embedding => {
                area.show(ui, |ui| embedding::embedding_ui(ui, &mut form.settings, session, palette)).inner
            }
            Page::Folders => {
                area.show(ui, |ui| form.folders.ui(ui, &mut form.settings, session, palette)).inner
            }
        }
    });
    if form.settings != before {
        requests.settings = Some(form.settings.clone());
    }
    ui.add_space(10.0);
    ui.horizontal(|ui| {
        let changed = form.settings != reset(&form.settings);
        let hint = "Return all settings to their defaults. Theme and size of text stay as they are";
        if ui.add_enabled(changed, Button::new("Reset all")).on_hover_text(hint).clicked() {
            form.settings = reset(&form.settings);
            form.folders = folders::FoldersPage::of(&form.settings);
            form.keys.cancel();
            requests.settings = Some(form.settings.clone());
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.button("Close").clicked()).inner
    })
    .inner
}

/// The default settings; what the user has read already is not shown again.
fn reset(settings: &Settings) -> Settings {
    Settings {
        first_steps_done: settings.first_steps_done,
        click_explained: settings.click_explained,
        ..Settings::default()
    }
}

fn heading_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.add_space(8.0);
    ui.label(RichText::new(text).family(theme::bold()).color(palette.accent));
}

/// Draws a setting: its name, what `add` draws, and a button that resets it. Returns whether to reset it. `add`
/// gets the widget with the name, by which controls without text are labelled.
fn row_ui(
    ui: &mut Ui,
    name: &str,
    hint: &str,
    is_default: bool,
    palette: &Palette,
    add: impl FnOnce(&mut Ui, Id),
) -> bool {
    ui.horizontal(|ui| {
        ui.set_min_height(34.0);
        let size = Vec2::new(NAME_WIDTH, 28.0);
        let label = ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_width(NAME_WIDTH);
            ui.label(RichText::new(name).color(palette.text)).on_hover_text(hint).id
        });
        add(ui, label.inner);
        reset_ui(ui, name, is_default, palette)
    })
    .inner
}

/// Draws a button that resets a setting, at the right end; returns whether it was clicked.
fn reset_ui(ui: &mut Ui, name: &str, is_default: bool, palette: &Palette) -> bool {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add_space(6.0);
        let reset = ui.add_enabled_ui(!is_default, |ui| {
            let color = if is_default { palette.line } else { palette.text };
            let hint = if is_default { "This is the default" } else { "Reset to the default" };
            icon_button(ui, icons::ICON_RESTART_ALT, &format!("reset {}", name.to_lowercase()), hint, color)
        });
        reset.inner.clicked()
    })
    .inner
}

/// Draws alternative values of a setting.
fn choices_ui<T: PartialEq + Copy>(ui: &mut Ui, current: &mut T, choices: &[(T, &str)], palette: &Palette) {
    ui.spacing_mut().item_spacing.x = 4.0;
    for (value, name) in choices {
        if chip_ui(ui, name, *current == *value, palette).clicked() {
            *current = *value;
        }
    }
}

fn note_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.label(RichText::new(text).small().color(palette.weak));
}
