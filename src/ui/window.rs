//! The window on the screen. When its graphics device is lost it lets go of all that it can, and is opened anew: a
//! device cannot be replaced under a window that is open.

use std::cell::RefCell;
use std::rc::Rc;

use egui::{Context, Pos2, Ui, Vec2, ViewportBuilder, ViewportCommand};

use super::app::{App, HandedOver};
use super::graphics::DeviceWatch;
use super::{ShutdownRequest, WindowOptions, waker};
use crate::project::Project;

/// What one window leaves to the next.
struct Legacy {
    handed_over: HandedOver,
    /// Why there has to be another window, in the driver's words.
    reason: String,
    place: Place,
}

/// Where a window stood on the screen, in points.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    corner: Option<Pos2>,
    size: Option<Vec2>,
    is_maximized: bool,
    is_fullscreen: bool,
}

impl Place {
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

/// Shared by a window and whoever opens the next one.
#[derive(Default)]
pub struct Handover {
    legacy: RefCell<Option<Legacy>>,
    watch: RefCell<DeviceWatch>,
    shutdown: ShutdownRequest,
}

impl Handover {
    /// For a program that ends when `shutdown` says so.
    pub fn of(shutdown: ShutdownRequest) -> Self {
        Self { shutdown, ..Self::default() }
    }

    /// Why the window has ended, unless the user closed it.
    pub fn reason(&self) -> Option<String> {
        self.legacy.borrow().as_ref().map(|legacy| legacy.reason.clone())
    }

    /// Why the device of the last window is lost, if it is.
    pub(super) fn lost(&self) -> Option<String> {
        self.watch.borrow().lost()
    }

    /// Save what is kept, and end its workers.
    pub(super) fn finish(&self) {
        drop(self.legacy.take());
    }

    /// `viewport` at the place of the window before.
    pub(super) fn place(&self, viewport: ViewportBuilder) -> ViewportBuilder {
        match &*self.legacy.borrow() {
            Some(legacy) => legacy.place.give_to(viewport),
            None => viewport,
        }
    }
}

/// The app, for as long as its device draws.
pub struct Window {
    app: Option<App>,
    watch: DeviceWatch,
    handover: Rc<Handover>,
}

impl Window {
    /// Open it on what the window before has left, else on `project`.
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
        let legacy = handover.legacy.take();
        let app = match legacy {
            Some(Legacy { handed_over, reason, .. }) => {
                App::resume(creation, handed_over, &options, &reason)?
            }
            None => App::new(creation, project, options)?,
        };
        Ok(Self { app: Some(app), watch, handover })
    }

    /// What is in the window; nothing once its device is lost.
    pub fn app(&self) -> Option<&App> {
        self.app.as_ref()
    }

    /// The same, to work with.
    pub fn app_mut(&mut self) -> Option<&mut App> {
        self.app.as_mut()
    }

    /// When the device is lost: leave everything to the next window, and close this one without asking.
    fn leave_if_lost(&mut self, context: &Context) {
        let Some(reason) = self.watch.lost() else { return };
        if let Some(app) = self.app.take() {
            let place = Place::of(context);
            self.handover.legacy.replace(Some(Legacy { handed_over: app.hand_over(), reason, place }));
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
            app.absorb(crate::session::Event::Crashed(fault));
        }
        // As by the button: what cannot be saved is told, and the window stays.
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
        // egui's renderer panics when it has something to draw and no device.
        if self.watch.lost().is_some() {
            ui.ctx().graphics_mut(|layers| *layers = Default::default());
            ui.ctx().request_repaint();
        }
    }
}
