//! State that the window keeps between starts.

use std::path::PathBuf;

use egui::Context;

use super::App;
use crate::memory::Budget;
use crate::session::{Event, SlideEvent, ViewCommand};
use crate::slide::SlideId;
use crate::ui::settings::Settings;

/// How long the active pane waits for the slide that it showed before the last start, if others are open, in
/// seconds.
const TIMEOUT_SECONDS: f64 = 8.0;
/// The same for the other panes.
const LONG_TIMEOUT_SECONDS: f64 = 60.0;

/// Paths that the user has opened, and what is shown of them.
#[derive(Default)]
pub(super) struct OpenedPaths {
    /// Until one of their slides is open.
    paths: Vec<PathBuf>,
    /// A slide that has just been opened, to be shown.
    to_show: Option<SlideId>,
}

impl OpenedPaths {
    /// Notes paths that are being opened.
    pub(super) fn expect(&mut self, paths: &[PathBuf]) {
        self.paths.extend(paths.iter().filter_map(|path| std::path::absolute(path).ok()));
    }
}

impl App {
    /// Recently opened paths, newest first.
    pub fn recent(&self) -> &[PathBuf] {
        &self.window_state.recent
    }

    /// Shows a slide or project that the user has opened, and adds it to the recent paths.
    pub(super) fn note_opened(&mut self, event: &Event) {
        let (path, id) = match event {
            Event::Slides(SlideEvent::Opened(source)) => (&source.info().path, &source.info().id),
            Event::Found(found) => {
                if let Some(project) = &found.project {
                    self.window_state.opened(project.root());
                }
                return;
            }
            _ => return,
        };
        // A folder is listed as a folder, not as all of its slides.
        if let Some(index) = self.opened.paths.iter().position(|opening| path.starts_with(opening)) {
            let opened = self.opened.paths.swap_remove(index);
            self.window_state.opened(&opened);
            // A folder given at the start does not replace the slides of the last session.
            if opened == *path || !self.canvas.panes.awaits_any() {
                self.opened.to_show = Some(id.clone());
            }
        }
    }

    /// Shows what the user has just opened, and the slides of the last session as soon as they are open.
    pub(super) fn show_opened(&mut self, context: &Context) {
        let awaited = self.canvas.panes.take_awaited(&self.session);
        let opened = self.opened.to_show.take_if(|id| self.session.slide(id).is_some());
        if let Some(slide) = opened {
            self.canvas.panes.show(&slide);
            self.command(ViewCommand::Show(slide));
        } else if let Some(slide) = awaited {
            self.command(ViewCommand::Show(slide));
        }
        if self.canvas.panes.awaits_any() {
            let waited = context.input(|input| input.time);
            if waited > LONG_TIMEOUT_SECONDS {
                self.canvas.panes.stop_waiting();
            } else if waited > TIMEOUT_SECONDS && self.session.active().is_some() {
                self.canvas.panes.stop_waiting_in_active_pane();
            }
            context.request_repaint_after_secs(0.5);
        }
    }

    /// Restores the last view of slides that are shown for the first time since the start.
    pub(super) fn restore_views(&mut self) {
        let shown: Vec<(usize, SlideId)> = self.canvas.panes.shown().collect();
        for (index, slide) in shown {
            if !self.canvas.restored.insert(slide.clone()) {
                continue;
            }
            let former_ids = self.session.project().former_ids();
            let former = former_ids.get(&slide).into_iter().flatten();
            let mut ids = std::iter::once(&slide).chain(former);
            if let Some((field, orientation)) = ids.find_map(|id| self.window_state.view_of(id)) {
                self.canvas.panes.pane_mut(index).view.restore(field, orientation);
            }
        }
    }

    /// Puts settings in force, and keeps them at once.
    pub(super) fn set_settings(&mut self, settings: Settings) {
        settings.apply(&self.window.context);
        if settings.cache_mib != self.window_state.settings.cache_mib {
            Budget::of_process().set_limit(settings.cache_bytes());
        }
        self.canvas.annotator.set_wand_sensitivity(settings.wand_sensitivity());
        self.window_state.settings = settings;
        self.remember();
    }

    /// Saves the window's state for the next start.
    pub fn remember(&mut self) {
        self.canvas.view_histories.keep();
        self.window_state.slides_open = self.chrome.slides_open;
        self.window_state.matches_open = self.chrome.matches_open;
        self.window_state.highlights_shown = self.chrome.highlights_shown;
        self.window_state.annotations_shown = self.chrome.annotations_shown;
        self.window_state.annotations_filled = self.chrome.annotations_filled;
        self.window_state.grid_shown = self.chrome.grid_shown;
        self.window_state.crosshair_shown = self.chrome.crosshair_shown;
        self.window_state.annotations_open = self.chrome.annotations_open;
        self.window_state.tissue_shown = self.chrome.tissue_shown;
        self.window_state.smooth = self.canvas.appearance.smooth;
        self.window_state.legend = self.canvas.heat_map.legend.moved.map(|moved| [moved.x, moved.y]);
        self.window_state.training_docked = self.chrome.training.is_docked;
        self.window_state.light_theme = self.window.context.theme() == egui::Theme::Light;
        self.window_state.text_scale = self.window.context.zoom_factor();
        self.window_state.view_history_shown = self.chrome.view_history_shown;
        self.window_state.layout = self.canvas.panes.layout();
        self.window_state.project = Some(self.session.project().root().to_owned());
        if let Some(file) = &self.state_file {
            file.save(self.window_state.clone());
        }
    }
}
