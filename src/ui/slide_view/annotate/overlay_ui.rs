//! Overlays drawn with egui's painter: the selection, the shape being drawn, and measured values.

use std::sync::Arc;

use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Stroke, Vec2};

use super::draft::{Draft, level0};
use super::{AnnotationScene, Annotator, Tool, with_vertex};
use crate::annotation::{AnnotationSet, Shape, area_label, length_label};
use crate::geometry::{Level0Point, MicronsPerPixel};
use crate::ui::slide_view::overlay::OnScreen;
use crate::ui::theme::Palette;

/// Maximum number of selected annotations that are outlined, and of vertices that are drawn as handles.
const MOST_OUTLINED: usize = 200;
const MOST_HANDLES: usize = 400;
/// Maximum number of measured values on a canvas.
const MOST_LABELS: usize = 100;

/// Measured values beside measurements; updated when the annotations change, not in every frame.
#[derive(Default)]
pub(super) struct Labels {
    of: Option<(Arc<AnnotationSet>, Option<MicronsPerPixel>)>,
    texts: Vec<(Level0Point, String)>,
}

impl Labels {
    /// Updates the values if the annotations or the spacing have changed.
    pub fn follow(&mut self, scene: &AnnotationScene<'_>) {
        let set = scene.annotations.set();
        if self.of.as_ref().is_some_and(|(known, mpp)| Arc::ptr_eq(known, set) && *mpp == scene.mpp) {
            return;
        }
        self.of = Some((set.clone(), scene.mpp));
        let measured = set.objects().filter(|one| one.is_measurement());
        self.texts =
            measured.filter_map(|one| Some((anchor(one.shape())?, label(one.shape(), scene.mpp)?))).collect();
    }

    /// Draws the values that are in view.
    pub fn paint(&self, painter: &Painter, on_screen: &OnScreen<'_>, palette: &Palette) {
        let in_view = self.texts.iter().map(|(at, text)| (on_screen.point_at(*at), text));
        let in_view = in_view.filter(|(at, _)| on_screen.rect.contains(*at)).take(MOST_LABELS);
        in_view.for_each(|(at, text)| chip(painter, at, text, palette));
    }
}

/// Area or length of a shape, as text.
fn label(shape: &Shape, mpp: Option<MicronsPerPixel>) -> Option<String> {
    length_label(shape, mpp).or_else(|| area_label(shape, mpp))
}

/// Position of a shape's measured value.
fn anchor(shape: &Shape) -> Option<Level0Point> {
    match shape {
        Shape::Lines(lines) => lines.last()?.last().copied(),
        area => Some(area.bounds()?.center()),
    }
}

fn chip(painter: &Painter, at: Pos2, text: &str, palette: &Palette) {
    let galley = painter.layout_no_wrap(text.to_owned(), FontId::proportional(13.0), palette.on_chip);
    let size = galley.size() + Vec2::new(12.0, 6.0);
    let rect = Align2::LEFT_CENTER.anchor_size(at + Vec2::new(10.0, 0.0), size);
    painter.rect_filled(rect, 5.0, palette.chip);
    painter.galley(rect.min + Vec2::new(6.0, 3.0), galley, palette.on_chip);
}

/// Outlines a shape, with a casing that keeps the line visible on any stain.
fn outline(painter: &Painter, on_screen: &OnScreen<'_>, shape: &Shape, color: Color32, palette: &Palette) {
    let strokes = [Stroke::new(4.5, palette.casing), Stroke::new(2.0, color)];
    let points = |line: &[Level0Point]| line.iter().map(|at| on_screen.point_at(*at)).collect::<Vec<_>>();
    match shape {
        Shape::Points(positions) => {
            for at in points(positions) {
                painter.circle_stroke(at, 8.0, strokes[0]);
                painter.circle_stroke(at, 8.0, strokes[1]);
            }
        }
        Shape::Lines(lines) => {
            for line in lines.iter().map(|line| points(line)) {
                strokes.iter().for_each(|stroke| _ = painter.line(line.clone(), *stroke));
            }
        }
        area => {
            for ring in area.polygons().iter().flat_map(|polygon| polygon.rings()).map(|ring| points(ring)) {
                for stroke in strokes {
                    painter.add(egui::Shape::closed_line(ring.clone(), stroke));
                }
            }
        }
    }
}

