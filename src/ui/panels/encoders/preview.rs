//! Which tiles of a sample an encoder finds similar, before anything is embedded with it in full.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use egui::{
    Color32, ColorImage, RichText, ScrollArea, Sense, Stroke, StrokeKind, TextureHandle, TextureOptions, Ui,
    Vec2,
};

use super::list::rate;
use crate::evaluation::preview::EncoderPreview;
use crate::number_format::{counted, grouped};
use crate::session::{EmbeddingCommand, PreviewState, Session, ViewCommand};
use crate::ui::app::{Requests, slide_name};
use crate::ui::panels::{picture_ui, task_ui, waiting_time};
use crate::ui::theme::{self, Palette};

/// Largest and smallest side of a tile's image in points.
const EDGE: [f32; 2] = [72.0, 36.0];

/// Gap between the query and its nearest tiles in points.
const GAP: f32 = 14.0;

/// Gap between tiles in points.
const BETWEEN: f32 = 3.0;

/// Images of the tiles of a preview on the GPU, by tile.
#[derive(Default)]
pub struct PreviewPictures {
    textures: HashMap<usize, TextureHandle>,
    of: Weak<EncoderPreview>,
}

impl PreviewPictures {
    /// Drops the images of another preview.
    fn follow(&mut self, preview: &Arc<EncoderPreview>) {
        if !std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(preview)) {
            self.textures.clear();
            self.of = Arc::downgrade(preview);
        }
    }

    fn texture(&mut self, ui: &Ui, preview: &EncoderPreview, tile: usize) -> TextureHandle {
        let load = || {
            let picture = &preview.tiles[tile].picture;
            let size = [picture.width() as usize, picture.height() as usize];
            let image = ColorImage::from_rgb(size, picture.as_raw());
            ui.ctx().load_texture("tile of a preview", image, TextureOptions::LINEAR)
        };
        self.textures.entry(tile).or_insert_with(load).clone()
    }
}

/// Draws the preview of the encoder that the user looks at.
pub fn preview_ui(
    ui: &mut Ui,
    pictures: &mut PreviewPictures,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let weak = |text: &str| RichText::new(text).small().color(palette.weak);
    ui.horizontal(|ui| {
        let title = RichText::new("Nearest tiles on your slides").family(theme::bold());
        ui.label(title.color(palette.strong));
        let (text, command, hint) = match session.encoder_preview() {
            PreviewState::Running { .. } => ("Stop", EmbeddingCommand::StopPreview, "Stop the preview"),
            PreviewState::None | PreviewState::Failed(_) => (
                "Preview",
                EmbeddingCommand::Preview,
                "Embed a few hundred tiles of the open slides, and show some of them with their nearest tiles; embedding pauses meanwhile",
            ),
            PreviewState::Done(_) => return,
        };
        if ui.button(text).on_hover_text(hint).clicked() {
            requests.command(command);
        }
    });
    match session.encoder_preview() {
        PreviewState::None => {
            let text = "A few tiles with their five nearest ones in a sample of a few hundred.";
            ui.label(weak(text));
        }
        PreviewState::Running { share, doing, .. } => {
            task_ui(ui, doing, *share, palette);
        }
        PreviewState::Failed(reason) => {
            ui.add(egui::Label::new(RichText::new(reason).color(palette.error)).wrap());
        }
        PreviewState::Done(preview) => {
            pictures.follow(preview);
            queries_ui(ui, preview, pictures, session, palette, requests);
            ui.add(egui::Label::new(weak(&explanation(preview, session))).wrap());
        }
    }
}

/// What was sampled, and how long embedding would take.
fn explanation(preview: &EncoderPreview, session: &Session) -> String {
    let several = preview.tiles.iter().any(|tile| tile.slide != preview.tiles[0].slide);
    let from = match several {
        true => "Nearest tiles are from other slides than the query.",
        false => "Tiles beside the query are left out.",
    };
    // As many tiles on slides that were not sampled.
    let slides = session.slides().len().max(preview.slides);
    let tiles = preview.selected as f64 * slides as f64 / preview.slides.max(1) as f64;
    format!(
        "First the query, then its nearest tiles among {} sampled on {}. {from} At {} tiles/s on {}, embedding all {} tiles of \
         the open slides takes about {}.",
        counted(preview.tiles.len() as u64, "tile"),
        counted(preview.slides as u64, "slide"),
        rate(preview.tiles_per_second),
        preview.device,
        grouped(tiles.round() as u64),
        waiting_time(tiles / preview.tiles_per_second.max(1e-9)),
    )
}

fn queries_ui(
    ui: &mut Ui,
    preview: &EncoderPreview,
    pictures: &mut PreviewPictures,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.add_space(4.0);
    let columns = preview.queries.iter().map(|query| 1 + query.nearest.len()).max().unwrap_or(1) as f32;
    let room = (ui.available_width() - GAP - columns * BETWEEN) / columns;
    let edge = room.clamp(EDGE[1], EDGE[0]);
    ScrollArea::horizontal().id_salt("preview queries").show(ui, |ui| {
        for query in &preview.queries {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = BETWEEN;
                tile_ui(ui, preview, query.tile, (edge, palette.query), pictures, session, palette, requests);
                ui.add_space(GAP);
                for tile in &query.nearest {
                    tile_ui(ui, preview, *tile, (edge, palette.line), pictures, session, palette, requests);
                }
            });
        }
    });
}

#[expect(clippy::too_many_arguments, reason = "what is shown, on what, and what is requested")]
fn tile_ui(
    ui: &mut Ui,
    preview: &EncoderPreview,
    tile: usize,
    (edge, frame): (f32, Color32),
    pictures: &mut PreviewPictures,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(edge), Sense::click());
    let of = &preview.tiles[tile];
    let name = slide_name(session, &of.slide);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name.as_str()));
    if ui.is_rect_visible(rect) {
        let texture = pictures.texture(ui, preview, tile);
        picture_ui(ui, rect.shrink(3.0), Some(&texture), palette);
        let width = if response.hovered() { 3.5 } else { 2.0 };
        ui.painter().rect_stroke(rect, 4.0, Stroke::new(width, frame), StrokeKind::Inside);
    }
    if response.on_hover_text(format!("{name}\nClick to see it on its slide")).clicked() {
        let (slide, rect) = (of.slide.clone(), of.rect);
        requests.command(ViewCommand::GoToTile { slide, rect, from: None });
    }
}
