//! Shapes in level-0 pixels, and their lengths and areas.

use super::crossing;
use super::json::{Foreign, RawJson};
use crate::geometry::{Level0Point, MicronsPerPixel};

/// Vertices of a closed outline; the first is not repeated at the end.
pub type Ring = Vec<Level0Point>;

/// Number of segments with which an ellipse is drawn and written; a multiple of four, so that its extremes
/// are vertices.
const ELLIPSE_SEGMENTS: usize = 96;

/// Shape and position of an annotation.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// One point, or several that belong together; none if a file states no position.
    Points(Vec<Level0Point>),
    /// Open lines, for measuring lengths; one, except in files of other programs.
    Lines(Vec<Vec<Level0Point>>),
    /// An axis-aligned rectangle.
    Rectangle(Bounds),
    /// The ellipse that touches all four sides of the rectangle.
    Ellipse(Bounds),
    /// Areas that belong together; one, except after erasing or in files of other programs.
    Polygons(Vec<Polygon>),
}

/// An area within a closed outline, minus its holes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Polygon {
    /// The outline.
    pub exterior: Ring,
    /// The outlines of the holes.
    pub holes: Vec<Ring>,
}

impl Polygon {
    /// Makes a polygon without holes.
    pub fn new(exterior: Ring) -> Self {
        Self { exterior, holes: Vec::new() }
    }

    /// Returns the outline, then the holes.
    pub fn rings(&self) -> impl Iterator<Item = &Ring> {
        std::iter::once(&self.exterior).chain(&self.holes)
    }

    fn rings_mut(&mut self) -> impl Iterator<Item = &mut Ring> {
        std::iter::once(&mut self.exterior).chain(&mut self.holes)
    }

    /// Returns the area in square level-0 pixels: by the shoelace formula, minus the holes. Where outlines
    /// cross themselves or each other, the area enclosed by an odd number of them (even-odd rule), like
    /// `make_valid` of GEOS.
    pub fn area_px2(&self) -> f64 {
        let simple = ring_area(&self.exterior) - self.holes.iter().map(|hole| ring_area(hole)).sum::<f64>();
        if !crossing::outlines_meet(self) {
            return simple;
        }
        let even_odd = super::boolean::even_odd_area(self);
        // Outlines that only touch keep the exact value.
        if (even_odd - simple).abs() <= 1e-9 * simple.abs() { simple } else { even_odd }
    }

    /// Returns whether `point` lies inside the outline and outside all holes.
    pub fn contains(&self, point: Level0Point) -> bool {
        is_inside(&self.exterior, point) && !self.holes.iter().any(|hole| is_inside(hole, point))
    }
}

/// An axis-aligned rectangle, in level-0 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Top-left corner.
    pub min: Level0Point,
    /// Bottom-right corner.
    pub max: Level0Point,
}

impl Bounds {
    /// Makes the rectangle between any two opposite corners.
    pub fn between(a: Level0Point, b: Level0Point) -> Self {
        Self {
            min: Level0Point::new(a.x.min(b.x), a.y.min(b.y)),
            max: Level0Point::new(a.x.max(b.x), a.y.max(b.y)),
        }
    }

