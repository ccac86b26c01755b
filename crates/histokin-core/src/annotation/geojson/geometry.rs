//! Reading of geometries.

use serde::Deserialize;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::document::{Odd, Reader};
use super::feature::nowhere;
use crate::annotation::file::is_believable;
use crate::annotation::json::{Foreign, Members, RawJson};
use crate::annotation::shape::{Geometry, Written};
use crate::annotation::{Bounds, Polygon, Ring, Shape};
use crate::geometry::Level0Point;
use crate::number_format::of_program;

/// Maximum nesting depth of geometry collections.
const DEEPEST_COLLECTION: usize = 8;

/// The types of geometries.
const TYPES: [&str; 7] =
    ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"];

/// Returns a type as it is usually spelt: some scripts write `polygon`.
fn usual(kind: String) -> String {
    let known = TYPES.into_iter().find(|known| kind.eq_ignore_ascii_case(known));
    known.map_or(kind, str::to_owned)
}

impl<'a> Reader<'a, '_> {
    /// Reads a geometry. Returns several if a collection mixes areas, lines and points; never none. Parts
    /// that cannot be read are passed to `part`.
    ///
    /// # Errors
    /// Fails if it cannot be read, or if none of its polygons encloses an area.
    pub fn geometries(&self, value: &'a RawValue, part: &mut impl FnMut(Odd)) -> Result<Vec<Geometry>, Odd> {
        if value.get() == "null" {
            return Ok(vec![nowhere(Some(value))]);
        }
        let members = self.members(value)?;
        // QuPath writes `{}` for an object without a position.
        if members.0.is_empty() {
            return Ok(vec![nowhere(Some(value))]);
        }
        let kind = members.stated("type").ok_or_else(|| self.wrong(value, "it has no type"))?;
        let kind = usual(self.text_of(kind)?);
        if kind == "GeometryCollection" {
            return self.collection(&members, value, part);
        }
        let coordinates =
            members.get("coordinates").ok_or_else(|| self.wrong(value, "it has no coordinates"))?;
        if coordinates.get() == "null" || is_list_of_nothing(coordinates) {
            return Ok(vec![nowhere(Some(value))]);
        }
        let (mut shape, mut is_plain) = self.shape(&kind, coordinates, part)?;
        let is_ellipse = members.get("isEllipse").is_some_and(|flag| flag.get() == "true");
        if is_ellipse && let Some(bounds) = shape.bounds() {
            (shape, is_plain) = (Shape::Ellipse(bounds), false);
        }
        let mut own = members.except(&["type", "coordinates"]);
        own.retain(|(key, value)| key != "isEllipse" || value.get() != "true");
        let written = (!is_plain).then(|| Written::As { kind, coordinates: RawJson::from(coordinates) });
        Ok(vec![Geometry::read(shape, written, Foreign { own, properties: Vec::new() })])
    }

    /// Returns the shape of coordinates, and whether it would be written back in the same notation.
    fn shape(
        &self,
        kind: &str,
        coordinates: &'a RawValue,
        part: &mut impl FnMut(Odd),
    ) -> Result<(Shape, bool), Odd> {
        let mut is_plain = true;
        let mut line = |positions: Vec<Position>| -> Vec<Level0Point> {
            is_plain &= positions.iter().all(|position| position.is_plain);
            positions.into_iter().map(|position| position.point).collect()
        };
        let shape = match kind {
            "Point" => Shape::Points(line(vec![self.value(coordinates)?])),
            "MultiPoint" => {
                let points = line(self.value(coordinates)?);
                is_plain &= points.len() != 1;
                Shape::Points(points)
            }
            "LineString" => Shape::Lines(vec![line(self.value(coordinates)?)]),
            "MultiLineString" => {
                let lines: Vec<Vec<Position>> = self.value(coordinates)?;
                let lines: Vec<_> = lines.into_iter().map(line).collect();
                is_plain &= lines.len() != 1;
                Shape::Lines(lines)
            }
            "Polygon" => {
                let rings = self.value(coordinates)?;
                let part = &mut |reason: String| part(self.wrong(coordinates, reason));
                return area(rings, part).map_err(|reason| self.wrong(coordinates, reason));
            }
            "MultiPolygon" => {
                let (polygons, plain) = self.polygons(coordinates, part)?;
                is_plain = plain && polygons.len() != 1;
                Shape::Polygons(polygons)
            }
            other => return Err(self.wrong(coordinates, format!("{other:?} is not a geometry type"))),
        };
        Ok((shape, is_plain))
    }

    /// Reads the polygons of a `MultiPolygon` that enclose an area.
    fn polygons(
        &self,
        coordinates: &'a RawValue,
        part: &mut impl FnMut(Odd),
    ) -> Result<(Vec<Polygon>, bool), Odd> {
        let (mut polygons, mut odd, mut is_plain) = (Vec::new(), Vec::new(), true);
        for rings in self.value::<Vec<Vec<Vec<Position>>>>(coordinates)? {
            match polygon(rings, &mut |reason| part(self.wrong(coordinates, reason))) {
                Ok((polygon, plain)) => {
                    is_plain &= plain;
                    polygons.push(polygon);
                }
                Err(reason) => odd.push(self.wrong(coordinates, reason)),
            }
        }
        is_plain &= odd.is_empty();
        if polygons.is_empty() && !odd.is_empty() {
            return Err(odd.swap_remove(0));
        }
        odd.into_iter().for_each(part);
        Ok((polygons, is_plain))
    }

    /// Joins the geometries of a collection into at most one geometry of areas, one of lines and one of
    /// points.
    fn collection(
        &self,
        members: &Members<'a>,
        value: &'a RawValue,
        part: &mut impl FnMut(Odd),
    ) -> Result<Vec<Geometry>, Odd> {
        let parts = members.stated("geometries").ok_or_else(|| self.wrong(value, "it has no geometries"))?;
        let (mut polygons, mut lines, mut points) = (Vec::new(), Vec::new(), Vec::new());
        let (mut waiting, mut odd) = (self.list(parts)?, Vec::new());
        for depth in 0.. {
            let mut nested = Vec::new();
            for one in waiting {
                if let Ok(inner) = self.members(one)
                    && inner.get("type").is_some_and(|kind| kind.get() == "\"GeometryCollection\"")
                {
                    match inner.stated("geometries").map(|list| self.list(list)) {
                        Some(Ok(list)) if depth < DEEPEST_COLLECTION => nested.extend(list),
                        _ => {
                            odd.push(self.wrong(one, "a collection without geometries, or nested too deeply"))
                        }
                    }
                    continue;
                }
                match self.geometries(one, part).map(|mut geometries| geometries.remove(0).shape) {
                    Ok(Shape::Lines(some)) => lines.extend(some),
                    Ok(Shape::Points(some)) => points.extend(some),
                    Ok(area) => polygons.extend(area.polygons().iter().cloned()),
                    Err(reason) => odd.push(reason),
                }
            }
            if nested.is_empty() {
                break;
            }
            waiting = nested;
        }
        let shapes = [Shape::Polygons(polygons), Shape::Lines(lines), Shape::Points(points)];
        let own = members.except(&["type", "geometries"]);
        let geometry =
            |shape| Geometry::read(shape, None, Foreign { own: own.clone(), properties: Vec::new() });
        let geometries: Vec<Geometry> =
            shapes.into_iter().filter(|shape| !shape.is_empty()).map(geometry).collect();
        if geometries.is_empty() {
            // QuPath cannot read a collection, so it is written back as an object without a position.
            return match odd.into_iter().next() {
                Some(odd) => Err(odd),
                None => Ok(vec![nowhere(None)]),
            };
        }
        odd.into_iter().for_each(part);
        Ok(geometries)
    }
}

