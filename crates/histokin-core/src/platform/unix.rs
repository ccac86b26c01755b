//! Unix: Linux, and macOS where it differs.

mod local_socket;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

pub use local_socket::{LocalAddress, LocalListener, LocalStream, connect_local, listen_locally};

/// Interval at which a process checks whether its parent still exists.
const PARENT_CHECKED: Duration = Duration::from_secs(1);

/// Whether a file that another program has open may not be renamed, replaced or removed.
pub const OPEN_FILES_ARE_LOCKED: bool = false;

/// Makes opening a pipe return at once instead of waiting until another process writes to it. It has no effect on regular
/// files.
pub fn open_without_waiting(options: &mut OpenOptions) {
    options.custom_flags(libc::O_NONBLOCK);
}

/// Locks a file against other programs that do the same, without waiting. It can still be read and written by everyone. The
/// system releases the lock when the program ends.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if another program holds the lock; otherwise the error of the system.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

/// Releases the lock of [`try_lock`].
///
/// # Errors
/// Returns the error of the system.
pub fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}

/// Syncs a folder, so that new and removed file names in it survive a power failure.
///
/// # Errors
/// Returns the error of the system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Gives a temporary file the permissions of a new file in its folder. By default, only the owner can access it.
pub fn share_temporary(builder: &mut tempfile::Builder<'_, '_>) {
    // The system removes the permissions masked by the user's umask.
    builder.permissions(std::fs::Permissions::from_mode(0o666));
}

/// Returns the folders in which this system and this user keep fonts.
pub fn font_folders() -> Vec<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = named("HOME").map(PathBuf::from);
    let data = named("XDG_DATA_HOME").map(PathBuf::from);
    let of_user = data.or_else(|| Some(home.as_ref()?.join(".local/share")));
    let shared = named("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let mut folders: Vec<PathBuf> = of_user.into_iter().chain(std::env::split_paths(&shared)).collect();
    folders.iter_mut().for_each(|folder| folder.push("fonts"));
    folders.extend(home.iter().map(|home| home.join(".fonts")));
    if cfg!(target_os = "macos") {
        folders.extend(["/System/Library/Fonts", "/Library/Fonts"].map(PathBuf::from));
        folders.extend(home.iter().map(|home| home.join("Library/Fonts")));
    }
    folders
}

/// Returns a file name from the bytes of a file, whose encoding is not known.
pub fn name_of_bytes(bytes: &[u8]) -> Cow<'_, OsStr> {
    OsStr::from_bytes(bytes).into()
}

/// Returns the path that consists of these bytes; `None` if no path can.
pub fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    Some(OsString::from_vec(bytes).into())
}

/// What tells a file from another one that took its place, besides size and modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileState {
    /// Time in seconds and nanoseconds when content, name or access rights last changed. Unlike the modification time it
    /// cannot be set, as copying with preserved times does.
    changed: (i64, i64),
    /// Device and inode: a file that was moved to this path is a different one.
    file: (u64, u64),
}

impl FileState {
    /// Takes the state from a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { changed: (metadata.ctime(), metadata.ctime_nsec()), file: (metadata.dev(), metadata.ino()) }
    }
}

/// Returns the memory of the computer in bytes, or the limit of this process's control group if lower; `None` if the
/// system does not report it.
#[cfg(target_os = "linux")]
pub fn memory_bytes() -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let kib = read("/proc/meminfo")?.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()
    })?;
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<usize>().ok());
    Some(group.map_or(kib * 1024, |group| group.min(kib * 1024)))
}

/// Returns the memory of the computer in bytes; `None` if the system does not report it.
#[cfg(not(target_os = "linux"))]
#[expect(unsafe_code, reason = "the memory's size is only available from the C library")]
pub fn memory_bytes() -> Option<usize> {
    // SAFETY: both calls take plain numbers.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    usize::try_from(pages).ok()?.checked_mul(usize::try_from(page).ok()?)
}

/// Returns the resident memory of this process in bytes, where the system reports it.
pub fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// Returns the memory in bytes that can be taken without anything being written to disk, where the system reports it.
pub fn available_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// Makes the allocator return freed memory to the system, where it can.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a call of the C library")]
pub fn return_freed_memory() {
    // SAFETY: malloc_trim takes no pointer, may be called at any time and from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Makes the allocator return freed memory to the system: nothing to do on this system.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_freed_memory() {}

/// Time since the start of this process, to 0.01 s; `None` if the system does not provide it.
pub fn process_age() -> Option<Duration> {
    // Field 22 is the start time in hundredths of a second since boot; field 2, the name in parentheses, may
    // contain spaces.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse::<f64>().ok()? / 100.0;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now = uptime.split_whitespace().next()?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(now - started).ok()
}

/// Keeps a process that is to be started from opening a console window, where programs have one.
pub fn without_console(_: &mut Command) {}

/// Returns whether a write failed because the reader of a pipe has closed it.
pub fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Returns the folders in which files that come with a program may lie: its own, and those of a bundle of macOS.
pub fn folders_of(program: &Path) -> Vec<PathBuf> {
    let Some(own) = program.parent() else { return Vec::new() };
    let mut folders = vec![own.to_owned()];
    if cfg!(target_os = "macos") {
        folders.extend(["../Resources", "../Frameworks"].map(|folder| own.join(folder)));
    }
    folders
}

/// Shows an error to the user of a program without a console, and returns when it was read. On Unix it is written to standard
/// error.
pub fn show_error(title: &str, text: &str) {
    eprintln!("{title}: {text}");
}

/// Replaces this process by another one. Returns only if that fails.
pub fn replace_process(command: &mut Command) -> io::Error {
    command.exec()
}

/// Returns whether group or others have any permission on a file, where the system has such permissions.
pub fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

/// Returns the file in which PostgreSQL's programs look for passwords.
pub fn password_file() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join(".pgpass"))
}

