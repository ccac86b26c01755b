//! Restarting the program with other drivers.

use std::ffi::OsString;

use crate::platform;

/// Argument that makes the window draw with OpenGL.
const SAFE_GPU: &str = "--safe-gpu";

/// Restarts the program with the same arguments, drawing with OpenGL. Returns only if that fails, with the
/// error to report. `reason` is why the graphics device was lost.
pub fn relaunch(reason: &str) -> anyhow::Error {
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
    let mut command = std::process::Command::new(program);
    let error = platform::replace_process(command.arg(SAFE_GPU).args(arguments));
    anyhow::anyhow!("{lost}; start histokin again with {SAFE_GPU}: {error}")
}
