//! Reading of untrusted input within limits.
//!
//! Reading from a pipe or a device may never end, so only regular files are opened. A compressed file of a
//! few kilobytes may expand to terabytes, so the amount that is decompressed is limited in proportion to its
//! size.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::platform;

/// Largest compression ratio that is accepted. Deflate can reach 1032; real annotation files reach 30.
const MAX_RATIO: u64 = 100;

/// Decompressed bytes that are accepted from a file of any size.
const MIN_UNPACKED: u64 = 64 << 20;

/// Upper limit of decompressed bytes for files of any size.
const MAX_UNPACKED: u64 = 2 << 30;

/// Opens a regular file for reading, without blocking on pipes.
///
/// # Errors
/// Returns the error of the system, or [`io::ErrorKind::InvalidInput`] if it is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    platform::open_without_waiting(&mut options);
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let what = if kind.is_dir() { "it is a folder" } else { "it is a pipe or a device" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{what}, not a file")))
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// Fails as [`open`] does, or if the file is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_while(path, limit, &|| true)
}

/// Reads a file of at most `limit` bytes, as long as `go_on` returns true when it is asked, which is before every few
/// megabytes.
///
/// # Errors
/// Fails as [`read`] does, or with [`io::ErrorKind::Interrupted`] once `go_on` has returned false.
pub fn read_while(path: &Path, limit: u64, go_on: &dyn Fn() -> bool) -> io::Result<Vec<u8>> {
    const AT_A_TIME: u64 = 16 << 20;
    let mut file = open(path)?;
    let expected = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(expected.min(limit) as usize);
    // The file may grow while it is read.
    let most = limit.saturating_add(1);
    loop {
        if !go_on() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "reading it was stopped"));
        }
        let left = most - bytes.len() as u64;
        if file.by_ref().take(left.min(AT_A_TIME)).read_to_end(&mut bytes)? == 0 {
            break;
        }
    }
    if bytes.len() as u64 > limit {
        return Err(too_large(format!(
            "it is larger than {}, the limit for files of this kind",
            size(limit)
        )));
    }
    Ok(bytes)
}

/// Reads a UTF-8 text file of at most `limit` bytes.
///
/// # Errors
/// Fails as [`read`] does, or if the content is not valid UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Returns the number of bytes to which a compressed file of `packed` bytes may expand, all its parts
/// together.
pub fn max_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).clamp(MIN_UNPACKED, MAX_UNPACKED)
}

/// Decompresses `packed` completely and subtracts the result's size from `left`, the number of bytes to which
/// its file may still expand.
///
/// # Errors
/// Fails if the data is damaged or exceeds the limit.
pub fn unpack(packed: impl Read, left: &mut u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    packed.take(left.saturating_add(1)).read_to_end(&mut bytes)?;
    match left.checked_sub(bytes.len() as u64) {
        Some(rest) => *left = rest,
        None => {
            return Err(too_large(
                "it expands to far more data than plausible; unpack it yourself if you trust it".to_owned(),
            ));
        }
    }
    Ok(bytes)
}

/// Makes an error for input beyond a limit.
fn too_large(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, reason)
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_expected_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "twelve bytes").unwrap();
        assert_eq!(read_text(&path, 12).unwrap(), "twelve bytes");
        assert_eq!(read(&path, 11).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(read_text(&path, 12).unwrap_err().to_string().contains("UTF-8"));
        assert!(read(folder.path(), 12).unwrap_err().to_string().contains("a folder"));
        let stopped = read_while(&path, 12, &|| false).unwrap_err();
        assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
        assert_eq!(read(&folder.path().join("none"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(read(&pipe, 12).unwrap_err().to_string().contains("a pipe"));
        assert!(read(Path::new("/dev/zero"), 12).unwrap_err().to_string().contains("a device"));
    }

    #[test]
    fn parts_share_what_may_be_unpacked() {
        let mut left = 10;
        assert_eq!(unpack(&[1_u8; 6][..], &mut left).unwrap().len(), 6);
        assert_eq!(left, 4);
        assert!(unpack(&[1_u8; 5][..], &mut left).is_err());
        assert_eq!(max_unpacked(0), MIN_UNPACKED);
        assert_eq!(max_unpacked(10 << 20), 1000 << 20);
        assert_eq!(max_unpacked(u64::MAX), MAX_UNPACKED);
    }
}
