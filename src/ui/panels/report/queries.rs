//! Galleries of the queries that went best and worst; a click on any tile goes to its slide.

use std::collections::HashMap;

use egui::{ColorImage, Rect, RichText, Sense, Stroke, StrokeKind, TextureHandle, TextureOptions, Ui, Vec2};

use super::super::picture_ui;
use super::{caption_of, heading_ui, place_of};
use crate::evaluation::comparison::Target;
use crate::evaluation::report::extremes;
use crate::evaluation::study::Study;
use crate::session::Command;
use crate::ui::app::Asked;
use crate::ui::theme::Palette;

/// Edge of a tile's picture, in points, and answers in a row.
const EDGE: f32 = 84.0;
const ANSWERS: usize = 6;

pub fn queries_ui(
    ui: &mut Ui,
    target: &Target,
    study: &Study,
    pictures: &mut HashMap<u32, TextureHandle>,
    palette: &Palette,
    asked: &mut Asked,
) {
    let [best, worst] = extremes(target, &study.sample);
    for (title, queries) in
        [("Best queries and their answers", best), ("Worst queries and their answers", worst)]
    {
        if queries.is_empty() {
            continue;
        }
        heading_ui(ui, palette, title);
        for query in queries {
            ui.horizontal(|ui| {
                tile_ui(ui, study, pictures, query.tile, palette.query, palette, asked);
                ui.add_space(10.0);
                for (answer, hit) in query.answers.iter().zip(&query.hits).take(ANSWERS) {
                    let frame = if *hit { palette.good } else { palette.error };
                    tile_ui(ui, study, pictures, answer.tile, frame, palette, asked);
                }
            });
        }
        ui.label(
            RichText::new("Framed in green: of the query's class; in red: of another.")
                .small()
                .color(palette.weak),
        );
    }
}

fn tile_ui(
    ui: &mut Ui,
    study: &Study,
    pictures: &mut HashMap<u32, TextureHandle>,
    tile: u32,
    frame: egui::Color32,
    palette: &Palette,
    asked: &mut Asked,
) {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(EDGE), Sense::click());
    let name = caption_of(&study.sample, tile);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name.as_str()));
    let Some((slide, place)) = place_of(&study.sample, tile) else { return };
    if ui.is_rect_visible(rect) {
        let picture = picture_of(ui, study, pictures, tile);
        picture_ui(
            ui,
            Rect::from_center_size(rect.center(), rect.size() - Vec2::splat(6.0)),
            picture.as_ref(),
            palette,
        );
        let width = if response.hovered() { 4.0 } else { 2.5 };
        ui.painter().rect_stroke(rect, 4.0, Stroke::new(width, frame), StrokeKind::Inside);
    }
    if response.on_hover_text(name).clicked() {
        asked.command(Command::GoToTile { slide, rect: place, from: None });
    }
}

/// The picture of a tile that came with the study.
fn picture_of(
    ui: &Ui,
    study: &Study,
    pictures: &mut HashMap<u32, TextureHandle>,
    tile: u32,
) -> Option<TextureHandle> {
    if let Some(known) = pictures.get(&tile) {
        return Some(known.clone());
    }
    let picture = study.pictures.get(&tile)?;
    let size = [picture.width() as usize, picture.height() as usize];
    let image = ColorImage::from_rgb(size, picture.as_raw());
    let texture = ui.ctx().load_texture("tile of the report", image, TextureOptions::LINEAR);
    pictures.insert(tile, texture.clone());
    Some(texture)
}
