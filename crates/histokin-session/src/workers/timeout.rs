//! Drives that do not answer: whoever waits for one goes on with other work after a while, and the program does
//! not wait for one when it ends.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

/// Do `work` on a thread of its own and wait for it, at most `longest`. Whether it is done; if not, it goes on by
/// itself.
pub fn wait_for(name: &str, longest: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (ended, end) = bounded::<()>(0);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        work();
        drop(ended);
    });
    match thread {
        // The channel closes when the work is done.
        Ok(_) => end.recv_timeout(longest) == Err(crossbeam_channel::RecvTimeoutError::Disconnected),
        Err(error) => {
            tracing::error!("{name}: the system gives no thread: {error}");
            true
        }
    }
}

/// Wait for threads to end, at most `longest` for all of them. Those that do not are left to end with the process.
pub fn join(threads: impl IntoIterator<Item = JoinHandle<()>>, longest: Duration) {
    let until = Instant::now() + longest;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if !thread.is_finished() {
            tracing::warn!("{name}: does not end, and is not waited for");
        } else if thread.join().is_err() {
            tracing::error!("{name}: had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_left_alone_and_ends_later() {
        let (give, leave) = bounded::<()>(0);
        let (tell, told) = bounded(1);
        let done = wait_for("hanging", Duration::from_millis(20), move || {
            leave.recv().ok();
            tell.send(7).ok();
        });
        assert!(!done);
        drop(give);
        assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(7));
        assert!(wait_for("quick", Duration::from_secs(30), || {}));
    }

    #[test]
    fn the_end_does_not_wait_for_a_thread_that_hangs() {
        let (give, leave) = bounded::<()>(0);
        let hanging = std::thread::spawn(move || _ = leave.recv());
        join([hanging, std::thread::spawn(|| {})], Duration::from_millis(30));
        drop(give);
    }
}
