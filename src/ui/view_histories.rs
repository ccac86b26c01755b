//! The view histories of all slides, stored between starts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use image::{GrayImage, ImageFormat};

use super::slide_view::ViewHistory;
use crate::durable;
use crate::slide::SlideId;

/// Maximum number of waiting requests to the storage thread; further ones are repeated later.
const REQUESTS_WAITING: usize = 256;

/// The view histories of all slides.
pub struct ViewHistories {
    view_histories: HashMap<SlideId, Loaded>,
    storage: Option<Storage>,
}

struct Loaded {
    view_history: ViewHistory,
    /// Whether there are unsaved changes.
    changed: bool,
}

impl ViewHistories {
    /// Starts the storage of view histories in `folder`, as one small picture per slide; `wake` is called
    /// when one has been read. Without a folder, view histories last as long as the window.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(folder: Option<PathBuf>, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Self> {
        let storage = folder.map(|folder| Storage::start(folder, wake)).transpose()?;
        Ok(Self { view_histories: HashMap::new(), storage })
    }

    /// The view history of a slide, if it is in memory.
    pub fn get_mut(&mut self, slide: &SlideId) -> Option<&mut ViewHistory> {
        self.view_histories.get_mut(slide).map(|known| &mut known.view_history)
    }

    /// Returns the view history of a slide of `extent` level-0 pixels. If it is not in memory, an empty one
    /// is created, and the stored one, possibly under a former ID of the slide, is added once it has been
    /// read.
    pub fn of(&mut self, slide: &SlideId, former_ids: &[SlideId], extent: (f64, f64)) -> &mut ViewHistory {
        match self.view_histories.entry(slide.clone()) {
            Entry::Occupied(known) => &mut known.into_mut().view_history,
            Entry::Vacant(vacant) => {
                if let Some(storage) = &self.storage {
                    storage.request(Request::Read(slide.clone(), former_ids.to_vec()));
                }
                &mut vacant
                    .insert(Loaded { view_history: ViewHistory::new(extent), changed: false })
                    .view_history
            }
        }
    }

    /// Marks the view history of `slide` as changed.
    pub fn note_change(&mut self, slide: &SlideId) {
        if let Some(known) = self.view_histories.get_mut(slide) {
            known.changed = true;
        }
    }

    /// Clears the view history of a slide.
    pub fn clear(&mut self, slide: &SlideId) {
        if let Some(known) = self.view_histories.get_mut(slide) {
            known.view_history.clear();
            known.changed = true;
        }
    }

    /// Adds view histories that have been read.
    pub fn take_read(&mut self) {
        let Some(storage) = &self.storage else { return };
        for (slide, picture) in storage.read.try_iter() {
            if let Some(known) = self.view_histories.get_mut(&slide) {
                known.view_history.merge(&picture);
            }
        }
    }

    /// Removes the view histories of closed slides from memory: they are written, and read again when needed.
    pub fn unload(&mut self, is_open: impl Fn(&SlideId) -> bool) {
        self.take_read();
        let storage = self.storage.as_ref();
        self.view_histories.retain(|slide, known| {
            if is_open(slide) {
                return true;
            }
            known.view_history.forget_picture();
            let Some(storage) = storage else { return true };
            known.changed && !storage.request(Request::Write(slide.clone(), known.view_history.to_picture()))
        });
    }

    /// Queues all changed view histories to be written.
    pub fn keep(&mut self) {
        let Some(storage) = &self.storage else { return };
        for (slide, known) in self.view_histories.iter_mut().filter(|(_, known)| known.changed) {
            known.changed = !storage.request(Request::Write(slide.clone(), known.view_history.to_picture()));
        }
    }
}

enum Request {
    /// Read the view history of a slide, stored under its ID or one of its former IDs.
    Read(SlideId, Vec<SlideId>),
    /// Write the view history of a slide.
    Write(SlideId, GrayImage),
}

/// Reads and writes view histories on its own thread. Dropping it waits for the last write.
struct Storage {
    requests: Option<Sender<Request>>,
    read: Receiver<(SlideId, GrayImage)>,
    thread: Option<JoinHandle<()>>,
}

impl Storage {
    fn start(folder: PathBuf, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Self> {
        let (requests, to_do) = bounded(REQUESTS_WAITING);
        // Never full: it is longer than the request queue, and each request has at most one answer.
        let (answers, read) = bounded(REQUESTS_WAITING + 1);
        let thread = std::thread::Builder::new().name("view-history".into()).spawn(move || {
            for request in to_do {
                match request {
                    Request::Read(slide, former) => {
                        let mut ids = std::iter::once(&slide).chain(&former);
                        let Some(picture) = ids.find_map(|id| load(&path(&folder, id))) else { continue };
                        if answers.try_send((slide, picture)).is_ok() {
                            wake();
                        }
                    }
                    Request::Write(slide, picture) => {
                        let path = path(&folder, &slide);
                        if let Err(error) = store(&path, &picture) {
                            tracing::warn!(file = %path.display(), %error, "a view history was not saved");
                        }
                    }
                }
            }
        })?;
        Ok(Self { requests: Some(requests), read, thread: Some(thread) })
    }

    /// Queues a request. Returns `false` if the queue is full.
    fn request(&self, request: Request) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.try_send(request).is_ok())
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the view-history thread had panicked");
        }
    }
}

