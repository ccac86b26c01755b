//! The ranked list of similar tiles, and how they are searched for.

use egui::{
    Align, Button, DragValue, Frame, Layout, Margin, Pos2, Rect, RichText, ScrollArea, Stroke, StrokeKind,
    Ui, Vec2,
};
use egui_material_icons::icons;

use super::{grouped, header_ui, icon_button, line_ui, picture_ui, row_ui, text_over_ui};
use crate::query::{Answer, Match, Scope};
use crate::session::{Command, QueryState, Session};
use crate::ui::actions::{self, Action};
use crate::ui::app::{Asked, slide_name};
use crate::ui::shown_slides::ShownSlides;
use crate::ui::slide_view::length_label;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Height of one match of the list, in points.
const ROW_HEIGHT: f32 = 76.0;

pub fn matches_ui(
    ui: &mut Ui,
    session: &Session,
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
) {
    let query = session.query();
    header_ui(ui, palette, "Similar tissue", |ui| {
        if query.is_some() {
            let entry = actions::entry(Action::ClearQuery);
            let button = icon_button(ui, icons::ICON_CLOSE, entry.name, palette.text);
            if button.on_hover_text(format!("{}\n{}", entry.name, entry.hint(ui.ctx()))).clicked() {
                asked.command(Command::ClearQuery);
            }
        }
    });
    let Some(query) = query else {
        hint_ui(ui, session, palette);
        return;
    };
    Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 0)).show(ui, |ui| {
        query_ui(ui, session, query, shown, palette);
        ui.add_space(12.0);
        settings_ui(ui, session, palette, asked);
        ui.add_space(4.0);
        summary_ui(ui, session, query, palette);
    });
    let Some(answer) = &query.answer else { return };
    ui.add_space(2.0);
    ScrollArea::vertical().auto_shrink(false).show_rows(ui, ROW_HEIGHT, answer.matches.len(), |ui, rows| {
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

fn hint_ui(ui: &mut Ui, session: &Session, palette: &Palette) {
    Frame::new().inner_margin(Margin::symmetric(24, 40)).show(ui, |ui| {
        ui.vertical_centered(|ui| {
            ui.label(icons::ICON_IMAGE_SEARCH.rich_text().size(40.0).color(palette.weak));
            ui.add_space(6.0);
            ui.label(RichText::new("Click a spot on the slide").family(theme::bold()).color(palette.strong));
            ui.label(
                RichText::new("The tiles most like it, here and on every other slide, are tinted by rank and listed here.")
                    .color(palette.weak),
            );
            ui.add_space(8.0);
            let text = match session.searchable_tiles() {
                0 => "Nothing can be searched yet: embedding has to describe some tissue first.".to_owned(),
                tiles => format!("{} tiles can be searched so far.", grouped(tiles as u64)),
            };
            ui.label(RichText::new(text).small().color(palette.weak));
        });
    });
}

fn query_ui(ui: &mut Ui, session: &Session, query: &QueryState, shown: &mut ShownSlides, palette: &Palette) {
    let target = &query.target;
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 76.0), egui::Sense::hover());
    ui.painter().rect_filled(rect, theme::RADIUS, palette.raised);
    let picture = Rect::from_min_size(rect.min + Vec2::splat(8.0), Vec2::splat(60.0));
    let pixels = shown.picture(session, ui.ctx(), &target.slide, target.rect);
    picture_ui(ui, picture, pixels.as_ref(), palette);
    ui.painter().rect_stroke(picture, 4.0, Stroke::new(2.0, palette.query), StrokeKind::Outside);
    let text =
        Rect::from_min_max(Pos2::new(picture.right() + 12.0, rect.top() + 10.0), rect.max - Vec2::splat(8.0));
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        line_ui(ui, RichText::new("Query").family(theme::bold()).color(palette.query));
        line_ui(ui, RichText::new(slide_name(session, &target.slide)).color(palette.text));
        let center = target.rect.center();
        let mpp = session.slide(&target.slide).and_then(|slide| slide.source.info().mpp);
        let place = match mpp {
            Some(mpp) => {
                format!("x {}  y {}", length_label(center.x * mpp.x), length_label(center.y * mpp.y))
            }
            None => format!("x {:.0}  y {:.0} px", center.x, center.y),
        };
        line_ui(ui, RichText::new(place).small().color(palette.weak));
    });
}

