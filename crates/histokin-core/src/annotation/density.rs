//! How many detections there are around each place of a slide.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Annotation, Bounds, Detections};
use crate::geometry::{Level0Point, MicronsPerPixel};

/// Radius within which detections are counted, in µm.
const RADIUS_UM: f64 = 100.0;
/// The same on a slide without a pixel size, in level-0 pixels.
const RADIUS_PX: f64 = 400.0;
/// Number of cells of the grid along the radius.
const CELLS_ALONG_RADIUS: f64 = 4.0;
/// Largest number of cells of the grid.
const MOST_CELLS: f64 = 4e6;

/// The circle within which detections are counted, and the unit of the density.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DensityScale {
    /// Radius along x and y in level-0 pixels, which need not be square.
    pub radius_px: (f64, f64),
    /// The radius as a label with its unit.
    pub radius: &'static str,
    /// Square level-0 pixels in the unit of area.
    pub unit_px2: f64,
    /// Name of the unit of area.
    pub unit: &'static str,
}

impl DensityScale {
    /// Returns the scale on a slide with this spacing: detections per mm² within 100 µm, or per megapixel within 400 pixels
    /// if it has none.
    pub fn of(mpp: Option<MicronsPerPixel>) -> Self {
        match mpp {
            Some(mpp) => Self {
                radius_px: (RADIUS_UM / mpp.x(), RADIUS_UM / mpp.y()),
                radius: "100 µm",
                unit_px2: 1e6 / (mpp.x() * mpp.y()),
                unit: "mm²",
            },
            None => {
                Self { radius_px: (RADIUS_PX, RADIUS_PX), radius: "400 px", unit_px2: 1e6, unit: "megapixel" }
            }
        }
    }
}

/// How dense the detections of a class are where they are dense.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassDensity {
    /// The class; `None` for all detections.
    pub class: Option<String>,
    /// The circle within which they are counted, and the unit.
    pub scale: DensityScale,
    /// [`DensityMap::high`] of them.
    pub high: f64,
}

/// Returns the densities of detections in compact form: of all, then of each class.
pub fn class_densities(detections: &Detections, scale: DensityScale) -> Vec<ClassDensity> {
    let Some(extent) = detections.extent() else { return Vec::new() };
    let mut classes: Vec<&str> = Vec::new();
    let known = detections.templates().iter().filter_map(|template| template.class.as_ref());
    for class in known {
        if !classes.contains(&class.name.as_str()) {
            classes.push(&class.name);
        }
    }
    let mut ring = Vec::new();
    let centers: Vec<(usize, Level0Point)> = detections
        .unedited()
        .filter_map(|one| Some((one.template_index(), one.center(&mut ring)?)))
        .collect();
    let all = std::iter::once(None).chain(classes.into_iter().map(Some));
    all.filter_map(|class| {
        let is_counted = are_counted(detections, class);
        let mut counts = Counts::over(extent, &scale);
        centers.iter().filter(|(template, _)| is_counted[*template]).for_each(|(_, at)| counts.add(*at));
        let high = counts.density(&scale)?.high();
        Some(ClassDensity { class: class.map(str::to_owned), scale, high })
    })
    .collect()
}

/// Returns for each template whether its detections are of `class`; all are if it is `None`.
fn are_counted(detections: &Detections, class: Option<&str>) -> Vec<bool> {
    let is_counted = |class: &str, one: &Annotation| one.class.as_ref().is_some_and(|of| of.name == class);
    let templates = detections.templates().iter();
    templates.map(|one| class.is_none_or(|class| is_counted(class, one))).collect()
}

/// Density of detections in compact form, on a grid of cells of about a quarter of the radius.
#[derive(Debug, Clone, PartialEq)]
pub struct DensityMap {
    grid: Grid,
    /// Detections per unit of area around the centre of each cell, row by row.
    values: Vec<f32>,
}

/// The cells of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grid {
    /// Upper left corner.
    origin: Level0Point,
    /// Width and height of a cell in level-0 pixels.
    cell_px: (f64, f64),
    columns: usize,
    rows: usize,
}

/// Number of detections in each cell.
struct Counts {
    grid: Grid,
    values: Vec<f32>,
}

impl Counts {
    /// Returns a grid that covers `extent` and a radius around it, with no detections.
    fn over(extent: Bounds, scale: &DensityScale) -> Self {
        let (radius_x, radius_y) = scale.radius_px;
        let (width, height) = (extent.width() + 2.0 * radius_x, extent.height() + 2.0 * radius_y);
        let wanted = (radius_x / CELLS_ALONG_RADIUS, radius_y / CELLS_ALONG_RADIUS);
        let coarser = (width * height / (wanted.0 * wanted.1) / MOST_CELLS).sqrt().max(1.0);
        let cell_px = (wanted.0 * coarser, wanted.1 * coarser);
        let (columns, rows) = ((width / cell_px.0).ceil() as usize, (height / cell_px.1).ceil() as usize);
        let origin = Level0Point::new(extent.min.x - radius_x, extent.min.y - radius_y);
        Self { grid: Grid { origin, cell_px, columns, rows }, values: vec![0.0; columns * rows] }
    }

