//! Reading: a feature collection, a bare array, one feature or one geometry.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{ASAP_PROPERTY, FEATURE_MEMBERS, GROUPS_MEMBER};
use crate::annotation::asap::AsapOrigin;
use crate::annotation::file::{FormatError, id_from_text, is_believable};
use crate::annotation::json::{Foreign, Members, RawJson};
use crate::annotation::shape::{Geometry, Written};
use crate::annotation::{
    Annotation, AnnotationClass, AnnotationSet, Bounds, ObjectKind, Polygon, Ring, Shape,
};
use crate::geometry::Level0Point;

/// How deep objects may lie in objects.
const DEEPEST: usize = 100;

/// Read the annotations of a GeoJSON document.
///
/// # Errors
/// With the line of the member that cannot be understood. Nothing is read by halves.
pub fn read(text: &str) -> Result<AnnotationSet, FormatError> {
    let reader = Reader { text };
    let whole: &RawValue =
        serde_json::from_str(text).map_err(|error| FormatError::at(error.line(), one_line(&error)))?;
    let mut set = AnnotationSet::default();
    let mut annotations = Vec::new();
    if whole.get().starts_with('[') {
        for (number, item) in reader.list(whole)?.into_iter().enumerate() {
            reader.item(item, number, &mut annotations)?;
        }
    } else {
        let members = reader.members(whole)?;
        if let Some(features) = members.get("features") {
            for (number, item) in reader.list(features)?.into_iter().enumerate() {
                reader.item(item, number, &mut annotations)?;
            }
            if let Some(groups) = members.get(GROUPS_MEMBER) {
                set.groups = reader.value(groups)?;
            }
            set.members = members.except(&["type", "features", GROUPS_MEMBER]);
        } else {
            reader.item(whole, 0, &mut annotations)?;
        }
    }
    annotations.into_iter().for_each(|annotation| set.push(annotation));
    Ok(set)
}

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    /// Complain about a part of the document.
    fn wrong(&self, part: &RawValue, reason: impl Into<String>) -> FormatError {
        // Every part is a slice of the text.
        let offset = (part.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        FormatError::at_offset(self.text, offset, reason)
    }

    fn value<T: Deserialize<'a>>(&self, part: &'a RawValue) -> Result<T, FormatError> {
        serde_json::from_str(part.get()).map_err(|error| self.wrong(part, one_line(&error)))
    }

    fn list(&self, part: &'a RawValue) -> Result<Vec<&'a RawValue>, FormatError> {
        self.value(part)
    }

    fn members(&self, part: &'a RawValue) -> Result<Members<'a>, FormatError> {
        self.value(part)
    }

    fn text_of(&self, part: &'a RawValue) -> Result<String, FormatError> {
        self.value(part)
    }

    /// A feature or a bare geometry.
    fn item(
        &self,
        item: &'a RawValue,
        number: usize,
        annotations: &mut Vec<Annotation>,
    ) -> Result<(), FormatError> {
        let named = |error: FormatError| error.within(format!("object {}", number + 1));
        let members = self.members(item).map_err(named)?;
        let kind = members.get("type").map(|kind| self.text_of(kind)).transpose().map_err(named)?;
        match kind.as_deref() {
            Some("Feature") => self.feature(&members, item, None, 0, annotations).map_err(named),
            Some(_) if members.get("coordinates").is_some() || members.get("geometries").is_some() => {
                let geometry = self.geometry(item).map_err(named)?;
                annotations.push(from_geometry(geometry, item.get()));
                Ok(())
            }
            // QuPath reads objects that forget to say that they are features.
            None if members.get("geometry").is_some() => {
                self.feature(&members, item, None, 0, annotations).map_err(named)
            }
            Some(other) => {
                Err(named(self.wrong(
                    item,
                    format!("{other:?} is neither a Feature, a FeatureCollection nor a geometry"),
                )))
            }
            None => Err(named(self.wrong(item, "neither a Feature, a FeatureCollection nor a geometry"))),
        }
    }

    fn feature(
        &self,
        members: &Members<'a>,
        item: &'a RawValue,
        parent: Option<Uuid>,
        depth: usize,
        annotations: &mut Vec<Annotation>,
    ) -> Result<(), FormatError> {
        if depth > DEEPEST {
            return Err(self.wrong(item, format!("objects lie more than {DEEPEST} deep in each other")));
        }
        let mut foreign = Foreign { own: members.except(&FEATURE_MEMBERS), properties: Vec::new() };
        let geometry = match members.get("geometry") {
            Some(geometry) => self.geometry(geometry).map_err(|error| error.within("geometry"))?,
            None => nowhere(),
        };
        let mut annotation = from_geometry(geometry, item.get());
        let nucleus = members.get("nucleusGeometry").map(|nucleus| self.geometry(nucleus)).transpose();
        annotation.nucleus = nucleus.map_err(|error| error.within("nucleusGeometry"))?;
        annotation.parent = parent;
        if let Some(id) = members.get("id") {
            // QuPath 0.2 wrote the type of the object as its id.
            match id.get().trim_matches('"') {
                old if old.starts_with("Path") || old == "TMACoreObject" => {
                    annotation.kind = ObjectKind::from_word(old);
                }
                text => match Uuid::parse_str(text) {
                    Ok(uuid) => annotation.id = uuid,
                    Err(_) => foreign.own.push(("id".to_owned(), RawJson::from(id))),
                },
            }
        }
        if let Some(properties) = members.get("properties").filter(|value| value.get() != "null") {
            self.properties(properties, &mut annotation, &mut foreign)
                .map_err(|error| error.within("properties"))?;
        }
        annotation.foreign = foreign;
        let id = annotation.id;
        annotations.push(annotation);
        if let Some(children) = members.get("childObjects") {
            for child in self.list(children).map_err(|error| error.within("childObjects"))? {
                self.feature(&self.members(child)?, child, Some(id), depth + 1, annotations)
                    .map_err(|error| error.within("childObjects"))?;
            }
        }
        Ok(())
    }

    fn properties(
        &self,
        properties: &'a RawValue,
        annotation: &mut Annotation,
        foreign: &mut Foreign,
    ) -> Result<(), FormatError> {
        let mut seen = HashSet::new();
        let Members(members) = self.members(properties)?;
        // Backwards, since the last of repeated keys counts; what is kept is turned round again.
        for (key, value) in members.into_iter().rev() {
            if !seen.insert(key.clone()) {
                continue;
            }
            let read = self.property(&key, value, annotation);
            if !read.map_err(|error| error.within(key.as_str()))? {
                foreign.properties.push((key, RawJson::from(value)));
            }
        }
        foreign.properties.reverse();
        Ok(())
    }

    /// Take over one property; `false` when it is not understood and is to be kept as it is.
    fn property(
        &self,
        key: &str,
        value: &'a RawValue,
        annotation: &mut Annotation,
    ) -> Result<bool, FormatError> {
        let is_null = value.get() == "null";
        match key {
            _ if is_null => return Ok(false),
            "objectType" | "object_type" => {
                annotation.kind = ObjectKind::from_word(&self.text_of(value)?);
            }
            "name" if value.get().starts_with('"') => annotation.name = Some(self.text_of(value)?),
            "color" | "colorRGB" => match self.color(value)? {
                Some(color) => annotation.color = Some(color),
                None => return Ok(false),
            },
            "classification" => annotation.class = self.class(value)?,
            "isLocked" if value.get() == "true" => annotation.locked = true,
            "measurements" => annotation.measurements = self.measurements(value)?,
            "metadata" if value.get().starts_with('{') => {
                annotation.metadata = self.members(value)?.except(&[])
            }
            ASAP_PROPERTY => match serde_json::from_str::<AsapOrigin>(value.get()) {
                Ok(origin) => annotation.asap = Some(origin),
                Err(_) => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `[r, g, b]`, or one integer as Java packs it: 0xAARRGGBB, signed.
    fn color(&self, value: &'a RawValue) -> Result<Option<[u8; 3]>, FormatError> {
        if value.get().starts_with('[') {
            let channels: Vec<f64> = self.value(value)?;
            return match channels[..] {
                [r, g, b] | [r, g, b, _] if channels.iter().all(|c| (0.0..=255.0).contains(c)) => {
                    Ok(Some([r as u8, g as u8, b as u8]))
                }
                _ => Err(self.wrong(value, "a colour is three numbers from 0 to 255")),
            };
        }
        let packed = serde_json::from_str::<i64>(value.get());
        Ok(packed.ok().map(|packed| [16, 8, 0].map(|shift| (packed >> shift) as u8)))
    }

    /// `{"name", "color"}`, `{"names", "color"}`, with `colorRGB` in older files, or a bare name.
    fn class(&self, value: &'a RawValue) -> Result<Option<AnnotationClass>, FormatError> {
        if value.get().starts_with('"') {
            return Ok(Some(AnnotationClass::named(&self.text_of(value)?)));
        }
        let members = self.members(value)?;
        let name = match (members.get("names"), members.get("name")) {
            (Some(names), _) if names.get() != "null" => self.value::<Vec<String>>(names)?.join(": "),
            (_, Some(name)) if name.get() != "null" => self.text_of(name)?,
            _ => return Ok(None),
        };
        let mut class = AnnotationClass::named(&name);
        for key in ["colorRGB", "color"] {
            if let Some(color) = members.get(key).map(|color| self.color(color)).transpose()?.flatten() {
                class.color = color;
            }
        }
        Ok(Some(class))
    }

    /// `{name: value}`, or `[{"name", "value"}]` in older files. What is no finite number is a string.
    fn measurements(&self, value: &'a RawValue) -> Result<Vec<(String, f64)>, FormatError> {
        if !value.get().starts_with('[') {
            let Members(members) = self.members(value)?;
            return members.into_iter().map(|(name, value)| Ok((name, self.number(value)?))).collect();
        }
        let one = |item: &'a RawValue| {
            let members = self.members(item)?;
            let name = members.get("name").ok_or_else(|| self.wrong(item, "a measurement without a name"))?;
            let number = members.get("value").map_or(Ok(f64::NAN), |value| self.number(value))?;
            Ok((self.text_of(name)?, number))
        };
        self.list(value)?.into_iter().map(one).collect()
    }

    fn number(&self, value: &'a RawValue) -> Result<f64, FormatError> {
        match value.get() {
            "null" | "\"NaN\"" => Ok(f64::NAN),
            "\"Infinity\"" => Ok(f64::INFINITY),
            "\"-Infinity\"" => Ok(f64::NEG_INFINITY),
            _ => self.value(value),
        }
    }

    fn geometry(&self, value: &'a RawValue) -> Result<Geometry, FormatError> {
        if value.get() == "null" {
            return Ok(nowhere());
        }
        let members = self.members(value)?;
        let kind = members.get("type").ok_or_else(|| self.wrong(value, "it does not say its type"))?;
        let kind = self.text_of(kind)?;
        if kind == "GeometryCollection" {
            return self.collection(&members, value);
        }
        let coordinates =
            members.get("coordinates").ok_or_else(|| self.wrong(value, "it has no coordinates"))?;
        let (mut shape, mut is_plain) = self.shape(&kind, coordinates)?;
        let is_ellipse = members.get("isEllipse").is_some_and(|flag| flag.get() == "true");
        if is_ellipse && let Some(bounds) = shape.bounds() {
            (shape, is_plain) = (Shape::Ellipse(bounds), false);
        }
        let own = members.except(&["type", "coordinates", "isEllipse"]);
        let written = (!is_plain).then(|| Written::As { kind, coordinates: RawJson::from(coordinates) });
        Ok(Geometry::read(shape, written, Foreign { own, properties: Vec::new() }))
    }

    /// The shape that coordinates make, and whether it is written in no other way than these.
    fn shape(&self, kind: &str, coordinates: &'a RawValue) -> Result<(Shape, bool), FormatError> {
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
                let (polygon, plain) = self.polygon(self.value(coordinates)?, coordinates)?;
                is_plain = plain;
                match polygon {
                    None => Shape::Polygons(Vec::new()),
                    Some(polygon) => {
                        rectangle(&polygon).map_or_else(|| Shape::Polygons(vec![polygon]), Shape::Rectangle)
                    }
                }
            }
            "MultiPolygon" => {
                let mut polygons = Vec::new();
                for rings in self.value::<Vec<Vec<Vec<Position>>>>(coordinates)? {
                    let (polygon, plain) = self.polygon(rings, coordinates)?;
                    is_plain &= plain;
                    polygons.extend(polygon);
                }
                is_plain &= polygons.len() != 1;
                Shape::Polygons(polygons)
            }
            other => return Err(self.wrong(coordinates, format!("{other:?} is no type of geometry"))),
        };
        is_plain &= !shape.is_empty();
        Ok((shape, is_plain))
    }

    fn polygon(
        &self,
        rings: Vec<Vec<Position>>,
        coordinates: &'a RawValue,
    ) -> Result<(Option<Polygon>, bool), FormatError> {
        let mut is_plain = true;
        let mut closed: Vec<Ring> = Vec::new();
        for positions in rings {
            if positions.is_empty() {
                is_plain = false;
                continue;
            }
            is_plain &= positions.iter().all(|position| position.is_plain);
            let mut ring: Ring = positions.into_iter().map(|position| position.point).collect();
            match ring.as_slice() {
                [first, .., last] if first == last => _ = ring.pop(),
                _ => is_plain = false,
            }
            if ring.len() < 3 {
                let reason = format!("a ring of {} different points encloses nothing", ring.len());
                return Err(self.wrong(coordinates, reason));
            }
            closed.push(ring);
        }
        let mut rings = closed.into_iter();
        let polygon = rings.next().map(|exterior| Polygon { exterior, holes: rings.collect() });
        Ok((polygon, is_plain))
    }

    /// Several geometries as one: their areas, or else their lines, or else their points.
    fn collection(&self, members: &Members<'a>, value: &'a RawValue) -> Result<Geometry, FormatError> {
        let parts = members.get("geometries").ok_or_else(|| self.wrong(value, "it has no geometries"))?;
        let (mut polygons, mut lines, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for part in self.list(parts)? {
            match self.geometry(part)?.shape {
                Shape::Lines(some) => lines.extend(some),
                Shape::Points(some) => points.extend(some),
                area => polygons.extend(area.polygons().iter().cloned()),
            }
        }
        let kinds = [!polygons.is_empty(), !lines.is_empty(), !points.is_empty()];
        let shape = match kinds {
            [true, false, false] => Shape::Polygons(polygons),
            [false, true, false] => Shape::Lines(lines),
            [false, false, _] => Shape::Points(points),
            _ => {
                return Err(
                    self.wrong(value, "it mixes areas, lines and points; draw them as objects of their own")
                );
            }
        };
        let own = members.except(&["type", "geometries"]);
        Ok(Geometry::read(shape, None, Foreign { own, properties: Vec::new() }))
    }
}

/// An annotation whose id comes from what the file says of it, should it state none: the same file read
/// twice then gives the same annotations.
fn from_geometry(geometry: Geometry, written: &str) -> Annotation {
    let mut annotation = Annotation::new(Shape::Points(Vec::new()), None);
    annotation.id = id_from_text(written);
    annotation.geometry = geometry;
    annotation
}

/// The geometry of what lies nowhere.
fn nowhere() -> Geometry {
    Geometry::read(Shape::Points(Vec::new()), Some(Written::Null), Foreign::default())
}

/// The rectangle that a polygon is, if it is written as QuPath writes rectangles.
fn rectangle(polygon: &Polygon) -> Option<Bounds> {
    let bounds = Bounds::around(&polygon.exterior)?;
    (polygon.holes.is_empty() && polygon.exterior[..] == bounds.corners()[..]).then_some(bounds)
}

/// A position: x and y, perhaps followed by numbers that mean nothing here.
struct Position {
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
                let (Some(x), Some(y)) = (numbers.next_element()?, numbers.next_element()?) else {
                    return Err(serde::de::Error::custom("a position needs x and y"));
                };
                let mut is_plain = true;
                while numbers.next_element::<IgnoredAny>()?.is_some() {
                    is_plain = false;
                }
                let point = Level0Point::new(x, y);
                if !is_believable(point) {
                    return Err(serde::de::Error::custom(format!("the position {x}, {y} lies on no slide")));
                }
                Ok(Position { point, is_plain })
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

/// A parser's message without the place within the part that it looked at.
fn one_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or(&message).to_owned()
}
