//! Editing a shape by its vertices.

use super::hit::nearest_on_segment;
use super::{Bounds, Ring, Shape};
use crate::geometry::Level0Point;

/// One place by which a shape is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vertex {
    Point(usize),
    OnLine {
        line: usize,
        index: usize,
    },
    /// Of a polygon; ring 0 is its outline, the others are its holes.
    Corner {
        polygon: usize,
        ring: usize,
        index: usize,
    },
    /// Of a rectangle or an ellipse: the corners from the top left clockwise, then the middles of the sides
    /// from the top clockwise.
    Handle(usize),
}

impl Shape {
    /// All vertices and where they are.
    pub fn vertices(&self) -> Vec<(Vertex, Level0Point)> {
        match self {
            Self::Points(points) => {
                points.iter().enumerate().map(|(index, at)| (Vertex::Point(index), *at)).collect()
            }
            Self::Lines(lines) => {
                let of_line = |(line, points): (usize, &Vec<Level0Point>)| {
                    let vertex =
                        move |(index, at): (usize, &Level0Point)| (Vertex::OnLine { line, index }, *at);
                    points.iter().enumerate().map(vertex).collect::<Vec<_>>()
                };
                lines.iter().enumerate().flat_map(of_line).collect()
            }
            Self::Rectangle(bounds) | Self::Ellipse(bounds) => handles(bounds)
                .into_iter()
                .enumerate()
                .map(|(index, at)| (Vertex::Handle(index), at))
                .collect(),
            Self::Polygons(polygons) => {
                let mut vertices = Vec::new();
                for (polygon, one) in polygons.iter().enumerate() {
                    for (ring, corners) in one.rings().enumerate() {
                        let corner = |(index, at): (usize, &Level0Point)| {
                            (Vertex::Corner { polygon, ring, index }, *at)
                        };
                        vertices.extend(corners.iter().enumerate().map(corner));
                    }
                }
                vertices
            }
        }
    }

    /// The vertex nearest to `point` within `reach_px` level-0 pixels.
    pub fn vertex_near(&self, point: Level0Point, reach_px: f64) -> Option<Vertex> {
        let distance = |(_, at): &(Vertex, Level0Point)| at.distance_px(point);
        let nearest = self.vertices().into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        (distance(&nearest) <= reach_px).then_some(nearest.0)
    }

    /// The same shape with one vertex elsewhere; unchanged when it has no such vertex.
    pub fn with_vertex_at(&self, vertex: Vertex, to: Level0Point) -> Self {
        let mut changed = self.clone();
        match (&mut changed, vertex) {
            (Self::Rectangle(bounds) | Self::Ellipse(bounds), Vertex::Handle(handle)) => {
                *bounds = with_handle_at(bounds, handle, to);
            }
            (shape, vertex) => {
                if let Some((points, index)) = shape.points_of(vertex)
                    && let Some(point) = points.get_mut(index)
                {
                    *point = to;
                }
            }
        }
        changed
    }

    /// The same shape with a new vertex where its outline or line passes nearest to `point`, if that is
    /// within `reach_px` level-0 pixels.
    pub fn with_new_vertex(&self, point: Level0Point, reach_px: f64) -> Option<(Self, Vertex)> {
        let mut best: Option<(f64, Vertex, Level0Point)> = None;
        let vertices = self.vertices();
        for (place, &(vertex, from)) in vertices.iter().enumerate() {
            let Some(next) = next_on_outline(&vertices, place) else { continue };
            let at = nearest_on_segment(point, from, next);
            let distance = at.distance_px(point);
            if distance <= reach_px && best.is_none_or(|(nearest, ..)| distance < nearest) {
                best = Some((distance, vertex, at));
            }
        }
        let (_, before, at) = best?;
        let new = match before {
            Vertex::OnLine { line, index } => Vertex::OnLine { line, index: index + 1 },
            Vertex::Corner { polygon, ring, index } => Vertex::Corner { polygon, ring, index: index + 1 },
            other => other,
        };
        let mut changed = self.clone();
        let (points, index) = changed.points_of(new)?;
        points.insert(index, at);
        Some((changed, new))
    }

    /// The same shape without one vertex; `None` when too few would be left, or handles cannot be removed.
    pub fn without_vertex(&self, vertex: Vertex) -> Option<Self> {
        let least = match vertex {
            Vertex::Point(_) => 1,
            Vertex::OnLine { .. } => 2,
            Vertex::Corner { .. } => 3,
            Vertex::Handle(_) => return None,
        };
        let mut changed = self.clone();
        let (points, index) = changed.points_of(vertex)?;
        if points.len() <= least || index >= points.len() {
            return None;
        }
        points.remove(index);
        Some(changed)
    }

