//! The thread that reads and writes annotations. Changes are collected for `DELAY` and written together; a
//! crash loses at most that. Annotations that cannot be written are kept, and writing is retried every
//! `RETRY`. After `REST` without anything to do, long journals are folded into their files.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{EventChannel, EventSender};
use crate::crash;
use crate::session::{
    AnnotationEvent, AnnotationJob, Counts, Event, FileTrouble, FileWork, Issued, MessageEvent,
    ProjectNumber, ReadFile,
};
use histokin_core::annotation::{
    AnnotationError, AnnotationFile, AnnotationSet, AnnotationStore, DensityScale, Edit, Part, Saved,
    class_densities, count_detections, measured_ranges, read_file_in_parts, write_file_watched,
};
use histokin_core::slide::{SlideId, SlideInfo};
use histokin_project::project::Claim;

/// How long a change may wait for further changes before it is written.
const DELAY: Duration = Duration::from_millis(500);

/// How long to wait before a failed write is retried.
const RETRY: Duration = Duration::from_secs(5);

/// How long nothing must happen before a journal is folded.
const REST: Duration = Duration::from_secs(20);

/// Jobs that wait. Their number stays small: of the sets of one slide, only the newest waits.
#[derive(Default)]
pub struct AnnotationQueue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Issued<AnnotationJob>>,
    /// Sets to save: path, due time and job.
    saves: Vec<(PathBuf, Instant, Issued<AnnotationJob>)>,
    closed: bool,
}

impl State {
    /// Adds a set to save, or replaces a waiting one for the same file, which keeps its due time.
    fn save(&mut self, path: PathBuf, due: Instant, job: Issued<AnnotationJob>) {
        match self.saves.iter_mut().find(|(known, ..)| *known == path) {
            Some((_, _, waiting)) => *waiting = job,
            None => self.saves.push((path, due, job)),
        }
    }
}

impl AnnotationQueue {
    /// Adds a job. Never waits.
    pub fn push(&self, job: Issued<AnnotationJob>) {
        let mut state = self.lock();
        match &job.job {
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
    fn put_back(&self, job: Issued<AnnotationJob>) {
        let mut state = self.lock();
        if let AnnotationJob::Save { store, slide, .. } = &job.job {
            let path = store.path(slide);
            if state.closed {
                tracing::error!("{}: the last annotations were not saved", path.display());
            } else if !state.saves.iter().any(|(known, ..)| *known == path) {
                state.saves.push((path, Instant::now() + RETRY, job));
            }
        }
    }

    /// Returns the set that waits to be saved to the file at `path`.
    fn unsaved(&self, path: &Path) -> Option<Arc<AnnotationSet>> {
        self.lock().saves.iter().find(|(known, ..)| known == path).and_then(|(_, _, issued)| {
            match &issued.job {
                AnnotationJob::Save { set, .. } => Some(set.clone()),
                _ => None,
            }
        })
    }

    /// Drops what is to be read or counted for projects that were left; `open` is the number of the project that is open.
    pub fn leave_for(&self, open: ProjectNumber) {
        self.lock().jobs.retain(|issued| issued.is_wanted_in(open));
    }

    /// Number of jobs and of sets to save that wait.
    #[cfg(test)]
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.jobs.len(), state.saves.len())
    }

    /// Ends the thread once everything has been saved.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Returns whether the thread is to end.
    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Returns whether there is something to do, or nothing more.
    fn is_wanted(&self) -> bool {
        let state = self.lock();
        state.closed || !state.jobs.is_empty() || !state.saves.is_empty()
    }

