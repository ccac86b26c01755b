//! What becomes of a panic in a worker: an error of the job at hand, with a report that can be copied. The
//! thread lives on.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

/// A job that has panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// What the user is told.
    pub summary: String,
    /// What a developer needs: version, system, job, words, place and backtrace. Names no slide.
    pub report: String,
}

/// What the panic hook saw last: the words with their place, and the backtrace.
static LAST: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Have each panic noted with its backtrace before it unwinds. Other hooks go on as before.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let place = info.location().map_or_else(String::new, ToString::to_string);
            let words = info.payload_as_str().unwrap_or("no words");
            let text = format!("{words}\nat {place}, thread {}", thread.name().unwrap_or("without a name"));
            let trace = Backtrace::force_capture().to_string();
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((text, trace));
            before(info);
        }));
    });
}

/// Do `work`. What it works on must be thrown away, or be left consistent by each of its steps, since a panic
/// may end it anywhere.
///
/// # Errors
/// [`Crash`] when it panicked while `doing` something.
pub fn catch<T>(doing: &str, work: impl FnOnce() -> T) -> Result<T, Crash> {
    note_panics();
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let seen = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (text, trace) = seen.unwrap_or_else(|| {
            let words = payload.downcast_ref::<&str>().map(ToString::to_string);
            (words.or_else(|| payload.downcast_ref().cloned()).unwrap_or_default(), String::new())
        });
        let version = env!("CARGO_PKG_VERSION");
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Crash {
            summary: format!(
                "{doing} failed because of an error in histokin itself. All else goes on, and what was saved is \
                 safe. Please pass the report on to whoever looks after the program"
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
