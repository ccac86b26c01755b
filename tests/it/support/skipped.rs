//! Tests that skip, and why.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Notes that the running test skips all or a part of what it tests: `make test` lists these notes at its end.
pub fn skip(reason: std::fmt::Arguments<'_>) {
    println!("skipped: {reason}");
    let notes =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new(".")).join("skipped-tests.txt");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // One write a line: tests run side by side, and appended lines are not mixed.
    let line = format!("skipped: {test}: {reason}\n");
    let opened = OpenOptions::new().create(true).append(true).open(notes);
    if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
        println!("this could not be noted: {error}");
    }
}
