//! Restarting the program in the same process.

#[cfg(unix)]
use std::ffi::OsString;

/// Argument that makes the window draw with OpenGL.
const SAFE_GPU: &str = "--safe-gpu";

/// Restarts the program with the same arguments, drawing with OpenGL. Returns only if that fails, with the
/// error to report. `reason` is why the graphics device was lost.
#[cfg(unix)]
pub fn relaunch(reason: &str) -> anyhow::Error {
    use std::os::unix::process::CommandExt as _;

    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let lost = format!(
        "the graphics card stopped drawing ({reason}). Everything that could be saved has been saved"
    );
    if arguments.iter().any(|argument| argument == SAFE_GPU) {
        return anyhow::anyhow!("{lost}. Restart the computer or update the graphics driver");
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return anyhow::anyhow!("{lost}; start histokin again with {SAFE_GPU}: {error}"),
    };
    tracing::warn!(%reason, "restarting the program");
    let error = std::process::Command::new(program).arg(SAFE_GPU).args(arguments).exec();
    anyhow::anyhow!("{lost}; start histokin again with {SAFE_GPU}: {error}")
}

/// Returns the error to report: on this system the user has to restart the program.
#[cfg(not(unix))]
pub fn relaunch(reason: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the graphics card stopped drawing ({reason}). Everything that could be saved has been saved; \
         start histokin again with {SAFE_GPU}"
    )
}
