//! The thread that reads and writes annotations. Changes are collected for `DELAY` and written together; a
//! crash loses at most that. Annotations that cannot be written are kept, and writing is retried every
//! `RETRY`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::EventSender;
use crate::session::{AnnotationEvent, AnnotationJob, Event, MessageEvent};
use histokin_core::annotation::{AnnotationError, AnnotationFile, read_file, write_file};
use histokin_core::slide::SlideInfo;

/// How long a change may wait for further changes before it is written.
const DELAY: Duration = Duration::from_millis(500);

/// How long to wait before a failed write is retried.
const RETRY: Duration = Duration::from_secs(5);

/// Jobs that wait. Their number stays small: of the sets of one slide, only the newest waits.
#[derive(Default)]
pub struct AnnotationQueue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<AnnotationJob>,
    /// Sets to save: path, due time and job.
    saves: Vec<(PathBuf, Instant, AnnotationJob)>,
    closed: bool,
}

impl State {
    /// Adds a set to save, or replaces a waiting one for the same file, which keeps its due time.
    fn save(&mut self, path: PathBuf, due: Instant, job: AnnotationJob) {
        match self.saves.iter_mut().find(|(known, ..)| *known == path) {
            Some((_, _, waiting)) => *waiting = job,
            None => self.saves.push((path, due, job)),
        }
    }
}

impl AnnotationQueue {
    /// Adds a job. Never waits.
    pub fn push(&self, job: AnnotationJob) {
        let mut state = self.lock();
        match &job {
            AnnotationJob::Save { store, slide, .. } => {
                let path = store.path(slide);
                state.save(path, Instant::now() + DELAY, job);
            }
            _ => state.jobs.push_back(job),
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Queues a set that could not be written for a retry, unless a newer one is waiting.
    fn put_back(&self, job: AnnotationJob) {
        let mut state = self.lock();
        if let AnnotationJob::Save { store, slide, .. } = &job {
            let path = store.path(slide);
            if state.closed {
                tracing::error!("{}: the last annotations were not saved", path.display());
            } else if !state.saves.iter().any(|(known, ..)| *known == path) {
                state.saves.push((path, Instant::now() + RETRY, job));
            }
        }
    }

    /// Ends the thread once everything has been saved.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Waits for jobs. All waiting sets are saved before anything else is read or written. Returns `None` at
    /// the end.
    fn take(&self) -> Option<Vec<AnnotationJob>> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let write_now = state.closed || !state.jobs.is_empty();
            let wait = state.saves.iter().map(|(_, due, _)| due.saturating_duration_since(now)).min();
            if write_now || wait.is_some_and(|wait| wait.is_zero()) {
                let mut work: Vec<AnnotationJob> = state.saves.drain(..).map(|(.., job)| job).collect();
                if state.closed {
                    // Nobody waits for the results of other jobs any more.
                    state.jobs.clear();
                }
                work.extend(state.jobs.pop_front());
                return (!work.is_empty()).then_some(work);
            }
            state = match wait {
                Some(wait) => self.filled.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs jobs until the queue is closed.
pub fn run(queue: &AnnotationQueue, events: &EventSender) {
    while let Some(work) = queue.take() {
        work.into_iter().for_each(|job| perform(job, queue, events));
    }
}

fn perform(job: AnnotationJob, queue: &AnnotationQueue, events: &EventSender) {
    let failed = on_crash(&job);
    events.attempt(failed.0, || work_on(job, queue, events), failed.1);
}

/// Returns the description of a job, and the function that makes its event after a crash.
fn on_crash(job: &AnnotationJob) -> (&'static str, impl FnOnce(String) -> Option<Event> + use<>) {
    let (doing, failed): (_, Box<dyn FnOnce(String) -> AnnotationEvent>) = match job {
        AnnotationJob::Save { slide, .. } => {
            let slide = slide.clone();
            ("Saving annotations", Box::new(|reason| AnnotationEvent::NotSaved { slide, reason }))
        }
        AnnotationJob::Load { slide, .. } => {
            let slide = slide.clone();
            ("Reading annotations", Box::new(|reason| AnnotationEvent::Loaded { slide, loaded: Err(reason) }))
        }
        AnnotationJob::Import { info, path } => {
            let (slide, path) = (info.id.clone(), path.clone());
            let failed = |reason| AnnotationEvent::Imported { slide, path, file: Err(reason) };
            ("Importing annotations", Box::new(failed))
        }
        AnnotationJob::Export { path, .. } => {
            let path = path.clone();
            let failed = |reason| AnnotationEvent::Exported { path, written: Err(reason) };
            ("Exporting annotations", Box::new(failed))
        }
    };
    (doing, |reason| Some(Event::Annotations(failed(reason))))
}

fn work_on(job: AnnotationJob, queue: &AnnotationQueue, events: &EventSender) {
    let event = match job {
        AnnotationJob::Save { store, slide, set, claim } => match store.save(&slide, &set) {
            Ok(()) => Event::Annotations(AnnotationEvent::Saved { slide }),
            Err(error) => {
                let (reason, again) = (error.to_string(), slide.clone());
                queue.put_back(AnnotationJob::Save { store, slide: again, set, claim });
                Event::Annotations(AnnotationEvent::NotSaved { slide, reason })
            }
        },
        AnnotationJob::Load { store, slide } => {
            let loaded = store.load(&slide).map_err(|error| error.to_string());
            let loaded = loaded.map(|loaded| {
                if let Some(trouble) = loaded.trouble {
                    events.send(MessageEvent::Error(trouble));
                }
                loaded.set
            });
            Event::Annotations(AnnotationEvent::Loaded { slide, loaded })
        }
        AnnotationJob::Import { info, path } => {
            let file = import(&path, &info).map(Box::new).map_err(|error| error.to_string());
            Event::Annotations(AnnotationEvent::Imported { slide: info.id.clone(), path, file })
        }
        AnnotationJob::Export { info, set, path } => {
            let written = write_file(&path, &set, &info).map_err(|error| error.to_string());
            let written = written.map(|notes| (set.len(), notes));
            Event::Annotations(AnnotationEvent::Exported { path, written })
        }
    };
    events.send(event);
}

/// Reads a file and places its annotations on a slide.
fn import(path: &std::path::Path, info: &SlideInfo) -> Result<AnnotationFile, AnnotationError> {
    let mut file = read_file(path)?;
    file.place_on(info, None);
    file.cut_camelyon16_holes();
    Ok(file)
}
