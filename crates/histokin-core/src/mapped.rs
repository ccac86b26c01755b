//! Files of a project as memory.

#![expect(unsafe_code, reason = "nobody but the operating system can say that a file's bytes do not change")]

use std::io;
use std::path::Path;

use memmap2::Mmap;

use crate::untrusted;

/// The bytes of a file that this program wrote. Its files are only ever replaced by renaming or removed
/// ([`crate::durable`]), never written in place.
///
/// # Errors
/// Those of the system, and when it is no ordinary file.
pub fn map(path: &Path) -> io::Result<Mmap> {
    let file = untrusted::open(path)?;
    // SAFETY: such files are replaced and removed as whole ones, so that the mapped bytes stay what they are.
    unsafe { Mmap::map(&file) }
}
