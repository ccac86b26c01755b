//! Stopping the reading of weights, which takes a minute where a file has many gigabytes and is hashed.
//!
//! Files are read deep within loading, describing and comparing an encoder, on the thread that asks for it. The request to
//! stop belongs to that thread, so that none of the functions in between has to pass it on.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static REQUESTED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Puts back what was there before, also after a panic.
struct Before(Option<Arc<AtomicBool>>);

impl Drop for Before {
    fn drop(&mut self) {
        REQUESTED.set(self.0.take());
    }
}

/// Runs `work` on this thread. Reading a file of weights in it fails with [`EncoderError::Stopped`](crate::EncoderError)
/// once `stop` is true.
pub fn reading_until<T>(stop: &Arc<AtomicBool>, work: impl FnOnce() -> T) -> T {
    let _before = Before(REQUESTED.replace(Some(stop.clone())));
    work()
}

/// Returns whether reading on this thread is to stop.
pub(crate) fn is_requested() -> bool {
    REQUESTED.with_borrow(|stop| stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)))
}
