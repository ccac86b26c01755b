//! The matches as a grid of images.

use egui::{Pos2, Rect, ScrollArea, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo};

use super::super::picture_ui;
use super::list::{choice_of, choice_ui, icon_at};
use super::menu::match_menu_ui;
use super::{Shown, judgement_icon};
use crate::number_format::decimal;
use crate::session::MatchCommand;
use crate::ui::app::slide_name;
use crate::ui::theme::PANEL_MARGIN;

/// Minimum side of an image in points.
const PICTURE: f32 = 82.0;
/// Gap between images in points.
const GAP: f32 = 6.0;

/// Draws the gallery, scrolled to the match at index `to` if one is given.
pub fn gallery_ui(ui: &mut Ui, mut shown: Shown<'_>, to: Option<usize>) {
    let margin = f32::from(PANEL_MARGIN);
    let width = (ui.available_width() - 2.0 * margin).max(PICTURE);
    let columns = (((width + GAP) / (PICTURE + GAP)) as usize).max(1);
    let side = (width + GAP) / columns as f32 - GAP;
    let count = shown.answer.matches.len();
    ui.spacing_mut().item_spacing.y = GAP;
    let mut area = ScrollArea::vertical().auto_shrink(false);
    if let Some(rank) = to {
        let top = (rank / columns) as f32 * (side + GAP);
        area = area.vertical_scroll_offset((top - ui.available_height() / 2.0 + side / 2.0).max(0.0));
    }
    area.show_rows(ui, side, count.div_ceil(columns), |ui, rows| {
        for line in rows {
            let (row, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), side), Sense::hover());
            for rank in line * columns..((line + 1) * columns).min(count) {
                let left = row.left() + margin + (rank % columns) as f32 * (side + GAP);
                let rect = Rect::from_min_size(Pos2::new(left, row.top()), Vec2::splat(side));
                match_ui(ui, &mut shown, rank, rect);
            }
        }
    });
}

fn match_ui(ui: &mut Ui, shown: &mut Shown<'_>, rank: usize, rect: Rect) {
    let found = &shown.answer.matches[rank];
    let name = slide_name(shown.session, &found.slide);
    let response = ui.interact(rect, ui.scope_id().with(("match", rank)), Sense::click());
    response.widget_info(|| {
        WidgetInfo::labeled(egui::Role::Button, true, format!("match {}: {name}", found.rank))
    });
    let picture = shown.pictures.picture(shown.session, ui.ctx(), &found.slide, found.rect);
    picture_ui(ui, rect.shrink(2.0), picture.as_ref(), shown.palette);
    let color = shown.frame_color(rank);
    ui.painter().rect_stroke(rect.shrink(1.0), 4.0, Stroke::new(2.0, color), StrokeKind::Inside);
    if let Some((icon, color)) =
        shown.judgement(found).map(|judgement| judgement_icon(judgement, shown.palette))
    {
        let at = rect.right_bottom() - Vec2::splat(14.0);
        ui.painter().circle_filled(at, 10.0, shown.palette.chip);
        icon_at(ui, at, icon, 16.0, color);
    }
    let hint = format!("Match {} · {name}\nDistance {}", found.rank, decimal(found.distance, 4));
    let response = response.on_hover_text(hint);
    match_menu_ui(&response, shown, rank);
    let is_box_shown = ui.rect_contains_pointer(rect) || !shown.query.chosen.is_empty();
    choice_ui(ui, shown, rank, rect.shrink(3.0), is_box_shown);
    if response.clicked() {
        let modifiers = ui.input(|input| input.modifiers);
        if modifiers.shift || modifiers.command {
            shown.requests.commands.extend(choice_of(shown.query, rank, modifiers.shift));
        } else {
            shown.requests.command(MatchCommand::GoTo { rank, from: None });
        }
    }
}
