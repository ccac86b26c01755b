//! Detections by what was measured of them.

use super::{Annotation, DensityScale, Detection, Detections};

/// How detections are coloured.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum DetectionColours {
    /// By their class, or their own colour.
    #[default]
    Class,
    /// By a measured value.
    Measured {
        /// Name of the measurement.
        name: String,
        /// Values at the two ends of the colour scale.
        range: (f64, f64),
        /// Whether detections outside of the range are not drawn.
        only_within: bool,
    },
    /// By how many there are around each place, as a picture behind them.
    Density {
        /// Class of the detections that are counted; `None` for all.
        class: Option<String>,
        /// The circle within which they are counted, and the unit.
        scale: DensityScale,
        /// Density at the light end of the colour scale; the dark end is 0.
        high: f64,
    },
}

/// The values of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredRange {
    /// Name of the measurement.
    pub name: String,
    /// The range from the 1st to the 99th percentile.
    pub range: (f64, f64),
}

impl Annotation {
    /// Returns the index of a measurement.
    pub fn measurement_index(&self, name: &str) -> Option<usize> {
        self.measurements.iter().position(|(known, _)| known == name)
    }
}

/// Returns the measurements of detections with the ranges of their values, in the order of the file; from up
/// to a hundred thousand of the detections. Values that are not finite do not count.
pub fn measured_ranges(detections: &Detections) -> Vec<MeasuredRange> {
    const MOST: usize = 100_000;
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in detections.templates().iter().flat_map(|template| &template.measurements) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    let step = detections.len().div_ceil(MOST).max(1);
    let columns: Vec<Vec<Option<usize>>> = detections
        .templates()
        .iter()
        .map(|template| names.iter().map(|name| template.measurement_index(name)).collect())
        .collect();
    for one in detections.unedited().step_by(step) {
        for (values, index) in values.iter_mut().zip(&columns[one.template_index()]) {
            let value = index.and_then(|index| Detection::measured(&one, index));
            values.extend(value.filter(|value| value.is_finite()));
        }
    }
    let range = |(name, mut values): (&str, Vec<f64>)| {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| values[(last as f64 * share).round() as usize];
        Some(MeasuredRange { name: name.to_owned(), range: (at(0.01), at(0.99)) })
    };
    names.into_iter().zip(values).filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{AnnotationSet, ObjectKind, Shape};
    use super::*;
    use crate::geometry::Level0Point;

    #[test]
    fn ranges_leave_out_extreme_values_and_those_that_are_none() {
        let one = |number: u32| {
            let mut one =
                Annotation::new(Shape::Points(vec![Level0Point::new(f64::from(number), 0.0)]), None);
            one.kind = ObjectKind::Detection;
            let area = if number == 7 { f64::NAN } else { f64::from(number) };
            one.measurements = vec![("Area".to_owned(), area), ("None".to_owned(), f64::NAN)];
            one
        };
        let set = AnnotationSet::packed((0..2001).map(one));
        let range = MeasuredRange { name: "Area".to_owned(), range: (21.0, 1980.0) };
        assert_eq!(measured_ranges(set.detections()), [range]);
    }
}
