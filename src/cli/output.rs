//! Standard output and standard error of the subcommands.
//!
//! The reader of a pipe may close it at any time (`| head -1`). Later output is then discarded silently and
//! the work continues, whereas the macros of the standard library would panic.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::platform;

/// First error of writing to standard output, such as a full disk.
static PROBLEM: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to standard output. An error is kept for [`finish`].
pub fn write(text: Arguments<'_>) {
    keep(io::stdout().lock().write_fmt(text));
}

/// Writes a line to standard error; errors are ignored.
pub fn note(text: Arguments<'_>) {
    // There is no other channel to report the error on.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Flushes standard output.
///
/// # Errors
/// The first error of writing to standard output. A closed pipe is not an error.
pub fn finish() -> io::Result<()> {
    keep(io::stdout().lock().flush());
    PROBLEM.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

fn keep(result: io::Result<()>) {
    if let Err(error) = result
        && !platform::is_closed_pipe(&error)
    {
        PROBLEM.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// `print!` that does not panic on a closed pipe.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::write(format_args!($($text)*)) };
}

/// `println!` that does not panic on a closed pipe.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprintln!` that does not panic on a closed pipe.
macro_rules! noteln {
    ($($text:tt)*) => { $crate::cli::output::note(format_args!($($text)*)) };
}
