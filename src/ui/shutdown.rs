//! Requests of the system to end the program, as at logout, at shutdown or by `kill`, and Ctrl-C in the
//! terminal: the window closes as by its close button, so that everything is saved and the project is
//! released.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use egui::Context;

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
    /// Handles SIGTERM, SIGINT and SIGHUP from now on, instead of being ended by them.
    ///
    /// # Errors
    /// If the thread cannot be started or a handler cannot be registered.
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "registering a signal handler is unsafe")]
    pub(super) fn listen(&self) -> std::io::Result<()> {
        use std::io::{Read as _, Write as _};
        use std::os::unix::net::UnixStream;

        let (mut receiver, sender) = UnixStream::pair()?;
        // A signal handler must not block.
        sender.set_nonblocking(true)?;
        let shutdown = self.clone();
        std::thread::Builder::new().name("end-signal".to_owned()).spawn(move || {
            let mut byte = [0];
            while receiver.read(&mut byte).is_ok_and(|count| count > 0) {
                shutdown.request();
            }
        })?;
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            let sender = sender.try_clone()?;
            let notify = move || _ = (&sender).write(&[0]);
            // SAFETY: the handler only calls `write`, which is async-signal-safe.
            unsafe { signal_hook_registry::register(signal, notify)? };
        }
        Ok(())
    }

    /// On this system, signals end the program as usual.
    #[cfg(not(unix))]
    pub(super) fn listen(&self) -> std::io::Result<()> {
        Ok(())
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
