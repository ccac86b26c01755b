//! Worker threads. They take [`Job`]s and send [`Event`](crate::session::Event)s, each for the project that the job is for;
//! none of them touches the session, and the session never waits for them.

pub mod annotation_keeper;
mod archive_searcher;
mod concept_files;
pub mod embedder;
mod encoder_jobs;
mod evaluator;
mod events;
mod io_jobs;
pub mod job_queue;
mod on_crash;
mod query_files;
mod queues;
pub mod similarity_maps;
mod threads;
pub mod tile_loader;
mod timeout;
pub mod trainer;
mod watcher;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use crate::session::{Job, OpenedProject, Report};
pub use events::{EventChannel, EventSender};
use histokin_encoder::DeviceChoice;
use histokin_encoder::stop::reading_until;
use histokin_project::pipeline::EmbedSettings;
use queues::Queues;

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

/// The running workers. Dropping them ends the threads; what is embedded so far is kept.
pub struct Workers {
    reports: Receiver<Report>,
    queues: Arc<Queues>,
    threads: Vec<JoinHandle<()>>,
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
        let channel = EventChannel { reports: to_session, waker };
        let queues = Arc::new(Queues::default());
        let mut workers = Self { reports: received, queues, threads: Vec::new() };
        workers.spawn("slide-opener", &channel, threads::open_files)?;
        workers.spawn("encoders", &channel, threads::read_encoders)?;
        workers.spawn("slide-scanner", &channel, threads::scan_slides)?;
        workers.spawn("tissue-finder", &channel, threads::find_tissue)?;
        workers.spawn("tile-pictures", &channel, threads::read_pictures)?;
        workers.spawn("searcher", &channel, threads::search)?;
        workers.spawn("archive-searcher", &channel, |queues, channel| {
            archive_searcher::run(&queues.archive_searches, channel);
        })?;
        // Not waited for at the end: it may hang on a dead connection, and has nothing to save.
        drop(workers.threads.pop());
        // Separate from the scanner, so that a project can be searched before its tissue masks are computed.
        workers.spawn("descriptor-loader", &channel, threads::load_descriptors)?;
        workers.spawn("indexer", &channel, threads::build_indexes)?;
        workers.spawn("project-keeper", &channel, |queues, channel| {
            threads::keep_project(&queues.keeper, channel);
        })?;
        workers.spawn("history-keeper", &channel, threads::keep_history)?;
        workers.spawn("annotation-keeper", &channel, |queues, channel| {
            annotation_keeper::run(&queues.annotations, channel);
        })?;
        workers.spawn("evaluator", &channel, threads::evaluate)?;
        workers.spawn("slide-watcher", &channel, |queues, channel| watcher::run(&queues.watched, channel))?;
        let default = EmbedSettings::default();
        let settings =
            EmbedSettings { decode_threads: embedding_threads.unwrap_or(default.decode_threads), ..default };
        workers.spawn("embedder", &channel, move |queues, channel| {
            reading_until(&queues.is_ending, || embedder::run(&queues.embedder, device, settings, channel))
        })?;
        workers.spawn("trainer", &channel, |queues, channel| trainer::run(&queues.trainer, channel))?;
        workers.spawn("training-jobs", &channel, |queues, channel| {
            trainer::run_io_jobs(&queues.trainer, channel);
        })?;
        Ok(workers)
    }

    /// Gives a job of `project` to its worker. Never waits. With the first job of another project, those that wait for the
    /// one before are dropped, except what the user would miss, such as everything that is to be saved.
    pub fn dispatch(&self, project: &OpenedProject, job: Job) {
        self.queues.add(project, job);
    }

    /// Receiver of what the workers report.
    pub fn reports(&self) -> &Receiver<Report> {
        &self.reports
    }

    fn spawn(
        &mut self,
        name: &str,
        channel: &EventChannel,
        work: impl Fn(&Queues, &EventChannel) + Send + 'static,
    ) -> std::io::Result<()> {
        let (queues, channel) = (self.queues.clone(), channel.clone());
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&queues, &channel))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queues.close();
        // Workers that are waiting to send an event must not wait for ever.
        self.reports = crossbeam_channel::never();
        // Readers may hang on a drive that does not respond. Writers finish what they have.
        let writes = |thread: &JoinHandle<()>| {
            thread.thread().name().is_some_and(|name| name.ends_with("keeper") || WRITERS.contains(&name))
        };
        let (writers, readers): (Vec<_>, Vec<_>) = self.threads.drain(..).partition(writes);
        timeout::join(writers, LAST_WRITES);
        timeout::join(readers, LAST_READS);
    }
}