    /// The list in which a vertex stands, and its place there.
    fn points_of(&mut self, vertex: Vertex) -> Option<(&mut Ring, usize)> {
        match (self, vertex) {
            (Self::Points(points), Vertex::Point(index)) => Some((points, index)),
            (Self::Lines(lines), Vertex::OnLine { line, index }) => Some((lines.get_mut(line)?, index)),
            (Self::Polygons(polygons), Vertex::Corner { polygon, ring, index }) => {
                let polygon = polygons.get_mut(polygon)?;
                let ring = match ring {
                    0 => &mut polygon.exterior,
                    hole => polygon.holes.get_mut(hole - 1)?,
                };
                Some((ring, index))
            }
            _ => None,
        }
    }
}

/// The vertex after the one at `place` along its line or around its ring.
fn next_on_outline(vertices: &[(Vertex, Level0Point)], place: usize) -> Option<Level0Point> {
    let next = vertices.get(place + 1);
    match vertices[place].0 {
        Vertex::OnLine { line, .. } => {
            next.filter(|(next, _)| matches!(next, Vertex::OnLine { line: same, .. } if *same == line))
        }
        Vertex::Corner { polygon, ring, index } => next
            .filter(|(next, _)| {
                matches!(next, Vertex::Corner { polygon: p, ring: r, .. } if (*p, *r) == (polygon, ring))
            })
            .or_else(|| vertices.get(place - index)),
        Vertex::Point(_) | Vertex::Handle(_) => None,
    }
    .map(|(_, at)| *at)
}

fn handles(bounds: &Bounds) -> [Level0Point; 8] {
    let [a, b, c, d] = bounds.corners();
    let middle = |p: Level0Point, q: Level0Point| Level0Point::new((p.x + q.x) / 2.0, (p.y + q.y) / 2.0);
    [a, b, c, d, middle(a, b), middle(b, c), middle(c, d), middle(d, a)]
}

fn with_handle_at(bounds: &Bounds, handle: usize, to: Level0Point) -> Bounds {
    let [a, b, c, d] = bounds.corners();
    match handle {
        0 => Bounds::between(to, c),
        1 => Bounds::between(to, d),
        2 => Bounds::between(to, a),
        3 => Bounds::between(to, b),
        4 => Bounds::between(Level0Point::new(a.x, to.y), c),
        5 => Bounds::between(a, Level0Point::new(to.x, c.y)),
        6 => Bounds::between(a, Level0Point::new(c.x, to.y)),
        7 => Bounds::between(Level0Point::new(to.x, a.y), c),
        _ => *bounds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> Level0Point {
        Level0Point::new(x, y)
    }

    #[test]
    fn a_vertex_is_moved_added_on_the_closing_edge_and_removed() {
        let square = Shape::polygon(Bounds::between(at(0.0, 0.0), at(10.0, 10.0)).corners().to_vec());
        let corner = square.vertex_near(at(10.5, 9.5), 2.0).unwrap();
        assert_eq!(corner, Vertex::Corner { polygon: 0, ring: 0, index: 2 });
        let moved = square.with_vertex_at(corner, at(20.0, 10.0));
        assert_eq!(moved.area_px2(), Some(150.0));

        let (more, new) = square.with_new_vertex(at(-1.0, 4.0), 2.0).unwrap();
        assert_eq!(new, Vertex::Corner { polygon: 0, ring: 0, index: 4 });
        assert_eq!(more.vertices()[4].1, at(0.0, 4.0));
        assert_eq!(more.area_px2(), Some(100.0));
        assert_eq!(more.without_vertex(new), Some(square.clone()));
        assert!(square.with_new_vertex(at(5.0, 5.0), 2.0).is_none());

        let triangle = square.without_vertex(corner).unwrap();
        assert!(triangle.without_vertex(Vertex::Corner { polygon: 0, ring: 0, index: 0 }).is_none());
    }

    #[test]
    fn the_handles_of_a_rectangle_move_its_sides_even_across_each_other() {
        let rectangle = Shape::Rectangle(Bounds::between(at(0.0, 0.0), at(10.0, 20.0)));
        let right = rectangle.vertex_near(at(10.0, 10.0), 1.0).unwrap();
        let wide = rectangle.with_vertex_at(right, at(-30.0, 77.0));
        assert_eq!(wide, Shape::Rectangle(Bounds::between(at(-30.0, 0.0), at(0.0, 20.0))));
        assert!(rectangle.without_vertex(right).is_none());
    }

    #[test]
    fn lines_are_not_closed() {
        let line = Shape::Lines(vec![vec![at(0.0, 0.0), at(10.0, 0.0), at(10.0, 10.0)]]);
        assert!(line.with_new_vertex(at(5.0, 5.0), 2.0).is_none());
        let (longer, _) = line.with_new_vertex(at(5.0, 1.0), 2.0).unwrap();
        assert_eq!(longer.length_px(), line.length_px());
    }
}
