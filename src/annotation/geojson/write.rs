//! Writing, in the form of present QuPath; one feature a line, so that errors and differences have lines.

use std::collections::HashMap;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use uuid::Uuid;

use super::{ASAP_PROPERTY, GROUPS_MEMBER};
use crate::annotation::json::RawJson;
use crate::annotation::shape::{Geometry, Written};
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, Polygon, Ring, Shape};
use crate::geometry::Level0Point;

/// The set as a GeoJSON feature collection.
pub fn write(set: &AnnotationSet) -> String {
    let mut children: HashMap<Uuid, Vec<&Annotation>> = HashMap::new();
    let mut features = Vec::new();
    for annotation in set.iter() {
        // A parent that was deleted leaves its children behind.
        match annotation.parent.filter(|parent| set.get(*parent).is_some()) {
            Some(parent) => children.entry(parent).or_default().push(annotation),
            None => features.push(annotation.as_ref()),
        }
    }
    let mut text = String::from("{\"type\":\"FeatureCollection\"");
    for (key, value) in &set.members {
        text += &format!(",\n{}:{}", json(key), value.get());
    }
    if !set.groups.is_empty() {
        text += &format!(",\n{}:{}", json(GROUPS_MEMBER), json(&set.groups));
    }
    text += ",\n\"features\":[";
    for (place, annotation) in features.into_iter().enumerate() {
        text += if place == 0 { "\n" } else { ",\n" };
        text += &json(&Feature { annotation, children: &children });
    }
    text += "\n]}\n";
    text
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Only keys that are no strings and failing writers make this fail; here are neither.
    serde_json::to_string(value).unwrap_or_default()
}

struct Feature<'a> {
    annotation: &'a Annotation,
    children: &'a HashMap<Uuid, Vec<&'a Annotation>>,
}

impl Serialize for Feature<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let annotation = self.annotation;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "Feature")?;
        let own = &annotation.foreign.own;
        if !own.iter().any(|(key, _)| key == "id") {
            map.serialize_entry("id", &annotation.id.hyphenated().to_string())?;
        }
        map.serialize_entry("geometry", &GeometryOut(&annotation.geometry))?;
        if let Some(nucleus) = &annotation.nucleus {
            map.serialize_entry("nucleusGeometry", &GeometryOut(nucleus))?;
        }
        map.serialize_entry("properties", &Properties(annotation))?;
        entries(&mut map, own)?;
        if let Some(children) = self.children.get(&annotation.id) {
            let children: Vec<Feature<'_>> =
                children.iter().map(|child| Feature { annotation: child, children: self.children }).collect();
            map.serialize_entry("childObjects", &children)?;
        }
        map.end()
    }
}

fn entries<M: SerializeMap>(map: &mut M, members: &[(String, RawJson)]) -> Result<(), M::Error> {
    members.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))
}

struct Properties<'a>(&'a Annotation);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let annotation = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("objectType", annotation.kind.word())?;
        if let Some(name) = &annotation.name {
            map.serialize_entry("name", name)?;
        }
        if let Some(color) = annotation.color {
            map.serialize_entry("color", &color)?;
        }
        if let Some(class) = &annotation.class {
            map.serialize_entry("classification", &Class(class))?;
        }
        if annotation.locked {
            map.serialize_entry("isLocked", &true)?;
        }
        if !annotation.measurements.is_empty() {
            map.serialize_entry("measurements", &Measurements(&annotation.measurements))?;
        }
        if !annotation.metadata.is_empty() {
            map.serialize_entry("metadata", &Object(&annotation.metadata))?;
        }
        if let Some(origin) = &annotation.asap {
            map.serialize_entry(ASAP_PROPERTY, origin)?;
        }
        let is_stale =
            |key: &str| key == "isLocked" && annotation.locked || key == "name" && annotation.name.is_some();
        for (key, value) in annotation.foreign.properties.iter().filter(|(key, _)| !is_stale(key)) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct Object<'a>(&'a [(String, RawJson)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        entries(&mut map, self.0)?;
        map.end()
    }
}

/// Always with its colour, without which QuPath throws.
struct Class<'a>(&'a AnnotationClass);

impl Serialize for Class<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let AnnotationClass { name, color } = self.0;
        let mut map = serializer.serialize_map(Some(2))?;
        if name.contains(": ") {
            map.serialize_entry("names", &name.split(": ").collect::<Vec<_>>())?;
        } else {
            map.serialize_entry("name", name)?;
        }
        map.serialize_entry("color", color)?;
        map.end()
    }
}

struct Measurements<'a>(&'a [(String, f64)]);

impl Serialize for Measurements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Number(*value))))
    }
}

/// A number as QuPath writes it: whole ones without a fraction, what is not finite as a string.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Whole numbers up to here are exact as f64 and as i64.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self.0 {
            nan if nan.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            whole if whole.fract() == 0.0 && whole.abs() < EXACT => serializer.serialize_i64(whole as i64),
            other => serializer.serialize_f64(other),
        }
    }
}

struct GeometryOut<'a>(&'a Geometry);

impl Serialize for GeometryOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Geometry { shape, written, members, .. } = self.0;
        let written = match written {
            Some(Written::As { kind, coordinates }) => Some((kind, coordinates)),
            // A feature without a place.
            Some(Written::Null) => return serializer.serialize_none(),
            None if shape.is_empty() => return serializer.serialize_none(),
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
