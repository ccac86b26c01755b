//! What a tile of detections shows: outlines of those that are large enough, and a picture of the others.

use std::collections::HashSet;

use earcut::Earcut;
use uuid::Uuid;

use super::Shown;
use super::density_picture::{self, KnownDensity};
use super::tile::{DetectionTile, SIDE};
use crate::annotation::{Bounds, Detection, DetectionColours, Detections};
use crate::geometry::Level0Point;
use crate::ui::heat_map::viridis;
use crate::ui::slide_view::annotation_mesh::{FILL_ALPHA, FillCorner, units};

/// Smallest size of a detection that is outlined, in pixels of its tile. At level 0, all are outlined.
const LEAST_OUTLINED: f64 = 4.0;
/// Smallest size of a detection that is filled, in pixels of its tile.
const LEAST_FILLED: f64 = 12.0;
/// Area of a detection that is a point, for pictures, in square level-0 pixels.
const POINT_AREA_PX2: f64 = 30.0;
/// Largest opacity of pictures.
const MOST_OPACITY: f32 = 0.85;

/// A corner of an outline, or a point. A stroke leads from each to the next one in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct OutlinePoint {
    at: [i32; 2],
    /// Colour in sRGB, and what begins here: [`STROKE`], [`DOT`] or [`NOTHING`].
    color: [u8; 4],
}

/// A stroke to the next point begins here.
const STROKE: u8 = 255;
/// A dot is here. The shader tells it from a stroke by its value.
const DOT: u8 = 128;
/// An outline ends here.
const NOTHING: u8 = 0;

/// The content of a tile.
#[derive(Debug, Default)]
pub struct TileContent {
    /// Outlines and points.
    pub outlines: Vec<OutlinePoint>,
    /// Corners of the triangles of filled areas.
    pub corners: Vec<FillCorner>,
    /// Indices into `corners`, three for each triangle.
    pub indices: Vec<u32>,
    /// Pixels as premultiplied RGBA, [`SIDE`] × [`SIDE`]; `None` if everything is outlined.
    pub picture: Option<Vec<u8>>,
}

/// Makes the contents of tiles.
#[derive(Default)]
pub struct ContentMaker {
    earcut: Earcut<f64>,
    ring: Vec<Level0Point>,
    density: KnownDensity,
}

impl ContentMaker {
    /// Makes the content of a tile, without hidden detections; `None` once `stop` is true.
    pub fn make(
        &mut self,
        shown: &Shown,
        tile: DetectionTile,
        stop: &dyn Fn() -> bool,
    ) -> Option<TileContent> {
        let DetectionColours::Density { class, scale, high } = &*shown.colours else {
            return self.make_objects(shown, tile, 0.0, stop);
        };
        let map = self.density.map(shown, (class.as_deref(), scale), stop);
        if stop() {
            return None;
        }
        // Those that are not large enough to be outlined are in the picture of the density.
        let least_px = if tile.level > 0 { LEAST_OUTLINED * tile.pixel_px() } else { 0.0 };
        let mut content = self.make_objects(shown, tile, least_px, stop)?;
        content.indices.clear();
        content.corners.clear();
        content.picture = map.map(|map| density_picture::picture(&map, *high, tile));
        Some(content)
    }

    /// Makes outlines, areas and the picture of the detections of a tile that are at least `least_px` level-0 pixels wide or
    /// high; `None` once `stop` is true.
    fn make_objects(
        &mut self,
        shown: &Shown,
        tile: DetectionTile,
        least_px: f64,
        stop: &dyn Fn() -> bool,
    ) -> Option<TileContent> {
        let mut content = TileContent::default();
        let mut density = None;
        for detections in shown.all() {
            let colors = Colors::of(detections, &shown.colours);
            let found = detections.large_within(tile.area(), least_px);
            self.add(&mut content, &mut density, (found, &shown.hidden, &colors), tile, stop)?;
        }
        content.picture = density.map(|density| density.picture());
        Some(content)
    }