    /// Returns the smallest rectangle that contains all points; `None` if there are none.
    pub fn around<'a>(points: impl IntoIterator<Item = &'a Level0Point>) -> Option<Self> {
        points.into_iter().fold(None, |bounds: Option<Self>, point| {
            Some(bounds.map_or(Self { min: *point, max: *point }, |bounds| bounds.with(*point)))
        })
    }

    fn with(self, point: Level0Point) -> Self {
        Self {
            min: Level0Point::new(self.min.x.min(point.x), self.min.y.min(point.y)),
            max: Level0Point::new(self.max.x.max(point.x), self.max.y.max(point.y)),
        }
    }

    /// Returns the width in level-0 pixels.
    pub fn width(&self) -> f64 {
        self.max.x - self.min.x
    }

    /// Returns the height in level-0 pixels.
    pub fn height(&self) -> f64 {
        self.max.y - self.min.y
    }

    /// Returns the centre.
    pub fn center(&self) -> Level0Point {
        Level0Point::new((self.min.x + self.max.x) / 2.0, (self.min.y + self.max.y) / 2.0)
    }

    /// Returns the rectangle with its sides moved outwards by `px`.
    pub fn grown(&self, px: f64) -> Self {
        Self {
            min: Level0Point::new(self.min.x - px, self.min.y - px),
            max: Level0Point::new(self.max.x + px, self.max.y + px),
        }
    }

    /// Returns whether `point` lies inside or on a side.
    pub fn contains(&self, point: Level0Point) -> bool {
        (self.min.x..=self.max.x).contains(&point.x) && (self.min.y..=self.max.y).contains(&point.y)
    }

    /// Returns whether two rectangles overlap or touch.
    pub fn intersects(&self, other: &Self) -> bool {
        self.min.x <= other.max.x
            && other.min.x <= self.max.x
            && self.min.y <= other.max.y
            && other.min.y <= self.max.y
    }

    /// Returns the corners: top left, top right, bottom right, bottom left, in the order in which QuPath
    /// writes a rectangle.
    pub fn corners(&self) -> [Level0Point; 4] {
        let (min, max) = (self.min, self.max);
        [min, Level0Point::new(max.x, min.y), max, Level0Point::new(min.x, max.y)]
    }

    /// Returns the outline of the inscribed ellipse.
    pub(super) fn ellipse_outline(&self) -> Ring {
        let (center, a, b) = (self.center(), self.width() / 2.0, self.height() / 2.0);
        let quarter = ELLIPSE_SEGMENTS / 4;
        (0..ELLIPSE_SEGMENTS)
            .map(|step| match (step / quarter, step % quarter) {
                // The extremes are taken from the rectangle, so that it can be restored exactly when read.
                (0, 0) => Level0Point::new(self.max.x, center.y),
                (1, 0) => Level0Point::new(center.x, self.max.y),
                (2, 0) => Level0Point::new(self.min.x, center.y),
                (_, 0) => Level0Point::new(center.x, self.min.y),
                _ => {
                    let angle = step as f64 / ELLIPSE_SEGMENTS as f64 * std::f64::consts::TAU;
                    Level0Point::new(center.x + a * angle.cos(), center.y + b * angle.sin())
                }
            })
            .collect()
    }
}

impl Shape {
    /// Makes a single area without holes.
    pub fn polygon(exterior: Ring) -> Self {
        Self::Polygons(vec![Polygon::new(exterior)])
    }

