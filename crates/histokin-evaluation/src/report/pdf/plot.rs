//! Drawings as marks on paper, in the colours of the page in light.

use super::paint::{Color, Ink, Weight};
use super::{GOOD, LINE, QUIET, TEXT};
use crate::report::drawing::{Anchor, Drawing, Mark, RISE, SERIES_COLORS, Style, TextStyle};

const NEAR: Color = [0x2f, 0x7f, 0xb8];
const FAR: Color = [0xd9, 0x80, 0x32];

/// What is to be drawn, from (0, 0), each unit of the drawing `scale` points large. `width_of` tells how wide a
/// text of a size is.
pub fn inks(drawing: &Drawing, scale: f32, width_of: impl Fn(&str, f32) -> f32) -> Vec<Ink> {
    let at = |place: (f64, f64)| [place.0 as f32 * scale, place.1 as f32 * scale];
    let all = |points: &[(f64, f64)]| points.iter().map(|point| at(*point)).collect::<Vec<_>>();
    let ink = |mark: &Mark| match mark {
        Mark::Line { style, points } => {
            let width = if matches!(style, Style::Series(_)) { 1.4 } else { 0.5 };
            Ink::Line { points: all(points), width, color: color(*style), dashed: *style == Style::Base }
        }
        Mark::Area { style, points } => Ink::Area { points: all(points), color: color(*style), opacity: 0.5 },
        Mark::Rect { style, opacity, corner, size, .. } => {
            let ([x, y], [w, h]) = (at(*corner), at(*size));
            let points = vec![[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
            Ink::Area { points, color: color(*style), opacity: *opacity as f32 }
        }
        Mark::Dot { style, center, radius } => Ink::Dot {
            center: at(*center),
            radius: *radius as f32 * scale,
            color: color(*style),
            opacity: 0.75,
        },
        Mark::Text { style, at: place, anchor, rising, text } => {
            let size = scale * if *style == TextStyle::Tick { 10.0 } else { 11.0 };
            let [x, y] = at(*place);
            let before = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => width_of(text, size) / 2.0,
                Anchor::End => width_of(text, size),
            };
            let color = if *style == TextStyle::Value { TEXT } else { QUIET };
            let rise = if *rising { RISE as f32 } else { 0.0 };
            Ink::Text { at: [x - before, y], size, weight: Weight::Regular, color, rise, text: text.clone() }
        }
    };
    drawing.marks.iter().map(ink).collect()
}

fn color(style: Style) -> Color {
    match style {
        Style::Grid | Style::Unknown => LINE,
        Style::Base | Style::BaseSwatch | Style::Text(_) => QUIET,
        Style::Near | Style::Cell => NEAR,
        Style::Far => FAR,
        Style::OwnCell => GOOD,
        Style::Series(number) | Style::Filled(number) => SERIES_COLORS[number % SERIES_COLORS.len()],
    }
}
