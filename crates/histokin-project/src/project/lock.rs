//! Lock of a project, the file `project.lock`, which lets one program at a time write.
//!
//! The operating system locks the file and releases it when the program ends for any reason. Some network
//! drives do not propagate such locks to other computers. The holder therefore also writes its identity into
//! the file and updates the file's modification time every minute; after ten minutes without an update the
//! lock is stale.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use histokin_core::platform::{self, host_name};
use serde::{Deserialize, Serialize};

/// Name of the lock file in a project's folder.
pub const LOCK_FILE: &str = "project.lock";

/// Interval at which the holder updates the file's modification time.
const BEAT: Duration = Duration::from_secs(60);

/// Age at which the lock of a holder on another computer is stale; allows for clocks that differ by minutes.
const STALE_AFTER: Duration = Duration::from_secs(600);

/// The process that holds the lock of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of the user.
    pub user: String,
    /// Name of the computer.
    pub host: String,
    /// Process ID.
    pub pid: u32,
    /// Time at which the lock was acquired, in seconds since 1970.
    pub since: u64,
}

impl Holder {
    fn here() -> Self {
        let named = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok());
        Self {
            user: named(&["USER", "LOGNAME", "USERNAME"]).unwrap_or_else(|| "an unknown user".to_owned()),
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
            0 => f.write_str("for less than a minute"),
            1 => f.write_str("for a minute"),
            minutes @ 2..120 => write!(f, "for {minutes} minutes"),
            minutes @ 120..2880 => write!(f, "for {} hours", minutes / 60),
            minutes => write!(f, "for {} days", minutes / 1440),
        }
    }
}

/// Lock of a project, released when dropped.
#[derive(Debug)]
pub struct ProjectLock {
    file: File,
    /// Previous holder, if it ended without releasing the lock.
    pub left_by: Option<Holder>,
    /// Dropping it ends the thread that updates the file's modification time.
    _alive: Sender<()>,
}

/// Reason why a project could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds the lock; carries its details if they are known.
    Held(Option<Holder>),
    /// The lock file cannot be opened or written.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Locks of this process by project folder, so that it can open a project several times.
static HELD: LazyLock<Mutex<HashMap<PathBuf, Weak<ProjectLock>>>> = LazyLock::new(Mutex::default);

impl ProjectLock {
    /// Locks the project in `root`, an absolute path, or returns the lock that this process already holds.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process holds the lock; [`LockError::Io`] when the file cannot be
    /// written.
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
        let locked = match platform::try_lock(&file) {
            Ok(()) => SystemLock::Taken,
            Err(TryLockError::WouldBlock) => SystemLock::Held,
            Err(TryLockError::Error(error)) => {
                tracing::debug!("{}: this drive does not support locks: {error}", path.display());
                SystemLock::Unsupported
            }
        };
        let found = read(&mut file);
        if locked.is_of_another(found.as_ref(), holder, is_stale(&file)) {
            return Err(LockError::Held(found));
        }
        match sign(&mut file, holder) {
            Ok(()) => {}
            // The system's lock suffices, so that the user of a full disk can still free space.
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
        // An empty file has no holder. It is not deleted, since others may have it open to lock it.
        if let Err(error) = self.file.set_len(0).and_then(|()| platform::unlock(&self.file)) {
            tracing::warn!("the project's lock was not released: {error}");
        }
    }
}

/// What the system says of the lock of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SystemLock {
    /// This process has taken it.
    Taken,
    /// Another process holds it.
    Held,
    /// The drive has no locks.
    Unsupported,
}

impl SystemLock {
    /// Returns whether a project belongs to another process than `holder`, given the entry `found` in its lock file and
    /// whether that is stale.
    fn is_of_another(self, found: Option<&Holder>, holder: &Holder, is_stale: bool) -> bool {
        let is_alive = |is_other: fn(&Holder, &Holder) -> bool| {
            found.is_some_and(|found| is_other(found, holder)) && !is_stale
        };
        match self {
            // It may not be visible to other computers that use the drive.
            Self::Taken => is_alive(|found, holder| found.host != holder.host),
            Self::Held => true,
            Self::Unsupported => {
                is_alive(|found, holder| (&found.host, found.pid) != (&holder.host, holder.pid))
            }
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
    // Far more than a holder's entry needs.
    Read::take(&mut *file, 4096).read_to_string(&mut text).ok()?;
    toml::from_str(&text).ok()
}

fn is_stale(file: &File) -> bool {
    let touched = file.metadata().and_then(|metadata| metadata.modified());
    touched.is_ok_and(|touched| touched.elapsed().is_ok_and(|age| age > STALE_AFTER))
}

/// Starts a thread that updates the file's modification time every minute until the sender is dropped.
fn show_alive(file: File) -> io::Result<Sender<()>> {
    let (alive, ended) = bounded::<()>(0);
    std::thread::Builder::new().name("project-lock".to_owned()).spawn(move || {
        while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            if let Err(error) = file.set_modified(SystemTime::now()) {
                tracing::warn!("the project's lock cannot be refreshed: {error}");
            }
        }
    })?;
    Ok(alive)
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

    /// After a crash the holder's entry remains, but not the system's lock.
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

    /// Process IDs of different computers, or containers, are often the same.
    #[test]
    fn on_a_drive_without_locks_the_entry_of_a_living_process_counts() {
        let here = holder("ward", 7);
        let is_held = |found: &Holder, is_stale: bool| {
            SystemLock::Unsupported.is_of_another(Some(found), &here, is_stale)
        };
        assert!(is_held(&holder("ward", 8), false));
        assert!(is_held(&holder("elsewhere", 7), false));
        assert!(!is_held(&holder("elsewhere", 7), true));
        assert!(!is_held(&here, false));
        assert!(!SystemLock::Unsupported.is_of_another(None, &here, false));
    }

    #[test]
    fn a_process_shares_its_own_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = ProjectLock::acquire(folder.path()).unwrap();
        assert!(Arc::ptr_eq(&first, &ProjectLock::acquire(folder.path()).unwrap()));
    }
}