fn handle(painter: &Painter, at: Pos2, palette: &Palette) {
    let rect = Rect::from_center_size(at, Vec2::splat(8.0));
    painter.rect_filled(rect, 1.5, palette.visited);
    painter.rect_stroke(rect, 1.5, Stroke::new(1.0, palette.casing), egui::StrokeKind::Outside);
}

impl Annotator {
    /// Outlines the selected annotations, with handles and measured values.
    pub(super) fn paint_selection(
        &self,
        painter: &Painter,
        on_screen: &OnScreen<'_>,
        scene: &AnnotationScene<'_>,
        palette: &Palette,
    ) {
        let hidden = scene.annotations.hidden();
        let shown =
            || scene.annotations.selected().filter(|one| !hidden.contains(&one.id)).take(MOST_OUTLINED);
        for one in shown() {
            let shape = match &self.draft {
                Some(Draft::Vertex { id, vertex, to }) if *id == one.id => {
                    with_vertex(scene, *id, *vertex, *to).unwrap_or_else(|| one.shape().clone())
                }
                Some(Draft::Move { from, to }) if !one.locked => {
                    one.shape().translated(to.x - from.x, to.y - from.y)
                }
                _ => one.shape().clone(),
            };
            let [r, g, b] = one.drawn_color();
            outline(
                painter,
                on_screen,
                &shape,
                Color32::WHITE.lerp_to_gamma(Color32::from_rgb(r, g, b), 0.25),
                palette,
            );
            if self.tool == Tool::Select && !one.locked && scene.annotations.selection().len() == 1 {
                let vertices = shape.vertices().into_iter().map(|(_, at)| on_screen.point_at(at));
                let in_view = vertices.filter(|at| on_screen.rect.contains(*at)).take(MOST_HANDLES);
                in_view.for_each(|at| handle(painter, at, palette));
            }
            if !one.is_measurement()
                && scene.annotations.selection().len() == 1
                && let Some((at, text)) = anchor(&shape).zip(label(&shape, scene.mpp))
            {
                chip(painter, on_screen.point_at(at), &text, palette);
            }
        }
    }

    /// Draws the shape or brush stroke in progress, and the brush under the pointer.
    pub(super) fn paint_draft(
        &self,
        painter: &Painter,
        on_screen: &OnScreen<'_>,
        scene: &AnnotationScene<'_>,
        palette: &Palette,
        hover: Option<Pos2>,
    ) {
        let color = match (self.tool, scene.class) {
            (Tool::Eraser, _) => palette.error,
            (tool, Some(class)) if !tool.measures() => {
                let [r, g, b] = class.color;
                Color32::from_rgb(r, g, b)
            }
            _ => palette.accent,
        };
        if let Some(Draft::Stroke { path, radius_px }) = &self.draft {
            let width = 2.0 * on_screen.points_from_drawn(*radius_px);
            let points: Vec<Pos2> = path.iter().map(|at| on_screen.point_at(*at)).collect();
            let tint = color.gamma_multiply(0.45);
            if let [only] = points[..] {
                painter.circle_filled(only, width / 2.0, tint);
            }
            painter.line(points, Stroke::new(width, tint));
        }
        if let Some(shape) = self.drafted(level0(on_screen, hover)) {
            outline(painter, on_screen, &shape, color, palette);
            if let Some((at, text)) = hover.zip(label(&shape, scene.mpp)) {
                chip(painter, at + Vec2::new(8.0, 18.0), &text, palette);
            }
        }
        if let (Tool::Brush | Tool::Eraser, Some(at)) = (self.tool, hover) {
            painter.circle_stroke(at, self.brush_radius, Stroke::new(3.0, palette.casing));
            painter.circle_stroke(at, self.brush_radius, Stroke::new(1.5, color));
        }
    }
}
