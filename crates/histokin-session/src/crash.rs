//! Panics in workers. A panic becomes an error of the current job, with a report that can be copied; the
//! thread continues.

use std::backtrace::Backtrace;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::ThreadId;

/// Stands for the message of a panic that has none.
const NO_MESSAGE: &str = "no message";

/// A job that has panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// Message for the user.
    pub summary: String,
    /// Details for a developer: version, system, job, panic message, source location and backtrace. Contains
    /// no slide name.
    pub report: String,
}

/// Number of panics that are remembered until their jobs have reported them.
const MOST_SEEN: usize = 16;

/// A panic as the hook saw it.
struct Seen {
    thread: ThreadId,
    message: String,
    /// The message with the source location and the thread's name.
    text: String,
    trace: String,
}

/// The newest panics, the newest last. Several threads may panic at the same time.
static SEEN: Mutex<VecDeque<Seen>> = Mutex::new(VecDeque::new());

/// Installs a panic hook that records each panic with its backtrace before it unwinds, then calls the
/// previous hook.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let location = info.location().map_or_else(String::new, ToString::to_string);
            let message = info.payload_as_str().unwrap_or(NO_MESSAGE).to_owned();
            let text = format!("{message}\nat {location}, thread {}", thread.name().unwrap_or("unnamed"));
            let trace = Backtrace::force_capture().to_string();
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() == MOST_SEEN {
                seen.pop_front();
            }
            seen.push_back(Seen { thread: thread.id(), message, text, trace });
            drop(seen);
            before(info);
        }));
    });
}

/// Takes what was seen of the panic with this message: that of this thread or else, if the work was done by several
/// threads, of another one.
fn take_seen(message: &str) -> Option<Seen> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let own = std::thread::current().id();
    let is_it = |one: &Seen| one.message == message;
    let index = seen
        .iter()
        .rposition(|one| is_it(one) && one.thread == own)
        .or_else(|| seen.iter().rposition(is_it))?;
    seen.remove(index)
}

/// Runs `work` and catches a panic. The data that `work` changes must be discarded afterwards, or be left
/// consistent by each of its steps, since a panic can end it anywhere.
///
/// # Errors
/// Returns a [`Crash`] if `work` panicked; `doing` names the job in its texts.
pub fn catch<T>(doing: &str, work: impl FnOnce() -> T) -> Result<T, Crash> {
    note_panics();
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or(NO_MESSAGE);
        let (text, trace) = match take_seen(message) {
            Some(Seen { text, trace, .. }) => (text, trace),
            None => (message.to_owned(), String::new()),
        };
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

    #[test]
    fn of_panics_at_the_same_time_each_is_reported_by_its_own_job() {
        let both = std::sync::Barrier::new(2);
        // The second panic is seen before the first has been reported.
        let crash = |word: &'static str| {
            let guard = Waiting(&both);
            catch(word, move || {
                let _guard = guard;
                panic!("{word} fails")
            })
        };
        let reports: Vec<Crash> = std::thread::scope(|scope| {
            let jobs = ["one", "two"].map(|word| scope.spawn(move || crash(word).map(drop).unwrap_err()));
            jobs.map(|job| job.join().unwrap()).into()
        });
        for (crash, word) in reports.iter().zip(["one", "two"]) {
            assert!(crash.report.contains(&format!("{word} fails\nat ")), "{}", crash.report);
        }
    }

    /// Waits for the other thread while a panic unwinds.
    struct Waiting<'a>(&'a std::sync::Barrier);

    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
}
