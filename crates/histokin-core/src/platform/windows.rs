//! Windows. The functions are described in `unix.rs`; comments here say what differs.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_PENDING, HANDLE, STILL_ACTIVE, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Storage::FileSystem::ReadFile;
use windows_sys::Win32::System::Console::{CTRL_CLOSE_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
    JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject,
};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};
use windows_sys::Win32::System::Threading::{
    CreateEventW, GetCurrentProcess, GetExitCodeProcess, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
    WaitForSingleObject,
};
use windows_sys::core::BOOL;

/// Time in which this process saves its work after its console was closed.
const CLOSING: Duration = Duration::from_secs(5);

/// Exit code of a process that Ctrl-C ended (`STATUS_CONTROL_C_EXIT`).
const ENDED_BY_CTRL_C: i32 = 0xC000_013A_u32.cast_signed();
/// Smallest exit code, as an unsigned number, of a process that an exception such as an access violation ended.
const FIRST_EXCEPTION: u32 = 0xC000_0000;

/// Opening a named pipe does not wait for data here.
pub fn open_without_waiting(_: &mut OpenOptions) {}

/// Folders cannot be synced; NTFS keeps their changes in order in its journal.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Temporary files inherit the access rights of their folder already.
pub fn share_temporary(_: &mut tempfile::Builder<'_, '_>) {}

/// Names are Unicode: other bytes are replaced.
pub fn name_of_bytes(bytes: &[u8]) -> Cow<'_, OsStr> {
    OsString::from(String::from_utf8_lossy(bytes).into_owned()).into()
}

/// The bytes of a path from Unix have no meaning here unless they are UTF-8.
pub fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(|text| OsString::from(text).into())
}

/// What tells a file from another one that took its place: the time of its creation, in units of 100 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileState {
    created: u64,
}

impl FileState {
    /// Takes the state from a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { created: metadata.creation_time() }
    }
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

/// The functions that are called when this process is asked to end.
static ON_END_REQUEST: Mutex<Vec<Box<dyn Fn() + Send>>> = Mutex::new(Vec::new());

/// Calls `notify` on Ctrl-C, Ctrl-Break, and when the console is closed. At logout and shutdown, windows get a message
/// instead.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
#[expect(unsafe_code, reason = "a call of the system")]
pub fn on_end_request(notify: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut registered = ON_END_REQUEST.lock().unwrap_or_else(PoisonError::into_inner);
    if registered.is_empty() {
        // SAFETY: the handler is a function that lives as long as the process.
        if unsafe { SetConsoleCtrlHandler(Some(handle_end_request), 1) } == 0 {
            return Err(io::Error::last_os_error());
        }
    }
    registered.push(Box::new(notify));
    Ok(())
}

/// Called by the system, on a thread of its own.
#[expect(unsafe_code, reason = "the system's own type of function is unsafe to call")]
unsafe extern "system" fn handle_end_request(event: u32) -> BOOL {
    for notify in &*ON_END_REQUEST.lock().unwrap_or_else(PoisonError::into_inner) {
        notify();
    }
    if event == CTRL_CLOSE_EVENT {
        // The process is ended when this function returns.
        std::thread::sleep(CLOSING);
    }
    1
}

/// A job object that ends the child process when its last handle is closed, as when this process ends.
#[derive(Debug)]
pub struct Tie {
    _job: OwnedHandle,
}

impl Tie {
    /// Ties `child` to this process.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn new(child: &Child) -> io::Result<Self> {
        let job = job(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, 0)?;
        assign(&job, child.as_raw_handle())?;
        Ok(Self { _job: job })
    }
}

/// The parent has tied this process to itself ([`Tie`]).
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
pub fn end_with_parent() -> io::Result<()> {
    Ok(())
}

