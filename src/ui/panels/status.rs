//! The status line: magnification, pixel size, pointer position, encoder and device.

use egui::{Align, Layout, RichText, TextStyle, Ui};

use crate::geometry::Level0Point;
use crate::number_format::decimal;
use crate::session::{EncoderState, Session};
use crate::slide::MppSource;
use crate::ui::slide_view::{SlideView, length_label};
use crate::ui::theme::Palette;

/// Distance between parts of the line in points.
const GAP: f32 = 18.0;

/// Draws the status line; `hovered` is the position under the pointer.
pub fn status_ui(
    ui: &mut Ui,
    session: &Session,
    view: &SlideView,
    hovered: Option<Level0Point>,
    palette: &Palette,
) {
    ui.horizontal(|ui| {
        ui.set_min_height(20.0);
        ui.spacing_mut().item_spacing.x = GAP;
        let part = |ui: &mut Ui, text: String, hint: &str| {
            ui.label(RichText::new(text).small().color(palette.weak)).on_hover_text(hint);
        };
        if let Some(slide) = session.active() {
            let info = slide.source.info();
            let magnification = view.magnification();
            if magnification.is_known() {
                let (text, hint) = match magnification.is_calibrated() {
                    true => (
                        format!("{} · {}", magnification.label(), magnification.percent()),
                        "Magnification, and screen pixels per slide pixel",
                    ),
                    false => (magnification.percent(), "Screen pixels per slide pixel"),
                };
                part(ui, text, hint);
            }
            let resolution = match (info.mpp, info.mpp_source) {
                (Some(mpp), MppSource::User) => format!("{} (set by you)", mpp.label(4)),
                (Some(mpp), _) => format!("{} (from the file)", mpp.label(4)),
                (None, _) => "pixel size unknown".to_owned(),
            };
            part(ui, resolution, "Pixel size, and where it is from");
            if let Some(at) = hovered {
                let position = match info.mpp {
                    Some(mpp) => {
                        format!("x {}  y {}", length_label(at.x * mpp.x()), length_label(at.y * mpp.y()))
                    }
                    None => format!("x {} px  y {} px", decimal(at.x, 0), decimal(at.y, 0)),
                };
                part(ui, position, "Position of the pointer relative to the slide's upper left corner");
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = GAP;
            // In a narrow window, what has no room beside the others is left out.
            let font = TextStyle::Small.resolve(ui.style());
            let part_if_room = |ui: &mut Ui, text: String, hint: &str| {
                let width = ui.painter().layout_no_wrap(text.clone(), font.clone(), palette.weak).size().x;
                if width <= ui.available_width() {
                    part(ui, text, hint);
                }
            };
            let purpose = "For research, not for diagnosis".to_owned();
            part_if_room(ui, purpose, "histokin is not a medical device");
            let encoder = match session.encoder() {
                EncoderState::Unknown => None,
                EncoderState::Known(spec) => Some(spec.name.clone()),
                EncoderState::Failed(_) | EncoderState::Untrusted(_) => Some("no encoder".to_owned()),
            };
            let device = session.embedding().device.clone();
            let runs = [encoder, device].into_iter().flatten().collect::<Vec<_>>().join(" on ");
            if !runs.is_empty() {
                part_if_room(ui, runs, "Encoder, and the device on which it runs");
            }
        });
    });
}