fn path(folder: &Path, slide: &SlideId) -> PathBuf {
    folder.join(format!("{slide}.png"))
}

/// Loads a stored view history; `None` if there is none or it is invalid.
fn load(path: &Path) -> Option<GrayImage> {
    let bytes = std::fs::read(path).ok()?;
    match image::load_from_memory_with_format(&bytes, ImageFormat::Png) {
        Ok(picture) => Some(picture.into_luma8()),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "a stored view history cannot be decoded");
            None
        }
    }
}

fn store(path: &Path, picture: &GrayImage) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png)?;
    Ok(durable::write(path, png.get_ref())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level0Point;
    use crate::ui::slide_view::camera::{Camera, Viewport};
    use std::time::Duration;

    const EXTENT: (f64, f64) = (20_000.0, 10_000.0);

    fn start(folder: &Path) -> (ViewHistories, Receiver<()>) {
        let (woken, wakes) = bounded(8);
        let wake = Arc::new(move || woken.send(()).unwrap_or(()));
        (ViewHistories::start(Some(folder.to_owned()), wake).unwrap(), wakes)
    }

    #[test]
    fn the_trail_of_a_closed_slide_is_on_the_disk_and_no_longer_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (open, closed) = (SlideId("a".to_owned()), SlideId("b".to_owned()));
        let (mut view_histories, wakes) = start(folder.path());
        let camera = Camera::upright(Level0Point::new(5000.0, 5000.0));
        for slide in [&open, &closed] {
            view_histories.of(slide, &[], EXTENT).looked(&camera, Viewport::new(1000.0, 500.0));
            view_histories.note_change(slide);
        }
        let left = view_histories.of(&closed, &[], EXTENT).to_picture();
        view_histories.unload(|slide| *slide == open);
        assert!(view_histories.get_mut(&open).is_some() && view_histories.get_mut(&closed).is_none());
        view_histories.of(&closed, &[], EXTENT);
        wakes.recv_timeout(Duration::from_secs(30)).expect("the stored view history is read");
        view_histories.take_read();
        assert_eq!(view_histories.of(&closed, &[], EXTENT).to_picture(), left);
    }

    #[test]
    fn a_trail_kept_under_a_former_id_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (former, slide) = (SlideId("former".to_owned()), SlideId("a".to_owned()));
        let (mut view_histories, wakes) = start(folder.path());
        let camera = Camera::upright(Level0Point::new(5000.0, 5000.0));
        view_histories.of(&former, &[], EXTENT).looked(&camera, Viewport::new(1000.0, 500.0));
        view_histories.note_change(&former);
        let left = view_histories.of(&former, &[], EXTENT).to_picture();
        view_histories.unload(|_| false);
        view_histories.of(&slide, std::slice::from_ref(&former), EXTENT);
        wakes.recv_timeout(Duration::from_secs(30)).expect("the stored view history is read");
        view_histories.take_read();
        assert_eq!(view_histories.of(&slide, &[], EXTENT).to_picture(), left);
    }

    #[test]
    fn a_trail_comes_back_at_the_next_start_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let slide = SlideId("a".to_owned());
        let (mut view_histories, _) = start(folder.path());
        let camera = Camera::upright(Level0Point::new(5000.0, 5000.0));
        view_histories.of(&slide, &[], EXTENT).looked(&camera, Viewport::new(1000.0, 500.0));
        view_histories.note_change(&slide);
        let left = view_histories.of(&slide, &[], EXTENT).to_picture();
        view_histories.keep();
        drop(view_histories);

        let (mut view_histories, wakes) = start(folder.path());
        assert!(view_histories.of(&slide, &[], EXTENT).to_picture().iter().all(|shade| *shade == 0));
        wakes.recv_timeout(Duration::from_secs(30)).expect("the stored view history is read");
        view_histories.take_read();
        assert_eq!(view_histories.of(&slide, &[], EXTENT).to_picture(), left);
        view_histories.clear(&slide);
        view_histories.keep();
        drop(view_histories);

        let (mut view_histories, wakes) = start(folder.path());
        view_histories.of(&slide, &[], EXTENT);
        wakes.recv_timeout(Duration::from_secs(30)).expect("the stored view history is read");
        view_histories.take_read();
        assert!(view_histories.of(&slide, &[], EXTENT).to_picture().iter().all(|shade| *shade == 0));
    }
}
