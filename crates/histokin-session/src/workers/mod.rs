//! Worker threads. They take [`Job`]s and send [`Event`]s; none of them touches the session, and the session
//! never waits for them.

pub mod annotation_keeper;
mod archive_searcher;
mod concept_files;
mod query_files;
pub mod embedder;
mod encoder_jobs;
mod io_jobs;
mod evaluator;
pub mod similarity_maps;
pub mod tile_loader;
pub mod job_queue;
mod on_crash;
mod timeout;
pub mod trainer;
mod watcher;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::crash;
use crate::session::{
    ArchiveJob, ArchiveRequest, EmbeddingJob, EncoderJob, EvaluationJob, Event, HistoryJob, IndexBuild,
    IndexEvent, Job, LoadJob, MessageEvent, OpenJob, PictureJob, QueryEvent, ScanJob, SearchRequest,
};
use embedder::EmbedderQueue;
use histokin_core::index::Snapshot;
use histokin_core::query::{self, QueryError};
use histokin_encoder::DeviceChoice;
use histokin_encoder::stop::reading_until;
use histokin_project::pipeline::EmbedSettings;
use histokin_project::project::Project;
use job_queue::JobQueue;
use trainer::TrainerQueue;
use watcher::Watch;

/// How long a slide may take to open, or a tile to be read, before the worker goes on with other jobs.
const OPENING: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(15) };

/// The same for thumbnails and tissue masks.
const SCANNING: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(60) };

/// How long to wait at the end of the program for threads that write.
const LAST_WRITES: Duration = Duration::from_secs(60);

/// How long to wait at the end of the program for threads that only read.
const LAST_READS: Duration = Duration::from_secs(2);

/// Threads that write, besides those named "…-keeper".
const WRITERS: [&str; 4] = ["embedder", "encoders", "trainer", "training-jobs"];

/// How long to wait before saving a project is retried.
const SAVE_AGAIN: Duration = Duration::from_secs(10);

/// Number of events that can wait for the session; workers wait when there are more.
const EVENTS_WAITING: usize = 256;

/// Called after each event, from any thread, so that the window repaints.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Sends the events of a worker to the session.
#[derive(Clone)]
pub struct EventSender {
    events: Sender<Event>,
    waker: Waker,
}

impl EventSender {
    /// Runs `work`. If it panics, only this job has failed: the session gets the event made by `failed`, if
    /// any, and a report.
    fn attempt(&self, doing: &str, work: impl FnOnce(), failed: impl FnOnce(String) -> Option<Event>) {
        if let Err(crash) = crash::catch(doing, work) {
            if let Some(event) = failed(crash.summary.clone()) {
                self.send(event);
            }
            self.send(MessageEvent::Crashed(crash));
        }
    }

    /// Sends an event. At the end of the program nobody receives it, which does no harm.
    pub fn send(&self, event: impl Into<Event>) {
        if self.events.send(event.into()).is_ok() {
            (self.waker)();
        }
    }
}

/// The running workers. Dropping them ends the threads; what is embedded so far is kept.
pub struct Workers {
    events: Receiver<Event>,
    queues: Arc<Queues>,
    threads: Vec<JoinHandle<()>>,
}

/// The job queues of all workers.
#[derive(Default)]
struct Queues {
    opener: JobQueue<OpenJob>,
    /// Jobs, and what stops each when set to true.
    encoders: JobQueue<(EncoderJob, Arc<AtomicBool>)>,
    /// Stops the newest look at an encoder when set to true.
    encoder_stop: Mutex<Arc<AtomicBool>>,
    /// Set to true at the end of the program; stops reading of weights.
    is_ending: Arc<AtomicBool>,
    scanner: JobQueue<ScanJob>,
    pictures: JobQueue<PictureJob>,
    watched: JobQueue<Watch>,
    searches: JobQueue<SearchRequest>,
    /// `None` cancels the running search.
    archive_searches: JobQueue<Option<ArchiveRequest>>,
    indexer: JobQueue<IndexBuild>,
    descriptors: JobQueue<LoadJob>,
    keeper: JobQueue<Project>,
    history: JobQueue<HistoryJob>,
    annotations: annotation_keeper::AnnotationQueue,
    evaluator: JobQueue<EvaluationJob>,
    /// Stops the newest evaluation when set to true.
    evaluation_stop: Mutex<Option<Arc<AtomicBool>>>,
    embedder: EmbedderQueue,
    trainer: TrainerQueue,
}

