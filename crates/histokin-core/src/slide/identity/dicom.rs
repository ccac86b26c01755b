//! Determines which instances of a DICOM series hold level 0 of a slide.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::dicom::header::Header;

/// Maximum number of files of a folder that are inspected.
const MAX_FILES: usize = 4096;

/// Returns the instances of the same series with the most pixels in the folders of the slide of `path`, sorted by UID;
/// `path` alone if its series is not known.
pub(super) fn level_0(path: &Path) -> Vec<PathBuf> {
    let alone = vec![path.to_owned()];
    let Some(named) = identified(path) else { return alone };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    // Levels may be in folders of their own.
    files.extend(
        super::super::dicom::files_of_slide(path).into_iter().filter(|file| file.parent() != path.parent()),
    );
    files.truncate(MAX_FILES);
    let mut series: Vec<(Arc<Header>, PathBuf)> = files
        .into_iter()
        .filter(|file| file.as_path() != path)
        .filter_map(|file| Some((identified(&file)?, file)))
        .filter(|(instance, _)| instance.series == named.series)
        .collect();
    series.push((named, path.to_owned()));
    let most = series.iter().map(|(instance, _)| instance.pixels()).max().unwrap_or(0);
    series.retain(|(instance, _)| instance.pixels() == most);
    // The folder may contain several copies of an instance.
    series.sort_by(|(a, _), (b, _)| a.uid.cmp(&b.uid));
    series.dedup_by(|(a, _), (b, _)| a.uid == b.uid);
    series.into_iter().map(|(_, file)| file).collect()
}

/// Returns the header of a DICOM file, if it states its series and its own identifier.
fn identified(path: &Path) -> Option<Arc<Header>> {
    Header::of(path).filter(|header| !header.series.is_empty() && !header.uid.is_empty())
}
