//! What the window keeps from one start to the next.

use std::path::PathBuf;

use egui::Context;

use super::App;
use crate::session::{Command, Event};
use crate::slide::SlideId;

/// Seconds for which the pane at work waits for the slide that it showed before the last start, if others are open.
const TIMEOUT_SECONDS: f64 = 8.0;
/// The same of the other panes.
const LONG_TIMEOUT_SECONDS: f64 = 60.0;

impl App {
    /// Paths that were opened before, the newest first.
    pub fn recent(&self) -> &[PathBuf] {
        &self.remembered.recent
    }

    /// What the user opened and could be opened is shown, and offered again.
    pub(super) fn note_opened(&mut self, event: &Event) {
        let (path, id) = match event {
            Event::SlideOpened(source) => (&source.info().path, &source.info().id),
            Event::ProjectOpened(project) => return self.remembered.opened(project.root()),
            _ => return,
        };
        // A folder is offered as such, not by all of its slides.
        if let Some(place) = self.opening.iter().position(|opening| path.starts_with(opening)) {
            let opened = self.opening.swap_remove(place);
            self.remembered.opened(&opened);
            // A folder named at the start does not push aside what was in view before.
            if opened == *path || !self.panes.awaits_any() {
                self.to_show = Some(id.clone());
            }
        }
    }

    /// Show what the user has just opened, and what was shown before the last start as soon as it is open.
    pub(super) fn show_what_has_opened(&mut self, context: &Context) {
        let awaited = self.panes.take_awaited(&self.session);
        let wished = self.to_show.take_if(|id| self.session.slide(id).is_some());
        if let Some(slide) = wished {
            self.panes.show(&slide);
            self.command(Command::Show(slide));
        } else if let Some(slide) = awaited {
            self.command(Command::Show(slide));
        }
        if self.panes.awaits_any() {
            let waited = context.input(|input| input.time);
            if waited > LONG_TIMEOUT_SECONDS {
                self.panes.await_nothing();
            } else if waited > TIMEOUT_SECONDS && self.session.active().is_some() {
                self.panes.await_nothing_at_work();
            }
            context.request_repaint_after_secs(0.5);
        }
    }

    /// A slide that is shown for the first time since the start stands where and how it was looked at last.
    pub(super) fn restore_views(&mut self) {
        let shown: Vec<(usize, SlideId)> = self.panes.places().collect();
        for (place, slide) in shown {
            if !self.restored.insert(slide.clone()) {
                continue;
            }
            let former_ids = self.session.project().former_ids();
            let former = former_ids.get(&slide).into_iter().flatten();
            let mut ids = std::iter::once(&slide).chain(former);
            if let Some((field, stance)) = ids.find_map(|id| self.remembered.view_of(id)) {
                self.panes.pane_mut(place).view.come_back_to(field, stance);
            }
        }
    }

    /// Have the window's state kept for the next start.
    pub fn remember(&mut self) {
        self.view_histories.keep();
        self.remembered.slides_open = self.chrome.slides_open;
        self.remembered.matches_open = self.chrome.matches_open;
        self.remembered.marks_shown = self.chrome.marks_shown;
        self.remembered.annotations_open = self.chrome.annotations_open;
        self.remembered.tissue_shown = self.chrome.tissue_shown;
        self.remembered.smooth = self.appearance.smooth;
        self.remembered.light_theme = self.context.theme() == egui::Theme::Light;
        self.remembered.text_scale = self.context.zoom_factor();
        self.remembered.view_history_shown = self.chrome.view_history_shown;
        self.remembered.layout = self.panes.layout();
        self.remembered.project = Some(self.session.project().root().to_owned());
        if let Some(keeper) = &self.keeper {
            keeper.keep(self.remembered.clone());
        }
    }
}