impl Workers {
    /// Starts all threads.
    ///
    /// # Errors
    /// Returns the system's error if a thread cannot be started.
    pub fn start(device: DeviceChoice, waker: Waker) -> std::io::Result<Self> {
        Self::with_threads(device, None, waker)
    }

    /// Starts all threads; `embedding_threads` threads read tiles to be embedded, or as many as suit the
    /// processors.
    ///
    /// # Errors
    /// Returns the system's error if a thread cannot be started.
    pub fn with_threads(
        device: DeviceChoice,
        embedding_threads: Option<usize>,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let (to_session, received) = bounded(EVENTS_WAITING);
        let events = EventSender { events: to_session, waker };
        let queues = Arc::new(Queues::default());
        let mut workers = Self { events: received, queues, threads: Vec::new() };
        workers.spawn("slide-opener", &events, |queues, events| {
            while let Some(job) = queues.opener.take() {
                let (failed, to_session) = (on_crash::open(&job), events.clone());
                let named = named(&job);
                let open =
                    move || to_session.attempt("Opening files", || io_jobs::open(job, &to_session), failed);
                if !timeout::wait_for("slide-opening", OPENING, open) {
                    events.send(MessageEvent::Note(format!(
                        "{named}: its drive does not respond. It is opened when the drive responds; others are opened \
                         meanwhile"
                    )));
                }
            }
        })?;
        workers.spawn("encoders", &events, |queues, events| {
            while let Some((job, stop)) = queues.encoders.take() {
                let failed = encoder_jobs::on_crash(&job);
                let work = || reading_until(&stop, || encoder_jobs::work(job, events));
                events.attempt("Reading encoders", work, failed);
            }
        })?;
        workers.spawn("slide-scanner", &events, |queues, events| {
            while let Some(job) = queues.scanner.take() {
                let (failed, events) = (on_crash::scan(&job), events.clone());
                let scan = move || events.attempt("Reading a slide", || io_jobs::scan(job, &events), failed);
                timeout::wait_for("slide-scanning", SCANNING, scan);
            }
        })?;
        workers.spawn("tile-pictures", &events, |queues, events| {
            while let Some(job) = queues.pictures.take() {
                let (failed, events) = (on_crash::picture(&job), events.clone());
                let read =
                    move || events.attempt("Reading a tile", || io_jobs::picture(job, &events), failed);
                timeout::wait_for("tile-picture", OPENING, read);
            }
        })?;
        workers.spawn("searcher", &events, |queues, events| {
            while let Some(request) = queues.searches.take() {
                let SearchRequest { generation, index, query, annotations, second_encoder } = request;
                let search = || {
                    let answer = query::ask(&index, &query, &annotations);
                    let second_encoder = second_encoder.map(|index| query::ask(&index, &query, &annotations));
                    events.send(QueryEvent::Answered { generation, answer, second_encoder });
                };
                let failed = |reason| {
                    Event::Query(QueryEvent::Answered {
                        generation,
                        answer: Err(QueryError::Crashed(reason)),
                        second_encoder: None,
                    })
                };
                events.attempt("The search", search, |reason| Some(failed(reason)));
            }
        })?;
        workers.spawn("archive-searcher", &events, |queues, events| {
            archive_searcher::run(&queues.archive_searches, events);
        })?;
        // Not waited for at the end: it may hang on a dead connection, and has nothing to save.
        drop(workers.threads.pop());
        // Separate from the scanner, so that a project can be searched before its tissue masks are computed.
        workers.spawn("descriptor-loader", &events, |queues, events| {
            while let Some(job) = queues.descriptors.take() {
                let failed = on_crash::load(&job);
                events.attempt("Reading descriptors", || io_jobs::load(job, events), failed);
            }
        })?;
        workers.spawn("indexer", &events, |queues, events| {
            let mut previous: Option<Arc<Snapshot>> = None;
            while let Some(IndexBuild { sets, cache, settled }) = queues.indexer.take() {
                let index = || {
                    let build = if settled { Snapshot::build } else { Snapshot::provisional };
                    let index = Arc::new(build(sets, previous.as_deref(), Some(&cache)));
                    previous = Some(index.clone());
                    events.send(IndexEvent::Built(index.clone()));
                    // The index can be searched already; this makes searching it faster.
                    index.grow_trees();
                };
                events.attempt("Building the index", index, |_| Some(Event::Index(IndexEvent::Failed)));
            }
        })?;
        workers.spawn("project-keeper", &events, |queues, events| {
            keep_project(&queues.keeper, events);
        })?;
        workers.spawn("history-keeper", &events, |queues, events| {
            while let Some(work) = queues.history.take_until_empty() {
                events.attempt(
                    "Saving queries and judgements",
                    || query_files::keep_history(work, events),
                    |_| None,
                );
            }
        })?;
        workers.spawn("annotation-keeper", &events, |queues, events| {
            annotation_keeper::run(&queues.annotations, events);
        })?;
        workers.spawn("evaluator", &events, |queues, events| {
            while let Some(job) = queues.evaluator.take() {
                let failed = evaluator::on_crash(&job);
                events.attempt("Measuring the encoder", || evaluator::work(job, events), failed);
            }
        })?;
        workers.spawn("slide-watcher", &events, |queues, events| watcher::run(&queues.watched, events))?;
        let default = EmbedSettings::default();
        let settings =
            EmbedSettings { decode_threads: embedding_threads.unwrap_or(default.decode_threads), ..default };
        workers.spawn("embedder", &events, move |queues, events| {
            reading_until(&queues.is_ending, || embedder::run(&queues.embedder, device, settings, events))
        })?;
        workers.spawn("trainer", &events, |queues, events| trainer::run(&queues.trainer, events))?;
        workers.spawn("training-jobs", &events, |queues, events| {
            trainer::run_io_jobs(&queues.trainer, events)
        })?;
        Ok(workers)
    }

