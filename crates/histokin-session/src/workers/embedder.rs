//! The thread that embeds. It owns the encoder and follows the newest plan.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{EventChannel, EventSender};
use crate::crash;
use crate::session::{
    EmbedPlan, EmbedTarget, EmbeddingEvent, EmbeddingJob, Event, Issued, MessageEvent, OpenedProject,
    PictureQuery, PictureRequest, PreviewRequest, ProjectNumber, QueryEvent, SlideEvent, SlideProgress,
    TileRequest,
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
    plan: Option<Issued<EmbedPlan>>,
    running: Option<Running>,
    /// A picture to search with.
    picture: Option<Issued<PictureRequest>>,
    /// Tiles for which a query waits.
    tiles: Option<Issued<TileRequest>>,
    /// A sample of tiles to embed with another encoder.
    preview: Option<Issued<PreviewRequest>>,
    /// Stops the preview that runs.
    previewing: Option<Arc<AtomicBool>>,
    /// Whether the slide that was interrupted by a request is continued afterwards.
    goes_on: bool,
    closed: bool,
}

/// What is being embedded.
struct Running {
    of: ProjectNumber,
    slide: SlideId,
    work: WorkId,
    /// Stops it.
    control: Arc<EmbedControl>,
}

impl Running {
    /// Whether a target of a plan is the same work.
    fn is(&self, plan: &Issued<EmbedPlan>, target: &EmbedTarget) -> bool {
        plan.of == self.of && target.slide.info().id == self.slide && work_id(&plan.job, target) == self.work
    }
}

/// Recipe and selection of tiles.
type WorkId = (String, Option<String>);

fn work_id(plan: &EmbedPlan, target: &EmbedTarget) -> WorkId {
    (plan.recipe.short_id(), target.selection.id())
}

/// What the embedder does next.
enum Work {
    EmbedPicture(Issued<PictureRequest>),
    EmbedTiles(Issued<TileRequest>),
    Preview(Box<Issued<PreviewRequest>>),
    Embed(Box<Issued<EmbedPlan>>, EmbedTarget, Arc<EmbedControl>),
}

impl EmbedderQueue {
    /// Takes a job of a project. A plan replaces the previous one: if the slide being embedded is still first in it, work on
    /// it continues with the plan's focus; otherwise it is interrupted. Everything else comes before the plan, and each
    /// replaces a job of its kind that still waits.
    pub fn submit(&self, project: &OpenedProject, job: EmbeddingJob) {
        match job {
            EmbeddingJob::Plan(plan) => self.follow(Issued::new(plan, project)),
            EmbeddingJob::Picture(request) => {
                self.interpose(|state| state.picture = Some(Issued::new(request, project)));
            }
            EmbeddingJob::Tiles(request) => {
                self.interpose(|state| state.tiles = Some(Issued::new(request, project)));
            }
            EmbeddingJob::Preview(request) => {
                self.interpose(|state| state.preview = Some(Issued::new(*request, project)));
            }
        }
    }

    fn follow(&self, mut plan: Issued<EmbedPlan>) {
        let mut state = self.lock();
        if let Some(running) = &state.running {
            if plan.job.targets.first().is_some_and(|target| running.is(&plan, target)) {
                running.control.set_focus(plan.job.focus.take());
                running.control.set_paused(plan.job.paused);
            } else {
                running.control.stop();
            }
        }
        state.plan = Some(plan);
        state.goes_on = false;
        drop(state);
        self.changed.notify_all();
    }

