//! Decoding of untrusted slides in separate processes. If a file crashes a decoder, makes it hang or exhausts
//! memory, only that process is affected. It returns nothing but pixels and metadata, through a pipe.
//!
//! The decoder process is this program itself, run as `histokin decode FILE` ([`serve`]). Each process
//! decodes one region at a time; there are as many as there are simultaneous reads. A process is limited to
//! the memory in [`Limits`], cannot write files, and is ended if it does not answer in time.

mod child;
mod decoder_process;
pub mod trust;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use image::RgbaImage;

use super::{MAX_REGION_PIXELS, OpenSettings, SlideError, SlideInfo, SlideSource};
use crate::geometry::LevelRect;
use crate::memory::{Budget, Kind, MemoryCache};
use decoder_process::{DecoderProcess, Ended};
use wire::Request;

pub use child::serve;

/// Limits of a decoder process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Memory in bytes. Decoding a plain picture of the largest supported size takes 3 GiB.
    pub memory: u64,
    /// Maximum time from the start of the process until the slide is open.
    pub opening: Duration,
    /// Maximum time for answering one request.
    pub reading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 4 << 30, opening: Duration::from_secs(60), reading: Duration::from_secs(30) }
    }
}

/// How a slide is opened in a decoder process.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Path of this program.
    pub program: PathBuf,
    /// Path of the slide's file.
    pub path: PathBuf,
    /// How it is opened.
    pub settings: OpenSettings,
    /// Limits of the process.
    pub limits: Limits,
}

/// Estimated memory of a decoder process in bytes: its code, and an OpenSlide handle.
const DECODER_BYTES: usize = 24 << 20;

/// Maximum number of idle processes of one slide; further ones are ended after their request.
const MAX_IDLE: u64 = 16;

/// A slide that is decoded in other processes.
pub(super) struct IsolatedSource {
    order: Order,
    info: SlideInfo,
    /// Idle processes, unless their memory was needed for other data.
    idle: MemoryCache,
    outcome: Mutex<Outcome>,
}

/// The result of decoding so far.
#[derive(Debug, Default)]
struct Outcome {
    reads: u64,
    crashed: bool,
}

impl IsolatedSource {
    /// Starts a decoder process for the slide.
    ///
    /// # Errors
    /// The error of the process, or [`SlideError::Open`] when it crashed or could not be started.
    pub fn open(order: Order) -> Result<Self, SlideError> {
        let path = order.path.clone();
        match DecoderProcess::start(&order) {
            Ok((decoder, Ok(info))) => {
                let idle = MemoryCache::new(Budget::of_process(), Kind::Handle);
                idle.insert(0, DECODER_BYTES, Arc::new(Mutex::new(Some(decoder))));
                let info = SlideInfo { path, ..*info };
                Ok(Self { order, info, idle, outcome: Mutex::default() })
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

    /// Sends a request to a process and returns its answer, or the reason why there is none.
    fn ask<T>(
        &self,
        request: &Request,
        take: impl Fn(&mut DecoderProcess) -> Result<Result<T, String>, Ended>,
    ) -> Result<T, String> {
        let (slot, decoder) = self.take_decoder();
        let mut decoder = match decoder {
            Some(decoder) => decoder,
            None => match DecoderProcess::start(&self.order).map_err(|ended| self.crashed(&ended))? {
                (decoder, Ok(info)) if info.id == self.info.id => decoder,
                (_, Ok(_)) => return Err("the file was replaced after it was opened".to_owned()),
                (_, Err(refusal)) => return Err(refusal.reason),
            },
        };
        let answer = decoder.send(request, self.order.limits.reading).and_then(|()| take(&mut decoder));
        match answer {
            Ok(answer) => {
                if slot < MAX_IDLE {
                    self.idle.insert(slot, DECODER_BYTES, Arc::new(Mutex::new(Some(decoder))));
                }
                self.outcome.lock().unwrap_or_else(PoisonError::into_inner).reads += 1;
                answer
            }
            Err(_) => Err(self.crashed(&decoder.end())),
        }
    }

    /// Takes an idle process, if there is one; also returns its slot, or the first free slot.
    fn take_decoder(&self) -> (u64, Option<DecoderProcess>) {
        let mut free = MAX_IDLE;
        for slot in 0..MAX_IDLE {
            let Some(idle) = self.idle.get::<Mutex<Option<DecoderProcess>>>(slot) else {
                free = free.min(slot);
                continue;
            };
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).take();
            if taken.is_some() {
                return (slot, taken);
            }
            free = free.min(slot);
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
    /// A file that was read without a crash is trusted from now on.
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
        let take = |decoder: &mut DecoderProcess| decoder.picture(Some((region.width, region.height)));
        self.ask(&Request::Read(*region), take).map_err(failed)
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        let failed =
            |reason: String| SlideError::Read { path: self.info.path.clone(), region: *region, reason };
        if factor == 0 {
            return Err(failed("the reduction factor is 0".to_owned()));
        }
        let (width, height) = (region.width.div_ceil(factor), region.height.div_ceil(factor));
        if u64::from(width) * u64::from(height) > MAX_REGION_PIXELS {
            return Err(failed("the region is too large to be read at once; read it in parts".to_owned()));
        }
        let take = |decoder: &mut DecoderProcess| decoder.picture(Some((width, height)));
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
        let take = |decoder: &mut DecoderProcess| decoder.picture(None);
        self.ask(&Request::Associated(name.to_owned()), take).map_err(failed)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        let failed = |reason: String| SlideError::Profile { path: self.info.path.clone(), reason };
        self.ask(&Request::Profile, DecoderProcess::profile).map_err(failed)
    }
}

/// Opens the slide at `path` in a decoder process, even if the file is trusted. `program` is the path of this
/// program.
///
/// # Errors
/// As [`super::open`].
pub fn open(program: &Path, path: &Path, limits: Limits) -> Result<Arc<dyn SlideSource>, SlideError> {
    let order = Order {
        program: program.to_owned(),
        path: path.to_owned(),
        settings: OpenSettings::default(),
        limits,
    };
    Ok(Arc::new(IsolatedSource::open(order)?))
}
