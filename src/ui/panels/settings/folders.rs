//! The page of folders: where the project without a name lies, and where the program keeps its files.

use std::path::PathBuf;

use egui::{Align, Layout, Margin, RichText, TextEdit, Ui, Vec2};
use egui_material_icons::icons;

use super::super::{icon_button, line_ui};
use super::{NAME_WIDTH, heading_ui, note_ui, row_ui};
use crate::logging;
use crate::session::Session;
use crate::ui::default_project;
use crate::ui::settings::Settings;
use crate::ui::theme::Palette;

/// State of the page.
pub(super) struct FoldersPage {
    typed: String,
}

impl FoldersPage {
    /// The page, filled in with the folder that was chosen.
    pub(super) fn of(settings: &Settings) -> Self {
        let folder = settings.project_folder.as_deref();
        Self { typed: folder.map(|folder| folder.display().to_string()).unwrap_or_default() }
    }

    /// Draws the page.
    pub(super) fn ui(&mut self, ui: &mut Ui, settings: &mut Settings, session: &Session, palette: &Palette) {
        heading_ui(ui, "Applied at the next start", palette);
        let default = default_project(None).map(|folder| folder.display().to_string()).unwrap_or_default();
        let hint = "The project that opens when none is named and none was open before";
        let mut is_edited = false;
        if row_ui(ui, "Default project", hint, settings.project_folder.is_none(), palette, |ui, name| {
            let edit = TextEdit::singleline(&mut self.typed).hint_text(default.as_str());
            let edit = ui.add(edit.desired_width(400.0).margin(Margin::symmetric(8, 6))).labelled_by(name);
            is_edited = edit.changed();
        }) {
            self.typed.clear();
            is_edited = true;
        }
        let typed = PathBuf::from(self.typed.trim().trim_matches('"'));
        let is_absolute = typed.is_absolute();
        // What is shown of a name that is not UTF-8 is not the folder.
        if is_edited {
            settings.project_folder = is_absolute.then_some(typed);
        }
        if !is_absolute && !self.typed.trim().is_empty() {
            let text = "Enter a full path, starting at the root folder.";
            ui.label(RichText::new(text).small().color(palette.error));
        }
        note_ui(ui, "The folder is created when it is first used. Existing projects are not moved.", palette);

        heading_ui(ui, "Files of the program", palette);
        path_ui(ui, "Open project", Some(session.project().root().to_owned()), palette);
        path_ui(ui, "Log", logging::file(), palette);
        path_ui(ui, "Settings and recent files", super::super::super::state_file(), palette);
    }
}

/// Draws a path that can be copied.
fn path_ui(ui: &mut Ui, name: &str, path: Option<PathBuf>, palette: &Palette) {
    let Some(path) = path.map(|path| path.display().to_string()) else { return };
    ui.horizontal(|ui| {
        ui.set_min_height(30.0);
        ui.allocate_ui_with_layout(Vec2::new(NAME_WIDTH, 28.0), Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_width(NAME_WIDTH);
            ui.label(RichText::new(name).color(palette.text));
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_space(6.0);
            let copy = format!("copy path of {name}");
            if icon_button(ui, icons::ICON_CONTENT_COPY, &copy, "Copy this path", palette.text).clicked() {
                ui.ctx().copy_text(path.clone());
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                line_ui(ui, RichText::new(&path).color(palette.weak));
            });
        });
    });
}
