//! Files that come with the program: the guide, and the slides of the demonstration. They lie beside it in the
//! package, and in the source tree of a program that was built there.

use std::path::{Path, PathBuf};

use crate::platform;

/// How many folders above the program are looked into: a built program lies in `target/debug` of the source
/// tree, and that of a test one folder deeper.
const FOLDERS_ABOVE: usize = 4;

/// The guide: a folder of Markdown files.
pub fn guide() -> Option<PathBuf> {
    find(Path::new("docs/guide"))
}

/// The slides of the demonstration.
pub fn demonstration() -> Option<PathBuf> {
    find(Path::new("assets/slides"))
}

fn find(folder: &Path) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    find_above(&program, folder)
}

fn find_above(program: &Path, folder: &Path) -> Option<PathBuf> {
    let above = program.ancestors().skip(1).take(FOLDERS_ABOVE).map(Path::to_owned);
    let places = platform::folders_of(program).into_iter().chain(above);
    places.map(|place| place.join(folder)).find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_program_is_found_and_nothing_far_above() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("a/package/histokin");
        assert_eq!(find_above(&program, Path::new("docs/guide")), None);
        for folder in ["docs/guide", "a/package/docs/guide"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
            let found = find_above(&program, Path::new("docs/guide"));
            assert_eq!(found, Some(root.path().join(folder)), "the nearest one");
        }
        let deep = root.path().join("a/b/c/d/e/histokin");
        assert_eq!(find_above(&deep, Path::new("docs/guide")), None);
    }

    #[test]
    fn a_program_of_the_source_tree_finds_guide_and_demonstration() {
        assert!(guide().is_some_and(|guide| guide.join("first-slide.md").is_file()));
        assert!(demonstration().is_some_and(|slides| slides.join("CMU-1-Small-Region.svs").is_file()));
    }
}
