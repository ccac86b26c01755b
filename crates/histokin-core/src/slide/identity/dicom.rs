//! Determines which instances of a DICOM series hold level 0 of a slide.
//!
//! Elements are read according to PS3.5, explicit or implicit, little-endian, up to the last one that is
//! needed here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::untrusted;

/// Bytes at the start of a file in which the elements are searched.
const HEADER_BYTES: u64 = 1 << 20;

/// Maximum number of files of a folder that are inspected.
const MAX_FILES: usize = 4096;

/// Maximum nesting of sequences.
const MAX_DEPTH: usize = 16;

const UNDEFINED: u32 = u32::MAX;

/// Whether a file that begins with these 132 bytes is DICOM.
pub(super) fn is_dicom(start: &[u8]) -> bool {
    start.get(128..132) == Some(b"DICM")
}

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
    series: Vec<u8>,
    uid: Vec<u8>,
    /// Pixels of the whole level; 0 for labels and overview images, and if not stated.
    pixels: u64,
}

impl Instance {
    fn read(path: &Path) -> Option<Self> {
        let mut file = untrusted::open(path).ok()?;
        // A folder may contain many other files.
        if !is_dicom(&super::read(&mut file, 0, 132).ok()?) {
            return None;
        }
        Self::parse(&super::read(&mut file, 0, HEADER_BYTES).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut elements = Elements { bytes, at: 132, explicit: true };
        let mut instance = Self::default();
        let (mut size, mut is_volume, mut syntax) = ([0, 0], true, Vec::new());
        let mut in_meta = true;
        while let Some((tag, value)) = elements.next(&mut in_meta, &syntax) {
            // UIDs are padded to an even length.
            let text = || value.split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default().to_vec();
            let number = || value.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
            match tag {
                (0x0002, 0x0010) => syntax = text(),
                (0x0008, 0x0008) => is_volume = value.windows(6).any(|word| word == b"VOLUME"),
                (0x0008, 0x0018) => instance.uid = text(),
                (0x0020, 0x000e) => instance.series = text(),
                (0x0048, 0x0006) => size[0] = number(),
                (0x0048, 0x0007) => size[1] = number(),
                // Elements are sorted by tag.
                _ if tag > (0x0048, 0x0007) => break,
                _ => {}
            }
        }
        if is_volume {
            instance.pixels = size[0] * size[1];
        }
        (!instance.series.is_empty() && !instance.uid.is_empty()).then_some(instance)
    }
}

#[cfg(feature = "test-support")]
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = Instance::parse(bytes);
}

struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    explicit: bool,
}

type Tag = (u16, u16);

impl<'a> Elements<'a> {
    /// Returns the next element of the data set; `None` at the end of the bytes or at an element that cannot
    /// be parsed.
    fn next(&mut self, in_meta: &mut bool, syntax: &[u8]) -> Option<(Tag, &'a [u8])> {
        if *in_meta && self.word(self.at)? != 2 {
            *in_meta = false;
            match syntax {
                b"1.2.840.10008.1.2" => self.explicit = false,
                // Big-endian and deflated.
                b"1.2.840.10008.1.2.2" | b"1.2.840.10008.1.2.1.99" => return None,
                _ => {}
            }
        }
        let (tag, length) = self.header()?;
        if length == UNDEFINED {
            // Pixel data come after all elements that are needed.
            (tag != (0x7fe0, 0x0010)).then_some(())?;
            self.skip_sequence(0)?;
            return Some((tag, &[]));
        }
        let end = self.at.checked_add(length as usize)?;
        let value = self.bytes.get(self.at..end)?;
        self.at = end;
        Some((tag, value))
    }

    /// Reads tag and length of the element at `at`, and advances to its value.
    fn header(&mut self) -> Option<(Tag, u32)> {
        let tag = (self.word(self.at)?, self.word(self.at + 2)?);
        let kind = self.bytes.get(self.at + 4..self.at + 6)?;
        let has_kind = self.explicit && tag.0 != 0xfffe;
        let (length, header) = match kind {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT"
            | b"UV"
                if has_kind =>
            {
                (self.long(self.at + 8)?, 12)
            }
            _ if has_kind => (u32::from(self.word(self.at + 6)?), 8),
            _ => (self.long(self.at + 4)?, 8),
        };
        self.at += header;
        Some((tag, length))
    }

    /// Advances past a sequence of undefined length.
    fn skip_sequence(&mut self, depth: usize) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        loop {
            let (tag, length) = self.header()?;
            match (tag, length) {
                ((0xfffe, 0xe0dd), _) => return Some(()),
                ((0xfffe, 0xe000), UNDEFINED) => self.skip_item(depth)?,
                _ => self.skip(length)?,
            }
        }
    }

    /// Advances past an item of undefined length.
    fn skip_item(&mut self, depth: usize) -> Option<()> {
        loop {
            match self.header()? {
                ((0xfffe, 0xe00d), _) => return Some(()),
                (_, UNDEFINED) => self.skip_sequence(depth + 1)?,
                (_, length) => self.skip(length)?,
            }
        }
    }

    fn skip(&mut self, length: u32) -> Option<()> {
        self.at = self.at.checked_add(length as usize).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn long(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}