    /// Adds detections without the hidden ones to the content of a tile; `None` once `stop` is true.
    fn add(
        &mut self,
        content: &mut TileContent,
        density: &mut Option<Density>,
        (detections, hidden, colors): (Vec<Detection<'_>>, &HashSet<Uuid>, &Colors),
        tile: DetectionTile,
        stop: &dyn Fn() -> bool,
    ) -> Option<()> {
        /// Number of detections after which to ask whether to stop.
        const AT_A_TIME: usize = 4096;
        let (area, pixel) = (tile.area(), tile.pixel_px());
        let mut first_rings: Vec<Level0Point> = Vec::new();
        let mut lengths: Vec<(usize, bool)> = Vec::new();
        for (number, one) in detections.into_iter().enumerate() {
            if number.is_multiple_of(AT_A_TIME) && stop() {
                return None;
            }
            if !hidden.is_empty() && hidden.contains(&one.id()) {
                continue;
            }
            let Some(color) = colors.color(&one) else { continue };
            first_rings.clear();
            lengths.clear();
            one.each_outline(&mut self.ring, |ring, is_area| {
                first_rings.extend_from_slice(ring);
                lengths.push((ring.len(), is_area));
            });
            let Some(bounds) = Bounds::around(&first_rings) else { continue };
            let size = bounds.width().max(bounds.height()) / pixel;
            let rings = || {
                lengths.iter().scan(0, |start, (length, is_area)| {
                    *start += length;
                    Some((&first_rings[*start - length..*start], *is_area))
                })
            };
            if size < LEAST_OUTLINED && tile.level > 0 {
                let covered: f64 = rings().map(|(ring, is_area)| covered_px2(ring, is_area)).sum();
                density.get_or_insert_with(Density::default).add(bounds, covered, color, tile);
                continue;
            }
            let center = bounds.center();
            let is_own = center.x >= area.min.x
                && center.y >= area.min.y
                && center.x < area.max.x
                && center.y < area.max.y;
            if !is_own {
                continue;
            }
            rings().for_each(|(ring, is_area)| content.outline(ring, is_area, color));
            if size >= LEAST_FILLED && lengths.iter().all(|(_, is_area)| *is_area) {
                let holes: Vec<u32> = lengths[..lengths.len() - 1]
                    .iter()
                    .scan(0, |start, (length, _)| {
                        *start += *length as u32;
                        Some(*start)
                    })
                    .collect();
                self.fill(content, &first_rings, &holes, color);
            }
        }
        Some(())
    }

    fn fill(&mut self, content: &mut TileContent, corners: &[Level0Point], holes: &[u32], color: [u8; 3]) {
        let mut triangles: Vec<u32> = Vec::new();
        self.earcut.earcut(corners.iter().map(|at| [at.x, at.y]), holes, &mut triangles);
        let first = content.corners.len() as u32;
        let [r, g, b] = color;
        let corner = |at: &Level0Point| FillCorner { at: units(*at), color: [r, g, b, FILL_ALPHA] };
        content.corners.extend(corners.iter().map(corner));
        content.indices.extend(triangles.into_iter().map(|index| first + index));
    }
}

/// The colours of detections, by their templates.
enum Colors {
    Class(Vec<[u8; 3]>),
    /// By the measurement with the template's index, if it has it.
    Measured {
        indices: Vec<Option<usize>>,
        range: (f64, f64),
        only_within: bool,
    },
}

impl Colors {
    fn of(detections: &Detections, colours: &DetectionColours) -> Self {
        let templates = detections.templates().iter();
        match colours {
            DetectionColours::Class | DetectionColours::Density { .. } => {
                Self::Class(templates.map(|one| one.drawn_color()).collect())
            }
            DetectionColours::Measured { name, range, only_within } => Self::Measured {
                indices: templates.map(|one| one.measurement_index(name)).collect(),
                range: *range,
                only_within: *only_within,
            },
        }
    }

