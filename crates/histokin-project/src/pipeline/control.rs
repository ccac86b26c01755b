//! Control of a running embedding from other threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use histokin_core::geometry::Level0Rect;

/// Stop, pause and focus of an embedding, shared between its threads and its owner.
#[derive(Default)]
pub struct EmbedControl {
    stopped: AtomicBool,
    paused: Mutex<bool>,
    changed: Condvar,
    focus: Mutex<Option<Level0Rect>>,
}

impl EmbedControl {
    /// Requests the end of the embedding; finished work is kept.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Taking the lock ensures that a waiting thread does not miss the notification.
        drop(self.paused.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Returns whether the end of the embedding was requested.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Pauses or resumes the embedding.
    pub fn set_paused(&self, paused: bool) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = paused;
        self.changed.notify_all();
    }

    /// Sets the part of the slide whose nearest tiles are embedded first, such as the visible one.
    pub fn set_focus(&self, focus: Option<Level0Rect>) {
        *self.focus.lock().unwrap_or_else(PoisonError::into_inner) = focus;
    }

    pub(super) fn focus(&self) -> Option<Level0Rect> {
        *self.focus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks while paused; returns at once when stopped.
    pub(super) fn wait_while_paused(&self) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        while *paused && !self.is_stopped() {
            paused = self.changed.wait(paused).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