/// Returns the name of this computer.
#[expect(unsafe_code, reason = "the host name is only available from the C library")]
pub fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is valid for the passed length; its last byte stays zero and terminates the name.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    if failed || end == 0 {
        return "this computer".to_owned();
    }
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// Returns whether a process with this ID exists.
#[expect(unsafe_code, reason = "testing whether a process exists needs the C library")]
pub fn is_alive(pid: u32) -> bool {
    // SAFETY: signal 0 only tests whether the process exists.
    let result = unsafe { libc::kill(pid.cast_signed(), 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Returns whether a process was ended by a request from outside, such as Ctrl-C, rather than by a fault; `None` if it
/// ended by itself.
pub fn ended_from_outside(status: &ExitStatus) -> Option<bool> {
    let signal = status.signal()?;
    Some([libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE].contains(&signal))
}

/// Calls `notify`, on a thread of its own, whenever the system or the user asks this process to end: by Ctrl-C, `kill`,
/// logout or shutdown. The process is no longer ended by that. Signals that are ignored, as by `nohup`, stay ignored.
///
/// # Errors
/// If the thread cannot be started or a handler cannot be registered.
#[expect(unsafe_code, reason = "registering a signal handler is unsafe")]
pub fn on_end_request(notify: impl Fn() + Send + 'static) -> io::Result<()> {
    let (mut receiver, sender) = UnixStream::pair()?;
    // A signal handler must not block.
    sender.set_nonblocking(true)?;
    std::thread::Builder::new().name("end-request".to_owned()).spawn(move || {
        let mut byte = [0];
        loop {
            match receiver.read(&mut byte) {
                Ok(1) => notify(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    })?;
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        if is_ignored(signal)? {
            continue;
        }
        let sender = sender.try_clone()?;
        let wake = move || _ = (&sender).write(&[0]);
        // SAFETY: the handler only calls `write`, which is async-signal-safe.
        unsafe { signal_hook_registry::register(signal, wake)? };
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a call of the C library")]
fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    // SAFETY: all fields are numbers or pointers, for which zero is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action, the call only writes the current one, to a valid structure.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } {
        0 => Ok(action.sa_sigaction == libc::SIG_IGN),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ties a child process to this one, so that it ends when this one ends for whatever reason. On Unix the child sees to
/// that itself ([`end_with_parent`]).
#[derive(Debug)]
pub struct Tie;

impl Tie {
    /// Ties `_child` to this process.
    ///
    /// # Errors
    /// Never on Unix.
    pub fn new(_child: &Child) -> io::Result<Self> {
        Ok(Self)
    }
}

/// Ends this process when its parent ends, whatever it is doing. The system's own signal for that would already arrive
/// when the thread that started this process ends.
///
/// # Errors
/// If the thread that watches the parent cannot be started.
pub fn end_with_parent() -> io::Result<()> {
    let parent = std::os::unix::process::parent_id();
    let watch = move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(PARENT_CHECKED);
        }
        std::process::exit(0)
    };
    std::thread::Builder::new().name("parent-watch".to_owned()).spawn(watch).map(drop)
}

/// Restricts this process to what decoding needs: at most `memory` bytes of private memory (on Linux), no growing files, no
/// core dumps and no new privileges.
///
/// # Errors
/// Returns the error of the system.
#[expect(unsafe_code, reason = "limits of a process are set by the C library")]
pub fn restrict_process(memory: u64) -> io::Result<()> {
    // Since version 12, macOS refuses limits of memory below the about 400 GB of addresses that every process has there.
    let memory = cfg!(target_os = "linux").then_some((libc::RLIMIT_DATA, memory));
    for (resource, max) in [(libc::RLIMIT_FSIZE, 0), (libc::RLIMIT_CORE, 0)].into_iter().chain(memory) {
        let limit = libc::rlimit { rlim_cur: max as libc::rlim_t, rlim_max: max as libc::rlim_t };
        // SAFETY: the limit is a valid structure that lives during the call.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: ignoring a signal needs no handler; a write beyond the limit then fails instead of ending the
    // process.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: as above. Ctrl-C in a terminal is meant for the parent process, which may still be reading.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    #[cfg(target_os = "linux")]
    // SAFETY: the option takes plain numbers.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    };
    Ok(())
}

/// Reads from the output of a child process into `buffer` and returns the number of bytes, 0 at its end. Waits for
/// `time` at most.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] if nothing came in time; otherwise the error of the system.
#[expect(unsafe_code, reason = "waiting for a pipe with a timeout needs the C library")]
pub fn read_within(pipe: &mut ChildStdout, buffer: &mut [u8], time: Duration) -> io::Result<usize> {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut wait = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ms = left.as_millis().clamp(1, 60_000) as libc::c_int;
        // SAFETY: one valid structure is passed, which lives during the call.
        match unsafe { libc::poll(&raw mut wait, 1, ms) } {
            0 => {}
            1.. => return pipe.read(buffer),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
