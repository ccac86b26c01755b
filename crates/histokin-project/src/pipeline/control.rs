//! How a running embedding is steered from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use histokin_core::geometry::Level0Rect;

/// Shared between an embedding and whoever watches it.
#[derive(Default)]
pub struct EmbedControl {
    stopped: AtomicBool,
    paused: Mutex<bool>,
    changed: Condvar,
    focus: Mutex<Option<Level0Rect>>,
}

impl EmbedControl {
    /// End the work soon; what is done is kept.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Taking the lock makes sure that a waiter does not miss the wake-up.
        drop(self.paused.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// The same as a signal's handler may do it: an embedding that is paused stays so.
    pub fn flag_stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn set_paused(&self, paused: bool) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = paused;
        self.changed.notify_all();
    }

    /// The part of the slide whose tiles go first.
    pub fn set_focus(&self, focus: Option<Level0Rect>) {
        *self.focus.lock().unwrap_or_else(PoisonError::into_inner) = focus;
    }

    pub(super) fn focus(&self) -> Option<Level0Rect> {
        *self.focus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait while paused; returns at once when stopped.
    pub(super) fn wait_while_paused(&self) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        while *paused && !self.is_stopped() {
            paused = self.changed.wait(paused).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
