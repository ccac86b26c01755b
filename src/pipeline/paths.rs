//! Finding slides in what the user names.

use std::path::{Path, PathBuf};

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
