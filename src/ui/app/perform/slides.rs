//! Actions that open slides and move between them.

use egui::Context;

use super::App;
use crate::session::ViewCommand;
use crate::ui::actions::SlideAction;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;

impl App {
    pub(super) fn perform_slide_action(&mut self, context: &Context, action: SlideAction) {
        match action {
            SlideAction::OpenFiles => self.choose_file(context, Choose::Files),
            SlideAction::OpenFolder => self.choose_file(context, Choose::Folder),
            SlideAction::OpenPath => self.chrome.dialog = Some(Dialog::open_path()),
            SlideAction::OpenRecent => self.chrome.dialog = Some(Dialog::recent(&self.window_state.recent)),
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

    fn show_neighbour(&mut self, step: isize) {
        let Some(active) = self.session.active().map(|slide| slide.id().clone()) else { return };
        let slides = self.session.slides();
        let index = slides.iter().position(|slide| *slide.id() == active).unwrap_or(0);
        let next = (index as isize + step).rem_euclid(slides.len() as isize) as usize;
        let id = slides[next].id().clone();
        self.command(ViewCommand::Show(id));
    }
}
