//! The legend of the heat map, a small card over the slide that can be dragged.

use std::sync::Arc;

use egui::{Area, Color32, Frame, Id, Margin, Pos2, Rect, RichText, Sense, Slider, Ui, Vec2};

use super::{HeatMap, HeatSource, VIRIDIS, class_colour};
use crate::concept::Concept;
use crate::number_format::{counted, decimal};
use crate::query::similarity_map::SimilarityMap;
use crate::ui::actions::{self, SearchAction};
use crate::ui::theme::{self, Palette};
use crate::workers::similarity_maps::Engine;

/// Width of the legend, in points.
const LEGEND: f32 = 190.0;

/// Distance of the legend from the edges of the canvas, in points.
const MARGIN: f32 = 12.0;

/// Height of the scale bar and of the overview at the bottom of the canvas, in points.
const BOTTOM: f32 = 200.0;

/// Where the legend is drawn.
#[derive(Debug, Clone, Copy)]
pub struct LegendPlace {
    /// Its upper left corner relative to that of the canvas, in points, once the user has dragged it.
    pub moved: Option<Vec2>,
    /// The same, as chosen when the heat map was switched on.
    chosen: Vec2,
    /// Whether `chosen` is valid.
    pub(super) is_chosen: bool,
    size: Vec2,
}

impl Default for LegendPlace {
    fn default() -> Self {
        let size = Vec2::new(LEGEND + 24.0, 150.0);
        Self { moved: None, chosen: Vec2::ZERO, is_chosen: false, size }
    }
}

impl LegendPlace {
    /// Returns the upper left corner of the legend, and chooses it if that was not done.
    fn position(&mut self, canvas: Rect, corner: Pos2, tissue_under: impl Fn(Rect) -> f64) -> Pos2 {
        if let Some(moved) = self.moved {
            return canvas.min + moved;
        }
        if !self.is_chosen {
            let (left, right) = (canvas.left() + MARGIN, corner.x - self.size.x);
            let lower = canvas.bottom() - BOTTOM - MARGIN - self.size.y;
            let corners =
                [(right, corner.y), (left, canvas.top() + MARGIN + 28.0), (left, lower), (right, lower)];
            let tissue = |at: Pos2| tissue_under(Rect::from_min_size(at, self.size));
            let places = corners.into_iter().map(|(x, y)| Pos2::new(x, y)).map(|at| (at, tissue(at)));
            // Of equal ones the first.
            let best = places.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(corner, |(at, _)| at);
            (self.chosen, self.is_chosen) = (best - canvas.min, true);
        }
        canvas.min + self.chosen
    }
}

