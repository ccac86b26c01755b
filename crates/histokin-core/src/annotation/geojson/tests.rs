mod reading;
mod writing;

use proptest::prelude::*;
use serde_json::Value;

use super::Purpose;
use crate::annotation::file::{FormatError, Read};
use crate::annotation::json::RawJson;
use crate::annotation::watch::Watch;
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, Bounds, Polygon, Ring, Shape};
use crate::geometry::Level0Point;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn whole(text: &str) -> Read {
    super::read(text, "a.geojson", &Watch::none()).unwrap()
}

pub(in crate::annotation) fn read(text: &str) -> Result<AnnotationSet, FormatError> {
    super::read(text, "a.geojson", &Watch::none()).map(|read| read.set)
}

pub(in crate::annotation) fn write(set: &AnnotationSet) -> String {
    let mut bytes = Vec::new();
    super::write(set, Purpose::Exchange, &Watch::none(), &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Reads a document, writes it again and returns the result as a value.
fn back(text: &str) -> Value {
    parsed(&write(&read(text).unwrap()))
}

fn only(text: &str) -> Annotation {
    let set = read(text).unwrap();
    assert_eq!(set.len(), 1);
    set.at(0).unwrap().as_ref().clone()
}

fn points(least: usize) -> impl Strategy<Value = Vec<Level0Point>> {
    let number = prop_oneof![-1e6..1e6, (-100_000i32..100_000).prop_map(f64::from)];
    prop::collection::vec((number.clone(), number).prop_map(|(x, y)| Level0Point::new(x, y)), least..12)
}

/// A ring in which adjacent vertices differ, so that its closing vertex can be recognised.
fn ring() -> impl Strategy<Value = Ring> {
    points(3).prop_filter("closed", |ring| ring.first() != ring.last())
}

fn shapes() -> impl Strategy<Value = Shape> {
    let polygon = (ring(), prop::collection::vec(ring(), 0..3))
        .prop_map(|(exterior, holes)| Polygon { exterior, holes });
    let bounds = || points(2).prop_map(|corners| Bounds::between(corners[0], corners[1]));
    prop_oneof![
        points(1).prop_map(Shape::Points),
        prop::collection::vec(points(2), 1..3).prop_map(Shape::Lines),
        bounds().prop_map(Shape::Rectangle),
        bounds().prop_map(Shape::Ellipse),
        prop::collection::vec(polygon, 1..3).prop_map(Shape::Polygons),
    ]
}

pub(in crate::annotation) fn annotations() -> impl Strategy<Value = Annotation> {
    let class = prop::option::of(("[^:]{1,12}", any::<[u8; 3]>()));
    (
        shapes(),
        class,
        prop::option::of(".{0,12}"),
        prop::option::of(any::<[u8; 3]>()),
        any::<bool>(),
        prop::collection::vec((".{1,6}", -1e9..1e9), 0..4),
        prop::collection::vec(("[a-z]{1,6}", ".{0,9}"), 0..3),
    )
        .prop_map(|(shape, class, name, color, locked, measurements, metadata)| {
            let mut annotation =
                Annotation::new(shape, class.map(|(name, color)| AnnotationClass::new(name, color)));
            (annotation.name, annotation.color, annotation.locked) = (name, color, locked);
            annotation.measurements = measurements;
            let metadata: std::collections::BTreeMap<String, String> = metadata.into_iter().collect();
            annotation.metadata =
                metadata.into_iter().map(|(key, value)| (key, RawJson::from(value.as_str()))).collect();
            annotation
        })
}

const SQUARE: &str = r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,8],[0,0]]]}"#;

/// Makes a feature as written by QuPath's `PathObjectTypeAdapter`.
fn feature(number: u32, geometry: &str, properties: &str) -> String {
    let comma = if properties.is_empty() { "" } else { "," };
    format!(
        r#"{{"type":"Feature","id":"00000000-0000-4000-8000-0000000000{number:02x}","geometry":{geometry},"properties":{{"objectType":"annotation"{comma}{properties}}}}}"#
    )
}

fn nested(number: u32, children: &[String]) -> String {
    feature(number, SQUARE, &format!(r#""childObjects":[{}]"#, children.join(",")))
}

fn id(number: u32) -> uuid::Uuid {
    uuid::Uuid::parse_str(&format!("00000000-0000-4000-8000-0000000000{number:02x}")).unwrap()
}