    /// Waits for jobs. All waiting sets are saved before anything else is read or written. Returns no job if
    /// there was none for as long as `rest`, and `None` at the end.
    fn take(&self, rest: Option<Duration>) -> Option<Vec<Issued<AnnotationJob>>> {
        let mut state = self.lock();
        let begin = Instant::now();
        loop {
            let now = Instant::now();
            let write_now = state.closed || !state.jobs.is_empty();
            let wait = state.saves.iter().map(|(_, due, _)| due.saturating_duration_since(now)).min();
            if write_now || wait.is_some_and(|wait| wait.is_zero()) {
                let mut work: Vec<Issued<AnnotationJob>> =
                    state.saves.drain(..).map(|(.., job)| job).collect();
                if state.closed {
                    // Nobody waits for the results of other jobs any more.
                    state.jobs.clear();
                }
                work.extend(state.jobs.pop_front());
                return (!work.is_empty()).then_some(work);
            }
            let left = rest.map(|rest| rest.saturating_sub(begin.elapsed()));
            if state.saves.is_empty() && left.is_some_and(|left| left.is_zero()) {
                return Some(Vec::new());
            }
            state = match wait.into_iter().chain(left).min() {
                Some(wait) => self.filled.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is on the disk, by the path of the file.
#[derive(Default)]
struct Disk {
    saved: HashMap<PathBuf, Saved>,
    /// Slides whose journal is long, with what keeps the project claimed.
    long: HashMap<PathBuf, (AnnotationStore, SlideId, Claim)>,
}

impl Disk {
    fn save(
        &mut self,
        store: &AnnotationStore,
        slide: &SlideId,
        set: &Arc<AnnotationSet>,
        claim: &Claim,
    ) -> Result<(), AnnotationError> {
        let path = store.path(slide);
        // After an error, it is not certain any more what is on the disk.
        let known = self.saved.remove(&path);
        let saved = store.save_changes(slide, known.as_ref(), set)?;
        self.saved.insert(path.clone(), saved);
        if store.has_long_journal(slide) {
            self.long.insert(path, (store.clone(), slide.clone(), claim.clone()));
        } else {
            self.long.remove(&path);
        }
        Ok(())
    }

    /// Saves the set that `known` is going to be replaced by, if `known` is what is on the disk. This takes long for many
    /// annotations; done in advance, the window can be closed at once after they have been added. Trouble other than
    /// a stop is left to saving them later. Returns whether the set is on the disk.
    fn save_in_advance(
        &mut self,
        (store, slide): (&AnnotationStore, &SlideId),
        known: &AnnotationSet,
        set: &AnnotationSet,
        go_on: &(dyn Fn(f32) -> bool + Sync),
    ) -> Result<bool, AnnotationError> {
        let path = store.path(slide);
        if !self.saved.get(&path).is_some_and(|saved| saved.holds(known)) {
            return Ok(false);
        }
        let set = Arc::new(set.clone());
        match store.fold(slide, &set, go_on) {
            Ok(saved) => {
                self.long.remove(&path);
                self.saved.insert(path, saved);
                Ok(true)
            }
            Err(stopped @ AnnotationError::Stopped { .. }) => Err(stopped),
            Err(error) => {
                tracing::info!("{error}");
                // It is not certain any more what is on the disk.
                self.saved.remove(&path);
                Ok(false)
            }
        }
    }

    /// Folds long journals until there is something else to do.
    fn fold(&mut self, queue: &AnnotationQueue) {
        for (path, (store, slide, claim)) in std::mem::take(&mut self.long) {
            let Some(saved) = self.saved.get(&path) else { continue };
            let set = saved.set().clone();
            match store.fold(&slide, &set, &|_| !queue.is_wanted()) {
                Ok(saved) => _ = self.saved.insert(path, saved),
                // The journal holds everything; it is folded later.
                Err(error) => {
                    tracing::info!("{error}");
                    self.long.insert(path, (store, slide, claim));
                }
            }
        }
    }
}

/// Runs jobs until the queue is closed.
pub fn run(queue: &AnnotationQueue, channel: &EventChannel) {
    let mut disk = Disk::default();
    while let Some(work) = queue.take((!disk.long.is_empty()).then_some(REST)) {
        if work.is_empty()
            && let Err(crash) = crash::catch("Compacting annotations", || disk.fold(queue))
        {
            // The journals hold everything.
            tracing::error!("{}", crash.report);
        }
        work.into_iter().for_each(|job| perform(job, &mut disk, queue, channel));
    }
}

fn perform(issued: Issued<AnnotationJob>, disk: &mut Disk, queue: &AnnotationQueue, channel: &EventChannel) {
    let events = channel.of(issued.of);
    let (doing, failed) = on_crash(&issued.job);
    // Nothing else has the annotations of a project that was left.
    let save = matches!(issued.job, AnnotationJob::Save { .. }).then(|| issued.with(issued.job.clone()));
    let failed = |reason| {
        save.into_iter().for_each(|save| queue.put_back(save));
        failed(reason)
    };
    events.attempt(doing, || work_on(issued, disk, queue, &events), failed);
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
        AnnotationJob::Import { info, path, .. } => {
            let (slide, path) = (info.id.clone(), path.clone());
            let failed =
                |reason| AnnotationEvent::Imported { slide, path, file: Err(FileTrouble::Failed(reason)) };
            ("Importing annotations", Box::new(failed))
        }
        AnnotationJob::Count { slide, .. } => {
            let slide = slide.clone();
            ("Counting detections", Box::new(|_| AnnotationEvent::Counted { slide, counts: None }))
        }
        AnnotationJob::Export { info, path, .. } => {
            let (slide, path) = (info.id.clone(), path.clone());
            let failed =
                |reason| AnnotationEvent::Exported { slide, path, written: Err(FileTrouble::Failed(reason)) };
            ("Exporting annotations", Box::new(failed))
        }
    };
    (doing, |reason| Some(Event::Annotations(failed(reason))))
}

fn work_on(issued: Issued<AnnotationJob>, disk: &mut Disk, queue: &AnnotationQueue, events: &EventSender) {
    let project = issued.with(());
    let (job, claim) = issued.into_parts();
    let event = match job {
        AnnotationJob::Save { store, slide, set } => match disk.save(&store, &slide, &set, &claim) {
            Ok(()) => Event::Annotations(AnnotationEvent::Saved { slide }),
            Err(error) => {
                let (reason, again) = (error.to_string(), slide.clone());
                queue.put_back(project.with(AnnotationJob::Save { store, slide: again, set }));
                Event::Annotations(AnnotationEvent::NotSaved { slide, reason })
            }
        },
        AnnotationJob::Load { store, slide } if let Some(unsaved) = queue.unsaved(&store.path(&slide)) => {
            // The project was open before, and what is on the disk lacks the last changes.
            Event::Annotations(AnnotationEvent::Loaded { slide, loaded: Ok(AnnotationSet::clone(&unsaved)) })
        }
        AnnotationJob::Load { store, slide } => {
            let progress = Progress::of(&slide, FileWork::Reading, events);
            let go_on = |share| {
                progress.tell(share);
                !queue.is_closed()
            };
            // What was known before may be outdated: the project may have been closed in the meantime.
            disk.saved.remove(&store.path(&slide));
            let part = |part: Part| {
                let (slide, detections) = (slide.clone(), part.detections);
                events.send(AnnotationEvent::Part { slide, detections });
            };
            let loaded = store.load_in_parts(&slide, &go_on, &part).map_err(|error| error.to_string());
            let loaded = loaded.map(|loaded| {
                if let Some(saved) = Saved::of(&loaded) {
                    disk.saved.insert(store.path(&slide), saved);
                }
                if let Some(trouble) = loaded.trouble {
                    events.send(MessageEvent::Error(trouble));
                }
                loaded.set
            });
            Event::Annotations(AnnotationEvent::Loaded { slide, loaded })
        }
        AnnotationJob::Import { info, path, read, set, store, stop } => {
            let progress = Progress::of(&info.id, FileWork::Reading, events);
            let go_on = |share| {
                progress.tell(share);
                !stop.load(Ordering::Relaxed) && !queue.is_closed()
            };
            let read = match read {
                None => import(&path, &info, &go_on, events),
                Some(_) if !go_on(0.0) => Err(AnnotationError::Stopped { path: path.clone() }),
                Some(file) => Ok(*file),
            };
            let file = read.and_then(|mut file| {
                let has_many = [&file.set, &*set].iter().any(|set| !set.detections().is_empty());
                let edit = has_many.then(|| file.edit_for(&set)).map(|edit| (set, edit));
                let mut is_saved = false;
                if let Some((set, Edit::Import(whole))) = &edit {
                    let progress = Progress::of(&info.id, FileWork::Saving, events);
                    let go_on = |share| {
                        progress.tell(share);
                        !stop.load(Ordering::Relaxed)
                    };
                    is_saved = disk.save_in_advance((&store, &info.id), set, whole, &go_on)?;
                }
                Ok(Box::new(ReadFile { file, edit, is_saved, stop: stop.clone() }))
            });
            let file = file.map_err(FileTrouble::from);
            Event::Annotations(AnnotationEvent::Imported { slide: info.id.clone(), path, file })
        }
        AnnotationJob::Count { slide, set, size_px, mpp } => {
            let areas = count_detections(&set, size_px, mpp);
            // Nobody waits for these once the window has been closed.
            let wanted = |set: &AnnotationSet| Some(set.detections().clone()).filter(|_| !queue.is_closed());
            let measured = wanted(&set).map(|of| measured_ranges(&of)).unwrap_or_default();
            let densities =
                wanted(&set).map(|of| class_densities(&of, DensityScale::of(mpp))).unwrap_or_default();
            let counts = Some(Arc::new(Counts { set, areas, measured, densities }));
            Event::Annotations(AnnotationEvent::Counted { slide, counts })
        }
        AnnotationJob::Export { info, set, path, stop } => {
            let progress = Progress::of(&info.id, FileWork::Writing, events);
            let go_on = |share| {
                progress.tell(share);
                !stop.load(Ordering::Relaxed)
            };
            let written = write_file_watched(&path, &set, &info, &go_on).map_err(FileTrouble::from);
            let written = written.map(|notes| (set.len(), notes));
            Event::Annotations(AnnotationEvent::Exported { slide: info.id.clone(), path, written })
        }
    };
    events.send(event);
}

/// Tells the session how far reading or writing is, now and then.
struct Progress<'a> {
    slide: &'a SlideId,
    work: FileWork,
    events: &'a EventSender,
    told: Mutex<Instant>,
}

impl<'a> Progress<'a> {
    fn of(slide: &'a SlideId, work: FileWork, events: &'a EventSender) -> Self {
        Self { slide, work, events, told: Mutex::new(Instant::now()) }
    }

    fn tell(&self, share: f32) {
        const EVERY: Duration = Duration::from_millis(100);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= EVERY {
            *told = Instant::now();
            self.events.send(AnnotationEvent::Progress { slide: self.slide.clone(), work: self.work, share });
        }
    }
}

/// Reads a file and places its annotations on a slide. Sends detections while further ones are read.
fn import(
    path: &Path,
    info: &SlideInfo,
    go_on: &(dyn Fn(f32) -> bool + Sync),
    events: &EventSender,
) -> Result<AnnotationFile, AnnotationError> {
    let part = |part: Part| {
        if let Some(detections) = part.placed_on(info) {
            events.send(AnnotationEvent::Part { slide: info.id.clone(), detections });
        }
    };
    let mut file = read_file_in_parts(path, go_on, &part)?;
    file.place_on(info, None);
    file.cut_camelyon16_holes();
    Ok(file)
}

#[cfg(test)]
mod tests {
    use histokin_core::annotation::read_bytes;
    use histokin_core::slide::SlideSource;
    use histokin_core::slide::test_slide::TestSlide;

    use super::*;
    use crate::session::Session;
    use crate::workers::events::tests::channel;
    use histokin_project::project::Project;

    #[test]
    fn an_import_that_was_stopped_while_it_waited_adds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.geojson");
        let cells = r#"[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]},"properties":{}}]"#;
        let (channel, received) = channel();
        let project = Session::new(Project::open_or_create(&folder.path().join("project")).unwrap()).opened();
        let info = TestSlide::new(100, 100).info().clone();
        for is_stopped in [false, true] {
            let job = AnnotationJob::Import {
                info: Box::new(info.clone()),
                path: path.clone(),
                read: Some(Box::new(read_bytes(cells.as_bytes(), &path).unwrap())),
                set: Arc::default(),
                store: AnnotationStore::new(folder.path().to_owned()),
                stop: Arc::new(is_stopped.into()),
            };
            let queue = AnnotationQueue::default();
            perform(Issued::new(job, &project), &mut Disk::default(), &queue, &channel);
            let Event::Annotations(AnnotationEvent::Imported { file, .. }) =
                received.try_recv().unwrap().event
            else {
                panic!("another event")
            };
            assert_eq!(matches!(file, Err(FileTrouble::Stopped)), is_stopped);
            assert_eq!(file.is_ok(), !is_stopped);
        }
    }

    /// The project was left and is opened again while the disk is full.
    #[test]
    fn annotations_that_wait_to_be_saved_are_read_in_place_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let project = Session::new(Project::open_or_create(&folder.path().join("project")).unwrap()).opened();
        let in_the_way = folder.path().join("annotations");
        std::fs::write(&in_the_way, "no folder").unwrap();
        let store = AnnotationStore::new(in_the_way);
        let slide = TestSlide::new(100, 100).info().id.clone();
        let cells = r#"[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]},"properties":{}}]"#;
        let set = Arc::new(read_bytes(cells.as_bytes(), Path::new("cells.geojson")).unwrap().set);
        let (channel, received) = channel();
        let (mut disk, queue) = (Disk::default(), AnnotationQueue::default());
        let save = AnnotationJob::Save { store: store.clone(), slide: slide.clone(), set: set.clone() };
        perform(Issued::new(save, &project), &mut disk, &queue, &channel);
        let failed = received.try_recv().unwrap().event;
        assert!(matches!(failed, Event::Annotations(AnnotationEvent::NotSaved { .. })));
        assert_eq!(queue.waiting(), (0, 1));
        perform(Issued::new(AnnotationJob::Load { store, slide }, &project), &mut disk, &queue, &channel);
        let Event::Annotations(AnnotationEvent::Loaded { loaded, .. }) = received.try_recv().unwrap().event
        else {
            panic!("another event")
        };
        assert_eq!(loaded.unwrap(), *set);
    }
}
