//! A slide whose file may be removed, replaced or truncated while it is open, and may become available again.
//!
//! The file is checked before each read, because others may change files on a network drive. While it is the
//! file that was opened, its reader stays in use. A file that has changed is reopened and accepted only if it
//! holds the same slide, so that pixels of another slide are never returned for this one.

use std::fs::Metadata;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use image::RgbaImage;

use super::isolated::trust::InUse;
use super::{SlideError, SlideInfo, SlideSource};
use crate::geometry::LevelRect;

/// Opens the file again, in the same way as the first time.
type Open = Box<dyn Fn() -> Result<Arc<dyn SlideSource>, SlideError> + Send + Sync>;

/// A slide that is reopened when its file changes.
pub(super) struct ReconnectingSource {
    info: SlideInfo,
    open: Open,
    state: RwLock<State>,
    /// Records on drop that this process no longer reads the file.
    _in_use: Option<InUse>,
}

#[derive(Clone)]
struct State {
    reader: Arc<dyn SlideSource>,
    /// Stamp of the file when the reader was opened.
    stamp: Stamp,
    /// Stamp of a file that is not this slide, and the reason.
    foreign: Option<(Stamp, String)>,
}

/// Identifies an unchanged file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Size of the file in bytes.
    pub size: u64,
    modified: Option<SystemTime>,
    /// Time in seconds and nanoseconds when content, name or access rights last changed. Unlike `modified` it
    /// cannot be set, as copying with preserved times does.
    changed: (i64, i64),
    /// Device and inode: a file that was moved to this path is a different one.
    file: (u64, u64),
}

impl Stamp {
    /// Takes the stamp from a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, file) = {
            use std::os::unix::fs::MetadataExt;
            ((metadata.ctime(), metadata.ctime_nsec()), (metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let (changed, file) = Default::default();
        Self { size: metadata.len(), modified: metadata.modified().ok(), changed, file }
    }

    fn at(path: &Path) -> std::io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

impl ReconnectingSource {
    /// Opens the slide with `open`; `stamp` is that of its file.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn new(open: Open, stamp: Stamp, in_use: Option<InUse>) -> Result<Self, SlideError> {
        let reader = open()?;
        let info = reader.info().clone();
        let state = RwLock::new(State { reader, stamp, foreign: None });
        Ok(Self { info, open, state, _in_use: in_use })
    }

    fn unavailable(&self, reason: impl Into<String>) -> SlideError {
        SlideError::Unavailable { path: self.info.path.clone(), reason: reason.into() }
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the reader for the file in its current state.
    fn reader(&self) -> Result<Arc<dyn SlideSource>, SlideError> {
        let state = self.state();
        match Stamp::at(&self.info.path) {
            // A deleted file can be read for as long as it is open.
            Err(_) => Ok(state.reader),
            Ok(stamp) if stamp == state.stamp => Ok(state.reader),
            Ok(stamp) => self.recognise(stamp),
        }
    }

    /// Reopens the file, whose current stamp is `stamp`; an error if it is not this slide.
    fn recognise(&self, stamp: Stamp) -> Result<Arc<dyn SlideSource>, SlideError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have reopened it in the meantime.
        if stamp == state.stamp {
            return Ok(state.reader.clone());
        }
        if let Some((known, reason)) = &state.foreign
            && *known == stamp
        {
            return Err(self.unavailable(reason.clone()));
        }
        let problem = match (self.open)() {
            Ok(reader) if reader.info().id == self.info.id && reader.info().levels == self.info.levels => {
                *state = State { reader: reader.clone(), stamp, foreign: None };
                return Ok(reader);
            }
            Ok(_) => "the file now holds another slide; close this one and open it again".to_owned(),
            Err(_) if stamp.size < state.stamp.size => format!(
                "the file has been cut short to {} of {} bytes; it is read again when it is complete",
                stamp.size, state.stamp.size
            ),
            Err(error) => format!("the file has changed and can no longer be read ({error})"),
        };
        state.foreign = Some((stamp, problem.clone()));
        Err(self.unavailable(problem))
    }

    /// Runs `work` on the reader; if that fails because the file is unavailable, returns that error instead.
    fn with<T>(&self, work: impl Fn(&dyn SlideSource) -> Result<T, SlideError>) -> Result<T, SlideError> {
        work(self.reader()?.as_ref()).map_err(|error| match self.check() {
            Err(unavailable) => unavailable,
            Ok(()) => error,
        })
    }
}

impl SlideSource for ReconnectingSource {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.with(|reader| reader.read(region))
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        self.with(|reader| reader.read_reduced(region, factor))
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.with(|reader| reader.associated(name))
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        self.with(|reader| reader.icc_profile())
    }

    fn check(&self) -> Result<(), SlideError> {
        match Stamp::at(&self.info.path) {
            Ok(stamp) if stamp == self.state().stamp => Ok(()),
            Ok(stamp) => self.recognise(stamp).map(|_| ()),
            Err(error) => Err(self.unavailable(format!(
                "the file is not there any more, or its drive is disconnected ({error}). It is read again \
                 automatically when it is back"
            ))),
        }
    }
}