/// Scope, number of matches, and how far neighbours are left out.
fn settings_ui(ui: &mut Ui, session: &Session, palette: &Palette, asked: &mut Asked) {
    let scopes = [
        (Scope::All, "All slides", "Search every slide"),
        (Scope::Same, "This one", "Search the query's slide only"),
        (Scope::Others, "Others", "Search every slide but the query's"),
    ];
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let width = (ui.available_width() - 8.0) / 3.0;
        for (scope, name, hint) in scopes {
            let chosen = session.scope() == scope;
            let color = if chosen { palette.accent } else { palette.text };
            let fill = if chosen { palette.selected } else { palette.raised };
            let button =
                Button::new(RichText::new(name).color(color)).fill(fill).min_size(Vec2::new(width, 28.0));
            if ui.add(button).on_hover_text(hint).clicked() {
                asked.command(Command::SetScope(scope));
            }
        }
    });
    let mut count = session.match_count();
    let mut exclusion = session.exclusion_um();
    setting_ui(ui, "Matches", "How many of the most similar tiles are shown", palette, |ui| {
        let value = DragValue::new(&mut count).range(1..=1000).speed(0.3);
        if ui.add(value).changed() {
            asked.command(Command::SetMatchCount(count));
        }
    });
    let hint = "Neighbours of the query tile within this distance are left out: they show the same spot";
    setting_ui(ui, "Leave out neighbours within", hint, palette, |ui| {
        let value =
            DragValue::new(&mut exclusion).range(0.0..=100_000.0).speed(10.0).suffix(" µm").max_decimals(0);
        if ui.add(value).changed() {
            asked.command(Command::SetExclusionUm(exclusion));
        }
    });
}

fn setting_ui(ui: &mut Ui, name: &str, hint: &str, palette: &Palette, add: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(name).color(palette.weak)).on_hover_text(hint);
        ui.with_layout(Layout::right_to_left(Align::Center), add);
    });
}

fn summary_ui(ui: &mut Ui, session: &Session, query: &QueryState, palette: &Palette) {
    if let Some(problem) = &query.problem {
        // People know the slide by its name.
        let slide = &query.target.slide;
        let problem = problem.replace(&slide.0, &slide_name(session, slide));
        ui.add_space(6.0);
        ui.label(RichText::new("Nothing to compare here").family(theme::bold()).color(palette.query));
        ui.label(RichText::new(problem).small().color(palette.weak));
        return;
    }
    let text = match &query.answer {
        Some(answer) => {
            let exact = if answer.exact { "exact" } else { "approximate" };
            format!(
                "{} of {} tiles · {exact} · {:.1} ms",
                answer.matches.len(),
                grouped(answer.searched as u64),
                answer.elapsed.as_secs_f64() * 1000.0
            )
        }
        None => "Searching".to_owned(),
    };
    ui.label(RichText::new(text).small().color(palette.weak));
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
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new(found.rank.to_string()).family(theme::bold()).color(palette.strong));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(format!("{:.3}", found.distance)).color(palette.text));
            });
        });
        line_ui(ui, RichText::new(&name).color(palette.text));
        let own = found.slide == answer.slide;
        let place = match session.slide(&found.slide).and_then(|slide| slide.source.info().mpp) {
            Some(mpp) if own => {
                let away = mpp.distance_um(found.rect.center(), answer.rect.center());
                format!("same slide, {} away", length_label(away))
            }
            _ if own => "same slide".to_owned(),
            _ => "other slide".to_owned(),
        };
        line_ui(ui, RichText::new(place).small().color(palette.weak));
    });
    let hint = format!(
        "Go to match {}\nDistance of the descriptors: {:.4} (0 is the same)",
        found.rank, found.distance
    );
    response.on_hover_text(hint).clicked()
}
