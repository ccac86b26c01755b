//! What the user has marked, and how the answer settles.

use egui::{Align, Button, Color32, Layout, Pos2, Rect, RichText, Sense, Stroke, StrokeKind, Ui, Vec2};
use egui_material_icons::icons;

use super::super::{action_icon_ui, picture_ui};
use super::settings::choice_ui;
use crate::number_format::decimal;
use crate::query::{Judgement, Order, ShownMark};
use crate::session::{QueryCommand, QueryState, Session};
use crate::ui::actions::{self, SearchAction};
use crate::ui::app::{Requests, slide_name};
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::Palette;

/// Side of the image of a mark in points.
const PICTURE: f32 = 30.0;
/// Largest number of marks with an image; the newest are shown.
const SHOWN: usize = 16;
/// Width and height of the curve in points.
const CURVE: Vec2 = Vec2::new(64.0, 20.0);

/// Draws the marks of the query; nothing while the nearest example ranks and there are none.
pub fn marks_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    pictures: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    let learns = session.query_settings().rank_by.learns();
    if query.marks.is_empty() {
        if learns && query.answer.is_some() {
            let named = |name: &str, judgement: Judgement| {
                let key = actions::entry(SearchAction::Judge(judgement)).shortcut_label(ui.ctx());
                key.map_or_else(|| name.to_owned(), |key| format!("{name} ({key})"))
            };
            let (same, different) =
                (named("same", Judgement::Same), named("different", Judgement::Different));
            let text = format!("Judge matches: {same}, {different}");
            ui.label(RichText::new(text).small().color(palette.weak))
                .on_hover_text("The other matches are ranked again with every judgement");
        }
        return;
    }
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        let [same, different] =
            [Judgement::Same, Judgement::Different].map(|judgement| query.marked(judgement));
        ui.label(RichText::new(format!("{same} same")).color(palette.good));
        ui.label(RichText::new(format!("{different} different")).color(palette.error));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            action_icon_ui(ui, SearchAction::SaveConcept, icons::ICON_BOOKMARK_ADD, None, palette, requests);
            if session.can_undo_judgement() {
                action_icon_ui(ui, SearchAction::UndoJudgement, icons::ICON_UNDO, None, palette, requests);
            }
            curve_ui(ui, &query.stayed, palette);
        });
    });
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(7.0);
        let first = query.marks.len().saturating_sub(SHOWN);
        for (number, mark) in query.marks.iter().enumerate().skip(first).rev() {
            mark_ui(ui, session, (number, mark), pictures, palette, requests);
        }
    });
}

/// Draws the image of a marked tile. A click goes to it, a right click removes the mark.
fn mark_ui(
    ui: &mut Ui,
    session: &Session,
    (number, mark): (usize, &ShownMark),
    pictures: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(PICTURE), Sense::click());
    let (word, color) = match mark.judgement {
        Judgement::Same => ("the same tissue", palette.good),
        Judgement::Different => ("different tissue", palette.error),
        Judgement::Unsure => ("unsure", palette.weak),
    };
    response.widget_info(|| {
        egui::WidgetInfo::labeled(egui::Role::Button, true, format!("mark {}: {word}", number + 1))
    });
    let position = mark.shown.position.as_ref();
    let picture = position.and_then(|tile| pictures.picture(session, ui.ctx(), &tile.slide, tile.rect));
    picture_ui(ui, rect, picture.as_ref(), palette);
    ui.painter().rect_stroke(rect, 3.0, Stroke::new(2.0, color), StrokeKind::Outside);
    let name = position.map(|tile| slide_name(session, &tile.slide)).unwrap_or_default();
    let response = response.on_hover_text(format!(
        "Marked as {word}\n{name}\nClick to go there, right-click to remove the mark"
    ));
    if response.secondary_clicked() {
        requests.command(QueryCommand::RemoveMark(number));
    } else if response.clicked()
        && let Some(position) = position
    {
        requests.command(QueryCommand::GoToExample { position: position.clone(), from: None });
    }
}

/// Draws, mark by mark, the share of the best matches that stayed.
fn curve_ui(ui: &mut Ui, stayed: &[f32], palette: &Palette) {
    let Some(last) = stayed.last() else { return };
    let (rect, response) = ui.allocate_exact_size(CURVE, Sense::hover());
    let painter = ui.painter();
    painter.rect_filled(rect, 3.0, palette.raised);
    let inner = rect.shrink2(Vec2::new(4.0, 3.0));
    let at = |index: usize, share: f32| {
        let along = index as f32 / (stayed.len() - 1).max(1) as f32;
        Pos2::new(inner.left() + along * inner.width(), inner.bottom() - share * inner.height())
    };
    let points: Vec<Pos2> = stayed.iter().enumerate().map(|(index, share)| at(index, *share)).collect();
    if let Some(last) = points.last() {
        painter.circle_filled(*last, 2.5, palette.accent);
    }
    painter.add(egui::Shape::line(points, Stroke::new(1.5, palette.accent)));
    response.on_hover_text(format!(
        "Of the 20 best matches before the last mark, {} % are still among the best.\nOnce the curve stays at the top, \
         further marks change little.",
        decimal(last * 100.0, 0)
    ));
}

/// Draws the choice between the best matches and those to mark next.
pub fn order_ui(ui: &mut Ui, order: &mut Order, palette: &Palette) {
    let orders = [
        (Order::Best, "Best first", "Show the most similar tiles"),
        (
            Order::ToMark,
            "Mark next",
            "Of the most similar tiles, show those about which the marks say least, unlike each other and from several \
             slides: marking them teaches most",
        ),
    ];
    choice_ui(ui, order, &orders, palette);
}

/// Draws a small button with text only.
pub fn link_ui(ui: &mut Ui, text: &str, hint: &str, color: Color32) -> bool {
    ui.add(Button::new(RichText::new(text).small().color(color)).frame(false)).on_hover_text(hint).clicked()
}

/// Draws a square in the colour of a class.
pub fn swatch_ui(ui: &mut Ui, color: [u8; 3]) {
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(12.0), Sense::hover());
    let [r, g, b] = color;
    ui.painter().rect_filled(
        Rect::from_center_size(rect.center(), Vec2::splat(12.0)),
        3.0,
        Color32::from_rgb(r, g, b),
    );
}
