//! Writing, in the form of present QuPath; one outermost feature a line, so that errors and differences have
//! lines.

use std::collections::{HashMap, HashSet};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::write_geometry::GeometryOut;
use super::{ASAP_PROPERTY, CHILDREN, GROUPS_MEMBER, OWN_ID, SOURCE};
use crate::annotation::json::{Members, RawJson};
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, AsWritten};

/// For whom a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Other programs.
    Exchange,
    /// The project, in which annotations keep their identity whatever id their file gave them.
    Store,
}

/// The set as a GeoJSON feature collection. Objects below another one are written where QuPath writes and reads
/// them: in the properties of that, as `childObjects`.
pub fn write(set: &AnnotationSet, purpose: Purpose) -> String {
    let mut text = String::from("{\"type\":\"FeatureCollection\"");
    for (key, value) in &set.members {
        text += &format!(",\n{}:{}", json(key), value.get());
    }
    if !set.groups.is_empty() {
        text += &format!(",\n{}:{}", json(GROUPS_MEMBER), json(&set.groups));
    }
    text += ",\n\"features\":[";
    Tree::of(set).write(&mut text, purpose);
    text += "\n]}\n";
    text
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Only keys that are no strings and failing writers make this fail; here are neither.
    serde_json::to_string(value).unwrap_or_default()
}

/// The annotations of a set as they lie in each other.
struct Tree<'a> {
    outermost: Vec<&'a Annotation>,
    children: HashMap<Uuid, Vec<&'a Annotation>>,
}

impl<'a> Tree<'a> {
    fn of(set: &'a AnnotationSet) -> Self {
        let mut tree = Self { outermost: Vec::new(), children: HashMap::new() };
        for annotation in set.iter() {
            match annotation.parent.filter(|parent| set.get(*parent).is_some()) {
                Some(parent) => tree.children.entry(parent).or_default().push(annotation),
                None => tree.outermost.push(annotation),
            }
        }
        tree.break_circles(set);
        tree
    }

    /// Annotations that lie in each other in a circle would be written nowhere.
    fn break_circles(&mut self, set: &'a AnnotationSet) {
        if self.children.is_empty() {
            return;
        }
        let mut reached: HashSet<Uuid> = HashSet::new();
        let mut waiting: Vec<Uuid> = self.outermost.iter().map(|one| one.id).collect();
        while let Some(id) = waiting.pop() {
            reached.insert(id);
            waiting.extend(self.children.get(&id).into_iter().flatten().map(|one| one.id));
        }
        let lost: Vec<&Annotation> =
            set.iter().map(AsRef::as_ref).filter(|one| !reached.contains(&one.id)).collect();
        for one in &lost {
            self.children.remove(&one.id);
        }
        self.outermost.extend(lost);
    }

    /// Write all of it, without recursion: objects may lie in each other as deep as a file likes.
    fn write(&self, text: &mut String, purpose: Purpose) {
        enum Step<'a> {
            Begin(&'a Annotation, &'static str),
            End,
        }
        let mut steps: Vec<Step<'_>> = Vec::new();
        for (place, annotation) in self.outermost.iter().enumerate() {
            steps.push(Step::Begin(annotation, if place == 0 { "\n" } else { ",\n" }));
            while let Some(step) = steps.pop() {
                let Step::Begin(annotation, before) = step else {
                    *text += "]}}";
                    continue;
                };
                *text += before;
                begin_feature(text, annotation, purpose);
                let Some(children) = self.children.get(&annotation.id) else {
                    write_properties(text, annotation, false);
                    *text += "}";
                    continue;
                };
                write_properties(text, annotation, true);
                steps.push(Step::End);
                for (place, child) in children.iter().enumerate().rev() {
                    steps.push(Step::Begin(child, if place == 0 { "" } else { "," }));
                }
            }
        }
    }
}

/// All of a feature up to its properties, which come last.
fn begin_feature(text: &mut String, annotation: &Annotation, purpose: Purpose) {
    *text += "{\"type\":\"Feature\"";
    let mut member = |key: &str, value: &str| {
        *text += ",";
        *text += &json(key);
        *text += ":";
        *text += value;
    };
    let own = &annotation.foreign.own;
    let id = json(&annotation.id.hyphenated().to_string());
    let states_id = own.iter().any(|(key, _)| key == "id");
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
    own.iter().filter(|(key, _)| key != "id").for_each(|(key, value)| member(key, value.get()));
    *text += ",\"properties\":";
}

/// The properties; with children, up to the list of these, which is left open.
fn write_properties(text: &mut String, annotation: &Annotation, has_children: bool) {
    let properties = json(&Properties { annotation, has_children });
    if !has_children {
        *text += &properties;
        return;
    }
    *text += properties.strip_suffix('}').unwrap_or("{\"objectType\":\"annotation\"");
    *text += ",\"";
    *text += CHILDREN;
    *text += "\":[";
}

pub fn entries<M: SerializeMap>(map: &mut M, members: &[(String, RawJson)]) -> Result<(), M::Error> {
    members.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))
}

struct Properties<'a> {
    annotation: &'a Annotation,
    has_children: bool,
}

impl Properties<'_> {
    /// Whether a property of the file no longer holds, since the annotation was given a value.
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
        if !annotation.measurements.is_empty() {
            map.serialize_entry(
                "measurements",
                &Measurements(&annotation.measurements, &written.measurements),
            )?;
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

/// A class, with the further members that its file gave it; always with its colour as a list, without which
/// QuPath throws.
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

/// Measurements, and those at the given places in the words of their file.
struct Measurements<'a>(&'a [(String, f64)], &'a [(usize, RawJson)]);

impl Serialize for Measurements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        let mut written = self.1.iter().peekable();
        for (place, (name, value)) in self.0.iter().enumerate() {
            match written.next_if(|(at, _)| *at == place) {
                Some((_, raw)) => map.serialize_entry(name, raw)?,
                None => map.serialize_entry(name, &Number(*value))?,
            }
        }
        map.end()
    }
}

/// A number as QuPath writes it: whole ones without a fraction, what is not finite as a string.
pub struct Number(pub f64);

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
