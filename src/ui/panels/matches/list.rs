//! The matches, one per row: image, rank, slide, position, distance and relevance judgement.

use egui::{
    Align, Align2, Color32, FontId, Frame, Layout, Margin, Pos2, Rect, RichText, ScrollArea, Sense, Stroke,
    StrokeKind, TextStyle, Ui, Vec2, WidgetInfo,
};
use egui_material_icons::{MaterialIcon, icons};

use super::super::{line_ui, picture_ui, row_ui, text_over_ui};
use super::menu::match_menu_ui;
use super::{Shown, judgement_icon};
use crate::number_format::decimal;
use crate::query::{Judgement, Match};
use crate::session::{Command, MatchCommand};
use crate::ui::actions::{self, SearchAction};
use crate::ui::app::slide_name;
use crate::ui::short_names::slide_name_within;
use crate::ui::slide_view::length_label;
use crate::ui::theme;

/// Height of a row in points.
const ROW_HEIGHT: f32 = 76.0;
/// Side of a match's image in points.
const PICTURE: f32 = 60.0;
/// Side of a judgement button in points.
const JUDGEMENT: f32 = 22.0;

/// Draws the list, scrolled to the match at index `to` if one is given.
pub fn list_ui(ui: &mut Ui, mut shown: Shown<'_>, to: Option<usize>) {
    let spacing = ui.spacing().item_spacing.y;
    let mut area = ScrollArea::vertical().auto_shrink(false);
    if let Some(rank) = to {
        let top = rank as f32 * (ROW_HEIGHT + spacing);
        area = area.vertical_scroll_offset((top - ui.available_height() / 2.0 + ROW_HEIGHT / 2.0).max(0.0));
    }
    area.show_rows(ui, ROW_HEIGHT, shown.answer.matches.len(), |ui, rows| {
        Frame::new().inner_margin(Margin::symmetric(8, 0)).show(ui, |ui| {
            rows.for_each(|rank| match_ui(ui, &mut shown, rank));
        });
    });
}

fn match_ui(ui: &mut Ui, shown: &mut Shown<'_>, rank: usize) {
    let found = &shown.answer.matches[rank];
    let (session, palette) = (shown.session, shown.palette);
    let name = slide_name(session, &found.slide);
    let visited = shown.query.visited == Some(rank);
    let (rect, response) = row_ui(ui, ROW_HEIGHT, visited, &format!("match {}: {name}", found.rank), palette);
    let frame = Rect::from_min_size(rect.min + Vec2::splat(8.0), Vec2::splat(PICTURE));
    let picture = shown.pictures.picture(session, ui.ctx(), &found.slide, found.rect);
    picture_ui(ui, frame, picture.as_ref(), palette);
    let color = shown.frame_color(rank);
    ui.painter().rect_stroke(frame, 4.0, Stroke::new(2.0, color), StrokeKind::Outside);

    let text = Rect::from_min_max(
        Pos2::new(frame.right() + 12.0, rect.top() + 9.0),
        rect.max - Vec2::new(10.0, 8.0),
    );
    let is_hovered = ui.rect_contains_pointer(rect);
    let judgement = shown.judgement(found);
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new(found.rank.to_string()).family(theme::bold()).color(palette.strong));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let distance = RichText::new(decimal(found.distance, 3));
                ui.label(distance.family(theme::bold()).color(palette.text));
            });
        });
        // The archive's slides are not in the list with which names are compared.
        let font = TextStyle::Body.resolve(ui.style());
        let is_open = session.slide(&found.slide).is_some();
        let short =
            is_open.then(|| slide_name_within(ui, session, &found.slide, &font, ui.available_width()));
        line_ui(ui, RichText::new(short.as_deref().unwrap_or(&name)).color(palette.text));
        line_ui(ui, RichText::new(location(shown, found)).small().color(palette.weak));
    });
    let mut hint = format!(
        "{name}\nGo to match {}\nDescriptor distance: {} (0 is identical)",
        found.rank,
        decimal(found.distance, 4)
    );
    if let Some(slide) = shown.answer.from_archive(&found.slide) {
        hint = format!("{hint}\nIn the archive: {}", slide.location());
    }
    let response = response.on_hover_text(hint);
    match_menu_ui(&response, shown, rank);
    // Judgement buttons are shown on the row under the pointer; a judgement that was made is always shown.
    judgement_buttons_ui(ui, shown, rank, rect, judgement, is_hovered || visited);
    let is_box_shown = is_hovered || !shown.query.chosen.is_empty();
    choice_ui(ui, shown, rank, frame, is_box_shown);
    if response.clicked() {
        let modifiers = ui.input(|input| input.modifiers);
        if modifiers.shift || modifiers.command {
            shown.requests.commands.extend(choice_of(shown.query, rank, modifiers.shift));
        } else {
            shown.requests.command(MatchCommand::GoTo { rank, from: None });
        }
    }
}

