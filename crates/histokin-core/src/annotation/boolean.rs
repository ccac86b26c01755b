//! Brush and eraser: union and difference of areas.

use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::float::simplify::SimplifyShape;
use i_overlay::float::single::SingleFloatOverlay;

use super::shape::ring_area;
use super::{Polygon, Ring, Shape};
use crate::geometry::Level0Point;

/// Number of vertices of the circle of a brush.
const BRUSH_CORNERS: usize = 24;

/// The contours of one area: its outline, then its holes.
type Contours = Vec<Vec<[f64; 2]>>;

impl Shape {
    /// Returns the union of two areas; points and lines are ignored.
    pub fn union(&self, other: &Shape) -> Shape {
        self.combined(other, OverlayRule::Union)
    }

    /// Returns this area with parts that touch or overlap each other merged.
    pub fn merged(&self) -> Shape {
        let areas: Vec<Contours> = contours(self).into_iter().map(oriented).collect();
        shape_from(areas.simplify_shape_as::<i64>(FillRule::NonZero))
    }

    /// Returns this area minus `other`; may be empty.
    pub fn difference(&self, other: &Shape) -> Shape {
        self.combined(other, OverlayRule::Difference)
    }

    /// Returns this area minus all of the others, which may overlap each other.
    pub fn without_all<'a>(&self, others: impl IntoIterator<Item = &'a Shape>) -> Shape {
        let others: Vec<Contours> = others.into_iter().flat_map(contours).map(oriented).collect();
        if others.is_empty() {
            return self.clone();
        }
        let areas = contours(self).simplify_shape_as::<i64>(FillRule::EvenOdd);
        let areas: Vec<Contours> = areas.into_iter().map(oriented).collect();
        shape_from(areas.overlay_as::<i64>(&others, OverlayRule::Difference, FillRule::NonZero))
    }

    fn combined(&self, other: &Shape, rule: OverlayRule) -> Shape {
        // The 64-bit grid is far finer than f64 in slide coordinates, so untouched vertices do not move.
        shape_from(contours(self).overlay_as::<i64>(&contours(other), rule, FillRule::EvenOdd))
    }

    /// Returns the area enclosed by a freehand line, including all of its loops where it crosses itself.
    pub fn enclosed_by(line: &[Level0Point]) -> Shape {
        let contour: Vec<[f64; 2]> = line.iter().map(|point| [point.x, point.y]).collect();
        shape_from(contour.simplify_shape_as::<i64>(FillRule::NonZero))
    }
}

/// Returns the area covered by a round brush with a radius of `radius_px` level-0 pixels along `path`.
pub fn stroke(path: &[Level0Point], radius_px: f64) -> Shape {
    let circle = |center: &Level0Point| -> Vec<[f64; 2]> {
        let corner = |step: usize| {
            let angle = step as f64 / BRUSH_CORNERS as f64 * std::f64::consts::TAU;
            [center.x + radius_px * angle.cos(), center.y + radius_px * angle.sin()]
        };
        (0..BRUSH_CORNERS).map(corner).collect()
    };
    let band = |pair: &[Level0Point]| -> Option<Vec<[f64; 2]>> {
        let (a, b) = (pair[0], pair[1]);
        let length = a.distance_px(b);
        let (x, y) = ((b.x - a.x) / length * radius_px, (b.y - a.y) / length * radius_px);
        let corners = [[a.x - y, a.y + x], [a.x + y, a.y - x], [b.x + y, b.y - x], [b.x - y, b.y + x]];
        (length > 0.0).then(|| corners.to_vec())
    };
    let pieces: Vec<Contours> = path
        .iter()
        .map(circle)
        .chain(path.windows(2).filter_map(band))
        .map(|contour| vec![contour])
        .collect();
    // All pieces have the same orientation, so overlaps stay filled.
    shape_from(pieces.simplify_shape_as::<i64>(FillRule::NonZero))
}

/// Returns the area in square level-0 pixels that is enclosed by an odd number of a polygon's outlines. If
/// this is 0, as for an outline drawn twice, returns the area that is enclosed at all.
pub(super) fn even_odd_area(polygon: &Polygon) -> f64 {
    let area = |contours: &Contours| -> f64 {
        let ring = |contour: &Vec<[f64; 2]>| {
            ring_area(&contour.iter().map(|[x, y]| Level0Point::new(*x, *y)).collect::<Ring>())
        };
        contours.first().map_or(0.0, ring) - contours.iter().skip(1).map(ring).sum::<f64>()
    };
    let contours = contours_of(polygon);
    let enclosed = |rule| contours.simplify_shape_as::<i64>(rule).iter().map(area).sum::<f64>();
    let even_odd = enclosed(FillRule::EvenOdd);
    if even_odd > 0.0 { even_odd } else { enclosed(FillRule::NonZero) }
}

/// Returns the contours with the outline in one orientation and its holes in the other.
fn oriented(mut contours: Contours) -> Contours {
    for (index, contour) in contours.iter_mut().enumerate() {
        let next = contour.iter().cycle().skip(1);
        let doubled: f64 = contour.iter().zip(next).map(|([ax, ay], [bx, by])| (bx - ax) * (ay + by)).sum();
        if (doubled < 0.0) != (index == 0) {
            contour.reverse();
        }
    }
    contours
}

fn contours_of(polygon: &Polygon) -> Contours {
    let contour = |ring: &Ring| ring.iter().map(|point| [point.x, point.y]).collect();
    polygon.rings().map(contour).collect()
}