    /// Returns the colour of a detection; `None` if it is not drawn.
    fn color(&self, one: &Detection<'_>) -> Option<[u8; 3]> {
        /// Colour of detections without the measurement.
        const UNKNOWN: [u8; 3] = [128; 3];
        match self {
            Self::Class(colors) => colors.get(one.template_index()).copied(),
            Self::Measured { indices, range: (low, high), only_within } => {
                let index = indices.get(one.template_index()).copied().flatten();
                let value = index.and_then(|index| one.measured(index)).filter(|value| value.is_finite());
                match value {
                    Some(value) if *only_within && !(*low..=*high).contains(&value) => None,
                    Some(value) => {
                        let share = (value - low) / (high - low).max(f64::MIN_POSITIVE);
                        let [r, g, b, _] = viridis(share as f32).to_array();
                        Some([r, g, b])
                    }
                    None => (!only_within).then_some(UNKNOWN),
                }
            }
        }
    }
}

impl TileContent {
    fn outline(&mut self, ring: &[Level0Point], is_area: bool, [r, g, b]: [u8; 3]) {
        let begins = if is_area { STROKE } else { DOT };
        let point = |at: &Level0Point, begins| OutlinePoint { at: units(*at), color: [r, g, b, begins] };
        self.outlines.extend(ring.iter().map(|at| point(at, begins)));
        self.outlines.extend(ring.first().map(|at| point(at, NOTHING)));
    }
}

/// Returns the area of an outline in square level-0 pixels, or the nominal one of points.
fn covered_px2(ring: &[Level0Point], is_area: bool) -> f64 {
    let Some(origin) = ring.first().filter(|_| is_area) else { return POINT_AREA_PX2 * ring.len() as f64 };
    let cross = |pair: &[Level0Point]| {
        (pair[0].x - origin.x) * (pair[1].y - origin.y) - (pair[1].x - origin.x) * (pair[0].y - origin.y)
    };
    (ring.windows(2).map(cross).sum::<f64>() / 2.0).abs()
}

/// Colours of small detections, added up by the share of each pixel that they cover.
struct Density {
    /// Red, green and blue, each times the covered share, and the covered share.
    sums: Vec<[f32; 4]>,
}

impl Default for Density {
    fn default() -> Self {
        Self { sums: vec![[0.0; 4]; (SIDE * SIDE) as usize] }
    }
}

impl Density {
    /// Adds a detection that covers `covered_px2` of its bounding box, evenly.
    fn add(&mut self, bounds: Bounds, covered_px2: f64, color: [u8; 3], tile: DetectionTile) {
        let (origin, pixel) = (tile.area().min, tile.pixel_px());
        let span = |low: f64, high: f64| {
            // At least a hundredth of a pixel, so that shapes without an extent count.
            let (low, high) = (low / pixel, high / pixel);
            (low, high.max(low + 0.01))
        };
        let (left, right) = span(bounds.min.x - origin.x, bounds.max.x - origin.x);
        let (top, bottom) = span(bounds.min.y - origin.y, bounds.max.y - origin.y);
        let share = covered_px2 / (pixel * pixel) / ((right - left) * (bottom - top));
        let cells = |low: f64, high: f64| {
            (low.floor().max(0.0) as u32)..(high.ceil().clamp(0.0, f64::from(SIDE)) as u32)
        };
        let overlap = |cell: u32, low: f64, high: f64| {
            (high.min(f64::from(cell) + 1.0) - low.max(f64::from(cell))).max(0.0)
        };
        for row in cells(top, bottom) {
            let of_row = share * overlap(row, top, bottom);
            for column in cells(left, right) {
                let covered = (of_row * overlap(column, left, right)) as f32;
                let sum = &mut self.sums[(row * SIDE + column) as usize];
                for (sum, channel) in sum.iter_mut().zip(color) {
                    *sum += covered * f32::from(channel);
                }
                sum[3] += covered;
            }
        }
    }

    /// Returns premultiplied RGBA. The opacity grows with the square root of the covered share, so that a few
    /// small detections can still be seen.
    fn picture(&self) -> Vec<u8> {
        let pixel = |[r, g, b, covered]: &[f32; 4]| {
            if *covered <= 0.0 {
                return [0; 4];
            }
            let alpha = MOST_OPACITY * covered.min(1.0).sqrt();
            let [r, g, b] = [r, g, b].map(|sum| (sum / covered * alpha).round() as u8);
            [r, g, b, (alpha * 255.0).round() as u8]
        };
        self.sums.iter().flat_map(pixel).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, DensityScale, ObjectKind, Shape};
    use std::sync::Arc;

    /// A grid of 40 × 40 detections, 20 level-0 pixels apart, each a square of 8.
    fn set() -> AnnotationSet {
        let cell = |number: usize| {
            let (x, y) = ((number % 40 * 20) as f64, (number / 40 * 20) as f64);
            let corners = [(0.0, 0.0), (8.0, 0.0), (8.0, 8.0), (0.0, 8.0)];
            let ring = corners.map(|(right, down)| Level0Point::new(x + right, y + down)).to_vec();
            let class = AnnotationClass::new("Cell", [200, 0, 0]);
            let mut one = Annotation::new(Shape::polygon(ring), Some(class));
            one.kind = ObjectKind::Detection;
            one
        };
        AnnotationSet::default().with_file(&AnnotationSet::packed((0..1600).map(cell)))
    }

    fn made(
        detections: &Arc<Detections>,
        hidden: &HashSet<Uuid>,
        colours: &DetectionColours,
        tile: DetectionTile,
    ) -> TileContent {
        let shown = Shown {
            detections: detections.clone(),
            parts: Arc::default(),
            hidden: Arc::new(hidden.clone()),
            colours: Arc::new(colours.clone()),
        };
        ContentMaker::default().make(&shown, tile, &|| false).unwrap()
    }

