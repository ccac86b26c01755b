//! The thread that checks whether unavailable slides can be read again, and whether the companions of open slides were
//! replaced.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::job_queue::JobQueue;
use super::{EventChannel, EventSender};
use crate::crash;
use crate::session::{Issued, ProjectJob, SlideEvent};
use histokin_core::slide::SlideSource;

/// How long to wait before the first check of an unavailable slide. The wait doubles with each check.
const FIRST_CHECK: Duration = Duration::from_secs(1);

/// Longest wait between two checks, and the wait between those of an open slide.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to wait when there is no slide to check.
const IDLE: Duration = Duration::from_secs(3600);

/// A slide to be checked.
pub enum Watch {
    /// It is open.
    Open(Arc<dyn SlideSource>),
    /// It cannot be read at present.
    Unavailable(Arc<dyn SlideSource>),
}

impl ProjectJob for Watch {
    fn writes(&self) -> bool {
        false
    }
}

/// A slide that is checked until nobody else uses it or, if it is unavailable, until it can be read again.
struct Watched {
    slide: Weak<dyn SlideSource>,
    events: EventSender,
    is_open: bool,
    due: Instant,
    wait: Duration,
}

impl Watched {
    fn new(watch: &Watch, events: EventSender) -> Self {
        let (slide, is_open, wait) = match watch {
            Watch::Open(slide) => (slide, true, LONGEST_WAIT),
            Watch::Unavailable(slide) => (slide, false, FIRST_CHECK),
        };
        Self { slide: Arc::downgrade(slide), events, is_open, due: Instant::now() + wait, wait }
    }

    /// Checks the slide if it is due; returns whether it is to be checked again.
    fn check(&mut self) -> bool {
        let Some(slide) = self.slide.upgrade() else { return false };
        if self.due > Instant::now() {
            return true;
        }
        let id = || slide.info().id.clone();
        match crash::catch("Checking a slide", || slide.check()) {
            Ok(Ok(())) if !self.is_open => {
                self.events.send(SlideEvent::Available { slide: id() });
                return false;
            }
            Ok(Err(error)) if self.is_open => {
                let reason = error.to_string();
                self.events.send(SlideEvent::Unavailable { slide: id(), reason });
            }
            _ => {}
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.due = Instant::now() + self.wait;
        true
    }
}

/// Checks the given slides until the queue is closed.
pub fn run(slides: &JobQueue<Issued<Watch>>, channel: &EventChannel) {
    let mut watched: Vec<Watched> = Vec::new();
    while !slides.is_closed() {
        let now = Instant::now();
        let wait = watched.iter().map(|one| one.due.saturating_duration_since(now)).min().unwrap_or(IDLE);
        if let Some(watch) = slides.take_within(wait) {
            watched.push(Watched::new(&watch.job, channel.of(watch.of)));
            continue;
        }
        watched.retain_mut(Watched::check);
    }
}