    fn add(&mut self, center: Level0Point) {
        let Grid { origin, cell_px, columns, rows } = self.grid;
        let column = ((center.x - origin.x) / cell_px.0) as usize;
        let row = ((center.y - origin.y) / cell_px.1) as usize;
        self.values[row.min(rows - 1) * columns + column.min(columns - 1)] += 1.0;
    }

    /// Returns the density; `None` if no detection was added.
    fn density(self, scale: &DensityScale) -> Option<DensityMap> {
        let Grid { cell_px, columns, rows, .. } = self.grid;
        let radius = (scale.radius_px.0 / cell_px.0, scale.radius_px.1 / cell_px.1);
        let (sums, cells) = within_radius(&self.values, columns, rows, radius);
        let unit = scale.unit_px2 / (cells as f64 * cell_px.0 * cell_px.1);
        let values: Vec<f32> = sums.into_iter().map(|sum| (f64::from(sum) * unit) as f32).collect();
        values.iter().any(|value| *value > 0.0).then_some(DensityMap { grid: self.grid, values })
    }
}

impl DensityMap {
    /// Counts the detections of `class`, or all if it is `None`, without `hidden` ones, by the centres of their bounding
    /// boxes. `None` if there are none, or once `stop` is true.
    pub fn of(
        detections: &Detections,
        class: Option<&str>,
        hidden: &HashSet<Uuid>,
        scale: &DensityScale,
        stop: &dyn Fn() -> bool,
    ) -> Option<Self> {
        /// Number of detections after which to ask whether to stop.
        const AT_A_TIME: usize = 65_536;
        let mut counts = Counts::over(detections.extent()?, scale);
        let is_counted = are_counted(detections, class);
        let mut ring = Vec::new();
        for (number, one) in detections.unedited().enumerate() {
            if number.is_multiple_of(AT_A_TIME) && stop() {
                return None;
            }
            if !is_counted[one.template_index()] || (!hidden.is_empty() && hidden.contains(&one.id())) {
                continue;
            }
            if let Some(center) = one.center(&mut ring) {
                counts.add(center);
            }
        }
        if stop() { None } else { counts.density(scale) }
    }

    /// Returns the density at a place, interpolated between cells; 0 outside of the grid.
    pub fn at(&self, place: Level0Point) -> f32 {
        let Grid { origin, cell_px, columns, rows } = self.grid;
        let column = (place.x - origin.x) / cell_px.0 - 0.5;
        let row = (place.y - origin.y) / cell_px.1 - 0.5;
        let value = |column: f64, row: f64| {
            let is_inside = column >= 0.0 && row >= 0.0 && column < columns as f64 && row < rows as f64;
            if is_inside { self.values[row as usize * columns + column as usize] } else { 0.0 }
        };
        let (left, top) = (column.floor(), row.floor());
        let (right_share, bottom_share) = ((column - left) as f32, (row - top) as f32);
        let between = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let upper = between(value(left, top), value(left + 1.0, top), right_share);
        let lower = between(value(left, top + 1.0), value(left + 1.0, top + 1.0), right_share);
        between(upper, lower, bottom_share)
    }

    /// Returns the density that 99 % of the cells with detections around them do not exceed.
    pub fn high(&self) -> f64 {
        let mut values: Vec<f32> = self.values.iter().copied().filter(|value| *value > 0.0).collect();
        let Some(last) = values.len().checked_sub(1) else { return 0.0 };
        let at = (last as f64 * 0.99).round() as usize;
        f64::from(*values.select_nth_unstable_by(at, f32::total_cmp).1)
    }
}

