//! The thread that reads and writes annotations. Changes are written soon after they are made, several at
//! once; a crash loses at most `DELAY`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Post;
use crate::annotation::{AnnotationError, AnnotationFile, read_file, write_file};
use crate::session::{AnnotationEvent, AnnotationJob, Event};
use crate::slide::SlideInfo;

/// How long a change may wait for the next one before both are written.
const DELAY: Duration = Duration::from_millis(500);

/// What waits to be done. It never fills up: of the sets of one slide, only the newest waits.
#[derive(Default)]
pub struct Tray {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<AnnotationJob>,
    /// Sets to save: their file, and when the first change of theirs was made.
    saves: Vec<(PathBuf, Instant, AnnotationJob)>,
    closed: bool,
}

impl Tray {
    /// Add work. Never waits.
    pub fn push(&self, job: AnnotationJob) {
        let mut state = self.lock();
        match &job {
            AnnotationJob::Save { store, slide, .. } => {
                let path = store.path(slide);
                match state.saves.iter_mut().find(|(known, ..)| *known == path) {
                    Some((_, _, waiting)) => *waiting = job,
                    None => state.saves.push((path, Instant::now(), job)),
                }
            }
            _ => state.jobs.push_back(job),
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Tell the thread to end when everything has been saved.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Wait for work: what is due to be saved, before anything else is read or written. `None` at the end.
    fn take(&self) -> Option<Vec<AnnotationJob>> {
        let mut state = self.lock();
        loop {
            let hurry = state.closed || !state.jobs.is_empty();
            let wait = state.saves.iter().map(|(_, since, _)| DELAY.saturating_sub(since.elapsed())).min();
            if hurry || wait.is_some_and(|wait| wait.is_zero()) {
                let mut work: Vec<AnnotationJob> = state.saves.drain(..).map(|(.., job)| job).collect();
                if state.closed {
                    // Who asked for the rest has gone.
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

/// Do what comes until the tray is closed.
pub fn run(tray: &Tray, post: &Post) {
    while let Some(work) = tray.take() {
        work.into_iter().for_each(|job| perform(job, post));
    }
}

fn perform(job: AnnotationJob, post: &Post) {
    let event = match job {
        AnnotationJob::Save { store, slide, set } => match store.save(&slide, &set) {
            Ok(()) => return,
            Err(error) => Event::Trouble(format!("{error}. The annotations are not saved")),
        },
        AnnotationJob::Load { store, slide } => {
            let loaded = store.load(&slide).map_err(|error| error.to_string());
            let loaded = loaded.map(|loaded| {
                if let Some(trouble) = loaded.trouble {
                    post.send(Event::Trouble(trouble));
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
    post.send(event);
}

/// Read a file and put its annotations where they belong on a slide.
fn import(path: &std::path::Path, info: &SlideInfo) -> Result<AnnotationFile, AnnotationError> {
    let mut file = read_file(path)?;
    file.place_on(info, None);
    file.cut_camelyon16_holes();
    Ok(file)
}
