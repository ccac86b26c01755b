//! The frame of a card over the canvas.

use egui::{Align, Align2, Area, Frame, Id, Layout, Margin, Pos2, Rect, RichText, ScrollArea, Stroke, Ui};
use egui_material_icons::icons;

use super::icon_button;
use crate::ui::actions::{self, Action};
use crate::ui::app::Requests;
use crate::ui::theme::{self, Palette};

/// Margin at the left and right of the contents in points.
const SIDE: i8 = 14;

/// Least distance of the contents from the lower edge of the window, in points.
const LEAST_BELOW: f32 = 24.0;

/// Draws a card of `width` points with its upper right corner at `corner`: a title, a button that requests
/// `close`, and below them what `add` draws. Returns the rectangle that it covers.
pub fn card_ui(
    ui: &mut Ui,
    corner: Pos2,
    (title, width): (&str, f32),
    close: impl Into<Action>,
    palette: &Palette,
    requests: &mut Requests,
    add: impl FnOnce(&mut Ui, &mut Requests),
) -> Rect {
    let close = close.into();
    // A separate layer: clicks and drags on the card do not reach the canvas below.
    let area = Area::new(Id::unique(title)).pivot(Align2::RIGHT_TOP).fixed_pos(corner).movable(false);
    let frame = Frame::new()
        .fill(palette.panel)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(10)
        .inner_margin(Margin { left: SIDE, right: SIDE, top: 8, bottom: 14 })
        .shadow(palette.shadow);
    let shown = area.show(ui.ctx(), |ui| {
        frame.show(ui, |ui| {
            ui.set_width(width - 2.0 * f32::from(SIDE));
            ui.horizontal(|ui| {
                ui.label(RichText::new(title).family(theme::bold()).size(15.0).color(palette.strong));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let name = format!("close {}", title.to_lowercase());
                    let hint = match actions::entry(close).shortcut_label(ui.ctx()) {
                        Some(key) => format!("Close ({key})"),
                        None => "Close".to_owned(),
                    };
                    if icon_button(ui, icons::ICON_CLOSE, &name, &hint, palette.weak).clicked() {
                        requests.action(close);
                    }
                });
            });
            // A low window, or one with large text, scrolls it.
            let room = ui.ctx().content_rect().bottom() - ui.cursor().top() - LEAST_BELOW;
            let room = room.max(80.0);
            let scrolled = ScrollArea::vertical().auto_shrink([false, true]);
            let scrolled = scrolled.max_height(room).min_scrolled_height(room);
            scrolled.show(ui, |ui| add(ui, requests));
        });
    });
    shown.response.rect
}
