//! The matches of an answer, and its slides.

use egui::{
    Align, Color32, Frame, Layout, Margin, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, Ui,
    Vec2,
};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons;

use super::super::{grouped, line_ui, picture_ui, row_ui, text_over_ui};
use super::{Listing, MatchesPanel};
use crate::query::{Answer, Match, SlideRank, Verdict, pair};
use crate::session::{Command, QueryState, Session};
use crate::ui::app::{Asked, slide_name};
use crate::ui::shown_slides::ShownSlides;
use crate::ui::slide_view::length_label;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Height of one match of the list, in points.
const ROW_HEIGHT: f32 = 76.0;
/// Height of one slide of the list of slides, in points.
const SLIDE_HEIGHT: f32 = 56.0;
/// Least side of a picture of the gallery, in points, and the distance between two.
const PICTURE: f32 = 78.0;
const GAP: f32 = 6.0;

#[expect(clippy::too_many_arguments, reason = "all of them are what one panel needs")]
pub fn answer_ui(
    ui: &mut Ui,
    panel: &mut MatchesPanel,
    session: &Session,
    query: &QueryState,
    answer: &Answer,
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
) {
    // Walking brings the match into the list's view, too.
    let to = query.visited.filter(|_| panel.scrolled_to != query.visited);
    panel.scrolled_to = query.visited;
    match panel.listing {
        Listing::List => list_ui(ui, session, query, answer, shown, to, palette, asked),
        Listing::Gallery => gallery_ui(ui, session, query, answer, shown, to, palette, asked),
        Listing::Slides => slides_ui(ui, session, answer, palette, asked),
    }
}

#[expect(clippy::too_many_arguments, reason = "all of them are what one list needs")]
fn list_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    answer: &Answer,
    shown: &mut ShownSlides,
    to: Option<usize>,
    palette: &Palette,
    asked: &mut Asked,
) {
    let spacing = ui.spacing().item_spacing.y;
    let mut area = ScrollArea::vertical().auto_shrink(false);
    if let Some(rank) = to {
        let top = rank as f32 * (ROW_HEIGHT + spacing);
        area = area.vertical_scroll_offset((top - ui.available_height() / 2.0 + ROW_HEIGHT / 2.0).max(0.0));
    }
    area.show_rows(ui, ROW_HEIGHT, answer.matches.len(), |ui, rows| {
        Frame::new().inner_margin(Margin::symmetric(8, 0)).show(ui, |ui| {
            for rank in rows {
                let found = &answer.matches[rank];
                let picture = shown.picture(session, ui.ctx(), &found.slide, found.rect);
                let visited = query.visited == Some(rank);
                if match_ui(ui, session, answer, found, picture, visited, palette) {
                    asked.command(Command::GoToMatch { rank, from: None });
                }
            }
        });
    });
}

