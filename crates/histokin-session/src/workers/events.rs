//! How workers report to the session.

use crossbeam_channel::Sender;

use super::Waker;
use crate::crash;
use crate::session::{Event, MessageEvent, ProjectNumber, Report};

/// Makes the senders by which workers report. It sends nothing itself: an event is sent for the project of the job that it
/// reports on.
#[derive(Clone)]
pub struct EventChannel {
    pub(super) reports: Sender<Report>,
    pub(super) waker: Waker,
}

impl EventChannel {
    /// Returns a sender for jobs of a project.
    pub fn of(&self, project: ProjectNumber) -> EventSender {
        EventSender { channel: self.clone(), of: project }
    }
}

/// Sends the events of a worker to the session, as those of the project for which the worker works.
#[derive(Clone)]
pub struct EventSender {
    channel: EventChannel,
    of: ProjectNumber,
}

impl EventSender {
    /// Runs `work`. If it panics, only this job has failed: the session gets the event made by `failed`, if
    /// any, and a report.
    pub(super) fn attempt(
        &self,
        doing: &str,
        work: impl FnOnce(),
        failed: impl FnOnce(String) -> Option<Event>,
    ) {
        if let Err(crash) = crash::catch(doing, work) {
            if let Some(event) = failed(crash.summary.clone()) {
                self.send(event);
            }
            self.send(MessageEvent::Crashed(crash));
        }
    }

    /// Sends an event. At the end of the program nobody receives it, which does no harm.
    pub fn send(&self, event: impl Into<Event>) {
        if self.channel.reports.send(Report { of: self.of, event: event.into() }).is_ok() {
            (self.channel.waker)();
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use crossbeam_channel::Receiver;

    use super::*;

    /// A channel for tests, and what receives from it.
    pub fn channel() -> (EventChannel, Receiver<Report>) {
        let (reports, received) = crossbeam_channel::unbounded();
        (EventChannel { reports, waker: Arc::new(|| {}) }, received)
    }
}
