//! A slide whose file may be taken away, replaced or cut short while it is open, and may come back.
//!
//! The file is looked at before each read, as an archive on a network drive is not ours alone. While it is the one
//! that was opened, its reader goes on; a file that has changed is opened anew and believed only if it holds the
//! same slide. Pixels of another slide never come under this one's name.

use std::fs::Metadata;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use image::RgbaImage;

use super::isolated::trust::InUse;
use super::{SlideError, SlideInfo, SlideSource};
use crate::geometry::LevelRect;

/// Opens the file anew: the same way in which it was opened first.
type Open = Box<dyn Fn() -> Result<Arc<dyn SlideSource>, SlideError> + Send + Sync>;

pub(super) struct ReconnectingSource {
    info: SlideInfo,
    open: Open,
    state: RwLock<State>,
    /// Lets it be known when the file is no longer read in this process.
    _in_use: Option<InUse>,
}

#[derive(Clone)]
struct State {
    reader: Arc<dyn SlideSource>,
    /// How the file looked when the reader was opened.
    stamp: Stamp,
    /// How the file looked that is not this slide, and in what way.
    foreign: Option<(Stamp, String)>,
}

/// By this a file is known again without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub size: u64,
    modified: Option<SystemTime>,
    /// When content, name or access rights changed last, in seconds and nanoseconds: unlike `modified` it cannot be
    /// set, as copying with the time of the original does.
    changed: (i64, i64),
    /// A file that was renamed into its place is another one.
    file: (u64, u64),
}

impl Stamp {
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
    /// Open a file that looks like `stamp`.
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

    /// What reads this slide now.
    fn reader(&self) -> Result<Arc<dyn SlideSource>, SlideError> {
        let state = self.state();
        match Stamp::at(&self.info.path) {
            // A file that was deleted can be read for as long as it is open.
            Err(_) => Ok(state.reader),
            Ok(stamp) if stamp == state.stamp => Ok(state.reader),
            Ok(stamp) => self.recognise(stamp),
        }
    }

    /// Open the file that looks like `stamp` now; an error if it is not this slide.
    fn recognise(&self, stamp: Stamp) -> Result<Arc<dyn SlideSource>, SlideError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been quicker.
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
            Ok(_) => "the file holds another slide now; close this one and open it again".to_owned(),
            Err(_) if stamp.size < state.stamp.size => format!(
                "the file has been cut short, to {} of {} bytes; it is read again when it is whole",
                stamp.size, state.stamp.size
            ),
            Err(error) => format!("the file has changed and cannot be read any more ({error})"),
        };
        state.foreign = Some((stamp, problem.clone()));
        Err(self.unavailable(problem))
    }

    /// Do something with the reader; what fails because the file has gone is told as that.
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
                "the file is not there any more, or its drive is gone ({error}). It is read again by itself when it \
                 is back"
            ))),
        }
    }
}