/// Returns the command for a click on a match with Ctrl or Shift. Shift (`range`) selects all matches between
/// this one and the last selected one.
pub fn choice_of(query: &crate::session::QueryState, rank: usize, range: bool) -> Option<Command> {
    let last = query.chosen.iter().next_back().copied().filter(|_| range);
    Some(match last {
        Some(last) => {
            let between = last.min(rank)..=last.max(rank);
            Command::Matches(MatchCommand::ChooseExactly(
                query.chosen.iter().copied().chain(between).collect(),
            ))
        }
        None => Command::Matches(MatchCommand::Choose(rank)),
    })
}

/// Draws the checkbox in the corner of an image that selects the match.
pub fn choice_ui(ui: &mut Ui, shown: &mut Shown<'_>, rank: usize, picture: Rect, is_shown: bool) {
    let box_rect = Rect::from_min_size(picture.min + Vec2::splat(2.0), Vec2::splat(20.0));
    let response = ui.interact(box_rect, ui.scope_id().with(("choose", rank)), Sense::click());
    let is_chosen = shown.query.chosen.contains(&rank);
    response.widget_info(|| {
        WidgetInfo::selected(egui::Role::CheckBox, true, is_chosen, format!("select match {}", rank + 1))
    });
    if is_shown || is_chosen {
        let (icon, color) = match is_chosen {
            true => (icons::ICON_CHECK_BOX, shown.palette.accent),
            false => (icons::ICON_CHECK_BOX_OUTLINE_BLANK, shown.palette.on_chip),
        };
        ui.painter().rect_filled(box_rect, 4.0, shown.palette.chip);
        icon_at(ui, box_rect.center(), icon, 17.0, color);
    }
    if response.on_hover_text("Select this match (Ctrl + click or Shift + click selects several)").clicked() {
        shown.requests.command(MatchCommand::Choose(rank));
    }
}

/// Draws the relevance judgement of a match, and with `offered` the buttons for the others.
fn judgement_buttons_ui(
    ui: &mut Ui,
    shown: &mut Shown<'_>,
    rank: usize,
    row: Rect,
    judgement: Option<Judgement>,
    offered: bool,
) {
    let choices = [
        (Judgement::Unsure, "unsure"),
        (Judgement::Different, "different tissue"),
        (Judgement::Same, "same tissue"),
    ];
    let mut center = row.right_bottom() - Vec2::new(18.0, 17.0);
    for (choice, name) in choices {
        let is_current = judgement == Some(choice);
        if !is_current && !offered {
            continue;
        }
        let rect = Rect::from_center_size(center, Vec2::splat(JUDGEMENT));
        center.x -= JUDGEMENT;
        let id = ui.scope_id().with(("judgement", rank, name));
        let response = ui.interact(rect, id, Sense::click());
        response.widget_info(|| {
            WidgetInfo::selected(egui::Role::Button, true, is_current, format!("match {}: {name}", rank + 1))
        });
        let (icon, color) = judgement_icon(choice, shown.palette);
        let color =
            if is_current || response.hovered() { color } else { shown.palette.weak.gamma_multiply(0.7) };
        // Covers the location text, which may extend below the buttons.
        let under = if offered { background(shown, rank, row, ui) } else { Color32::TRANSPARENT };
        ui.painter().rect_filled(rect, 0.0, under);
        icon_at(ui, rect.center(), icon, 17.0, color);
        let hint = actions::entry(SearchAction::Judge(choice)).named(ui.ctx());
        if response.on_hover_text(hint).clicked() {
            shown.requests.command(MatchCommand::Judge { rank, judgement: (!is_current).then_some(choice) });
        }
    }
}

/// Current background colour of a row.
fn background(shown: &Shown<'_>, rank: usize, row: Rect, ui: &Ui) -> Color32 {
    match (shown.query.visited == Some(rank), ui.rect_contains_pointer(row)) {
        (true, _) => shown.palette.selected,
        (false, true) => shown.palette.hovered,
        (false, false) => shown.palette.raised,
    }
}

/// Draws an icon of `size` points around `center`.
pub fn icon_at(ui: &Ui, center: Pos2, icon: MaterialIcon, size: f32, color: Color32) {
    let font = FontId::new(size, icon.font_family());
    ui.painter().text(center, Align2::CENTER_CENTER, icon.codepoint, font, color);
}

/// Describes where a match is, relative to its most similar example.
fn location(shown: &Shown<'_>, found: &Match) -> String {
    if let Some(slide) =
        shown.answer.from_archive(&found.slide).filter(|_| shown.session.slide(&found.slide).is_none())
    {
        let folder = slide.location.as_ref().and_then(|path| path.parent()).map(|folder| folder.display());
        return match (folder, slide.is_reachable) {
            (Some(folder), true) => format!("archive · {folder}"),
            (Some(folder), false) => format!("not reachable · {folder}"),
            (None, _) => slide.location(),
        };
    }
    let Some(query) = shown.answer.nearest_example(found).filter(|query| query.slide == found.slide) else {
        return "other slide".to_owned();
    };
    match shown.session.slide(&found.slide).and_then(|slide| slide.source.info().mpp) {
        Some(mpp) => {
            let distance_um = mpp.distance_um(found.rect.center(), query.rect.center());
            // Short: the judgement buttons are beside it.
            format!("same slide, {}", length_label(distance_um))
        }
        None => "same slide".to_owned(),
    }
}
