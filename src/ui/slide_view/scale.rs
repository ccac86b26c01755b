//! Magnification and the scale bar.

use egui::{Align2, FontId, Painter, Pos2, Rect, Stroke, Vec2};

use super::camera::{Camera, canonical};
use crate::geometry::MicronsPerPixel;
use crate::number_format::{self, length_unit};
use crate::ui::theme::Palette;

/// Maximum length of the scale bar, in points.
const LONGEST_BAR: f32 = 160.0;

/// Magnification of a view as of a microscope: at 10×, a screen pixel is 1 µm.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Magnification {
    zoom: f64,
    /// Magnification at one level-0 pixel per screen pixel.
    native: Option<f64>,
}

impl Magnification {
    /// Computes the magnification from the slide's spacing, or else from its nominal objective power;
    /// otherwise it is unknown.
    pub fn of(zoom: f64, mpp: Option<MicronsPerPixel>, objective_power: Option<f64>) -> Self {
        Self { zoom, native: mpp.map(|mpp| 10.0 / mpp.screen_um()).or(objective_power) }
    }

    /// Returns the zoom (screen pixels per drawn pixel) of magnification `power`.
    pub fn zoom_for(&self, power: f64) -> Option<f64> {
        Some(power / self.native?)
    }

    /// Whether a slide is shown.
    pub fn is_known(&self) -> bool {
        self.zoom > 0.0
    }

    /// Whether the magnification is known.
    pub fn is_calibrated(&self) -> bool {
        self.native.is_some()
    }

    /// Whether the view is at `power`, within the precision of the label.
    pub fn is_at(&self, power: f64) -> bool {
        self.native.is_some_and(|native| (native * self.zoom / power - 1.0).abs() < 0.005)
    }

    /// Returns the magnification of the same slide at another zoom.
    pub fn at_zoom(&self, zoom: f64) -> Self {
        Self { zoom, ..*self }
    }

    /// Returns text such as `12.5×`, or screen pixels per level-0 pixel if the magnification is unknown.
    pub fn short_label(&self) -> String {
        if self.is_calibrated() { self.label() } else { self.percent() }
    }

    /// Returns text such as `12.5×`, or `not calibrated`.
    pub fn label(&self) -> String {
        match self.native {
            Some(native) => format!("{}×", rounded(native * self.zoom)),
            None => "not calibrated".to_owned(),
        }
    }

    /// Returns screen pixels per level-0 pixel as text, such as `50 %`.
    pub fn percent(&self) -> String {
        format!("{} %", rounded(self.zoom * 100.0))
    }
}

/// Formats a number with at most three significant digits, without trailing zeros.
fn rounded(value: f64) -> String {
    let decimals = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.0995 => 2,
        _ => 4,
    };
    number_format::rounded(value, decimals)
}

/// Formats a length for display: in µm below 1 mm, otherwise in mm, unless a unit was chosen.
pub fn length_label(um: f64) -> String {
    match length_unit().is_mm(um, 1000.0) {
        true => format!("{} mm", rounded(um / 1000.0)),
        false => format!("{} µm", rounded(um)),
    }
}

/// Returns the largest length of 1, 2 or 5 times a power of ten that is not larger than `most`.
pub fn round_length(most: f64) -> f64 {
    let power = 10f64.powf(most.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|step| step * power).find(|length| *length <= most).unwrap_or(power)
}

/// Draws the scale bar in the lower left corner of the canvas. Returns its rectangle.
pub fn bar_ui(
    painter: &Painter,
    canvas: Rect,
    camera: &Camera,
    mpp: Option<MicronsPerPixel>,
    pixels_per_point: f32,
    palette: &Palette,
) -> Rect {
    let corner = Pos2::new(canvas.left() + 16.0, canvas.bottom() - 16.0);
    let font = FontId::proportional(12.0);
    let Some(mpp) = mpp else {
        return chip_ui(painter, corner, "Not calibrated", palette);
    };
    let um_per_point = mpp.screen_um() / camera.zoom * f64::from(pixels_per_point);
    // In a narrow canvas it leaves room for the overview.
    let longest = LONGEST_BAR.min((canvas.width() * 0.5 - 40.0).max(40.0));
    let length = round_length(f64::from(longest) * um_per_point);
    let width = (length / um_per_point) as f32;
    let chip = Rect::from_min_size(Pos2::new(corner.x, corner.y - 36.0), Vec2::new(width + 24.0, 36.0));
    painter.rect_filled(chip, 5.0, palette.chip);
    let (left, right, y) = (chip.left() + 12.0, chip.left() + 12.0 + width, chip.bottom() - 10.0);
    let stroke = Stroke::new(2.0, palette.on_chip);
    painter.hline(left..=right, y, stroke);
    for x in [left, right] {
        painter.vline(x, y - 4.0..=y + 1.0, stroke);
    }
    let middle = Pos2::new(chip.center().x, y - 6.0);
    painter.text(middle, Align2::CENTER_BOTTOM, length_label(length), font, palette.on_chip);
    chip
}

