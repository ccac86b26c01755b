//! Replacing and removing files that are in use.
//!
//! Unix replaces and removes a file that is mapped into memory or open; who uses it keeps what it had. Windows does not
//! replace a mapped file, and keeps the name of a removed one until nobody uses it; but it renames both. A file in use is
//! therefore renamed to `.NAME.histokin-old-1`, and removed when nobody uses it any more. A new file waits as
//! `.NAME.histokin-next` meanwhile: whenever the program ends, the old or the new file is there under a name that
//! [`finish`] knows.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folder_of;
use crate::platform;

/// Ending of the name of a complete new file that takes the place of a file in use.
const NEXT: &str = ".histokin-next";

/// Ending, before a number, of the names of files that were replaced or removed.
const OLD: &str = ".histokin-old-";

/// Pauses before the tries that follow a first one, where another program may have opened the file for a moment, as virus
/// scanners do.
const PAUSES_MS: [u64; 5] = [10, 20, 50, 100, 200];

/// Renames the complete file `new` to `path`, in the same folder, whether or not the file there is in use.
///
/// # Errors
/// Returns the error of the system. The file at `path` is then unchanged, or put away, where only the last step failed;
/// [`finish`] does that step.
pub(super) fn replace(new: &Path, path: &Path) -> io::Result<()> {
    let waiting = hidden(path, NEXT)?;
    patiently(|| {
        // An earlier try has put the old file away; only its last step is left.
        if waiting.exists() && !new.exists() && !path.exists() {
            return fs::rename(&waiting, path);
        }
        match fs::rename(new, path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied && path.is_file() => {
                replace_used(new, path).map_err(|_| error)
            }
            outcome => outcome,
        }
    })
}

/// Removes the file at `path`, whether or not it is in use.
///
/// # Errors
/// Returns the error of the system; the file is then unchanged.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    patiently(|| put_away(path))
}

/// Completes what a crash interrupted, and removes files that are no longer used. To be called only by who alone writes
/// in `folder`.
pub(super) fn finish(folder: &Path) {
    for path in files(folder) {
        let Some(name) = original(&path).and_then(|name| name.strip_suffix(NEXT)) else { continue };
        let wanted = path.with_file_name(name);
        // Where the old file is still there, the new one was not reported as written.
        let done = if wanted.exists() { fs::remove_file(&path) } else { fs::rename(&path, &wanted) };
        if let Err(error) = done {
            tracing::warn!("{}: left by a crash: {error}", path.display());
        }
    }
    remove_unused(folder);
}

/// Removes the files in `folder` that were replaced or removed while in use, as far as they are not used any more.
pub fn remove_unused(folder: &Path) {
    let is_old = |path: &PathBuf| {
        let number = original(path).and_then(|name| name.rsplit_once(OLD)).map(|(_, number)| number);
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    // What is still in use is removed by a later call.
    files(folder).into_iter().filter(is_old).for_each(|path| _ = fs::remove_file(path));
}

/// Puts the file at `path` away and `new` in its place.
fn replace_used(new: &Path, path: &Path) -> io::Result<()> {
    let waiting = hidden(path, NEXT)?;
    fs::rename(new, &waiting)?;
    let put_back = |error| {
        _ = fs::rename(&waiting, new);
        error
    };
    platform::sync_folder(folder_of(path)).map_err(put_back)?;
    put_away(path).map_err(put_back)?;
    // If this fails, `replace` tries it again, and in the end `finish` does it at the next start.
    fs::rename(&waiting, path)
}

/// Renames the file at `path` and removes it as soon as nobody uses it any more.
fn put_away(path: &Path) -> io::Result<()> {
    let mut number = 1_u32;
    let old = loop {
        let candidate = hidden(path, &format!("{OLD}{number}"))?;
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    fs::rename(path, &old)?;
    // If it is in use, `remove_unused` does it later.
    _ = fs::remove_file(&old);
    Ok(())
}

/// Tries again after a pause where other programs that have a file open get in the way.
fn patiently(mut action: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let pauses: &[u64] = if platform::OPEN_FILES_ARE_LOCKED { &PAUSES_MS } else { &[] };
    for pause in pauses {
        match action() {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                std::thread::sleep(Duration::from_millis(*pause));
            }
            outcome => return outcome,
        }
    }
    action()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Returns the path beside `path` with a hidden name that ends with `ending`.
fn hidden(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(ErrorKind::InvalidInput)?);
    name.push(ending);
    Ok(path.with_file_name(name))
}

/// Returns the name from which [`hidden`] made that of `path`, with the ending.
fn original(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapped::map;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_mapped_file_is_replaced_and_removed_and_its_reader_keeps_what_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        super::super::write(&path, b"first").unwrap();
        let first = map(&path).unwrap();
        super::super::write(&path, b"second").unwrap();
        let second = map(&path).unwrap();
        super::super::write(&path, b"third").unwrap();
        assert_eq!((&first[..], &second[..]), (&b"first"[..], &b"second"[..]));
        assert_eq!(fs::read(&path).unwrap(), b"third");
        let third = map(&path).unwrap();
        super::super::remove(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(&third[..], b"third");
        drop((first, second, third));
        finish(folder.path());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    /// The way of systems that do not replace a file in use, which works on all.
    #[test]
    fn a_file_in_use_is_put_away_before_the_new_one_takes_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("a.index"), folder.path().join(".writing-1"));
        fs::write(&path, "old").unwrap();
        let old = map(&path).unwrap();
        fs::write(&new, "new").unwrap();
        replace_used(&new, &path).unwrap();
        assert_eq!((&old[..], fs::read(&path).unwrap()), (&b"old"[..], b"new".to_vec()));
        drop(old);
        remove_unused(folder.path());
        assert_eq!(names(folder.path()), ["a.index"]);
    }

    #[test]
    fn a_new_try_after_a_failed_last_step_does_that_step() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("a.index"), folder.path().join(".writing-1"));
        fs::write(folder.path().join(".a.index.histokin-old-1"), "old").unwrap();
        fs::write(folder.path().join(".a.index.histokin-next"), "new").unwrap();
        replace(&new, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // What another replacement left is not taken for a new file that is missing.
        fs::write(folder.path().join(".a.index.histokin-next"), "left").unwrap();
        assert_eq!(replace(&new, &path).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn where_the_old_file_cannot_be_put_away_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("missing"), folder.path().join(".writing-1"));
        fs::write(&new, "new").unwrap();
        replace_used(&new, &path).unwrap_err();
        assert_eq!(names(folder.path()), [".writing-1"]);
    }

    #[test]
    fn after_a_crash_at_any_step_the_old_or_the_new_file_is_there() {
        // What lies in the folder after each step of `replace_used`, and what has to be there afterwards.
        for (found, content) in [
            (&[("a", "old"), (".a.histokin-next", "new")][..], "old"),
            (&[(".a.histokin-old-1", "old"), (".a.histokin-next", "new")], "new"),
            (&[(".a.histokin-old-1", "old"), ("a", "new")], "new"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in found {
                fs::write(folder.path().join(name), content).unwrap();
            }
            super::super::sweep(folder.path());
            assert_eq!(names(folder.path()), ["a"], "{found:?}");
            assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), content, "{found:?}");
        }
    }
}
