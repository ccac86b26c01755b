//! Overlays drawn over the slide with egui's painter: few shapes at a time, all following the camera.

use egui::{Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, TextureHandle, Vec2};

use super::camera::{Camera, ScreenPoint, Viewport};
use crate::geometry::{Level0Point, Level0Rect};
use crate::slide::pyramid::Gap;
use crate::ui::theme::Palette;

/// Distance between hatch lines, in points.
const HATCH: f64 = 12.0;
/// Maximum number of hatch lines per area, at any size on the screen.
const MOST_HATCHES: usize = 400;

/// A training pair on the slide in view.
pub struct PairOnSlide {
    /// The tiles of the pair that lie on this slide, one or two.
    pub tiles: Vec<Level0Rect>,
    /// Colour of outlines and connecting line.
    pub color: Color32,
}

/// Position of a canvas on the screen, to convert slide positions to egui's points.
pub struct OnScreen<'a> {
    /// The view on the slide.
    pub camera: &'a Camera,
    /// Size of the canvas in physical pixels.
    pub viewport: Viewport,
    /// Rectangle of the canvas, in points.
    pub rect: Rect,
    /// Physical pixels per point.
    pub scale: f32,
}

impl OnScreen<'_> {
    /// Converts a level-0 position to a screen position in points.
    pub fn point_at(&self, at: Level0Point) -> Pos2 {
        let at = self.camera.screen_from_level0(at, self.viewport);
        Pos2::new(self.rect.left() + at.x as f32 / self.scale, self.rect.top() + at.y as f32 / self.scale)
    }

    /// Converts a screen position in points to a level-0 position.
    pub fn level0_at(&self, at: Pos2) -> Level0Point {
        let x = f64::from((at.x - self.rect.left()) * self.scale);
        let y = f64::from((at.y - self.rect.top()) * self.scale);
        self.camera.level0_from_screen(ScreenPoint { x, y }, self.viewport)
    }

    /// Converts a length in points to drawn pixels (level-0 pixels if those are square).
    pub fn drawn_from_points(&self, points: f32) -> f64 {
        f64::from(points * self.scale) / self.camera.zoom
    }

    /// Converts a length in drawn pixels to points.
    pub fn points_from_drawn(&self, px: f64) -> f32 {
        (px * self.camera.zoom) as f32 / self.scale
    }

    fn point(&self, x: f64, y: f64) -> Pos2 {
        self.point_at(Level0Point::new(x, y))
    }

    fn corners(&self, rect: Level0Rect) -> [Pos2; 4] {
        let (left, top) = (rect.x as f64, rect.y as f64);
        let (right, bottom) = (rect.right() as f64, rect.bottom() as f64);
        [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| self.point(x, y))
    }
}

/// Outlines one tile, with a casing that keeps the line visible on any stain.
pub fn outline(
    painter: &Painter,
    on_screen: &OnScreen<'_>,
    rect: Level0Rect,
    color: Color32,
    casing: Color32,
) {
    let corners = on_screen.corners(rect).to_vec();
    painter.add(Shape::closed_line(corners.clone(), Stroke::new(5.0, casing)));
    painter.add(Shape::closed_line(corners, Stroke::new(2.5, color)));
}

/// Size on the screen from which a match shows its rank, in points.
const NUMBERED: f32 = 26.0;

/// Writes the rank of each match at its upper left corner, as far as it is in view and large enough.
pub fn ranks(
    painter: &Painter,
    on_screen: &OnScreen<'_>,
    matches: impl Iterator<Item = (Level0Rect, usize)>,
    palette: &Palette,
) {
    for (rect, rank) in matches {
        let corners = on_screen.corners(rect);
        let shown = Rect::from_points(&corners);
        if shown.width().min(shown.height()) < NUMBERED || !shown.intersects(painter.clip_rect()) {
            continue;
        }
        // The corner that is uppermost on the left, however the slide is rotated.
        let first = corners.into_iter().min_by(|a, b| (a.x + a.y).total_cmp(&(b.x + b.y)));
        let at = first.unwrap_or(shown.min) + Vec2::splat(5.0);
        let galley = painter.layout_no_wrap(rank.to_string(), FontId::proportional(12.0), palette.on_chip);
        let chip = Rect::from_min_size(at, galley.size() + Vec2::new(8.0, 2.0));
        painter.rect_filled(chip, 3.0, palette.chip);
        painter.galley(chip.min + Vec2::new(4.0, 1.0), galley, palette.on_chip);
    }
}

/// Outlines the tiles of a pair and joins their centres with a line.
pub fn pair(painter: &Painter, on_screen: &OnScreen<'_>, pair: &PairOnSlide, casing: Color32) {
    if let [first, second] = pair.tiles[..] {
        let line = [first, second].map(|rect| on_screen.point_at(rect.center()));
        painter.line_segment(line, Stroke::new(3.5, casing));
        painter.line_segment(line, Stroke::new(1.5, pair.color));
    }
    for rect in &pair.tiles {
        outline(painter, on_screen, *rect, pair.color, casing);
    }
}

/// Draws a texture over the slide: over `extent` level-0 pixels from its top-left corner.
pub fn picture(
    painter: &Painter,
    on_screen: &OnScreen<'_>,
    picture: &TextureHandle,
    extent: (f64, f64),
    opacity: f32,
) {
    let mut mesh = egui::Mesh::with_texture(picture.id());
    let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
    mesh.vertices = corners
        .iter()
        .map(|&(u, v)| egui::epaint::Vertex {
            pos: on_screen.point(f64::from(u) * extent.0, f64::from(v) * extent.1),
            uv: Pos2::new(u, v),
            color: Color32::WHITE.gamma_multiply(opacity),
        })
        .collect();
    mesh.indices = vec![0, 1, 2, 0, 2, 3];
    painter.add(mesh);
}

/// Hatches the areas that could not be read.
pub fn gaps(painter: &Painter, on_screen: &OnScreen<'_>, gaps: &[Gap], palette: &Palette) {
    let (low, high) = on_screen.camera.bounds(on_screen.viewport);
    let in_view = |rect: &Level0Rect| {
        (rect.x as f64) < high.x
            && (rect.y as f64) < high.y
            && rect.right() as f64 > low.x
            && rect.bottom() as f64 > low.y
    };
    let step = HATCH * f64::from(on_screen.scale) / on_screen.camera.zoom;
    let stroke = Stroke::new(1.0, palette.error.gamma_multiply(0.8));
    for rect in gaps.iter().map(|gap| gap.rect).filter(in_view) {
        painter.add(Shape::convex_polygon(
            on_screen.corners(rect).to_vec(),
            palette.error.gamma_multiply(0.10),
            stroke,
        ));
        let (width, height) = (f64::from(rect.width), f64::from(rect.height));
        let lines = (((width + height) / step) as usize).min(MOST_HATCHES);
        for line in 1..=lines {
            // The line x + y = `along`, clipped to the rectangle.
            let along = line as f64 * step;
            let (from_x, to_x) = ((along - height).max(0.0), along.min(width));
            let at = |x: f64| on_screen.point(rect.x as f64 + x, rect.y as f64 + along - x);
            painter.line_segment([at(from_x), at(to_x)], stroke);
        }
    }
}
