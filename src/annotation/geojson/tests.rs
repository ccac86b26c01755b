use proptest::prelude::*;
use serde_json::{Value, json};

use super::{read, write};
use crate::annotation::json::RawJson;
use crate::annotation::{
    Annotation, AnnotationClass, AnnotationSet, Bounds, ObjectKind, Polygon, Ring, Shape,
};
use crate::geometry::Level0Point;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn only(text: &str) -> Annotation {
    let set = read(text).unwrap();
    assert_eq!(set.len(), 1);
    set.at(0).unwrap().as_ref().clone()
}

/// Files in the present form of QuPath come back value by value.
#[test]
fn qupath_files_come_back_unchanged() {
    let file = json!({"type":"FeatureCollection","features":[
        {"type":"Feature","id":"13df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"Polygon","coordinates":[[[100,200],[300,200],[300,400],[100,200]]]},
         "properties":{"objectType":"annotation","name":"A1","color":[255,0,0],
            "classification":{"name":"Tumor","color":[200,0,0]},"isLocked":true,
            "measurements":{"sim":0.93,"bad":"NaN","far":"-Infinity"},"metadata":{"k":"v","n":3}}},
        {"type":"Feature","id":"23df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"Polygon","coordinates":[[[10,20],[30,20],[30,40],[10,40],[10,20]]],"plane":{"c":-1,"z":2,"t":0}},
         "properties":{"objectType":"annotation","classification":{"names":["Tumor","Positive"],"color":[1,2,3]},"isLocked":false}},
        {"type":"Feature","id":"33df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"Polygon","coordinates":[[[60.5,20],[50,30.25],[40,20],[50,10],[60.5,20]]],"isEllipse":true},
         "properties":{"objectType":"annotation"}},
        {"type":"Feature","id":"43df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"Polygon","coordinates":[[[1,1],[9,1],[9,9],[1,1]],[[3,2],[5,2],[5,4],[3,2]]]},
         "nucleusGeometry":{"type":"Polygon","coordinates":[[[3,2],[5,2],[5,4],[3,2]]]},
         "properties":{"objectType":"cell","isMissing":false},
         "childObjects":[{"type":"Feature","id":"53df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
            "geometry":{"type":"Point","coordinates":[7,8.125]},"properties":{"objectType":"detection"}}]},
        {"type":"Feature","id":"no-uuid-17","geometry":{"type":"MultiPolygon","coordinates":[
            [[[0,0],[4,0],[4,4],[0,0]]],[[[10,10],[14,10],[14,14],[10,10]]]]},
         "properties":{"objectType":"annotation","other":{"deep":[1,null,{"x":1e-7}]}},"bbox":[0,0,14,14]},
        {"type":"Feature","id":"63df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"MultiPoint","coordinates":[[1,2],[3,4]]},"properties":{"objectType":"annotation"}},
        {"type":"Feature","id":"73df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"LineString","coordinates":[[1,2,5],[3,4,5]]},"properties":{"objectType":"annotation"}},
        {"type":"Feature","id":"83df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":null,"properties":{"objectType":"root"}}
    ],"crs":{"name":"pixels"}});
    let set = read(&file.to_string()).unwrap();
    assert_eq!(set.len(), 9);
    assert_eq!(parsed(&write(&set)), file);
}

#[test]
fn older_forms_of_qupath_are_understood() {
    let old = only(
        r#"{"type":"Feature","id":"PathDetectionObject",
            "geometry":{"type":"Polygon","coordinates":[[[1,2],[3,2],[3,4],[1,2]]]},
            "properties":{"classification":{"name":"Stroma","colorRGB":-6895466},"isLocked":true,
               "measurements":[{"name":"Area","value":12.5},{"name":"Odd","value":"NaN"}]}}"#,
    );
    assert_eq!(old.kind, ObjectKind::Detection);
    assert_eq!(old.class, Some(AnnotationClass::new("Stroma", [150, 200, 150])));
    assert!(old.locked && old.measurements[0] == ("Area".to_owned(), 12.5) && old.measurements[1].1.is_nan());

    let older = only(
        r#"[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]},
            "properties":{"object_type":"annotation","color":-3670016,"classification":"Necrosis",
            "metadata":{"a":"1"},"metadata":{"a":"1"}}}]"#,
    );
    assert_eq!(older.color, Some([200, 0, 0]));
    assert_eq!(older.class, Some(AnnotationClass::new("Necrosis", [50, 50, 50])));
    assert_eq!(older.metadata.len(), 1);
    let written = write(&AnnotationSet::new([older]));
    assert!(written.contains(r#""classification":{"name":"Necrosis","color":[50,50,50]}"#), "{written}");
    assert!(written.contains(r#""objectType":"annotation""#) && !written.contains("object_type"));

    let bare = only(r#"{"type":"LineString","coordinates":[[0,0],[3,4]]}"#);
    assert_eq!(bare.shape().length_px(), Some(5.0));
    let collection = only(
        r#"{"type":"Feature","geometry":{"type":"GeometryCollection","geometries":[
            {"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]},
            {"type":"Polygon","coordinates":[[[5,5],[6,5],[6,6],[5,5]]]}]}}"#,
    );
    assert!(write(&AnnotationSet::new([collection])).contains("MultiPolygon"));
}

#[test]
fn shapes_are_told_apart() {
    let rectangle = only(r#"{"type":"Polygon","coordinates":[[[10,20],[30,20],[30,40],[10,40],[10,20]]]}"#);
    let bounds = Bounds::between(Level0Point::new(10.0, 20.0), Level0Point::new(30.0, 40.0));
    assert_eq!(*rectangle.shape(), Shape::Rectangle(bounds));
    let ellipse = only(
        r#"{"type":"Polygon","isEllipse":true,"coordinates":[[[30,30],[20,40],[10,30],[20,20],[30,30]]]}"#,
    );
    assert_eq!(*ellipse.shape(), Shape::Ellipse(bounds));
    // Once it has been changed, what the file had written no longer counts.
    let mut wider = ellipse.clone();
    wider.set_shape(ellipse.shape().translated(1.0, 0.0));
    assert_eq!(*only(&write(&AnnotationSet::new([wider.clone()]))).shape(), *wider.shape());
}

#[test]
fn what_is_malformed_is_told_by_line_and_reason() {
    let cases = [
        ("{\"type\":\"FeatureCollection\",\n\"features\":[\n{]}", 3, "key must be a string"),
        (
            "{\"type\":\"FeatureCollection\",\n\"features\":[\n{\"type\":\"Feature\",\n\"geometry\":{\"type\":\"Polygon\",\"coordinates\":\n[[[1,2],[3,4],[1,2]]]}}]}",
            5,
            "object 1: geometry: a ring of 2 different points",
        ),
        (
            "[\n{\"type\":\"Point\",\"coordinates\":[1,2]},\n{\"type\":\"Point\",\"coordinates\":[1]}]",
            3,
            "object 2: a position needs x and y",
        ),
        (
            "{\"type\":\"Feature\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[1,2]},\n\"properties\":{\n\"color\":[1,2]}}",
            3,
            "properties: color: a colour is three numbers",
        ),
        ("{\"type\":\"Topology\"}", 1, "\"Topology\" is neither"),
        (
            "{\"type\":\"Feature\",\n\"geometry\":{\"type\":\"Circle\",\"coordinates\":[1,2]}}",
            2,
            "\"Circle\" is no type of geometry",
        ),
        ("[1, 2]", 1, "expected an object"),
        ("{\"type\":\"Point\",\"coordinates\":[1e999,2]}", 1, "number out of range"),
    ];
    for (text, line, reason) in cases {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, Some(line), "{text}: {error:?}");
        assert!(error.reason.contains(reason), "{text}: {error:?}");
    }
    let mut deep = String::new();
    for _ in 0..300 {
        deep += r#"{"type":"Feature","childObjects":["#;
    }
    deep += &"]}".repeat(300);
    assert!(read(&deep).is_err(), "depth is bounded");
}

fn points(least: usize) -> impl Strategy<Value = Vec<Level0Point>> {
    let number = prop_oneof![-1e6..1e6, (-100_000i32..100_000).prop_map(f64::from)];
    prop::collection::vec((number.clone(), number).prop_map(|(x, y)| Level0Point::new(x, y)), least..12)
}

/// A ring whose neighbours differ, so that closing it can be told.
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

proptest! {
    #[test]
    fn every_annotation_comes_back_and_a_second_writing_is_the_same(
        annotations in prop::collection::vec(annotations(), 0..6)
    ) {
        let set = AnnotationSet::new(annotations);
        let text = write(&set);
        let back = read(&text).unwrap();
        prop_assert_eq!(back.len(), set.len());
        for (before, after) in set.iter().zip(back.iter()) {
            prop_assert_eq!(before.id, after.id);
            prop_assert_eq!(before.shape(), after.shape());
            prop_assert_eq!(&before.class, &after.class);
            prop_assert_eq!((&before.name, before.color, before.locked), (&after.name, after.color, after.locked));
            prop_assert_eq!(&before.measurements, &after.measurements);
            prop_assert_eq!(&before.metadata, &after.metadata);
        }
        prop_assert_eq!(write(&back), text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".*", cut in 0usize..400) {
        let _ = read(&text);
        let whole = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[3,2],[3,4],[1,2]]]},"properties":{"measurements":{"a":1},"classification":{"name":"x","color":[1,2,3]}}}"#;
        let _ = read(&whole[..cut.min(whole.len())]);
    }
}
