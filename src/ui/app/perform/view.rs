//! Actions that move over a slide and change how it is shown.

use egui::Context;

use super::App;
use crate::slide::SlideId;
use crate::ui::actions::{SlideAction, ViewAction};
use crate::ui::file_dialog::Choose;
use crate::ui::panels::save_view::SaveRequest;
use crate::ui::panes::Split;
use crate::ui::region_tool::{RegionShape, RegionUse};
use crate::ui::slide_view::Mirror;

impl App {
    pub(super) fn perform_view_action(&mut self, context: &Context, action: ViewAction) {
        match action {
            ViewAction::ChoosePictureFile => self.choose_file(context, Choose::Picture),
            ViewAction::Fit => self.canvas.panes.view_mut().fit(),
            ViewAction::ZoomIn => self.canvas.panes.view_mut().zoom_by(2.0),
            ViewAction::ZoomOut => self.canvas.panes.view_mut().zoom_by(0.5),
            ViewAction::ZoomTo(power) => {
                if !self.canvas.panes.view_mut().zoom_to_magnification(power)
                    && self.session.active().is_some()
                {
                    let text = "This slide is not calibrated, so its magnification is unknown. Use";
                    self.notice_with(context, SlideAction::Calibrate, text);
                }
            }
            ViewAction::ZoomToPixels => self.canvas.panes.view_mut().zoom_to_pixels(),
            ViewAction::Move(right, down) => self.canvas.panes.view_mut().step(right.into(), down.into()),
            ViewAction::Turn(degrees) => self.canvas.panes.view_mut().turn_by(degrees.into()),
            ViewAction::MirrorLeftRight => self.canvas.panes.view_mut().mirror(Mirror::LeftRight),
            ViewAction::MirrorTopBottom => self.canvas.panes.view_mut().mirror(Mirror::TopBottom),
            ViewAction::Upright => self.canvas.panes.view_mut().make_upright(),
            ViewAction::ToggleAppearance => self.chrome.appearance_open ^= true,
            ViewAction::NextColouring => {
                self.canvas.appearance.colouring = self.canvas.appearance.colouring.next()
            }
            ViewAction::ResetColours => self.canvas.appearance.reset(),
            ViewAction::Split(split) => {
                self.canvas.panes.divide(split, &self.session, &self.canvas.renderer, &self.canvas.loader)
            }
            ViewAction::LinkPanes => {
                self.canvas.panes.linked =
                    !self.canvas.panes.linked && self.canvas.panes.split() != Split::ONE
            }
            ViewAction::ToggleViewHistory => self.chrome.view_history_shown ^= true,
            ViewAction::ClearViewHistory => {
                let in_view: Vec<SlideId> = self.canvas.panes.slides().cloned().collect();
                in_view.iter().for_each(|slide| self.canvas.view_histories.clear(slide));
            }
            ViewAction::Save => {
                if self.session.active().is_some() {
                    self.offer_picture(self.area_in_view());
                }
            }
            ViewAction::SaveRegion => {
                self.chrome.dialog = None;
                self.take_region_tool(context, RegionShape::Rect, RegionUse::Picture);
            }
            ViewAction::Copy => {
                if self.session.active().is_some() {
                    self.export(context, SaveRequest::copy_of(self.area_in_view()));
                }
            }
            ViewAction::ToggleTissue => self.chrome.tissue_shown ^= true,
            ViewAction::ToggleHighlights => self.chrome.highlights_shown ^= true,
            ViewAction::ToggleAnnotations => self.chrome.annotations_shown ^= true,
            ViewAction::ToggleFill => self.chrome.annotations_filled ^= true,
            ViewAction::ToggleGrid => self.chrome.grid_shown ^= true,
            ViewAction::ToggleCrosshair => self.chrome.crosshair_shown ^= true,
        }
    }
}
