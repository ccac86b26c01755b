//! Descriptors on their way: an append-only file that survives a crash at any moment.
//!
//! Layout, little-endian: the header as one line of JSON, then records of equal length: tile index `u32`,
//! outcome `u32` (0 embedded, 1 failed), `width` × `f32` (zeros when failed), CRC-32 of all these bytes.
//! A torn record at the end is cut off when the journal is opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{DescriptorError, DescriptorHeader};
use crate::durable;
use crate::slide::SlideId;
use crate::tiling::TileIndex;

/// What became of one tile.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRecord {
    pub tile: TileIndex,
    /// The descriptor, or nothing when the tile could not be read.
    pub descriptor: Option<Vec<f32>>,
}

/// The journal of one slide and recipe, open for appending.
pub struct Journal {
    path: PathBuf,
    file: File,
    width: usize,
    /// What earlier runs left, in the order in which it was written.
    pub earlier: Vec<JournalRecord>,
}

impl Journal {
    /// Open or start the journal at `path`. One that belongs to other work or whose header is damaged is
    /// set aside.
    pub(super) fn open(path: &Path, header: &DescriptorHeader) -> Result<Self, DescriptorError> {
        let io = |source| DescriptorError::Io { path: path.to_owned(), source };
        if path.exists() {
            match Self::take_up(path, header) {
                Ok(journal) => return Ok(journal),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let aside = durable::set_aside(path).map_err(io)?;
                    tracing::warn!("{}: {error}; set aside as {}", path.display(), aside.display());
                }
                Err(error) => return Err(io(error)),
            }
        }
        let mut line = serde_json::to_vec(header).expect("a header is plain numbers and text");
        line.push(b'\n');
        durable::write(path, &line).map_err(io)?;
        let file = OpenOptions::new().append(true).open(path).map_err(io)?;
        Ok(Self { path: path.to_owned(), file, width: header.width, earlier: Vec::new() })
    }

    /// Make the journal at `former`, of the same work under a former id of the slide, the one at `path`, unless there
    /// is one already. A crash leaves one of the two, or both, whole.
    pub(super) fn take_over(
        former: &Path,
        former_id: &SlideId,
        path: &Path,
        header: &DescriptorHeader,
    ) -> Result<(), DescriptorError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| DescriptorError::Io { path, source }
        };
        if !path.exists() {
            let bytes = std::fs::read(former).map_err(io(former))?;
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(()) };
            let found: Option<DescriptorHeader> = serde_json::from_slice(&bytes[..end]).ok();
            let expected = DescriptorHeader { slide_id: former_id.clone(), ..header.clone() };
            if !found.is_some_and(|found| found.same_work(&expected)) {
                return Ok(());
            }
            let mut renewed = serde_json::to_vec(header).expect("a header is plain numbers and text");
            renewed.extend(&bytes[end..]);
            durable::write(path, &renewed).map_err(io(path))?;
        }
        std::fs::remove_file(former).map_err(io(former))
    }

    fn take_up(path: &Path, header: &DescriptorHeader) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
        let found: DescriptorHeader =
            serde_json::from_slice(&line).map_err(|_| invalid("the header of this journal is damaged"))?;
        if !found.same_descriptors(header) {
            return Err(invalid("this journal belongs to other settings"));
        }
        let mut earlier = Vec::new();
        let mut whole = line.len() as u64;
        let mut bytes = vec![0; record_len(header.width)];
        while reader.read_exact(&mut bytes).is_ok() {
            let Some(record) = decode(&bytes) else { break };
            earlier.push(record);
            whole += bytes.len() as u64;
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_owned(), file, width: header.width, earlier })
    }

    /// Append records; they are safe once [`Journal::sync`] has returned.
    pub fn append(&mut self, records: &[JournalRecord]) -> Result<(), DescriptorError> {
        let mut bytes = Vec::with_capacity(records.len() * record_len(self.width));
        for record in records {
            encode(record, self.width, &mut bytes)?;
        }
        self.file.write_all(&bytes).map_err(|source| self.failed(source))
    }

    /// Wait until everything appended is on the disk.
    pub fn sync(&mut self) -> Result<(), DescriptorError> {
        self.file.sync_data().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> DescriptorError {
        DescriptorError::Io { path: self.path.clone(), source: durable::advised(source) }
    }
}

/// Bytes of one record.
fn record_len(width: usize) -> usize {
    4 + 4 + 4 * width + 4
}

fn encode(record: &JournalRecord, width: usize, out: &mut Vec<u8>) -> Result<(), DescriptorError> {
    let start = out.len();
    out.extend(record.tile.0.to_le_bytes());
    out.extend(u32::from(record.descriptor.is_none()).to_le_bytes());
    match &record.descriptor {
        Some(values) if values.len() == width && values.iter().all(|value| value.is_finite()) => {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Some(_) => {
            out.truncate(start);
            return Err(DescriptorError::NotFinite);
        }
        None => out.resize(out.len() + 4 * width, 0),
    }
    let crc = crc32fast::hash(&out[start..]);
    out.extend(crc.to_le_bytes());
    Ok(())
}

fn decode(bytes: &[u8]) -> Option<JournalRecord> {
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    if crc32fast::hash(body).to_le_bytes() != crc {
        return None;
    }
    let mut words = body.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]);
    let tile = TileIndex(u32::from_le_bytes(words.next()?));
    let failed = u32::from_le_bytes(words.next()?) != 0;
    let descriptor = (!failed).then(|| words.map(f32::from_le_bytes).collect());
    Some(JournalRecord { tile, descriptor })
}