/// Returns the shape of a `Polygon`'s rings, and whether it would be written back in the same notation. Reasons why some of
/// its holes are left out are passed to `part`.
///
/// # Errors
/// Fails with the reason if its exterior encloses no area.
pub fn area(rings: Vec<Vec<Position>>, part: &mut impl FnMut(String)) -> Result<(Shape, bool), String> {
    let (polygon, is_plain) = polygon(rings, part)?;
    let shape = rectangle(&polygon).map_or_else(|| Shape::Polygons(vec![polygon]), Shape::Rectangle);
    Ok((shape, is_plain))
}

fn polygon(rings: Vec<Vec<Position>>, part: &mut impl FnMut(String)) -> Result<(Polygon, bool), String> {
    let mut is_plain = true;
    let mut closed: Vec<Ring> = Vec::new();
    for (number, positions) in rings.into_iter().enumerate() {
        is_plain &= positions.iter().all(|position| position.is_plain);
        let mut ring: Ring = positions.into_iter().map(|position| position.point).collect();
        match ring.as_slice() {
            [first, .., last] if first == last => _ = ring.pop(),
            _ => is_plain = false,
        }
        if ring.len() >= 3 {
            closed.push(ring);
            continue;
        }
        let reason = format!("a ring needs at least 3 different points, but has {}", ring.len());
        if number == 0 {
            return Err(reason);
        }
        is_plain = false;
        part(reason);
    }
    let mut rings = closed.into_iter();
    let exterior = rings.next().ok_or("a polygon without a ring")?;
    Ok((Polygon { exterior, holes: rings.collect() }, is_plain))
}

/// Returns whether coordinates are nested lists without any number.
fn is_list_of_nothing(coordinates: &RawValue) -> bool {
    coordinates.get().bytes().all(|byte| matches!(byte, b'[' | b']' | b',') || byte.is_ascii_whitespace())
}

/// Returns the rectangle if a polygon has the form in which QuPath writes rectangles.
fn rectangle(polygon: &Polygon) -> Option<Bounds> {
    let bounds = Bounds::around(&polygon.exterior)?;
    (polygon.holes.is_empty() && polygon.exterior[..] == bounds.corners()[..]).then_some(bounds)
}

/// A position: x and y, which may be followed by numbers that are ignored.
pub struct Position {
    point: Level0Point,
    is_plain: bool,
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Position;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a position [x, y]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Position, A::Error> {
                let (Some(Coordinate(x, x_is_plain)), Some(Coordinate(y, y_is_plain))) =
                    (numbers.next_element()?, numbers.next_element()?)
                else {
                    return Err(serde::de::Error::custom("a position needs x and y"));
                };
                let mut is_plain = x_is_plain && y_is_plain;
                while numbers.next_element::<IgnoredAny>()?.is_some() {
                    is_plain = false;
                }
                let point = Level0Point::new(x, y);
                if !is_believable(point) {
                    return Err(serde::de::Error::custom(format!(
                        "the position {x:?}, {y:?} is not on any slide"
                    )));
                }
                Ok(Position { point, is_plain })
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

/// A coordinate, and whether it is a number; programs that convert tables write it as a text.
struct Coordinate(f64, bool);

impl<'de> Deserialize<'de> for Coordinate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Coordinate;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Coordinate, E> {
                Ok(Coordinate(number, true))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Coordinate, E> {
                Ok(Coordinate(number as f64, true))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Coordinate, E> {
                Ok(Coordinate(number as f64, true))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Coordinate, E> {
                let number =
                    of_program(text).ok_or_else(|| E::custom(format!("{text:?} is not a coordinate")))?;
                Ok(Coordinate(number, false))
            }
        }
        deserializer.deserialize_any(Number)
    }
}
