//! What the window keeps from one start to the next.

use std::path::PathBuf;

use super::App;
use crate::session::Event;
use crate::ui::slide_view::Framing;

impl App {
    /// Paths that were opened before, the newest first.
    pub fn recent(&self) -> &[PathBuf] {
        &self.remembered.recent
    }

    /// What the user opened and could be opened is offered again.
    pub(super) fn note_opened(&mut self, event: &Event) {
        let path = match event {
            Event::SlideOpened(source) => &source.info().path,
            Event::ProjectOpened(project) => return self.remembered.opened(project.root()),
            _ => return,
        };
        // A folder is offered as such, not by all of its slides.
        if let Some(place) = self.opening.iter().position(|opening| path.starts_with(opening)) {
            let opened = self.opening.swap_remove(place);
            self.remembered.opened(&opened);
        }
    }

    /// A slide that is shown for the first time since the start stands where it was looked at last.
    pub(super) fn restore_view(&mut self) {
        let active = self.session.active().map(|slide| slide.id().clone());
        if active == self.shown_before {
            return;
        }
        if let Some(id) = &active
            && !self.restored.contains(id)
            && let Some(field) = self.remembered.view_of(id)
        {
            self.panes.view_mut().go_to(field, Framing::Field);
        }
        self.restored.extend(active.clone());
        self.shown_before = active;
    }

    /// Have the window's state kept for the next start.
    pub fn remember(&mut self) {
        let Some(keeper) = &self.keeper else { return };
        self.remembered.slides_open = self.chrome.slides_open;
        self.remembered.matches_open = self.chrome.matches_open;
        self.remembered.marks_shown = self.chrome.marks_shown;
        self.remembered.annotations_open = self.chrome.annotations_open;
        self.remembered.tissue_shown = self.chrome.tissue_shown;
        self.remembered.smooth = self.appearance.smooth;
        self.remembered.light_theme = self.context.theme() == egui::Theme::Light;
        self.remembered.text_scale = self.context.zoom_factor();
        self.remembered.project = Some(self.session.project().root().to_owned());
        keeper.keep(self.remembered.clone());
    }
}
