//! Writing files so that a crash at any moment leaves the old one or the new one, whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

/// What the names of files begin with that are still being written.
const WRITING: &str = ".writing-";

/// No file is written for as long as this: what is older was left by a crash.
const LONGEST_WRITE: Duration = Duration::from_secs(600);

/// Write `bytes` to a temporary file beside `path`, sync it, rename it into place and sync the folder.
///
/// # Errors
/// With advice in the message ([`advised`]); a file that was there before is still there, untouched.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_in_place(path, bytes).map_err(advised)
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = temporary(path, folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Temporary files are usually their owner's alone. This one has the access that the file it replaces has, or
/// that a new file in this folder would have, so that a shared project stays shared.
fn temporary(path: &Path, folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The system takes off what the user's umask denies.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder).map_err(nameless)?;
    if let Ok(replaced) = fs::metadata(path) {
        temporary.as_file().set_permissions(replaced.permissions())?;
    }
    Ok(temporary)
}

/// The system's own error of making a temporary file, without that file's name, which says nothing to users.
fn nameless(error: io::Error) -> io::Error {
    let source = error.get_ref().and_then(|named| named.source()?.downcast_ref::<io::Error>());
    source.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
}

/// Make sure that the names in `folder` survive a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// The same error, with what to do about it where that is known: of a full disk, or of one that takes no
/// files.
pub fn advised(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::StorageFull => "the disk is full: make room, or save elsewhere",
        ErrorKind::QuotaExceeded => "your share of the disk is used up: make room, or save elsewhere",
        ErrorKind::FileTooLarge => "this disk takes no file as large as that: save elsewhere",
        ErrorKind::ReadOnlyFilesystem => "the disk can only be read: save elsewhere",
        ErrorKind::NotFound => {
            "its folder is not there: check whether its drive is connected, or save elsewhere"
        }
        ErrorKind::PermissionDenied => "you may not write there: ask for the right to, or save elsewhere",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// What to look at after an error of reading or writing, for messages; nothing where the error says so itself.
pub fn hint(error: &io::Error) -> &'static str {
    match error.get_ref() {
        Some(_) => "",
        None => "; check the path, the access rights and the space",
    }
}

/// The error of a write that is refused because its project is open for reading only.
pub fn refused() -> io::Error {
    io::Error::new(ErrorKind::ReadOnlyFilesystem, "not written, since the project is open for reading only")
}

/// Remove what writing left behind in `folder` when it was interrupted by a crash, a while ago.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE));
        let is_left = is_old && entry.file_name().to_string_lossy().starts_with(WRITING);
        if is_left && let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!("{}: left by a crash, and cannot be removed: {error}", entry.path().display());
        }
    }
}

/// Rename a damaged file so that it is neither used nor overwritten; the new name is returned.
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
        let told = advised(io::Error::from(ErrorKind::StorageFull));
        assert_eq!(told.kind(), ErrorKind::StorageFull);
        assert!(told.to_string().ends_with("the disk is full: make room, or save elsewhere"), "{told}");
    }
}
