//! The thread that checks whether unavailable slides can be read again.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::EventSender;
use super::job_queue::JobQueue;
use crate::crash;
use crate::session::SlideEvent;
use histokin_core::slide::SlideSource;

/// How long to wait before the first check. The wait doubles with each check.
const FIRST_CHECK: Duration = Duration::from_secs(1);

/// Longest wait between two checks.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to wait when there is no slide to check.
const IDLE: Duration = Duration::from_secs(3600);

/// A slide that is checked until nobody else uses it.
struct Unavailable {
    slide: Weak<dyn SlideSource>,
    due: Instant,
    wait: Duration,
}

/// Checks the given slides until the queue is closed.
pub fn run(slides: &JobQueue<Arc<dyn SlideSource>>, events: &EventSender) {
    let mut unavailable: Vec<Unavailable> = Vec::new();
    while !slides.is_closed() {
        let now = Instant::now();
        let wait =
            unavailable.iter().map(|slide| slide.due.saturating_duration_since(now)).min().unwrap_or(IDLE);
        if let Some(slide) = slides.take_within(wait) {
            unavailable.push(Unavailable {
                slide: Arc::downgrade(&slide),
                due: Instant::now() + FIRST_CHECK,
                wait: FIRST_CHECK,
            });
            continue;
        }
        unavailable.retain_mut(|one| {
            let Some(slide) = one.slide.upgrade() else { return false };
            if one.due > Instant::now() {
                return true;
            }
            if let Ok(Ok(())) = crash::catch("Checking a slide", || slide.check()) {
                events.send(SlideEvent::Available { slide: slide.info().id.clone() });
                return false;
            }
            one.wait = (one.wait * 2).min(LONGEST_WAIT);
            one.due = Instant::now() + one.wait;
            true
        });
    }
}