/// Returns for each cell the sum of the cells whose centres lie within the radius, in cells, and their number.
fn within_radius(
    counts: &[f32],
    columns: usize,
    rows: usize,
    (radius_x, radius_y): (f64, f64),
) -> (Vec<f32>, usize) {
    // Each row of the circle is a run of cells, whose sum is the difference of two running sums.
    let running: Vec<f64> = counts
        .chunks(columns)
        .flat_map(|row| {
            let sums = row.iter().scan(0.0f64, |sum, count| {
                *sum += f64::from(*count);
                Some(*sum)
            });
            std::iter::once(0.0).chain(sums)
        })
        .collect();
    let most = radius_y.floor() as isize;
    let runs: Vec<(isize, usize)> = (-most..=most)
        .map(|down| (down, (radius_x * (1.0 - (down as f64 / radius_y).powi(2)).max(0.0).sqrt()) as usize))
        .collect();
    let cells = runs.iter().map(|(_, half)| 2 * half + 1).sum();
    let mut sums = vec![0.0f32; counts.len()];
    for row in 0..rows {
        for (down, half) in &runs {
            let Some(of) = row.checked_add_signed(*down).filter(|of| *of < rows) else { continue };
            let running = &running[of * (columns + 1)..(of + 1) * (columns + 1)];
            for (column, sum) in sums[row * columns..(row + 1) * columns].iter_mut().enumerate() {
                let (first, end) = (column.saturating_sub(*half), (column + half + 1).min(columns));
                *sum += (running[end] - running[first]) as f32;
            }
        }
    }
    (sums, cells)
}

#[cfg(test)]
mod tests {
    use super::super::{AnnotationClass, AnnotationSet, ObjectKind, Shape};
    use super::*;

    /// Points of class "Tumour" 10 px apart in a square of 1,000 px, and one of class "Other" far to the right.
    fn set() -> AnnotationSet {
        let point = |x: f64, y: f64, class: &str| {
            let class = AnnotationClass::new(class, [0; 3]);
            let mut one = Annotation::new(Shape::Points(vec![Level0Point::new(x, y)]), Some(class));
            one.kind = ObjectKind::Detection;
            one
        };
        let grid = (0..10_000).map(|n| point(f64::from(n % 100) * 10.0, f64::from(n / 100) * 10.0, "Tumour"));
        AnnotationSet::packed(grid.chain([point(5000.0, 500.0, "Other")]))
    }

    fn map(class: Option<&str>, hidden: &HashSet<Uuid>) -> Option<DensityMap> {
        let scale = DensityScale::of(Some(MicronsPerPixel::new(0.5, 0.5).unwrap()));
        DensityMap::of(set().detections(), class, hidden, &scale, &|| false)
    }

    #[test]
    fn an_even_grid_has_its_density_in_the_middle_and_half_of_it_at_the_edge() {
        let map = map(None, &HashSet::new()).unwrap();
        // One point in 10 × 10 px of 0.5 µm is 40,000 in a mm².
        let middle = map.at(Level0Point::new(500.0, 500.0));
        assert!((middle / 40_000.0 - 1.0).abs() < 0.05, "{middle}");
        let edge = map.at(Level0Point::new(0.0, 500.0));
        assert!((edge / 20_000.0 - 1.0).abs() < 0.15, "{edge}");
        assert_eq!(map.at(Level0Point::new(2000.0, 500.0)), 0.0);
        assert_eq!(map.at(Level0Point::new(-1e6, 1e9)), 0.0);
        assert!((map.high() / 40_000.0 - 1.0).abs() < 0.05, "{}", map.high());
    }

    #[test]
    fn all_detections_are_counted_exactly_once_within_the_circle() {
        let map = map(Some("Other"), &HashSet::new()).unwrap();
        // One detection in a circle of 100 µm, as the cells approximate it.
        let alone = f64::from(map.at(Level0Point::new(5000.0, 500.0)));
        let circle = 1.0 / (std::f64::consts::PI * 0.1 * 0.1);
        assert!((alone / circle - 1.0).abs() < 0.1, "{alone} and {circle}");
        assert_eq!(map.at(Level0Point::new(500.0, 500.0)), 0.0);
    }

    #[test]
    fn each_class_has_the_density_of_its_own_map() {
        let (set, scale) = (set(), DensityScale::of(None));
        let found = class_densities(set.detections(), scale);
        let classes: Vec<Option<&str>> = found.iter().map(|one| one.class.as_deref()).collect();
        assert_eq!(classes, [None, Some("Tumour"), Some("Other")]);
        for one in found {
            let map =
                DensityMap::of(set.detections(), one.class.as_deref(), &HashSet::new(), &scale, &|| false);
            assert_eq!(one.high, map.unwrap().high());
        }
        assert!(class_densities(AnnotationSet::default().detections(), scale).is_empty());
    }

    #[test]
    fn nothing_to_count_gives_no_map() {
        assert_eq!(map(Some("Absent"), &HashSet::new()), None);
        let (set, scale) = (set(), DensityScale::of(None));
        let of =
            |hidden: &HashSet<Uuid>, stop| DensityMap::of(set.detections(), None, hidden, &scale, &|| stop);
        assert_eq!(of(&set.iter().map(|one| one.id).collect(), false), None);
        assert_eq!(of(&HashSet::new(), true), None);
    }
}