    /// Gives a job to its worker. Never waits.
    pub fn dispatch(&self, job: Job) {
        let queues = &self.queues;
        match job {
            Job::Open(job) => queues.opener.push(job),
            Job::Encoders(job @ EncoderJob::Examine(_)) => {
                // The user looks at one encoder at a time.
                let stop = Arc::<AtomicBool>::default();
                let mut newest = queues.encoder_stop.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *newest, stop.clone()).store(true, Ordering::Relaxed);
                queues.encoders.push((job, stop));
            }
            Job::Encoders(job) => queues.encoders.push((job, queues.is_ending.clone())),
            // Tissue masks take long; what the user sees of a slide comes first.
            Job::Scan(job @ ScanJob::FindTissue { .. }) => queues.scanner.push(job),
            Job::Scan(job) => {
                queues.scanner.push_before(job, |other| matches!(other, ScanJob::FindTissue { .. }));
            }
            Job::Load(job) => queues.descriptors.push(job),
            Job::Picture(job) => queues.pictures.push(job),
            Job::History(job) => queues.history.push(job),
            Job::Evaluation(job) => {
                if let EvaluationJob::Evaluate(request) = &job {
                    *queues.evaluation_stop.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(request.stop.clone());
                }
                queues.evaluator.push(job);
            }
            Job::AwaitSlide(slide) => queues.watched.push(Watch::Unavailable(slide)),
            Job::WatchSlide(slide) => queues.watched.push(Watch::Open(slide)),
            Job::Embedding(EmbeddingJob::Plan(plan)) => queues.embedder.submit(plan),
            Job::Embedding(EmbeddingJob::Tiles(request)) => queues.embedder.embed_tiles(request),
            Job::Embedding(EmbeddingJob::Picture(request)) => queues.embedder.embed_picture(request),
            Job::Embedding(EmbeddingJob::Preview(request)) => queues.embedder.preview(*request),
            Job::BuildIndex(build) => queues.indexer.replace(build),
            Job::Search(request) => queues.searches.replace(request),
            Job::Archive(ArchiveJob::Search(request)) => queues.archive_searches.replace(Some(*request)),
            Job::Archive(ArchiveJob::Cancel) => queues.archive_searches.replace(None),
            Job::Annotations(job) => queues.annotations.push(job),
            Job::SaveProject(project) => {
                let root = project.root().to_owned();
                queues.keeper.replace_where(*project, |other| other.root() == root);
            }
            Job::Training(job) => queues.trainer.submit(job),
        }
    }

    /// Receiver of the workers' events.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    fn spawn(
        &mut self,
        name: &str,
        events: &EventSender,
        work: impl Fn(&Queues, &EventSender) + Send + 'static,
    ) -> std::io::Result<()> {
        let (queues, events) = (self.queues.clone(), events.clone());
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&queues, &events))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let queues = &self.queues;
        queues.is_ending.store(true, Ordering::Relaxed);
        queues.encoder_stop.lock().unwrap_or_else(PoisonError::into_inner).store(true, Ordering::Relaxed);
        queues.opener.close();
        queues.encoders.close();
        queues.scanner.close();
        queues.pictures.close();
        queues.watched.close();
        queues.searches.close();
        queues.archive_searches.close();
        queues.indexer.close();
        queues.descriptors.close();
        queues.keeper.close();
        queues.history.close();
        queues.annotations.close();
        queues.evaluator.close();
        if let Some(stop) = queues.evaluation_stop.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            stop.store(true, Ordering::Relaxed);
        }
        queues.embedder.close();
        queues.trainer.close();
        // Workers that are waiting to send an event must not wait for ever.
        self.events = crossbeam_channel::never();
        // Readers may hang on a drive that does not respond. Writers finish what they have.
        let writes = |thread: &JoinHandle<()>| {
            thread.thread().name().is_some_and(|name| name.ends_with("keeper") || WRITERS.contains(&name))
        };
        let (writers, readers): (Vec<_>, Vec<_>) = self.threads.drain(..).partition(writes);
        timeout::join(writers, LAST_WRITES);
        timeout::join(readers, LAST_READS);
    }
}

