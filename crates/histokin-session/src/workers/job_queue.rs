//! How work reaches a worker: a queue that the sender never has to wait for.
//!
//! Its length is bounded by what it carries: the session asks once for each slide or listed tile, and what
//! only the newest of counts (a search, a plan, a project to save) replaces what waits.

use std::collections::VecDeque;
#[cfg(feature = "archive")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Work for one or several threads.
pub struct JobQueue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Default for JobQueue<T> {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new() }
    }
}

impl<T> JobQueue<T> {
    /// Add work behind what waits.
    pub fn push(&self, work: T) {
        self.lock().waiting.push_back(work);
        self.filled.notify_one();
    }

    /// Put work in the place of all that waits.
    pub fn replace(&self, work: T) {
        let mut state = self.lock();
        state.waiting.clear();
        state.waiting.push_back(work);
        drop(state);
        self.filled.notify_one();
    }

    /// Wait for work; `None` once the mailbox is closed, even if work is left.
    pub fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Like [`JobQueue::take`], but finishes what waits before it ends.
    pub fn take_to_the_end(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wait for work at most so long; `None` when none came, or when the mailbox is closed and empty.
    pub fn take_within(&self, longest: Duration) -> Option<T> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let waited = self.filled.wait_timeout_while(self.lock(), longest, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting.pop_front()
    }

    /// Wait until there is something to do besides the work in hand: `true` when work waits or the mailbox is closed,
    /// `false` when nothing came for so long, or as soon as [`JobQueue::wake`] says that `is_over`.
    #[cfg(feature = "archive")]
    pub fn await_more(&self, longest: Duration, is_over: &AtomicBool) -> bool {
        let over = || is_over.load(Ordering::Relaxed);
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed && !over();
        let waited = self.filled.wait_timeout_while(self.lock(), longest, idle);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !over() && (!state.waiting.is_empty() || state.closed)
    }

    /// Have everyone who waits here look again, once `is_over` is set.
    #[cfg(feature = "archive")]
    pub fn wake(&self, is_over: &AtomicBool) {
        let state = self.lock();
        is_over.store(true, Ordering::Relaxed);
        drop(state);
        self.filled.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Tell the workers to end.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
