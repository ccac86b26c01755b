//! Drawing a region, to ask about or to make a picture of: a rectangle, or with the freehand tool whatever the
//! hand draws.

use egui::{Color32, CursorIcon, Key, Pos2, Rect, Shape, Stroke, Ui};

use super::theme::Palette;
use crate::geometry::Level0Point;

/// Points of an outline are at least this far apart on the screen.
const STEP: f32 = 3.0;
/// A region is at least this wide and high on the screen; smaller ones are slips of the hand.
const SMALLEST: f32 = 8.0;

/// What is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegionShape {
    #[default]
    Rect,
    Lasso,
}

/// What a region is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegionUse {
    /// To look for tissue like it.
    #[default]
    Question,
    /// To save or copy it.
    Picture,
}

/// The tool, while it is in the hand.
#[derive(Debug, Default)]
pub struct RegionTool {
    pub shape: Option<RegionShape>,
    pub purpose: RegionUse,
    /// Where the hand has been on the screen; the slide stands still meanwhile.
    path: Vec<Pos2>,
}

impl RegionTool {
    /// Take the tool, or put it down when it is in the hand.
    pub fn toggle(&mut self, shape: RegionShape, purpose: RegionUse) {
        let in_hand = self.shape == Some(shape) && self.purpose == purpose;
        self.shape = (!in_hand).then_some(shape);
        self.purpose = purpose;
        self.path.clear();
    }

    /// Put the tool down; whether it was in the hand.
    pub fn put_down(&mut self) -> bool {
        self.path.clear();
        self.shape.take().is_some()
    }

    /// Follow the hand over `canvas`; the corners of a region, once it is drawn. `on_slide` tells the place on the
    /// slide under a point of the screen.
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
            // With Space held the hand moves the slide.
            let draws = input.pointer.primary_down() && !input.key_down(Key::Space);
            (input.pointer.latest_pos(), input.pointer.press_origin(), draws)
        });
        // What begins elsewhere, on a panel, is no drawing.
        let begins_here = pressed_at.is_some_and(|at| canvas.contains(at));
        let at = at.filter(|_| is_down && (begins_here || !self.path.is_empty()));
        if at.is_some() && self.path.is_empty() {
            // The pointer may have gone far before the first frame with the button down.
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
        ui.painter().add(line(2.0, palette.query));
    }
}
