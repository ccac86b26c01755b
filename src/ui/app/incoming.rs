//! What has come from other threads since the last frame: events of the workers, tiles, chosen files.

use std::time::{Duration, Instant};

use egui::Context;

use super::App;
use crate::session::{Annotate, Command, Event, PictureQuery, Place, TrainingCommand};
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::slide_view::Framing;
use crate::workers::tile_loader::Loaded;

/// How long a frame may spend on events before it draws.
const EVENTS_BUDGET: Duration = Duration::from_millis(3);
/// Tiles taken over in one frame.
const TILES_PER_FRAME: usize = 16;

impl App {
    /// Take over one thing that has happened.
    pub fn absorb(&mut self, event: Event) {
        self.note_opened(&event);
        for job in self.session.absorb(event) {
            self.workers.dispatch(job);
        }
    }

    /// Take over what the workers have found out, as much as the time of a frame allows.
    pub(super) fn absorb_events(&mut self, context: &Context) {
        let started = Instant::now();
        while let Ok(event) = self.workers.events().try_recv() {
            if let Event::EncoderUntrusted { path } = &event {
                self.chrome.dialog = Some(Dialog::TrustEncoder { module: path.clone() });
            }
            self.absorb(event);
            if started.elapsed() > EVENTS_BUDGET {
                context.request_repaint();
                break;
            }
        }
        let destination = self.session.take_destination();
        if let Some(Place { slide, .. }) = &destination {
            self.panes.leave_held(slide);
        }
        self.panes.follow(&self.session);
        if let Some(Place { slide, field }) = destination {
            let is_tile = self.session.query().is_some_and(|query| {
                let matches = query.answer.iter().flat_map(|answer| &answer.matches);
                let mut examples = query.examples().filter_map(|(_, shown)| shown.place.as_ref());
                examples.any(|place| place.slide == slide && place.rect == field)
                    || matches.into_iter().any(|found| found.slide == slide && found.rect == field)
            });
            self.panes.view_mut().go_to(field, if is_tile { Framing::Tile } else { Framing::Field });
        }
    }

    pub(super) fn take_over_tiles(&mut self, context: &Context) {
        let loaded = self.loader.take_loaded(TILES_PER_FRAME);
        let more = loaded.len() == TILES_PER_FRAME;
        for tile in loaded {
            self.note_unavailable(&tile);
            // A tile that shows its whole slide stands in for all others, and goes last.
            let lasting = self.slides.is_root(tile.key);
            self.renderer.atlas.add(tile.key, tile.tile, lasting);
        }
        let now = context.input(|input| input.time);
        if self.renderer.atlas.begin_frame(now) || more {
            context.request_repaint();
        }
        let closed = self.slides.follow(&self.session, context, &self.loader, &mut self.renderer);
        if !closed.is_empty() {
            self.view_histories.put_away(|slide| self.session.slide(slide).is_some());
        }
        closed.into_iter().for_each(|slide| self.panes.forget(slide));
    }

    /// The session is told of a slide that cannot be read any more.
    fn note_unavailable(&mut self, loaded: &Loaded) {
        let Some(gap) = loaded.tile.gaps.iter().find(|gap| gap.is_unavailable) else { return };
        let Some(slide) = self.slides.id_of(loaded.key.slide).cloned() else { return };
        let event = Event::SlideUnavailable { slide, reason: gap.reason.clone() };
        self.session.absorb(event).into_iter().for_each(|job| self.workers.dispatch(job));
    }

    /// Do with chosen files what they were chosen for.
    pub(super) fn take_over_choice(&mut self, context: &Context) {
        if let Some((choose, paths)) = self.file_dialog.take_chosen() {
            if choose == Choose::Picture {
                if let (Some(Dialog::SaveView(form)), Some(path)) = (&mut self.chrome.dialog, paths.first()) {
                    form.path = path.display().to_string();
                }
            } else if let (Choose::SaveAnnotations(_), [path]) = (&choose, paths.as_slice()) {
                let path = path.clone();
                self.annotate(|slide| Annotate::Export { slide, path });
            } else if let (Choose::QueryPicture, [path]) = (&choose, paths.as_slice()) {
                self.chrome.matches_open = true;
                self.command(Command::QueryPicture(PictureQuery::File(path.clone())));
            } else if let (Choose::Patients, [path]) = (&choose, paths.as_slice()) {
                self.command(Command::ReadPatients(path.clone()));
            } else if choose == Choose::Annotations && !paths.is_empty() {
                for path in paths {
                    self.annotate(|slide| Annotate::Import { slide, path });
                }
            } else if let (Choose::TrainingSettings, [path]) = (&choose, paths.as_slice()) {
                self.chrome.training_open = true;
                self.command(Command::Train(TrainingCommand::ReadSettings(path.clone())));
            } else if let (Choose::SaveTrainingSettings, [path]) = (&choose, paths.as_slice()) {
                let config = Box::new(self.chrome.training.config().clone());
                self.command(Command::Train(TrainingCommand::WriteSettings { path: path.clone(), config }));
            } else if paths.is_empty() {
                self.notice(
                    context,
                    "Nothing was chosen. Paths can also be typed (Ctrl+P), or files dropped here.",
                );
            } else {
                self.command(Command::Open(paths));
            }
        }
    }
}