#[expect(clippy::too_many_arguments, reason = "all of them are what one gallery needs")]
fn gallery_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    answer: &Answer,
    shown: &mut ShownSlides,
    to: Option<usize>,
    palette: &Palette,
    asked: &mut Asked,
) {
    let margin = f32::from(PANEL_MARGIN);
    let width = ui.available_width() - 2.0 * margin;
    let columns = (((width + GAP) / (PICTURE + GAP)) as usize).max(1);
    let side = (width + GAP) / columns as f32 - GAP;
    let lines = answer.matches.len().div_ceil(columns);
    ui.spacing_mut().item_spacing.y = GAP;
    let mut area = ScrollArea::vertical().auto_shrink(false);
    if let Some(rank) = to {
        let top = (rank / columns) as f32 * (side + GAP);
        area = area.vertical_scroll_offset((top - ui.available_height() / 2.0 + side / 2.0).max(0.0));
    }
    area.show_rows(ui, side, lines, |ui, rows| {
        for line in rows {
            let (row, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), side), Sense::hover());
            for rank in line * columns..((line + 1) * columns).min(answer.matches.len()) {
                let left = row.left() + margin + (rank % columns) as f32 * (side + GAP);
                let place = Rect::from_min_size(Pos2::new(left, row.top()), Vec2::splat(side));
                let found = &answer.matches[rank];
                let name = slide_name(session, &found.slide);
                let response = ui.interact(place, ui.scope_id().with(("match", rank)), Sense::click());
                response.widget_info(|| {
                    egui::WidgetInfo::labeled(
                        egui::Role::Button,
                        true,
                        format!("match {}: {name}", found.rank),
                    )
                });
                let picture = shown.picture(session, ui.ctx(), &found.slide, found.rect);
                picture_ui(ui, place.shrink(2.0), picture.as_ref(), palette);
                let color = theme::rank_color(found.rank, answer.matches.len());
                let color = if query.visited == Some(rank) { palette.visited } else { color };
                ui.painter().rect_stroke(place.shrink(1.0), 4.0, Stroke::new(2.0, color), StrokeKind::Inside);
                let verdict =
                    pair(answer, found).and_then(|(query, found)| session.book().verdict(&query, &found));
                if let Some((icon, color)) = verdict.map(|verdict| verdict_icon(verdict, palette)) {
                    let at = place.right_bottom() - Vec2::splat(14.0);
                    ui.painter().circle_filled(at, 10.0, palette.chip);
                    ui.painter().text(
                        at,
                        egui::Align2::CENTER_CENTER,
                        icon.codepoint,
                        egui::FontId::new(16.0, icon.font_family()),
                        color,
                    );
                }
                let hint = format!("Match {} · {name}\nDistance {:.4}", found.rank, found.distance);
                if response.on_hover_text(hint).clicked() {
                    asked.command(Command::GoToMatch { rank, from: None });
                }
            }
        }
    });
}

fn slides_ui(ui: &mut Ui, session: &Session, answer: &Answer, palette: &Palette, asked: &mut Asked) {
    let farthest = answer.slides.last().map_or(1.0, |slide| slide.median_distance).max(f32::MIN_POSITIVE);
    ScrollArea::vertical().auto_shrink(false).show_rows(ui, SLIDE_HEIGHT, answer.slides.len(), |ui, rows| {
        Frame::new().inner_margin(Margin::symmetric(8, 0)).show(ui, |ui| {
            for rank in rows {
                slide_ui(ui, session, rank, &answer.slides[rank], farthest, palette, asked);
            }
        });
    });
}

fn slide_ui(
    ui: &mut Ui,
    session: &Session,
    rank: usize,
    slide: &SlideRank,
    farthest: f32,
    palette: &Palette,
    asked: &mut Asked,
) {
    let name = slide_name(session, &slide.slide);
    let is_active = session.active().is_some_and(|active| *active.id() == slide.slide);
    let label = format!("similar slide {}: {name}", rank + 1);
    let (rect, response) = row_ui(ui, SLIDE_HEIGHT, is_active, &label, palette);
    text_over_ui(ui, rect.shrink2(Vec2::new(10.0, 7.0)), |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new((rank + 1).to_string()).family(theme::bold()).color(palette.strong));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(format!("{:.3}", slide.median_distance)).color(palette.text));
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    line_ui(ui, RichText::new(&name).color(palette.text));
                });
            });
        });
        let matches =
            if slide.matches == 1 { "1 match".to_owned() } else { format!("{} matches", slide.matches) };
        let text = format!("{matches} of {} tiles", grouped(slide.tiles as u64));
        line_ui(ui, RichText::new(text).small().color(palette.weak));
    });
    // The bar is the distance: the shorter, the more alike.
    let track = Rect::from_min_max(
        Pos2::new(rect.left() + 10.0, rect.bottom() - 5.0),
        Pos2::new(rect.right() - 10.0, rect.bottom() - 3.0),
    );
    let share = (slide.median_distance / farthest).clamp(0.0, 1.0);
    ui.painter().rect_filled(track, 1.0, palette.line);
    let filled = Rect::from_min_size(track.min, Vec2::new(track.width() * share, track.height()));
    ui.painter().rect_filled(filled, 1.0, palette.accent);
    let hint = "Median, over the query's tiles, of the distance to the most similar tile of this slide";
    if response.on_hover_text(hint).clicked() {
        asked.command(Command::Show(slide.slide.clone()));
    }
}

