//! One window for all slides: a program that is started with files while a window is open hands them to it.
//!
//! The window listens on a local socket that only its user can reach. What is handed over is a list of absolute
//! paths, each ended by a NUL byte; the window answers with [`ACCEPTED`] and opens them as if they were dropped
//! on it. Where there are no such sockets, every start opens a window of its own.

use std::path::PathBuf;

#[cfg(unix)]
pub use unix::{Listener, hand_over};
#[cfg(not(unix))]
pub use without::{Listener, hand_over};

/// Most bytes that are read from a program that hands over paths.
#[cfg(unix)]
const MOST_BYTES: u64 = 1 << 20;
/// The answer of a window that opens the paths.
#[cfg(unix)]
const ACCEPTED: &[u8] = b"histokin 1\n";

/// Where the window of this user and display listens; `None` where there is no folder for it.
pub fn address() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin")?;
    // Each display and each folder of user data has its own window.
    let of = |variable| std::env::var_os(variable).unwrap_or_default();
    let parts = [folders.data_dir().as_os_str().to_owned(), of("DISPLAY"), of("WAYLAND_DISPLAY")];
    let key = crc32(&parts.map(|part| part.to_string_lossy().into_owned()).join("\n"));
    let folder =
        folders.runtime_dir().map_or_else(|| folders.data_dir().to_owned(), std::path::Path::to_owned);
    Some(folder.join(format!("window-{key:08x}.socket")))
}

