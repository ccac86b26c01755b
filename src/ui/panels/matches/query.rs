//! The current query's examples, and the query history.

use egui::{
    Color32, Frame, Margin, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, TextStyle, Ui, Vec2,
};

use super::super::{line_ui, picture_ui, text_over_ui};
use crate::number_format::decimal;
use crate::query::{Example, Region, ShownExample};
use crate::session::{QueryCommand, QueryState, Session};
use crate::ui::app::{Requests, slide_name};
use crate::ui::short_names::slide_name_within;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::slide_view::length_label;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Side of the first example's image in points.
const FIRST: f32 = 60.0;
/// Side of further images in points.
const FURTHER: f32 = 44.0;

/// Draws the examples of the query.
pub fn query_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    shown: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    let Some(first) = query.positives.first() else { return };
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 76.0), Sense::hover());
    ui.painter().rect_filled(rect, theme::RADIUS, palette.raised);
    let picture = Rect::from_min_size(rect.min + Vec2::splat(8.0), Vec2::splat(FIRST));
    example_ui(ui, picture, session, (true, 0, first), shown, palette, requests);
    let text =
        Rect::from_min_max(Pos2::new(picture.right() + 12.0, rect.top() + 10.0), rect.max - Vec2::splat(8.0));
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        let title = match (&first.example, query.positives.len()) {
            (_, 2..) => format!("Query of {} examples", query.positives.len()),
            (Example::Region { region: Region::Areas(_), .. }, _) => "Query: annotations".to_owned(),
            (Example::Region { region: Region::Rect(_), .. }, _) => "Query: whole slide".to_owned(),
            (Example::Region { .. }, _) => "Query: region".to_owned(),
            (Example::Descriptors { file: Some(_), .. }, _) => "Query: image".to_owned(),
            (Example::Descriptors { position: None, .. }, _) => "Query: concept".to_owned(),
            _ => "Query".to_owned(),
        };
        line_ui(ui, RichText::new(title).family(theme::bold()).color(palette.query));
        let font = TextStyle::Body.resolve(ui.style());
        let name = match first.example.slide().filter(|slide| session.slide(slide).is_some()) {
            Some(slide) => slide_name_within(ui, session, slide, &font, ui.available_width()),
            None => example_name(session, first),
        };
        line_ui(ui, RichText::new(name).color(palette.text));
        line_ui(ui, RichText::new(location(session, first)).small().color(palette.weak));
    });
    if query.positives.len() > 1 || !query.negatives.is_empty() {
        further_ui(ui, session, query, shown, palette, requests);
    }
    if query.positives.len() + query.negatives.len() == 1 && query.marks.is_empty() {
        let hint = "Shift + click adds an example, Ctrl + click adds a negative example";
        ui.label(RichText::new(hint).small().color(palette.weak));
    }
}

/// Draws all examples except the first.
fn further_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    shown: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(6.0);
        let positives = query.positives.iter().enumerate().skip(1).map(|(index, shown)| (true, index, shown));
        let negatives = query.negatives.iter().enumerate().map(|(index, shown)| (false, index, shown));
        for one in positives.chain(negatives) {
            let (rect, _) = ui.allocate_exact_size(Vec2::splat(FURTHER), Sense::hover());
            example_ui(ui, rect, session, one, shown, palette, requests);
        }
    });
}

/// Draws the image of an example. A click goes to it, a right click removes it.
fn example_ui(
    ui: &mut Ui,
    rect: Rect,
    session: &Session,
    (is_positive, number, example): (bool, usize, &ShownExample),
    shown: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    let response = ui.interact(rect, ui.scope_id().with(("example", is_positive, number)), Sense::click());
    let kind = if is_positive { "example" } else { "negative example" };
    let name = example_name(session, example);
    response.widget_info(|| {
        egui::WidgetInfo::labeled(egui::Role::Button, true, format!("{kind} {}: {name}", number + 1))
    });
    let picture =
        example.position.as_ref().and_then(|tile| shown.picture(session, ui.ctx(), &tile.slide, tile.rect));
    picture_ui(ui, rect, picture.as_ref(), palette);
    let color: Color32 = if is_positive { palette.query } else { palette.error };
    ui.painter().rect_stroke(rect, 4.0, Stroke::new(2.0, color), StrokeKind::Outside);
    let what = if is_positive { "Example" } else { "Negative example: matches are less similar to it" };
    let response =
        response.on_hover_text(format!("{what}\n{name}\nClick to go there, right-click to remove"));
    if response.secondary_clicked() {
        requests.command(QueryCommand::RemoveExample { is_positive, index: number });
    } else if response.clicked()
        && let Some(position) = &example.position
    {
        requests.command(QueryCommand::GoToExample { position: position.clone(), from: None });
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
    let Some(position) = &shown.position else {
        return match &shown.example {
            Example::Descriptors { file: None, .. } => "a concept".to_owned(),
            _ => "an image file".to_owned(),
        };
    };
    if let Example::Descriptors { file: Some(_), descriptors, .. } = &shown.example {
        return match descriptors.len() {
            1 => "an image, as one tile".to_owned(),
            count => format!("an image of {count} tiles"),
        };
    }
    let center = position.rect.center();
    match session.slide(&position.slide).and_then(|slide| slide.source.info().mpp) {
        Some(mpp) => {
            format!("x {}  y {}", length_label(center.x * mpp.x()), length_label(center.y * mpp.y()))
        }
        None => format!("x {}  y {} px", decimal(center.x, 0), decimal(center.y, 0)),
    }
}

/// Draws the query history as a row of images.
pub fn history_ui(
    ui: &mut Ui,
    session: &Session,
    shown: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 4)).show(ui, |ui| {
        ui.label(RichText::new("Query history").small().color(palette.weak));
        if session.query_history().history().is_empty() {
            ui.label(RichText::new("No earlier queries in this project.").small().color(palette.text));
            return;
        }
        ScrollArea::horizontal().id_salt("history").show(ui, |ui| {
            ui.horizontal(|ui| {
                for (number, past) in session.query_history().history().iter().enumerate() {
                    let Some(first) = past.positives.first() else { continue };
                    let (rect, response) = ui.allocate_exact_size(Vec2::splat(FURTHER), Sense::click());
                    let name = example_name(session, first);
                    response.widget_info(|| {
                        let label = format!("past query {}: {name}", number + 1);
                        egui::WidgetInfo::labeled(egui::Role::Button, true, label)
                    });
                    let picture = first
                        .position
                        .as_ref()
                        .and_then(|tile| shown.picture(session, ui.ctx(), &tile.slide, tile.rect));
                    picture_ui(ui, rect, picture.as_ref(), palette);
                    let examples = match past.positives.len() + past.negatives.len() {
                        1 => String::new(),
                        count => format!(" · {count} examples"),
                    };
                    if response.on_hover_text(format!("Repeat this query: {name}{examples}")).clicked() {
                        requests.command(QueryCommand::Repeat(number));
                    }
                }
            });
            ui.add_space(8.0);
        });
    });
}
