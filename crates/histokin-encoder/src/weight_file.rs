//! One file of weights, of which only the header is in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};

use super::EncoderError;
use super::file_digest::{self, Digested};
use super::stop;
use super::weights::{self, MOST_BYTES};
use histokin_core::untrusted;

/// Maximum size of a header, in bytes; published networks have less than 1 MiB.
const LARGEST_HEADER: u64 = 100 << 20;

/// Bytes that are read at a time where a whole file is read once.
const PIECE: usize = 1 << 20;

/// A file in safetensors format, or one of PyTorch that was converted to it.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    content: Content,
    header: Metadata,
    /// Where the numbers begin.
    data: usize,
}

#[derive(Debug)]
enum Content {
    /// Tensors are read when they are needed.
    Disk(File),
    /// A converted file.
    Memory(Vec<u8>),
}

impl WeightFile {
    /// Opens the file at `path` and reads its header.
    ///
    /// # Errors
    /// [`EncoderError::WeightsMissing`] if there is no such file; [`EncoderError::File`] if it cannot be read, is
    /// too large or incomplete; [`EncoderError::Unpickled`] if a file of PyTorch cannot be converted.
    pub fn open(path: &Path) -> Result<Self, EncoderError> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => EncoderError::WeightsMissing { path: path.to_owned() },
            _ => EncoderError::File { path: path.to_owned(), reason: error.to_string() },
        };
        let mut file = untrusted::open(path).map_err(failed)?;
        let mut start = Vec::new();
        (&mut file).take(16).read_to_end(&mut start).map_err(failed)?;
        if let Some(kind) = other_kind(&start) {
            return Err(EncoderError::File { path: path.to_owned(), reason: kind.to_owned() });
        }
        if weights::is_of_torch(path, &start) {
            let bytes = weights::read_bytes(path)?;
            let (length, header) = weights::header_and_length(path, &bytes)?;
            return Ok(Self {
                path: path.to_owned(),
                content: Content::Memory(bytes),
                header,
                data: 8 + length,
            });
        }
        let whole = file.metadata().map_err(failed)?.len();
        let (header, data) = read_header(&mut file, &start, whole)
            .map_err(|reason| EncoderError::File { path: path.to_owned(), reason })?;
        Ok(Self { path: path.to_owned(), content: Content::Disk(file), header, data })
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the header.
    pub fn header(&self) -> &Metadata {
        &self.header
    }

    /// Returns bytes of a tensor, whose range in the data the header tells.
    ///
    /// # Errors
    /// [`EncoderError::File`] if they cannot be read.
    pub fn bytes(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, EncoderError> {
        let range = self.data + range.start..self.data + range.end;
        match &self.content {
            Content::Memory(bytes) => Ok(Cow::Borrowed(&bytes[range])),
            Content::Disk(file) => {
                self.unless_stopped()?;
                let mut bytes = vec![0; range.len()];
                let mut file = file;
                let read =
                    file.seek(SeekFrom::Start(range.start as u64)).and_then(|_| file.read_exact(&mut bytes));
                read.map_err(|error| self.failed(&error))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Passes the content on in pieces, after its length in bytes.
    ///
    /// # Errors
    /// [`EncoderError::File`] if it cannot be read.
    pub fn pass_on(&self, mut to: impl FnMut(&[u8])) -> Result<(), EncoderError> {
        match &self.content {
            Content::Memory(bytes) => {
                to(&(bytes.len() as u64).to_le_bytes());
                to(bytes);
            }
            Content::Disk(file) => {
                let mut file = file;
                let length = (self.data + self.header.data_len()) as u64;
                to(&length.to_le_bytes());
                file.seek(SeekFrom::Start(0)).map_err(|error| self.failed(&error))?;
                let mut rest = file.take(length);
                let mut piece = vec![0; PIECE];
                loop {
                    self.unless_stopped()?;
                    match rest.read(&mut piece) {
                        Ok(0) if rest.limit() > 0 => {
                            return Err(self.failed(&io::Error::from(ErrorKind::UnexpectedEof)));
                        }
                        Ok(0) => break,
                        Ok(count) => to(&piece[..count]),
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(self.failed(&error)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the SHA-256 of the content after its length. Of a large file it is kept, so that the file is not
    /// read each time.
    ///
    /// # Errors
    /// [`EncoderError::File`] if the content cannot be read.
    pub fn digest(&self) -> Result<String, EncoderError> {
        file_digest::kept(&self.path, Digested::LengthAndContent, || {
            let mut hash = Sha256::new();
            self.pass_on(|piece| hash.update(piece))?;
            Ok(histokin_core::descriptors::hex(&hash.finalize()))
        })
    }

    /// Returns the SHA-256 of the file as it lies on the disk. Of a large file it is kept, too.
    ///
    /// # Errors
    /// [`EncoderError::File`] if it cannot be read.
    pub fn sha256(&self) -> Result<String, EncoderError> {
        file_digest::kept(&self.path, Digested::File, || {
            let mut hash = Sha256::new();
            let mut file = untrusted::open(&self.path).map_err(|error| self.failed(&error))?;
            let mut piece = vec![0; PIECE];
            loop {
                self.unless_stopped()?;
                match file.read(&mut piece) {
                    Ok(0) => break,
                    Ok(count) => hash.update(&piece[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.failed(&error)),
                }
            }
            Ok(histokin_core::descriptors::hex(&hash.finalize()))
        })
    }

    fn unless_stopped(&self) -> Result<(), EncoderError> {
        match stop::is_requested() {
            true => Err(EncoderError::Stopped { path: self.path.clone() }),
            false => Ok(()),
        }
    }

    fn failed(&self, error: &io::Error) -> EncoderError {
        EncoderError::File { path: self.path.clone(), reason: error.to_string() }
    }
}

/// Returns whether the file at `path` is of a kind that is often taken for weights and is none.
pub(super) fn is_other_kind(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = untrusted::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.is_ok() && other_kind(&start).is_some()
}

/// Returns what a file is, by its first 16 bytes, if it is one of those that are often taken for weights, and what to do.
fn other_kind(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 8] = [
        (
            b"version https://",
            "it is a Git LFS pointer and not the weights themselves; fetch those with `git lfs pull`, or download the file",
        ),
        (
            b"<!doctype html",
            "it is a web page, such as one that asks to log in or to agree to terms; download the file itself",
        ),
        (
            b"<html",
            "it is a web page, such as one that asks to log in or to agree to terms; download the file itself",
        ),
        (
            b"\x89hdf\r\n",
            "it is HDF5, as Keras saves networks; save its parameters with PyTorch or safetensors",
        ),
        (b"gguf", "it is GGUF, a format for language models"),
        (b"\x93numpy", "it is a NumPy array; save the network's parameters with PyTorch or safetensors"),
        (b"\x1f\x8b", "it is compressed; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "it is compressed; unpack it first"),
    ];
    // The header of safetensors, whose length comes first, may begin with any bytes.
    if start.get(8) == Some(&b'{') {
        return None;
    }
    let start = start.to_ascii_lowercase();
    KINDS.iter().find(|(first, _)| start.starts_with(first)).map(|(_, kind)| *kind)
}

/// Reads the header of a safetensors file of `whole` bytes that begins with `start`; returns it and where the
/// numbers begin.
fn read_header(file: &mut File, start: &[u8], whole: u64) -> Result<(Metadata, usize), String> {
    let damaged = |what: &str| format!("it is not a whole safetensors file ({what}); download it again");
    if whole > MOST_BYTES {
        return Err(format!("it is larger than {} GiB, the limit for files of this kind", MOST_BYTES >> 30));
    }
    let length = start.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    let length = length
        .filter(|length| *length <= LARGEST_HEADER && 8 + length <= whole)
        .ok_or_else(|| damaged("its header is cut off"))?;
    let mut bytes = vec![0; length as usize];
    file.seek(SeekFrom::Start(8))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|error| error.to_string())?;
    let header: Metadata = serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
    let expected = 8 + length + header.data_len() as u64;
    if expected != whole {
        return Err(damaged(&format!("it has {whole} bytes instead of {expected}")));
    }
    Ok((header, 8 + length as usize))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_is_often_taken_for_weights_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.safetensors", "a.pth", "a.bin"] {
            let path = folder.path().join(name);
            for (content, words) in [
                ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS"),
                ("<!DOCTYPE html>\n<html>", "web page"),
            ] {
                std::fs::write(&path, content).unwrap();
                let error = WeightFile::open(&path).unwrap_err().to_string();
                assert!(error.contains(words) && error.contains(name), "{error}");
            }
        }
    }

    #[test]
    fn reading_ends_when_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors =
            [("w", safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![3], b"abc").unwrap())];
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        let file = WeightFile::open(&path).unwrap();
        let wanted = [file.digest().unwrap(), file.sha256().unwrap()];
        let stop = Arc::new(AtomicBool::new(false));
        let read = || stop::reading_until(&stop, || [file.digest(), file.sha256()]);
        assert_eq!(read().map(Result::unwrap), wanted);
        stop.store(true, Ordering::Relaxed);
        for stopped in read() {
            assert!(matches!(stopped, Err(EncoderError::Stopped { path: of }) if of == path));
        }
        assert!(stop::reading_until(&stop, || file.bytes(0..3).is_err()));
        assert_eq!(file.digest().unwrap(), wanted[0], "only what was to be stopped is");
    }
}
