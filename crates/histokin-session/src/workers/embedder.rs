//! The thread that embeds: it owns the encoder and follows the newest plan.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::EventSender;
use crate::crash;
use crate::session::{
    EmbedPlan, EmbedTarget, Event, PictureQuery, PictureRequest, SlideProgress, TileRequest,
};
use histokin_core::query::{Example, ShownExample, TilePlace};
use histokin_core::slide::{self, SlideId};
use histokin_encoder::{self as encoder, DeviceChoice, Encoder, EncoderError};
use histokin_project::pipeline::{
    EmbedControl, EmbedError, EmbedOutcome, EmbedProgress, EmbedSettings, embed_picture, embed_selected,
    embed_tiles, write_picture,
};

/// Where plans are left for the embedder, and what it is doing meanwhile.
#[derive(Default)]
pub struct EmbedderQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    plan: Option<EmbedPlan>,
    running: Option<Running>,
    /// Tiles or a picture that someone waits for.
    describe: Option<Urgent>,
    /// The slide that was being embedded when they were asked for goes on afterwards.
    goes_on: bool,
    closed: bool,
}

/// What is being embedded: slide, recipe and selection of tiles, and the means to stop it.
type Running = (SlideId, (String, Option<String>), Arc<EmbedControl>);

/// What is described before all else.
enum Urgent {
    Tiles(TileRequest),
    Picture(PictureRequest),
}

/// What the embedder does next.
enum Work {
    EmbedTiles(Urgent),
    Embed(Box<EmbedPlan>, EmbedTarget, Arc<EmbedControl>),
}

impl EmbedderQueue {
    /// Leave a new plan. Work on a slide that the plan still wants first goes on, with the plan's focus;
    /// other work makes room.
    pub fn submit(&self, plan: EmbedPlan) {
        let mut state = self.lock();
        if let Some((slide, work, control)) = &state.running {
            let is_wanted = plan.targets.first().is_some_and(|target| {
                target.slide.info().id == *slide && (plan.recipe.short_id(), target.selection.id()) == *work
            });
            if is_wanted {
                control.set_focus(plan.focus);
                control.set_paused(plan.paused);
            } else {
                control.stop();
            }
        }
        state.plan = Some(plan);
        state.goes_on = false;
        drop(state);
        self.changed.notify_all();
    }

    /// Have tiles described before anything else; the slide that is being embedded makes room meanwhile.
    pub fn describe(&self, request: TileRequest) {
        self.interpose(Urgent::Tiles(request));
    }

    /// The same for a picture to ask with.
    pub fn embed_picture(&self, request: PictureRequest) {
        self.interpose(Urgent::Picture(request));
    }

