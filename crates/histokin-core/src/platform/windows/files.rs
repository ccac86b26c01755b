//! Files, their names and locks.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

/// Programs decide, when they open a file, whether others may rename or remove it; many do not allow it.
pub const OPEN_FILES_ARE_LOCKED: bool = true;

/// Opening a named pipe does not wait for data here.
pub fn open_without_waiting(_: &mut OpenOptions) {}

/// Position of the byte that is locked, in units of 4 GiB. Others cannot read what is locked, so it lies beyond the content
/// of any file.
const LOCKED_BYTE: u32 = 0x4000_0000;

/// Locks a file against other programs that do the same, without waiting. Its content can still be read and written by
/// everyone.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
#[expect(unsafe_code, reason = "a call of the system")]
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    let mut place = locked_place();
    let how = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
    // SAFETY: the handle is valid. It was opened for waiting calls, so that `place` is not used after this one.
    if unsafe { LockFileEx(file.as_raw_handle(), how, 0, 1, 0, &raw mut place) } != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_LOCK_VIOLATION | ERROR_IO_PENDING) => Err(TryLockError::WouldBlock),
        _ => Err(TryLockError::Error(error)),
    }
}

/// Releases the lock of [`try_lock`].
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
#[expect(unsafe_code, reason = "a call of the system")]
pub fn unlock(file: &File) -> io::Result<()> {
    let mut place = locked_place();
    // SAFETY: as for locking.
    match unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut place) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[expect(unsafe_code, reason = "a structure of the system is made of zeroes")]
fn locked_place() -> OVERLAPPED {
    // SAFETY: all fields are plain numbers or pointers, for which zero is valid.
    let mut place: OVERLAPPED = unsafe { std::mem::zeroed() };
    place.Anonymous.Anonymous.OffsetHigh = LOCKED_BYTE;
    place
}

/// Folders cannot be synced; NTFS keeps their changes in order in its journal.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Temporary files inherit the access rights of their folder already.
pub fn share_temporary(_: &mut tempfile::Builder<'_, '_>) {}

/// Names are Unicode: other bytes are replaced.
pub fn name_of_bytes(bytes: &[u8]) -> Cow<'_, OsStr> {
    OsString::from(String::from_utf8_lossy(bytes).into_owned()).into()
}

/// Names are UTF-16 and their bytes are its generalised UTF-8, in which an unpaired surrogate has three bytes. Other bytes,
/// of a path from Unix, have no meaning here and are replaced.
pub fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    let mut units = Vec::new();
    let mut left = bytes.as_slice();
    while !left.is_empty() {
        let valid = left.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        units.extend(valid.encode_utf16());
        left = &left[valid.len()..];
        match *left {
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
                units.push(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f));
                left = &left[3..];
            }
            [_, ..] => {
                units.push(char::REPLACEMENT_CHARACTER as u16);
                left = &left[1..];
            }
            [] => {}
        }
    }
    Some(OsString::from_wide(&units).into())
}

/// What tells a file from another one that took its place: the time of its creation, in units of 100 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileState {
    created: u64,
}

impl FileState {
    /// Takes the state from a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { created: metadata.creation_time() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_units_come_back_from_their_bytes() {
        for units in [&[0x61, 0xd800, 0x62][..], &[0xdfff], &[0xd83d, 0xdd2c, 0xe9], &[0xdc00, 0xd800]] {
            let path = PathBuf::from(OsString::from_wide(units));
            assert_eq!(path_of_bytes(path.as_os_str().as_encoded_bytes().to_vec()), Some(path));
        }
        assert_eq!(path_of_bytes(b"caf\xe9.svs".to_vec()), Some("caf\u{fffd}.svs".into()));
    }
}
