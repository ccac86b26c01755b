//! Ctrl-C, and the system's wish that the program ends, as a cluster has it for jobs whose time is over.

use std::sync::Arc;

use crate::pipeline::EmbedControl;
use crate::training::Control;

/// Long work that can be told to stop while a signal is handled: [`Stop::flag`] sets an atomic flag and does nothing
/// else.
pub trait Stop: Send + Sync + 'static {
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

/// Have `work` told to stop then, in the place of the program's being ended.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
#[expect(unsafe_code, reason = "what runs when a signal arrives has to be allowed to")]
pub fn watch<W: Stop>(work: &Arc<W>) -> std::io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let work = work.clone();
        // SAFETY: both kinds of work above set an atomic flag and do nothing else, which is allowed at any moment.
        unsafe { signal_hook_registry::register(signal, move || work.flag())? };
    }
    Ok(())
}

#[cfg(not(unix))]
pub fn watch<W: Stop>(_: &Arc<W>) -> std::io::Result<()> {
    Ok(())
}
