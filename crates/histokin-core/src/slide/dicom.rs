//! Determines which files of a folder form one DICOM slide. A slide is a series of instances, with one file
//! for each level, the label and the overview; OpenSlide opens all of it from any of these files. File names
//! carry no information: archives export names such as `IM000001`.
//!
//! Only the few elements that identify the series are read (DICOM PS3.5 and PS3.10).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use crate::untrusted;

/// SOP class of whole-slide images (VL Whole Slide Microscopy Image Storage).
const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
/// Transfer syntaxes whose elements are not explicit little-endian.
const IMPLICIT: &str = "1.2.840.10008.1.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

const TRANSFER_SYNTAX: (u16, u16) = (0x0002, 0x0010);
const SOP_CLASS: (u16, u16) = (0x0008, 0x0016);
const SERIES: (u16, u16) = (0x0020, 0x000e);
const ITEM: u16 = 0xfffe;
const END_OF_SEQUENCE: (u16, u16) = (ITEM, 0xe0dd);
const END_OF_ITEM: (u16, u16) = (ITEM, 0xe00d);

/// Maximum number of elements that are read; bounds the work on damaged files.
const MAX_ELEMENTS: usize = 10_000;
/// Maximum nesting of sequences.
const MAX_DEPTH: usize = 16;
/// Longest value that is read, in bytes; identifiers have at most 64.
const MAX_VALUE_BYTES: u32 = 128;

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
    let mut file = BufReader::new(untrusted::open(path).ok()?);
    is_dicom(&mut file).then(|| identify(&mut file).unwrap_or(Instance::Unknown))
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let slide = slides_in(folder)
        .into_iter()
        .find(|files| files.iter().any(|file| file.file_name() == path.file_name()));
    let first = slide.and_then(|files| files.first()?.file_name().map(|name| path.with_file_name(name)));
    first.unwrap_or_else(|| path.to_owned())
}

fn is_dicom(file: &mut BufReader<File>) -> bool {
    let mut head = [0; 132];
    file.read_exact(&mut head).is_ok() && head.ends_with(b"DICM")
}

/// Reads the elements after the prefix until the series is known.
fn identify(source: &mut (impl Read + Seek)) -> io::Result<Instance> {
    let mut elements = Elements { source, is_implicit: false, left: MAX_ELEMENTS };
    let mut in_header = true;
    let (mut syntax, mut class) = (String::new(), String::new());
    loop {
        let element = elements.next()?;
        // The header is always explicit little-endian and ends with its group.
        if in_header && element.tag.0 != 0x0002 {
            in_header = false;
            match syntax.as_str() {
                DEFLATED | BIG_ENDIAN => return Ok(Instance::Unknown),
                IMPLICIT => {
                    elements.source.seek_relative(-i64::from(element.head))?;
                    elements.is_implicit = true;
                    continue;
                }
                _ => {}
            }
        }
        match element.tag {
            TRANSFER_SYNTAX => syntax = elements.text(&element)?,
            SOP_CLASS => {
                class = elements.text(&element)?;
                if class != WHOLE_SLIDE {
                    return Ok(Instance::Other);
                }
            }
            SERIES => {
                let series = elements.text(&element)?;
                let is_slide = class == WHOLE_SLIDE && !series.is_empty();
                return Ok(if is_slide { Instance::Slide { series } } else { Instance::Unknown });
            }
            // Elements are sorted by tag.
            tag if tag > SERIES && !in_header => return Ok(Instance::Unknown),
            _ => elements.skip(&element, 0)?,
        }
    }
}

/// Reads the elements of a data set one after the other.
struct Elements<'a, R> {
    source: &'a mut R,
    is_implicit: bool,
    left: usize,
}

struct Element {
    tag: (u16, u16),
    /// Bytes of the value; `None` for sequences that end with a delimiter.
    length: Option<u32>,
    /// Bytes of tag, type and length.
    head: u8,
}

impl<R: Read + Seek> Elements<'_, R> {
    fn next(&mut self) -> io::Result<Element> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        self.left = self.left.checked_sub(1).ok_or_else(damaged)?;
        let mut head = [0; 8];
        self.source.read_exact(&mut head)?;
        let [g0, g1, e0, e1, v0, v1, l0, l1] = head;
        let tag = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
        let (length, head) = if self.is_implicit || tag.0 == ITEM {
            (u32::from_le_bytes([v0, v1, l0, l1]), 8)
        } else if matches!(
            &[v0, v1],
            b"OB"
                | b"OD"
                | b"OF"
                | b"OL"
                | b"OV"
                | b"OW"
                | b"SQ"
                | b"SV"
                | b"UC"
                | b"UN"
                | b"UR"
                | b"UT"
                | b"UV"
        ) {
            let mut long = [0; 4];
            self.source.read_exact(&mut long)?;
            (u32::from_le_bytes(long), 12)
        } else {
            (u16::from_le_bytes([l0, l1]).into(), 8)
        };
        Ok(Element { tag, length: (length != u32::MAX).then_some(length), head })
    }

    fn text(&mut self, element: &Element) -> io::Result<String> {
        let length = element.length.filter(|length| *length <= MAX_VALUE_BYTES);
        let mut value = vec![0; length.ok_or(io::ErrorKind::InvalidData)? as usize];
        self.source.read_exact(&mut value)?;
        Ok(String::from_utf8_lossy(&value).trim_matches(['\0', ' ']).to_owned())
    }

    fn skip(&mut self, element: &Element, depth: usize) -> io::Result<()> {
        if let Some(length) = element.length {
            return self.source.seek_relative(length.into());
        }
        if depth > MAX_DEPTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        loop {
            let inner = self.next()?;
            if inner.tag == END_OF_SEQUENCE || inner.tag == END_OF_ITEM {
                return Ok(());
            }
            self.skip(&inner, depth + 1)?;
        }
    }
}

/// Runs the parser on the bytes of a file, for fuzzing.
#[cfg(feature = "test-support")]
pub fn fuzz_dicom(file: &[u8]) {
    let mut source = io::Cursor::new(file);
    if source.seek(io::SeekFrom::Start(132)).is_ok() {
        let _ = identify(&mut source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An element of the data set, explicit or implicit.
    fn element(is_implicit: bool, tag: (u16, u16), kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
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
        bytes.extend(element(false, TRANSFER_SYNTAX, b"UI", syntax.as_bytes()));
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
        let explicit = "1.2.840.10008.1.2.1";
        for (name, syntax, class, series) in [
            ("IM2", explicit, WHOLE_SLIDE, "1.2.3\0"),
            ("IM1", IMPLICIT, WHOLE_SLIDE, "1.2.3\0"),
            ("b.dcm", "1.2.840.10008.1.2.4.50", WHOLE_SLIDE, "1.2.4"),
            ("report.dcm", explicit, "1.2.840.10008.5.1.4.1.1.88.33", "1.2.5"),
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
            let mut source = io::Cursor::new(bytes);
            source.seek(io::SeekFrom::Start(132)).unwrap();
            // It must return a result or an error, not panic.
            let _ = identify(&mut source);
        }
    }
}
