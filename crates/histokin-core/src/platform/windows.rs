//! Windows. The functions are described in `unix.rs`; comments here say what differs.

mod end_request;
mod files;
mod local_socket;
mod pipe;
mod restrict;

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use windows_sys::Win32::Foundation::{FILETIME, STILL_ACTIVE};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::SystemInformation::{
    GetSystemTimeAsFileTime, GlobalMemoryStatusEx, MEMORYSTATUSEX,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, GetCurrentProcess, GetExitCodeProcess, GetProcessTimes, OpenProcess,
    PROCESS_QUERY_LIMITED_INFORMATION,
};
use windows_sys::Win32::UI::WindowsAndMessaging::{MB_ICONERROR, MB_OK, MessageBoxW};

pub use end_request::on_end_request;
pub use files::{
    FileState, OPEN_FILES_ARE_LOCKED, name_of_bytes, open_without_waiting, path_of_bytes, share_temporary,
    sync_folder, try_lock, unlock,
};
pub use local_socket::{LocalAddress, LocalListener, LocalStream, connect_local, listen_locally};
pub use pipe::{is_closed_pipe, read_within};
pub use restrict::{Tie, end_with_parent, restrict_process};

/// Exit code of a process that Ctrl-C ended (`STATUS_CONTROL_C_EXIT`).
const ENDED_BY_CTRL_C: i32 = 0xC000_013A_u32.cast_signed();
/// Smallest exit code, as an unsigned number, of a process that an exception such as an access violation ended.
const FIRST_EXCEPTION: u32 = 0xC000_0000;

/// Returns the folders of fonts for all users and for this one.
pub fn font_folders() -> Vec<PathBuf> {
    let named =
        |name: &str, below: &str| std::env::var_os(name).map(|folder| PathBuf::from(folder).join(below));
    named("WINDIR", "Fonts").into_iter().chain(named("LOCALAPPDATA", r"Microsoft\Windows\Fonts")).collect()
}

/// Returns the memory of the computer in bytes.
pub fn memory_bytes() -> Option<usize> {
    usize::try_from(memory_status()?.ullTotalPhys).ok()
}

/// Returns the memory in bytes that can be taken without anything being written to disk.
pub fn available_bytes() -> Option<usize> {
    usize::try_from(memory_status()?.ullAvailPhys).ok()
}

#[expect(unsafe_code, reason = "a call of the system")]
fn memory_status() -> Option<MEMORYSTATUSEX> {
    // SAFETY: all fields are plain numbers, for which zero is valid.
    let mut status: MEMORYSTATUSEX = unsafe { std::mem::zeroed() };
    status.dwLength = size_of::<MEMORYSTATUSEX>() as u32;
    // SAFETY: the structure is valid and states its size.
    let read = unsafe { GlobalMemoryStatusEx(&raw mut status) } != 0;
    read.then_some(status)
}

/// Returns the working set of this process in bytes.
#[expect(unsafe_code, reason = "a call of the system")]
pub fn resident_bytes() -> Option<usize> {
    // SAFETY: all fields are plain numbers, for which zero is valid.
    let mut counters: PROCESS_MEMORY_COUNTERS = unsafe { std::mem::zeroed() };
    let size = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
    // SAFETY: the handle of the current process is always valid, the structure has the stated size.
    let read = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, size) } != 0;
    read.then_some(counters.WorkingSetSize)
}

/// The allocator returns freed memory by itself.
pub fn return_freed_memory() {}

/// Time since the start of this process.
#[expect(unsafe_code, reason = "calls of the system")]
pub fn process_age() -> Option<Duration> {
    let mut times = [FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 }; 4];
    let [created, ended, in_system, in_program] = &mut times;
    // SAFETY: the handle of the current process is always valid, and the four structures may be written.
    let read = unsafe { GetProcessTimes(GetCurrentProcess(), created, ended, in_system, in_program) } != 0;
    let mut now = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    // SAFETY: the structure may be written.
    unsafe { GetSystemTimeAsFileTime(&raw mut now) };
    let ticks = |time: FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    let age = ticks(now).checked_sub(ticks(times[0]))?;
    read.then(|| Duration::from_nanos(age.saturating_mul(100)))
}

/// Otherwise a program that has no console itself, such as the window, opens one for each process that it starts.
pub fn without_console(command: &mut Command) {
    command.creation_flags(CREATE_NO_WINDOW);
}

/// Returns the folders in which files that come with a program may lie.
pub fn folders_of(program: &Path) -> Vec<PathBuf> {
    program.parent().map(Path::to_owned).into_iter().collect()
}

/// Shows an error to the user of a program without a console.
#[expect(unsafe_code, reason = "a call of the system")]
pub fn show_error(title: &str, text: &str) {
    let [title, text] = [title, text].map(|text| text.encode_utf16().chain([0]).collect::<Vec<u16>>());
    // SAFETY: both texts end with a zero and live during the call; no window owns the message.
    unsafe { MessageBoxW(std::ptr::null_mut(), text.as_ptr(), title.as_ptr(), MB_ICONERROR | MB_OK) };
}

/// Starts the other process and ends this one.
pub fn replace_process(command: &mut Command) -> io::Error {
    match command.spawn() {
        Ok(_) => std::process::exit(0),
        Err(error) => error,
    }
}

/// Access is not told by permissions of group and others.
pub fn is_open_to_others(_: &Path) -> bool {
    false
}

/// Returns the file in which PostgreSQL's programs look for passwords.
pub fn password_file() -> Option<PathBuf> {
    Some(Path::new(&std::env::var_os("APPDATA")?).join("postgresql").join("pgpass.conf"))
}

/// Returns the name of this computer.
pub fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "this computer".to_owned())
}

/// Returns whether a process with this ID exists and has not ended.
#[expect(unsafe_code, reason = "calls of the system")]
pub fn is_alive(pid: u32) -> bool {
    // SAFETY: the arguments are plain numbers.
    let handle = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if handle.is_null() {
        // A process of another user may not be opened, but exists.
        return io::Error::last_os_error().kind() == io::ErrorKind::PermissionDenied;
    }
    // SAFETY: the handle is valid and owned by nobody else.
    let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
    let mut code = 0;
    // SAFETY: the handle is valid, and `code` may be written.
    let read = unsafe { GetExitCodeProcess(handle.as_raw_handle(), &raw mut code) } != 0;
    read && code == STILL_ACTIVE.cast_unsigned()
}

/// Returns whether a process was ended by Ctrl-C rather than by an exception; `None` if it ended by itself.
pub fn ended_from_outside(status: &ExitStatus) -> Option<bool> {
    let code = status.code()?;
    (code.cast_unsigned() >= FIRST_EXCEPTION).then_some(code == ENDED_BY_CTRL_C)
}
