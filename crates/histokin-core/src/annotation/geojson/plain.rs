//! Reading of features as most detections are written: one polygon, parsed in a single pass.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::document::Reader;
use super::feature::Object;
use super::geometry::{Position, area};
use crate::annotation::json::{Foreign, Key, Members, RawJson};
use crate::annotation::shape::Geometry;

/// A feature with a geometry of this form.
struct Plain<'a> {
    /// Its members without the geometry.
    members: Members<'a>,
    outline: Outline,
}

/// A geometry that is a polygon, stated with its type first.
struct Outline {
    rings: Vec<Vec<Position>>,
    /// Further members.
    own: Vec<(String, RawJson)>,
}

impl<'a> Reader<'a, '_> {
    /// Reads a feature whose geometry is a polygon in the notation in which it would be written back. `None` for anything
    /// else, including what is not valid JSON.
    pub fn plain(&self, text: &'a str) -> Option<Object> {
        let Plain { members, outline: Outline { rings, own } } = serde_json::from_str(text).ok()?;
        let is_feature = members.stated("type").is_some_and(|kind| kind.get() == "\"Feature\"");
        if !is_feature || members.get("features").is_some() {
            return None;
        }
        let mut is_whole = true;
        let (shape, is_plain) = area(rings, &mut |_| is_whole = false).ok()?;
        if !is_plain || !is_whole {
            return None;
        }
        let mut object = Object::default();
        let geometry = Geometry::read(shape, None, Foreign { own, properties: Vec::new() });
        self.tree(&members, text, Some(geometry), &mut object);
        Some(object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Plain<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfFeature;
        impl<'de> Visitor<'de> for OfFeature {
            type Value = Plain<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a feature")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut members, mut outline) = (Vec::new(), None);
                while let Some(Key(key)) = map.next_key()? {
                    if key != "geometry" {
                        members.push((key, map.next_value::<&RawValue>()?));
                    } else if outline.replace(map.next_value::<Outline>()?).is_some() {
                        return Err(A::Error::custom("two geometries"));
                    }
                }
                let outline = outline.ok_or_else(|| A::Error::custom("no geometry"))?;
                Ok(Plain { members: Members(members), outline })
            }
        }
        deserializer.deserialize_map(OfFeature)
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfGeometry;
        impl<'de> Visitor<'de> for OfGeometry {
            type Value = Outline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a polygon")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let odd = || A::Error::custom("no plain polygon");
                let (mut is_polygon, mut rings, mut own) = (false, None, Vec::new());
                while let Some(Key(key)) = map.next_key()? {
                    match key.as_ref() {
                        "type" if !is_polygon => {
                            let Key(kind) = map.next_value()?;
                            is_polygon = kind == "Polygon";
                            if !is_polygon {
                                return Err(odd());
                            }
                        }
                        "coordinates" if is_polygon && rings.is_none() => rings = Some(map.next_value()?),
                        "type" | "coordinates" | "isEllipse" => return Err(odd()),
                        _ => own.push((key.into_owned(), RawJson::from(map.next_value::<&RawValue>()?))),
                    }
                }
                Ok(Outline { rings: rings.ok_or_else(odd)?, own })
            }
        }
        deserializer.deserialize_map(OfGeometry)
    }
}
