//! How many detections of each class lie within each annotation and on the slide.

use std::collections::BTreeMap;

use super::shape::edges;
use super::{Annotation, AnnotationSet, Bounds, ObjectKind, Polygon, Shape};
use crate::geometry::{Level0Point, MicronsPerPixel};

/// Square micrometres in a square millimetre.
const UM2_PER_MM2: f64 = 1e6;

/// The detections within an annotation, or on the whole slide.
#[derive(Debug, Clone, PartialEq)]
pub struct AreaCounts {
    /// Title, ID and class of the annotation; `None` for the whole slide.
    pub annotation: Option<CountedArea>,
    /// Its area in mm²; that of the whole slide is the area of level 0. `None` if the slide is not calibrated.
    pub area_mm2: Option<f64>,
    /// Number of detections by class, most frequent first; `None` counts those without a class.
    pub classes: Vec<(Option<String>, usize)>,
}

/// An annotation within which detections are counted.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedArea {
    /// Identity.
    pub id: uuid::Uuid,
    /// Title, as in lists.
    pub title: String,
    /// Class, if it has one.
    pub class: Option<String>,
}

impl AreaCounts {
    /// Returns the number of all detections.
    pub fn total(&self) -> usize {
        self.classes.iter().map(|(_, count)| count).sum()
    }

    /// Returns a number of detections per mm²; `None` if the area is not known, or is zero.
    pub fn per_mm2(&self, count: usize) -> Option<f64> {
        self.area_mm2.filter(|area| *area > 0.0).map(|area| count as f64 / area)
    }
}

/// Counts the detections of each class, by the centres of their bounding boxes: on the whole slide of
/// `size_px` level-0 pixels first, then within each annotation that encloses an area.
pub fn count_detections(
    set: &AnnotationSet,
    size_px: (f64, f64),
    mpp: Option<MicronsPerPixel>,
) -> Vec<AreaCounts> {
    let is_detection =
        |one: &Annotation| matches!(one.kind, ObjectKind::Detection | ObjectKind::Cell | ObjectKind::Tile);
    let templates = set.detections().templates();
    let mut on_slide = Tally::default();
    let mut of_template = vec![0; templates.len()];
    set.detections().unedited().for_each(|one| of_template[one.template_index()] += 1);
    templates.iter().zip(&of_template).for_each(|(template, count)| on_slide.add(template, *count));
    let singles: Vec<(Level0Point, &Annotation)> = set
        .objects()
        .filter(|one| is_detection(one))
        .filter_map(|one| Some((one.bounds()?.center(), one.as_ref())))
        .collect();
    singles.iter().for_each(|(_, one)| on_slide.add(one, 1));
    let mm2 = |px2: f64| mpp.map(|mpp| px2 * mpp.x() * mpp.y() / UM2_PER_MM2);
    let mut counts = vec![on_slide.counts(None, mm2(size_px.0 * size_px.1))];
    let areas = set.objects().filter(|one| !is_detection(one) && one.shape().is_area());
    for one in areas {
        let Some(bounds) = one.bounds() else { continue };
        let inside = Inside::of(one.shape(), bounds);
        let mut within = Tally::default();
        let mut of_template = vec![0; templates.len()];
        let mut ring = Vec::new();
        for detection in set.detections().within(bounds) {
            if detection.center(&mut ring).is_some_and(|center| inside.contains(center)) {
                of_template[detection.template_index()] += 1;
            }
        }
        templates.iter().zip(&of_template).for_each(|(template, count)| within.add(template, *count));
        singles.iter().filter(|(at, _)| inside.contains(*at)).for_each(|(_, one)| within.add(one, 1));
        let class = one.class.as_ref().map(|class| class.name.clone());
        let area = CountedArea { id: one.id, title: one.title().to_owned(), class };
        counts.push(within.counts(Some(area), one.shape().area_px2().and_then(mm2)));
    }
    counts
}

/// Returns counts as a table in CSV, with a row for each area and class.
///
/// # Errors
/// Returns the error of the writer, which does not fail in memory.
pub fn counts_table(counts: &[AreaCounts]) -> csv::Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let columns =
        ["annotation_id", "annotation", "annotation_class", "area_mm2", "class", "count", "per_mm2"];
    table.write_record(columns)?;
    for area in counts {
        let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
        let one = area.annotation.as_ref();
        let row = |class: &str, count: usize| {
            [
                one.map(|one| one.id.to_string()).unwrap_or_default(),
                one.map_or("whole slide", |one| one.title.as_str()).to_owned(),
                one.and_then(|one| one.class.clone()).unwrap_or_default(),
                number(area.area_mm2),
                class.to_owned(),
                count.to_string(),
                number(area.per_mm2(count)),
            ]
        };
        table.write_record(row("all", area.total()))?;
        for (class, count) in &area.classes {
            table.write_record(row(class.as_deref().unwrap_or("no class"), *count))?;
        }
    }
    let bytes = table.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Numbers of detections by class.
#[derive(Default)]
struct Tally(BTreeMap<Option<String>, usize>);

impl Tally {
    fn add(&mut self, one: &Annotation, count: usize) {
        if count > 0 {
            *self.0.entry(one.class.as_ref().map(|class| class.name.clone())).or_default() += count;
        }
    }

    fn counts(self, annotation: Option<CountedArea>, area_mm2: Option<f64>) -> AreaCounts {
        let mut classes: Vec<_> = self.0.into_iter().collect();
        classes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        AreaCounts { annotation, area_mm2, classes }
    }
}

