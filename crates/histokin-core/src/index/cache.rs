//! Segments on disk, so that a project can be searched as soon as it is opened. Damaged or outdated files are
//! deleted and rebuilt from the descriptors.

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

/// Maximum size of a header in bytes: enough for the checksums of 100,000 slides.
const LONGEST_HEAD: u64 = 16 << 20;

const EXTENSION: &str = "index";

/// A folder that contains cached segments.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexCache {
    folder: PathBuf,
    read_only: bool,
}

impl IndexCache {
    /// Opens the cache in `folder`, which is created on the first write.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), read_only: false }
    }

    /// Makes the cache read-only: nothing is stored, and storing does not delete other files.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Returns all cached segments whose sets are all among `sets`, largest first.
    pub fn load(&self, sets: &[Arc<DescriptorSet>]) -> Vec<Segment> {
        let mut found: Vec<Segment> = self.files().iter().filter_map(|path| load(path, sets)).collect();
        found.sort_by_key(|segment| std::cmp::Reverse(segment.len()));
        found
    }

    /// Stores a segment and returns it memory-mapped; cached segments that share a set with it are deleted.
    /// If one of its sets is not stored in a file, or if writing fails, the segment is returned unchanged: it
    /// works the same, but must be rebuilt next time.
    pub fn keep(&self, segment: Segment) -> Segment {
        let sets: Vec<HeadSet> = segment.sets().iter().map(|set| HeadSet::of(set)).collect();
        if self.read_only || sets.iter().any(|set| set.checksum.is_none()) {
            return segment;
        }
        let path = self.folder.join(name(&sets));
        let written =
            fs::create_dir_all(&self.folder).and_then(|()| durable::write(&path, &segment.to_bytes()));
        if let Err(error) = written {
            tracing::warn!("{}: the index was not stored and is rebuilt next time: {error}", path.display());
            return segment;
        }
        durable::remove_unused(&self.folder);
        for other in self.files().iter().filter(|other| **other != path) {
            let superseded = head(other).is_none_or(|head| head.sets.iter().any(|set| sets.contains(set)));
            if superseded && let Err(error) = durable::remove(other) {
                tracing::warn!("{}: an old part of the index was not removed: {error}", other.display());
            }
        }
        match load(&path, segment.sets()) {
            Some(mapped) => segment.moved_to(mapped),
            None => segment,
        }
    }

    /// Returns every damaged file of the cache, with the reason.
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

/// Returns the file name of a segment over these sets.
fn name(sets: &[HeadSet]) -> String {
    let mut hash = Sha256::new();
    for set in sets {
        hash.update(set.checksum.as_deref().unwrap_or_default());
        hash.update(set.rows.to_le_bytes());
    }
    format!("{}.{EXTENSION}", &hex(&hash.finalize())[..24])
}

/// Reads the header of a file.
fn head(path: &Path) -> Option<Head> {
    let mut start = [0; 16];
    let mut file = untrusted::open(path).ok()?;
    file.read_exact(&mut start).ok()?;
    let length = u64::from_le_bytes(start[8..].try_into().ok()?);
    let mut bytes = start.to_vec();
    file.take(length.min(LONGEST_HEAD)).read_to_end(&mut bytes).ok()?;
    layout::read_head(&bytes)
}

/// Loads the segment in a file if all of its sets are among `sets`. A damaged file is deleted.
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
            map(path).map_err(|_| "it cannot be mapped into memory").and_then(|map| Segment::mapped(map, own))
        }
        None => Err("its header is damaged"),
    };
    loaded
        .inspect_err(|reason| {
            tracing::warn!("{}: deleted, since {reason}; it is rebuilt", path.display());
            if let Err(error) = durable::remove(path) {
                tracing::warn!("{}: {error}", path.display());
            }
        })
        .ok()
}
