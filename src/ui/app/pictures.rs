//! Exporting the view or a region as a picture, to a file or the clipboard.

use std::path::Path;

use egui::Context;

use super::{App, TilePicture};
use crate::geometry::{Level0Point, Stretch};
use crate::session::{MessageCommand, Profile};
use crate::slide::SlideId;
use crate::ui::export::{Destination, Export, Exported, ExportedAnnotations, PictureArea};
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panels::save_view::{SaveForm, SaveRequest};
use crate::ui::slide_view::camera::Camera;
use crate::ui::slide_view::{Magnification, ScaleBar};
use crate::ui::waker;

impl App {
    /// The area of the active view, as the area of a picture.
    pub(super) fn area_in_view(&self) -> PictureArea {
        let (camera, view) = self.canvas.panes.view().seen();
        PictureArea { camera, span: (view.0 / camera.zoom, view.1 / camera.zoom) }
    }

    /// Opens the dialog for saving a picture of `area` of a slide, with overlays if the user leaves it at that.
    pub(super) fn offer_picture(&mut self, slide: SlideId, area: PictureArea, with_overlays: bool) {
        let Some(state) = self.session.slide(&slide) else { return };
        let info = state.source.info();
        let magnification = Magnification::of(1.0, info.mpp, info.objective_power);
        let folder = self.window_state.picture_folder.as_deref();
        let form = SaveForm::new(slide, &info.name(), (area, magnification), with_overlays, folder);
        self.chrome.dialog = Some(Dialog::SaveView(form));
    }

    /// Copies the image of a tile, or opens the dialog for saving it: upright, at 1:1, and without what is drawn on the slide,
    /// since that includes the outline of the tile.
    pub(super) fn picture_of_tile(&mut self, context: &Context, picture: TilePicture) {
        let (TilePicture::Copy(tile) | TilePicture::Save(tile)) = &picture;
        let Some(state) = self.session.slide(&tile.slide) else { return };
        let corner = |x: i64, y: i64| Level0Point::new(x as f64, y as f64);
        let rect = tile.rect;
        let corners = [corner(rect.x, rect.y), corner(rect.right(), rect.bottom())];
        let upright =
            Camera { stretch: Stretch::of(state.source.info().mpp), ..Camera::upright(rect.center()) };
        let Some((camera, span)) = upright.around(&corners) else { return };
        let area = PictureArea { camera: Camera { zoom: 1.0, ..camera }, span };
        let slide = tile.slide.clone();
        match picture {
            TilePicture::Save(_) => self.offer_picture(slide, area, false),
            TilePicture::Copy(_) => {
                let request = SaveRequest { scale_bar: false, ..SaveRequest::copy_of(slide, area, false) };
                self.export(context, request);
            }
        }
    }

    /// Opens the dialog for saving the drawn or selected region, given by its corners.
    pub(super) fn offer_region(&mut self, corners: &[Level0Point]) {
        let (camera, _) = self.canvas.panes.view().seen();
        let slide = self.session.active().map(|state| state.id().clone());
        if let Some((slide, (camera, span))) = slide.zip(camera.around(corners)) {
            self.offer_picture(slide, PictureArea { camera, span }, self.chrome.highlights_shown);
        }
    }

    /// Starts drawing the requested picture.
    pub(super) fn export(&mut self, context: &Context, request: SaveRequest) {
        let SaveRequest { slide, area, size, scale_bar, overlays, destination } = request;
        let Some(state) = self.session.slide(&slide) else { return };
        let Some(shown) = self.canvas.slides.get(&slide) else { return };
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
        let annotations_shown = overlays && self.chrome.annotations_shown;
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
            marks: shown.marks.iter().filter(|_| overlays).cloned().collect(),
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
