//! The view as a picture, for a file or the clipboard.

use egui::Context;

use super::App;
use crate::session::{Command, Profile};
use crate::ui::export::{Destination, Export, Exported, LARGEST_PX};
use crate::ui::slide_view::ScaleBar;
use crate::ui::waker;

impl App {
    /// The view at work as a picture with `scale` pixels for each of its own.
    pub(super) fn export(
        &mut self,
        context: &Context,
        scale: f64,
        scale_bar: bool,
        destination: Destination,
    ) {
        let Some(state) = self.session.active() else { return };
        let Some(shown) = self.slides.get(state.id()) else { return };
        let (camera, view) = self.panes.view().seen();
        let px = |length: f64| (length * scale).round().clamp(1.0, f64::from(LARGEST_PX)) as u32;
        let normaliser = self.session.normaliser(state.id());
        let profile = match &state.profile {
            Profile::Known(table) if self.appearance.wants_profile() => Some(table.clone()),
            _ => None,
        };
        let pixels_per_point = context.pixels_per_point() * scale as f32;
        let export = Export {
            pyramid: shown.pyramid.clone(),
            camera,
            span: (view.0 / camera.zoom, view.1 / camera.zoom),
            size: (px(view.0), px(view.1)),
            shading: self.appearance.shading(normaliser.as_ref()),
            profile,
            marks: shown.marks.iter().filter(|_| self.chrome.marks_shown).cloned().collect(),
            scale_bar: scale_bar.then_some(ScaleBar { mpp: state.source.info().mpp, pixels_per_point }),
            destination,
        };
        if let Err(error) = self.exporter.start(self.renderer.still_painter(), export, waker(context)) {
            self.command(Command::Report(format!(
                "the view was not drawn: the system gives no thread: {error}"
            )));
        }
    }

    /// Take over pictures that are done.
    pub(super) fn finish_exports(&mut self, context: &Context) {
        for finished in self.exporter.take_finished() {
            match finished {
                Exported::Saved(path) => self.notice(context, format!("Saved {}", path.display())),
                Exported::ToCopy(picture) => {
                    let size = [picture.width() as usize, picture.height() as usize];
                    context.copy_image(egui::ColorImage::from_rgb(size, picture.as_raw()));
                    self.notice(context, "The view is on the clipboard.");
                }
                Exported::Failed(reason) => self.command(Command::Report(reason)),
            }
        }
    }
}
