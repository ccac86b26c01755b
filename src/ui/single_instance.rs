//! One window for all slides: a program that is started with files while a window is open hands them to it.
//!
//! The window listens on a local socket that only its user can reach. What is handed over is a list of absolute
//! paths, each ended by a NUL byte; an empty path ends the list. The window answers with [`ACCEPTED`] in the frame
//! in which it takes them, and opens them as if they were dropped on it: a window that hangs or is closing answers
//! nothing, and the later start opens a window of its own. Whoever has closed the connection, or its half, does not
//! wait for the answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::platform::{self, LocalAddress, LocalStream, path_of_bytes};

/// Most bytes that are read from a program that hands over paths.
const MOST_BYTES: u64 = 1 << 20;
/// The answer of a window that opens the paths.
const ACCEPTED: &[u8] = b"histokin 2\n";
/// How long to wait for the other program before it counts as hanging; longer than a slow first frame.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Number of starts that can wait for the window.
const WAITING: usize = 16;

/// Where the window of this user and display listens; `None` where there is no folder for it.
pub fn address() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin")?;
    // Each display, each folder of user data and each form of the exchange has its own window.
    let of = |variable| std::env::var_os(variable).unwrap_or_default();
    let mut key = DefaultHasher::new();
    (folders.data_dir(), of("DISPLAY"), of("WAYLAND_DISPLAY"), ACCEPTED).hash(&mut key);
    let folder = folders.runtime_dir().unwrap_or_else(|| folders.data_local_dir());
    Some(folder.join(format!("window-{:016x}.socket", key.finish())))
}

/// Paths that another start hands over, and the connection on which it waits for the answer.
struct Offer {
    paths: Vec<PathBuf>,
    from: LocalStream,
}

/// Hands paths to the window that listens at `address`. Returns whether there is one that opens them; an
/// empty list brings it to the front.
pub fn hand_over(address: &Path, paths: &[PathBuf]) -> bool {
    hand_over_within(TIMEOUT, address, paths)
}

