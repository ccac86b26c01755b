//! Where a hint or a notice stands at the bottom of a slide: it covers neither the scale bar nor the overview.

use egui::{Pos2, Rect};

/// Distance from the edges of the slide's canvas and from what is in its corners, in points.
const GAP: f32 = 12.0;
/// Distance from the lower edge of the canvas in points.
const BELOW: f32 = 24.0;

/// A canvas with what is in its lower corners.
#[derive(Debug, Clone, Copy)]
pub struct HintRoom {
    /// The canvas, or what cards leave of it, in points.
    pub area: Rect,
    /// Scale bar and overview, if a slide is shown.
    pub corners: Option<[Rect; 2]>,
}

impl HintRoom {
    /// The part of the area at the bottom of which something `width` points wide stands: between scale bar and overview if it is
    /// wide enough there, else above the scale bar beside the overview, else above both.
    pub fn for_width(self, width: f32) -> Rect {
        let area = self.area.shrink(GAP);
        let bottom = self.area.bottom() - BELOW;
        let part = |left: f32, right: f32, bottom: f32| {
            Rect::from_min_max(
                Pos2::new(left, area.top()),
                Pos2::new(right.max(left), bottom.max(area.top())),
            )
        };
        let Some([bar, overview]) = self.corners else { return part(area.left(), area.right(), bottom) };
        // What cards cover is no part of the area.
        let beside = area.right().min(overview.left() - GAP);
        let above_bar = bottom.min(bar.top() - GAP);
        let parts = [
            part(area.left().max(bar.right() + GAP), beside, bottom),
            part(area.left(), beside, above_bar),
            part(area.left(), area.right(), above_bar.min(overview.top() - GAP)),
        ];
        parts.into_iter().find(|part| part.width() >= width).unwrap_or(parts[2])
    }
}

#[cfg(test)]
mod tests {
    use egui::Vec2;

    use super::*;

    fn room(width: f32, height: f32) -> (HintRoom, Rect, Rect) {
        let area = Rect::from_min_size(Pos2::new(320.0, 44.0), Vec2::new(width, height));
        let bar = Rect::from_min_size(Pos2::new(336.0, area.bottom() - 52.0), Vec2::new(184.0, 36.0));
        let overview = Rect::from_min_max(area.max - Vec2::new(190.0, 166.0), area.max - Vec2::splat(16.0));
        (HintRoom { area, corners: Some([bar, overview]) }, bar, overview)
    }

    #[test]
    fn scale_bar_and_overview_stay_visible() {
        for width in [300.0, 378.0, 500.0, 744.0, 1000.0, 2000.0] {
            let (room, bar, overview) = room(width, 640.0);
            for wanted in [100.0, 250.0, 471.0] {
                let at = room.for_width(wanted);
                // A hint that is wider than all there is may be cut off, as everything is in such a window.
                let hint = Rect::from_min_max(Pos2::new(at.left(), at.bottom() - 130.0), at.max);
                assert!(!hint.intersects(bar) && !hint.intersects(overview), "{width} {wanted}: {at}");
                assert!(room.area.contains_rect(at));
            }
        }
    }

    #[test]
    fn it_stands_as_low_as_it_can() {
        let bottom = |width: f32, wanted: f32| room(width, 640.0).0.for_width(wanted).bottom();
        let low = 44.0 + 640.0 - BELOW;
        assert_eq!(bottom(1000.0, 471.0), low);
        assert!((bottom(744.0, 471.0) - (684.0 - 52.0 - GAP)).abs() < 0.1);
        assert!(bottom(500.0, 471.0) < 684.0 - 166.0);
    }

    #[test]
    fn without_a_slide_it_is_centred() {
        let area = Rect::from_min_size(Pos2::ZERO, Vec2::new(800.0, 600.0));
        let at = HintRoom { area, corners: None }.for_width(400.0);
        assert_eq!(at.center_bottom(), Pos2::new(400.0, 600.0 - BELOW));
    }
}
