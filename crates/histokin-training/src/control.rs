//! Control of a training run from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Pause and stop flags, shared with a running training.
#[derive(Default)]
pub struct Control {
    stopped: AtomicBool,
    paused: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    /// Stops the training soon, with a checkpoint.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether [`Control::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Pauses or resumes the training.
    pub fn set_paused(&self, paused: bool) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = paused;
        self.changed.notify_all();
    }

    /// Waits while paused; returns at once when stopped.
    pub fn wait_while_paused(&self) {
        /// How often to check for a stop, which does not notify the condition variable.
        const CHECK_EVERY: Duration = Duration::from_millis(200);
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        while *paused && !self.is_stopped() {
            paused = self.changed.wait_timeout(paused, CHECK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
