//! Formatting of lengths and areas: on calibrated slides in µm and mm, or in the unit that was chosen; otherwise in
//! pixels.

use super::Shape;
use crate::geometry::MicronsPerPixel;
use crate::number_format::{decimal, length_unit};

/// Formats the length of lines, such as "123.4 µm", "1.23 mm" or "812 px"; `None` for other shapes.
pub fn length_label(shape: &Shape, mpp: Option<MicronsPerPixel>) -> Option<String> {
    Some(match mpp {
        Some(mpp) => micrometres(shape.length_um(mpp)?),
        None => format!("{} px", rounded(shape.length_px()?)),
    })
}

/// Formats the area of a shape, such as "1 234 µm²", "1.23 mm²" or "812 px²"; `None` for points and lines.
pub fn area_label(shape: &Shape, mpp: Option<MicronsPerPixel>) -> Option<String> {
    Some(match mpp {
        Some(mpp) => match shape.area_um2(mpp)? {
            um2 if length_unit().is_mm(um2, 1e5) => format!("{} mm²", rounded(um2 / 1e6)),
            um2 => format!("{} µm²", rounded(um2)),
        },
        None => format!("{} px²", rounded(shape.area_px2()?)),
    })
}

fn micrometres(um: f64) -> String {
    match length_unit().is_mm(um, 1000.0) {
        true => format!("{} mm", rounded(um / 1000.0)),
        false => format!("{} µm", rounded(um)),
    }
}

/// Formats a number with about four significant digits and at most three decimals.
fn rounded(value: f64) -> String {
    match value.abs() {
        small if small < 1.0 => decimal(value, 3),
        small if small < 100.0 => decimal(value, 2),
        middle if middle < 1000.0 => decimal(value, 1),
        _ => decimal(value, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;
    use crate::geometry::Level0Point;

    #[test]
    fn labels_change_their_unit_and_never_invent_a_calibration() {
        let line = |px| Shape::Lines(vec![vec![Level0Point::new(0.0, 0.0), Level0Point::new(px, 0.0)]]);
        let square = |px| Shape::Rectangle(Bounds::between(Level0Point::default(), Level0Point::new(px, px)));
        let mpp = Some(MicronsPerPixel::square(0.5).unwrap());
        assert_eq!(length_label(&line(500.0), mpp).unwrap(), "250.0 µm");
        assert_eq!(length_label(&line(5000.0), mpp).unwrap(), "2.50 mm");
        assert_eq!(length_label(&line(5000.0), None).unwrap(), "5\u{202F}000 px");
        assert_eq!(area_label(&square(100.0), mpp).unwrap(), "2\u{202F}500 µm²");
        assert_eq!(area_label(&square(2000.0), mpp).unwrap(), "1.00 mm²");
        assert_eq!(area_label(&square(2000.0), None).unwrap(), "4\u{202F}000\u{202F}000 px²");
        assert_eq!(area_label(&line(1.0), mpp), None);
    }
}
