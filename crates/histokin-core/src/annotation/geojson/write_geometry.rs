//! Writing geometries.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::write::{Number, entries};
use crate::annotation::shape::{Geometry, Written};
use crate::annotation::{Polygon, Ring, Shape};
use crate::geometry::Level0Point;

pub struct GeometryOut<'a>(pub &'a Geometry);

impl Serialize for GeometryOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Geometry { shape, written, members, .. } = self.0;
        let written = match written {
            Some(Written::As { kind, coordinates }) => Some((kind, coordinates)),
            Some(Written::Nowhere(written)) => return written.serialize(serializer),
            // QuPath reads an object without a place from `{}`, and fails on `null`.
            None if shape.is_empty() => return serializer.serialize_map(Some(0))?.end(),
            None => None,
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", written.map_or(type_of(shape), |(kind, _)| kind))?;
        match (written, shape) {
            (Some((_, coordinates)), _) => map.serialize_entry("coordinates", coordinates)?,
            (None, Shape::Points(points)) if points.len() == 1 => {
                map.serialize_entry("coordinates", &Position(points[0]))?;
            }
            (None, Shape::Points(points)) => map.serialize_entry("coordinates", &Line(points))?,
            (None, Shape::Lines(lines)) if lines.len() == 1 => {
                map.serialize_entry("coordinates", &Line(&lines[0]))?;
            }
            (None, Shape::Lines(lines)) => {
                let lines: Vec<Line<'_>> = lines.iter().map(|line| Line(line)).collect();
                map.serialize_entry("coordinates", &lines)?;
            }
            (None, area) => match area.polygons().as_ref() {
                [polygon] => map.serialize_entry("coordinates", &Area(polygon))?,
                several => {
                    let areas: Vec<Area<'_>> = several.iter().map(Area).collect();
                    map.serialize_entry("coordinates", &areas)?;
                }
            },
        }
        if matches!(shape, Shape::Ellipse(_)) {
            map.serialize_entry("isEllipse", &true)?;
        }
        entries(&mut map, &members.own)?;
        map.end()
    }
}

fn type_of(shape: &Shape) -> &'static str {
    match shape {
        Shape::Points(points) if points.len() == 1 => "Point",
        Shape::Points(_) => "MultiPoint",
        Shape::Lines(lines) if lines.len() == 1 => "LineString",
        Shape::Lines(_) => "MultiLineString",
        Shape::Polygons(polygons) if polygons.len() > 1 => "MultiPolygon",
        _ => "Polygon",
    }
}

struct Position(Level0Point);

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Number(self.0.x), Number(self.0.y)).serialize(serializer)
    }
}

struct Line<'a>(&'a [Level0Point]);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|point| Position(*point)))
    }
}

/// A ring, whose first position is repeated at its end.
struct Closed<'a>(&'a Ring);

impl Serialize for Closed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().chain(self.0.first()).map(|point| Position(*point)))
    }
}

struct Area<'a>(&'a Polygon);

impl Serialize for Area<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rings = serializer.serialize_seq(Some(1 + self.0.holes.len()))?;
        for ring in self.0.rings() {
            rings.serialize_element(&Closed(ring))?;
        }
        rings.end()
    }
}
