//! Watching how far reading or writing is, and stopping it.

use std::sync::atomic::{AtomicBool, Ordering};

/// What is called while a file is read or written.
pub(super) struct Watch<'a> {
    go_on: &'a (dyn Fn(f32) -> bool + Sync),
    stopped: AtomicBool,
}

impl<'a> Watch<'a> {
    /// Makes a watch that calls `go_on` again and again with the share that is done, from 0 to 1; it returns whether to go
    /// on.
    pub fn new(go_on: &'a (dyn Fn(f32) -> bool + Sync)) -> Self {
        Self { go_on, stopped: AtomicBool::new(false) }
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
