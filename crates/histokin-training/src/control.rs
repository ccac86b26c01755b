//! How a running training is steered from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared between a training and whoever watches it.
#[derive(Default)]
pub struct Control {
    stopped: AtomicBool,
    paused: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    /// End soon, with a checkpoint to go on from. Only sets a flag, so that a signal's handler may call it.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn set_paused(&self, paused: bool) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = paused;
        self.changed.notify_all();
    }

    /// Wait while paused; returns at once when stopped.
    pub(super) fn wait_while_paused(&self) {
        /// A stop wakes nobody.
        const LOOK_AGAIN: Duration = Duration::from_millis(200);
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        while *paused && !self.is_stopped() {
            paused = self.changed.wait_timeout(paused, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
