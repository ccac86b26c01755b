//! The identity of a slide: a hash of its content.
//!
//! Two files have the same [`SlideId`] if they are copies of each other, wherever they lie and whatever they are
//! called. It depends on bytes alone: not on paths, times, the reader that decodes the slide, or the process that
//! does so. The definition is versioned by [`VERSION`]; a change to it needs a new version, and the ids of the old
//! one in [`former`].
//!
//! # Definition
//!
//! `id = hex(SHA-256(VERSION ‖ number of parts ‖ digest of each part))`. Numbers are 64 bits, little-endian.
//!
//! The parts of a slide are its file, or for formats of several files:
//! - MIRAX: the `.mrxs` file, then `Slidedat.ini`, the index and the data files it names, in that order;
//! - Hamamatsu VMS and VMU: the text file, then the files it names, in that order;
//! - DICOM: the instances of the same series in the same folder with the most pixels, by `SOPInstanceUID`, so that
//!   every instance of a series stands for the same slide.
//!
//! The digest of a part is the SHA-256 of its size and of
//! - all bytes, for files of up to [`ALWAYS_WHOLE`];
//! - the TIFF structure (every directory and every value outside of it, hence offset and length of every tile or
//!   strip of all levels, and all metadata) and [`FEW`] samples, for larger TIFF files whose tiles have different
//!   lengths, as compressed ones have;
//! - all bytes, for other files of up to [`MOST_WHOLE`];
//! - the TIFF structure, if there is one, and [`SPREAD`] samples, or [`DENSE`] where pixels are not compressed.
//!
//! A word for the rule that was applied is hashed in. Samples lie evenly between the first and the last byte, both
//! included. At most some 64 MiB are read, in a bounded number of reads.

mod dicom;
mod parts;
mod tiff;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::SlideId;
use crate::untrusted;

/// Names the definition above.
const VERSION: &[u8] = b"histokin slide identity 2\n";

/// Bytes up to which a file is hashed as a whole, whatever it is.
const ALWAYS_WHOLE: u64 = 16 << 20;

/// Bytes up to which a file is hashed as a whole if its structure does not tell it from others.
const MOST_WHOLE: u64 = 64 << 20;

/// Where, and how much, a large file is read.
#[derive(Debug, Clone, Copy)]
struct Sampling {
    word: &'static [u8],
    samples: u64,
    bytes: u64,
}

/// Of files whose structure tells them from others.
const FEW: Sampling = Sampling { word: b"few", samples: 64, bytes: 16 << 10 };

/// Of files whose content is compressed, so that any difference changes most of what follows.
const SPREAD: Sampling = Sampling { word: b"spread", samples: 256, bytes: 16 << 10 };

/// Of files whose pixels lie there as they are.
const DENSE: Sampling = Sampling { word: b"dense", samples: 1024, bytes: 4 << 10 };

/// The identity of the slide at `path`.
///
/// # Errors
/// Those of reading the file itself. A companion file that cannot be read counts as missing, which is another slide.
pub fn of(path: &Path) -> io::Result<SlideId> {
    let parts = parts::of(path)?;
    let mut hash = Sha256::new();
    hash.update(VERSION);
    hash.update((parts.len() as u64).to_le_bytes());
    for (place, part) in parts.iter().enumerate() {
        match digest(part) {
            Ok(digest) => hash.update(digest),
            Err(error) if place == 0 => return Err(error),
            Err(_) => hash.update(b"missing"),
        }
    }
    Ok(SlideId(hex(&hash.finalize())))
}

/// The ids that earlier versions of the program gave the slide at `path`: OpenSlide's `quickhash-1` where OpenSlide
/// reads it, which covers the smallest level and a few properties, else the SHA-256 of the size, the first and the
/// last MiB of the file. Different slides may share one.
///
/// # Errors
/// Those of reading the file.
pub(super) fn former(path: &Path, properties: &BTreeMap<String, String>) -> io::Result<Vec<SlideId>> {
    let quickhash = match properties.get(super::openslide::QUICKHASH) {
        Some(hash) => Some(SlideId(hash.clone())),
        // Another reader may be the first to know it now.
        None => super::openslide::quickhash(path).map(SlideId),
    };
    match quickhash.filter(SlideId::is_plain) {
        Some(id) => Ok(vec![id]),
        None => Ok(vec![first_and_last_mib(path)?]),
    }
}

fn first_and_last_mib(path: &Path) -> io::Result<SlideId> {
    const PART: u64 = 1 << 20;
    let mut file = untrusted::open(path)?;
    let size = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(size.to_le_bytes());
    for start in [0, size.saturating_sub(PART)] {
        hash.update(read(&mut file, start, PART)?);
    }
    Ok(SlideId(hex(&hash.finalize())))
}

/// The digest of one file.
fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = untrusted::open(path)?;
    let size = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(size.to_le_bytes());
    let structure = if size <= ALWAYS_WHOLE { None } else { tiff::structure(&mut file, size) };
    let tells_apart = structure.as_ref().is_some_and(|structure| structure.tells_apart);
    if size <= ALWAYS_WHOLE || (size <= MOST_WHOLE && !tells_apart) {
        hash.update(b"whole");
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut file.take(size), &mut Hashing(&mut hash))?;
        return Ok(hash.finalize().into());
    }
    let sampling = match &structure {
        Some(structure) if structure.tells_apart => FEW,
        Some(structure) if !structure.is_compressed => DENSE,
        Some(_) => SPREAD,
        None if read(&mut file, 0, 2)? == b"BM" => DENSE,
        None => SPREAD,
    };
    hash.update(sampling.word);
    if let Some(structure) = structure {
        hash.update(structure.digest);
    }
    for start in starts(size, sampling) {
        hash.update(read(&mut file, start, sampling.bytes)?);
    }
    Ok(hash.finalize().into())
}

/// Where the samples of a file of `size` bytes begin: the first at its start, the last one ends at its end.
fn starts(size: u64, sampling: Sampling) -> impl Iterator<Item = u64> {
    let last = u128::from(size.saturating_sub(sampling.bytes));
    let steps = sampling.samples.max(2) - 1;
    (0..=steps).map(move |step| (last * u128::from(step) / u128::from(steps)) as u64)
}

/// Up to `length` bytes from `start` on; fewer at the end of the file.
fn read(file: &mut (impl Read + Seek), start: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::with_capacity(length.min(1 << 20) as usize);
    file.by_ref().take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parsers of files from elsewhere.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let _ = tiff::structure(&mut io::Cursor::new(bytes), bytes.len() as u64);
    dicom::fuzz(bytes);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
