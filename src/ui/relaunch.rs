//! Starting the program again in its own place.

#[cfg(unix)]
use std::ffi::OsString;

/// The argument that has the window drawn by the most modest driver.
const SAFE_GPU: &str = "--safe-gpu";

/// Start the program again with what it was started with, drawing with OpenGL; only when that cannot be done does it
/// come back, with what to tell. `reason` is why the device that drew the window is lost.
#[cfg(unix)]
pub fn relaunch(reason: &str) -> anyhow::Error {
    use std::os::unix::process::CommandExt as _;

    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let lost = format!("the graphics card stopped drawing ({reason}). All that could be saved is saved");
    if arguments.iter().any(|argument| argument == SAFE_GPU) {
        return anyhow::anyhow!("{lost}. Restart the computer or update the card's driver");
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return anyhow::anyhow!("{lost}; start histokin again with {SAFE_GPU}: {error}"),
    };
    tracing::warn!(%reason, "the program starts again");
    let error = std::process::Command::new(program).arg(SAFE_GPU).args(arguments).exec();
    anyhow::anyhow!("{lost}; start histokin again with {SAFE_GPU}: {error}")
}

/// What to tell: here the user starts it again.
#[cfg(not(unix))]
pub fn relaunch(reason: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the graphics card stopped drawing ({reason}). All that could be saved is saved; start histokin again with \
         {SAFE_GPU}"
    )
}
