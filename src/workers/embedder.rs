//! The thread that embeds: it owns the encoder and follows the newest plan.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Post;
use crate::encoder::{self, DeviceChoice, Encoder};
use crate::pipeline::{EmbedControl, EmbedOutcome, EmbedProgress, EmbedSettings, embed_slide};
use crate::session::{EmbedPlan, EmbedTarget, Event, SlideProgress};
use crate::slide::SlideId;

/// Where plans are left for the embedder, and what it is doing meanwhile.
#[derive(Default)]
pub struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
}

#[derive(Default)]
struct DeskState {
    plan: Option<EmbedPlan>,
    running: Option<(SlideId, String, Arc<EmbedControl>)>,
    closed: bool,
}

impl Desk {
    /// Leave a new plan. Work on a slide that the plan still wants first goes on, with the plan's focus;
    /// other work makes room.
    pub fn submit(&self, plan: EmbedPlan) {
        let mut state = self.lock();
        if let Some((slide, recipe, control)) = &state.running {
            let first = plan.targets.first().map(|target| &target.slide.info().id);
            if first == Some(slide) && plan.recipe.short_id() == *recipe {
                control.set_focus(plan.focus);
                control.set_paused(plan.paused);
            } else {
                control.stop();
            }
        }
        state.plan = Some(plan);
        drop(state);
        self.changed.notify_all();
    }

    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some((_, _, control)) = &state.running {
            control.stop();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Wait until there is a slide to work on, and take it off the plan.
    fn next(&self) -> Option<(EmbedPlan, EmbedTarget, Arc<EmbedControl>)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(plan) = state.plan.as_mut().filter(|plan| !plan.paused && !plan.targets.is_empty()) {
                let target = plan.targets.remove(0);
                let control = Arc::new(EmbedControl::default());
                control.set_focus(plan.focus.take());
                let id = target.slide.info().id.clone();
                let taken = plan.clone();
                state.running = Some((id, taken.recipe.short_id(), control.clone()));
                return Some((taken, target, control));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The work on a slide has ended; a plan that came meanwhile must not start it again.
    fn done(&self, slide: &SlideId, interrupted: bool) {
        let mut state = self.lock();
        state.running = None;
        if let Some(plan) = state.plan.as_mut().filter(|_| !interrupted) {
            plan.targets.retain(|target| target.slide.info().id != *slide);
        }
    }

    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work through plans until the desk is closed.
pub fn run(desk: &Desk, device: DeviceChoice, post: &Post) {
    let mut loaded: Option<(String, Box<dyn Encoder>)> = None;
    while let Some((plan, target, control)) = desk.next() {
        let slide = target.slide.info().id.clone();
        if loaded.as_ref().is_none_or(|(name, _)| *name != plan.encoder) {
            match encoder::load(&plan.encoder, device) {
                Ok(encoder) => {
                    post.send(Event::EncoderRuns { device: encoder.device() });
                    loaded = Some((plan.encoder.clone(), encoder));
                }
                Err(error) => {
                    desk.done(&slide, false);
                    post.send(Event::EncoderFailed { reason: error.to_string() });
                    continue;
                }
            }
        }
        let Some((_, encoder)) = &mut loaded else { continue };
        let interrupted = embed(&plan, &target, encoder.as_mut(), &control, post);
        desk.done(&slide, interrupted);
    }
}

/// Embed one slide; true when it was interrupted.
fn embed(
    plan: &EmbedPlan,
    target: &EmbedTarget,
    encoder: &mut dyn Encoder,
    control: &EmbedControl,
    post: &Post,
) -> bool {
    let slide = &target.slide.info().id;
    let mut tell = |progress| post.send(event(slide, progress));
    let outcome = embed_slide(
        target.slide.as_ref(),
        target.tissue.as_deref(),
        encoder,
        &plan.recipe,
        &plan.store,
        EmbedSettings::default(),
        control,
        &mut tell,
    );
    match outcome {
        Ok(EmbedOutcome::Finished { set, .. }) => post.send(Event::DescriptorsReady { set, finished: true }),
        Ok(EmbedOutcome::Interrupted) => {
            post.send(Event::EmbeddingInterrupted { slide: slide.clone() });
            return true;
        }
        Err(error) => post.send(Event::EmbeddingFailed { slide: slide.clone(), reason: error.to_string() }),
    }
    false
}

fn event(slide: &SlideId, progress: EmbedProgress) -> Event {
    let slide = slide.clone();
    match progress {
        EmbedProgress::Started { done, total, failed } => {
            Event::EmbeddingStarted { slide, progress: SlideProgress { done, total, failed } }
        }
        EmbedProgress::Tiles { done, total, failed, tiles_per_second } => Event::EmbeddingProgress {
            slide,
            progress: SlideProgress { done, total, failed },
            tiles_per_second,
        },
        EmbedProgress::Searchable(set) => Event::DescriptorsReady { set, finished: false },
        EmbedProgress::Notice(text) => Event::Notice(text),
    }
}
