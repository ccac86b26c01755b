//! Requests to end this process.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windows_sys::Win32::Foundation::{HWND, LPARAM, LRESULT, WPARAM};
use windows_sys::Win32::System::Console::{CTRL_CLOSE_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::UI::WindowsAndMessaging::{
    CreateWindowExW, DefWindowProcW, DispatchMessageW, GetMessageW, MSG, RegisterClassW, WM_ENDSESSION,
    WM_QUERYENDSESSION, WNDCLASSW,
};
use windows_sys::core::BOOL;

/// Time in which this process saves its work after its console was closed or its user logs out.
const CLOSING: Duration = Duration::from_secs(5);

/// The functions that are called when this process is asked to end.
static ON_END_REQUEST: Mutex<Vec<Box<dyn Fn() + Send>>> = Mutex::new(Vec::new());

/// Calls `notify` on Ctrl-C, Ctrl-Break, when the console is closed, and at logout and shutdown.
#[expect(clippy::missing_errors_doc, reason = "described for Unix")]
#[expect(unsafe_code, reason = "a call of the system")]
pub fn on_end_request(notify: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut registered = ON_END_REQUEST.lock().unwrap_or_else(PoisonError::into_inner);
    if registered.is_empty() {
        // SAFETY: the handler is a function that lives as long as the process.
        if unsafe { SetConsoleCtrlHandler(Some(handle_end_request), 1) } == 0 {
            return Err(io::Error::last_os_error());
        }
        std::thread::Builder::new().name("session-end".to_owned()).spawn(watch_session)?;
    }
    registered.push(Box::new(notify));
    Ok(())
}

/// Called by the system, on a thread of its own.
#[expect(unsafe_code, reason = "the system's own type of function is unsafe to call")]
unsafe extern "system" fn handle_end_request(event: u32) -> BOOL {
    notify_all();
    if event == CTRL_CLOSE_EVENT {
        // The process is ended when this function returns.
        std::thread::sleep(CLOSING);
    }
    1
}

fn notify_all() {
    for notify in &*ON_END_REQUEST.lock().unwrap_or_else(PoisonError::into_inner) {
        notify();
    }
}

/// Waits for logout and shutdown, of which Windows tells windows only: opens one that is never shown.
#[expect(unsafe_code, reason = "calls of the system")]
fn watch_session() {
    let name: Vec<u16> = "histokin-session-end".encode_utf16().chain([0]).collect();
    // SAFETY: all fields are plain numbers, pointers or no function, for which zero is valid.
    let mut class: WNDCLASSW = unsafe { std::mem::zeroed() };
    class.lpfnWndProc = Some(handle_message);
    class.lpszClassName = name.as_ptr();
    // SAFETY: the class and its name live during the calls; the window belongs to no other one and has no menu.
    let window = unsafe {
        RegisterClassW(&raw const class);
        let (none, title) = (std::ptr::null_mut(), name.as_ptr());
        CreateWindowExW(0, name.as_ptr(), title, 0, 0, 0, 0, 0, none, none, none, std::ptr::null())
    };
    if window.is_null() {
        // Read before the logging, whose own calls of the system replace it.
        let error = io::Error::last_os_error();
        tracing::warn!("logout and shutdown are not noticed: {error}");
        return;
    }
    // SAFETY: all fields are plain numbers or pointers, for which zero is valid.
    let mut message: MSG = unsafe { std::mem::zeroed() };
    // SAFETY: the message may be written, and is passed on as it was received.
    while unsafe { GetMessageW(&raw mut message, window, 0, 0) } > 0 {
        // SAFETY: as above.
        unsafe { DispatchMessageW(&raw const message) };
    }
}

/// Called by the system on the thread of the window.
#[expect(unsafe_code, reason = "the system's own type of function is unsafe to call")]
unsafe extern "system" fn handle_message(window: HWND, message: u32, wide: WPARAM, long: LPARAM) -> LRESULT {
    match message {
        WM_QUERYENDSESSION => 1,
        WM_ENDSESSION if wide != 0 => {
            notify_all();
            // The process may be ended when this function returns.
            std::thread::sleep(CLOSING);
            0
        }
        // SAFETY: the arguments are passed on as they were received.
        _ => unsafe { DefWindowProcW(window, message, wide, long) },
    }
}
