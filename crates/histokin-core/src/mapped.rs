//! Memory mapping of files that the program itself wrote.

#![expect(unsafe_code, reason = "the compiler cannot know whether another process changes a mapped file")]

use std::io;
use std::path::Path;

use memmap2::Mmap;

use crate::untrusted;

/// Maps a file that this program wrote. Such files are only replaced by a rename or removed
/// ([`crate::durable`]), never modified in place.
///
/// # Errors
/// Returns the error of the system, or fails if it is not a regular file.
pub fn map(path: &Path) -> io::Result<Mmap> {
    let file = untrusted::open(path)?;
    // SAFETY: such files are only replaced or removed as a whole, so the mapped bytes do not change.
    unsafe { Mmap::map(&file) }
}
