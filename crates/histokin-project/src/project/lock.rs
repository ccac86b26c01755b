//! Who may write in a project: one program at a time, which says so in the file `project.lock`.
//!
//! The file is locked by the system, which lets go of it when a program ends, however it ends. Some network
//! drives do not tell other computers of such locks; therefore the holder also notes its name in the file, and
//! touches it every minute while it works. What it has not touched for ten minutes is stale.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use serde::{Deserialize, Serialize};

/// Name of the file.
pub const LOCK_FILE: &str = "project.lock";

/// How often a holder shows that it is alive.
const BEAT: Duration = Duration::from_secs(60);

/// A holder on another computer that has shown nothing for so long is gone. Clocks may differ by minutes.
const STALE_AFTER: Duration = Duration::from_secs(600);

/// Who works in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub user: String,
    /// Name of the computer.
    pub host: String,
    pub pid: u32,
    /// Seconds since 1970 when it began.
    pub since: u64,
}

impl Holder {
    fn here() -> Self {
        let named = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok());
        Self {
            user: named(&["USER", "LOGNAME", "USERNAME"]).unwrap_or_else(|| "somebody".to_owned()),
            host: host_name(),
            pid: std::process::id(),
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        write!(f, "by {} on {} (process {}), ", self.user, self.host, self.pid)?;
        match now.saturating_sub(self.since) / 60 {
            0 => f.write_str("since less than a minute"),
            1 => f.write_str("for a minute"),
            minutes @ 2..120 => write!(f, "for {minutes} minutes"),
            minutes @ 120..2880 => write!(f, "for {} hours", minutes / 60),
            minutes => write!(f, "for {} days", minutes / 1440),
        }
    }
}

/// The right to write in a project, for as long as this lives.
#[derive(Debug)]
pub struct ProjectLock {
    file: File,
    /// Who had it before and ended without giving it back.
    pub left_by: Option<Holder>,
    /// The thread that shows that the holder is alive ends when this is dropped.
    _alive: Sender<()>,
}

/// Why a project was not locked.
#[derive(Debug)]
pub enum LockError {
    Held(Option<Holder>),
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The locks of this process, by the project's folder: it may open a project again.
static HELD: LazyLock<Mutex<HashMap<PathBuf, Weak<ProjectLock>>>> = LazyLock::new(Mutex::default);

impl ProjectLock {
    /// Lock the project in `root`, an absolute path; or share the lock that this process has.
    ///
    /// # Errors
    /// [`LockError::Held`] with whoever has it, as far as that is known; [`LockError::Io`] when the file cannot
    /// be written.
    pub fn acquire(root: &Path) -> Result<Arc<Self>, LockError> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = held.get(root).and_then(Weak::upgrade) {
            return Ok(lock);
        }
        let lock = Arc::new(Self::take(&root.join(LOCK_FILE), &Holder::here())?);
        held.insert(root.to_owned(), Arc::downgrade(&lock));
        Ok(lock)
    }

    fn take(path: &Path, holder: &Holder) -> Result<Self, LockError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let locked = file.try_lock();
        let found = read(&mut file);
        match locked {
            Ok(()) => {
                // The system's lock may not reach as far as the drive does.
                if let Some(other) = &found
                    && other.host != holder.host
                    && !is_stale(&file)
                {
                    return Err(LockError::Held(found));
                }
            }
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(found)),
            Err(TryLockError::Error(error)) => {
                tracing::debug!("{}: this drive knows no locks: {error}", path.display());
                if let Some(other) = &found
                    && other.pid != holder.pid
                    && !is_stale(&file)
                {
                    return Err(LockError::Held(found));
                }
            }
        }
        match sign(&mut file, holder) {
            Ok(()) => {}
            // Without the name, but with the system's lock: whoever works on a full disk may still make room.
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                tracing::warn!("{}: {error}", path.display());
            }
            Err(error) => return Err(error.into()),
        }
        let alive = show_alive(file.try_clone()?)?;
        Ok(Self { file, left_by: found, _alive: alive })
    }
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        // An empty file is nobody's. It stays: whoever waits for its lock must find this very file.
        if let Err(error) = self.file.set_len(0).and_then(|()| self.file.unlock()) {
            tracing::warn!("the project's lock was not given back: {error}");
        }
    }
}

fn sign(file: &mut File, holder: &Holder) -> io::Result<()> {
    let text = toml::to_string(holder).map_err(io::Error::other)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    // No holder writes as much as that.
    Read::take(&mut *file, 4096).read_to_string(&mut text).ok()?;
    toml::from_str(&text).ok()
}

fn is_stale(file: &File) -> bool {
    let touched = file.metadata().and_then(|metadata| metadata.modified());
    touched.is_ok_and(|touched| touched.elapsed().is_ok_and(|age| age > STALE_AFTER))
}

/// Touch the file every minute until the sender is dropped.
fn show_alive(file: File) -> io::Result<Sender<()>> {
    let (alive, ended) = bounded::<()>(0);
    std::thread::Builder::new().name("project-lock".to_owned()).spawn(move || {
        while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            if let Err(error) = file.set_modified(SystemTime::now()) {
                tracing::warn!("the project's lock cannot be kept fresh: {error}");
            }
        }
    })?;
    Ok(alive)
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "only the C library knows the name of the host")]
fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is ours and its length is passed; one byte of it stays zero and ends the name.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    if failed || end == 0 {
        return "this computer".to_owned();
    }
    String::from_utf8_lossy(&name[..end]).into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "this computer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(host: &str, pid: u32) -> Holder {
        Holder { user: "anna".to_owned(), host: host.to_owned(), pid, since: 1000 }
    }

    #[test]
    fn one_at_a_time_and_the_second_learns_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        let (anna, other) = (holder("ward", 1), holder("ward", 2));
        let lock = ProjectLock::take(&path, &anna).unwrap();
        let Err(LockError::Held(Some(found))) = ProjectLock::take(&path, &other) else { panic!("locked") };
        assert_eq!(found, anna);
        drop(lock);
        assert_eq!(ProjectLock::take(&path, &other).unwrap().left_by, None);
    }

    /// A crash leaves the name but not the system's lock.
    #[test]
    fn what_a_crashed_program_left_is_taken_over_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        let anna = holder("ward", 1);
        std::fs::write(&path, toml::to_string(&anna).unwrap()).unwrap();
        let lock = ProjectLock::take(&path, &holder("ward", 2)).unwrap();
        assert_eq!(lock.left_by, Some(anna));
        drop(lock);
        std::fs::write(&path, "half a na").unwrap();
        assert!(ProjectLock::take(&path, &holder("ward", 2)).is_ok());
    }

    #[test]
    fn another_computer_keeps_its_lock_while_it_touches_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        std::fs::write(&path, toml::to_string(&holder("elsewhere", 1)).unwrap()).unwrap();
        let here = holder("ward", 2);
        assert!(matches!(ProjectLock::take(&path, &here), Err(LockError::Held(Some(_)))));
        let long_ago = SystemTime::now() - 2 * STALE_AFTER;
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(ProjectLock::take(&path, &here).unwrap().left_by, Some(holder("elsewhere", 1)));
    }

    #[test]
    fn a_process_shares_its_own_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = ProjectLock::acquire(folder.path()).unwrap();
        assert!(Arc::ptr_eq(&first, &ProjectLock::acquire(folder.path()).unwrap()));
        assert!(!host_name().is_empty());
    }
}
