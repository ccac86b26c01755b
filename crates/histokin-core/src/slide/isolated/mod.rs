//! Slides decoded by a process of their own, for files that are not trusted: a slide from outside that crashes a
//! decoder, hangs it or eats memory, does so there. Only pixels come back, through a pipe.
//!
//! The other process is this program again, as `histokin decode FILE` ([`serve`]); each decodes one region at a
//! time, and as many of them run as are asked at once. It takes no more memory than [`Limits`] allow, cannot write
//! files, and is ended when it does not answer in time.

mod child;
mod helper;
pub mod trust;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use image::RgbaImage;

use super::{MAX_REGION_PIXELS, SlideError, SlideInfo, SlideSource};
use crate::geometry::{LevelRect, MicronsPerPixel};
use crate::memory::{Budget, Kind, MemoryCache};
use helper::{Ended, Helper};
use wire::Request;

pub use child::serve;

/// What another process may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes: a plain picture of the largest size that is opened takes 3 GiB while it is decoded.
    pub memory: u64,
    /// From the start of the process until the slide is open.
    pub opening: Duration,
    pub reading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 4 << 30, opening: Duration::from_secs(60), reading: Duration::from_secs(30) }
    }
}

/// How a slide is opened in another process.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// This program's file.
    pub program: PathBuf,
    pub path: PathBuf,
    pub user_mpp: Option<MicronsPerPixel>,
    pub raw_tiles_allowed: bool,
    pub limits: Limits,
}

/// Bytes that a process is taken to need: its code, and a handle of OpenSlide.
const HELPER_BYTES: usize = 24 << 20;

/// Processes of one slide that wait for work; more are ended when they are done.
const MOST_WAITING: u64 = 16;

/// A slide that other processes decode.
pub(super) struct IsolatedSource {
    order: Order,
    info: SlideInfo,
    /// Processes that wait for work, unless memory was needed for others.
    waiting: MemoryCache,
    outcome: Mutex<Outcome>,
}

/// How it went so far.
#[derive(Debug, Default)]
struct Outcome {
    reads: u64,
    crashed: bool,
}

impl IsolatedSource {
    /// Start a process on the slide.
    ///
    /// # Errors
    /// The process's own, or [`SlideError::Open`] when it crashed or could not be started.
    pub fn open(order: Order) -> Result<Self, SlideError> {
        let path = order.path.clone();
        match Helper::start(&order) {
            Ok((helper, Ok(info))) => {
                let waiting = MemoryCache::new(Budget::of_process(), Kind::Handle);
                waiting.keep(0, HELPER_BYTES, Arc::new(Mutex::new(Some(helper))));
                let info = SlideInfo { path, ..*info };
                Ok(Self { order, info, waiting, outcome: Mutex::default() })
            }
            Ok((_, Err(refusal))) => Err(refusal.into_error(path)),
            Err(ended) => {
                if ended.is_crash() {
                    trust::note(&order.path, trust::What::Crashed);
                }
                Err(SlideError::Open { path, reason: ended.to_string() })
            }
        }
    }

    /// Have a process do something; what it answers, or why it does not.
    fn ask<T>(
        &self,
        request: &Request,
        take: impl Fn(&mut Helper) -> Result<Result<T, String>, Ended>,
    ) -> Result<T, String> {
        let (place, helper) = self.take_helper();
        let mut helper = match helper {
            Some(helper) => helper,
            None => match Helper::start(&self.order).map_err(|ended| self.crashed(&ended))? {
                (helper, Ok(info)) if info.id == self.info.id => helper,
                (_, Ok(_)) => return Err("the file was replaced since it was opened".to_owned()),
                (_, Err(refusal)) => return Err(refusal.reason),
            },
        };
        let answer = helper.send(request, self.order.limits.reading).and_then(|()| take(&mut helper));
        match answer {
            Ok(answer) => {
                if place < MOST_WAITING {
                    self.waiting.keep(place, HELPER_BYTES, Arc::new(Mutex::new(Some(helper))));
                }
                self.outcome.lock().unwrap_or_else(PoisonError::into_inner).reads += 1;
                answer
            }
            Err(_) => Err(self.crashed(&helper.end())),
        }
    }

    /// A process that waits, or else the first place where one may wait later.
    fn take_helper(&self) -> (u64, Option<Helper>) {
        let mut free = MOST_WAITING;
        for place in 0..MOST_WAITING {
            let Some(waiting) = self.waiting.get::<Mutex<Option<Helper>>>(place) else {
                free = free.min(place);
                continue;
            };
            let taken = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            if taken.is_some() {
                return (place, taken);
            }
            free = free.min(place);
        }
        (free, None)
    }

    fn crashed(&self, ended: &Ended) -> String {
        if ended.is_crash() {
            self.outcome.lock().unwrap_or_else(PoisonError::into_inner).crashed = true;
            trust::note(&self.order.path, trust::What::Crashed);
        }
        ended.to_string()
    }
}

impl Drop for IsolatedSource {
    /// A file that was read without a crash is trusted from the next time on.
    fn drop(&mut self) {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.reads > 0 && !outcome.crashed {
            trust::note(&self.order.path, trust::What::Sound);
        }
    }
}

impl SlideSource for IsolatedSource {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let failed =
            |reason: String| SlideError::Read { path: self.info.path.clone(), region: *region, reason };
        let pixels = u64::from(region.width) * u64::from(region.height);
        if pixels > MAX_REGION_PIXELS {
            return Err(failed("the region is too large to be read at once; read it in parts".to_owned()));
        }
        let take = |helper: &mut Helper| helper.picture(Some((region.width, region.height)));
        self.ask(&Request::Read(*region), take).map_err(failed)
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        let failed =
            |reason: String| SlideError::Read { path: self.info.path.clone(), region: *region, reason };
        if factor == 0 {
            return Err(failed("nothing is reduced to 1/0".to_owned()));
        }
        let (width, height) = (region.width.div_ceil(factor), region.height.div_ceil(factor));
        if u64::from(width) * u64::from(height) > MAX_REGION_PIXELS {
            return Err(failed("the region is too large to be read at once; read it in parts".to_owned()));
        }
        let take = |helper: &mut Helper| helper.picture(Some((width, height)));
        self.ask(&Request::Reduced { region: *region, factor }, take).map_err(failed)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        if !self.info.associated.iter().any(|known| known == name) {
            return Err(self.info.no_such_associated(name));
        }
        let failed = |reason: String| SlideError::ReadAssociated {
            path: self.info.path.clone(),
            name: name.to_owned(),
            reason,
        };
        let take = |helper: &mut Helper| helper.picture(None);
        self.ask(&Request::Associated(name.to_owned()), take).map_err(failed)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        let failed = |reason: String| SlideError::Profile { path: self.info.path.clone(), reason };
        self.ask(&Request::Profile, Helper::profile).map_err(failed)
    }
}

/// Open the slide at `path` in another process, whatever is known of the file: `program` is this program's file.
///
/// # Errors
/// As [`super::open`].
pub fn open(program: &Path, path: &Path, limits: Limits) -> Result<Arc<dyn SlideSource>, SlideError> {
    let order = Order {
        program: program.to_owned(),
        path: path.to_owned(),
        user_mpp: None,
        raw_tiles_allowed: true,
        limits,
    };
    Ok(Arc::new(IsolatedSource::open(order)?))
}
