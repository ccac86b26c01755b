//! Requests of the system to end the program, as at logout, at shutdown or by `kill`, and Ctrl-C in the
//! terminal: the window closes as by its close button, so that everything is saved and the project is
//! released.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use egui::Context;

use crate::platform;

/// A request to end the program, shared by everything that checks it.
#[derive(Clone, Default)]
pub struct ShutdownRequest(Arc<State>);

#[derive(Default)]
struct State {
    is_requested: AtomicBool,
    /// The open window.
    window: Mutex<Option<Context>>,
}

impl ShutdownRequest {
    /// Handles requests to end the program from now on, instead of being ended by them.
    ///
    /// # Errors
    /// If the thread cannot be started or a handler cannot be registered.
    pub(super) fn listen(&self) -> std::io::Result<()> {
        let shutdown = self.clone();
        platform::on_end_request(move || shutdown.request())
    }

    /// Requests the end of the program, from any thread.
    pub fn request(&self) {
        self.0.is_requested.store(true, Ordering::Release);
        if let Some(window) = &*self.0.window.lock().unwrap_or_else(PoisonError::into_inner) {
            window.request_repaint();
        }
    }

    /// Sets the open window, which is woken by a request.
    pub(super) fn concerns(&self, window: &Context) {
        *self.0.window.lock().unwrap_or_else(PoisonError::into_inner) = Some(window.clone());
    }

    /// Returns whether the end was requested since the last call.
    pub(super) fn take(&self) -> bool {
        self.0.is_requested.swap(false, Ordering::AcqRel)
    }
}
