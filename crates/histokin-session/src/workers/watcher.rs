//! The thread that looks whether slides that could not be read any more are back.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::EventSender;
use super::job_queue::JobQueue;
use crate::crash;
use crate::session::Event;
use histokin_core::slide::SlideSource;

/// How long to wait before the first look, and at most between two of them; the time between doubles.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to wait when there is nothing to look for.
const IDLE: Duration = Duration::from_secs(3600);

/// A slide that is looked for. Once nobody else has it, it is not looked for any more.
struct Unavailable {
    slide: Weak<dyn SlideSource>,
    due: Instant,
    wait: Duration,
}

/// Look for the slides that are handed in until the mailbox is closed.
pub fn run(slides: &JobQueue<Arc<dyn SlideSource>>, events: &EventSender) {
    let mut unavailable: Vec<Unavailable> = Vec::new();
    while !slides.is_closed() {
        let now = Instant::now();
        let wait =
            unavailable.iter().map(|slide| slide.due.saturating_duration_since(now)).min().unwrap_or(IDLE);
        if let Some(slide) = slides.take_within(wait) {
            unavailable.push(Unavailable {
                slide: Arc::downgrade(&slide),
                due: Instant::now() + FIRST_LOOK,
                wait: FIRST_LOOK,
            });
            continue;
        }
        unavailable.retain_mut(|one| {
            let Some(slide) = one.slide.upgrade() else { return false };
            if one.due > Instant::now() {
                return true;
            }
            if let Ok(Ok(())) = crash::catch("Looking for a slide", || slide.check()) {
                events.send(Event::SlideBack { slide: slide.info().id.clone() });
                return false;
            }
            one.wait = (one.wait * 2).min(LONGEST_WAIT);
            one.due = Instant::now() + one.wait;
            true
        });
    }
}