    /// Adds work that comes before the plan.
    fn interpose(&self, add: impl FnOnce(&mut QueueState)) {
        let mut state = self.lock();
        if let Some(running) = &state.running {
            running.control.stop();
            state.goes_on = true;
        }
        add(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    /// Drops everything for projects that were left, and stops embedding for them; `open` is the number of the project that
    /// is open.
    pub fn leave_for(&self, open: ProjectNumber) {
        let mut state = self.lock();
        state.plan.take_if(|plan| !plan.is_wanted_in(open));
        state.picture.take_if(|request| !request.is_wanted_in(open));
        state.tiles.take_if(|request| !request.is_wanted_in(open));
        state.preview.take_if(|request| !request.is_wanted_in(open));
        if let Some(running) = state.running.as_ref().filter(|running| running.of < open) {
            running.control.stop();
            state.goes_on = false;
        }
    }

    /// Ends the embedder; work on the current slide is interrupted.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some(running) = &state.running {
            running.control.stop();
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
            if let Some(request) = state.picture.take() {
                return Some(Work::EmbedPicture(request));
            }
            if let Some(request) = state.tiles.take() {
                return Some(Work::EmbedTiles(request));
            }
            if let Some(request) = state.preview.take() {
                state.previewing = Some(request.job.stop.clone());
                return Some(Work::Preview(Box::new(request)));
            }
            let is_work = |plan: &&mut Issued<EmbedPlan>| !plan.job.paused && !plan.job.targets.is_empty();
            if let Some(plan) = state.plan.as_mut().filter(is_work) {
                let target = plan.job.targets.remove(0);
                let control = Arc::new(EmbedControl::default());
                control.set_focus(plan.job.focus.take());
                let taken = plan.with(plan.job.clone());
                let work = work_id(&taken.job, &target);
                let slide = target.slide.info().id.clone();
                state.running = Some(Running { of: taken.of, slide, work, control: control.clone() });
                return Some(Work::Embed(Box::new(taken), target, control));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records that work on a slide has ended, so that a plan that arrived meanwhile does not start it again.
    fn done(&self, target: &EmbedTarget, interrupted: bool) {
        let mut state = self.lock();
        let goes_on = std::mem::take(&mut state.goes_on);
        let (Some(running), Some(plan)) = (state.running.take(), state.plan.as_mut()) else { return };
        if interrupted && goes_on && plan.of == running.of {
            plan.job.targets.insert(0, target.clone());
        } else if !interrupted {
            let mut targets = std::mem::take(&mut plan.job.targets);
            targets.retain(|target| !running.is(plan, target));
            plan.job.targets = targets;
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The encoder that was used last, with its name.
#[derive(Default)]
struct Loaded {
    encoder: Option<(String, Box<dyn Encoder>)>,
    /// The project that was told on which device it runs.
    told: Option<ProjectNumber>,
}

impl Loaded {
    /// Returns the encoder `id` of that name for work of the project `of`; loads it if it is not loaded yet.
    ///
    /// # Errors
    /// [`EncoderError`] if it cannot be loaded, or its files are by now those of an encoder other than `id`.
    fn get(
        &mut self,
        name: &str,
        id: &EncoderId,
        device: DeviceChoice,
        (of, events): (ProjectNumber, &EventSender),
    ) -> Result<&mut dyn Encoder, EncoderError> {
        let is_it =
            |(loaded, encoder): &(String, Box<dyn Encoder>)| loaded == name && encoder.spec().id == *id;
        if !self.encoder.as_ref().is_some_and(is_it) {
            let encoder = encoder::load(name, device)?;
            if encoder.spec().id != *id {
                let reason = "the encoder has changed since the project read it; choose it again (Encoders…)";
                return Err(EncoderError::File { path: name.into(), reason: reason.into() });
            }
            self.encoder = Some((name.to_owned(), encoder));
            self.told = None;
        }
        let (_, encoder) = self.encoder.as_mut().expect("it was put there above");
        if self.told.replace(of) != Some(of) {
            events.send(EmbeddingEvent::EncoderRuns { device: encoder.device() });
        }
        Ok(encoder.as_mut())
    }
}

/// Works on requests and plans until the queue is closed.
pub fn run(queue: &EmbedderQueue, device: DeviceChoice, settings: EmbedSettings, channel: &EventChannel) {
    let mut loaded = Loaded::default();
    while let Some(work) = queue.next() {
        match work {
            Work::EmbedPicture(Issued { job: request, of, .. }) => {
                let events = channel.of(of);
                let embedded = attempt("Embedding an image", &mut loaded, &events, |loaded| {
                    let id = &request.recipe.encoder_id;
                    let encoder = loaded.get(&request.encoder, id, device, (of, &events));
                    picture_example(&request, encoder.map_err(|error| error.to_string())?)
                });
                events.send(QueryEvent::PictureEmbedded(embedded.map(Box::new)));
            }
            Work::EmbedTiles(Issued { job: request, of, .. }) => {
                let events = channel.of(of);
                let descriptors = attempt("Embedding tiles", &mut loaded, &events, |loaded| {
                    let id = &request.recipe.encoder_id;
                    let encoder = loaded.get(&request.encoder, id, device, (of, &events));
                    describe(&request, encoder.map_err(|error| error.to_string())?)
                });
                let (slide, rects, recipe) = (request.slide.info().id.clone(), request.rects, request.recipe);
                events.send(QueryEvent::TilesEmbedded { slide, rects, recipe, descriptors });
            }
            Work::Preview(issued) => {
                let events = channel.of(issued.of);
                let request = issued.job;
                let which = request.which.clone();
                let computed = crash::catch("Previewing an encoder", || preview(&request, device, &events));
                let result = computed.unwrap_or_else(|crash| {
                    events.send(MessageEvent::Crashed(crash.clone()));
                    Err(crash.summary)
                });
                if !request.stop.load(Ordering::Relaxed) {
                    events.send(EmbeddingEvent::Previewed { which, result: result.map(Arc::new) });
                }
            }
            Work::Embed(issued, target, control) => {
                let work = (target, control.as_ref());
                embed_target(queue, *issued, work, (device, settings), &mut loaded, channel);
            }
        }
    }
}

/// Embeds a slide of the plan, and reports what has become of it.
fn embed_target(
    queue: &EmbedderQueue,
    issued: Issued<EmbedPlan>,
    (target, control): (EmbedTarget, &EmbedControl),
    (device, settings): (DeviceChoice, EmbedSettings),
    loaded: &mut Loaded,
    channel: &EventChannel,
) {
    let (of, events) = (issued.of, channel.of(issued.of));
    let (plan, _claim) = issued.into_parts();
    let embedded = crash::catch("Embedding a slide", || {
        let encoder = loaded.get(&plan.encoder, &plan.recipe.encoder_id, device, (of, &events))?;
        Ok::<bool, EncoderError>(embed(&plan, &target, encoder, settings, control, &events))
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
            *loaded = Loaded::default();
            queue.done(&target, false);
            let (slide, reason) = (target.slide.info().id.clone(), crash.summary.clone());
            events.send(EmbeddingEvent::Failed { slide, reason });
            events.send(MessageEvent::Crashed(crash));
        }
    }
}

/// Embeds for a query. After a panic, which is reported, the encoder is loaded again, since its state is unknown.
fn attempt<T>(
    doing: &str,
    loaded: &mut Loaded,
    events: &EventSender,
    embed: impl FnOnce(&mut Loaded) -> Result<T, String>,
) -> Result<T, String> {
    crash::catch(doing, || embed(loaded)).unwrap_or_else(|crash| {
        *loaded = Loaded::default();
        events.send(MessageEvent::Crashed(crash.clone()));
        Err(crash.summary)
    })
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
    use crate::session::{Found, Session};
    use crate::workers::events::tests::channel;
    use histokin_core::descriptors::{DescriptorStore, Recipe};
    use histokin_core::slide::SlideSource;
    use histokin_core::slide::test_slide::TestSlide;
    use histokin_core::stain::StainSetting;
    use histokin_core::tiling::TileSettings;
    use histokin_core::tissue::TissueSettings;
    use histokin_project::pipeline::TileSelection;
    use histokin_project::project::Project;

    #[test]
    fn an_encoder_whose_files_have_changed_is_never_taken_for_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histokin-encoder/tests/fixtures/vit");
        let weights = folder.path().join("small.safetensors");
        std::fs::copy(fixtures.join("timm_plain.safetensors"), &weights).unwrap();
        let name = weights.to_str().unwrap();
        let (channel, _received) = channel();
        let of = ProjectNumber::default();
        let events = channel.of(of);
        let mut loaded = Loaded::default();
        let first = encoder::spec(name).unwrap().id;
        loaded.get(name, &first, DeviceChoice::Cpu, (of, &events)).unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"num_attention_heads": 4}"#).unwrap();
        let second = encoder::spec(name).unwrap().id;
        assert_ne!(first, second);
        let found = loaded.get(name, &second, DeviceChoice::Cpu, (of, &events)).unwrap().spec().id.clone();
        assert_eq!(found, second);
        let refused =
            loaded.get(name, &first, DeviceChoice::Cpu, (of, &events)).err().expect("it is refused");
        assert!(refused.to_string().contains("has changed"), "{refused}");
    }

    fn opened() -> (tempfile::TempDir, OpenedProject) {
        let folder = tempfile::tempdir().unwrap();
        let opened = Session::new(Project::open_or_create(folder.path()).unwrap()).opened();
        (folder, opened)
    }

    fn recipe(name: &str) -> Recipe {
        let (encoder_id, encoder_name) = (EncoderId(name.to_owned()), name.to_owned());
        Recipe { encoder_id, encoder_name, tiles: TileSettings::default(), stain: StainSetting::None }
    }

    #[test]
    fn an_image_to_search_with_is_embedded_even_if_tiles_are_asked_for_before_its_turn() {
        let (folder, project) = opened();
        let queue = EmbedderQueue::default();
        let (recipe, encoder) = (recipe("one"), "one".to_owned());
        let picture = PictureQuery::File("photo.png".into());
        let slide: Arc<dyn SlideSource> = Arc::new(TestSlide::new(400, 300));
        queue.submit(
            &project,
            EmbeddingJob::Picture(PictureRequest {
                picture,
                folder: folder.path().to_owned(),
                recipe: recipe.clone(),
                encoder: encoder.clone(),
            }),
        );
        let request = TileRequest { slide, rects: Vec::new(), recipe, encoder };
        queue.submit(&project, EmbeddingJob::Tiles(request));
        assert!(matches!(queue.next(), Some(Work::EmbedPicture(_))));
        assert!(matches!(queue.next(), Some(Work::EmbedTiles(_))));
    }

    #[test]
    fn a_slide_that_is_done_stays_in_a_plan_for_other_work_on_it() {
        let (folder, project) = opened();
        let slide: Arc<dyn SlideSource> = Arc::new(TestSlide::new(400, 300));
        let selection = TileSelection::new(TissueSettings::default(), None);
        let plan = |name: &str| {
            let target = EmbedTarget { slide: slide.clone(), tissue: None, selection: selection.clone() };
            EmbeddingJob::Plan(EmbedPlan {
                recipe: recipe(name),
                encoder: name.to_owned(),
                store: DescriptorStore::new(folder.path().to_owned()),
                targets: vec![target],
                focus: None,
                paused: false,
            })
        };
        let queue = EmbedderQueue::default();
        let left =
            |queue: &EmbedderQueue| queue.lock().plan.as_ref().map_or(0, |plan| plan.job.targets.len());
        for (next, expected) in [("one", 0), ("two", 1)] {
            queue.submit(&project, plan("one"));
            let Some(Work::Embed(_, target, _)) = queue.next() else { panic!("a slide is embedded") };
            // It is done before it notices that the plan has changed.
            queue.submit(&project, plan(next));
            queue.done(&target, false);
            assert_eq!(left(&queue), expected, "{next}");
        }
        // The same slide in another project.
        queue.submit(&project, plan("one"));
        let Some(Work::Embed(_, target, control)) = queue.next() else { panic!("a slide is embedded") };
        let mut session = Session::new(Project::open_or_create(folder.path()).unwrap());
        let other = Project::open_or_create(&folder.path().join("other")).unwrap();
        session.absorb(Box::new(Found { project: Some(other), ..Found::default() }));
        queue.leave_for(session.opened().number);
        assert!(control.is_stopped() && left(&queue) == 0);
        queue.submit(&session.opened(), plan("one"));
        queue.done(&target, false);
        assert_eq!(left(&queue), 1);
    }

    #[test]
    fn each_project_is_told_on_which_device_the_encoder_runs() {
        let (channel, received) = channel();
        let encoder: Box<dyn Encoder> =
            Box::new(histokin_project::pipeline::HsvHistogram::new(TileSettings::default()));
        let id = encoder.spec().id.clone();
        let mut loaded = Loaded { encoder: Some(("one".to_owned(), encoder)), told: None };
        let mut session = Session::new(Project::open_or_create(tempfile::tempdir().unwrap().path()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        for expected in [1, 1] {
            let of = session.opened().number;
            for _ in 0..2 {
                loaded.get("one", &id, DeviceChoice::Cpu, (of, &channel.of(of))).unwrap();
            }
            assert_eq!(received.try_iter().count(), expected);
            let next = Project::open_or_create(folder.path()).unwrap();
            session.absorb(Box::new(Found { project: Some(next), ..Found::default() }));
        }
    }
}
