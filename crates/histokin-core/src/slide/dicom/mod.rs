//! Determines which files of a folder form one DICOM slide, and where the tiles of its levels are stored.
//!
//! A slide is a series of instances, with one file for each level, the label and the overview, in one folder or in one for each;
//! OpenSlide opens all of it from any of these files. File names carry no information: archives export names such as `IM000001`.
//! `elements` reads data sets, `header` keeps what is needed of them, `frames` finds the tiles of a level.

pub(super) mod elements;
mod folders;
pub(super) mod frames;
pub(super) mod header;
#[cfg(test)]
pub(super) mod made;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use folders::files_of_series;
use header::Header;

pub(super) use folders::{is_in_several_folders, slide_below};

/// What a DICOM file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instance {
    /// Part of a whole-slide image.
    Slide {
        /// SeriesInstanceUID of the slide.
        series: String,
    },
    /// Something else: a report, an annotation, another kind of image.
    Other,
    /// It could not be determined.
    Unknown,
}

/// Determines what the file at `path` is; `None` if it is not a DICOM file.
pub fn instance(path: &Path) -> Option<Instance> {
    Header::of(path).map(|header| header.instance())
}

/// Returns the DICOM slides among the files of `folder`: the files of each series, sorted by name.
pub fn slides_in(folder: &Path) -> Vec<Vec<PathBuf>> {
    let mut series: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Some(Instance::Slide { series: uid }) = instance(&path) {
            series.entry(uid).or_default().push(path);
        }
    }
    let mut slides: Vec<Vec<PathBuf>> = series.into_values().collect();
    slides.iter_mut().for_each(|files| files.sort());
    slides.sort();
    slides
}

/// Returns the first file of the DICOM slide that `path` belongs to, which represents the slide in lists;
/// `path` itself if it does not belong to one.
pub fn first_file_of_slide(path: &Path) -> PathBuf {
    let Some(Instance::Slide { .. }) = instance(path) else { return path.to_owned() };
    files_of_slide(path).into_iter().next().unwrap_or_else(|| path.to_owned())
}

/// Returns the files of the DICOM slide that `path` belongs to, sorted by folder and name; none if it does not belong to one.
pub(super) fn files_of_slide(path: &Path) -> Vec<PathBuf> {
    match instance(path) {
        Some(Instance::Slide { series }) => files_of_series(path, &series),
        _ => Vec::new(),
    }
}

/// Runs the parser on the bytes of a file, for fuzzing.
#[cfg(feature = "test-support")]
pub fn fuzz_dicom(file: &[u8]) {
    let mut source = std::io::Cursor::new(file);
    if elements::has_prefix(&mut source) {
        let header = Header::read(&mut source);
        let _ = (header.instance(), header.pixels());
        let _ = frames::Frames::of(&header, &mut source, file.len() as u64);
        source.set_position(0);
        if elements::has_prefix(&mut source) {
            super::tiff::dicom::fuzz(&header, &mut source, file.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::elements::{Tag, has_prefix};
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
    const SOP_CLASS: Tag = (0x0008, 0x0016);
    const SERIES: Tag = (0x0020, 0x000e);
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const IMPLICIT: &str = "1.2.840.10008.1.2";
    const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

    /// An element of the data set, explicit or implicit.
    fn element(is_implicit: bool, tag: Tag, kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
        let length = value.len() as u32;
        if is_implicit {
            bytes.extend_from_slice(&length.to_le_bytes());
        } else if kind == b"SQ" {
            bytes.extend_from_slice(&[kind[0], kind[1], 0, 0]);
            bytes.extend_from_slice(&length.to_le_bytes());
        } else {
            bytes.extend_from_slice(kind);
            bytes.extend_from_slice(&(length as u16).to_le_bytes());
        }
        [&bytes[..], value].concat()
    }

    fn file(syntax: &str, class: &str, series: &str) -> Vec<u8> {
        let is_implicit = syntax == IMPLICIT;
        let mut bytes = vec![0; 128];
        bytes.extend_from_slice(b"DICM");
        bytes.extend(element(false, (0x0002, 0x0010), b"UI", syntax.as_bytes()));
        bytes.extend(element(is_implicit, SOP_CLASS, b"UI", class.as_bytes()));
        // A sequence of unknown length that contains one item of unknown length.
        let mut sequence = element(is_implicit, (0x0008, 0x1115), b"SQ", b"");
        let at = sequence.len() - 4;
        sequence[at..].copy_from_slice(&[0xff; 4]);
        sequence.extend_from_slice(&[0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
        sequence.extend(element(is_implicit, SERIES, b"UI", b"9.9"));
        sequence.extend_from_slice(&[0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
        bytes.extend(sequence);
        bytes.extend(element(is_implicit, SERIES, b"UI", series.as_bytes()));
        bytes
    }

    #[test]
    fn instances_of_one_series_are_one_slide() {
        let folder = tempfile::tempdir().unwrap();
        for (name, syntax, class, series) in [
            ("IM2", EXPLICIT, WHOLE_SLIDE, "1.2.3\0"),
            ("IM1", IMPLICIT, WHOLE_SLIDE, "1.2.3\0"),
            ("b.dcm", "1.2.840.10008.1.2.4.50", WHOLE_SLIDE, "1.2.4"),
            ("report.dcm", EXPLICIT, "1.2.840.10008.5.1.4.1.1.88.33", "1.2.5"),
            ("big-endian.dcm", BIG_ENDIAN, WHOLE_SLIDE, "1.2.6"),
        ] {
            std::fs::write(folder.path().join(name), file(syntax, class, series)).unwrap();
        }
        std::fs::write(folder.path().join("note.txt"), "no DICOM").unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(slides_in(folder.path()), [vec![at("IM1"), at("IM2")], vec![at("b.dcm")]]);
        assert_eq!(first_file_of_slide(&at("IM2")), at("IM1"));
        assert_eq!(first_file_of_slide(&at("note.txt")), at("note.txt"));
        assert_eq!(instance(&at("report.dcm")), Some(Instance::Other));
        assert_eq!(instance(&at("big-endian.dcm")), Some(Instance::Unknown));
        assert_eq!(instance(&at("note.txt")), None);
        // A header is read once, but not kept for another file of this name.
        let header = || Header::of(&at("IM1")).unwrap();
        assert!(std::sync::Arc::ptr_eq(&header(), &header()));
        std::fs::write(at("note.txt"), file(EXPLICIT, WHOLE_SLIDE, "1.2.7")).unwrap();
        assert_eq!(instance(&at("note.txt")), Some(Instance::Slide { series: "1.2.7".to_owned() }));
    }

    proptest! {
        #[test]
        fn damaged_files_are_identified_or_not(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            length in any::<prop::sample::Index>(),
            is_implicit in any::<bool>(),
        ) {
            let mut bytes = file(if is_implicit { IMPLICIT } else { "1" }, WHOLE_SLIDE, "1.2.3");
            for (position, byte) in changes {
                let at = position.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(length.index(bytes.len() + 1));
            let mut source = Cursor::new(bytes);
            // It must not panic.
            if has_prefix(&mut source) {
                let _ = Header::read(source).instance();
            }
        }
    }
}
