//! Determines the files that make up a slide.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::dicom::elements::has_prefix;
use super::super::tiff::set;
use super::dicom;
use crate::platform::name_of_bytes;
use crate::untrusted;

/// Maximum size in bytes of a text file that lists others.
const MAX_TEXT_BYTES: u64 = 4 << 20;

/// Maximum number of files of one slide.
const MAX_PARTS: usize = 4096;

/// Returns the files of the slide at `path`, in an order that does not depend on their folder.
///
/// # Errors
/// When the file itself cannot be read.
pub(super) fn of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if has_prefix(&mut untrusted::open(path)?) {
        return Ok(dicom::level_0(path));
    }
    let mut parts = vec![set::first_file(path).unwrap_or_else(|| path.to_owned())];
    parts.extend(listed(path));
    parts.truncate(MAX_PARTS);
    Ok(parts)
}

/// Returns the files of the MIRAX, Hamamatsu VMS or OME-TIFF slide at `path` besides itself; none for other formats.
pub(in crate::slide) fn companions(path: &Path) -> Vec<PathBuf> {
    let is_tiff = path.extension().is_some_and(|ending| {
        ["tif", "tiff", "btf", "tf2", "tf8"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    });
    if is_tiff { set::other_files(path) } else { listed(path) }
}

/// Returns the files of the MIRAX or Hamamatsu VMS slide at `path` besides itself; none for other formats.
fn listed(path: &Path) -> Vec<PathBuf> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("mrxs") => mirax(path),
        Some("vms" | "vmu") => named_in(path, path.parent().unwrap_or(Path::new("")), |_| true),
        _ => Vec::new(),
    }
}

/// Returns the files in the folder of a MIRAX slide: `Slidedat.ini`, and the index and data files that it
/// lists.
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

/// Returns the files in `folder` that are named by the values of the `key = value` lines of a text file, in
/// order of appearance, without duplicates.
fn named_in(text: &Path, folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(bytes) = untrusted::read(text, MAX_TEXT_BYTES) else { return Vec::new() };
    let mut found: Vec<PathBuf> = Vec::new();
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
        let key = String::from_utf8_lossy(&line[..equals]);
        let name = line[equals + 1..].trim_ascii();
        // Only files directly in this folder count.
        if name.is_empty() || name == b"." || name == b".." || name.iter().any(|byte| b"/\\\0".contains(byte))
        {
            continue;
        }
        let path = folder.join(name_of_bytes(name));
        if is_wanted(key.trim())
            && !found.contains(&path)
            && fs::metadata(&path).is_ok_and(|data| data.is_file())
        {
            found.push(path);
            if found.len() >= MAX_PARTS {
                break;
            }
        }
    }
    found
}
