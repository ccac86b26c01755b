//! Actions that open slides and move between them.

use std::path::{Path, PathBuf};

use egui::Context;

use super::App;
use crate::durable;
use crate::session::{MessageCommand, SlideCommand, ViewCommand};
use crate::ui::actions::SlideAction;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::shipped;

impl App {
    pub(super) fn perform_slide_action(&mut self, context: &Context, action: SlideAction) {
        match action {
            SlideAction::OpenFiles => self.choose_file(context, Choose::Files),
            SlideAction::OpenFolder => self.choose_file(context, Choose::Folder),
            SlideAction::OpenPath => self.chrome.dialog = Some(Dialog::open_path()),
            SlideAction::OpenDemonstration => self.open_demonstration(),
            SlideAction::OpenRecent => self.chrome.dialog = Some(Dialog::recent(&self.window_state.recent)),
            SlideAction::Remove => {
                if let Some(slide) = self.session.active().map(|slide| slide.id().clone()) {
                    self.command(SlideCommand::Remove(slide));
                }
            }
            SlideAction::Next => self.show_neighbour(1),
            SlideAction::Previous => self.show_neighbour(-1),
            SlideAction::Properties => self.toggle_dialog_for_slide(Dialog::properties),
            SlideAction::Calibrate => {
                let is_open = matches!(self.chrome.dialog, Some(Dialog::Calibrate { .. }));
                let slide = self.session.active().filter(|_| !is_open);
                self.chrome.dialog = slide.map(|slide| Dialog::calibrate(slide.source.info()));
            }
        }
    }

    /// Opens the demonstration slides in a project of their own, in the folder of the window's state.
    fn open_demonstration(&mut self) {
        let Some(slides) = shipped::demonstration() else {
            let text = "The demonstration slides were not found: the folder assets/slides is missing beside the program. Open \
                        slides of your own, or unpack the package again";
            self.command(MessageCommand::Report(text.to_owned()));
            return;
        };
        match self.demonstration_project() {
            Ok(project) => self.command(SlideCommand::Open(vec![project, slides])),
            Err(error) => {
                let text = format!("The demonstration project could not be created: {error}");
                self.command(MessageCommand::Report(text));
            }
        }
    }

    /// The project of the demonstration, made if it does not exist.
    fn demonstration_project(&self) -> std::io::Result<PathBuf> {
        let file = self.state_file_path.as_deref().and_then(Path::parent);
        let root = file.map_or_else(std::env::temp_dir, Path::to_owned).join("demonstration");
        let project = root.join("project.toml");
        if !project.exists() {
            std::fs::create_dir_all(&root)?;
            durable::write(&project, include_bytes!("../../../../assets/demonstration.toml"))?;
        }
        Ok(root)
    }

    fn show_neighbour(&mut self, step: isize) {
        let Some(active) = self.session.active().map(|slide| slide.id().clone()) else { return };
        let slides = self.session.slides();
        let index = slides.iter().position(|slide| *slide.id() == active).unwrap_or(0);
        let next = (index as isize + step).rem_euclid(slides.len() as isize) as usize;
        let id = slides[next].id().clone();
        self.close_pages();
        self.command(ViewCommand::Show(id));
    }
}
