//! Panics in workers. A panic becomes an error of the current job, with a report that can be copied; the
//! thread continues.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

/// A job that has panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// Message for the user.
    pub summary: String,
    /// Details for a developer: version, system, job, panic message, source location and backtrace. Contains
    /// no slide name.
    pub report: String,
}

/// The last panic seen by the hook: its message with the source location, and the backtrace.
static LAST: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Installs a panic hook that records each panic with its backtrace before it unwinds, then calls the
/// previous hook.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let location = info.location().map_or_else(String::new, ToString::to_string);
            let message = info.payload_as_str().unwrap_or("no message");
            let text = format!("{message}\nat {location}, thread {}", thread.name().unwrap_or("unnamed"));
            let trace = Backtrace::force_capture().to_string();
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((text, trace));
            before(info);
        }));
    });
}

/// Runs `work` and catches a panic. The data that `work` changes must be discarded afterwards, or be left
/// consistent by each of its steps, since a panic can end it anywhere.
///
/// # Errors
/// Returns a [`Crash`] if `work` panicked; `doing` names the job in its texts.
pub fn catch<T>(doing: &str, work: impl FnOnce() -> T) -> Result<T, Crash> {
    note_panics();
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let seen = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (text, trace) = seen.unwrap_or_else(|| {
            let message = payload.downcast_ref::<&str>().map(ToString::to_string);
            (message.or_else(|| payload.downcast_ref().cloned()).unwrap_or_default(), String::new())
        });
        let version = env!("CARGO_PKG_VERSION");
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Crash {
            summary: format!(
                "{doing} failed because of an error in histokin itself. Everything else continues, and what was \
                 saved is safe. Please send the report to the person who maintains the program"
            ),
            report: format!("histokin {version}, {os} {arch}\nwhile: {doing}\npanic: {text}\n{trace}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_report_with_place_and_words() {
        assert_eq!(catch("Counting", || 7), Ok(7));
        let crash = catch("Counting tiles", || panic!("the {} is missing", "tile")).unwrap_err();
        assert!(crash.summary.starts_with("Counting tiles failed"), "{crash:?}");
        for part in ["while: Counting tiles", "the tile is missing", "crash.rs:", env!("CARGO_PKG_VERSION")] {
            assert!(crash.report.contains(part), "{part} is not in {}", crash.report);
        }
    }
}