/// CRC-32 (IEEE 802.3) of a text, bit by bit: it is short.
fn crc32(text: &str) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !text.bytes().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io::{self, Read, Write};
    use std::net::Shutdown;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use crossbeam_channel::{Receiver, Sender, bounded};

    use super::{ACCEPTED, MOST_BYTES};

    /// How long to wait for the other program before it counts as hanging.
    const TIMEOUT: Duration = Duration::from_secs(5);
    /// Number of lists of paths that can wait for the window.
    const WAITING: usize = 16;

    /// Hands paths to the window that listens at `address`. Returns whether there is one that opens them; an
    /// empty list brings it to the front.
    pub fn hand_over(address: &Path, paths: &[PathBuf]) -> bool {
        let attempt = || -> io::Result<bool> {
            let mut window = UnixStream::connect(address)?;
            window.set_read_timeout(Some(TIMEOUT))?;
            window.set_write_timeout(Some(TIMEOUT))?;
            for path in paths {
                window.write_all(std::path::absolute(path)?.as_os_str().as_bytes())?;
                window.write_all(&[0])?;
            }
            window.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            window.take(ACCEPTED.len() as u64).read_to_end(&mut answer)?;
            Ok(answer == ACCEPTED)
        };
        attempt().unwrap_or_else(|error| {
            tracing::debug!(%error, "no window takes the paths");
            false
        })
    }

    /// The socket of this window. Dropping it removes the socket; its thread ends with the program.
    pub struct Listener {
        received: Receiver<Vec<PathBuf>>,
        address: PathBuf,
        /// Identity of the socket's file.
        inode: Option<u64>,
    }

    impl Listener {
        /// Listens at `address`, unless another window does; `wake` is called for each list of paths.
        ///
        /// # Errors
        /// If another window listens there, or the socket cannot be made.
        pub fn start(address: &Path, wake: Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
            if let Some(folder) = address.parent() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let listener = match UnixListener::bind(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    if UnixStream::connect(address).is_ok() {
                        return Err(error);
                    }
                    // Left by a window that crashed.
                    std::fs::remove_file(address)?;
                    UnixListener::bind(address)?
                }
                other => other?,
            };
            let inode = std::fs::metadata(address).ok().map(|socket| socket.ino());
            let (sender, received) = bounded(WAITING);
            std::thread::Builder::new().name("single-instance".into()).spawn(move || {
                for stream in listener.incoming() {
                    let taken = stream.and_then(|stream| take(stream, &sender));
                    match taken {
                        Ok(true) => wake(),
                        Ok(false) => return,
                        Err(error) => tracing::warn!(%error, "another start could not hand over its files"),
                    }
                }
            })?;
            Ok(Self { received, address: address.to_owned(), inode })
        }

        /// Returns the paths that another start has handed over, once; an empty list asks for the window.
        pub fn take(&self) -> Option<Vec<PathBuf>> {
            self.received.try_recv().ok()
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            // A window that was started after this one was thought dead keeps its socket.
            let inode = std::fs::metadata(&self.address).ok().map(|socket| socket.ino());
            if inode.is_some() && inode == self.inode {
                let _ = std::fs::remove_file(&self.address);
            }
        }
    }

    /// Reads the paths of one start and answers it. Returns `false` when the window is gone.
    fn take(mut stream: UnixStream, sender: &Sender<Vec<PathBuf>>) -> io::Result<bool> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut bytes = Vec::new();
        (&stream).take(MOST_BYTES).read_to_end(&mut bytes)?;
        let paths = bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        let paths = paths.map(|path| PathBuf::from(OsStr::from_bytes(path)));
        // Only whole paths, so that nothing depends on the folder in which the window was started.
        let paths: Vec<PathBuf> = paths.filter(|path| path.is_absolute()).collect();
        if sender.send(paths).is_err() {
            return Ok(false);
        }
        // Whoever asked may be gone; the paths are taken all the same.
        let _ = stream.write_all(ACCEPTED);
        Ok(true)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn start(address: &Path) -> io::Result<Listener> {
            Listener::start(address, Arc::new(|| {}))
        }

        #[test]
        fn a_second_start_hands_its_files_to_the_first_window() {
            let folder = tempfile::tempdir().unwrap();
            let address = folder.path().join("runtime/window.socket");
            let files =
                [PathBuf::from("/slides/a b.svs"), PathBuf::from(OsStr::from_bytes(b"/slides/\xff.svs"))];
            assert!(!hand_over(&address, &files), "no window is open");
            let window = start(&address).unwrap();
            assert!(hand_over(&address, &files));
            assert_eq!(window.take().as_deref(), Some(&files[..]));
            assert!(hand_over(&address, &[PathBuf::from("relative.svs")]));
            assert_eq!(window.take(), Some(vec![std::path::absolute("relative.svs").unwrap()]));
            assert!(hand_over(&address, &[]));
            assert_eq!((window.take(), window.take()), (Some(Vec::new()), None));
            assert!(start(&address).is_err(), "there is one window for each address");
            drop(window);
            assert!(!address.exists() && !hand_over(&address, &files));
        }

        #[test]
        fn the_socket_of_a_window_that_crashed_is_replaced() {
            let folder = tempfile::tempdir().unwrap();
            let address = folder.path().join("window.socket");
            drop(UnixListener::bind(&address).unwrap());
            assert!(address.exists());
            let window = start(&address).unwrap();
            assert!(hand_over(&address, &[PathBuf::from("/a.svs")]));
            assert_eq!(window.take(), Some(vec![PathBuf::from("/a.svs")]));
        }

        #[test]
        fn what_is_no_list_of_paths_opens_nothing() {
            let folder = tempfile::tempdir().unwrap();
            let address = folder.path().join("window.socket");
            let window = start(&address).unwrap();
            let mut other = UnixStream::connect(&address).unwrap();
            other.write_all(b"../up\0\0\0relative").unwrap();
            other.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            other.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, ACCEPTED);
            assert_eq!(window.take(), Some(Vec::new()));
        }
    }
}

#[cfg(not(unix))]
mod without {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    /// There is never another window.
    pub fn hand_over(_address: &Path, _paths: &[PathBuf]) -> bool {
        false
    }

    /// Nothing is ever handed over.
    pub struct Listener;

    impl Listener {
        /// Succeeds without listening.
        ///
        /// # Errors
        /// Never.
        pub fn start(_address: &Path, _wake: Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns nothing.
        pub fn take(&self) -> Option<Vec<PathBuf>> {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32("123456789"), 0xCBF4_3926);
    }
}
