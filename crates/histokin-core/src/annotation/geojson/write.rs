//! Writing of documents in the form of current versions of QuPath, with one top-level feature per line, so
//! that errors and diffs refer to lines.

use std::io;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::tree::Tree;
use super::write_geometry::GeometryOut;
use super::{ASAP_PROPERTY, CHILDREN, GROUPS_MEMBER, OWN_ID, SOURCE};
use crate::annotation::detections::TemplateText;
use crate::annotation::json::{Members, RawJson};
use crate::annotation::shape::Geometry;
use crate::annotation::watch::Watch;
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, AsWritten};

/// The purpose of a written document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Exchange with other programs.
    Exchange,
    /// Storage in a project, which also keeps the identity of annotations whose ID in their file differs.
    Store,
}

/// Writes the set as a GeoJSON feature collection. Child objects are written as in QuPath: in the properties
/// of their parent, as `childObjects`.
///
/// # Errors
/// Returns the error of `out`, or one after `watch` has stopped it.
pub fn write(
    set: &AnnotationSet,
    purpose: Purpose,
    watch: &Watch<'_>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    out.write_all(b"{\"type\":\"FeatureCollection\"")?;
    for (key, value) in &set.members {
        write!(out, ",\n{}:{}", json(key), value.get())?;
    }
    if !set.groups.is_empty() {
        write!(out, ",\n{}:{}", json(GROUPS_MEMBER), json(&set.groups))?;
    }
    out.write_all(b",\n\"features\":[")?;
    Tree::of(set).write(purpose, watch, out)?;
    out.write_all(b"\n]}\n")
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Fails only for keys that are not strings and for writers that fail, neither of which occurs here.
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns the text of detections with a template; `None` if more differs between them than IDs, positions and values.
pub fn template_text(template: &Annotation) -> Option<TemplateText> {
    let own = &template.foreign.own;
    if states_id(own) {
        return None;
    }
    let further = |geometry: &Geometry| {
        let mut text = String::new();
        put_members(&mut text, &geometry.members.own);
        text
    };
    let mut start = String::new();
    put_members(&mut start, own);
    start += PROPERTIES;
    start += &json(&Properties { annotation: template, has_children: false, with_measurements: false });
    let names = template.measurements.iter().map(|(name, _)| json(name) + ":");
    let mut before_values: Vec<String> = names.map(|name| format!(",{name}")).collect();
    let mut end = "}".to_owned();
    match before_values.first_mut() {
        Some(first) => {
            // The values are the last property.
            start.pop();
            *first = format!("{start},\"measurements\":{{{}", &first[1..]);
            end += "}}";
        }
        None => end = start + &end,
    }
    Some(TemplateText {
        before_id: FEATURE.to_owned() + ",\"id\":\"",
        before_geometry: "\",\"geometry\":".to_owned(),
        of_geometry: further(&template.geometry),
        of_nucleus: template.nucleus.as_ref().map(further),
        before_values,
        end,
    })
}

/// Start of a feature.
const FEATURE: &str = "{\"type\":\"Feature\"";
/// What is before the properties of a feature, which are last.
const PROPERTIES: &str = ",\"properties\":";

/// Returns whether the members of a feature have its ID, which is then not the one of the annotation.
fn states_id(own: &[(String, RawJson)]) -> bool {
    own.iter().any(|(key, _)| key == "id")
}

/// Writes members after others.
fn put_members<'m>(text: &mut String, members: impl IntoIterator<Item = &'m (String, RawJson)>) {
    members.into_iter().for_each(|(key, value)| put_member(text, key, value.get()));
}

/// Writes a member, whose value is JSON, after others.
fn put_member(text: &mut String, key: &str, value: &str) {
    *text += ",";
    *text += &json(key);
    *text += ":";
    *text += value;
}

/// Writes a feature up to its properties, which are last.
pub fn begin_feature(text: &mut String, annotation: &Annotation, purpose: Purpose) {
    *text += FEATURE;
    let own = &annotation.foreign.own;
    let mut member = |key: &str, value: &str| put_member(text, key, value);
    let id = json(&annotation.id.hyphenated().to_string());
    let states_id = states_id(own);
    if !states_id {
        member("id", &id);
    }
    own.iter().filter(|(key, _)| key == "id").for_each(|(key, value)| member(key, value.get()));
    if states_id && purpose == Purpose::Store {
        member(OWN_ID, &id);
        if let Some(source) = annotation.as_written.as_ref().and_then(|written| written.source.as_ref()) {
            member(SOURCE, &json(source));
        }
    }
    member("geometry", &json(&GeometryOut(&annotation.geometry)));
    if let Some(nucleus) = &annotation.nucleus {
        member("nucleusGeometry", &json(&GeometryOut(nucleus)));
    }
    put_members(text, own.iter().filter(|(key, _)| key != "id"));
    *text += PROPERTIES;
}

