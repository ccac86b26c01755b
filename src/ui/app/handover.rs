//! What goes on when a window cannot: the session, its workers, and how the window stood, for the next one.

use std::sync::{Arc, Mutex, PoisonError};

use egui::Context;

use super::{App, Chrome};
use crate::session::{Event, Session};
use crate::ui::WindowOptions;
use crate::ui::remembered::Remembered;
use crate::ui::slide_view::Appearance;
use crate::workers::{Waker, Workers};

/// What the next window goes on with. Dropping it ends the workers; all that can be saved is saved then.
pub struct HandedOver {
    pub(super) session: Session,
    pub(super) workers: Workers,
    pub(super) window_waker: WindowWaker,
    pub(super) remembered: Remembered,
    pub(super) appearance: Appearance,
    pub(super) chrome: Chrome,
}

/// Wakes whichever window there is, for workers that outlive one.
#[derive(Clone)]
pub(super) struct WindowWaker(Arc<Mutex<Context>>);

impl WindowWaker {
    pub(super) fn of(context: &Context) -> Self {
        Self(Arc::new(Mutex::new(context.clone())))
    }

    fn wake_from_now(&self, context: &Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = context.clone();
    }

    pub(super) fn waker(&self) -> Waker {
        let window_waker = self.clone();
        Arc::new(move || window_waker.0.lock().unwrap_or_else(PoisonError::into_inner).request_repaint())
    }
}

impl App {
    /// Give up this window, and all that belongs to its graphics device.
    pub fn hand_over(mut self) -> HandedOver {
        self.remember();
        let Self { session, workers, window_waker, remembered, appearance, chrome, .. } = self;
        HandedOver { session, workers, window_waker, remembered, appearance, chrome }
    }

    /// Go on in a new window after the graphics device of the one before was lost; `reason` in the driver's words.
    ///
    /// # Errors
    /// As [`App::new`].
    pub fn resume(
        creation: &eframe::CreationContext<'_>,
        mut handed_over: HandedOver,
        options: &WindowOptions,
        reason: &str,
    ) -> anyhow::Result<Self> {
        handed_over.window_waker.wake_from_now(&creation.egui_ctx);
        // Pictures were on the card, and the clock of the new window begins anew.
        handed_over.chrome.training.drop_pictures();
        handed_over.chrome.notice = None;
        handed_over.chrome.notes.clear();
        let mut app = Self::with(creation, options, handed_over)?;
        app.absorb(Event::Trouble(format!(
            "The graphics card stopped drawing ({reason}), and the window was opened anew. Nothing is lost: what was \
             going on in the background goes on. If this happens again, update the card's driver, or start with \
             `histokin --safe-gpu`"
        )));
        Ok(app)
    }
}
