//! Handing the session, its workers and the window's state to a new window when the graphics device is lost.

use std::sync::{Arc, Mutex, PoisonError};

use egui::Context;

use super::{App, Chrome};
use crate::session::{MessageEvent, Session};
use crate::ui::WindowOptions;
use crate::ui::single_instance::Listener;
use crate::ui::slide_view::Appearance;
use crate::ui::window_state::WindowState;
use crate::workers::{Waker, Workers};

/// State that the next window continues with. Dropping it ends the workers, which save everything that can be
/// saved.
pub struct HandedOver {
    /// Dropped first, as in [`App`].
    pub(super) listener: Option<Listener>,
    pub(super) session: Session,
    pub(super) workers: Workers,
    pub(super) window_waker: WindowWaker,
    pub(super) window_state: WindowState,
    pub(super) appearance: Appearance,
    pub(super) chrome: Chrome,
}

/// Wakes the current window, for workers that outlive a window.
#[derive(Clone)]
pub(super) struct WindowWaker(Arc<Mutex<Context>>);

impl WindowWaker {
    /// Creates a waker of the window of `context`.
    pub(super) fn of(context: &Context) -> Self {
        Self(Arc::new(Mutex::new(context.clone())))
    }

    /// Wakes the window of `context` from now on.
    fn wake_from_now(&self, context: &Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = context.clone();
    }

    /// Returns a function that wakes the current window.
    pub(super) fn waker(&self) -> Waker {
        let window_waker = self.clone();
        Arc::new(move || window_waker.0.lock().unwrap_or_else(PoisonError::into_inner).request_repaint())
    }
}

impl App {
    /// Closes this window and frees everything that belongs to its graphics device.
    pub fn hand_over(mut self) -> HandedOver {
        self.remember();
        let Self { session, workers, window, canvas, chrome, window_state, listener, .. } = self;
        HandedOver {
            session,
            workers,
            window_waker: window.waker,
            window_state,
            appearance: canvas.appearance,
            chrome,
            listener,
        }
    }

    /// Continues in a new window after the graphics device of the previous one was lost; `reason` is the
    /// driver's message.
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
        // Textures were lost with the device, and the clock of the new window starts again.
        handed_over.chrome.training.drop_pictures();
        handed_over.chrome.encoders.drop_pictures();
        handed_over.chrome.notice = None;
        handed_over.chrome.notes.clear();
        let mut app = Self::with(creation, options, handed_over)?;
        app.absorb(MessageEvent::Error(format!(
            "The graphics card stopped drawing ({reason}), and the window was reopened. Nothing is lost, and \
             background work continues. If this happens again, update the graphics driver, or start with \
             `histokin --safe-gpu`"
        )));
        Ok(app)
    }
}
