//! DICOM slides with a folder for each level, as archives export them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::header::Header;
use super::{Instance, files_of_slide, instance};

/// Maximum number of entries of a folder in which levels are looked for.
const MOST_ENTRIES: usize = 256;

/// Maximum number of files of a folder beside the slide's that are read to see whether it has the same slide.
const MOST_TRIED: usize = 2;

/// Returns the entries of a folder that are folders, or those that are not, in the order of their names; none if it has too many
/// to look at all.
fn entries(folder: &Path, are_folders: bool) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = read.take(MOST_ENTRIES + 1).collect();
    if found.len() > MOST_ENTRIES {
        return Vec::new();
    }
    let is_hidden =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    found.retain(|path| path.is_dir() == are_folders && !is_hidden(path));
    found.sort();
    found
}

/// Returns the files of a series in the folder of `path`.
fn files_beside(path: &Path, series: &str) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_of_series =
        |file: &PathBuf| matches!(instance(file), Some(Instance::Slide { series: uid }) if uid == series);
    names.map(|name| path.with_file_name(name)).filter(is_of_series).collect()
}

/// Returns the folders beside the one of `path`; none if it has none above it.
fn folders_beside(path: &Path) -> Vec<PathBuf> {
    // As the path is written, where that is possible, so that every file of a slide gives the same paths.
    let own = match path.parent() {
        Some(own) if own.file_name().is_some() => own.to_owned(),
        _ => match path.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned())) {
            Some(own) if own.file_name().is_some() => own,
            _ => return Vec::new(),
        },
    };
    let parent = own.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let others =
        entries(parent, true).into_iter().filter_map(|folder| Some(own.with_file_name(folder.file_name()?)));
    others.filter(|folder| *folder != own).collect()
}

/// Returns the sizes of the levels among `files`.
fn sizes(files: &[PathBuf]) -> BTreeSet<(u32, u32)> {
    let headers = files.iter().filter_map(|file| Header::of(file));
    headers.filter(|header| header.pixels() > 0).map(|header| header.level).collect()
}

/// Returns the files of the slide of this series of which `path` is one, sorted by their paths: those in its folder and, if there
/// is one level only, those in folders beside it that begin with the same series and have levels of other sizes, as copies have
/// not.
pub(super) fn files_of_series(path: &Path, series: &str) -> Vec<PathBuf> {
    let mut files = files_beside(path, series);
    let mut known = sizes(&files);
    // Most slides are whole, and an archive has many folders beside each.
    if known.len() < 2 {
        for folder in folders_beside(path) {
            let tried = entries(&folder, false).into_iter().take(MOST_TRIED);
            let is_same = |file: &PathBuf| matches!(instance(file), Some(Instance::Slide { series: uid }) if uid == series);
            let Some(first) = tried.into_iter().find(is_same) else { continue };
            let further = files_beside(&first, series);
            let others = sizes(&further);
            if others.is_disjoint(&known) {
                known.extend(others);
                files.extend(further);
            }
        }
    }
    files.sort();
    files
}

/// Returns the slide whose levels are in folders below `folder`, by its first file; `None` if there is none, or several.
pub(in crate::slide) fn slide_below(folder: &Path) -> Option<PathBuf> {
    let firsts = entries(folder, true).into_iter().filter_map(|inner| {
        entries(&inner, false).into_iter().take(MOST_TRIED).find_map(|file| match instance(&file)? {
            Instance::Slide { series } => Some((series, file)),
            _ => None,
        })
    });
    let firsts: Vec<(String, PathBuf)> = firsts.collect();
    let (series, first) = firsts.first()?;
    (firsts.len() > 1 && firsts.iter().all(|(other, _)| other == series)).then(|| first.clone())
}

/// Whether the levels of the DICOM slide at `path` are in several folders; OpenSlide looks for them in that of the file only.
pub(in crate::slide) fn is_in_several_folders(path: &Path) -> bool {
    let files = files_of_slide(path);
    files.iter().any(|file| file.parent() != files[0].parent())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::super::{LevelRect, open};
    use super::super::made::MadeDicom;
    use super::super::{first_file_of_slide, slides_in};

    #[test]
    fn levels_in_folders_of_their_own_are_one_slide() {
        let folder = tempfile::tempdir().unwrap();
        let study = folder.path().join("study");
        let levels = [("1", 130, 90), ("2", 65, 45)];
        for (name, width, height) in levels {
            fs::create_dir_all(study.join(name)).unwrap();
            let made = MadeDicom {
                width,
                height,
                instance: ["1.2.3.1", "1.2.3.2"][usize::from(width == 65)],
                ..MadeDicom::default()
            };
            fs::write(study.join(name).join("IM1"), made.bytes()).unwrap();
        }
        fs::create_dir(study.join("3")).unwrap();
        fs::write(study.join("3/notes.txt"), "no DICOM").unwrap();
        let (fine, coarse) = (study.join("1/IM1"), study.join("2/IM1"));
        let opened = [&fine, &coarse, &study].map(|path| open(path, None).unwrap());
        for slide in &opened {
            let info = slide.info();
            let sizes: Vec<(u32, u32)> =
                info.levels.iter().map(|level| (level.width, level.height)).collect();
            assert_eq!(sizes, [(130, 90), (65, 45)], "{}", info.path.display());
            assert_eq!(info.id, opened[0].info().id);
            for (level, (_, width, height)) in (0..).zip(levels) {
                let region = LevelRect { level, x: 0, y: 0, width, height };
                assert!(slide.read(&region).unwrap() == opened[0].read(&region).unwrap());
            }
        }
        assert_eq!(opened[1].info().path, coarse);
        assert_eq!((first_file_of_slide(&fine), first_file_of_slide(&coarse)), (fine.clone(), fine.clone()));
        assert!(slides_in(&study).is_empty());
        // A copy beside it adds nothing.
        fs::create_dir(study.join("4")).unwrap();
        fs::copy(&fine, study.join("4/IM9")).unwrap();
        assert_eq!(first_file_of_slide(&coarse), fine);
        assert_eq!(open(&fine, None).unwrap().info().levels.len(), 2);
        // Another series in a folder beside it is another slide.
        let alone = tempfile::tempdir().unwrap();
        fs::create_dir(alone.path().join("1")).unwrap();
        fs::copy(&fine, alone.path().join("1/a.dcm")).unwrap();
        let bytes = fs::read(&coarse).unwrap();
        let at = bytes.windows(6).position(|part| part == b"1.2.3\0").unwrap();
        let other = [&bytes[..at], b"1.2.4\0", &bytes[at + 6..]].concat();
        fs::create_dir(alone.path().join("2")).unwrap();
        fs::write(alone.path().join("2/b.dcm"), other).unwrap();
        assert_eq!(open(&alone.path().join("1/a.dcm"), None).unwrap().info().levels.len(), 1);
        assert!(open(alone.path(), None).is_err(), "two slides");
    }
}