    /// Returns the name of the type of the shape, for display.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Points(points) if points.is_empty() => "No position",
            Self::Points(points) if points.len() == 1 => "Point",
            Self::Points(_) => "Points",
            Self::Lines(_) => "Line",
            Self::Rectangle(_) => "Rectangle",
            Self::Ellipse(_) => "Ellipse",
            Self::Polygons(_) => "Polygon",
        }
    }

    /// Returns whether it is an area rather than points or lines.
    pub fn is_area(&self) -> bool {
        !matches!(self, Self::Points(_) | Self::Lines(_))
    }

    /// Returns whether it has no points, lines or areas.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Points(points) => points.is_empty(),
            Self::Lines(lines) => lines.iter().all(Vec::is_empty),
            Self::Polygons(polygons) => polygons.is_empty(),
            Self::Rectangle(_) | Self::Ellipse(_) => false,
        }
    }

    /// Returns its area as polygons; none for points and lines.
    pub fn polygons(&self) -> std::borrow::Cow<'_, [Polygon]> {
        match self {
            Self::Polygons(polygons) => polygons.into(),
            Self::Rectangle(bounds) => vec![Polygon::new(bounds.corners().to_vec())].into(),
            Self::Ellipse(bounds) => vec![Polygon::new(bounds.ellipse_outline())].into(),
            Self::Points(_) | Self::Lines(_) => (&[]).into(),
        }
    }

    /// Returns its bounding box; `None` if it is empty.
    pub fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Points(points) => Bounds::around(points),
            Self::Lines(lines) => Bounds::around(lines.iter().flatten()),
            Self::Rectangle(bounds) | Self::Ellipse(bounds) => Some(*bounds),
            Self::Polygons(polygons) => Bounds::around(polygons.iter().flat_map(|one| &one.exterior)),
        }
    }

    /// Returns the shape moved by an offset in level-0 pixels. Coordinates with up to six decimals stay such, so that moving
    /// back gives the same shape, and packed detections stay small.
    pub fn translated(&self, dx: f64, dy: f64) -> Self {
        let mut moved = self.clone();
        moved.each_point_mut(|point| {
            point.x = without_residue(point.x + dx);
            point.y = without_residue(point.y + dy);
        });
        moved
    }

    /// Returns the shape with each of its points mapped by `map`.
    pub fn mapped(&self, map: impl Fn(Level0Point) -> Level0Point) -> Self {
        let mut mapped = self.clone();
        mapped.each_point_mut(|point| *point = map(*point));
        mapped
    }

    /// Modifies every point that defines the shape.
    pub(super) fn each_point_mut(&mut self, mut change: impl FnMut(&mut Level0Point)) {
        match self {
            Self::Points(points) => points.iter_mut().for_each(change),
            Self::Lines(lines) => lines.iter_mut().flatten().for_each(change),
            Self::Rectangle(bounds) | Self::Ellipse(bounds) => {
                change(&mut bounds.min);
                change(&mut bounds.max);
            }
            Self::Polygons(polygons) => {
                polygons.iter_mut().flat_map(Polygon::rings_mut).flatten().for_each(change);
            }
        }
    }

    /// Returns the area in square level-0 pixels; `None` for points and lines. For outlines that cross, see
    /// [`Polygon::area_px2`].
    pub fn area_px2(&self) -> Option<f64> {
        match self {
            Self::Points(_) | Self::Lines(_) => None,
            Self::Rectangle(bounds) => Some(bounds.width() * bounds.height()),
            Self::Ellipse(bounds) => Some(std::f64::consts::FRAC_PI_4 * bounds.width() * bounds.height()),
            Self::Polygons(polygons) => Some(total(polygons.iter().map(Polygon::area_px2))),
        }
    }

    /// Returns the area in µm²; `None` for points and lines.
    pub fn area_um2(&self, mpp: MicronsPerPixel) -> Option<f64> {
        self.area_px2().map(|px2| px2 * mpp.x() * mpp.y())
    }

    /// Returns the total length of lines in level-0 pixels; `None` for other shapes.
    pub fn length_px(&self) -> Option<f64> {
        self.length_by(|a, b| a.distance_px(b))
    }

    /// Returns the total length of lines in µm; `None` for other shapes.
    pub fn length_um(&self, mpp: MicronsPerPixel) -> Option<f64> {
        self.length_by(|a, b| mpp.distance_um(a, b))
    }

    fn length_by(&self, distance: impl Fn(Level0Point, Level0Point) -> f64) -> Option<f64> {
        let Self::Lines(lines) = self else { return None };
        let edges = lines.iter().flat_map(|line| line.windows(2));
        Some(total(edges.map(|pair| distance(pair[0], pair[1]))))
    }
}

/// Returns the sum of lengths or areas, 0 if there are none: Rust's own sum of no numbers is -0, which would be shown.
fn total(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}

/// Returns the number with up to six decimals from which a sum differs only by rounding, or the sum itself.
fn without_residue(sum: f64) -> f64 {
    const SCALE: f64 = 1e6;
    // The terms may be larger than their sum, but are within any slide.
    const MOST_RESIDUE: f64 = 1e-9;
    let near = (sum * SCALE).round() / SCALE;
    if (near - sum).abs() <= MOST_RESIDUE { near } else { sum }
}