/// Tests whether points lie within a shape, which may have very many corners: its edges are sorted into rows.
struct Inside {
    bounds: Bounds,
    row_px: f64,
    /// Edges of each polygon that reach into each row.
    polygons: Vec<Vec<Vec<(Level0Point, Level0Point)>>>,
}

impl Inside {
    fn of(shape: &Shape, bounds: Bounds) -> Self {
        /// Largest number of rows.
        const MOST_ROWS: usize = 4096;
        let rows_of = |polygon: &Polygon| {
            let corners: usize = polygon.rings().map(Vec::len).sum();
            corners.clamp(1, MOST_ROWS)
        };
        let polygons = shape.polygons();
        let rows = polygons.iter().map(rows_of).max().unwrap_or(1);
        let row_px = (bounds.height() / rows as f64).max(f64::MIN_POSITIVE);
        let row_of = |y: f64| (((y - bounds.min.y) / row_px).max(0.0) as usize).min(rows - 1);
        let sorted = |polygon: &Polygon| {
            let mut sorted = vec![Vec::new(); rows];
            for (a, b) in polygon.rings().flat_map(|ring| edges(ring)) {
                for row in &mut sorted[row_of(a.y.min(b.y))..=row_of(a.y.max(b.y))] {
                    row.push((a, b));
                }
            }
            sorted
        };
        let polygons = polygons.iter().map(sorted).collect();
        Self { bounds, row_px, polygons }
    }

    fn contains(&self, point: Level0Point) -> bool {
        if !self.bounds.contains(point) {
            return false;
        }
        self.polygons.iter().any(|rows| {
            let row = (((point.y - self.bounds.min.y) / self.row_px) as usize).min(rows.len() - 1);
            // Even-odd rule.
            rows[row].iter().fold(false, |inside, (a, b)| {
                let crosses = (a.y > point.y) != (b.y > point.y)
                    && point.x < (b.x - a.x) * (point.y - a.y) / (b.y - a.y) + a.x;
                inside != crosses
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::AnnotationClass;
    use super::*;

    fn at(x: f64, y: f64) -> Level0Point {
        Level0Point::new(x, y)
    }

    /// Cells in a grid of 50 × 40, 10 px apart, every fifth of them positive.
    fn cells() -> impl Iterator<Item = Annotation> {
        (0..2000).map(|number| {
            let (x, y) = (f64::from(number % 50) * 10.0, f64::from(number / 50) * 10.0);
            let ring = vec![at(x + 3.0, y + 3.0), at(x + 7.0, y + 3.0), at(x + 5.0, y + 7.0)];
            let class = if number % 5 == 0 { "Positive" } else { "Negative" };
            let mut one = Annotation::new(Shape::polygon(ring), Some(AnnotationClass::named(class)));
            one.kind = ObjectKind::Cell;
            one
        })
    }

    #[test]
    fn detections_are_counted_by_class_on_the_slide_and_within_annotations() {
        let hole = Bounds::between(at(200.0, 100.0), at(300.0, 200.0)).corners().to_vec();
        let exterior = Bounds::between(at(100.0, 0.0), at(500.0, 400.0)).corners().to_vec();
        let mut region =
            Annotation::new(Shape::Polygons(vec![Polygon { exterior, holes: vec![hole] }]), None);
        region.name = Some("Region 1".to_owned());
        let mpp = MicronsPerPixel::square(0.5).unwrap();
        let named = |counts: &AreaCounts| -> Vec<(String, usize)> {
            counts.classes.iter().map(|(class, count)| (class.clone().unwrap(), *count)).collect()
        };
        // In compact form, and as objects.
        for set in [
            AnnotationSet::packed(cells().chain([region.clone()])),
            AnnotationSet::new(cells().chain([region])),
        ] {
            let counts = count_detections(&set, (1000.0, 500.0), Some(mpp));
            assert_eq!(counts.len(), 2);
            assert_eq!(named(&counts[0]), [("Negative".to_owned(), 1600), ("Positive".to_owned(), 400)]);
            assert_eq!(counts[0].area_mm2, Some(0.125));
            assert_eq!(counts[0].per_mm2(400), Some(3200.0));
            // 40 × 40 cells without 10 × 10.
            assert_eq!(counts[1].total(), 1500);
            assert_eq!(named(&counts[1]), [("Negative".to_owned(), 1200), ("Positive".to_owned(), 300)]);
            assert_eq!(counts[1].area_mm2, Some((400.0 * 400.0 - 100.0 * 100.0) * 0.25 / 1e6));
            assert_eq!(counts[1].annotation.as_ref().unwrap().title, "Region 1");
            assert_eq!(count_detections(&set, (1000.0, 500.0), None)[1].per_mm2(3), None);
            let table = counts_table(&counts).unwrap();
            assert_eq!(table.lines().count(), 1 + 2 * 3);
            assert!(table.contains("\n,whole slide,,0.125000,Positive,400,3200.000000\n"), "{table}");
        }
    }

    #[test]
    fn rows_of_edges_give_the_same_answer_as_all_edges() {
        let ring: Vec<Level0Point> = (0..900)
            .map(|step| {
                let angle = f64::from(step) / 900.0 * std::f64::consts::TAU;
                let radius = 300.0 + 120.0 * (angle * 17.0).sin();
                at(400.0 + radius * angle.cos(), 400.0 + radius * angle.sin())
            })
            .collect();
        let polygon = Polygon::new(ring);
        let shape = Shape::Polygons(vec![polygon.clone()]);
        let inside = Inside::of(&shape, shape.bounds().unwrap());
        for number in 0..5000 {
            let point = at(f64::from(number % 83) * 10.3, f64::from(number / 83) * 14.7);
            assert_eq!(inside.contains(point), polygon.contains(point), "{point:?}");
        }
    }
}
