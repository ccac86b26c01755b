//! The named threads of the running program. They take [`Job`]s and answer with [`Event`]s; none of them
//! touches the session, and nobody ever waits for them.

pub mod annotation_keeper;
mod archive_searcher;
mod books;
pub mod embedder;
mod errands;
pub mod heat;
mod evaluator;
pub mod tile_loader;
pub mod mailbox;
mod on_crash;
mod patience;
pub mod trainer;
mod watcher;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::crash;
use crate::session::{
    ArchiveRequest, EvaluatorJob, Event, HistoryJob, Job, LoadJob, OpenJob, PictureJob, ScanJob,
    SearchRequest, TrainingEvent,
};
use embedder::Desk;
use histokin_core::descriptors::DescriptorSet;
use histokin_core::index::{IndexCache, Snapshot};
use histokin_core::query::{self, QueryError};
use histokin_core::slide::SlideSource;
use histokin_encoder::DeviceChoice;
use histokin_project::project::Project;
use mailbox::Mailbox;
use trainer::TrainerDesk;

/// How long a slide may take to open, or a tile to be read, before others are not kept waiting any more.
const OPENING: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(15) };

/// The same for thumbnails and tissue.
const SCANNING: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(60) };

/// How long the end of the program waits for threads that write, and for those that only read.
const LAST_WRITES: Duration = Duration::from_secs(60);
const LAST_READS: Duration = Duration::from_secs(2);

/// Threads that write, beside the keepers.
const WRITERS: [&str; 3] = ["embedder", "trainer", "training-errands"];

/// How long to wait before a project that could not be saved is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(10);

/// Events that may wait for the session; workers wait when there are more.
const EVENTS_WAITING: usize = 256;

/// Called after each event, from any thread: the window repaints.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Where workers leave their events.
#[derive(Clone)]
pub struct Post {
    events: Sender<Event>,
    waker: Waker,
}

impl Post {
    fn training(&self, event: TrainingEvent) {
        self.send(Event::Training(event));
    }

    /// Do a piece of work. If it panics, it alone has failed: `failed` says what the session is to know then
    /// beside the report.
    fn attempt(&self, doing: &str, work: impl FnOnce(), failed: impl FnOnce(String) -> Option<Event>) {
        if let Err(crash) = crash::catch(doing, work) {
            if let Some(event) = failed(crash.summary.clone()) {
                self.send(event);
            }
            self.send(Event::Crashed(crash));
        }
    }

    /// Leave an event. When the program is ending nobody listens any more, and nothing is lost by that.
    pub fn send(&self, event: Event) {
        if self.events.send(event).is_ok() {
            (self.waker)();
        }
    }
}

/// The running workers. Dropping this ends them; what is embedded so far is kept.
pub struct Workers {
    events: Receiver<Event>,
    boxes: Arc<Boxes>,
    threads: Vec<JoinHandle<()>>,
}

/// What waits for each worker.
#[derive(Default)]
struct Boxes {
    opener: Mailbox<OpenJob>,
    scanner: Mailbox<ScanJob>,
    pictures: Mailbox<PictureJob>,
    unavailable: Mailbox<Arc<dyn SlideSource>>,
    searches: Mailbox<SearchRequest>,
    /// `None` when what was asked is not wanted any more.
    archive_searches: Mailbox<Option<ArchiveRequest>>,
    indexer: Mailbox<(Vec<Arc<DescriptorSet>>, IndexCache, bool)>,
    descriptors: Mailbox<LoadJob>,
    keeper: Mailbox<Project>,
    books: Mailbox<HistoryJob>,
    annotations: annotation_keeper::Tray,
    evaluator: Mailbox<EvaluatorJob>,
    /// Ends the evaluation that was asked for last.
    evaluation_stop: Mutex<Option<Arc<AtomicBool>>>,
    desk: Desk,
    trainer: TrainerDesk,
}

