//! Exporting the view or a region as a picture, to a file or the clipboard.

use std::path::Path;

use egui::Context;

use super::App;
use crate::geometry::Level0Point;
use crate::session::{MessageCommand, Profile};
use crate::ui::export::{Destination, Export, Exported, ExportedAnnotations, PictureArea};
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panels::save_view::{SaveForm, SaveRequest};
use crate::ui::slide_view::{Magnification, ScaleBar};
use crate::ui::waker;

impl App {
    /// The area of the active view, as the area of a picture.
    pub(super) fn area_in_view(&self) -> PictureArea {
        let (camera, view) = self.canvas.panes.view().seen();
        PictureArea { camera, span: (view.0 / camera.zoom, view.1 / camera.zoom) }
    }

    /// Opens the dialog for saving a picture of `area`.
    pub(super) fn offer_picture(&mut self, area: PictureArea) {
        let Some(state) = self.session.active() else { return };
        let info = state.source.info();
        let magnification = Magnification::of(1.0, info.mpp, info.objective_power);
        let folder = self.window_state.picture_folder.as_deref();
        let form = SaveForm::new(&info.name(), area, magnification, folder);
        self.chrome.dialog = Some(Dialog::SaveView(form));
    }

    /// Opens the dialog for saving the drawn or selected region, given by its corners.
    pub(super) fn offer_region(&mut self, corners: &[Level0Point]) {
        let (camera, _) = self.canvas.panes.view().seen();
        if let Some((camera, span)) = camera.around(corners) {
            self.offer_picture(PictureArea { camera, span });
        }
    }

    /// Starts drawing the requested picture of the active slide.
    pub(super) fn export(&mut self, context: &Context, request: SaveRequest) {
        let Some(state) = self.session.active() else { return };
        let Some(shown) = self.canvas.slides.get(state.id()) else { return };
        let SaveRequest { area, size, scale_bar, destination } = request;
        if let Destination::File(path) = &destination {
            self.window_state.picture_folder = path.parent().map(Path::to_owned);
        }
        let normaliser = self.session.normaliser(state.id());
        let profile = match &state.profile {
            Profile::Known(table) if self.canvas.appearance.wants_profile() => Some(table.clone()),
            _ => None,
        };
        // The scale bar has the same size relative to the picture as on the screen, but at most half the
        // picture's width.
        let on_screen = area.span.0 * area.camera.zoom / f64::from(size.0);
        let widest = (size.0 as f32 / 450.0).max(0.8);
        let pixels_per_point = (context.pixels_per_point() / on_screen as f32).min(widest);
        let annotations_shown = self.chrome.highlights_shown && self.chrome.annotations_shown;
        let annotations = self.session.annotations(state.id()).filter(|_| annotations_shown);
        let annotations = annotations.map(|annotations| ExportedAnnotations {
            set: annotations.set().clone(),
            hidden: annotations.hidden().clone(),
            colours: annotations.detection_colours().clone(),
            filled: self.chrome.annotations_filled,
            pixels_per_point,
        });
        let export = Export {
            pyramid: shown.pyramid.clone(),
            area,
            size,
            shading: self.canvas.appearance.shading(normaliser.as_ref(), &self.session.stain(state.id())),
            profile,
            marks: shown.marks.iter().filter(|_| self.chrome.highlights_shown).cloned().collect(),
            annotations,
            scale_bar: scale_bar.then_some(ScaleBar { mpp: state.source.info().mpp, pixels_per_point }),
            destination,
        };
        if let Err(error) =
            self.files.exporter.start(self.canvas.renderer.offscreen_renderer(), export, waker(context))
        {
            self.command(MessageCommand::Report(format!(
                "the image was not drawn: no thread could be started: {error}"
            )));
        } else if size.0.max(size.1) > 4000 {
            self.notice(context, format!("Drawing {} × {} px…", size.0, size.1));
        }
    }

    /// Handles pictures that are done.
    pub(super) fn finish_exports(&mut self, context: &Context) {
        for finished in self.files.exporter.take_finished() {
            match finished {
                Exported::Saved(path) => self.notice(context, format!("Saved {}", path.display())),
                Exported::ToCopy(picture) => {
                    let size = [picture.width() as usize, picture.height() as usize];
                    context.copy_image(egui::ColorImage::from_rgb(size, picture.as_raw()));
                    self.notice(context, "Image copied to the clipboard.");
                }
                Exported::Failed(reason) => self.command(MessageCommand::Report(reason)),
            }
        }
    }
}
