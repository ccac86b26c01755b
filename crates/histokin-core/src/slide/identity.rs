//! Slide IDs: hashes of the content of slides.
//!
//! Two files have the same [`SlideId`] if they are copies of each other, wherever they are stored and
//! whatever their names. The ID depends on bytes only: not on paths, times, the reader that decodes the slide
//! or the process in which that happens. [`VERSION`] identifies the definition; changing the definition
//! requires a new version, and the IDs of the old one have to be added to [`former`].
//!
//! # Definition
//!
//! `id = hex(SHA-256(VERSION ‖ number of parts ‖ digest of each part))`. Numbers are 64 bits, little-endian.
//!
//! The parts of a slide are its file, or for formats with several files:
//! - MIRAX: the `.mrxs` file, then `Slidedat.ini`, the index and the data files it names, in that order;
//! - Hamamatsu VMS and VMU: the text file, then the files it names, in that order;
//! - OME-TIFF of several files: the first file that its description names, so that every file gives the same slide ID;
//! - DICOM: the instances of the same series in the same folder with the most pixels, by `SOPInstanceUID`, so
//!   that every instance of a series gives the same slide ID.
//!
//! The digest of a part is the SHA-256 of its size and of
//! - all bytes, for files of up to [`ALWAYS_WHOLE`];
//! - the TIFF structure (every directory and every value outside of it, hence offset and length of every tile
//!   or strip of all levels, and all metadata) and [`FEW`] samples, for larger TIFF files whose tiles differ
//!   in length, as compressed ones do;
//! - all bytes, for other files of up to [`MAX_WHOLE`];
//! - the TIFF structure, if there is one, and [`SPREAD`] samples, or [`DENSE`] where pixels are not
//!   compressed.
//!
//! A keyword for the applied rule is included in the hash. Samples are evenly spaced from the first to the
//! last byte, both included. About 64 MiB are read at most, in a bounded number of reads.

mod dicom;
mod parts;
mod tiff;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::SlideId;
use crate::untrusted;

pub(super) use parts::companions;

/// Identifies the definition above.
const VERSION: &[u8] = b"histokin slide identity 2\n";

/// Size in bytes up to which every file is hashed as a whole.
const ALWAYS_WHOLE: u64 = 16 << 20;

/// Size in bytes up to which a file is hashed as a whole if its structure does not distinguish it from
/// others.
const MAX_WHOLE: u64 = 64 << 20;

/// The samples that are read of a large file.
#[derive(Debug, Clone, Copy)]
struct Sampling {
    /// Keyword that is included in the hash.
    word: &'static [u8],
    /// Number of samples.
    samples: u64,
    /// Bytes per sample.
    bytes: u64,
}

/// For files whose structure distinguishes them from others.
const FEW: Sampling = Sampling { word: b"few", samples: 64, bytes: 16 << 10 };

/// For files with compressed content, where any difference changes most of what follows.
const SPREAD: Sampling = Sampling { word: b"spread", samples: 256, bytes: 16 << 10 };

/// For files with uncompressed pixels.
const DENSE: Sampling = Sampling { word: b"dense", samples: 1024, bytes: 4 << 10 };

/// Computes the ID of the slide at `path`.
///
/// # Errors
/// Errors in reading the file itself. A companion file that cannot be read counts as missing, which gives a
/// different ID.
pub fn of(path: &Path) -> io::Result<SlideId> {
    let parts = parts::of(path)?;
    let mut hash = Sha256::new();
    hash.update(VERSION);
    hash.update((parts.len() as u64).to_le_bytes());
    for (index, part) in parts.iter().enumerate() {
        match digest(part) {
            Ok(digest) => hash.update(digest),
            Err(error) if index == 0 => return Err(error),
            Err(_) => hash.update(b"missing"),
        }
    }
    Ok(SlideId(hex(&hash.finalize())))
}

/// Returns the IDs that earlier versions of the program gave the slide at `path`: OpenSlide's `quickhash-1`,
/// which covers the smallest level and a few properties, where OpenSlide can read the file; otherwise the
/// SHA-256 of the size and of the first and last MiB of the file. Different slides may share one.
///
/// # Errors
/// Errors in reading the file.
pub(super) fn former(path: &Path, properties: &BTreeMap<String, String>) -> io::Result<Vec<SlideId>> {
    let quickhash = match properties.get(super::openslide::QUICKHASH) {
        Some(hash) => Some(SlideId(hash.clone())),
        // The slide may now be opened by another reader, although OpenSlide recognises it.
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

/// Computes the digest of one file.
fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = untrusted::open(path)?;
    let size = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(size.to_le_bytes());
    let structure = if size <= ALWAYS_WHOLE { None } else { tiff::structure(&mut file, size) };
    let identifies_slide = structure.as_ref().is_some_and(|structure| structure.identifies_slide);
    if size <= ALWAYS_WHOLE || (size <= MAX_WHOLE && !identifies_slide) {
        hash.update(b"whole");
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut file.take(size), &mut Hashing(&mut hash))?;
        return Ok(hash.finalize().into());
    }
    let sampling = match &structure {
        Some(structure) if structure.identifies_slide => FEW,
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

/// Returns the starts of the samples in a file of `size` bytes: the first sample begins at the start of the
/// file, the last one ends at its end.
fn starts(size: u64, sampling: Sampling) -> impl Iterator<Item = u64> {
    let last = u128::from(size.saturating_sub(sampling.bytes));
    let steps = sampling.samples.max(2) - 1;
    (0..=steps).map(move |step| (last * u128::from(step) / u128::from(steps)) as u64)
}

/// Reads up to `length` bytes from `start`; fewer at the end of the file.
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

/// Runs the parser of untrusted files on `bytes`, for fuzzing.
#[cfg(feature = "test-support")]
pub fn fuzz(bytes: &[u8]) {
    let _ = tiff::structure(&mut io::Cursor::new(bytes), bytes.len() as u64);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
