//! The trails of all slides, and how they come back at the next start.

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

/// Wishes that may wait for the archive; what finds no room is asked for again later.
const WISHES_WAITING: usize = 256;

/// Where the reader has looked, on every slide.
pub struct ViewHistories {
    view_histories: HashMap<SlideId, Kept>,
    archive: Option<Archive>,
}

struct Kept {
    view_history: ViewHistory,
    /// Whether it has to be written.
    changed: bool,
}

impl ViewHistories {
    /// ViewHistories that are kept in `folder`, as one small picture a slide; `wake` is called when one has been read.
    /// Without a folder they last as long as the window.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(folder: Option<PathBuf>, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Self> {
        let archive = folder.map(|folder| Archive::start(folder, wake)).transpose()?;
        Ok(Self { view_histories: HashMap::new(), archive })
    }

    /// The trail on a slide, if it has one already.
    pub fn get_mut(&mut self, slide: &SlideId) -> Option<&mut ViewHistory> {
        self.view_histories.get_mut(slide).map(|kept| &mut kept.view_history)
    }

    /// The trail on a slide of `extent` level-0 pixels; what was kept of it, possibly under an id that earlier versions
    /// gave the slide, joins it once it has been read.
    pub fn of(&mut self, slide: &SlideId, former_ids: &[SlideId], extent: (f64, f64)) -> &mut ViewHistory {
        match self.view_histories.entry(slide.clone()) {
            Entry::Occupied(known) => &mut known.into_mut().view_history,
            Entry::Vacant(place) => {
                if let Some(archive) = &self.archive {
                    archive.wish(Wish::Read(slide.clone(), former_ids.to_vec()));
                }
                &mut place
                    .insert(Kept { view_history: ViewHistory::new(extent), changed: false })
                    .view_history
            }
        }
    }

    /// The trail of `slide` has grown.
    pub fn note_change(&mut self, slide: &SlideId) {
        if let Some(kept) = self.view_histories.get_mut(slide) {
            kept.changed = true;
        }
    }

    /// Forget where the reader has looked on a slide.
    pub fn clear(&mut self, slide: &SlideId) {
        if let Some(kept) = self.view_histories.get_mut(slide) {
            kept.view_history.clear();
            kept.changed = true;
        }
    }

    /// Take over what has been read.
    pub fn take_read(&mut self) {
        let Some(archive) = &self.archive else { return };
        for (slide, picture) in archive.read.try_iter() {
            if let Some(kept) = self.view_histories.get_mut(&slide) {
                kept.view_history.merge(&picture);
            }
        }
    }

    /// Let go of the trails of slides that are not open: they are written, and read when they are needed again.
    pub fn put_away(&mut self, is_open: impl Fn(&SlideId) -> bool) {
        self.take_read();
        let archive = self.archive.as_ref();
        self.view_histories.retain(|slide, kept| {
            if is_open(slide) {
                return true;
            }
            kept.view_history.forget_picture();
            let Some(archive) = archive else { return true };
            kept.changed && !archive.wish(Wish::Write(slide.clone(), kept.view_history.to_picture()))
        });
    }

    /// Have all that has changed written.
    pub fn keep(&mut self) {
        let Some(archive) = &self.archive else { return };
        for (slide, kept) in self.view_histories.iter_mut().filter(|(_, kept)| kept.changed) {
            kept.changed = !archive.wish(Wish::Write(slide.clone(), kept.view_history.to_picture()));
        }
    }
}

enum Wish {
    /// The trail of a slide, kept under its id or else under one of its former ones.
    Read(SlideId, Vec<SlideId>),
    Write(SlideId, GrayImage),
}

/// Reads and writes trails, on a thread of its own. Dropping it waits for the last writing.
struct Archive {
    wishes: Option<Sender<Wish>>,
    read: Receiver<(SlideId, GrayImage)>,
    thread: Option<JoinHandle<()>>,
}

impl Archive {
    fn start(folder: PathBuf, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Self> {
        let (wishes, to_do) = bounded(WISHES_WAITING);
        // Never full: it is as long as the wishes, and each has one answer at most.
        let (answers, read) = bounded(WISHES_WAITING + 1);
        let thread = std::thread::Builder::new().name("trail-keeper".into()).spawn(move || {
            for wish in to_do {
                match wish {
                    Wish::Read(slide, former) => {
                        let mut ids = std::iter::once(&slide).chain(&former);
                        let Some(picture) = ids.find_map(|id| load(&path(&folder, id))) else { continue };
                        if answers.try_send((slide, picture)).is_ok() {
                            wake();
                        }
                    }
                    Wish::Write(slide, picture) => {
                        let path = path(&folder, &slide);
                        if let Err(error) = store(&path, &picture) {
                            tracing::warn!(file = %path.display(), %error, "a trail could not be kept");
                        }
                    }
                }
            }
        })?;
        Ok(Self { wishes: Some(wishes), read, thread: Some(thread) })
    }

    /// Whether there was room for it.
    fn wish(&self, wish: Wish) -> bool {
        self.wishes.as_ref().is_some_and(|wishes| wishes.try_send(wish).is_ok())
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the trail-keeper thread had panicked");
        }
    }
}

fn path(folder: &Path, slide: &SlideId) -> PathBuf {
    folder.join(format!("{slide}.png"))
}

/// A trail that was kept; nothing where there is none, or none that can be understood.
fn load(path: &Path) -> Option<GrayImage> {
    let bytes = std::fs::read(path).ok()?;
    match image::load_from_memory_with_format(&bytes, ImageFormat::Png) {
        Ok(picture) => Some(picture.into_luma8()),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "a kept trail cannot be understood");
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
        view_histories.put_away(|slide| *slide == open);
        assert!(view_histories.get_mut(&open).is_some() && view_histories.get_mut(&closed).is_none());
        view_histories.of(&closed, &[], EXTENT);
        wakes.recv_timeout(Duration::from_secs(30)).expect("the kept trail is read");
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
        view_histories.put_away(|_| false);
        view_histories.of(&slide, std::slice::from_ref(&former), EXTENT);
        wakes.recv_timeout(Duration::from_secs(30)).expect("the kept trail is read");
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
        wakes.recv_timeout(Duration::from_secs(30)).expect("the kept trail is read");
        view_histories.take_read();
        assert_eq!(view_histories.of(&slide, &[], EXTENT).to_picture(), left);
        view_histories.clear(&slide);
        view_histories.keep();
        drop(view_histories);

        let (mut view_histories, wakes) = start(folder.path());
        view_histories.of(&slide, &[], EXTENT);
        wakes.recv_timeout(Duration::from_secs(30)).expect("the kept trail is read");
        view_histories.take_read();
        assert!(view_histories.of(&slide, &[], EXTENT).to_picture().iter().all(|shade| *shade == 0));
    }
}