/// Saves the newest state of each project. After a failure it is retried, and once more at the end of the
/// program.
fn keep_project(keeper: &JobQueue<Project>, events: &EventSender) {
    // More than one where another project was opened after a failure.
    let mut unsaved: Vec<Project> = Vec::new();
    loop {
        let was_closed = keeper.is_closed();
        let next = match unsaved.is_empty() {
            true => keeper.take_until_empty(),
            false => keeper.take_within(SAVE_AGAIN),
        };
        let is_end = next.is_none() && (unsaved.is_empty() || was_closed);
        let (again, others) = std::mem::take(&mut unsaved)
            .into_iter()
            .partition::<Vec<_>, _>(|project| next.as_ref().is_none_or(|next| next.root() == project.root()));
        unsaved = others;
        let was_unsaved = !again.is_empty();
        for project in next.map_or(again, |next| vec![next]) {
            match project.save() {
                Ok(()) if was_unsaved => events.send(MessageEvent::Note("The project is saved.".to_owned())),
                Ok(()) => {}
                Err(error) => {
                    let text = format!(
                        "{error}. The list of slides and the settings are kept in memory, and saving is tried again \
                         every few seconds"
                    );
                    events.send(MessageEvent::Error(text));
                    unsaved.push(project);
                }
            }
        }
        if is_end {
            return;
        }
    }
}

/// What a job of the opener works on, for messages.
fn named(job: &OpenJob) -> String {
    match job {
        OpenJob::OpenSlide { path, .. }
        | OpenJob::CheckListedPath { path, .. }
        | OpenJob::FindMoved { path, .. } => path.display().to_string(),
        OpenJob::ApplyChannels { slide, .. } => slide.info().path.display().to_string(),
        OpenJob::FindPaths(paths) => {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        }
        OpenJob::ReadEncoderSpec(encoder) | OpenJob::TrustEncoder { encoder, .. } => encoder.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_that_could_not_be_saved_is_kept_while_another_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let project = |name: &str| Project::open_to_write(&folder.path().join(name)).unwrap();
        let (former, next) = (project("former"), project("next"));
        let file = |project: &Project| project.root().join("project.toml");
        let next_file = file(&next);
        std::fs::remove_dir_all(former.root()).unwrap();
        std::fs::remove_file(&next_file).unwrap();
        let (sender, received) = crossbeam_channel::unbounded();
        let events = EventSender { events: sender, waker: Arc::new(|| {}) };
        let keeper = JobQueue::default();
        std::thread::scope(|scope| {
            scope.spawn(|| keep_project(&keeper, &events));
            keeper.push(former.clone());
            let failed = received.recv().unwrap();
            assert!(matches!(failed, Event::Messages(MessageEvent::Error(_))));
            keeper.push(next);
            while !next_file.exists() {
                std::thread::yield_now();
            }
            std::fs::create_dir(former.root()).unwrap();
            keeper.close();
        });
        assert!(file(&former).exists());
        let saved = received.try_recv().unwrap();
        assert!(matches!(saved, Event::Messages(MessageEvent::Note(_))), "only the former was unsaved");
        assert!(received.try_recv().is_err());
    }
}