/// Returns the unsigned area within a ring.
pub(super) fn ring_area(ring: &[Level0Point]) -> f64 {
    let Some(origin) = ring.first() else { return 0.0 };
    // Relative to a vertex, so that large coordinates do not reduce precision.
    let cross = |(a, b): (Level0Point, Level0Point)| {
        (a.x - origin.x) * (b.y - origin.y) - (b.x - origin.x) * (a.y - origin.y)
    };
    (edges(ring).map(cross).sum::<f64>() / 2.0).abs()
}

/// Returns the edges of a ring, including the closing one.
pub(super) fn edges(ring: &[Level0Point]) -> impl Iterator<Item = (Level0Point, Level0Point)> + '_ {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// Returns whether a point lies within a ring, by the even-odd rule.
pub(super) fn is_inside(ring: &[Level0Point], point: Level0Point) -> bool {
    edges(ring).fold(false, |inside, (a, b)| {
        let crosses =
            (a.y > point.y) != (b.y > point.y) && point.x < (b.x - a.x) * (point.y - a.y) / (b.y - a.y) + a.x;
        inside != crosses
    })
}

/// A shape with further data about it from a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Geometry {
    /// The shape in level-0 pixels.
    pub shape: Shape,
    /// Its notation in the file, if this cannot be derived from the shape.
    pub written: Option<Written>,
    /// Further members of the geometry, such as QuPath's `plane`.
    pub members: Foreign,
    /// Bounding box of the shape; cached, since it is used much more often than the shape changes.
    bounds: Option<Bounds>,
}

/// Type and coordinates of a geometry in the notation of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    /// The whole geometry of a feature without a position.
    Nowhere(RawJson),
    /// Type and coordinates of a geometry with a position.
    As { kind: String, coordinates: RawJson },
}

impl Geometry {
    /// Makes a geometry without data from a file.
    pub fn new(shape: Shape) -> Self {
        Self::read(shape, None, Foreign::default())
    }

    /// Makes a geometry as read from a file.
    pub fn read(shape: Shape, written: Option<Written>, members: Foreign) -> Self {
        Self { bounds: shape.bounds(), shape, written, members }
    }

    /// Returns the bounding box of the shape; `None` if it is empty.
    pub fn bounds(&self) -> Option<Bounds> {
        self.bounds
    }

