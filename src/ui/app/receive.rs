//! Input from other threads since the last frame: events of workers, tiles, chosen files.

use std::time::{Duration, Instant};

use egui::{Context, UserAttentionType, ViewportCommand};

use super::App;
use crate::session::{
    AnnotationCommand, EmbeddingCommand, Event, MessageCommand, PictureQuery, QueryCommand, Report,
    SlideCommand, SlideEvent, TrainingCommand, ViewTarget,
};
use crate::ui::actions::SlideAction;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::shown_slides::Followed;
use crate::ui::single_instance::Listener;
use crate::ui::slide_view::Framing;
use crate::workers::tile_loader::Loaded;

/// Maximum time that a frame spends on events before it draws.
const EVENTS_BUDGET: Duration = Duration::from_millis(3);
/// Maximum number of tiles received in one frame.
const TILES_PER_FRAME: usize = 16;

impl App {
    /// Handles an event of the project that is open.
    pub fn absorb(&mut self, event: impl Into<Event>) {
        self.receive(Report { of: self.session.opened().number, event: event.into() });
    }

    /// Handles what a worker reports.
    fn receive(&mut self, report: Report) {
        if self.session.accepts(&report) {
            self.note_opened(&report.event);
            if matches!(&report.event, Event::Found(found) if found.encoder.is_some()) {
                self.show_encoders(true);
            }
        }
        let jobs = self.session.receive(report);
        self.issue(jobs);
    }

    /// Handles the workers' events, within the time budget of a frame.
    pub(super) fn absorb_events(&mut self, context: &Context) {
        let started = Instant::now();
        while let Ok(report) = self.workers.reports().try_recv() {
            self.receive(report);
            if started.elapsed() > EVENTS_BUDGET {
                context.request_repaint();
                break;
            }
        }
        let destination = self.session.take_destination();
        if let Some(ViewTarget { slide, .. }) = &destination {
            self.close_pages();
            self.canvas.panes.show_beside_query(slide);
        }
        self.canvas.panes.follow(&self.session);
        if let Some(ViewTarget { slide, field }) = destination {
            let is_tile = self.session.query().is_some_and(|query| {
                let matches = query.answer.iter().flat_map(|answer| &answer.matches);
                let marked = query.marks.iter().map(|mark| &mark.shown);
                let examples = query.examples().map(|(_, shown)| shown).chain(marked);
                let mut examples = examples.filter_map(|shown| shown.position.as_ref());
                examples.any(|position| position.slide == slide && position.rect == field)
                    || matches.into_iter().any(|found| found.slide == slide && found.rect == field)
            });
            self.canvas.panes.view_mut().go_to(field, if is_tile { Framing::Tile } else { Framing::Field });
        }
    }

    /// Passes loaded tiles to the renderer, and follows opened and closed slides.
    pub(super) fn receive_tiles(&mut self, context: &Context) {
        let loaded = self.canvas.loader.take_loaded(TILES_PER_FRAME);
        let more = loaded.len() == TILES_PER_FRAME;
        for tile in loaded {
            self.note_unavailable(&tile);
            // A tile that shows its whole slide can stand in for all others, and is evicted last.
            let lasting = self.canvas.slides.is_root(tile.key);
            self.canvas.renderer.atlas.add(tile.key, tile.tile, lasting);
        }
        let now = context.input(|input| input.time);
        if self.canvas.renderer.atlas.begin_frame(now) || more {
            context.request_repaint();
        }
        let Followed { closed, renamed } =
            self.canvas.slides.follow(&self.session, context, &self.canvas.loader, &mut self.canvas.renderer);
        renamed.into_iter().for_each(|(old, new)| self.canvas.panes.rename(old, new));
        if !closed.is_empty() {
            self.canvas.view_histories.unload(|slide| self.session.slide(slide).is_some());
        }
        closed.into_iter().for_each(|slide| self.canvas.panes.forget(slide));
    }

    /// Reports a slide that cannot be read any more to the session.
    fn note_unavailable(&mut self, loaded: &Loaded) {
        let Some(gap) = loaded.tile.gaps.iter().find(|gap| gap.is_unavailable) else { return };
        let Some(slide) = self.canvas.slides.id_of(loaded.key.slide).cloned() else { return };
        self.absorb(SlideEvent::Unavailable { slide, reason: gap.reason.clone() });
    }

    /// Opens what later starts of the program have handed over, and comes to the front for it.
    pub(super) fn take_handed_over(&mut self, context: &Context) {
        while let Some(paths) = self.listener.as_ref().and_then(Listener::take) {
            context.send_viewport_cmd(ViewportCommand::Minimized(false));
            context.send_viewport_cmd(ViewportCommand::Focus);
            context
                .send_viewport_cmd(ViewportCommand::RequestUserAttention(UserAttentionType::Informational));
            if !paths.is_empty() {
                self.close_pages();
                self.command(SlideCommand::Open(paths));
            }
        }
    }

    /// Reports a guide that could not be opened.
    pub(super) fn report_guide(&mut self) {
        if let Some(reason) = self.files.guide.take_failure() {
            self.command(MessageCommand::Report(reason));
        }
    }

    /// Uses chosen files for the purpose of the dialog.
    pub(super) fn use_chosen_files(&mut self, context: &Context) {
        let Some((choose, paths)) = self.files.dialog.take_chosen() else { return };
        let Some(path) = paths.first().cloned() else {
            let text = "No file was chosen. You can also drop files here, or type a path with";
            self.notice_with(context, SlideAction::OpenPath, text);
            return;
        };
        match choose {
            Choose::Files | Choose::Folder => self.command(SlideCommand::Open(paths)),
            Choose::Annotations => {
                for path in paths {
                    self.annotate(|slide| AnnotationCommand::Import { slide, path });
                }
            }
            Choose::SaveAnnotations(_) => self.annotate(|slide| AnnotationCommand::Export { slide, path }),
            Choose::Picture => {
                if let Some(Dialog::SaveView(form)) = &mut self.chrome.dialog {
                    form.path = path.display().to_string();
                }
            }
            Choose::QueryPicture => {
                self.chrome.matches_open = true;
                self.command(QueryCommand::Picture(PictureQuery::File(path)));
            }
            Choose::Encoder => {
                self.show_encoders(true);
                self.command(EmbeddingCommand::OfferEncoder(path.to_string_lossy().into_owned()));
            }
            Choose::Patients => self.command(QueryCommand::ReadPatients(path)),
            Choose::TrainingSettings => {
                self.chrome.training_open = true;
                self.command(TrainingCommand::ReadSettings(path));
            }
            Choose::SaveTrainingSettings => {
                let config = Box::new(self.chrome.training.config().clone());
                self.command(TrainingCommand::WriteSettings { path, config });
            }
        }
    }
}
