//! Finding slides in what the user names.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::geometry::MicronsPerPixel;
use crate::slide::{self, SlideId, SlideSource};

/// File names that are taken for slides when a folder is searched. A file named by itself is always tried.
pub const SLIDE_EXTENSIONS: [&str; 19] = [
    "svs", "tif", "tiff", "ndpi", "scn", "mrxs", "bif", "vms", "vmu", "czi", "dcm", "svslide", "zvi", "lif",
    "png", "jpg", "jpeg", "bmp", "webp",
];

/// All slide files among `paths`, folders searched to any depth, in the order of their names. Folders that
/// cannot be read and links that lead back to themselves are passed over.
pub fn find_slides(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut inside = Vec::new();
            search(path, 0, &mut inside);
            inside.sort();
            found.extend(inside);
        } else {
            found.push(path.clone());
        }
    }
    found
}

/// The slide `wanted` that was at `before`: a file of the same name at or below one of `folders` (those that
/// exist), with the same content. The search of each ends after some ten thousand files, as whole drives may
/// be named.
pub fn find_moved(
    wanted: &SlideId,
    before: &Path,
    user_mpp: Option<MicronsPerPixel>,
    folders: &[PathBuf],
) -> Option<Arc<dyn SlideSource>> {
    let name = before.file_name()?;
    let is_wanted = |path: &Path| slide::open(path, user_mpp).ok().filter(|slide| slide.info().id == *wanted);
    folders.iter().find_map(|folder| find_named(name, folder, is_wanted))
}

/// The first file called `name` at or below `folder` that `choose` takes.
fn find_named<T>(name: &OsStr, folder: &Path, choose: impl Fn(&Path) -> Option<T>) -> Option<T> {
    /// Files and folders that are looked at.
    const MOST_ENTRIES: usize = 20_000;
    /// Folders below each other that are looked into.
    const DEEPEST: usize = 5;

    let mut left = MOST_ENTRIES;
    // Nearer folders first: a queue, not a stack.
    let mut waiting = VecDeque::from([(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = waiting.pop_front() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            left = left.checked_sub(1)?;
            // Links are not followed: they may lead back.
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

/// Deeper than any archive is filed, and an end to loops of links.
const DEEPEST: usize = 16;

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if depth > DEEPEST {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            search(&path, depth + 1, found);
        } else if has_slide_extension(&path) {
            found.push(path);
        }
    }
}

fn has_slide_extension(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    SLIDE_EXTENSIONS.contains(&extension.as_str())
}