    /// Sets the shape and returns whether it differs from the previous one. If so, the notation of the file
    /// no longer applies.
    pub fn reshape(&mut self, shape: Shape) -> bool {
        let changes = self.shape != shape;
        if changes {
            self.bounds = shape.bounds();
            self.shape = shape;
            self.written = None;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(x: f64, y: f64) -> Level0Point {
        Level0Point::new(x, y)
    }

    fn square(from: f64, side: f64) -> Ring {
        Bounds::between(at(from, from), at(from + side, from + side)).corners().to_vec()
    }

    #[test]
    fn a_hole_is_not_area_and_not_inside() {
        let polygon = Polygon { exterior: square(0.0, 10.0), holes: vec![square(4.0, 2.0)] };
        assert!(polygon.contains(at(1.0, 1.0)) && !polygon.contains(at(5.0, 5.0)));
        let shape = Shape::Polygons(vec![polygon]);
        assert_eq!(shape.area_px2(), Some(96.0));
        assert_eq!(shape.area_um2(MicronsPerPixel::new(0.5, 0.25).unwrap()), Some(12.0));
    }

    #[test]
    fn a_length_uses_each_axis_own_pixel_size() {
        let line = Shape::Lines(vec![vec![at(0.0, 0.0), at(6.0, 16.0), at(6.0, 20.0)]]);
        assert_eq!(line.length_um(MicronsPerPixel::new(0.5, 0.25).unwrap()), Some(6.0));
        assert_eq!(line.area_px2(), None);
    }

    #[test]
    fn what_has_no_extent_measures_zero_and_not_minus_zero() {
        let mpp = MicronsPerPixel::square(0.5).unwrap();
        for line in [vec![], vec![vec![]], vec![vec![at(3.0, 4.0)]]] {
            let line = Shape::Lines(line);
            for length in [line.length_px(), line.length_um(mpp)] {
                assert_eq!(length.map(f64::to_bits), Some(0));
            }
        }
        let nothing = Shape::Polygons(Vec::new());
        for extent in [nothing.area_px2(), nothing.area_um2(mpp)] {
            assert_eq!(extent.map(f64::to_bits), Some(0));
        }
    }

    #[test]
    fn outlines_that_cross_enclose_what_an_odd_number_of_them_does() {
        let area = |corners: &[(f64, f64)]| {
            Polygon::new(corners.iter().map(|&(x, y)| at(x, y)).collect()).area_px2()
        };
        let near =
            |area: f64, expected: f64| assert!((area - expected).abs() < 1e-6, "{area} is not {expected}");
        near(area(&[(0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0)]), 50.0);
        // The same with a vertex where it crosses itself.
        near(area(&[(0.0, 0.0), (5.0, 5.0), (10.0, 10.0), (10.0, 0.0), (5.0, 5.0), (0.0, 10.0)]), 50.0);
        // Two squares that touch in a vertex, and a vertex stated twice.
        let touching = [
            (0.0, 0.0),
            (5.0, 0.0),
            (5.0, 5.0),
            (10.0, 5.0),
            (10.0, 10.0),
            (5.0, 10.0),
            (5.0, 5.0),
            (0.0, 5.0),
        ];
        assert_eq!(area(&touching), 50.0);
        assert_eq!(area(&[(0.0, 0.0), (4.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]), 16.0);
        // An outline drawn twice is not empty.
        let ring = square(0.0, 10.0);
        assert_eq!(Polygon::new([ring.clone(), ring.clone()].concat()).area_px2(), 100.0);
        // A hole that extends beyond its outline, and two holes that overlap.
        let holed = |holes| Polygon { exterior: square(0.0, 10.0), holes }.area_px2();
        near(holed(vec![square(5.0, 10.0)]), 75.0 + 75.0);
        near(holed(vec![square(1.0, 4.0), square(3.0, 4.0)]), 100.0 - 28.0 + 4.0);
    }

    proptest! {
        #[test]
        fn decimals_survive_a_move_and_the_way_back(
            corners in prop::collection::vec((-5_000_000..5_000_000_i32, 0..20_000_000_i32), 3..9),
            dx in -200_000..200_000_i32, dy in -200_000..200_000_i32,
        ) {
            let shape = Shape::polygon(
                corners.iter().map(|(x, y)| at(f64::from(*x) / 100.0, f64::from(*y) / 100.0)).collect(),
            );
            let moved = shape.translated(f64::from(dx), f64::from(dy));
            let expected = Shape::polygon(corners.iter().map(|(x, y)| {
                at(f64::from(x + 100 * dx) / 100.0, f64::from(y + 100 * dy) / 100.0)
            }).collect());
            prop_assert_eq!(&moved, &expected);
            prop_assert_eq!(moved.translated(f64::from(-dx), f64::from(-dy)), shape);
        }

        #[test]
        fn area_is_the_same_anywhere_and_ellipses_touch_their_rectangle(
            corners in prop::collection::vec((0.0..5e4, 0.0..5e4), 3..20),
            dx in -1e5..1e5, dy in -1e5..1e5,
        ) {
            let ring: Ring = corners.iter().map(|&(x, y)| at(x, y)).collect();
            let bounds = Bounds::around(&ring).unwrap();
            let shape = Shape::polygon(ring);
            let (here, there) = (shape.area_px2().unwrap(), shape.translated(dx, dy).area_px2().unwrap());
            prop_assert!((here - there).abs() <= 1e-6 * here.max(1.0));
            prop_assert_eq!(Bounds::around(&bounds.ellipse_outline()).unwrap(), bounds);
        }
    }
}