impl Workers {
    /// Start all threads.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(device: DeviceChoice, waker: Waker) -> std::io::Result<Self> {
        let (to_session, events) = bounded(EVENTS_WAITING);
        let post = Post { events: to_session, waker };
        let boxes = Arc::new(Boxes::default());
        let mut workers = Self { events, boxes, threads: Vec::new() };
        workers.spawn("slide-opener", &post, |boxes, post| {
            while let Some(job) = boxes.opener.take() {
                let (failed, to_session) = (on_crash::open(&job), post.clone());
                let named = named(&job);
                let open =
                    move || to_session.attempt("Opening files", || errands::open(job, &to_session), failed);
                if !patience::wait_for("slide-opening", OPENING, open) {
                    post.send(Event::Notice(format!(
                        "{named}: its drive does not answer. Others are opened meanwhile, this when it does"
                    )));
                }
            }
        })?;
        workers.spawn("slide-scanner", &post, |boxes, post| {
            while let Some(job) = boxes.scanner.take() {
                let (failed, post) = (on_crash::scan(&job), post.clone());
                let scan = move || post.attempt("Reading a slide", || errands::scan(job, &post), failed);
                patience::wait_for("slide-scanning", SCANNING, scan);
            }
        })?;
        workers.spawn("tile-pictures", &post, |boxes, post| {
            while let Some(job) = boxes.pictures.take() {
                let (failed, post) = (on_crash::picture(&job), post.clone());
                let read = move || post.attempt("Reading a tile", || errands::picture(job, &post), failed);
                patience::wait_for("tile-picture", OPENING, read);
            }
        })?;
        workers.spawn("searcher", &post, |boxes, post| {
            while let Some(request) = boxes.searches.take() {
                let SearchRequest { generation, index, query, marks, second_encoder } = request;
                let search = || {
                    let answer = query::ask(&index, &query, &marks);
                    let second_encoder = second_encoder.map(|index| query::ask(&index, &query, &marks));
                    post.send(Event::Answered { generation, answer, second_encoder });
                };
                let failed = |reason| Event::Answered {
                    generation,
                    answer: Err(QueryError::Crashed(reason)),
                    second_encoder: None,
                };
                post.attempt("The search", search, |reason| Some(failed(reason)));
            }
        })?;
        workers.spawn("archive-searcher", &post, |boxes, post| {
            archive_searcher::run(&boxes.archive_searches, post);
        })?;
        // Nobody waits for its end: it may hang on a dead line, and holds nothing that has to be kept.
        drop(workers.threads.pop());
        // Apart from the scanner: an archive can be searched before its tissue has been found again.
        workers.spawn("descriptor-loader", &post, |boxes, post| {
            while let Some(job) = boxes.descriptors.take() {
                let failed = on_crash::load(&job);
                post.attempt("Reading descriptors", || errands::load(job, post), failed);
            }
        })?;
        workers.spawn("indexer", &post, |boxes, post| {
            let mut previous: Option<Arc<Snapshot>> = None;
            while let Some((sets, cache, settled)) = boxes.indexer.take() {
                let index = || {
                    let build = if settled { Snapshot::build } else { Snapshot::provisional };
                    let index = Arc::new(build(sets, previous.as_deref(), Some(&cache)));
                    previous = Some(index.clone());
                    post.send(Event::IndexBuilt(index.clone()));
                    // Searched already, and quicker when this is done.
                    index.grow_trees();
                };
                post.attempt("Building the index", index, |_| Some(Event::IndexFailed));
            }
        })?;
        workers.spawn("project-keeper", &post, |boxes, post| {
            keep_project(&boxes.keeper, post);
        })?;
        workers.spawn("book-keeper", &post, |boxes, post| {
            while let Some(work) = boxes.books.take_to_the_end() {
                post.attempt(
                    "Keeping questions and judgements",
                    || books::keep_history(work, post),
                    |_| None,
                );
            }
        })?;
        workers.spawn("annotation-keeper", &post, |boxes, post| {
            annotation_keeper::run(&boxes.annotations, post);
        })?;
        workers.spawn("evaluator", &post, |boxes, post| {
            while let Some(job) = boxes.evaluator.take() {
                let failed = evaluator::on_crash(&job);
                post.attempt("Measuring the encoder", || evaluator::work(job, post), failed);
            }
        })?;
        workers.spawn("slide-watcher", &post, |boxes, post| watcher::run(&boxes.unavailable, post))?;
        workers.spawn("embedder", &post, move |boxes, post| embedder::run(&boxes.desk, device, post))?;
        workers.spawn("trainer", &post, |boxes, post| trainer::run(&boxes.trainer, post))?;
        workers.spawn("training-errands", &post, |boxes, post| trainer::run_errands(&boxes.trainer, post))?;
        Ok(workers)
    }

    /// Hand a job to the worker that does it. Never waits.
    pub fn dispatch(&self, job: Job) {
        let boxes = &self.boxes;
        match job {
            Job::Open(job) => boxes.opener.push(job),
            Job::Scan(job) => boxes.scanner.push(job),
            Job::Load(job) => boxes.descriptors.push(job),
            Job::Picture(job) => boxes.pictures.push(job),
            Job::History(job) => boxes.books.push(job),
            Job::Evaluate(job) => {
                if let EvaluatorJob::Evaluate(request) = &job {
                    *boxes.evaluation_stop.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(request.stop.clone());
                }
                boxes.evaluator.push(job);
            }
            Job::AwaitSlide(slide) => boxes.unavailable.push(slide),
            Job::Embed(plan) => boxes.desk.submit(plan),
            Job::Describe(request) => boxes.desk.describe(request),
            Job::DescribePicture(request) => boxes.desk.describe_picture(request),
            Job::BuildIndex { sets, cache, settled } => boxes.indexer.replace((sets, cache, settled)),
            Job::Search(request) => boxes.searches.replace(request),
            Job::SearchArchive(request) => boxes.archive_searches.replace(Some(*request)),
            Job::LeaveArchive => boxes.archive_searches.replace(None),
            Job::Annotations(job) => boxes.annotations.push(job),
            Job::SaveProject(project) => boxes.keeper.replace(*project),
            Job::Train(job) => boxes.trainer.submit(job),
        }
    }

    /// What the workers have found out since the last look.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    fn spawn(
        &mut self,
        name: &str,
        post: &Post,
        work: impl Fn(&Boxes, &Post) + Send + 'static,
    ) -> std::io::Result<()> {
        let (boxes, post) = (self.boxes.clone(), post.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&boxes, &post))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let boxes = &self.boxes;
        boxes.opener.close();
        boxes.scanner.close();
        boxes.pictures.close();
        boxes.unavailable.close();
        boxes.searches.close();
        boxes.archive_searches.close();
        boxes.indexer.close();
        boxes.descriptors.close();
        boxes.keeper.close();
        boxes.books.close();
        boxes.annotations.close();
        boxes.evaluator.close();
        if let Some(stop) = boxes.evaluation_stop.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            stop.store(true, Ordering::Relaxed);
        }
        boxes.desk.close();
        boxes.trainer.close();
        // Workers that wait to leave an event must not wait for ever.
        self.events = crossbeam_channel::never();
        // Those that only read may wait for a drive that does not answer. Those that write finish what they have.
        let writes = |thread: &JoinHandle<()>| {
            thread.thread().name().is_some_and(|name| name.ends_with("keeper") || WRITERS.contains(&name))
        };
        let (writers, readers): (Vec<_>, Vec<_>) = self.threads.drain(..).partition(writes);
        patience::join(writers, LAST_WRITES);
        patience::join(readers, LAST_READS);
    }
}

