//! Standard output and standard error of the subcommands.
//!
//! Whoever reads them may stop at any time (`| head -1`). What is written after that is dropped without a word, and
//! the work goes on to its end. The macros of the standard library panic then.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

/// Why standard output could not be written, such as a full disk.
static PROBLEM: Mutex<Option<io::Error>> = Mutex::new(None);

/// Write to standard output.
pub fn write(text: Arguments<'_>) {
    keep(io::stdout().lock().write_fmt(text));
}

/// Write a line to standard error.
pub fn note(text: Arguments<'_>) {
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Write out what is left.
///
/// # Errors
/// The first one of writing standard output, unless it is that nobody reads it any more.
pub fn finish() -> io::Result<()> {
    keep(io::stdout().lock().flush());
    PROBLEM.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

fn keep(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        PROBLEM.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// `print!` that outlives its reader.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::write(format_args!($($text)*)) };
}

/// `println!` that outlives its reader.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprintln!` that outlives its reader.
macro_rules! noteln {
    ($($text:tt)*) => { $crate::cli::output::note(format_args!($($text)*)) };
}
