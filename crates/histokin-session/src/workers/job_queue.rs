//! A queue through which jobs reach a worker; the sender never waits.
//!
//! Its length is limited by its use: the session adds one job for each slide or listed tile, a job of which only
//! the newest counts (a search, a plan, a project to save) replaces those that wait, and jobs of a project that was
//! left are dropped.

use std::collections::VecDeque;
#[cfg(feature = "archive")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::session::{Issued, ProjectJob, ProjectNumber};

/// Jobs that wait for one or several threads.
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
    /// Adds a job at the end.
    pub fn push(&self, work: T) {
        self.lock().waiting.push_back(work);
        self.filled.notify_one();
    }

    /// Adds a job before the first waiting one that `can_wait`.
    pub fn push_before(&self, work: T, can_wait: impl Fn(&T) -> bool) {
        let mut state = self.lock();
        let at = state.waiting.iter().position(can_wait).unwrap_or(state.waiting.len());
        state.waiting.insert(at, work);
        drop(state);
        self.filled.notify_one();
    }

    /// Replaces all waiting jobs by this one.
    pub fn replace(&self, work: T) {
        self.replace_where(work, |_| true);
    }

    /// Replaces the waiting jobs that are `outdated` by this one, which goes to the end.
    pub fn replace_where(&self, work: T, outdated: impl Fn(&T) -> bool) {
        let mut state = self.lock();
        state.waiting.retain(|other| !outdated(other));
        state.waiting.push_back(work);
        drop(state);
        self.filled.notify_one();
    }

    /// Drops all waiting jobs.
    pub fn clear(&self) {
        self.lock().waiting.clear();
    }

    /// Waits for a job; returns `None` once the queue is closed, even if jobs are left.
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

    /// Waits like [`JobQueue::take`], but returns the remaining jobs before it ends.
    pub fn take_until_empty(&self) -> Option<T> {
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

    /// Waits for a job, at most `longest`; returns `None` if none came, or if the queue is closed and empty.
    pub fn take_within(&self, longest: Duration) -> Option<T> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let waited = self.filled.wait_timeout_while(self.lock(), longest, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting.pop_front()
    }

    /// Waits until there is something to do besides the current job. Returns true when a job waits or the
    /// queue is closed, false after `longest`, or as soon as [`JobQueue::wake`] sets `is_over`.
    #[cfg(feature = "archive")]
    pub fn await_more(&self, longest: Duration, is_over: &AtomicBool) -> bool {
        let over = || is_over.load(Ordering::Relaxed);
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed && !over();
        let waited = self.filled.wait_timeout_while(self.lock(), longest, idle);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !over() && (!state.waiting.is_empty() || state.closed)
    }

    /// Sets `is_over` and wakes all threads that wait for this queue.
    #[cfg(feature = "archive")]
    pub fn wake(&self, is_over: &AtomicBool) {
        let state = self.lock();
        is_over.store(true, Ordering::Relaxed);
        drop(state);
        self.filled.notify_all();
    }

    /// Whether [`JobQueue::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes the queue, so that its workers end.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Number of waiting jobs.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ProjectJob> JobQueue<Issued<T>> {
    /// Drops the waiting jobs of projects that were left, except those that are done all the same; `open` is the number of
    /// the project that is open.
    pub fn leave_for(&self, open: ProjectNumber) {
        self.lock().waiting.retain(|issued| issued.is_wanted_in(open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_replaces_only_what_it_makes_outdated() {
        let queue = JobQueue::default();
        for work in [("a", 1), ("b", 2), ("a", 3)] {
            queue.replace_where(work, |other| other.0 == work.0);
        }
        queue.close();
        assert_eq!([queue.take_until_empty(), queue.take_until_empty()], [Some(("b", 2)), Some(("a", 3))]);
        assert_eq!(queue.take_until_empty(), None);
    }

    #[test]
    fn a_job_goes_before_those_that_can_wait_and_behind_the_others() {
        let queue = JobQueue::default();
        let can_wait = |number: &u32| *number >= 10;
        for number in [10, 11] {
            queue.push(number);
        }
        for number in [1, 2] {
            queue.push_before(number, can_wait);
        }
        queue.push(12);
        let order: Vec<u32> = (0..5).filter_map(|_| queue.take()).collect();
        assert_eq!(order, [1, 2, 10, 11, 12]);
    }
}
