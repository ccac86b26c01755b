//! Annotations as triangles and strokes for the GPU.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use earcut::Earcut;
use uuid::Uuid;

use crate::annotation::{Annotation, AnnotationSet, Polygon, Shape};
use crate::geometry::Level0Point;

/// Units per level-0 pixel: positions on the GPU are integers in these units.
pub const UNITS_PER_PIXEL: f64 = 64.0;

/// Opacity of areas, of 255.
pub const FILL_ALPHA: u8 = 44;
/// Half the width of outlines and lines, in points.
const LINE_RADIUS: f32 = 1.1;
/// Radius of a point, in points.
const POINT_RADIUS: f32 = 5.0;

/// A vertex of a triangle.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct FillCorner {
    /// Position in GPU units; see [`units`].
    pub at: [i32; 2],
    /// sRGB with straight alpha.
    pub color: [u8; 4],
}

/// A stroke with round ends; one of length zero is a dot.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct StrokeInstance {
    begin: [i32; 2],
    end: [i32; 2],
    color: [u8; 4],
    radius: f32,
}

/// The triangles and strokes of some annotations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mesh {
    /// Vertices of the triangles.
    pub corners: Vec<FillCorner>,
    /// Indices into `corners`, three per triangle.
    pub indices: Vec<u32>,
    /// Outlines, lines and points.
    pub strokes: Vec<StrokeInstance>,
}

/// Builds meshes of annotation sets; annotations that have not changed are not triangulated again.
#[derive(Default)]
pub struct Mesher {
    known: HashMap<Uuid, (Arc<Annotation>, Mesh)>,
    earcut: Earcut<f64>,
}

impl Mesher {
    /// Returns the mesh of all objects of `set` that are not `hidden`; not of detections in compact form.
    pub fn mesh(&mut self, set: &AnnotationSet, hidden: &HashSet<Uuid>) -> Mesh {
        self.known.retain(|id, _| set.contains(*id));
        let mut whole = Mesh::default();
        for annotation in set.objects().filter(|one| !hidden.contains(&one.id)) {
            let known = self.known.get(&annotation.id).filter(|(known, _)| Arc::ptr_eq(known, annotation));
            if known.is_none() {
                let mesh = mesh_of(annotation, &mut self.earcut);
                self.known.insert(annotation.id, (annotation.clone(), mesh));
            }
            if let Some((_, mesh)) = self.known.get(&annotation.id) {
                whole.append(mesh);
            }
        }
        whole
    }
}

impl Mesh {
    fn append(&mut self, other: &Self) {
        let first = self.corners.len() as u32;
        self.corners.extend_from_slice(&other.corners);
        self.indices.extend(other.indices.iter().map(|index| first + index));
        self.strokes.extend_from_slice(&other.strokes);
    }

    fn stroke(&mut self, begin: Level0Point, end: Level0Point, color: [u8; 4], radius: f32) {
        self.strokes.push(StrokeInstance { begin: units(begin), end: units(end), color, radius });
    }

    fn fill(&mut self, polygon: &Polygon, color: [u8; 4], earcut: &mut Earcut<f64>) {
        let mut corners: Vec<Level0Point> = Vec::new();
        let mut holes: Vec<u32> = Vec::new();
        for ring in polygon.rings() {
            if !corners.is_empty() {
                holes.push(corners.len() as u32);
            }
            corners.extend(ring);
        }
        let mut triangles: Vec<u32> = Vec::new();
        earcut.earcut(corners.iter().map(|corner| [corner.x, corner.y]), &holes, &mut triangles);
        let first = self.corners.len() as u32;
        self.corners.extend(corners.into_iter().map(|corner| FillCorner { at: units(corner), color }));
        self.indices.extend(triangles.into_iter().map(|index| first + index));
    }
}

fn mesh_of(annotation: &Annotation, earcut: &mut Earcut<f64>) -> Mesh {
    let [r, g, b] = annotation.drawn_color();
    let (fill, line) = ([r, g, b, FILL_ALPHA], [r, g, b, 255]);
    let mut mesh = Mesh::default();
    match annotation.shape() {
        Shape::Points(points) => {
            for point in points {
                mesh.stroke(*point, *point, [255; 4], POINT_RADIUS + 1.5);
                mesh.stroke(*point, *point, line, POINT_RADIUS);
            }
        }
        Shape::Lines(lines) => {
            for pair in lines.iter().flat_map(|line| line.windows(2)) {
                mesh.stroke(pair[0], pair[1], line, LINE_RADIUS);
            }
        }
        area => {
            for polygon in area.polygons().iter() {
                mesh.fill(polygon, fill, earcut);
                for ring in polygon.rings() {
                    for (begin, end) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                        mesh.stroke(*begin, *end, line, LINE_RADIUS);
                    }
                }
            }
        }
    }
    mesh
}

/// Converts a level-0 position to GPU units, rounded. The range is ±33 million level-0 pixels; positions
/// beyond are clamped to it.
pub fn units(point: Level0Point) -> [i32; 2] {
    [(point.x * UNITS_PER_PIXEL).round() as i32, (point.y * UNITS_PER_PIXEL).round() as i32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Bounds;

    fn at(x: f64, y: f64) -> Level0Point {
        Level0Point::new(x, y)
    }

    /// Twice the area of all triangles, in square level-0 pixels.
    fn twice_area(mesh: &Mesh) -> f64 {
        let corner =
            |index: u32| mesh.corners[index as usize].at.map(|unit| f64::from(unit) / UNITS_PER_PIXEL);
        let triangle = |three: &[u32]| {
            let [a, b, c] = [corner(three[0]), corner(three[1]), corner(three[2])];
            ((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])).abs()
        };
        mesh.indices.chunks(3).map(triangle).sum()
    }

    #[test]
    fn triangles_cover_an_area_without_its_holes_and_outlines_are_closed() {
        let ring = |from, to| Bounds::between(at(from, from), at(to, to)).corners().to_vec();
        let polygon =
            Polygon { exterior: ring(100_000.0, 100_100.0), holes: vec![ring(100_040.0, 100_060.0)] };
        let set: AnnotationSet = [
            Annotation::new(Shape::Polygons(vec![polygon]), None),
            Annotation::new(Shape::Points(vec![at(3.0, 4.0)]), None),
        ]
        .into_iter()
        .collect();
        let mut mesher = Mesher::default();
        let mesh = mesher.mesh(&set, &HashSet::new());
        assert_eq!(twice_area(&mesh), 2.0 * (10_000.0 - 400.0));
        assert_eq!(mesh.strokes.len(), 8 + 2);
        assert!(mesh.indices.iter().all(|index| (*index as usize) < mesh.corners.len()));
        assert_eq!(mesher.mesh(&set, &HashSet::new()), mesh, "unchanged annotations give the same mesh");
        let hidden = HashSet::from([set.at(0).unwrap().id]);
        assert_eq!(mesher.mesh(&set, &hidden).strokes.len(), 2);
    }
}
