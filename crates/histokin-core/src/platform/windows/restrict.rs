//! Child processes: that they end with this one, and what they may do.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::Child;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Console::SetConsoleCtrlHandler;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
    JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

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
