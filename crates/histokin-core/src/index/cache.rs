//! Segments on the disk, so that an archive is searched as soon as it is opened. A cache in the true sense:
//! what is damaged or no longer fits is thrown away and made again from the descriptors.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::layout::{self, Head, HeadSet};
use super::segment::Segment;
use crate::descriptors::{DescriptorSet, hex};
use crate::mapped::map;
use crate::{durable, untrusted};

/// Longest head that is read: room for the checksums of a hundred thousand slides.
const LONGEST_HEAD: u64 = 16 << 20;

const EXTENSION: &str = "index";

/// A folder in which segments are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexCache {
    folder: PathBuf,
    read_only: bool,
}

impl IndexCache {
    /// The cache in `folder`, which is made when something is first written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), read_only: false }
    }

    /// The same cache, in which nothing is kept or dropped.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// All kept segments whose sets are all among `sets`, the largest first.
    pub fn load(&self, sets: &[Arc<DescriptorSet>]) -> Vec<Segment> {
        let mut found: Vec<Segment> = self.files().iter().filter_map(|path| load(path, sets)).collect();
        found.sort_by_key(|segment| std::cmp::Reverse(segment.len()));
        found
    }

    /// Keep a segment and map it; segments that it holds a set of are dropped. One over sets that are in no
    /// file, or that cannot be written, is given back as it is: it works all the same, but is built again next
    /// time.
    pub fn keep(&self, segment: Segment) -> Segment {
        let sets: Vec<HeadSet> = segment.sets().iter().map(|set| HeadSet::of(set)).collect();
        if self.read_only || sets.iter().any(|set| set.checksum.is_none()) {
            return segment;
        }
        let path = self.folder.join(name(&sets));
        let written =
            fs::create_dir_all(&self.folder).and_then(|()| durable::write(&path, &segment.to_bytes()));
        if let Err(error) = written {
            tracing::warn!(
                "{}: the index was not kept and is built again next time: {error}",
                path.display()
            );
            return segment;
        }
        for other in self.files().iter().filter(|other| **other != path) {
            let superseded = head(other).is_none_or(|head| head.sets.iter().any(|set| sets.contains(set)));
            if superseded && let Err(error) = fs::remove_file(other) {
                tracing::warn!("{}: an old part of the index was not removed: {error}", other.display());
            }
        }
        match load(&path, segment.sets()) {
            Some(mapped) => segment.moved_to(mapped),
            None => segment,
        }
    }

    /// Every file of the cache that is wrong, and why.
    pub fn check(&self) -> Vec<(PathBuf, &'static str)> {
        let why = |path: &PathBuf| match map(path) {
            Ok(bytes) => layout::read(&bytes).err(),
            Err(_) => Some("it cannot be read"),
        };
        self.files().into_iter().filter_map(|path| Some((path.clone(), why(&path)?))).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
            .collect();
        files.sort();
        files
    }
}

/// File name of a segment over these sets.
fn name(sets: &[HeadSet]) -> String {
    let mut hash = Sha256::new();
    for set in sets {
        hash.update(set.checksum.as_deref().unwrap_or_default());
        hash.update(set.rows.to_le_bytes());
    }
    format!("{}.{EXTENSION}", &hex(&hash.finalize())[..24])
}

/// What a file says of itself.
fn head(path: &Path) -> Option<Head> {
    let mut start = [0; 16];
    let mut file = untrusted::open(path).ok()?;
    file.read_exact(&mut start).ok()?;
    let length = u64::from_le_bytes(start[8..].try_into().ok()?);
    let mut bytes = start.to_vec();
    file.take(length.min(LONGEST_HEAD)).read_to_end(&mut bytes).ok()?;
    layout::read_head(&bytes)
}

/// The segment in a file, if all of its sets are among `sets`. A damaged file is removed.
fn load(path: &Path, sets: &[Arc<DescriptorSet>]) -> Option<Segment> {
    let find = |wanted: &HeadSet| {
        let same = |set: &&Arc<DescriptorSet>| {
            wanted.checksum.is_some()
                && set.checksum() == wanted.checksum.as_deref()
                && set.len() == wanted.rows as usize
        };
        sets.iter().find(same).cloned()
    };
    let loaded = match head(path) {
        Some(head) => {
            let own: Vec<Arc<DescriptorSet>> = head.sets.iter().map(find).collect::<Option<_>>()?;
            map(path).map_err(|_| "it cannot be mapped").and_then(|map| Segment::mapped(map, own))
        }
        None => Err("its head is damaged"),
    };
    loaded
        .inspect_err(|reason| {
            tracing::warn!("{}: thrown away, since {reason}; it is made again", path.display());
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!("{}: {error}", path.display());
            }
        })
        .ok()
}
