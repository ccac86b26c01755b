//! Galleries of queries and their answers. A click on a tile goes to its slide.

use std::collections::HashMap;

use egui::{
    Color32, ColorImage, Rect, RichText, Sense, Stroke, StrokeKind, TextureHandle, TextureOptions, Ui, Vec2,
};

use super::super::picture_ui;
use super::{caption_of, heading_ui, tile_of};
use crate::evaluation::comparison::Target;
use crate::evaluation::report::extremes;
use crate::evaluation::study::Study;
use crate::session::{Session, SlideCommand, ViewCommand};
use crate::ui::app::Requests;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::Palette;

/// Side of a tile's image in points.
const EDGE: f32 = 84.0;
/// Number of answers per row.
const ANSWERS: usize = 6;

/// Sources of tiles and their images.
pub struct Tiles<'a> {
    /// The session.
    pub session: &'a Session,
    /// The evaluation.
    pub study: &'a Study,
    /// Images stored with the evaluation, on the GPU, by tile index.
    pub pictures: &'a mut HashMap<u32, TextureHandle>,
    /// Images of other tiles, read from the slides on demand.
    pub shown: &'a mut ShownSlides,
    /// Colours of the window.
    pub palette: &'a Palette,
}

/// Draws the queries with the best and the worst answers.
pub fn queries_ui(ui: &mut Ui, target: &Target, tiles: &mut Tiles<'_>, requests: &mut Requests) {
    let palette = tiles.palette;
    let [best, worst] = extremes(target, &tiles.study.sample);
    for (title, queries) in
        [("Best queries and their matches", best), ("Worst queries and their matches", worst)]
    {
        if queries.is_empty() {
            continue;
        }
        heading_ui(ui, palette, title);
        for query in queries {
            ui.horizontal(|ui| {
                tile_ui(ui, tiles, query.tile, palette.query, requests);
                ui.add_space(10.0);
                for (answer, is_correct) in query.answers.iter().zip(&query.hits).take(ANSWERS) {
                    let frame = if *is_correct { palette.good } else { palette.error };
                    tile_ui(ui, tiles, answer.tile, frame, requests);
                }
            });
        }
        ui.label(
            RichText::new("Green frame: same class as the query; red frame: another class.")
                .small()
                .color(palette.weak),
        );
    }
}

/// Draws pairs of tiles with the given frame colours, and `what` as the caption below.
pub fn pairs_ui(
    ui: &mut Ui,
    pairs: &[[u32; 2]],
    frames: [Color32; 2],
    what: &str,
    tiles: &mut Tiles<'_>,
    requests: &mut Requests,
) {
    ui.add_space(8.0);
    ui.horizontal_wrapped(|ui| {
        let both = Vec2::new(2.0 * EDGE + ui.spacing().item_spacing.x, EDGE);
        for pair in pairs {
            // The two tiles of a pair stay on one line.
            ui.allocate_ui(both, |ui| {
                ui.horizontal(|ui| {
                    for (tile, frame) in pair.iter().zip(frames) {
                        tile_ui(ui, tiles, *tile, frame, requests);
                    }
                });
            });
            ui.add_space(14.0);
        }
    });
    ui.label(RichText::new(what).small().color(tiles.palette.weak));
}

fn tile_ui(ui: &mut Ui, tiles: &mut Tiles<'_>, tile: u32, frame: Color32, requests: &mut Requests) {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(EDGE), Sense::click());
    let name = caption_of(&tiles.study.sample, tile);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name.as_str()));
    let Some((slide, tile_rect)) = tile_of(&tiles.study.sample, tile) else { return };
    if ui.is_rect_visible(rect) {
        let mut picture = picture_of(ui, tiles.study, tiles.pictures, tile);
        if picture.is_none() {
            picture = tiles.shown.picture(tiles.session, ui.ctx(), &slide, tile_rect);
            if picture.is_none() {
                requests.command(SlideCommand::ReadTile { slide: slide.clone(), rect: tile_rect });
            }
        }
        picture_ui(
            ui,
            Rect::from_center_size(rect.center(), rect.size() - Vec2::splat(6.0)),
            picture.as_ref(),
            tiles.palette,
        );
        let width = if response.hovered() { 4.0 } else { 2.5 };
        ui.painter().rect_stroke(rect, 4.0, Stroke::new(width, frame), StrokeKind::Inside);
    }
    if response.on_hover_text(name).clicked() {
        requests.command(ViewCommand::GoToTile { slide, rect: tile_rect, from: None });
    }
}

/// Returns the image of a tile that is stored with the evaluation.
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
