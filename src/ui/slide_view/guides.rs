//! Guides over the slide: a grid, and a cross-hair in the middle of the view.

use egui::{Align2, FontId, Painter, Pos2, Stroke, Vec2};

use super::overlay::OnScreen;
use super::scale::{length_label, round_length};
use crate::geometry::{Level0Point, MicronsPerPixel};
use crate::number_format::decimal;
use crate::ui::theme::{self, Palette};

/// Smallest distance between lines of a grid whose spacing is automatic, in points.
const LEAST_SPACING: f64 = 70.0;
/// A grid with a fixed spacing is not drawn with lines closer than this, in points.
const TOO_CLOSE: f64 = 6.0;
/// Length of each arm of the cross-hair, and the gap in its middle, in points.
const ARM: f32 = 22.0;
const GAP: f32 = 5.0;

/// Guides to draw.
#[derive(Debug, Clone, Copy, Default)]
pub struct Guides {
    /// Whether the grid is drawn.
    pub grid: bool,
    /// Spacing of the grid in µm; `None`: a round length that suits the magnification.
    pub grid_um: Option<f64>,
    /// Whether the cross-hair is drawn.
    pub crosshair: bool,
}

/// Draws the grid from the slide's upper left corner, with its spacing; on a slide that is not calibrated in
/// pixels.
pub fn grid_ui(
    painter: &Painter,
    on_screen: &OnScreen<'_>,
    extent: (f64, f64),
    mpp: Option<MicronsPerPixel>,
    fixed_um: Option<f64>,
    palette: &Palette,
) {
    let Grid { step, label } = Grid::of(on_screen, mpp, fixed_um);
    let text = match label {
        Some(label) => format!("Grid {label}"),
        None => "Zoom in to see the grid".to_owned(),
    };
    if let Some(step) = step {
        let (low, high) = on_screen.camera.bounds(on_screen.viewport);
        let at = |x: f64, y: f64| on_screen.point_at(Level0Point::new(x, y));
        let lines = |from: f64, to: f64, step: f64| {
            let (first, last) = ((from / step).ceil().max(0.0), (to / step).floor());
            (first as i64..=last as i64).map(move |line| line as f64 * step)
        };
        let (left, right) = (low.x.max(0.0), high.x.min(extent.0));
        let (top, bottom) = (low.y.max(0.0), high.y.min(extent.1));
        let draw = |ends: [Pos2; 2]| {
            painter.line_segment(ends, Stroke::new(2.0, palette.casing.gamma_multiply(0.35)));
            painter.line_segment(ends, Stroke::new(0.75, palette.visited.gamma_multiply(0.8)));
        };
        lines(left, right, step.0).for_each(|x| draw([at(x, top), at(x, bottom)]));
        lines(top, bottom, step.1).for_each(|y| draw([at(left, y), at(right, y)]));
    }
    // Not in the upper left corner, where the slide's name is when there are several panes.
    let corner = on_screen.rect.center_top() + Vec2::new(0.0, 14.0);
    let galley = painter.layout_no_wrap(text, FontId::proportional(12.0), palette.on_chip);
    let chip = Align2::CENTER_TOP.anchor_size(corner, galley.size() + Vec2::new(14.0, 8.0));
    painter.rect_filled(chip, 5.0, palette.chip);
    painter.galley(chip.min + Vec2::new(7.0, 4.0), galley, palette.on_chip);
}

/// The spacing of a grid.
struct Grid {
    /// Level-0 pixels between lines, across and down; `None` if the lines would be too close to be drawn.
    step: Option<(f64, f64)>,
    /// The spacing as text, if the grid is drawn.
    label: Option<String>,
}

impl Grid {
    fn of(on_screen: &OnScreen<'_>, mpp: Option<MicronsPerPixel>, fixed_um: Option<f64>) -> Self {
        // In drawn pixels, whose edge is `screen_um` µm on a calibrated slide.
        let px_per_point = f64::from(on_screen.scale) / on_screen.camera.zoom;
        let um = mpp.map_or(1.0, |mpp| mpp.screen_um());
        let least = LEAST_SPACING * px_per_point * um;
        // The next round length that is not closer.
        let automatic = round_length(least * 2.5);
        let spacing = fixed_um.filter(|_| mpp.is_some()).unwrap_or(automatic);
        if spacing / um / px_per_point < TOO_CLOSE {
            return Self { step: None, label: None };
        }
        match mpp {
            Some(mpp) => Self {
                step: Some((spacing / mpp.x(), spacing / mpp.y())),
                label: Some(length_label(spacing)),
            },
            None => {
                Self { step: Some((spacing, spacing)), label: Some(format!("{} px", decimal(spacing, 0))) }
            }
        }
    }
}

/// Draws the cross-hair.
pub fn crosshair_ui(painter: &Painter, on_screen: &OnScreen<'_>, palette: &Palette) {
    let middle = on_screen.rect.center();
    for direction in [Vec2::X, -Vec2::X, Vec2::Y, -Vec2::Y] {
        let arm = [middle + direction * GAP, middle + direction * ARM];
        painter.line_segment(arm, Stroke::new(4.0, palette.casing));
        painter.line_segment(arm, Stroke::new(1.75, theme::EXAMPLE));
    }
}