    fn interpose(&self, request: Urgent) {
        let mut state = self.lock();
        if let Some((_, _, control)) = &state.running {
            control.stop();
            state.goes_on = true;
        }
        state.describe = Some(request);
        drop(state);
        self.changed.notify_all();
    }

    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some((_, _, control)) = &state.running {
            control.stop();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Wait until there is something to work on, and take it off the desk.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(request) = state.describe.take() {
                return Some(Work::EmbedTiles(request));
            }
            if let Some(plan) = state.plan.as_mut().filter(|plan| !plan.paused && !plan.targets.is_empty()) {
                let target = plan.targets.remove(0);
                let control = Arc::new(EmbedControl::default());
                control.set_focus(plan.focus.take());
                let id = target.slide.info().id.clone();
                let taken = plan.clone();
                state.running = Some((id, (taken.recipe.short_id(), target.selection.id()), control.clone()));
                return Some(Work::Embed(Box::new(taken), target, control));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The work on a slide has ended; a plan that came meanwhile must not start it again.
    fn done(&self, target: &EmbedTarget, interrupted: bool) {
        let slide = &target.slide.info().id;
        let mut state = self.lock();
        state.running = None;
        if std::mem::take(&mut state.goes_on)
            && interrupted
            && let Some(plan) = &mut state.plan
        {
            plan.targets.insert(0, target.clone());
            return;
        }
        if let Some(plan) = state.plan.as_mut().filter(|_| !interrupted) {
            plan.targets.retain(|target| target.slide.info().id != *slide);
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The encoder that was used last, by name.
#[derive(Default)]
struct Loaded(Option<(String, Box<dyn Encoder>)>);

impl Loaded {
    /// The encoder of that name, loaded unless it is here already.
    fn get(
        &mut self,
        name: &str,
        device: DeviceChoice,
        events: &EventSender,
    ) -> Result<&mut dyn Encoder, EncoderError> {
        if self.0.as_ref().is_none_or(|(loaded, _)| loaded != name) {
            let encoder = encoder::load(name, device)?;
            events.send(Event::EncoderRuns { device: encoder.device() });
            self.0 = Some((name.to_owned(), encoder));
        }
        let (_, encoder) = self.0.as_mut().expect("it was put there above");
        Ok(encoder.as_mut())
    }
}

/// Work through plans until the desk is closed.
pub fn run(queue: &EmbedderQueue, device: DeviceChoice, events: &EventSender) {
    let mut loaded = Loaded::default();
    while let Some(work) = queue.next() {
        match work {
            Work::EmbedTiles(Urgent::Picture(request)) => {
                let described = crash::catch("Describing a picture", || {
                    let encoder =
                        loaded.get(&request.encoder, device, events).map_err(|error| error.to_string())?;
                    picture_example(&request, encoder)
                });
                let described = described.unwrap_or_else(|crash| {
                    loaded = Loaded::default();
                    events.send(Event::Crashed(crash.clone()));
                    Err(crash.summary)
                });
                events.send(Event::PictureEmbedded(described.map(Box::new)));
            }
            Work::EmbedTiles(Urgent::Tiles(request)) => {
                let described = crash::catch("Describing tiles", || {
                    let encoder =
                        loaded.get(&request.encoder, device, events).map_err(|error| error.to_string())?;
                    describe(&request, encoder)
                });
                let descriptors = described.unwrap_or_else(|crash| {
                    loaded = Loaded::default();
                    events.send(Event::Crashed(crash.clone()));
                    Err(crash.summary)
                });
                let (slide, rects) = (request.slide.info().id.clone(), request.rects);
                events.send(Event::TilesEmbedded { slide, rects, descriptors });
            }
            Work::Embed(plan, target, control) => {
                let embedded = crash::catch("Embedding a slide", || {
                    let encoder = loaded.get(&plan.encoder, device, events)?;
                    Ok::<bool, EncoderError>(embed(&plan, &target, encoder, &control, events))
                });
                match embedded {
                    Ok(Ok(interrupted)) => queue.done(&target, interrupted),
                    Ok(Err(error)) => {
                        queue.done(&target, false);
                        events.send(Event::EncoderFailed { reason: error.to_string() });
                    }
                    Err(crash) => {
                        // An encoder that was left in the middle of something is not used again.
                        loaded = Loaded::default();
                        queue.done(&target, false);
                        let (slide, reason) = (target.slide.info().id.clone(), crash.summary.clone());
                        events.send(Event::EmbeddingFailed { slide, reason });
                        events.send(Event::Crashed(crash));
                    }
                }
            }
        }
    }
}

fn describe(request: &TileRequest, encoder: &mut dyn Encoder) -> Result<Vec<Vec<f32>>, String> {
    let TileRequest { slide, rects, recipe, .. } = request;
    embed_tiles(slide.as_ref(), None, rects, encoder, recipe).map_err(|error| error.to_string())
}

/// A picture as an example of what is looked for. One that is in no file is kept in one first, so that the question
/// can be shown and asked again.
fn picture_example(request: &PictureRequest, encoder: &mut dyn Encoder) -> Result<ShownExample, String> {
    let file = match &request.picture {
        PictureQuery::File(path) => path.clone(),
        PictureQuery::Pixels(pixels) => keep_picture(pixels, &request.folder)?,
    };
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let picture = slide::open(&file, None).map_err(|error| told(&error))?;
    let descriptors =
        embed_picture(picture.as_ref(), encoder, &request.recipe).map_err(|error| told(&error))?;
    let info = picture.info();
    let place = Some(TilePlace { slide: info.id.clone(), rect: info.extent() });
    let name = match &request.picture {
        PictureQuery::File(_) => info.name(),
        PictureQuery::Pixels(_) => "Picture from the clipboard".to_owned(),
    };
    let example = Example::Descriptors { name, place: place.clone(), descriptors, file: Some(file) };
    Ok(ShownExample { example, place })
}

/// Keep a picture under a name made from its content.
fn keep_picture(pixels: &image::RgbImage, folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join(format!("clipboard-{:08x}.png", crc32fast::hash(pixels.as_raw())));
    let written = std::fs::create_dir_all(folder)
        .map_err(image::ImageError::from)
        .and_then(|()| write_picture(pixels, &path));
    match written {
        Ok(()) => Ok(path),
        Err(error) => Err(format!("{}: the picture was not kept: {error}", path.display())),
    }
}

/// Embed one slide; true when it was interrupted.
fn embed(
    plan: &EmbedPlan,
    target: &EmbedTarget,
    encoder: &mut dyn Encoder,
    control: &EmbedControl,
    events: &EventSender,
) -> bool {
    let slide = &target.slide.info().id;
    let mut tell = |progress| _ = event(slide, progress).map(|event| events.send(event));
    let outcome = embed_selected(
        target.slide.as_ref(),
        (&target.selection, target.tissue.as_deref()),
        encoder,
        &plan.recipe,
        &plan.store,
        EmbedSettings::default(),
        control,
        &mut tell,
    );
    match outcome {
        Ok(EmbedOutcome::Finished { set, summary }) => {
            events.send(Event::DescriptorsReady { set, finished: true });
            if let Some(no_tiles) = summary.no_tiles {
                events.send(Event::NoTiles { slide: slide.clone(), why: no_tiles });
            }
        }
        Ok(EmbedOutcome::Interrupted) => {
            events.send(Event::EmbeddingInterrupted { slide: slide.clone() });
            return true;
        }
        Err(EmbedError::Slide(error)) if error.is_unavailable() => {
            events.send(Event::SlideUnavailable { slide: slide.clone(), reason: error.to_string() });
        }
        Err(error) => events.send(Event::EmbeddingFailed { slide: slide.clone(), reason: error.to_string() }),
    }
    false
}

fn event(slide: &SlideId, progress: EmbedProgress) -> Option<Event> {
    let slide = slide.clone();
    Some(match progress {
        EmbedProgress::Started { done, total, failed } => {
            Event::EmbeddingStarted { slide, progress: SlideProgress { done, total, failed } }
        }
        EmbedProgress::Tiles { done, total, failed, tiles_per_second } => Event::EmbeddingProgress {
            slide,
            progress: SlideProgress { done, total, failed },
            tiles_per_second,
        },
        EmbedProgress::Searchable(set) => Event::DescriptorsReady { set, finished: false },
        // The list of slides says so.
        EmbedProgress::Coarser { .. } => return None,
        EmbedProgress::Notice(text) => Event::Notice(text),
    })
}
