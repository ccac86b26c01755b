//! The thread that embeds. It owns the encoder and follows the newest plan.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::EventSender;
use crate::crash;
use crate::session::{
    EmbedPlan, EmbedTarget, EmbeddingEvent, Event, MessageEvent, PictureQuery, PictureRequest,
    PreviewRequest, QueryEvent, SlideEvent, SlideProgress, TileRequest,
};
use histokin_core::query::{Example, ShownExample, TilePosition};
use histokin_core::slide::{self, SlideId};
use histokin_encoder::speeds::{self, MeasuredSpeed};
use histokin_encoder::{self as encoder, DeviceChoice, Encoder, EncoderError, EncoderId};
use histokin_evaluation::preview::{self, EncoderPreview, PreviewSlide};
use histokin_project::pipeline::{
    EmbedControl, EmbedError, EmbedOutcome, EmbedProgress, EmbedRequest, EmbedSettings, embed_picture,
    embed_slide, embed_tiles, write_picture,
};

/// The plan and the urgent requests for the embedder, and what it is doing.
#[derive(Default)]
pub struct EmbedderQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    plan: Option<EmbedPlan>,
    running: Option<Running>,
    /// Tiles or a picture for which a query waits.
    describe: Option<Urgent>,
    /// A sample of tiles to embed with another encoder.
    preview: Option<PreviewRequest>,
    /// Stops the preview that runs.
    previewing: Option<Arc<AtomicBool>>,
    /// Whether the slide that was interrupted by a request is continued afterwards.
    goes_on: bool,
    closed: bool,
}

/// What is being embedded: slide, recipe and selection of tiles, and the control to stop it.
type Running = (SlideId, (String, Option<String>), Arc<EmbedControl>);

/// A request that comes before the plan.
enum Urgent {
    Tiles(TileRequest),
    Picture(PictureRequest),
}

/// What the embedder does next.
enum Work {
    EmbedTiles(Urgent),
    Preview(Box<PreviewRequest>),
    Embed(Box<EmbedPlan>, EmbedTarget, Arc<EmbedControl>),
}

impl EmbedderQueue {
    /// Replaces the plan. If the slide being embedded is still first in the plan, work on it continues with
    /// the plan's focus; otherwise it is interrupted.
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

    /// Embeds tiles before anything else; the slide that is being embedded is interrupted.
    pub fn embed_tiles(&self, request: TileRequest) {
        self.interpose(Urgent::Tiles(request));
    }

    /// Embeds a picture in the same way.
    pub fn embed_picture(&self, request: PictureRequest) {
        self.interpose(Urgent::Picture(request));
    }

    /// Embeds a sample of tiles with another encoder; the slide that is being embedded is interrupted. A preview that
    /// still waits is replaced.
    pub fn preview(&self, request: PreviewRequest) {
        self.interpose_by(|state| state.preview = Some(request));
    }

    fn interpose(&self, request: Urgent) {
        self.interpose_by(|state| state.describe = Some(request));
    }

