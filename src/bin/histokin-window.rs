//! Opens the window on Windows without a console. The program itself belongs to the console, so that its subcommands work
//! in scripts as anywhere else; Windows would show a console beside its window. The Start menu and the file types therefore
//! start this program, which starts that one with the same arguments, and shows its message if it fails.

#![windows_subsystem = "windows"]

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};

use histokin_core::platform;

/// Most of a message that is shown, in characters: its end, where the reason stands.
const SHOWN: usize = 1500;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            platform::show_error("histokin", &reason);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let unknown = |error: std::io::Error| format!("histokin.exe cannot be started: {error}");
    let program = std::env::current_exe().map_err(unknown)?.with_file_name("histokin.exe");
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    platform::without_console(&mut command);
    let mut window = command.spawn().map_err(unknown)?;
    let mut said = Vec::new();
    if let Some(mut errors) = window.stderr.take() {
        // What cannot be read is not shown.
        _ = errors.read_to_end(&mut said);
    }
    if window.wait().map_err(unknown)?.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let start = said.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    Err(match said[start..].trim() {
        "" => "histokin ended without a message; see %LOCALAPPDATA%\\histokin\\data\\histokin.log".to_owned(),
        reason => reason.to_owned(),
    })
}