/// Keep the newest state of the project. While that fails it is tried again, and once more at the end.
fn keep_project(keeper: &Mailbox<Project>, post: &Post) {
    let mut unsaved: Option<Project> = None;
    loop {
        let next = match &unsaved {
            None => keeper.take_to_the_end(),
            Some(_) => keeper.take_within(SAVE_AGAIN),
        };
        let is_end = next.is_none() && (unsaved.is_none() || keeper.is_closed());
        let before = unsaved.is_some();
        if let Some(project) = next.or_else(|| unsaved.take()) {
            unsaved = None;
            match project.save() {
                Ok(()) if before => post.send(Event::Notice("The project is saved.".to_owned())),
                Ok(()) => {}
                Err(error) => {
                    let text = format!(
                        "{error}. The list of slides and the settings are kept in memory, and saving is tried again \
                         every few seconds"
                    );
                    post.send(Event::Trouble(text));
                    unsaved = Some(project);
                }
            }
        }
        if is_end {
            return;
        }
    }
}

/// What a job of the opener works on, for people.
fn named(job: &OpenJob) -> String {
    match job {
        OpenJob::OpenSlide { path, .. }
        | OpenJob::LookWhereListed { path, .. }
        | OpenJob::FindMoved { path, .. } => path.display().to_string(),
        OpenJob::FindPaths(paths) => {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        }
        OpenJob::LearnEncoder(encoder) | OpenJob::TrustEncoder { encoder, .. } => encoder.clone(),
    }
}
