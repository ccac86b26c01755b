//! Another encoder beside the current one, before it is used: the same queries answered by both, and P@5 by class.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use egui::{
    Align, Color32, ColorImage, Layout, RichText, ScrollArea, Sense, Stroke, StrokeKind, TextureHandle,
    TextureOptions, Ui, Vec2,
};

use super::report::precision_ui;
use super::{picture_ui, task_ui};
use crate::evaluation::headline::Headline;
use crate::evaluation::trial::{Trial, TrialQuery};
use crate::session::{Command, TrialState, ViewCommand};
use crate::slide::SlideId;
use crate::ui::app::Requests;
use crate::ui::theme::{self, Palette};

/// Side of a tile's image in points.
const EDGE: f32 = 62.0;
/// Gap between images, and between columns, in points.
const TILE_GAP: f32 = 3.0;
const COLUMN_GAP: f32 = 14.0;

/// Images of the tiles of a trial on the GPU, by row.
#[derive(Default)]
pub struct TrialPictures {
    textures: HashMap<u32, TextureHandle>,
    of: Weak<Trial>,
}

impl TrialPictures {
    /// Drops the images of another trial.
    fn follow(&mut self, trial: &Arc<Trial>) {
        if !std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(trial)) {
            self.textures.clear();
            self.of = Arc::downgrade(trial);
        }
    }

    fn texture(&mut self, ui: &Ui, trial: &Trial, tile: u32) -> Option<TextureHandle> {
        if let Some(known) = self.textures.get(&tile) {
            return Some(known.clone());
        }
        let picture = trial.pictures.get(&tile)?;
        let size = [picture.width() as usize, picture.height() as usize];
        let image = ColorImage::from_rgb(size, picture.as_raw());
        let texture = ui.ctx().load_texture("tile of a comparison", image, TextureOptions::LINEAR);
        self.textures.insert(tile, texture.clone());
        Some(texture)
    }
}

/// Draws a comparison. Of the commands, the first starts it once more and the second stops it.
pub fn comparison_ui(
    ui: &mut Ui,
    state: &TrialState,
    pictures: &mut TrialPictures,
    (again, stop): (impl Into<Command>, impl Into<Command>),
    palette: &Palette,
    requests: &mut Requests,
) {
    match state {
        TrialState::Running { share, doing, .. } => {
            task_ui(ui, doing, *share, palette);
            ui.add_space(4.0);
            let hint = "Stop without a result; the encoder is kept";
            if ui.button("Stop comparison").on_hover_text(hint).clicked() {
                requests.command(stop);
            }
        }
        TrialState::Stopped => {
            ui.label(RichText::new("The comparison was stopped.").color(palette.weak));
            if ui.button("Compare again").clicked() {
                requests.command(again);
            }
        }
        TrialState::Failed(reason) => {
            ui.add(egui::Label::new(RichText::new(reason).color(palette.error)).wrap());
            if ui.button("Compare again").clicked() {
                requests.command(again);
            }
        }
        TrialState::Done(trial) => {
            pictures.follow(trial);
            table_ui(ui, trial, palette);
            queries_ui(ui, trial, pictures, palette, requests);
        }
    }
}

/// Draws P@5 by class of both encoders.
fn table_ui(ui: &mut Ui, trial: &Trial, palette: &Palette) {
    let headline =
        trial.comparison.as_ref().ok().and_then(|comparison| Some((comparison, Headline::of(comparison)?)));
    let weak = |text: String| RichText::new(text).small().color(palette.weak);
    let Some((comparison, headline)) = headline else {
        let text = match &trial.comparison {
            Err(reason) => format!("P@5 by class was not measured: {reason}"),
            Ok(_) => "P@5 by class needs labels of a class on two slides or patients.".to_owned(),
        };
        ui.add(egui::Label::new(weak(text)).wrap());
        return;
    };
    ui.label(RichText::new(headline.title()).family(theme::bold()).color(palette.text));
    ScrollArea::horizontal()
        .id_salt("trial table")
        .show(ui, |ui| precision_ui(ui, &trial.sample, comparison, &headline, palette));
    let tiles =
        format!("Measured on a sample of {} tiles. {}", trial.sample.tiles.len(), headline.explanation());
    ui.add(egui::Label::new(weak(tiles)).wrap());
}

