//! Drawing a region to search with or to save as a picture: a rectangle, or a freehand outline.

use egui::{Color32, CursorIcon, Key, Pos2, Rect, Shape, Stroke, Ui};

use super::theme::{self, Palette};
use crate::geometry::Level0Point;

/// Minimum distance between points of an outline, in points on the screen.
const STEP: f32 = 3.0;
/// Minimum width or height of a region, in points on the screen; smaller ones are discarded as accidental.
const SMALLEST: f32 = 8.0;

/// Shape of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegionShape {
    /// A rectangle between two corners.
    #[default]
    Rect,
    /// A freehand outline.
    Lasso,
}

/// Purpose of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegionUse {
    /// To search for similar tissue.
    #[default]
    Search,
    /// To save or copy it as a picture.
    Picture,
}

/// The region tool.
#[derive(Debug, Default)]
pub struct RegionTool {
    /// Shape being drawn; `None` while the tool is not selected.
    pub shape: Option<RegionShape>,
    /// Purpose of the region.
    pub purpose: RegionUse,
    /// Path of the pointer on the screen, in points; the slide does not move meanwhile.
    path: Vec<Pos2>,
}

impl RegionTool {
    /// Selects the tool, or deselects it if it is selected with this shape and purpose.
    pub fn toggle(&mut self, shape: RegionShape, purpose: RegionUse) {
        let is_selected = self.shape == Some(shape) && self.purpose == purpose;
        self.shape = (!is_selected).then_some(shape);
        self.purpose = purpose;
        self.path.clear();
    }

    /// Deselects the tool. Returns whether it was selected.
    pub fn deselect_tool(&mut self) -> bool {
        self.path.clear();
        self.shape.take().is_some()
    }

    /// Follows the pointer over `canvas`. Returns the corners of a region once it is drawn. `on_slide`
    /// converts a screen position to level-0 pixels.
    pub fn ui(
        &mut self,
        ui: &Ui,
        canvas: Rect,
        on_slide: impl Fn(Pos2) -> Level0Point,
        palette: &Palette,
    ) -> Option<Vec<Level0Point>> {
        let shape = self.shape?;
        ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
        let (at, pressed_at, is_down) = ui.input(|input| {
            // With Space held, dragging pans the slide.
            let draws = input.pointer.primary_down() && !input.key_down(Key::Space);
            (input.pointer.latest_pos(), input.pointer.press_origin(), draws)
        });
        // A drag that begins elsewhere, such as on a panel, does not draw.
        let begins_here = pressed_at.is_some_and(|at| canvas.contains(at));
        let at = at.filter(|_| is_down && (begins_here || !self.path.is_empty()));
        if at.is_some() && self.path.is_empty() {
            // The pointer may already be far away in the first frame with the button down.
            self.path.extend(pressed_at);
        }
        if let Some(at) = at.map(|at| canvas.clamp(at))
            && self.path.last().is_none_or(|last| last.distance(at) >= STEP)
        {
            self.path.push(at);
        }
        self.paint(ui, shape, palette);
        if is_down || self.path.is_empty() {
            return None;
        }
        let path = std::mem::take(&mut self.path);
        let bounds = Rect::from_points(&path);
        if bounds.width().max(bounds.height()) < SMALLEST {
            return None;
        }
        self.shape = None;
        let corners = match shape {
            RegionShape::Lasso => path,
            RegionShape::Rect => {
                let drawn = Rect::from_two_pos(path[0], path[path.len() - 1]);
                vec![drawn.left_top(), drawn.right_top(), drawn.right_bottom(), drawn.left_bottom()]
            }
        };
        Some(corners.into_iter().map(on_slide).collect())
    }

    fn paint(&self, ui: &Ui, shape: RegionShape, palette: &Palette) {
        let (Some(first), Some(last)) = (self.path.first(), self.path.last()) else { return };
        let line = |width: f32, colour: Color32| match shape {
            RegionShape::Rect => Shape::rect_stroke(
                Rect::from_two_pos(*first, *last),
                0.0,
                Stroke::new(width, colour),
                egui::StrokeKind::Middle,
            ),
            RegionShape::Lasso => Shape::closed_line(self.path.clone(), Stroke::new(width, colour)),
        };
        ui.painter().add(line(4.0, palette.casing));
        ui.painter().add(line(2.0, theme::EXAMPLE));
    }
}
