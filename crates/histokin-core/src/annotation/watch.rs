//! Watching how far reading or writing is, taking what has been read so far, and stopping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Detections;
use crate::geometry::Level0Point;

/// Detections that have been read while a file is still being read. They are part of what is read in the end, unless that
/// fails.
#[derive(Debug, Clone)]
pub struct Part {
    /// The detections, in the coordinates of the file.
    pub detections: Arc<Detections>,
    /// Origin of the coordinates as stated in the file before them, in level-0 pixels.
    pub origin: Option<Level0Point>,
}

/// What is called while a file is read or written.
pub(super) struct Watch<'a> {
    go_on: &'a (dyn Fn(f32) -> bool + Sync),
    part: Option<&'a (dyn Fn(Part) + Sync)>,
    stopped: AtomicBool,
}

impl<'a> Watch<'a> {
    /// Makes a watch that calls `go_on` again and again with the share that is done, from 0 to 1; it returns whether to go
    /// on.
    pub fn new(go_on: &'a (dyn Fn(f32) -> bool + Sync)) -> Self {
        Self { go_on, part: None, stopped: AtomicBool::new(false) }
    }

    /// Returns a watch that also passes on parts of what is read.
    pub fn with_parts(self, part: &'a (dyn Fn(Part) + Sync)) -> Self {
        Self { part: Some(part), ..self }
    }

    /// Returns whether it passes on parts.
    pub fn wants_parts(&self) -> bool {
        self.part.is_some()
    }

    /// Passes on a part.
    pub fn pass_on(&self, part: Part) {
        if let Some(take) = self.part {
            take(part);
        }
    }

    /// Makes a watch that never stops.
    pub fn none() -> Self {
        Self::new(&|_| true)
    }

    /// Tells the share that is done, and returns whether to go on.
    pub fn go_on(&self, share: f32) -> bool {
        let goes_on = (self.go_on)(share);
        self.stopped.fetch_or(!goes_on, Ordering::Relaxed);
        goes_on
    }

    /// Returns whether the work was stopped, so that its result is not complete.
    pub fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