/// Draws the queries, with the matches of the current encoder on the left and those of the new one on the right.
fn queries_ui(
    ui: &mut Ui,
    trial: &Trial,
    pictures: &mut TrialPictures,
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.add_space(8.0);
    let title = "Best matches of the same queries by both encoders";
    ui.label(RichText::new(title).family(theme::bold()).color(palette.text));
    ScrollArea::horizontal().id_salt("trial queries").show(ui, |ui| {
        names_ui(ui, trial, palette);
        for query in &trial.queries {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = TILE_GAP;
                tile_ui(ui, trial, query.tile, palette.query, pictures, palette, requests);
                for matches in &query.matches {
                    ui.add_space(COLUMN_GAP);
                    for tile in matches {
                        let frame = frame(trial, query, *tile, palette);
                        tile_ui(ui, trial, *tile, frame, pictures, palette, requests);
                    }
                }
            });
        }
    });
    let legend = "Green frame: a match of the query's class; red frame: of another class; no frame: \
                  not labelled. Matches are from other slides or patients where there are several.";
    ui.add(egui::Label::new(RichText::new(legend).small().color(palette.weak)).wrap());
}

/// Draws what each column holds: the query, and the matches of either encoder.
fn names_ui(ui: &mut Ui, trial: &Trial, palette: &Palette) {
    let most = |index: usize| trial.queries.iter().map(|query| query.matches[index].len()).max();
    let [present, new] = &trial.names;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = TILE_GAP;
        let columns = [("Query", 1), (present, most(0).unwrap_or(1)), (new, most(1).unwrap_or(1))];
        for (index, (name, tiles)) in columns.into_iter().enumerate() {
            if index > 0 {
                ui.add_space(COLUMN_GAP);
            }
            let width = tiles.max(1) as f32 * (EDGE + TILE_GAP) - TILE_GAP;
            let size = Vec2::new(width, ui.text_style_height(&egui::TextStyle::Small) + 2.0);
            ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
                ui.set_min_size(size);
                let text = RichText::new(name).small().color(palette.weak);
                ui.add(egui::Label::new(text).truncate());
            });
        }
    });
}

/// Returns the colour of the frame of a match.
fn frame(trial: &Trial, query: &TrialQuery, tile: u32, palette: &Palette) -> Color32 {
    let class = |tile: u32| trial.sample.tiles.classes[tile as usize];
    match (class(query.tile), class(tile)) {
        (Some(wanted), Some(found)) if wanted == found => palette.good,
        (Some(_), Some(_)) => palette.error,
        _ => palette.line,
    }
}

fn tile_ui(
    ui: &mut Ui,
    trial: &Trial,
    tile: u32,
    frame: Color32,
    pictures: &mut TrialPictures,
    palette: &Palette,
    requests: &mut Requests,
) {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(EDGE), Sense::click());
    let sample = &trial.sample;
    let slide = &sample.slides[sample.tiles.slides[tile as usize] as usize];
    let class = sample.tiles.classes[tile as usize];
    let class = class.map_or("unlabelled", |class| sample.classes[usize::from(class.0)].as_str());
    let name = format!("{}\n{class}", slide.name);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name.as_str()));
    if ui.is_rect_visible(rect) {
        let texture = pictures.texture(ui, trial, tile);
        picture_ui(ui, rect.shrink(3.0), texture.as_ref(), palette);
        let width = if response.hovered() { 3.5 } else { 2.0 };
        ui.painter().rect_stroke(rect, 4.0, Stroke::new(width, frame), StrokeKind::Inside);
    }
    if response.on_hover_text(name).clicked()
        && let Some(rect) = sample.rects.get(tile as usize)
    {
        let slide = SlideId(slide.id.clone());
        requests.command(ViewCommand::GoToTile { slide, rect: *rect, from: None });
    }
}
