//! Ctrl-C, and the system's wish that the program ends, as a cluster has it for jobs whose time is over.

/// Have `stop` called then, in the place of being ended. It runs as a signal's handler, and so may do no more than set
/// an atomic flag.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
#[expect(unsafe_code, reason = "what runs when a signal arrives has to be allowed to")]
pub fn watch(stop: impl Fn() + Clone + Send + Sync + 'static) -> std::io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handlers that are given here set an atomic flag and do nothing else, which is allowed at any
        // moment.
        unsafe { signal_hook_registry::register(signal, stop.clone())? };
    }
    Ok(())
}

#[cfg(not(unix))]
pub fn watch(_: impl Fn() + Clone + Send + Sync + 'static) -> std::io::Result<()> {
    Ok(())
}