impl HeatMap {
    /// Draws the legend, with opacity and threshold. It can be dragged by everything but its sliders, and stays inside
    /// `canvas`. Until it was dragged it is where `tissue_under` is least of the four corners of the canvas when the heat
    /// map is switched on; `corner` is the free upper right one. Returns its rectangle, or `None` if the heat map is off.
    pub fn legend_ui(
        &mut self,
        ui: &Ui,
        (canvas, corner): (Rect, Pos2),
        tissue_under: impl Fn(Rect) -> f64,
        palette: &Palette,
    ) -> Option<Rect> {
        if !self.is_on {
            return None;
        }
        let at = self.legend.position(canvas, corner, tissue_under);
        // In a narrow canvas it reaches over the panels beside it.
        let is_narrow = canvas.width() < self.legend.size.x + 2.0 * MARGIN;
        let within = if is_narrow { ui.ctx().content_rect() } else { canvas };
        let mut threshold = self.threshold;
        let legend = Area::new(Id::unique("heat map legend"))
            .current_pos(at)
            .movable(true)
            .constrain_to(within)
            .show(ui.ctx(), |ui| {
                let frame = Frame::new().fill(palette.chip).corner_radius(theme::RADIUS);
                frame.inner_margin(Margin::symmetric(12, 10)).show(ui, |ui| {
                    ui.set_width(LEGEND);
                    ui.spacing_mut().slider_width = LEGEND - 74.0;
                    // The rail is visible on the chip as on panels.
                    ui.visuals_mut().widgets.inactive.bg_fill = palette.on_chip.gamma_multiply(0.15);
                    let text = |text: String| RichText::new(text).small().color(palette.on_chip);
                    ui.label(RichText::new(self.source.title()).family(theme::bold()).color(palette.on_chip));
                    match self.concepts() {
                        Some(concepts) => classes_ui(ui, concepts, palette),
                        None => {
                            let (bar, _) = ui.allocate_exact_size(Vec2::new(LEGEND, 10.0), Sense::hover());
                            scale_ui(ui, bar);
                            ui.horizontal(|ui| {
                                let maps = self.maps.as_ref();
                                let scale = maps
                                    .map_or(String::new(), |maps| format!(", ≥ {}", decimal(maps.scale, 2)));
                                ui.label(text(format!("dissimilar{scale}")));
                                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                                    ui.label(text("identical, 0".to_owned()));
                                });
                            });
                        }
                    }
                    let percent = |value: &mut f32, name: &str, ui: &mut Ui| {
                        ui.horizontal(|ui| {
                            ui.label(text(name.to_owned()));
                            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                                ui.add(Slider::new(value, 0.0..=1.0).show_value(false)).accessible_name(name);
                            });
                        });
                    };
                    percent(&mut self.opacity, "Opacity", ui);
                    if self.source != HeatSource::AllConcepts {
                        percent(&mut threshold, "Threshold", ui);
                    }
                    let status = match &self.maps {
                        None if self.source == HeatSource::Pointer => {
                            "Move the pointer over embedded tissue".to_owned()
                        }
                        None if matches!(self.source, HeatSource::Concept(_)) => {
                            "No embedded tissue is in view, or the concept was taught with another encoder"
                                .to_owned()
                        }
                        None => "No embedded tissue is in view".to_owned(),
                        Some(maps) => {
                            let tiles: usize = maps.maps.iter().map(SimilarityMap::tiles).sum();
                            let engine = match maps.engine {
                                Engine::Processor => "CPU",
                                Engine::GraphicsCard => "GPU",
                            };
                            let ms = maps.elapsed.as_secs_f64() * 1000.0;
                            let ms = match ms < 0.1 {
                                true => format!("<\u{202f}{}", decimal(0.1, 1)),
                                false => decimal(ms, 1),
                            };
                            format!("{} in {ms} ms, {engine}", counted(tiles as u64, "tile"))
                        }
                    };
                    ui.label(text(status));
                    let export = actions::entry(SearchAction::ExportHeatMap);
                    if self.source != HeatSource::AllConcepts
                        && let Some(keys) = export.shortcut_label(ui.ctx())
                    {
                        ui.label(text(format!("{keys} exports the map")));
                    }
                });
            });
        if threshold != self.threshold {
            self.threshold = threshold;
            self.paint(ui.ctx());
        }
        let rect = legend.response.rect;
        self.legend.size = rect.size();
        if legend.response.dragged() {
            self.legend.moved = Some(rect.min - canvas.min);
        }
        legend.response.on_hover_cursor(egui::CursorIcon::Grab);
        Some(rect)
    }
}

/// Draws the legend of a class map.
fn classes_ui(ui: &mut Ui, concepts: &[Arc<Concept>], palette: &Palette) {
    for concept in concepts {
        ui.horizontal(|ui| {
            let (square, _) = ui.allocate_exact_size(Vec2::splat(10.0), Sense::hover());
            ui.painter().rect_filled(square, 2.0, class_colour(concept));
            ui.label(RichText::new(&concept.name).small().color(palette.on_chip));
        });
    }
    let text = match concepts.is_empty() {
        true => "No concept of this project's encoder has a threshold yet",
        false => "Not coloured: none of them",
    };
    ui.label(RichText::new(text).small().color(palette.on_chip));
}

fn scale_ui(ui: &Ui, bar: Rect) {
    let mut mesh = egui::Mesh::default();
    for (step, colour) in VIRIDIS.iter().enumerate() {
        let x = egui::lerp(bar.x_range(), step as f32 / (VIRIDIS.len() - 1) as f32);
        let colour = Color32::from_rgb(colour[0], colour[1], colour[2]);
        mesh.colored_vertex(Pos2::new(x, bar.top()), colour);
        mesh.colored_vertex(Pos2::new(x, bar.bottom()), colour);
        if step > 0 {
            let at = 2 * step as u32;
            mesh.add_triangle(at - 2, at - 1, at);
            mesh.add_triangle(at - 1, at, at + 1);
        }
    }
    ui.painter().add(mesh);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legend_starts_where_there_is_least_tissue_and_stays_where_it_was_dragged() {
        let canvas = Rect::from_min_size(Pos2::new(100.0, 50.0), Vec2::new(900.0, 700.0));
        let corner = Pos2::new(988.0, 62.0);
        let mut place = LegendPlace::default();
        let tissue_on_the_right = |area: Rect| if area.center().x > 550.0 { 0.6 } else { 0.0 };
        let at = place.position(canvas, corner, tissue_on_the_right);
        assert!(at.x < 200.0 && canvas.contains(at), "{at:?}");
        // It does not jump when the slide is moved.
        assert_eq!(place.position(canvas, corner, |_| 1.0), at);
        place.is_chosen = false;
        let at = place.position(canvas, corner, |_| 0.0);
        assert_eq!(at, Pos2::new(corner.x - place.size.x, corner.y));
        place.moved = Some(Vec2::new(40.0, 60.0));
        assert_eq!(place.position(canvas, corner, tissue_on_the_right), Pos2::new(140.0, 110.0));
    }
}
