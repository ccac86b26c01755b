//! The answers of two encoders to the same query, side by side.

use egui::{
    Frame, Margin, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
};

use super::super::{line_ui, picture_ui};
use super::Shown;
use super::menu::match_menu_ui;
use crate::descriptors::Recipe;
use crate::number_format::{decimal, plain};
use crate::query::{Answer, Match};
use crate::session::{Command, MatchCommand, QueryCommand, ViewCommand};
use crate::ui::app::slide_name;
use crate::ui::theme::{self, PANEL_MARGIN};

/// Maximum side of a match's image in points.
const PICTURE: f32 = 110.0;
/// Gap between images in points.
const GAP: f32 = 8.0;
/// Height of a caption in points.
const CAPTION: f32 = 18.0;

/// Draws the choice of the second encoder, and both answers.
pub fn encoders_ui(ui: &mut Ui, mut shown: Shown<'_>) {
    Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 0)).show(ui, |ui| {
        chooser_ui(ui, &mut shown);
        let Some(second_encoder) = shown.session.second_encoder() else {
            let text = "Choose another encoder with which these slides have been embedded. To embed them with one, use it \
                        for this project (Encoders…), and then the former one again: what was embedded is kept.";
            ui.label(RichText::new(text).small().color(shown.palette.weak));
            return;
        };
        let query = shown.query;
        match (&query.second_encoder, &second_encoder.index) {
            (Some(Ok(other)), _) => answers_ui(ui, &mut shown, other),
            (Some(Err(problem)), _) => {
                ui.label(RichText::new(problem).small().color(shown.palette.query));
            }
            (None, _) => {
                ui.label(RichText::new("Loading descriptors…").small().color(shown.palette.weak));
            }
        }
    });
}

/// Draws the choice of the second encoder, from those with which slides have been embedded.
fn chooser_ui(ui: &mut Ui, shown: &mut Shown<'_>) {
    let session = shown.session;
    let own = session.recipe();
    let current = session.second_encoder().map(|second_encoder| &second_encoder.recipe);
    let label = current.map_or_else(|| "Second encoder…".to_owned(), named);
    let combo =
        egui::ComboBox::from_id_salt("second encoder").selected_text(label).width(ui.available_width());
    let opened = combo.show_ui(ui, |ui| {
        ui.set_min_width(220.0);
        if ui.selectable_label(current.is_none(), "None").clicked() {
            shown.requests.command(QueryCommand::CompareWith(None));
        }
        let others = session.recipes().iter().filter(|recipe| Some(*recipe) != own.as_ref());
        for recipe in others {
            if ui.selectable_label(current == Some(recipe), named(recipe)).clicked() {
                shown.requests.command(QueryCommand::CompareWith(Some(recipe.clone())));
            }
        }
    });
    opened.response.widget_info(|| WidgetInfo::labeled(egui::Role::ComboBox, true, "second encoder"));
    if opened.response.clicked() {
        shown.requests.command(QueryCommand::ListRecipes);
    }
}

/// Label of an encoder with its tile size and spacing.
fn named(recipe: &Recipe) -> String {
    format!("{} · {} px at {} µm", recipe.encoder_name, recipe.tiles.tile_px, plain(recipe.tiles.mpp))
}

fn answers_ui(ui: &mut Ui, shown: &mut Shown<'_>, other: &Answer) {
    let palette = shown.palette;
    let own = shown.session.recipe().map(|recipe| named(&recipe)).unwrap_or_default();
    let second_encoder = shown
        .session
        .second_encoder()
        .map(|second_encoder| named(&second_encoder.recipe))
        .unwrap_or_default();
    let in_both = shown.answer.matches.iter().filter(|found| is_among(found, other)).count();
    let text = format!("{in_both} of {} matches are found by both encoders", shown.answer.matches.len());
    ui.label(RichText::new(text).small().color(palette.accent))
        .on_hover_text("Two matches count as the same if the tile of one covers the centre of the other");
    let column = ((ui.available_width() - GAP) / 2.0).max(0.0);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        for name in [&own, &second_encoder] {
            ui.allocate_ui(Vec2::new(column, 18.0), |ui| {
                ui.set_width(column);
                line_ui(ui, RichText::new(name).small().family(theme::bold()).color(palette.strong));
            });
        }
    });
    let side = column.min(PICTURE);
    let rows = shown.answer.matches.len().max(other.matches.len());
    ui.spacing_mut().item_spacing.y = GAP;
    ScrollArea::vertical().auto_shrink(false).show_rows(ui, side + CAPTION, rows, |ui, rows| {
        for rank in rows {
            let size = Vec2::new(ui.available_width(), side + CAPTION);
            let (row, _) = ui.allocate_exact_size(size, Sense::hover());
            let answer = shown.answer;
            for (encoder, (list, counterpart)) in [(answer, other), (other, answer)].into_iter().enumerate() {
                let Some(found) = list.matches.get(rank) else { continue };
                let left = row.left() + encoder as f32 * (column + GAP);
                let rect = Rect::from_min_size(Pos2::new(left, row.top()), Vec2::splat(side));
                match_ui(ui, shown, (encoder, rank), found, rect, is_among(found, counterpart));
            }
        }
    });
}

fn match_ui(
    ui: &mut Ui,
    shown: &mut Shown<'_>,
    (encoder, rank): (usize, usize),
    found: &Match,
    rect: Rect,
    in_both: bool,
) {
    let palette = shown.palette;
    let name = slide_name(shown.session, &found.slide);
    let response = ui.interact(rect, ui.scope_id().with(("encoder's match", encoder, rank)), Sense::click());
    response.widget_info(|| {
        let which = if encoder == 0 { "match" } else { "second encoder's match" };
        WidgetInfo::labeled(egui::Role::Button, true, format!("{which} {}: {name}", found.rank))
    });
    let picture = shown.pictures.picture(shown.session, ui.ctx(), &found.slide, found.rect);
    picture_ui(ui, rect.shrink(2.0), picture.as_ref(), palette);
    let color = if in_both { palette.accent } else { palette.line };
    ui.painter().rect_stroke(rect.shrink(1.0), 4.0, Stroke::new(2.0, color), StrokeKind::Inside);
    let caption = format!("{}   {}", found.rank, decimal(found.distance, 3));
    let at = rect.left_bottom() + Vec2::new(2.0, 3.0);
    let font = egui::FontId::proportional(12.0);
    ui.painter().text(at, egui::Align2::LEFT_TOP, caption, font, palette.weak);
    let both = if in_both { "\nFound by both encoders" } else { "\nFound by this encoder only" };
    let response = response.on_hover_text(format!("{name}\nDistance {}{both}", decimal(found.distance, 4)));
    if encoder == 0 {
        match_menu_ui(&response, shown, rank);
    }
    if response.clicked() {
        let command = match encoder {
            0 => Command::Matches(MatchCommand::GoTo { rank, from: None }),
            _ => Command::View(ViewCommand::GoToTile {
                slide: found.slide.clone(),
                rect: found.rect,
                from: None,
            }),
        };
        shown.requests.command(command);
    }
}

/// Returns whether an answer has a match at the same position: one of the two tiles, which may differ in
/// size, covers the centre of the other.
fn is_among(found: &Match, answer: &Answer) -> bool {
    let is_there = |other: &Match| {
        let (own, theirs) = (found.rect, other.rect);
        other.slide == found.slide && (theirs.contains(own.center()) || own.contains(theirs.center()))
    };
    answer.matches.iter().any(is_there)
}