/// Shows the rotation and mirroring beside the scale bar, and a note on changed colours above it. Returns the rectangle of
/// them and the bar.
pub fn notes_ui(
    painter: &Painter,
    canvas: Rect,
    bar: Rect,
    camera: &Camera,
    note: Option<&str>,
    palette: &Palette,
) -> Rect {
    let mut covered = bar;
    if let Some(label) = orientation_label(camera) {
        covered |= chip_ui(painter, bar.right_bottom() + Vec2::new(8.0, 0.0), &label, palette);
    }
    if let Some(note) = note {
        covered |= chip_ui(painter, Pos2::new(canvas.left() + 16.0, bar.top() - 8.0), note, palette);
    }
    covered
}

/// Draws a label with its lower left corner at `corner`. Returns its rectangle.
fn chip_ui(painter: &Painter, corner: Pos2, text: &str, palette: &Palette) -> Rect {
    let galley = painter.layout_no_wrap(text.to_owned(), FontId::proportional(12.0), palette.on_chip);
    let size = galley.size() + Vec2::new(20.0, 10.0);
    let chip = Rect::from_min_size(Pos2::new(corner.x, corner.y - size.y), size);
    painter.rect_filled(chip, 5.0, palette.chip);
    painter.galley(chip.min + Vec2::new(10.0, 5.0), galley, palette.on_chip);
    chip
}

/// Returns text such as `rotated 15° left, flipped`; `None` for an upright view.
fn orientation_label(camera: &Camera) -> Option<String> {
    // Mirroring both ways equals half a turn.
    let mirrored = camera.flip_horizontal != camera.flip_vertical;
    let half = if camera.flip_vertical { std::f64::consts::PI } else { 0.0 };
    let degrees = canonical(camera.rotation + half).to_degrees();
    let turned = match degrees {
        degrees if degrees.abs() < 0.05 => None,
        degrees if (degrees.abs() - 180.0).abs() < 0.05 => Some("rotated 180°".to_owned()),
        degrees => {
            let side = if degrees > 0.0 { "right" } else { "left" };
            Some(format!("rotated {}° {side}", rounded(degrees.abs())))
        }
    };
    let mirrored = mirrored.then(|| "flipped".to_owned());
    let parts: Vec<String> = [turned, mirrored].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::camera::Viewport;
    use super::*;

    #[test]
    fn ten_times_is_one_micrometre_on_a_pixel() {
        let at = |zoom, mpp| {
            Magnification::of(zoom, Some(MicronsPerPixel::square(mpp).unwrap()), Some(20.0)).label()
        };
        assert_eq!(at(1.0, 0.25), "40×");
        assert_eq!(at(0.25, 0.25), "10×");
        assert_eq!(at(1.0, 0.499), "20×");
        assert_eq!(at(0.3125, 0.25), "12.5×");
    }

    #[test]
    fn of_stretched_pixels_the_finer_edge_counts() {
        let mpp = MicronsPerPixel::new(0.5, 0.25).unwrap();
        assert_eq!(Magnification::of(1.0, Some(mpp), None).label(), "40×");
    }

    #[test]
    fn without_a_pixel_size_the_objective_speaks_and_else_nobody() {
        assert_eq!(Magnification::of(0.5, None, Some(40.0)).label(), "20×");
        let unknown = Magnification::of(0.5, None, None);
        assert_eq!((unknown.label().as_str(), unknown.zoom_for(10.0)), ("not calibrated", None));
    }

    #[test]
    fn the_label_says_how_the_slide_stands() {
        let viewport = Viewport::new(800.0, 600.0);
        let mut camera = Camera::fit(100.0, 100.0, viewport);
        let mut turned = |degrees: f64| {
            camera.rotation = degrees.to_radians();
            orientation_label(&camera)
        };
        assert_eq!(turned(0.0), None);
        assert_eq!(turned(90.0).as_deref(), Some("rotated 90° right"));
        assert_eq!(turned(-7.5).as_deref(), Some("rotated 7.5° left"));
        turned(0.0);
        camera.mirror_left_right();
        assert_eq!(orientation_label(&camera).as_deref(), Some("flipped"));
        camera.mirror_top_bottom();
        assert_eq!(orientation_label(&camera).as_deref(), Some("rotated 180°"));
    }

    #[test]
    fn scale_bars_have_round_lengths_that_fit() {
        for (most, length) in [(1.0, 1.0), (99.0, 50.0), (430.0, 200.0), (2500.0, 2000.0), (0.7, 0.5)] {
            assert!((round_length(most) - length).abs() < 1e-9, "{most}: {}", round_length(most));
        }
        assert_eq!(length_label(500.0), "500 µm");
        assert_eq!(length_label(2000.0), "2 mm");
        assert_eq!(length_label(0.5), "0.5 µm");
    }
}
