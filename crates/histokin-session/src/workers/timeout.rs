//! Timeouts for drives that do not respond: a worker goes on with other jobs after a while, and the program
//! does not wait for such a drive at its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

/// Runs `work` on a new thread and waits for it, at most `longest`. Returns whether it is done; if not, it
/// continues in the background. If no thread can be started, it is done here, however long it takes.
pub fn wait_for(name: &str, longest: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    wait_while(name, longest, || false, work)
}

/// The same for work that may take long: it is waited for once more whenever it `moves` after `longest`.
pub fn wait_while(
    name: &str,
    longest: Duration,
    mut moves: impl FnMut() -> bool,
    work: impl FnOnce() + Send + 'static,
) -> bool {
    // The thread takes it from here, so that it is not lost with a thread that cannot be started.
    let work = Arc::new(Mutex::new(Some(work)));
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (ended, end) = bounded::<()>(0);
    let given = work.clone();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(work) = take(&given) {
            work();
        }
        drop(ended);
    });
    match thread {
        // The channel closes when the work is done.
        Ok(_) => loop {
            let is_done = end.recv_timeout(longest) == Err(RecvTimeoutError::Disconnected);
            if is_done || !moves() {
                break is_done;
            }
        },
        Err(error) => {
            tracing::error!("{name}: no thread could be started: {error}");
            if let Some(work) = take(&work) {
                work();
            }
            true
        }
    }
}

/// Waits for threads to end, at most `longest` for all of them together. The others end with the process.
pub fn join(threads: impl IntoIterator<Item = JoinHandle<()>>, longest: Duration) {
    let until = Instant::now() + longest;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if !thread.is_finished() {
            tracing::warn!("{name}: does not end; no longer waiting for it");
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
        let (sender, received) = bounded(1);
        let done = wait_for("hanging", Duration::from_millis(20), move || {
            leave.recv().ok();
            sender.send(7).ok();
        });
        assert!(!done);
        drop(give);
        assert_eq!(received.recv_timeout(Duration::from_secs(30)), Ok(7));
        assert!(wait_for("quick", Duration::from_secs(30), || {}));
    }

    #[test]
    fn work_that_takes_long_is_waited_for_while_it_moves() {
        let (give, leave) = bounded::<()>(0);
        let (mut give, mut asked) = (Some(give), 0);
        let moves = || {
            asked += 1;
            // The work ends once it has been waited for three times.
            drop(give.take_if(|_| asked == 3));
            true
        };
        assert!(wait_while("slow", Duration::from_millis(5), moves, move || _ = leave.recv()));
        assert!(asked >= 3);
    }

    #[test]
    fn the_end_does_not_wait_for_a_thread_that_hangs() {
        let (give, leave) = bounded::<()>(0);
        let hanging = std::thread::spawn(move || _ = leave.recv());
        let waits = move || join([hanging, std::thread::spawn(|| {})], Duration::from_millis(30));
        assert!(wait_for("the end", Duration::from_secs(30), waits));
        drop(give);
    }
}
