//! Durable writes: after a crash at any moment, either the old or the new file is there, complete.

mod replace;

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::platform::{self, sync_folder};

pub use replace::remove_unused;

/// Prefix of the names of temporary files.
const WRITING: &str = ".writing-";

/// Longest duration of a write; older temporary files were left by a crash.
const LONGEST_WRITE: Duration = Duration::from_secs(600);

/// Writes `bytes` to a temporary file beside `path`, syncs it, renames it to `path` and syncs the folder.
///
/// # Errors
/// Returns the error of the system with advice ([`advised`]). An existing file at `path` is then unchanged.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_in_place(path, |file| file.write_all(bytes)).map_err(advised)
}

/// Writes what `content` writes piece by piece, as [`write()`] does.
///
/// # Errors
/// As for [`write()`], and with the error of `content`. An existing file at `path` is then unchanged.
pub fn write_with(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<()> {
    let buffered = |file: &mut File| {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        content(&mut file)?;
        file.flush()
    };
    write_in_place(path, buffered).map_err(advised)
}

fn write_in_place(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut temporary = temporary(path, folder)?;
    content(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    // Closed first, since some systems do not rename open files. Dropping the path removes the file if it is still there.
    let temporary = temporary.into_temp_path();
    replace::replace(&temporary, path)?;
    sync_folder(folder)
}

/// Removes a file, even if it is in use, and syncs its folder, so that a file that is removed next cannot be gone while this
/// one is back after a power failure.
///
/// # Errors
/// Returns the error of the system with advice ([`advised`]).
pub fn remove(path: &Path) -> io::Result<()> {
    replace::remove(path).map_err(advised)?;
    sync_folder(folder_of(path)).map_err(advised)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a temporary file for `path` in `folder`. By default, only the owner can access temporary files. This
/// one gets the permissions of the file that it replaces, or those of a new file in this folder, so that
/// shared projects stay accessible to other users.
fn temporary(path: &Path, folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    platform::share_temporary(&mut builder);
    let temporary = builder.tempfile_in(folder).map_err(nameless)?;
    if let Ok(replaced) = fs::metadata(path) {
        temporary.as_file().set_permissions(replaced.permissions())?;
    }
    Ok(temporary)
}

/// Removes the temporary file's name, which means nothing to users, from an error.
fn nameless(error: io::Error) -> io::Error {
    let source = error.get_ref().and_then(|named| named.source()?.downcast_ref::<io::Error>());
    source.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
}

/// Returns the error of a write in words that say what to do, where there are any, such as for a full or read-only disk.
pub fn advised(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::StorageFull => "the disk is full: free some space, or save to another location",
        ErrorKind::QuotaExceeded => {
            "your disk quota is exceeded: free some space, or save to another location"
        }
        ErrorKind::FileTooLarge => "this disk does not support files of that size: save to another location",
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only: save to another location",
        ErrorKind::NotFound => {
            "the folder does not exist: check that its drive is connected, or save to another location"
        }
        ErrorKind::PermissionDenied => "you have no write permission there: save to another location",
        _ => return error,
    };
    io::Error::new(error.kind(), advice)
}

/// Returns a hint to append to the message of a read or write error; empty if the error explains itself.
pub fn hint(error: &io::Error) -> &'static str {
    match error.get_ref() {
        Some(_) => "",
        None => "; check the path, the access rights and the free space",
    }
}

/// Returns the error of a write that is refused because the project is open for reading only.
pub fn refused() -> io::Error {
    io::Error::new(ErrorKind::ReadOnlyFilesystem, "not written: the project is read-only")
}

/// Removes files from `folder` that earlier crashes left or that were in use when they were replaced, and completes
/// replacements. To be called only by who alone writes there.
pub fn sweep(folder: &Path) {
    replace::finish(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE));
        let is_leftover = is_old && entry.file_name().to_string_lossy().starts_with(WRITING);
        if is_leftover && let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!("{}: left by a crash, and cannot be removed: {error}", entry.path().display());
        }
    }
}

/// Renames a damaged file so that it is neither used nor overwritten, and returns its new path.
///
/// # Errors
/// Returns the error of the rename, with advice ([`advised`]).
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 1;
    let aside = loop {
        let candidate = path.with_file_name(format!("{name}.damaged-{number}"));
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    fs::rename(path, &aside).map_err(advised)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_shared_as_the_folder_wants_and_a_replaced_one_as_before() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (usual, path) = (folder.path().join("usual"), folder.path().join("written"));
        File::create(&usual).unwrap();
        write(&path, b"one").unwrap();
        assert_eq!(mode(&path), mode(&usual));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o640, b"two".to_vec()));
    }

    #[test]
    fn what_a_crash_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".writing-abc", "whole.toml", ".hidden"] {
            let path = folder.path().join(name);
            fs::write(&path, "x").unwrap();
            let long_ago = std::time::SystemTime::now() - 2 * LONGEST_WRITE;
            File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        }
        fs::write(folder.path().join(".writing-now"), "x").unwrap();
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".hidden", ".writing-now", "whole.toml"]);
        sweep(&folder.path().join("not there"));
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let error = advised(io::Error::from(ErrorKind::StorageFull));
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(
            error.to_string(),
            "the disk is full: free some space, or save to another location",
            "without the number of the system's error"
        );
    }
}
