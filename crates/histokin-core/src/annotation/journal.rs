//! Journal of the edits of a large annotation file: an append-only file beside it that survives a crash at any
//! time.
//!
//! Layout: a header as one line of JSON, then records: length of the payload `u32`, its CRC-32 `u32`, both
//! little-endian, and the payload, which is a [`Delta`] as GeoJSON. An incomplete record at the end was being
//! written during a crash; it is removed when the next one is appended.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::geojson::{self, Purpose};
use super::json::RawJson;
use super::watch::Watch;
use super::{Annotation, AnnotationSet};
use crate::{durable, untrusted};

/// Largest journal that is read, in bytes.
const MOST_BYTES: u64 = 1 << 30;
/// Most changes for which a delta is smaller than the set.
const MOST_CHANGES: usize = 1000;
/// Member of a delta that lists the removed annotations.
const REMOVED: &str = "removed";
/// Member of a delta that lists where its annotations belong.
const PLACES: &str = "places";

/// The file that a journal continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Base {
    /// How often a journal has been folded into the file.
    pub generation: u64,
    /// CRC-32 of the file: a program that knows no journals writes the file again with the same generation.
    pub crc32: u32,
}

/// The first line of a journal.
#[derive(Serialize, Deserialize)]
struct Header {
    /// Version of this format.
    journal: u32,
    base: Base,
}

/// What changes from one set to another.
#[derive(Debug, Default)]
struct Delta {
    removed: Vec<Uuid>,
    /// Annotations that are new or changed, with their index among the set's objects; `None` for detections in
    /// compact form.
    put: Vec<(Option<usize>, Arc<Annotation>)>,
}

/// The place of an annotation of a delta.
#[derive(Serialize, Deserialize)]
struct Placed {
    id: Uuid,
    index: Option<usize>,
    parent: Option<Uuid>,
}

impl Delta {
    /// Returns what changes from `before` to `after`; `None` if that is more than is worth a record.
    fn between(before: &AnnotationSet, after: &AnnotationSet) -> Option<Self> {
        if before.groups != after.groups || before.members != after.members {
            return None;
        }
        let mut delta = Self::default();
        for (index, (id, one)) in after.annotations.iter().enumerate() {
            if !before.annotations.get(id).is_some_and(|known| Arc::ptr_eq(known, one)) {
                delta.put.push((Some(index), one.clone()));
            }
            if delta.put.len() > MOST_CHANGES {
                return None;
            }
        }
        let gone = before.annotations.keys().filter(|id| !after.contains(**id));
        delta.removed.extend(gone.take(MOST_CHANGES + 1));
        if !Arc::ptr_eq(&before.detections, &after.detections) {
            for slot in before.detections.differences(&after.detections, MOST_CHANGES)? {
                match after.detections.get(slot) {
                    Some(one) => delta.put.push((None, one)),
                    None => delta.removed.push(after.detections.id(slot)),
                }
            }
        }
        (delta.put.len() + delta.removed.len() <= MOST_CHANGES).then_some(delta)
    }

    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.put.is_empty()
    }

    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let alone = |(_, one): &(Option<usize>, Arc<Annotation>)| {
            // A parent is stated beside the annotation, since it may not be in the delta.
            Annotation { parent: None, ..one.as_ref().clone() }
        };
        let places: Vec<Placed> = self
            .put
            .iter()
            .map(|(index, one)| Placed { id: one.id, index: *index, parent: one.parent })
            .collect();
        let mut set = AnnotationSet::new(self.put.iter().map(alone));
        set.members = vec![(REMOVED.to_owned(), raw(&self.removed)?), (PLACES.to_owned(), raw(&places)?)];
        let mut bytes = Vec::new();
        geojson::write(&set, Purpose::Store, &Watch::none(), &mut bytes)?;
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let read = geojson::read(std::str::from_utf8(bytes).ok()?, "", &Watch::none()).ok()?;
        let member = |name: &str| read.set.members.iter().find(|(key, _)| key == name);
        let removed = serde_json::from_str(member(REMOVED)?.1.get()).ok()?;
        let places: Vec<Placed> = serde_json::from_str(member(PLACES)?.1.get()).ok()?;
        let mut known: HashMap<Uuid, Arc<Annotation>> = read.set.iter().map(|one| (one.id, one)).collect();
        let put = places.into_iter().map(|Placed { id, index, parent }| {
            let one = Annotation { parent, ..Arc::unwrap_or_clone(known.remove(&id)?) };
            Some((index, Arc::new(one)))
        });
        Some(Self { removed, put: put.collect::<Option<_>>()? })
    }
}

fn raw(value: &impl Serialize) -> io::Result<RawJson> {
    Ok(RawJson::from(serde_json::value::to_raw_value(value)?.as_ref()))
}

/// Returns whether nothing changes from one set to another.
pub fn are_same(before: &AnnotationSet, after: &AnnotationSet) -> bool {
    Delta::between(before, after).is_some_and(|delta| delta.is_empty())
}

