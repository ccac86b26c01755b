//! State that the window keeps between starts.

use std::path::PathBuf;

use egui::Context;

use super::App;
use crate::session::{Command, Event};
use crate::slide::SlideId;

/// How long the active pane waits for the slide that it showed before the last start, if others are open, in
/// seconds.
const TIMEOUT_SECONDS: f64 = 8.0;
/// The same for the other panes.
const LONG_TIMEOUT_SECONDS: f64 = 60.0;

impl App {
    /// Recently opened paths, newest first.
    pub fn recent(&self) -> &[PathBuf] {
        &self.remembered.recent
    }

    /// Shows a slide or project that the user has opened, and adds it to the recent paths.
    pub(super) fn note_opened(&mut self, event: &Event) {
        let (path, id) = match event {
            Event::SlideOpened(source) => (&source.info().path, &source.info().id),
            Event::ProjectOpened(project) => return self.remembered.opened(project.root()),
            _ => return,
        };
        // A folder is listed as a folder, not as all of its slides.
        if let Some(index) = self.opening.iter().position(|opening| path.starts_with(opening)) {
            let opened = self.opening.swap_remove(index);
            self.remembered.opened(&opened);
            // A folder given at the start does not replace the slides of the last session.
            if opened == *path || !self.panes.awaits_any() {
                self.to_show = Some(id.clone());
            }
        }
    }

    /// Shows what the user has just opened, and the slides of the last session as soon as they are open.
    pub(super) fn show_what_has_opened(&mut self, context: &Context) {
        let awaited = self.panes.take_awaited(&self.session);
        let opened = self.to_show.take_if(|id| self.session.slide(id).is_some());
        if let Some(slide) = opened {
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

    /// Restores the last view of slides that are shown for the first time since the start.
    pub(super) fn restore_views(&mut self) {
        let shown: Vec<(usize, SlideId)> = self.panes.places().collect();
        for (index, slide) in shown {
            if !self.restored.insert(slide.clone()) {
                continue;
            }
            let former_ids = self.session.project().former_ids();
            let former = former_ids.get(&slide).into_iter().flatten();
            let mut ids = std::iter::once(&slide).chain(former);
            if let Some((field, stance)) = ids.find_map(|id| self.remembered.view_of(id)) {
                self.panes.pane_mut(index).view.come_back_to(field, stance);
            }
        }
    }

    /// Saves the window's state for the next start.
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