    /// Adds work that comes before the plan.
    fn interpose_by(&self, add: impl FnOnce(&mut QueueState)) {
        let mut state = self.lock();
        if let Some((_, _, control)) = &state.running {
            control.stop();
            state.goes_on = true;
        }
        add(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the embedder; work on the current slide is interrupted.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some((_, _, control)) = &state.running {
            control.stop();
        }
        if let Some(stop) = &state.previewing {
            stop.store(true, Ordering::Relaxed);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for work and takes it.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(request) = state.describe.take() {
                return Some(Work::EmbedTiles(request));
            }
            if let Some(request) = state.preview.take() {
                state.previewing = Some(request.stop.clone());
                return Some(Work::Preview(Box::new(request)));
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

    /// Records that work on a slide has ended, so that a plan that arrived meanwhile does not start it again.
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

/// The encoder that was used last, with its name.
#[derive(Default)]
struct Loaded(Option<(String, Box<dyn Encoder>)>);

impl Loaded {
    /// Returns the encoder `id` of that name; loads it if it is not loaded yet.
    ///
    /// # Errors
    /// [`EncoderError`] if it cannot be loaded, or its files are by now those of an encoder other than `id`.
    fn get(
        &mut self,
        name: &str,
        id: &EncoderId,
        device: DeviceChoice,
        events: &EventSender,
    ) -> Result<&mut dyn Encoder, EncoderError> {
        if self.0.as_ref().is_none_or(|(loaded, encoder)| loaded != name || encoder.spec().id != *id) {
            let encoder = encoder::load(name, device)?;
            if encoder.spec().id != *id {
                let reason = "the encoder has changed since the project read it; choose it again (Encoders…)";
                return Err(EncoderError::File { path: name.into(), reason: reason.into() });
            }
            events.send(EmbeddingEvent::EncoderRuns { device: encoder.device() });
            self.0 = Some((name.to_owned(), encoder));
        }
        let (_, encoder) = self.0.as_mut().expect("it was put there above");
        Ok(encoder.as_mut())
    }
}

/// Works on requests and plans until the queue is closed.
pub fn run(queue: &EmbedderQueue, device: DeviceChoice, settings: EmbedSettings, events: &EventSender) {
    let mut loaded = Loaded::default();
    while let Some(work) = queue.next() {
        match work {
            Work::EmbedTiles(Urgent::Picture(request)) => {
                let embedded = crash::catch("Embedding an image", || {
                    let encoder = loaded
                        .get(&request.encoder, &request.recipe.encoder_id, device, events)
                        .map_err(|error| error.to_string())?;
                    picture_example(&request, encoder)
                });
                let embedded = embedded.unwrap_or_else(|crash| {
                    loaded = Loaded::default();
                    events.send(MessageEvent::Crashed(crash.clone()));
                    Err(crash.summary)
                });
                events.send(QueryEvent::PictureEmbedded(embedded.map(Box::new)));
            }
            Work::EmbedTiles(Urgent::Tiles(request)) => {
                let embedded = crash::catch("Embedding tiles", || {
                    let encoder = loaded
                        .get(&request.encoder, &request.recipe.encoder_id, device, events)
                        .map_err(|error| error.to_string())?;
                    describe(&request, encoder)
                });
                let descriptors = embedded.unwrap_or_else(|crash| {
                    loaded = Loaded::default();
                    events.send(MessageEvent::Crashed(crash.clone()));
                    Err(crash.summary)
                });
                let (slide, rects, recipe) = (request.slide.info().id.clone(), request.rects, request.recipe);
                events.send(QueryEvent::TilesEmbedded { slide, rects, recipe, descriptors });
            }
            Work::Preview(request) => {
                let which = request.which.clone();
                let computed = crash::catch("Previewing an encoder", || preview(&request, device, events));
                let result = computed.unwrap_or_else(|crash| {
                    events.send(MessageEvent::Crashed(crash.clone()));
                    Err(crash.summary)
                });
                if !request.stop.load(Ordering::Relaxed) {
                    events.send(EmbeddingEvent::Previewed { which, result: result.map(Arc::new) });
                }
            }
            Work::Embed(plan, target, control) => {
                let embedded = crash::catch("Embedding a slide", || {
                    let encoder = loaded.get(&plan.encoder, &plan.recipe.encoder_id, device, events)?;
                    Ok::<bool, EncoderError>(embed(&plan, &target, encoder, settings, &control, events))
                });
                match embedded {
                    Ok(Ok(interrupted)) => queue.done(&target, interrupted),
                    Ok(Err(error)) => {
                        queue.done(&target, false);
                        let (which, reason) = (plan.encoder.clone(), error.to_string());
                        events.send(EmbeddingEvent::EncoderFailed { which, reason });
                    }
                    Err(crash) => {
                        // The state of an encoder after a panic is unknown, so it is loaded again.
                        loaded = Loaded::default();
                        queue.done(&target, false);
                        let (slide, reason) = (target.slide.info().id.clone(), crash.summary.clone());
                        events.send(EmbeddingEvent::Failed { slide, reason });
                        events.send(MessageEvent::Crashed(crash));
                    }
                }
            }
        }
    }
}

/// Embeds a sample of tiles with the encoder that the user looks at. It is not kept: the project's encoder is needed
/// next.
fn preview(
    request: &PreviewRequest,
    device: DeviceChoice,
    events: &EventSender,
) -> Result<EncoderPreview, String> {
    let to_text = |error: &dyn std::fmt::Display| error.to_string();
    let mut progress = |share: f64, doing: &str| {
        let (which, doing) = (request.which.clone(), doing.to_owned());
        events.send(EmbeddingEvent::PreviewProgress { which, share, doing });
        !request.stop.load(Ordering::Relaxed)
    };
    progress(0.0, "Loading the encoder");
    let mut encoder = encoder::load(&request.which, device).map_err(|error| to_text(&error))?;
    let recipe = request.project.recipe(encoder.spec());
    let slides: Vec<PreviewSlide<'_>> = request
        .targets
        .iter()
        .map(|target| PreviewSlide {
            slide: target.slide.as_ref(),
            tissue: target.tissue.as_deref(),
            selection: &target.selection,
        })
        .collect();
    let found = preview::preview(&slides, encoder.as_mut(), &recipe, 0, &mut progress);
    let found = found.map_err(|error| to_text(&error))?;
    let found = found.ok_or("There is no tissue tile on the open slides.")?;
    let measured = MeasuredSpeed { tiles_per_second: found.tiles_per_second, device: found.device.clone() };
    speeds::keep(&encoder.spec().id, measured);
    Ok(found)
}

fn describe(request: &TileRequest, encoder: &mut dyn Encoder) -> Result<Vec<Vec<f32>>, String> {
    let TileRequest { slide, rects, recipe, .. } = request;
    embed_tiles(slide.as_ref(), None, rects, encoder, recipe).map_err(|error| error.to_string())
}

/// Makes an example from a picture. A picture without a file is saved first, so that the query can be shown
/// and repeated.
fn picture_example(request: &PictureRequest, encoder: &mut dyn Encoder) -> Result<ShownExample, String> {
    let file = match &request.picture {
        PictureQuery::File(path) => path.clone(),
        PictureQuery::Pixels(pixels) => keep_picture(pixels, &request.folder)?,
    };
    let to_text = |error: &dyn std::fmt::Display| error.to_string();
    let picture = slide::open(&file, None).map_err(|error| to_text(&error))?;
    let descriptors =
        embed_picture(picture.as_ref(), encoder, &request.recipe).map_err(|error| to_text(&error))?;
    let info = picture.info();
    let position = Some(TilePosition { slide: info.id.clone(), rect: info.extent() });
    let name = match &request.picture {
        PictureQuery::File(_) => info.name(),
        PictureQuery::Pixels(_) => "Image from the clipboard".to_owned(),
    };
    let recipe = Some(request.recipe.short_id());
    let example =
        Example::Descriptors { name, position: position.clone(), descriptors, recipe, file: Some(file) };
    Ok(ShownExample { example, position })
}

/// Saves a picture under a name derived from its content.
fn keep_picture(pixels: &image::RgbImage, folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join(format!("clipboard-{:08x}.png", crc32fast::hash(pixels.as_raw())));
    let written = std::fs::create_dir_all(folder)
        .map_err(image::ImageError::from)
        .and_then(|()| write_picture(pixels, &path));
    match written {
        Ok(()) => Ok(path),
        Err(error) => Err(format!("{}: the image was not saved: {error}", path.display())),
    }
}

/// Embeds one slide; returns true if it was interrupted.
fn embed(
    plan: &EmbedPlan,
    target: &EmbedTarget,
    encoder: &mut dyn Encoder,
    settings: EmbedSettings,
    control: &EmbedControl,
    events: &EventSender,
) -> bool {
    let slide = &target.slide.info().id;
    let mut speed = None;
    let mut report = |progress| {
        if let EmbedProgress::Tiles { tiles_per_second, .. } = &progress {
            speed = Some(*tiles_per_second);
        }
        _ = event(slide, progress).map(|event| events.send(event));
    };
    let request = EmbedRequest {
        slide: target.slide.as_ref(),
        selection: &target.selection,
        tissue: target.tissue.as_deref(),
        recipe: &plan.recipe,
        store: &plan.store,
        settings,
    };
    let outcome = embed_slide(&request, encoder, control, &mut report);
    match outcome {
        Ok(EmbedOutcome::Finished { set, summary }) => {
            if let Some(tiles_per_second) = speed {
                let measured = MeasuredSpeed { tiles_per_second, device: encoder.device() };
                speeds::keep(&encoder.spec().id, measured);
            }
            events.send(EmbeddingEvent::DescriptorsReady { set, finished: true });
            if let Some(no_tiles) = summary.no_tiles {
                events.send(EmbeddingEvent::NoTiles { slide: slide.clone(), why: no_tiles });
            }
        }
        Ok(EmbedOutcome::Interrupted) => {
            events.send(EmbeddingEvent::Interrupted { slide: slide.clone() });
            return true;
        }
        Err(EmbedError::Slide(error)) if error.is_unavailable() => {
            events.send(SlideEvent::Unavailable { slide: slide.clone(), reason: error.to_string() });
        }
        Err(error) => events.send(EmbeddingEvent::Failed { slide: slide.clone(), reason: error.to_string() }),
    }
    false
}

fn event(slide: &SlideId, progress: EmbedProgress) -> Option<Event> {
    let slide = slide.clone();
    Some(match progress {
        EmbedProgress::Started { done, total, failed } => Event::Embedding(EmbeddingEvent::Started {
            slide,
            progress: SlideProgress { done, total, failed },
        }),
        EmbedProgress::Tiles { done, total, failed, tiles_per_second } => {
            Event::Embedding(EmbeddingEvent::Progress {
                slide,
                progress: SlideProgress { done, total, failed },
                tiles_per_second,
            })
        }
        EmbedProgress::Searchable(set) => {
            Event::Embedding(EmbeddingEvent::DescriptorsReady { set, finished: false })
        }
        // The list of slides shows it.
        EmbedProgress::Coarser { .. } | EmbedProgress::FindingTissue { .. } => return None,
        EmbedProgress::Notice(text) => Event::Messages(MessageEvent::Note(text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_whose_files_have_changed_is_never_taken_for_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histokin-encoder/tests/fixtures/vit");
        let weights = folder.path().join("small.safetensors");
        std::fs::copy(fixtures.join("timm_plain.safetensors"), &weights).unwrap();
        let name = weights.to_str().unwrap();
        let (sender, _received) = crossbeam_channel::unbounded();
        let events = EventSender { events: sender, waker: Arc::new(|| {}) };
        let mut loaded = Loaded::default();
        let first = encoder::spec(name).unwrap().id;
        loaded.get(name, &first, DeviceChoice::Cpu, &events).unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"num_attention_heads": 4}"#).unwrap();
        let second = encoder::spec(name).unwrap().id;
        assert_ne!(first, second);
        let found = loaded.get(name, &second, DeviceChoice::Cpu, &events).unwrap().spec().id.clone();
        assert_eq!(found, second);
        let refused = loaded.get(name, &first, DeviceChoice::Cpu, &events).err().expect("it is refused");
        assert!(refused.to_string().contains("has changed"), "{refused}");
    }
}
