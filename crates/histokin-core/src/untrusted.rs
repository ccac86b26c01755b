//! Reading files that may come from anywhere.
//!
//! A pipe never ends and a device never fills, so that only ordinary files are opened; and a packed file of a
//! few kilobytes may unfold into terabytes, so that no more is unpacked than its own size makes believable.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Most bytes that a byte of a packed file may become. Deflate reaches 1032; what people write reaches 30.
const MOST_FOLD: u64 = 100;

/// Bytes that may be unpacked from however small a file.
const ALWAYS_ALLOWED: u64 = 64 << 20;

/// Bytes that are unpacked from no file, however large.
const NEVER_ALLOWED: u64 = 2 << 30;

/// Open a file for reading, never waiting for anybody at the other end.
///
/// # Errors
/// Those of the system, and [`io::ErrorKind::InvalidInput`] for whatever is no ordinary file.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Without this, opening a pipe waits until somebody writes into it. Ordinary files do not notice.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let what = if kind.is_dir() { "it is a folder" } else { "it is a pipe or a device" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{what}, not a file")))
}

/// The bytes of a file that has at most `most` of them.
///
/// # Errors
/// As [`open`], and when the file is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let expected = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(expected.min(most) as usize);
    // A file may grow while it is read.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(too_large(format!("it has more than {}, which no file of this kind has", size(most))));
    }
    Ok(bytes)
}

/// The text of a file that has at most `most` bytes.
///
/// # Errors
/// As [`read`], and when it is no text in UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// How many bytes a packed file of `packed` bytes may unfold into, all its parts together.
pub fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MOST_FOLD).clamp(ALWAYS_ALLOWED, NEVER_ALLOWED)
}

/// Unpack `packed` to its end and take what it was from `left`, the bytes that its file may still unfold into.
///
/// # Errors
/// When it is damaged, or unfolds into more.
pub fn unpack(packed: impl Read, left: &mut u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    packed.take(left.saturating_add(1)).read_to_end(&mut bytes)?;
    match left.checked_sub(bytes.len() as u64) {
        Some(rest) => *left = rest,
        None => {
            return Err(too_large(
                "it unfolds into far more than such a file can mean; unpack it yourself if it is sound"
                    .to_owned(),
            ));
        }
    }
    Ok(bytes)
}

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
        assert_eq!(most_unpacked(0), ALWAYS_ALLOWED);
        assert_eq!(most_unpacked(10 << 20), 1000 << 20);
        assert_eq!(most_unpacked(u64::MAX), NEVER_ALLOWED);
    }
}
