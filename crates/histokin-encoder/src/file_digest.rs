//! SHA-256 of large files, kept in the user's cache folder with the file's size and time of change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::EncoderError;
use histokin_core::{durable, untrusted};

/// Size in bytes from which a digest is kept; smaller files are read in a moment.
const LARGE: u64 = 64 << 20;

/// Maximum size of the list, in bytes.
const LONGEST_LIST: u64 = 1 << 20;

/// Maximum number of files in the list; the oldest entries are dropped.
const MOST_FILES: usize = 200;

/// What a digest is computed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digested {
    /// The content after its length.
    LengthAndContent,
    /// The file alone, as published hashes are.
    File,
}

/// Returns the digest of the file at `path`: the kept one if the file has not changed since, otherwise what
/// `compute` returns.
///
/// # Errors
/// Any error of `compute`.
pub(super) fn kept(
    path: &Path,
    what: Digested,
    compute: impl FnOnce() -> Result<String, EncoderError>,
) -> Result<String, EncoderError> {
    match (list(), entry_of(path, what)) {
        (Some(list), Some(entry)) => kept_in(&list, &entry, compute),
        _ => compute(),
    }
}

fn kept_in(
    list: &Path,
    entry: &str,
    compute: impl FnOnce() -> Result<String, EncoderError>,
) -> Result<String, EncoderError> {
    let text = untrusted::read_text(list, LONGEST_LIST).unwrap_or_default();
    let known = text.lines().find_map(|line| line.strip_suffix(entry)?.strip_suffix(' '));
    if let Some(digest) = known.filter(|digest| digest.len() == 64) {
        return Ok(digest.to_owned());
    }
    let digest = compute()?;
    let mut lines: Vec<&str> = text.lines().collect();
    let line = format!("{digest} {entry}");
    lines.push(&line);
    let kept = &lines[lines.len().saturating_sub(MOST_FILES)..];
    let written = list.parent().map_or(Ok(()), fs::create_dir_all);
    if let Err(error) = written.and_then(|()| durable::write(list, (kept.join("\n") + "\n").as_bytes())) {
        tracing::debug!("the file is read again next time: {error}");
    }
    Ok(digest)
}

/// Returns what identifies the current state of a large file and what is digested of it: its size, time of change and
/// path, in one line.
fn entry_of(path: &Path, what: Digested) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&path).ok().filter(|metadata| metadata.len() >= LARGE)?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let path = path.to_str().filter(|path| !path.contains('\n'))?;
    let what = if what == Digested::File { "file " } else { "" };
    Some(format!("{} {changed} {what}{path}", metadata.len()))
}

fn list() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin")?;
    Some(folders.cache_dir().join("weights-sha256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_computed_once_for_each_state_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("cache/list");
        let computed = std::cell::Cell::new(0);
        let digest = |entry: &str, digit: &str| {
            let compute = || {
                computed.set(computed.get() + 1);
                Ok(digit.repeat(64))
            };
            kept_in(&list, entry, compute).unwrap()
        };
        assert_eq!(digest("10 1 /a b", "1"), "1".repeat(64));
        assert_eq!(digest("10 1 /a b", "2"), "1".repeat(64));
        assert_eq!(digest("10 2 /a b", "3"), "3".repeat(64));
        assert_eq!(digest("10 1 /b", "4"), "4".repeat(64));
        assert_eq!(computed.get(), 3);
        fs::write(&list, "damaged\n").unwrap();
        assert_eq!(digest("10 1 /a b", "5"), "5".repeat(64));
    }

    #[test]
    fn small_files_are_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small");
        fs::write(&path, "small").unwrap();
        assert_eq!(entry_of(&path, Digested::File), None);
    }

    #[test]
    fn both_digests_of_a_file_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        fs::File::create(&path).unwrap().set_len(LARGE).unwrap();
        let [content, file] =
            [Digested::LengthAndContent, Digested::File].map(|what| entry_of(&path, what).unwrap());
        // An entry is the end of a line.
        assert!(!file.ends_with(&content) && !content.ends_with(&file));
        let list = folder.path().join("list");
        assert_eq!(kept_in(&list, &file, || Ok("1".repeat(64))).unwrap(), "1".repeat(64));
        assert_eq!(kept_in(&list, &content, || Ok("2".repeat(64))).unwrap(), "2".repeat(64));
        assert_eq!(kept_in(&list, &file, || Ok("3".repeat(64))).unwrap(), "1".repeat(64));
        assert_eq!(kept_in(&list, &content, || Ok("4".repeat(64))).unwrap(), "2".repeat(64));
    }
}
