//! Handling of Ctrl-C (SIGINT) and of SIGTERM, which cluster schedulers send when a job's time is up.

use std::sync::Arc;

use crate::pipeline::EmbedControl;
use crate::training::Control;

/// Long work that can be stopped from a signal handler.
pub trait Stop: Send + Sync + 'static {
    /// Requests the stop. Must set an atomic flag and do nothing else, because signal handlers call it.
    fn flag(&self);
}

impl Stop for EmbedControl {
    fn flag(&self) {
        self.flag_stop();
    }
}

impl Stop for Control {
    fn flag(&self) {
        self.stop();
    }
}

/// Makes these signals stop `work` instead of ending the process.
///
/// # Errors
/// When the system refuses to install the handlers.
#[cfg(unix)]
#[expect(unsafe_code, reason = "registering a signal handler is unsafe")]
pub fn watch<W: Stop>(work: &Arc<W>) -> std::io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let work = work.clone();
        // SAFETY: both implementations of `Stop` only set an atomic flag, which is async-signal-safe.
        unsafe { signal_hook_registry::register(signal, move || work.flag())? };
    }
    Ok(())
}

/// Does nothing on this platform.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn watch<W: Stop>(_: &Arc<W>) -> std::io::Result<()> {
    Ok(())
}
