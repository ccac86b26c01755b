//! Which files a slide consists of.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::dicom;
use crate::untrusted;

/// Bytes of a text file that names others.
const MOST_TEXT: u64 = 4 << 20;

/// Files that one slide consists of.
const MOST_PARTS: usize = 4096;

/// The files of the slide at `path`, in an order that does not depend on their folder.
///
/// # Errors
/// When the file itself cannot be read.
pub(super) fn of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut file = untrusted::open(path)?;
    let start = super::read(&mut file, 0, 132)?;
    if dicom::is_dicom(&start) {
        return Ok(dicom::level_0(path));
    }
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let companions = match ending.to_str() {
        Some("mrxs") => mirax(path),
        Some("vms" | "vmu") => named_in(path, path.parent().unwrap_or(Path::new("")), |_| true),
        _ => Vec::new(),
    };
    let mut parts = vec![path.to_owned()];
    parts.extend(companions);
    parts.truncate(MOST_PARTS);
    Ok(parts)
}

/// The files in the folder of a MIRAX slide: `Slidedat.ini`, and the index and data files that it names.
fn mirax(path: &Path) -> Vec<PathBuf> {
    let folder = path.with_extension("");
    let slidedat = folder.join("Slidedat.ini");
    let is_file = |key: &str| key == "INDEXFILE" || key.starts_with("FILE_");
    let named = named_in(&slidedat, &folder, is_file);
    if named.is_empty() && !slidedat.exists() {
        return Vec::new();
    }
    std::iter::once(slidedat).chain(named).collect()
}

/// The files in `folder` that the values of a text of `key = value` lines name, in their order, each once.
fn named_in(text: &Path, folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(bytes) = untrusted::read(text, MOST_TEXT) else { return Vec::new() };
    let mut found: Vec<PathBuf> = Vec::new();
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
        let key = String::from_utf8_lossy(&line[..equals]);
        let name = line[equals + 1..].trim_ascii();
        // Of this folder alone.
        if name.is_empty() || name == b"." || name == b".." || name.iter().any(|byte| b"/\\\0".contains(byte))
        {
            continue;
        }
        let path = folder.join(name_of(name));
        if is_wanted(key.trim())
            && !found.contains(&path)
            && fs::metadata(&path).is_ok_and(|data| data.is_file())
        {
            found.push(path);
            if found.len() >= MOST_PARTS {
                break;
            }
        }
    }
    found
}

#[cfg(unix)]
fn name_of(bytes: &[u8]) -> std::borrow::Cow<'_, OsStr> {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn name_of(bytes: &[u8]) -> std::borrow::Cow<'_, OsStr> {
    std::ffi::OsString::from(String::from_utf8_lossy(bytes).into_owned()).into()
}
