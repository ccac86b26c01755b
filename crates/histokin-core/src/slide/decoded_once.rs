//! Pictures that are decoded only once, however many threads ask for them.

use std::sync::{Arc, Mutex, PoisonError};

use image::RgbaImage;

use super::SlideError;
use crate::memory::{Budget, Kind, MemoryCache};

/// Decoded pictures or parts of one, until their memory is needed for other data.
pub(super) struct DecodedOnce {
    memory_cache: MemoryCache,
    /// Why the file cannot be decoded, once that is known, since each attempt takes seconds. Locked while decoding.
    problem: Mutex<Option<String>>,
}

impl DecodedOnce {
    pub fn new() -> Self {
        let memory_cache = MemoryCache::new(Budget::of_process(), Kind::Shown);
        Self { memory_cache, problem: Mutex::new(None) }
    }

    /// Returns the pixels cached under `key`, or decodes and caches them. `failed` makes an error of the reason for which
    /// an earlier attempt failed.
    ///
    /// # Errors
    /// Those of `decode`.
    pub fn get(
        &self,
        key: u64,
        failed: impl Fn(String) -> SlideError,
        decode: impl FnOnce() -> Result<RgbaImage, SlideError>,
    ) -> Result<Arc<RgbaImage>, SlideError> {
        if let Some(pixels) = self.memory_cache.get(key) {
            return Ok(pixels);
        }
        // A poisoned lock is harmless: no code that can panic leaves a wrong reason in it.
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = problem.clone() {
            return Err(failed(reason));
        }
        if let Some(pixels) = self.memory_cache.get(key) {
            return Ok(pixels);
        }
        let pixels = decode().inspect_err(|error| {
            if let SlideError::Read { reason, .. } = error {
                *problem = Some(reason.clone());
            }
        })?;
        let pixels = Arc::new(pixels);
        self.memory_cache.insert(key, pixels.as_raw().len(), pixels.clone());
        Ok(pixels)
    }
}