fn hand_over_within(timeout: Duration, address: &Path, paths: &[PathBuf]) -> bool {
    let attempt = || -> io::Result<bool> {
        let mut window = platform::connect_local(address)?;
        window.set_read_timeout(Some(timeout))?;
        window.set_write_timeout(Some(timeout))?;
        for path in paths {
            window.write_all(std::path::absolute(path)?.as_os_str().as_encoded_bytes())?;
            window.write_all(&[0])?;
        }
        window.write_all(&[0])?;
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
    received: Receiver<Offer>,
    /// Removes the socket when it is dropped.
    _address: LocalAddress,
}

impl Listener {
    /// Listens at `address`, unless another window does; `wake` is called when there is something to take.
    ///
    /// # Errors
    /// If another window listens there, or the socket cannot be made.
    pub fn start(address: &Path, wake: Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let (listener, address) = platform::listen_locally(address)?;
        let (sender, received) = bounded(WAITING);
        std::thread::Builder::new().name("single-instance".into()).spawn(move || {
            loop {
                let received = listener.accept().and_then(|stream| receive(stream, &sender));
                match received {
                    Ok(true) => wake(),
                    Ok(false) => return,
                    Err(error) => tracing::warn!(%error, "another start could not hand over its files"),
                }
            }
        })?;
        Ok(Self { received, _address: address })
    }

    /// Returns the paths that another start hands over, once, and tells it so; an empty list asks for the
    /// window.
    pub fn take(&self) -> Option<Vec<PathBuf>> {
        loop {
            let Offer { paths, from } = self.received.try_recv().ok()?;
            match accept(from) {
                Ok(()) => return Some(paths),
                // It has given up, and opened a window of its own.
                Err(error) => tracing::debug!(%error, "another start did not wait for the window"),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Closes the connections of starts that wait: they open windows of their own.
        while self.received.try_recv().is_ok() {}
    }
}

/// Tells another start that the window opens its paths.
///
/// # Errors
/// If it does not wait for that any more.
fn accept(mut from: LocalStream) -> io::Result<()> {
    // Writing alone does not tell: over TCP it succeeds although the other end is closed.
    from.set_nonblocking(true)?;
    match from.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        outcome => return outcome.and(Err(ErrorKind::ConnectionAborted.into())),
    }
    from.set_nonblocking(false)?;
    from.write_all(ACCEPTED)
}

/// Reads the paths of one start, for the window to take. Returns `false` when the window is gone.
fn receive(stream: LocalStream, sender: &Sender<Offer>) -> io::Result<bool> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut list = BufReader::new((&stream).take(MOST_BYTES));
    let mut paths = Vec::new();
    loop {
        let mut path = Vec::new();
        list.read_until(0, &mut path)?;
        if path.pop() != Some(0) {
            return Err(io::Error::other("the list of files is too long or incomplete"));
        }
        if path.is_empty() {
            break;
        }
        // Only whole paths, so that nothing depends on the folder in which the window was started.
        paths.extend(path_of_bytes(path).filter(|path| path.is_absolute()));
    }
    // A window that takes nothing is not waited for: the connection closes, and the start goes on by itself.
    Ok(!matches!(sender.try_send(Offer { paths, from: stream }), Err(TrySendError::Disconnected(_))))
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    fn whole(path: &str) -> PathBuf {
        std::path::absolute(path).unwrap()
    }

    fn start(address: &Path) -> io::Result<Listener> {
        Listener::start(address, Arc::new(|| {}))
    }

    /// Starts a window, and returns what tells when it was woken.
    fn woken(address: &Path) -> (Listener, Receiver<()>) {
        let (woken, wakes) = bounded(8);
        let wake = move || woken.send(()).unwrap();
        (Listener::start(address, Arc::new(wake)).unwrap(), wakes)
    }

    /// Hands over from another thread while this one is the window: whether it was answered, and what was
    /// taken.
    fn handed(window: &Listener, address: &Path, paths: &[PathBuf]) -> (bool, Option<Vec<PathBuf>>) {
        std::thread::scope(|scope| {
            let later_start = scope.spawn(|| hand_over(address, paths));
            let taken = loop {
                let is_over = later_start.is_finished();
                let taken = window.take();
                if taken.is_some() || is_over {
                    break taken;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            (later_start.join().unwrap(), taken)
        })
    }

    #[test]
    fn a_second_start_hands_its_files_to_the_first_window() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("runtime/window.socket");
        let odd = path_of_bytes(b"\xff.svs".to_vec()).unwrap();
        let files = [whole("a b.svs"), whole("slides").join(odd)];
        assert!(!hand_over(&address, &files), "no window is open");
        let window = start(&address).unwrap();
        assert_eq!(handed(&window, &address, &files), (true, Some(files.to_vec())));
        let relative = [PathBuf::from("relative.svs")];
        assert_eq!(handed(&window, &address, &relative), (true, Some(vec![whole("relative.svs")])));
        assert_eq!(handed(&window, &address, &[]), (true, Some(Vec::new())));
        assert_eq!(window.take(), None, "each is taken once");
        drop(window);
        assert!(!address.exists() && !hand_over(&address, &files));
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("window.socket");
        let (window, wakes) = woken(&address);
        let files = [whole("a.svs")];
        // The window hangs: the later start opens its own, and this one does not open the file once more.
        assert!(!hand_over_within(Duration::from_millis(50), &address, &files));
        wakes.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(window.take(), None);
        // Another window that only looks whether there is one does not bring this one to the front.
        assert!(start(&address).is_err(), "there is one window for each address");
        assert!(!hand_over_within(Duration::from_millis(50), &address, &files));
        wakes.recv_timeout(TIMEOUT).unwrap();
        assert_eq!((window.take(), wakes.try_recv().ok()), (None, None), "only the files woke it");
    }

    #[test]
    fn a_start_that_does_not_wait_for_the_answer_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("window.socket");
        let (window, wakes) = woken(&address);
        let mut list = whole("a.svs").as_os_str().as_encoded_bytes().to_vec();
        list.push(0);
        let offer = |list: &[u8]| {
            let mut stream = platform::connect_local(&address).unwrap();
            stream.write_all(list).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream
        };
        let answer_to = |mut stream: LocalStream| {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).map(|_| answer)
        };
        assert_eq!(answer_to(offer(&list)).unwrap(), b"", "the list breaks off");
        assert_eq!((window.take(), wakes.try_recv().ok()), (None, None));
        // What the window writes to a connection that is closed on the other side alone does not fail.
        list.push(0);
        let stream = offer(&list);
        wakes.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(window.take(), None);
        assert_eq!(answer_to(stream).unwrap(), b"");
    }

    #[test]
    fn a_window_that_takes_nothing_or_closes_does_not_hold_up_later_starts() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("window.socket");
        let window = start(&address).unwrap();
        let waiting: Vec<LocalStream> = (0..=WAITING)
            .map(|_| {
                let mut stream = platform::connect_local(&address).unwrap();
                stream.write_all(&[0]).unwrap();
                stream
            })
            .collect();
        let read = |mut stream: &LocalStream| {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).map(|_| answer)
        };
        assert_eq!(read(&waiting[WAITING]).unwrap(), b"", "there are too many");
        drop(window);
        assert!(waiting[..WAITING].iter().all(|stream| read(stream).is_ok_and(|answer| answer.is_empty())));
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("window.socket");
        let window = start(&address).unwrap();
        let long = vec![whole(&"a".repeat(4000)); 300];
        assert_eq!(handed(&window, &address, &long), (false, None));
    }

    #[test]
    fn the_socket_of_a_window_that_crashed_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("window.socket");
        let (listener, file) = platform::listen_locally(&address).unwrap();
        drop(listener);
        std::mem::forget(file);
        assert!(address.exists());
        let window = start(&address).unwrap();
        let files = [whole("a.svs")];
        assert_eq!(handed(&window, &address, &files), (true, Some(files.to_vec())));
    }

    #[test]
    fn what_is_no_list_of_paths_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("window.socket");
        let (window, wakes) = woken(&address);
        let mut other = platform::connect_local(&address).unwrap();
        other.write_all(b"../up\0relative\0\0").unwrap();
        wakes.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(window.take(), Some(Vec::new()));
        let mut answer = Vec::new();
        other.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, ACCEPTED);
    }
}
