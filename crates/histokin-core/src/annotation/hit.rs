//! Hit testing of annotations at the pointer.

use super::shape::edges;
use super::{Annotation, Polygon, Shape};
use crate::geometry::Level0Point;

/// The part of an annotation at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hit {
    /// Its outline, its line or one of its points.
    Edge,
    /// The inside of its area.
    Inside,
}

impl Annotation {
    /// Returns which part of it is at `point`, if any; `reach_px` is the maximum distance to points and
    /// edges, in level-0 pixels.
    pub fn hit(&self, point: Level0Point, reach_px: f64) -> Option<Hit> {
        let shape = self.shape();
        if !self.bounds()?.grown(reach_px).contains(point) {
            return None;
        }
        let near = |(a, b): (Level0Point, Level0Point)| distance_to_segment(point, a, b) <= reach_px;
        let on_edge = match shape {
            Shape::Points(points) => points.iter().any(|one| one.distance_px(point) <= reach_px),
            Shape::Lines(lines) => {
                lines.iter().flat_map(|line| line.windows(2)).any(|pair| near((pair[0], pair[1])))
            }
            area => area.polygons().iter().flat_map(Polygon::rings).any(|ring| edges(ring).any(near)),
        };
        if on_edge {
            return Some(Hit::Edge);
        }
        let inside = shape.polygons().iter().any(|polygon| polygon.contains(point));
        inside.then_some(Hit::Inside)
    }
}

/// Returns the distance from `point` to the segment between `a` and `b`.
pub(super) fn distance_to_segment(point: Level0Point, a: Level0Point, b: Level0Point) -> f64 {
    point.distance_px(nearest_on_segment(point, a, b))
}

/// Returns the point on the segment between `a` and `b` that is nearest to `point`.
pub(super) fn nearest_on_segment(point: Level0Point, a: Level0Point, b: Level0Point) -> Level0Point {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let length2 = dx * dx + dy * dy;
    let along = if length2 > 0.0 {
        (((point.x - a.x) * dx + (point.y - a.y) * dy) / length2).clamp(0.0, 1.0)
    } else {
        0.0
    };
    Level0Point::new(a.x + along * dx, a.y + along * dy)
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;

    fn at(x: f64, y: f64) -> Level0Point {
        Level0Point::new(x, y)
    }

    #[test]
    fn outlines_insides_holes_and_points_are_told_apart() {
        let ring = |from, to| Bounds::between(at(from, from), at(to, to)).corners().to_vec();
        let polygon = Polygon { exterior: ring(0.0, 100.0), holes: vec![ring(40.0, 60.0)] };
        let annotation = Annotation::new(Shape::Polygons(vec![polygon]), None);
        assert_eq!(annotation.hit(at(20.0, 20.0), 3.0), Some(Hit::Inside));
        assert_eq!(annotation.hit(at(102.0, 50.0), 3.0), Some(Hit::Edge));
        assert_eq!(annotation.hit(at(42.0, 50.0), 3.0), Some(Hit::Edge), "a hole has an edge");
        assert_eq!(annotation.hit(at(50.0, 50.0), 3.0), None, "a hole is not inside");
        assert_eq!(annotation.hit(at(120.0, 50.0), 3.0), None);

        let point = Annotation::new(Shape::Points(vec![at(5.0, 5.0)]), None);
        assert_eq!(point.hit(at(7.0, 5.0), 3.0), Some(Hit::Edge));
        assert_eq!(point.hit(at(9.0, 5.0), 3.0), None);
        let ellipse = Annotation::new(Shape::Ellipse(Bounds::between(at(0.0, 0.0), at(100.0, 50.0))), None);
        assert_eq!(ellipse.hit(at(3.0, 3.0), 1.0), None, "the corner of its rectangle is outside");
        assert_eq!(ellipse.hit(at(50.0, 25.0), 1.0), Some(Hit::Inside));
    }
}