/// Restricts this process to at most `memory` bytes of memory, no processes of its own and no dialogs on a crash.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
#[expect(unsafe_code, reason = "calls of the system")]
pub fn restrict_process(memory: u64) -> io::Result<()> {
    let limits = JOB_OBJECT_LIMIT_PROCESS_MEMORY
        | JOB_OBJECT_LIMIT_ACTIVE_PROCESS
        | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
    let job = job(limits, usize::try_from(memory).unwrap_or(usize::MAX))?;
    // SAFETY: the handle of the current process is always valid.
    assign(&job, unsafe { GetCurrentProcess() })?;
    // The limits hold as long as the process is in the job, whether or not this handle is open.
    drop(job);
    // Ctrl-C in a terminal is meant for the parent process, which may still be reading.
    // SAFETY: without a handler, the call makes this process ignore Ctrl-C.
    match unsafe { SetConsoleCtrlHandler(None, 1) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes a job object with these limits; `memory` is the limit of each process in bytes, where it is among them.
#[expect(unsafe_code, reason = "calls of the system")]
fn job(limits: JOB_OBJECT_LIMIT, memory: usize) -> io::Result<OwnedHandle> {
    // SAFETY: neither a security descriptor nor a name is needed.
    let handle = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid and owned by nobody else.
    let job = unsafe { OwnedHandle::from_raw_handle(handle) };
    // SAFETY: all fields are plain numbers, for which zero is valid.
    let mut information: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = unsafe { std::mem::zeroed() };
    information.BasicLimitInformation.LimitFlags = limits;
    information.BasicLimitInformation.ActiveProcessLimit = 1;
    information.ProcessMemoryLimit = memory;
    let size = size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>() as u32;
    // SAFETY: the handle is valid, and the structure is of the class and size that are stated.
    let set = unsafe {
        let information = (&raw const information).cast();
        SetInformationJobObject(job.as_raw_handle(), JobObjectExtendedLimitInformation, information, size)
    };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(job) }
}

#[expect(unsafe_code, reason = "a call of the system")]
fn assign(job: &OwnedHandle, process: HANDLE) -> io::Result<()> {
    // SAFETY: both handles are valid during the call.
    match unsafe { AssignProcessToJobObject(job.as_raw_handle(), process) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Reads from the output of a child process, for `time` at most. The standard library opens its end of the pipe for
/// overlapped reads, which can be waited for and cancelled.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
#[expect(unsafe_code, reason = "calls of the system")]
pub fn read_within(pipe: &mut ChildStdout, buffer: &mut [u8], time: Duration) -> io::Result<usize> {
    // SAFETY: neither a security descriptor nor a name is needed.
    let event = unsafe { CreateEventW(std::ptr::null(), 1, 0, std::ptr::null()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid and owned by nobody else.
    let event = unsafe { OwnedHandle::from_raw_handle(event) };
    // SAFETY: all fields are plain numbers or pointers, for which zero is valid.
    let mut overlapped: OVERLAPPED = unsafe { std::mem::zeroed() };
    overlapped.hEvent = event.as_raw_handle();
    let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    let handle = pipe.as_raw_handle();
    // SAFETY: `buffer` and `overlapped` live until the read has ended: the wait below ends it or cancels it.
    let begun =
        unsafe { ReadFile(handle, buffer.as_mut_ptr(), length, std::ptr::null_mut(), &raw mut overlapped) };
    let mut is_late = false;
    if begun == 0 {
        let error = io::Error::last_os_error();
        match error.raw_os_error().map(i32::cast_unsigned) {
            Some(ERROR_BROKEN_PIPE) => return Ok(0),
            Some(ERROR_IO_PENDING) => {}
            _ => return Err(error),
        }
        let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX - 1).max(1);
        // SAFETY: the event is valid.
        match unsafe { WaitForSingleObject(event.as_raw_handle(), ms) } {
            WAIT_OBJECT_0 => {}
            waited => {
                is_late = waited == WAIT_TIMEOUT;
                // SAFETY: the read belongs to this handle. Whether it is cancelled or ends now is seen below.
                unsafe { CancelIoEx(handle, &raw const overlapped) };
            }
        }
    }
    let mut count = 0;
    // SAFETY: waits until the read has ended, so that `buffer` and `overlapped` are no longer used afterwards.
    if unsafe { GetOverlappedResult(handle, &raw const overlapped, &raw mut count, 1) } != 0 {
        return Ok(count as usize);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_BROKEN_PIPE) => Ok(0),
        _ if is_late => Err(io::ErrorKind::TimedOut.into()),
        _ => Err(error),
    }
}
