//! What is asked: the examples in hand, and the questions of before.

use egui::{Color32, Frame, Margin, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, Ui, Vec2};

use super::super::{line_ui, picture_ui, text_over_ui};
use crate::query::{Example, Region, ShownExample};
use crate::session::{Command, QueryState, Session};
use crate::ui::app::{Asked, slide_name};
use crate::ui::shown_slides::ShownSlides;
use crate::ui::slide_view::length_label;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Side of the picture of an example, in points: the first one, and further ones.
const FIRST: f32 = 60.0;
const FURTHER: f32 = 44.0;

pub fn question_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
) {
    let Some(first) = query.positives.first() else { return };
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 76.0), Sense::hover());
    ui.painter().rect_filled(rect, theme::RADIUS, palette.raised);
    let place = Rect::from_min_size(rect.min + Vec2::splat(8.0), Vec2::splat(FIRST));
    example_ui(ui, place, session, (true, 0, first), shown, palette, asked);
    let text =
        Rect::from_min_max(Pos2::new(place.right() + 12.0, rect.top() + 10.0), rect.max - Vec2::splat(8.0));
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        let title = match (&first.example, query.positives.len()) {
            (_, 2..) => format!("Query of {} examples", query.positives.len()),
            (Example::Region { region: Region::Areas(_), .. }, _) => "Query: annotations".to_owned(),
            (Example::Region { region: Region::Rect(_), .. }, _) => "Query: the whole slide".to_owned(),
            (Example::Region { .. }, _) => "Query: a region".to_owned(),
            (Example::Descriptors { file: Some(_), .. }, _) => "Query: a picture".to_owned(),
            _ => "Query".to_owned(),
        };
        line_ui(ui, RichText::new(title).family(theme::bold()).color(palette.query));
        line_ui(ui, RichText::new(example_name(session, first)).color(palette.text));
        line_ui(ui, RichText::new(location(session, first)).small().color(palette.weak));
    });
    if query.positives.len() > 1 || !query.negatives.is_empty() {
        further_ui(ui, session, query, shown, palette, asked);
    }
    if query.positives.len() + query.negatives.len() == 1 {
        let hint = "Shift-click adds a tile, Ctrl-click rules one out";
        ui.label(RichText::new(hint).small().color(palette.weak));
    }
}

/// All examples but the first.
fn further_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(6.0);
        let positives = query.positives.iter().enumerate().skip(1).map(|(place, shown)| (true, place, shown));
        let negatives = query.negatives.iter().enumerate().map(|(place, shown)| (false, place, shown));
        for one in positives.chain(negatives) {
            let (place, _) = ui.allocate_exact_size(Vec2::splat(FURTHER), Sense::hover());
            example_ui(ui, place, session, one, shown, palette, asked);
        }
    });
}

/// The picture of an example; a click goes there, a click with the second button takes it away.
fn example_ui(
    ui: &mut Ui,
    place: Rect,
    session: &Session,
    (positives, number, example): (bool, usize, &ShownExample),
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
) {
    let response = ui.interact(place, ui.scope_id().with(("example", positives, number)), Sense::click());
    let kind = if positives { "example" } else { "negative example" };
    let name = example_name(session, example);
    response.widget_info(|| {
        egui::WidgetInfo::labeled(egui::Role::Button, true, format!("{kind} {}: {name}", number + 1))
    });
    let picture =
        example.place.as_ref().and_then(|tile| shown.picture(session, ui.ctx(), &tile.slide, tile.rect));
    picture_ui(ui, place, picture.as_ref(), palette);
    let color: Color32 = if positives { palette.query } else { palette.error };
    ui.painter().rect_stroke(place, 4.0, Stroke::new(2.0, color), StrokeKind::Outside);
    let what = if positives { "Matches are like this" } else { "Matches are less like this" };
    let response =
        response.on_hover_text(format!("{what}\n{name}\nClick: go there. Right click: take it away"));
    if response.secondary_clicked() {
        asked.command(Command::RemoveExample { is_positive: positives, place: number });
    } else if response.clicked()
        && let Some(place) = &example.place
    {
        asked.command(Command::GoToExample { place: place.clone(), from: None });
    }
}

fn example_name(session: &Session, shown: &ShownExample) -> String {
    match (&shown.example, shown.example.slide()) {
        (Example::Descriptors { name, file: Some(_), .. }, _) | (Example::Descriptors { name, .. }, None) => {
            name.clone()
        }
        (_, Some(slide)) => slide_name(session, slide),
        _ => String::new(),
    }
}

fn location(session: &Session, shown: &ShownExample) -> String {
    let Some(place) = &shown.place else { return "an image file".to_owned() };
    if let Example::Descriptors { file: Some(_), descriptors, .. } = &shown.example {
        return match descriptors.len() {
            1 => "a picture, as one tile".to_owned(),
            count => format!("a picture of {count} tiles"),
        };
    }
    let center = place.rect.center();
    match session.slide(&place.slide).and_then(|slide| slide.source.info().mpp) {
        Some(mpp) => format!("x {}  y {}", length_label(center.x * mpp.x), length_label(center.y * mpp.y)),
        None => format!("x {:.0}  y {:.0} px", center.x, center.y),
    }
}

/// The questions asked before, as a strip of their pictures.
pub fn history_ui(
    ui: &mut Ui,
    session: &Session,
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
) {
    Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 4)).show(ui, |ui| {
        ui.label(RichText::new("Asked before").small().color(palette.weak));
        ScrollArea::horizontal().id_salt("history").show(ui, |ui| {
            ui.horizontal(|ui| {
                for (number, past) in session.query_history().history().iter().enumerate() {
                    let Some(first) = past.positives.first() else { continue };
                    let (place, response) = ui.allocate_exact_size(Vec2::splat(FURTHER), Sense::click());
                    let name = example_name(session, first);
                    response.widget_info(|| {
                        let label = format!("past query {}: {name}", number + 1);
                        egui::WidgetInfo::labeled(egui::Role::Button, true, label)
                    });
                    let picture = first
                        .place
                        .as_ref()
                        .and_then(|tile| shown.picture(session, ui.ctx(), &tile.slide, tile.rect));
                    picture_ui(ui, place, picture.as_ref(), palette);
                    let examples = match past.positives.len() + past.negatives.len() {
                        1 => String::new(),
                        count => format!(" · {count} examples"),
                    };
                    if response.on_hover_text(format!("Ask again: {name}{examples}")).clicked() {
                        asked.command(Command::Recall(number));
                    }
                }
            });
            ui.add_space(8.0);
        });
    });
}
