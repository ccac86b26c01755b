//! Search for slides in the files and folders that the user names.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use histokin_core::geometry::MicronsPerPixel;
use histokin_core::slide::dicom::{self, Instance};
use histokin_core::slide::names::EXTENSIONS;
use histokin_core::slide::{self, SlideId, SlideSource};

/// Extensions of index files, which list the image files of one slide in the same folder.
const INDEX_EXTENSIONS: [&str; 2] = ["vms", "vmu"];

/// Folders of operating systems and file servers, with copies and previews of other files.
const SYSTEM_FOLDERS: [&str; 6] =
    ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle"];

/// Returns all slides among `paths`, each once. Folders are searched recursively, in the order of names; a
/// DICOM slide or an OME-TIFF of several files is represented by the first of its files. Unreadable folders and cyclic links are skipped.
pub fn find_slides(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut inside = Vec::new();
            search(path, 0, &mut inside);
            inside.sort();
            found.extend(inside);
        } else {
            found.push(slide::first_file_of_slide(path));
        }
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

/// Finds the slide `wanted`, formerly at `before`: a file with the same name and content in or below one of
/// `folders`, which need not exist. The search in each folder ends after 20,000 entries, since a folder may
/// be a whole drive.
pub fn find_moved(
    wanted: &SlideId,
    before: &Path,
    user_mpp: Option<MicronsPerPixel>,
    folders: &[PathBuf],
) -> Option<Arc<dyn SlideSource>> {
    let name = before.file_name()?;
    let is_wanted =
        |path: &Path| slide::open(path, user_mpp).ok().filter(|slide| slide.info().has_id(wanted));
    folders.iter().find_map(|folder| find_named(name, folder, is_wanted))
}

/// Returns the first file called `name` in or below `folder` for which `choose` returns a value.
fn find_named<T>(name: &OsStr, folder: &Path, choose: impl Fn(&Path) -> Option<T>) -> Option<T> {
    /// Maximum number of files and folders visited.
    const MOST_ENTRIES: usize = 20_000;
    /// Maximum folder depth.
    const DEEPEST: usize = 5;

    let mut left = MOST_ENTRIES;
    // A queue rather than a stack, so that nearer folders come first.
    let mut waiting = VecDeque::from([(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = waiting.pop_front() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            left = left.checked_sub(1)?;
            // Links are not followed, since they may be cyclic.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < DEEPEST {
                waiting.push_back((entry.path(), depth + 1));
            } else if entry.file_name() == name
                && let Some(found) = choose(&entry.path())
            {
                return Some(found);
            }
        }
    }
    None
}

/// Maximum folder depth: deeper than any real collection, and a limit for cyclic links.
const DEEPEST: usize = 16;

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if depth > DEEPEST {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        entries.flatten().map(|entry| entry.path()).partition(|path| path.is_dir());
    for inner in folders.iter().filter(|inner| !is_system_folder(inner)) {
        search(inner, depth + 1, found);
    }
    let files: Vec<PathBuf> = files.into_iter().filter(|file| !is_hidden(file)).collect();
    let indices: Vec<String> =
        files.iter().filter(|file| has_extension(file, &INDEX_EXTENSIONS)).map(|file| stem(file)).collect();
    // For example `slide(1,0).jpg` and `slide_macro.jpg` of `slide.vms`.
    let is_part = |file: &Path| {
        let stem = stem(file);
        let mut suffixes = indices.iter().filter_map(|index| stem.strip_prefix(index.as_str()));
        has_extension(file, &["jpg", "jpeg"]) && suffixes.any(|suffix| suffix.starts_with(['(', '_']))
    };
    let mut series = HashSet::new();
    let mut files = files;
    files.sort();
    for file in files.into_iter().filter(|file| !is_part(file)) {
        match may_be_dicom(&file).then(|| dicom::instance(&file)).flatten() {
            Some(Instance::Slide { series: uid }) => {
                if series.insert(uid) {
                    found.push(slide::first_file_of_slide(&file));
                }
            }
            Some(Instance::Other) => {}
            Some(Instance::Unknown) | None => {
                if has_extension(&file, &EXTENSIONS) {
                    found.push(slide::first_file_of_ome_tiff(&file).unwrap_or(file));
                }
            }
        }
    }
}

/// Returns whether a file is hidden. This includes the `._…` files that macOS creates on other file systems
/// for metadata.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_system_folder(path: &Path) -> bool {
    is_hidden(path)
        || path.file_name().is_some_and(|name| SYSTEM_FOLDERS.iter().any(|system| name == *system))
}

/// Returns whether a file may be DICOM judging by its extension: DICOM files have arbitrary names, often
/// identifiers (`1.2.840.…`), but not the extensions of other formats.
fn may_be_dicom(path: &Path) -> bool {
    match path.extension() {
        None => true,
        Some(extension) => {
            let is_number = extension.as_encoded_bytes().iter().all(u8::is_ascii_digit);
            is_number || has_extension(path, &["dcm", "dicom", "dic", "ima"])
        }
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    extensions.contains(&extension.as_str())
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
