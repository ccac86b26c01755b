//! Determines which instances of a DICOM series hold level 0 of a slide.

use std::fs;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::super::dicom::elements::{Elements, has_prefix};
use crate::untrusted;

/// Maximum number of files of a folder that are inspected.
const MAX_FILES: usize = 4096;

/// Returns the instances of the same series with the most pixels in the folder of `path`, sorted by UID;
/// `path` alone if its series is not known.
pub(super) fn level_0(path: &Path) -> Vec<PathBuf> {
    let alone = vec![path.to_owned()];
    let Some(named) = Instance::read(path) else { return alone };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.truncate(MAX_FILES);
    let mut series: Vec<(Instance, PathBuf)> = files
        .into_iter()
        .filter(|file| file.as_path() != path)
        .filter_map(|file| Some((Instance::read(&file)?, file)))
        .filter(|(instance, _)| instance.series == named.series)
        .collect();
    series.push((named, path.to_owned()));
    let most = series.iter().map(|(instance, _)| instance.pixels).max().unwrap_or(0);
    series.retain(|(instance, _)| instance.pixels == most);
    // The folder may contain several copies of an instance.
    series.sort_by(|(a, _), (b, _)| a.uid.cmp(&b.uid));
    series.dedup_by(|(a, _), (b, _)| a.uid == b.uid);
    series.into_iter().map(|(_, file)| file).collect()
}

/// The elements of an instance that are needed here.
#[derive(Debug, Default, PartialEq)]
struct Instance {
    series: String,
    uid: String,
    /// Pixels of the whole level; 0 for labels and overview images, and if not stated.
    pixels: u64,
}

impl Instance {
    fn read(path: &Path) -> Option<Self> {
        let mut file = BufReader::new(untrusted::open(path).ok()?);
        // A folder may contain many other files.
        if has_prefix(&mut file) { Self::parse(file) } else { None }
    }

    /// Reads the elements after the prefix, as far as they can be read.
    fn parse(source: impl Read + Seek) -> Option<Self> {
        let mut elements = Elements::begin(source).ok()?;
        let mut instance = Self::default();
        let (mut size, mut is_volume) = ([0, 0], true);
        let mut read_next = || -> io::Result<bool> {
            let element = elements.next()?;
            match element.tag {
                (0x0008, 0x0008) => is_volume = elements.text(&element)?.contains("VOLUME"),
                (0x0008, 0x0018) => instance.uid = elements.text(&element)?,
                (0x0020, 0x000e) => instance.series = elements.text(&element)?,
                (0x0048, 0x0006) => size[0] = elements.number(&element)?.into(),
                (0x0048, 0x0007) => size[1] = elements.number(&element)?.into(),
                // Elements are sorted by tag.
                tag if tag > (0x0048, 0x0007) => return Ok(false),
                _ => elements.skip(&element)?,
            }
            Ok(true)
        };
        while read_next().unwrap_or(false) {}
        if is_volume {
            instance.pixels = size[0] * size[1];
        }
        (!instance.series.is_empty() && !instance.uid.is_empty()).then_some(instance)
    }
}

#[cfg(feature = "test-support")]
pub(super) fn fuzz(bytes: &[u8]) {
    let mut source = io::Cursor::new(bytes);
    if has_prefix(&mut source) {
        let _ = Instance::parse(source);
    }
}