/// Sign and colour of a verdict.
pub fn verdict_icon(verdict: Verdict, palette: &Palette) -> (MaterialIcon, Color32) {
    match verdict {
        Verdict::Same => (icons::ICON_CHECK_CIRCLE, palette.good),
        Verdict::Different => (icons::ICON_CANCEL, palette.error),
        Verdict::Unsure => (icons::ICON_HELP, palette.weak),
    }
}

/// One match; whether it was clicked.
fn match_ui(
    ui: &mut Ui,
    session: &Session,
    answer: &Answer,
    found: &Match,
    picture: Option<egui::TextureHandle>,
    visited: bool,
    palette: &Palette,
) -> bool {
    let name = slide_name(session, &found.slide);
    let (rect, response) = row_ui(ui, ROW_HEIGHT, visited, &format!("match {}: {name}", found.rank), palette);
    let color = theme::rank_color(found.rank, answer.matches.len());
    let frame = Rect::from_min_size(rect.min + Vec2::splat(8.0), Vec2::splat(60.0));
    picture_ui(ui, frame, picture.as_ref(), palette);
    ui.painter().rect_stroke(frame, 4.0, Stroke::new(2.0, color), StrokeKind::Outside);
    let text =
        Rect::from_min_max(Pos2::new(frame.right() + 12.0, rect.top() + 10.0), rect.max - Vec2::splat(8.0));
    let verdict = pair(answer, found).and_then(|(query, found)| session.book().verdict(&query, &found));
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new(found.rank.to_string()).family(theme::bold()).color(palette.strong));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(format!("{:.3}", found.distance)).color(palette.text));
                if let Some((icon, color)) = verdict.map(|verdict| verdict_icon(verdict, palette)) {
                    ui.label(icon.rich_text().size(16.0).color(color));
                }
            });
        });
        line_ui(ui, RichText::new(&name).color(palette.text));
        line_ui(ui, RichText::new(whereabouts(session, answer, found)).small().color(palette.weak));
    });
    let mut hint = format!(
        "Go to match {}\nDistance of the descriptors: {:.4} (0 is the same)",
        found.rank, found.distance
    );
    if let Some(slide) = answer.from_archive(&found.slide) {
        hint = format!("{hint}\nIn the archive: {}", slide.whereabouts());
    }
    response.on_hover_text(hint).clicked()
}

/// Where a match lies, as seen from the tile of the query that it is most like.
fn whereabouts(session: &Session, answer: &Answer, found: &Match) -> String {
    if let Some(slide) = answer.from_archive(&found.slide).filter(|_| session.slide(&found.slide).is_none()) {
        let folder = slide.location.as_ref().and_then(|path| path.parent()).map(|folder| folder.display());
        return match (folder, slide.is_reachable) {
            (Some(folder), true) => format!("archive · {folder}"),
            (Some(folder), false) => format!("not reachable · {folder}"),
            (None, _) => slide.whereabouts(),
        };
    }
    let Some(query) = answer.most_like(found).filter(|query| query.slide == found.slide) else {
        return "other slide".to_owned();
    };
    match session.slide(&found.slide).and_then(|slide| slide.source.info().mpp) {
        Some(mpp) => {
            let away = mpp.distance_um(found.rect.center(), query.rect.center());
            format!("same slide, {} away", length_label(away))
        }
        None => "same slide".to_owned(),
    }
}