/// Writes the properties of a feature. With children, the list of child objects is left open.
pub fn write_properties(text: &mut String, annotation: &Annotation, has_children: bool) {
    let properties = json(&Properties { annotation, has_children, with_measurements: true });
    if !has_children {
        *text += &properties;
        return;
    }
    *text += properties.strip_suffix('}').unwrap_or("{\"objectType\":\"annotation\"");
    *text += ",\"";
    *text += CHILDREN;
    *text += "\":[";
}

/// Serialises members as entries of a map.
///
/// # Errors
/// Returns the error of the serialiser.
pub fn entries<M: SerializeMap>(map: &mut M, members: &[(String, RawJson)]) -> Result<(), M::Error> {
    members.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))
}

struct Properties<'a> {
    annotation: &'a Annotation,
    has_children: bool,
    /// Whether measurements are written, which come last.
    with_measurements: bool,
}

impl Properties<'_> {
    /// Returns whether a property of the file is outdated, because the annotation has been given a value for
    /// it.
    fn is_stale(&self, key: &str) -> bool {
        let annotation = self.annotation;
        match key {
            "isLocked" => annotation.locked,
            "name" => annotation.name.is_some(),
            "color" => annotation.color.is_some(),
            "classification" => annotation.class.is_some(),
            "measurements" => !annotation.measurements.is_empty(),
            "metadata" => !annotation.metadata.is_empty(),
            ASAP_PROPERTY => annotation.asap.is_some(),
            CHILDREN => self.has_children,
            _ => false,
        }
    }
}

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let annotation = self.annotation;
        let plain = AsWritten::default();
        let written = annotation.as_written.as_deref().unwrap_or(&plain);
        let mut map = serializer.serialize_map(None)?;
        if !annotation.foreign.properties.iter().any(|(key, _)| key == "objectType") {
            map.serialize_entry("objectType", annotation.kind.word())?;
        }
        if let Some(name) = &annotation.name {
            map.serialize_entry("name", name)?;
        }
        if let Some(color) = annotation.color {
            match &written.color {
                Some((known, raw)) if *known == color => map.serialize_entry("color", raw)?,
                _ => map.serialize_entry("color", &color)?,
            }
        }
        if let Some(class) = &annotation.class {
            let raw = written.class.as_ref().filter(|(known, _)| known == class).map(|(_, raw)| raw);
            map.serialize_entry("classification", &Class { class, raw })?;
        }
        if annotation.locked {
            map.serialize_entry("isLocked", &true)?;
        }
        if !annotation.metadata.is_empty() {
            map.serialize_entry("metadata", &Object(&annotation.metadata))?;
        }
        if let Some(origin) = &annotation.asap {
            map.serialize_entry(ASAP_PROPERTY, origin)?;
        }
        for (key, value) in annotation.foreign.properties.iter().filter(|(key, _)| !self.is_stale(key)) {
            map.serialize_entry(key, value)?;
        }
        if self.with_measurements && !annotation.measurements.is_empty() {
            map.serialize_entry(
                "measurements",
                &Measurements(&annotation.measurements, &written.measurements),
            )?;
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

/// A class with further members from its file. The colour is always written as a list, since QuPath fails
/// otherwise.
struct Class<'a> {
    class: &'a AnnotationClass,
    raw: Option<&'a RawJson>,
}

impl Serialize for Class<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let AnnotationClass { name, color } = self.class;
        let raw: Option<Members<'_>> = self.raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let Some(Members(members)) = raw else {
            let mut map = serializer.serialize_map(Some(2))?;
            if name.contains(": ") {
                map.serialize_entry("names", &name.split(": ").collect::<Vec<_>>())?;
            } else {
                map.serialize_entry("name", name)?;
            }
            map.serialize_entry("color", color)?;
            return map.end();
        };
        let is_list = |value: &RawValue| value.get().starts_with('[');
        let mut map = serializer.serialize_map(None)?;
        let has_list = members.iter().any(|(key, value)| key == "color" && is_list(value));
        for (key, value) in &members {
            let is_color = matches!(key.as_ref(), "color" | "colorRGB");
            if !is_color || (key == "color" && is_list(value)) {
                map.serialize_entry(key, value)?;
            }
        }
        if !has_list {
            map.serialize_entry("color", color)?;
        }
        map.end()
    }
}

/// Measurements; those at the given indices are written in the notation of their file.
struct Measurements<'a>(&'a [(String, f64)], &'a [(usize, RawJson)]);

impl Serialize for Measurements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        let mut written = self.1.iter().peekable();
        for (index, (name, value)) in self.0.iter().enumerate() {
            match written.next_if(|(raw_index, _)| *raw_index == index) {
                Some((_, raw)) => map.serialize_entry(name, raw)?,
                None => map.serialize_entry(name, &Number(*value))?,
            }
        }
        map.end()
    }
}

/// A number as written by QuPath: integers without a fraction, non-finite numbers as strings.
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Integers below this limit are exact as f64 and as i64.
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
