//! The system's wish that the program ends, as at logout, at shutdown or by `kill`, and Ctrl-C in the terminal that it
//! was started from: the window closes as by its button, so that all is saved and the project given back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use egui::Context;

/// Whether the program is to end; shared by all that ask.
#[derive(Clone, Default)]
pub struct ShutdownRequest(Arc<State>);

#[derive(Default)]
struct State {
    is_requested: AtomicBool,
    /// The window that is open.
    window: Mutex<Option<Context>>,
}

impl ShutdownRequest {
    /// Hear the system from now on, in the place of being ended by it.
    ///
    /// # Errors
    /// When the system refuses a thread, or to tell.
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "what runs when a signal arrives has to be allowed to")]
    pub(super) fn listen(&self) -> std::io::Result<()> {
        use std::io::{Read as _, Write as _};
        use std::os::unix::net::UnixStream;

        let (mut hears, tells) = UnixStream::pair()?;
        // A handler must never wait.
        tells.set_nonblocking(true)?;
        let shutdown = self.clone();
        std::thread::Builder::new().name("end-signal".to_owned()).spawn(move || {
            let mut byte = [0];
            while hears.read(&mut byte).is_ok_and(|count| count > 0) {
                shutdown.wish();
            }
        })?;
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            let tells = tells.try_clone()?;
            let tell = move || _ = (&tells).write(&[0]);
            // SAFETY: the handler does nothing but call `write`, which may be called when a signal arrives.
            unsafe { signal_hook_registry::register(signal, tell)? };
        }
        Ok(())
    }

    /// Here the system ends the program as it always does.
    #[cfg(not(unix))]
    pub(super) fn listen(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// State that the program ends, from any thread.
    pub fn wish(&self) {
        self.0.is_requested.store(true, Ordering::Release);
        if let Some(window) = &*self.0.window.lock().unwrap_or_else(PoisonError::into_inner) {
            window.request_repaint();
        }
    }

    /// A window is open, which is woken by a wish.
    pub(super) fn concerns(&self, window: &Context) {
        *self.0.window.lock().unwrap_or_else(PoisonError::into_inner) = Some(window.clone());
    }

    /// Whether it has been wished since the last look.
    pub(super) fn take(&self) -> bool {
        self.0.is_requested.swap(false, Ordering::AcqRel)
    }
}
