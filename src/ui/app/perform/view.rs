//! Actions that move over a slide and change how it is shown.

use egui::Context;

use super::App;
use crate::geometry::Level0Point;
use crate::slide::SlideId;
use crate::ui::actions::{self, SlideAction, ViewAction};
use crate::ui::app::slide_name;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panels::position_dialog::{PositionForm, point_text};
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
                if let Some(slide) = self.session.active().map(|state| state.id().clone()) {
                    self.offer_picture(slide, self.area_in_view(), self.chrome.highlights_shown);
                }
            }
            ViewAction::SaveRegion => {
                self.chrome.dialog = None;
                self.take_region_tool(context, RegionShape::Rect, RegionUse::Picture);
            }
            ViewAction::Copy => {
                if let Some(slide) = self.session.active().map(|state| state.id().clone()) {
                    let shown = self.chrome.highlights_shown;
                    self.export(context, SaveRequest::copy_of(slide, self.area_in_view(), shown));
                }
            }
            ViewAction::GoToPosition => {
                if let Some((slide, field)) = self.current_view() {
                    self.chrome.dialog = Some(Dialog::Position(PositionForm::new(slide, field)));
                }
            }
            ViewAction::CopyPosition => match self.canvas.hovered.clone() {
                Some((slide, at)) => self.copy_position(context, &slide, at),
                None => {
                    let named = actions::entry(action).named(context);
                    self.notice(context, format!("Point at the slide, then use {named}."));
                }
            },
            ViewAction::ToggleTissue => self.chrome.tissue_shown ^= true,
            ViewAction::ToggleHighlights => self.chrome.highlights_shown ^= true,
            ViewAction::ToggleAnnotations => self.chrome.annotations_shown ^= true,
            ViewAction::ToggleFill => self.chrome.annotations_filled ^= true,
            ViewAction::ToggleGrid => self.chrome.grid_shown ^= true,
            ViewAction::ToggleCrosshair => self.chrome.crosshair_shown ^= true,
        }
    }

    /// Copies a position on a slide.
    fn copy_position(&mut self, context: &Context, slide: &SlideId, at: Level0Point) {
        context.copy_text(point_text(&slide_name(&self.session, slide), at));
        self.notice(context, "Position copied to the clipboard.");
    }
}
