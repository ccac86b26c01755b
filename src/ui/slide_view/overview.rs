//! The overview: the whole slide in a corner of the canvas, with the current field of view.

use egui::{CornerRadius, Pos2, Rect, Sense, Shape, Stroke, StrokeKind, Ui, Vec2};

use super::camera::{Camera, ScreenPoint, Viewport};
use super::overlay::{self, OnScreen};
use super::renderer::{CanvasBuffers, Picture, SlideRenderer};
use super::tile_plan::plan_tiles;
use super::view_history::ViewHistory;
use super::{Scene, on_whole_pixels};
use crate::geometry::Level0Point;
use crate::ui::theme::Palette;

/// Maximum size of the overview, in points.
const LARGEST: Vec2 = Vec2::new(200.0, 150.0);
/// Distance from the edges of the canvas, in points.
const MARGIN: f32 = 16.0;
/// Width of the canvas, in points, below which the overview has no room beside the scale bar, and lies above it.
const NARROW: f32 = 180.0;
/// Height of the scale bar with a gap, in points.
const SCALE_BAR_HEIGHT: f32 = 40.0;

/// The overview and its GPU buffers.
pub struct Overview {
    buffers: CanvasBuffers,
}

impl Overview {
    /// Creates the buffers of an overview.
    pub fn new(renderer: &SlideRenderer) -> Self {
        Self { buffers: renderer.canvas_buffers() }
    }

    /// Rectangle of the overview: in the lower right corner, with the aspect ratio of `extent`, the slide's
    /// size in drawn pixels.
    pub fn rect(&self, canvas: Rect, extent: (f64, f64)) -> Rect {
        let most = LARGEST.min(canvas.size() * 0.3);
        let scale = (most.x / extent.0 as f32).min(most.y / extent.1 as f32);
        let size = Vec2::new(extent.0 as f32 * scale, extent.1 as f32 * scale).max(Vec2::splat(8.0));
        let above = if canvas.width() < NARROW { SCALE_BAR_HEIGHT } else { 0.0 };
        let corner = canvas.max - Vec2::new(MARGIN, MARGIN + above);
        Rect::from_min_max(corner - size, corner)
    }

    /// Returns the level-0 position to jump to if the user clicks or drags on the overview. `extent` is the
    /// slide's size in level-0 pixels; `hint` returns a tooltip for the position under the pointer.
    pub fn interact(
        &self,
        ui: &Ui,
        rect: Rect,
        extent: (f64, f64),
        hint: impl Fn(Level0Point) -> Option<String>,
    ) -> Option<Level0Point> {
        let response = ui.interact(rect, ui.scope_id().with("slide overview"), Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "slide overview"));
        let part = |from: f32, length: f32| f64::from((from / length).clamp(0.0, 1.0));
        let level0 = |at: Pos2| {
            let across = part(at.x - rect.left(), rect.width());
            let down = part(at.y - rect.top(), rect.height());
            Level0Point::new(across * extent.0, down * extent.1)
        };
        let pressed = response.is_pointer_button_down_on() || response.clicked();
        let jump = response.interact_pointer_pos().filter(|_| pressed).map(level0);
        if let Some(hint) = response.hover_pos().and_then(|at| hint(level0(at))) {
            response.on_hover_text(hint);
        }
        jump
    }

    /// Draws the overview, the view history and the current field of view.
    #[expect(clippy::too_many_arguments, reason = "all of them are what one frame needs")]
    pub fn paint(
        &self,
        ui: &Ui,
        rect: Rect,
        camera: &Camera,
        viewport: Viewport,
        scene: &Scene<'_>,
        renderer: &mut SlideRenderer,
        palette: &Palette,
    ) {
        let scale = ui.ctx().pixels_per_point();
        let rect = on_whole_pixels(rect, scale);
        let level = scene.pyramid.levels()[0];
        let own_viewport =
            Viewport::new(f64::from(rect.width() * scale).round(), f64::from(rect.height() * scale).round());
        let (width, height) = (level.width.into(), level.height.into());
        let mut own = Camera::fit_stretched(width, height, camera.stretch, own_viewport);
        own.zoom /= 0.96;
        let frame = rect.expand(4.0);
        let painter = ui.painter();
        painter.add(palette.shadow.as_shape(frame, CornerRadius::same(5)));
        painter.rect_filled(frame, 5.0, palette.panel);
        painter.rect_stroke(frame, 5.0, Stroke::new(1.0, palette.line), StrokeKind::Outside);
        let plan = plan_tiles(scene.pyramid, &own, own_viewport, |tile| renderer.atlas.state(tile));
        let picture = Picture {
            pyramid: scene.pyramid,
            camera: &own,
            viewport: own_viewport,
            tiles: &plan.draw,
            marks: scene.marks,
            glass: scene.glass(palette),
            shading: scene.shading,
            profile: scene.profile,
        };
        painter.add(renderer.paint(rect, &self.buffers, &picture));
        if let Some((view_history, span)) = scene.view_history.and_then(ViewHistory::picture) {
            let on_screen = OnScreen { camera: &own, viewport: own_viewport, rect, scale };
            overlay::picture(&ui.painter_at(rect), &on_screen, view_history, span, 1.0);
        }
        self.paint_field(ui, rect, camera, viewport, (&own, own_viewport), palette);
    }

    fn paint_field(
        &self,
        ui: &Ui,
        rect: Rect,
        camera: &Camera,
        viewport: Viewport,
        (own, own_viewport): (&Camera, Viewport),
        palette: &Palette,
    ) {
        let scale = ui.ctx().pixels_per_point();
        let corners: Vec<Pos2> = camera
            .corners(viewport)
            .into_iter()
            .map(|corner| {
                let ScreenPoint { x, y } = own.screen_from_level0(corner, own_viewport);
                rect.min + Vec2::new(x as f32 / scale, y as f32 / scale)
            })
            .collect();
        // At high magnification the field of view is tiny; it is enlarged to stay visible.
        let bounds = Rect::from_points(&corners);
        if camera.is_upright() && bounds.contains_rect(rect) {
            return;
        }
        let inside = ui.painter_at(rect.expand(2.0));
        let upright = camera.is_upright().then(|| bounds.intersect(rect));
        if bounds.width().max(bounds.height()) < 7.0 {
            let speck = Rect::from_center_size(bounds.center(), Vec2::splat(7.0));
            frame_ui(&inside, speck, palette);
        } else if let Some(field) = upright {
            frame_ui(&inside, field, palette);
        } else {
            inside.add(Shape::closed_line(corners.clone(), Stroke::new(3.5, palette.casing)));
            inside.add(Shape::closed_line(corners.clone(), Stroke::new(1.5, palette.accent)));
            // Marks the edge that is at the top of the screen.
            inside.line_segment([corners[0], corners[1]], Stroke::new(3.5, palette.accent));
        }
    }
}

fn frame_ui(painter: &egui::Painter, rect: Rect, palette: &Palette) {
    painter.rect_stroke(rect, 1.0, Stroke::new(4.0, palette.casing), StrokeKind::Middle);
    painter.rect_stroke(rect, 1.0, Stroke::new(2.0, palette.accent), StrokeKind::Middle);
}