/// Appends the changes from one set to another to the journal at `path`, of which `length` bytes are whole; it
/// is made if `length` is 0. Returns the length afterwards, or `None` if there are too many changes or the
/// journal is not as expected. The changes are on the disk afterwards.
///
/// # Errors
/// Returns the error of the system with advice. The journal then ends as before.
pub fn append(
    path: &Path,
    length: u64,
    base: Base,
    before: &AnnotationSet,
    after: &AnnotationSet,
) -> io::Result<Option<u64>> {
    let Some(delta) = Delta::between(before, after) else { return Ok(None) };
    if delta.is_empty() {
        return Ok(Some(length));
    }
    let payload = delta.to_bytes()?;
    let Ok(size) = u32::try_from(payload.len()) else { return Ok(None) };
    let record =
        [&size.to_le_bytes()[..], &crc32fast::hash(&payload).to_le_bytes()[..], &payload[..]].concat();
    match OpenOptions::new().append(true).open(path) {
        Ok(file) if length > 0 => extend(&file, length, &record).map_err(durable::advised),
        Err(error) if error.kind() == ErrorKind::NotFound && length == 0 => {
            let mut bytes = serde_json::to_vec(&Header { journal: 1, base })?;
            bytes.push(b'\n');
            bytes.extend(record);
            durable::write(path, &bytes)?;
            Ok(Some(bytes.len() as u64))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(durable::advised(error)),
    }
}

/// Appends a record after the first `length` bytes.
fn extend(mut file: &File, length: u64, record: &[u8]) -> io::Result<Option<u64>> {
    let present = file.metadata()?.len();
    if present < length {
        return Ok(None);
    }
    // What follows a torn record would never be read.
    if present > length {
        file.set_len(length)?;
    }
    let written = file.write_all(record).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(length)?;
    }
    written.map(|()| Some(length + record.len() as u64))
}

/// The journal of a file, if there is one.
pub enum Found {
    /// There is none.
    None,
    /// It has been folded into the file, but not been removed.
    Folded,
    /// It continues another file: a later generation, which has been lost, or one that was replaced.
    Other,
    /// Its changes were made to the set.
    Applied {
        /// Number of bytes up to the end of the last record that was applied.
        length: u64,
        /// Whether a damaged record follows, and others after it.
        is_damaged: bool,
    },
}

/// Makes the changes of the journal at `path` to a set, as read from the file `base`.
///
/// # Errors
/// Returns the error of the system, or [`ErrorKind::InvalidData`] if the header is damaged.
pub fn apply(path: &Path, base: Base, set: &mut AnnotationSet) -> io::Result<Found> {
    match untrusted::read(path, MOST_BYTES) {
        Ok(bytes) => apply_bytes(&bytes, base, set),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::None),
        Err(error) => Err(error),
    }
}

fn apply_bytes(bytes: &[u8], base: Base, set: &mut AnnotationSet) -> io::Result<Found> {
    let (header, start) = header(bytes)?;
    if header.base.generation < base.generation {
        return Ok(Found::Folded);
    }
    if header.base != base {
        return Ok(Found::Other);
    }
    let mut rest = &bytes[start..];
    let is_damaged = loop {
        match record(rest) {
            Record::Whole(delta, after) => {
                set.patch(&delta.removed, delta.put);
                rest = after;
            }
            Record::Torn => break false,
            Record::Damaged => break true,
        }
    };
    Ok(Found::Applied { length: (bytes.len() - rest.len()) as u64, is_damaged })
}

/// Returns the generation of the file that the journal at `path` continues; `None` if there is no journal.
///
/// # Errors
/// As for [`apply`].
pub fn generation(path: &Path) -> io::Result<Option<u64>> {
    match untrusted::read(path, MOST_BYTES) {
        Ok(bytes) => Ok(Some(header(&bytes)?.0.base.generation)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn header(bytes: &[u8]) -> io::Result<(Header, usize)> {
    let damaged = || io::Error::new(ErrorKind::InvalidData, "the header of this journal is damaged");
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let header: Header = serde_json::from_slice(&bytes[..end]).map_err(|_| damaged())?;
    if header.journal == 1 { Ok((header, end + 1)) } else { Err(damaged()) }
}

/// The first record of some bytes.
enum Record<'a> {
    /// It is whole; with the bytes after it.
    Whole(Delta, &'a [u8]),
    /// There is none, or it was not written to its end.
    Torn,
    /// It is damaged, and is not the last one.
    Damaged,
}

fn record(bytes: &[u8]) -> Record<'_> {
    let split = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some((u32::from_le_bytes(*checksum), payload, rest))
    };
    let Some((checksum, payload, after)) = split() else { return Record::Torn };
    let is_whole = crc32fast::hash(payload) == checksum;
    match is_whole.then(|| Delta::from_bytes(payload)).flatten() {
        Some(delta) => Record::Whole(delta, after),
        // File systems may fill the end with zeros after a power failure.
        None if bytes.iter().all(|byte| *byte == 0) => Record::Torn,
        None if after.is_empty() && !is_whole => Record::Torn,
        None => Record::Damaged,
    }
}

/// Reads bytes as a journal, and as the payload of a record; for fuzzing.
#[cfg(feature = "test-support")]
pub fn fuzz_journal(file: &[u8]) {
    let mut set = AnnotationSet::default();
    let _ = apply_bytes(file, Base::default(), &mut set);
    if let Some(delta) = Delta::from_bytes(file) {
        set.patch(&delta.removed, delta.put);
    }
    assert_eq!(set.len(), set.iter().count());
    assert!(set.ids().all(|id| set.get(id).is_some_and(|one| one.id == id)));
}