fn contours(shape: &Shape) -> Vec<Contours> {
    shape.polygons().iter().map(contours_of).collect()
}

fn shape_from(areas: Vec<Contours>) -> Shape {
    let ring = |contour: Vec<[f64; 2]>| contour.into_iter().map(|[x, y]| Level0Point::new(x, y)).collect();
    let polygons = areas.into_iter().filter_map(|contours| {
        let mut rings = contours.into_iter().map(ring).filter(|ring: &Ring| ring_area(ring) > 0.0);
        Some(Polygon { exterior: rings.next()?, holes: rings.collect() })
    });
    Shape::Polygons(polygons.collect())
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;
    use proptest::prelude::*;

    fn at(x: f64, y: f64) -> Level0Point {
        Level0Point::new(x, y)
    }

    fn rectangle(x: f64, y: f64, width: f64, height: f64) -> Shape {
        Shape::Rectangle(Bounds::between(at(x, y), at(x + width, y + height)))
    }

    fn area(shape: &Shape) -> f64 {
        shape.area_px2().unwrap()
    }

    #[test]
    fn areas_that_overlap_are_taken_off_together() {
        let square = rectangle(0.0, 0.0, 100.0, 100.0);
        let mut holed = rectangle(60.0, 60.0, 30.0, 30.0).difference(&rectangle(70.0, 70.0, 10.0, 10.0));
        if let Shape::Polygons(polygons) = &mut holed {
            polygons[0].exterior.reverse();
        }
        let others = [rectangle(0.0, 0.0, 20.0, 20.0), rectangle(10.0, 10.0, 20.0, 20.0), holed];
        let rest = area(&square.without_all(&others));
        assert!((rest - (10_000.0 - 700.0 - 800.0)).abs() < 1e-6, "{rest}");
        assert_eq!(square.without_all(&[]), square);
    }

    #[test]
    fn the_eraser_cuts_holes_divides_and_leaves_nothing() {
        let square = rectangle(100_000.0, 50_000.0, 100.0, 100.0);
        let holed = square.difference(&rectangle(100_040.0, 50_040.0, 20.0, 20.0));
        let Shape::Polygons(polygons) = &holed else { panic!("{holed:?}") };
        assert_eq!((polygons.len(), polygons[0].holes.len()), (1, 1));
        assert!((area(&holed) - 9600.0).abs() < 1e-6);

        let divided = square.difference(&rectangle(100_040.0, 49_000.0, 20.0, 3000.0));
        assert!(matches!(&divided, Shape::Polygons(parts) if parts.len() == 2));
        assert!(square.difference(&rectangle(99_000.0, 49_000.0, 3000.0, 3000.0)).is_empty());
        assert!((area(&holed.union(&rectangle(100_030.0, 50_030.0, 40.0, 40.0))) - 10_000.0).abs() < 1e-6);
    }

    #[test]
    fn corners_that_are_not_touched_stay_where_they_are() {
        let odd = at(150_000.123_456_789, 80_000.987_654_321);
        let triangle = Shape::polygon(vec![odd, at(150_500.5, 80_000.25), at(150_100.75, 80_700.125)]);
        let cut = triangle.difference(&rectangle(150_400.0, 79_000.0, 1000.0, 2000.0));
        let nearest = cut.vertices().into_iter().map(|(_, at)| at.distance_px(odd)).fold(f64::MAX, f64::min);
        assert!(nearest < 1e-6, "{nearest}");
    }

    #[test]
    fn a_stroke_back_and_forth_over_itself_has_no_holes_where_it_crosses() {
        let path = [at(0.0, 0.0), at(100.0, 0.0), at(50.0, 0.0), at(50.0, 40.0), at(50.0, -40.0)];
        let shape = stroke(&path, 10.0);
        assert!(matches!(&shape, Shape::Polygons(parts) if parts.len() == 1 && parts[0].holes.is_empty()));
        assert!(!stroke(&path[..1], 10.0).is_empty(), "a single touch leaves a dot");
        let ring: Vec<_> =
            (0..=40).map(|i| f64::from(i) * 0.16).map(|a| at(80.0 * a.cos(), 80.0 * a.sin())).collect();
        assert!(matches!(&stroke(&ring, 10.0), Shape::Polygons(parts) if parts[0].holes.len() == 1));
    }

    #[test]
    fn a_line_that_crosses_itself_encloses_all_of_its_loops() {
        let eight = [at(0.0, 0.0), at(100.0, 100.0), at(100.0, 0.0), at(0.0, 100.0)];
        let shape = Shape::enclosed_by(&eight);
        assert!((area(&shape) - 5000.0).abs() < 1e-6, "{shape:?}");
    }

    proptest! {
        #[test]
        fn areas_of_union_and_difference_add_up(
            a in (0.0..1e5, 0.0..1e5, 1.0..5e4, 1.0..5e4), b in (0.0..1e5, 0.0..1e5, 1.0..5e4, 1.0..5e4),
        ) {
            let (a, b) = (rectangle(a.0, a.1, a.2, a.3), rectangle(b.0, b.1, b.2, b.3));
            let (union, rest) = (area(&a.union(&b)), area(&a.difference(&b)));
            prop_assert!((union - rest - area(&b)).abs() <= 1e-6 * union);
            prop_assert!(union <= area(&a) + area(&b) + 1e-6 * union && rest <= area(&a) * (1.0 + 1e-9));
        }
    }
}
