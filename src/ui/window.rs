//! The window on the screen. When its graphics device is lost, it frees everything that it can, and a new
//! window is opened: the device of an open window cannot be replaced.

use std::cell::RefCell;
use std::rc::Rc;

use egui::{Context, Pos2, Ui, Vec2, ViewportBuilder, ViewportCommand};

use super::app::{App, HandedOver};
use super::graphics::DeviceWatch;
use super::{ShutdownRequest, WindowOptions, waker};
use crate::project::Project;

/// State that one window leaves to the next.
struct PreviousWindow {
    handed_over: HandedOver,
    /// Why another window is needed; the driver's message.
    reason: String,
    place: Placement,
}

/// Position and size of a window on the screen, in points.
#[derive(Debug, Clone, Copy, Default)]
struct Placement {
    corner: Option<Pos2>,
    size: Option<Vec2>,
    is_maximized: bool,
    is_fullscreen: bool,
}

impl Placement {
    fn of(context: &Context) -> Self {
        context.input(|input| {
            let seen = input.viewport();
            Self {
                corner: seen.outer_rect.map(|rect| rect.min),
                size: seen.inner_rect.map(|rect| rect.size()),
                is_maximized: seen.maximized.unwrap_or(false),
                is_fullscreen: seen.fullscreen.unwrap_or(false),
            }
        })
    }

    /// Applies position and size to `viewport`.
    fn give_to(self, mut viewport: ViewportBuilder) -> ViewportBuilder {
        if let Some(corner) = self.corner {
            viewport = viewport.with_position(corner);
        }
        if let Some(size) = self.size.filter(|size| size.min_elem() >= 1.0) {
            viewport = viewport.with_inner_size(size);
        }
        viewport.with_maximized(self.is_maximized).with_fullscreen(self.is_fullscreen)
    }
}

/// State shared by successive windows and the code that opens them.
#[derive(Default)]
pub struct Handover {
    previous: RefCell<Option<PreviousWindow>>,
    watch: RefCell<DeviceWatch>,
    shutdown: ShutdownRequest,
}

impl Handover {
    /// Creates the state for a program that ends on request of `shutdown`.
    pub fn of(shutdown: ShutdownRequest) -> Self {
        Self { shutdown, ..Self::default() }
    }

    /// Returns why the window ended, unless the user closed it.
    pub fn reason(&self) -> Option<String> {
        self.previous.borrow().as_ref().map(|previous| previous.reason.clone())
    }

    /// Returns why the device of the last window was lost, if it was.
    pub(super) fn lost(&self) -> Option<String> {
        self.watch.borrow().lost()
    }

    /// Saves the session and ends its workers.
    pub(super) fn finish(&self) {
        drop(self.previous.take());
    }

    /// Returns `viewport` with position and size of the previous window.
    pub(super) fn place(&self, viewport: ViewportBuilder) -> ViewportBuilder {
        match &*self.previous.borrow() {
            Some(previous) => previous.place.give_to(viewport),
            None => viewport,
        }
    }
}

/// The app, while its graphics device works.
pub struct Window {
    app: Option<App>,
    watch: DeviceWatch,
    handover: Rc<Handover>,
}

impl Window {
    /// Opens a window with the state of the previous one, or else with `project`.
    ///
    /// # Errors
    /// As [`App::new`].
    pub fn open(
        creation: &eframe::CreationContext<'_>,
        project: Project,
        options: WindowOptions,
        handover: Rc<Handover>,
    ) -> anyhow::Result<Self> {
        let watch = DeviceWatch::default();
        if let Some(gpu) = &creation.wgpu_render_state {
            watch.observe(&gpu.device, waker(&creation.egui_ctx));
        }
        handover.watch.replace(watch.clone());
        handover.shutdown.concerns(&creation.egui_ctx);
        let previous = handover.previous.take();
        let app = match previous {
            Some(PreviousWindow { handed_over, reason, .. }) => {
                App::resume(creation, handed_over, &options, &reason)?
            }
            None => App::new(creation, project, options)?,
        };
        Ok(Self { app: Some(app), watch, handover })
    }

    /// The app; `None` once the device is lost.
    pub fn app(&self) -> Option<&App> {
        self.app.as_ref()
    }

    /// The app, mutable; `None` once the device is lost.
    pub fn app_mut(&mut self) -> Option<&mut App> {
        self.app.as_mut()
    }

    /// If the device is lost, hands everything to the next window and closes this one without asking.
    fn leave_if_lost(&mut self, context: &Context) {
        let Some(reason) = self.watch.lost() else { return };
        if let Some(app) = self.app.take() {
            let place = Placement::of(context);
            self.handover.previous.replace(Some(PreviousWindow {
                handed_over: app.hand_over(),
                reason,
                place,
            }));
        }
        context.send_viewport_cmd(ViewportCommand::Close);
        context.request_repaint();
    }
}

impl eframe::App for Window {
    fn logic(&mut self, context: &Context, frame: &mut eframe::Frame) {
        self.leave_if_lost(context);
        let Some(app) = &mut self.app else { return };
        if let Some(fault) = self.watch.take_fault() {
            app.absorb(crate::session::MessageEvent::Crashed(fault));
        }
        // As by the close button: unsaved changes are reported, and the window stays.
        if self.handover.shutdown.take() {
            context.send_viewport_cmd(ViewportCommand::Close);
        }
        app.logic(context, frame);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if let Some(app) = &mut self.app {
            app.save(storage);
        }
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        self.leave_if_lost(ui.ctx());
        if let Some(app) = &mut self.app {
            app.ui(ui, frame);
        }
        // egui's renderer panics if it has something to draw and no device.
        if self.watch.lost().is_some() {
            ui.ctx().graphics_mut(|layers| *layers = Default::default());
            ui.ctx().request_repaint();
        }
    }
}
