//! A slide whose file may be removed, replaced or truncated while it is open, and may become available again.
//!
//! The file is checked before each read, because others may change files on a network drive. While it is the
//! file that was opened, its reader stays in use. A file that has changed is reopened and accepted only if it
//! holds the same slide, so that pixels of another slide are never returned for this one. Companion files, of which
//! there may be many, are checked only by [`SlideSource::check`].

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use image::RgbaImage;

use super::isolated::trust::InUse;
use super::{SlideError, SlideInfo, SlideSource};
use crate::geometry::LevelRect;
use crate::platform::FileState;

/// Opens the file again, in the same way as the first time.
type Open = Box<dyn Fn() -> Result<Arc<dyn SlideSource>, SlideError> + Send + Sync>;

/// A slide that is reopened when its file changes.
pub(super) struct ReconnectingSource {
    info: SlideInfo,
    companions: Vec<PathBuf>,
    open: Open,
    state: RwLock<State>,
    /// Records on drop that this process no longer reads the file.
    _in_use: Option<InUse>,
}

#[derive(Clone)]
struct State {
    reader: Arc<dyn SlideSource>,
    /// Stamps of the files when the reader was opened.
    stamps: Stamps,
    /// Stamps of files that are not this slide, and the reason.
    foreign: Option<(Stamps, String)>,
}

/// Stamps of the file and of its companions, as far as they exist.
#[derive(Clone, PartialEq, Eq)]
struct Stamps {
    file: Stamp,
    companions: Vec<Option<Stamp>>,
}

/// Identifies an unchanged file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Size of the file in bytes.
    pub size: u64,
    modified: Option<SystemTime>,
    state: FileState,
}

impl Stamp {
    /// Takes the stamp from a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok(), state: FileState::of(metadata) }
    }

    fn at(path: &Path) -> std::io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

fn stamps_at(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| Stamp::at(path).ok()).collect()
}

impl ReconnectingSource {
    /// Opens the slide with `open`; `file` is the stamp of its file, `companions` are the paths of the others.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn new(
        open: Open,
        file: Stamp,
        companions: Vec<PathBuf>,
        in_use: Option<InUse>,
    ) -> Result<Self, SlideError> {
        let stamps = Stamps { file, companions: stamps_at(&companions) };
        let reader = open()?;
        let info = reader.info().clone();
        let state = RwLock::new(State { reader, stamps, foreign: None });
        Ok(Self { info, companions, open, state, _in_use: in_use })
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
        match (Stamp::at(&self.info.path), &state.foreign) {
            // A deleted file can be read for as long as it is open.
            (Err(_), _) => Ok(state.reader),
            (Ok(stamp), Some((known, reason))) if stamp == known.file => {
                Err(self.unavailable(reason.clone()))
            }
            (Ok(stamp), _) if stamp == state.stamps.file => Ok(state.reader),
            (Ok(stamp), _) => self.recognise(self.stamps(stamp)),
        }
    }

    /// The stamps at present, of which that of the file is given.
    fn stamps(&self, file: Stamp) -> Stamps {
        Stamps { file, companions: stamps_at(&self.companions) }
    }

    /// Reopens the files, which have these stamps at present, if they have changed; an error if they are not this
    /// slide.
    fn recognise(&self, stamps: Stamps) -> Result<Arc<dyn SlideSource>, SlideError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Nothing has changed, another thread has reopened it in the meantime, or the former files are back.
        if stamps == state.stamps {
            state.foreign = None;
            return Ok(state.reader.clone());
        }
        if let Some((known, reason)) = &state.foreign
            && *known == stamps
        {
            return Err(self.unavailable(reason.clone()));
        }
        let problem = match (self.open)() {
            Ok(reader) if reader.info().id == self.info.id && reader.info().levels == self.info.levels => {
                *state = State { reader: reader.clone(), stamps, foreign: None };
                return Ok(reader);
            }
            Ok(_) => "the file now holds another slide; close this one and open it again".to_owned(),
            Err(_) if stamps.file.size < state.stamps.file.size => format!(
                "the file has been cut short to {} of {} bytes; it is read again when it is complete",
                stamps.file.size, state.stamps.file.size
            ),
            Err(error) => format!("the file has changed and can no longer be read ({error})"),
        };
        state.foreign = Some((stamps, problem.clone()));
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

    fn companions(&self) -> &[PathBuf] {
        &self.companions
    }

    fn check(&self) -> Result<(), SlideError> {
        match Stamp::at(&self.info.path) {
            Ok(file) => self.recognise(self.stamps(file)).map(|_| ()),
            Err(error) => Err(self.unavailable(format!(
                "the file is no longer there, or its drive is disconnected ({error}). It is read again \
                 automatically when it is back"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::test_slide::TestSlide;
    use super::super::{KnownAs, SlideId};
    use super::*;

    #[test]
    fn companions_that_are_replaced_make_the_slide_unavailable_until_they_are_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, data) = (folder.path().join("a.mrxs"), folder.path().join("Data0000.dat"));
        fs::write(&path, "slide").unwrap();
        fs::write(&data, "first").unwrap();
        let (at, companion) = (path.clone(), data.clone());
        let open = move || -> Result<Arc<dyn SlideSource>, SlideError> {
            let source = Arc::new(TestSlide::new(20, 10));
            let id = SlideId(fs::read_to_string(&companion).unwrap_or_default());
            let info = SlideInfo { id, path: at.clone(), ..source.info().clone() };
            Ok(Arc::new(KnownAs { source, info }))
        };
        let stamp = Stamp::at(&path).unwrap();
        let slide = ReconnectingSource::new(Box::new(open), stamp, vec![data.clone()], None).unwrap();
        let region = LevelRect { level: 0, x: 0, y: 0, width: 4, height: 4 };
        assert!(slide.check().is_ok() && slide.read(&region).is_ok());
        fs::write(&data, "another").unwrap();
        assert!(slide.check().unwrap_err().to_string().contains("another slide"));
        assert!(slide.read(&region).unwrap_err().is_unavailable());
        fs::remove_file(&data).unwrap();
        assert!(slide.check().is_err());
        fs::write(&data, "first").unwrap();
        assert!(slide.check().is_ok() && slide.read(&region).is_ok());
    }
}
