//! Reading from pipes, for a limited time.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::ChildStdout;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_PENDING, ERROR_PIPE_NOT_CONNECTED, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Storage::FileSystem::ReadFile;
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::{CreateEventW, WaitForSingleObject};

/// Returns whether a write failed because the reader of a pipe has closed it; named pipes have an error of their own for it.
pub fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
        || error.raw_os_error().map(i32::cast_unsigned) == Some(ERROR_PIPE_NOT_CONNECTED)
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