    #[test]
    fn what_is_drawn_of_parts_is_what_is_drawn_of_the_whole() {
        let first = set().detections().clone();
        let second = Arc::new(set().detections().moved(4.0, 404.0).unwrap());
        let of_both = first.unedited().chain(second.unedited()).map(|one| one.unpacked());
        let whole = AnnotationSet::packed(of_both).detections().clone();
        let in_parts = |detections: &Arc<Detections>, parts: &[&Arc<Detections>]| Shown {
            detections: detections.clone(),
            parts: Arc::new(parts.iter().map(|part| Arc::clone(part)).collect()),
            ..Shown::default()
        };
        for level in [0, 3] {
            let of_whole = made(&whole, &HashSet::new(), &DetectionColours::Class, tile(level));
            assert!(!of_whole.outlines.is_empty() || of_whole.picture.is_some());
            for shown in [in_parts(&Arc::default(), &[&first, &second]), in_parts(&first, &[&second])] {
                let made = ContentMaker::default().make(&shown, tile(level), &|| false).unwrap();
                assert_eq!(made.outlines, of_whole.outlines);
                assert_eq!(made.picture, of_whole.picture);
                assert_eq!(shown.extent(), whole.extent());
            }
        }
    }

    fn tile(level: u8) -> DetectionTile {
        DetectionTile { level, column: 0, row: 0 }
    }

    #[test]
    fn each_detection_is_outlined_once_by_the_tile_of_its_centre() {
        let set = set();
        let detections: &Arc<Detections> = set.detections();
        assert_eq!(detections.len(), 1600);
        let count = |column, row| {
            let tile = DetectionTile { level: 0, column, row };
            let content = made(detections, &HashSet::new(), &DetectionColours::Class, tile);
            assert!(content.picture.is_none());
            content.outlines.iter().filter(|point| point.color[3] == NOTHING).count()
        };
        let in_all: usize =
            [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(column, row)| count(column, row)).iter().sum();
        assert_eq!(in_all, 1600);
        assert_eq!(count(-1, 0), 0);
    }

    #[test]
    fn small_detections_cover_as_much_of_the_picture_as_of_the_slide() {
        let set = set();
        for level in [2, 4, 6] {
            let content = made(set.detections(), &HashSet::new(), &DetectionColours::Class, tile(level));
            assert!(content.outlines.is_empty());
            let mut density = Density::default();
            for one in set.iter() {
                density.add(one.bounds().unwrap(), 64.0, [200, 0, 0], tile(level));
            }
            let covered: f32 = density.sums.iter().map(|sum| sum[3]).sum();
            let expected = 1600.0 * 64.0 / (tile(level).pixel_px() * tile(level).pixel_px());
            assert!((f64::from(covered) / expected - 1.0).abs() < 1e-3, "{covered} of {expected}");
            assert_eq!(content.picture.unwrap(), density.picture());
        }
    }

    #[test]
    fn over_a_density_detections_that_are_large_enough_are_outlined() {
        let set = set();
        let colours = DetectionColours::Density { class: None, scale: DensityScale::of(None), high: 1.0 };
        for level in [0, 1, 2] {
            let by_class = made(set.detections(), &HashSet::new(), &DetectionColours::Class, tile(level));
            let dense = made(set.detections(), &HashSet::new(), &colours, tile(level));
            assert_eq!(dense.outlines, by_class.outlines);
            assert_eq!(dense.outlines.is_empty(), level == 2, "two pixels of its tile are too few");
            assert!(dense.indices.is_empty() && dense.picture.is_some());
        }
    }

    #[test]
    fn hidden_detections_are_not_drawn() {
        let set = set();
        let hidden: HashSet<Uuid> = set.iter().map(|one| one.id).collect();
        let content = made(set.detections(), &hidden, &DetectionColours::Class, tile(3));
        assert!(content.picture.is_none() && content.outlines.is_empty());
    }

    #[test]
    fn detections_are_coloured_by_a_measurement_and_left_out_outside_of_its_range() {
        let one = |number: u32| {
            let at = Level0Point::new(f64::from(number % 40) * 10.0, f64::from(number / 40) * 10.0);
            let mut one = Annotation::new(Shape::Points(vec![at]), None);
            one.kind = ObjectKind::Detection;
            one.measurements = vec![("Area".to_owned(), f64::from(number))];
            one
        };
        let set = AnnotationSet::packed((0..1200).map(one));
        let drawn = |range, only_within| {
            let colours = DetectionColours::Measured { name: "Area".to_owned(), range, only_within };
            let content = made(set.detections(), &HashSet::new(), &colours, tile(0));
            let dots = content.outlines.iter().filter(|point| point.color[3] == DOT);
            dots.map(|point| [point.color[0], point.color[1], point.color[2]]).collect::<Vec<_>>()
        };
        let all = drawn((0.0, 1199.0), false);
        assert_eq!(all.len(), 1200);
        assert_eq!((all[0], all[1199]), ([0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25]));
        assert_eq!(drawn((100.0, 200.0), true).len(), 101);
        assert_eq!(drawn((100.0, 200.0), false).len(), 1200);
    }
}
