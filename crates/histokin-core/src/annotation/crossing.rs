//! Outlines that cross themselves or each other.

use super::shape::edges;
use super::{Polygon, Ring};
use crate::geometry::Level0Point;

/// One edge of an outline, by its ends from left to right.
struct Edge {
    left: Level0Point,
    right: Level0Point,
    ring: usize,
    place: usize,
    /// Edges of its ring.
    count: usize,
}

/// Whether edges of a polygon's outlines that are not neighbours cross or touch. `false` also for outlines too
/// tangled to be taken apart, which people do not draw: files may hold millions of corners.
pub fn outlines_meet(polygon: &Polygon) -> bool {
    let mut all: Vec<Edge> = Vec::new();
    for (number, ring) in polygon.rings().enumerate() {
        let mut corners: Ring = ring.clone();
        corners.dedup();
        while corners.len() > 1 && corners.first() == corners.last() {
            corners.pop();
        }
        let count = corners.len();
        all.extend(edges(&corners).enumerate().map(|(place, (a, b))| {
            let (left, right) = if a.x <= b.x { (a, b) } else { (b, a) };
            Edge { left, right, ring: number, place, count }
        }));
    }
    if all.len() <= 3 {
        return false;
    }
    all.sort_by(|a, b| a.left.x.total_cmp(&b.left.x));
    let (mut comparisons, most_comparisons) = (0, (1 << 20) + 256 * all.len());
    let (mut meetings, most_meetings) = (0, 10_000 + 4 * all.len());
    for (number, edge) in all.iter().enumerate() {
        for other in all[number + 1..].iter().take_while(|other| other.left.x <= edge.right.x) {
            comparisons += 1;
            meetings += usize::from(!edge.is_neighbour_of(other) && edge.meets(other));
            if comparisons > most_comparisons || meetings > most_meetings {
                return false;
            }
        }
    }
    meetings > 0
}

impl Edge {
    fn is_neighbour_of(&self, other: &Self) -> bool {
        let apart = self.place.abs_diff(other.place);
        self.ring == other.ring && (apart == 1 || apart + 1 == self.count)
    }

    fn meets(&self, other: &Self) -> bool {
        let span = |edge: &Self| (edge.left.y.min(edge.right.y), edge.left.y.max(edge.right.y));
        let ((low, high), (other_low, other_high)) = (span(self), span(other));
        if high < other_low || other_high < low {
            return false;
        }
        let parts = |edge: &Self, other: &Self| {
            let (a, b) = (edge.side_of(other.left), edge.side_of(other.right));
            (a <= 0.0 && b >= 0.0) || (a >= 0.0 && b <= 0.0)
        };
        parts(self, other) && parts(other, self)
    }

    /// Positive on one side of the line through the edge, negative on the other.
    fn side_of(&self, point: Level0Point) -> f64 {
        let (a, b) = (self.left, self.right);
        (b.x - a.x) * (point.y - a.y) - (b.y - a.y) * (point.x - a.x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tangled_is_given_up_and_the_large_is_not() {
        let at = |x: f64, y: f64| Level0Point::new(x, y);
        // Every edge crosses every other one.
        let tangled: Ring = (0..40_000)
            .map(|i| if i % 2 == 0 { at(0.0, f64::from(i)) } else { at(1e5, f64::from(-i)) })
            .collect();
        assert!(!outlines_meet(&Polygon::new(tangled)));
        let circle = |corners: u32| -> Ring {
            let corner = |i: u32| {
                let (sin, cos) = (std::f64::consts::TAU * f64::from(i) / f64::from(corners)).sin_cos();
                at(1e4 * cos, 1e4 * sin)
            };
            (0..corners).map(corner).collect()
        };
        assert!(!outlines_meet(&Polygon::new(circle(200_000))));
        let mut looped = circle(200_000);
        looped.swap(50_000, 50_002);
        assert!(outlines_meet(&Polygon::new(looped)));
    }
}
