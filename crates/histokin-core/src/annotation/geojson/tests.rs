use proptest::prelude::*;
use serde_json::{Value, json};

use super::Purpose;
use crate::annotation::file::{FormatError, Read};
use crate::annotation::json::RawJson;
use crate::annotation::shape::Geometry;
use crate::annotation::watch::Watch;
use crate::annotation::{
    Annotation, AnnotationClass, AnnotationSet, Bounds, Edit, History, ObjectKind, Polygon, Ring, Shape,
};
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

/// Files in the form of current versions of QuPath are written back with equal values.
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
         "properties":{"objectType":"cell","isMissing":false,
         "childObjects":[{"type":"Feature","id":"53df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
            "geometry":{"type":"Point","coordinates":[7,8.125]},"properties":{"objectType":"detection"}}]}},
        {"type":"Feature","id":"no-uuid-17","geometry":{"type":"MultiPolygon","coordinates":[
            [[[0,0],[4,0],[4,4],[0,0]]],[[[10,10],[14,10],[14,14],[10,10]]]]},
         "properties":{"objectType":"annotation","other":{"deep":[1,null,{"x":1e-7}]}},"bbox":[0,0,14,14]},
        {"type":"Feature","id":"63df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"MultiPoint","coordinates":[[1,2],[3,4]]},"properties":{"objectType":"annotation"}},
        {"type":"Feature","id":"73df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{"type":"LineString","coordinates":[[1,2,5],[3,4,5]]},"properties":{"objectType":"annotation"}},
        {"type":"Feature","id":"83df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":null,"properties":{"objectType":"root"}},
        {"type":"Feature","id":"93df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d",
         "geometry":{},"properties":{"objectType":"root"}}
    ],"crs":{"name":"pixels"}});
    let set = read(&file.to_string()).unwrap();
    assert_eq!(set.len(), 10);
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
    // Once the shape has changed, the notation of the file no longer applies.
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
            "object 1: geometry: a ring needs at least 3 different points, but has 2",
        ),
        ("{\"type\":\"Topology\"}", 1, "\"Topology\" is neither"),
        (
            "{\"type\":\"Feature\",\n\"geometry\":{\"type\":\"Circle\",\"coordinates\":[1,2]}}",
            2,
            "\"Circle\" is not a geometry type",
        ),
        (
            "[1, 2]",
            1,
            "none of its 2 objects can be read: object 1: invalid type: integer `1`, expected an object",
        ),
        ("{\"type\":\"Point\",\"coordinates\":[1e999,2]}", 1, "number out of range"),
    ];
    for (text, line, reason) in cases {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, Some(line), "{text}: {error:?}");
        assert!(error.reason.contains(reason), "{text}: {error:?}");
    }
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

const SQUARE: &str = r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,8],[0,0]]]}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// What is written of packed detections is what is written of the same annotations as objects, and both are read
    /// alike.
    #[test]
    fn packed_detections_are_written_and_read_as_objects_are(
        shapes in prop::collection::vec((shapes(), prop::option::of(shapes())), 20..40),
        values in prop::collection::vec(prop_oneof![
            Just(f64::NAN), Just(f64::NEG_INFINITY), Just(-0.0), -1e7..1e7_f64, (-9_999_i32..9_999).prop_map(|one| f64::from(one) / 1e3),
        ], 0..4),
        decimals in 0..4_i32,
        foreign in any::<bool>(),
    ) {
        // Of the kinds that can be packed, for the most part.
        let small = |number: usize, shape: &Shape| {
            let shape = match shape {
                Shape::Lines(_) | Shape::Ellipse(_) if !number.is_multiple_of(10) => {
                    shape.bounds().map_or_else(|| shape.clone(), Shape::Rectangle)
                }
                _ => shape.clone(),
            };
            shape.mapped(|at| Level0Point::new(at.x / 4096.0, at.y / 4096.0))
        };
        let rounded = |number: usize, shape: &Shape| small(number, shape).mapped(|at| {
            let scale = 10_f64.powi(decimals);
            Level0Point::new((at.x * scale).round() / scale, (at.y * scale).round() / scale)
        });
        let detection = |number: usize| {
            let (shape, nucleus) = &shapes[number % shapes.len()];
            let mut one = Annotation::new(if number.is_multiple_of(3) { small(number, shape) } else { rounded(number, shape) }, None);
            one.id = uuid::Uuid::from_u128((4 << 76) | (8 << 60) | number as u128);
            one.kind = [ObjectKind::Detection, ObjectKind::Cell][number % 2].clone();
            one.nucleus = nucleus.as_ref().map(|nucleus| Geometry::new(rounded(number, nucleus)));
            one.class = (!number.is_multiple_of(5)).then(|| AnnotationClass::named(["Tumor", "\"é\""][number % 2]));
            one.locked = number.is_multiple_of(7);
            one.measurements = values.iter().enumerate().map(|(which, value)| (format!("\"{which}\""), *value)).collect();
            if foreign {
                let plane = (String::from("plane"), RawJson::from("z"));
                one.geometry.members.own.push(plane.clone());
                one.foreign.own.push(plane.clone());
                one.foreign.properties.push(plane);
            }
            one
        };
        let all: Vec<Annotation> = (0..1400).map(detection).collect();
        let packed = AnnotationSet::packed(all.iter().cloned());
        let objects = AnnotationSet::new(packed.iter().map(|one| one.as_ref().clone()));
        prop_assert!(!packed.detections().is_empty() && objects.detections().is_empty());
        let (of_packed, of_objects) = (write(&packed), write(&objects));
        prop_assert_eq!(parsed(&of_packed), parsed(&of_objects));
        let again = write(&read(&of_packed).unwrap());
        prop_assert!(again == of_packed, "a second writing differs");
        prop_assert_eq!(parsed(&write(&read(&of_objects).unwrap())), parsed(&of_objects));
    }
}

/// Features that are read in one pass, and others that nearly are.
const FEATURES: [&str; 16] = [
    r#"{"type":"Feature","id":"13df8f44-1b57-4e0e-9f0a-3a3b7a2b4c5d","geometry":{"type":"Polygon","coordinates":[[[1,2],[3,2],[3,4.5],[1,2]]]},"properties":{"objectType":"detection"}}"#,
    r#"{"geometry":{"type":"Polygon","coordinates":[[[1,2],[3,2],[3,4],[1,4],[1,2]]]},"type":"Feature","bbox":[1,2,3,4]}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,9],[1,2]],[[3,3],[4,3],[4,4],[3,3]]],"plane":{"z":1}},"properties":null}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,9],[1,2]],[[3,3],[4,3],[3,3]]]}}"#,
    r#"{"type":"Feature","geometry":{"coordinates":[[[1,2],[9,2],[9,9],[1,2]]],"type":"Polygon"}}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,9]]]}}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2,7],[9,2,7],[9,9,7],[1,2,7]]]}}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[9,5],[5,9],[1,5],[5,1],[9,5]]],"isEllipse":true}}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[1,2]]]}}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[]}}"#,
    r#"{"type":"Feature","geometry":null,"geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,9],[1,2]]]}}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,9],[1,2]]]},"properties":{"classification":{"color":[1,2,3],"name":"A"},"childObjects":[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]}},{"type":"Feature","geometry":5}]}}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,1e12],[1,2]]]}}"#,
    r#"{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point","coordinates":[5,6]},"properties":{"classification":{"name":"A","color":[1,2,3]}}}]}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,9],[1,2]]]},"features":[]}"#,
    r#"{"type":"Polygon","coordinates":[[[1,2],[9,2],[9,9],[1,2]]]}"#,
];

proptest! {
    /// A collection is read feature by feature; one in a list is not.
    #[test]
    fn a_collection_is_read_alike_in_one_pass_and_as_a_whole(
        which in prop::collection::vec(0..FEATURES.len(), 0..12), space in "[ \n]{0,2}", head in any::<bool>(),
    ) {
        let features: Vec<&str> = which.iter().map(|which| FEATURES[*which]).collect();
        let features = features.join(&format!("{space},{space}"));
        let further = r#""crs":{"features":[1]}"#;
        let (before, after) = if head { (format!("{further},"), String::new()) } else { (String::new(), format!(",{further}")) };
        let text = format!("{{{before}\"features\":[{space}{features}{space}]{after}}}");
        let in_list = format!("[{text}]");
        let outcome = |text: &str| {
            super::read(text, "a.geojson", &Watch::none()).map(|Read { set, left_out, parts, notes }| {
                (set, left_out.count, parts.count, notes)
            })
        };
        let (one, other) = (outcome(&text), outcome(&in_list));
        prop_assert_eq!(one.is_ok(), other.is_ok());
        if let (Ok(one), Ok(other)) = (one, other) {
            prop_assert_eq!(write(&one.0), write(&other.0));
            prop_assert_eq!(one, other);
        }
    }
}

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

/// QuPath writes `{}` as the geometry of a root without a position, and child objects into the properties.
#[test]
fn nested_objects_are_read_where_qupath_writes_them_and_written_where_it_reads_them() {
    let tree =
        nested(1, &[nested(2, &[feature(3, SQUARE, ""), feature(4, SQUARE, "")]), feature(5, SQUARE, "")]);
    let text = format!(r#"{{"type":"FeatureCollection","features":[{tree},{}]}}"#, feature(6, "{}", ""));
    let set = read(&text).unwrap();
    let parents: Vec<_> = set.iter().map(|one| (one.id, one.parent)).collect();
    let expected = [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(2)), (5, Some(1)), (6, None)];
    assert_eq!(parents, expected.map(|(one, parent)| (id(one), parent.map(id))));
    assert_eq!(back(&text), parsed(&text));

    // Earlier versions of this program wrote child objects outside the properties; QuPath also reads
    // `children`.
    let earlier = text.replace(r#""childObjects""#, r#""children""#);
    assert_eq!(back(&earlier), parsed(&text));
    let child = feature(2, SQUARE, "");
    let beside = feature(1, SQUARE, "")
        .replace(r#""properties""#, &format!(r#""childObjects":[{child}],"properties""#));
    assert_eq!(back(&beside)["features"][0], parsed(&nested(1, &[child])));
    let both = feature(1, SQUARE, &format!(r#""childObjects":[7],"children":[{}]"#, feature(2, SQUARE, "")));
    let read_both = whole(&both);
    assert_eq!((read_both.set.len(), read_both.left_out.count), (2, 1));
    // Members with these names that contain no objects are preserved.
    let other = feature(1, SQUARE, r#""children":["a",2],"childObjects":[]"#);
    assert_eq!(back(&other)["features"][0], parsed(&other));
}

#[test]
fn nesting_has_no_depth_at_which_objects_get_lost() {
    const DEEP: usize = 2000;
    let mut text = String::new();
    for _ in 0..DEEP {
        text += r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"childObjects":["#;
    }
    text += &"]}}".repeat(DEEP);
    let set = read(&text).unwrap();
    assert_eq!(set.len(), DEEP);
    let written = write(&set);
    let again = read(&written).unwrap();
    assert!(again.iter().map(|one| (one.id, one.parent)).eq(set.iter().map(|one| (one.id, one.parent))));
}

#[test]
fn parents_and_children_stay_together() {
    let text = nested(1, &[nested(2, &[feature(3, SQUARE, "")])]);
    let (mut set, mut history) = (read(&text).unwrap(), History::default());
    let before = set.clone();
    // Children of a removed object get its parent, as QuPath does when it keeps child objects.
    let change = history.apply(&mut set, Edit::Remove(vec![id(2)])).unwrap();
    assert_eq!(change.kept_below_removed(), 1);
    assert_eq!(set.get(id(3)).unwrap().parent, Some(id(1)));
    assert_eq!(parsed(&write(&set))["features"][0], parsed(&nested(1, &[feature(3, SQUARE, "")])));
    let after = set.clone();
    history.undo(&mut set);
    assert_eq!(set, before);
    history.redo(&mut set);
    assert_eq!(set, after);
    history.undo(&mut set);

    let change = history.apply(&mut set, Edit::Remove(vec![id(1), id(2)])).unwrap();
    assert_eq!(change.kept_below_removed(), 1);
    assert_eq!(set.get(id(3)).unwrap().parent, None);
    history.undo(&mut set);
    assert_eq!(set, before);
    let erased = Edit::Erase { ids: vec![id(1), id(2)], area: set.get(id(1)).unwrap().shape().clone() };
    history.apply(&mut set, erased);
    assert_eq!(set.get(id(3)).unwrap().parent, None, "erased whole");
    history.undo(&mut set);
    assert_eq!(set, before);
    history.apply(&mut set, Edit::Remove(vec![id(1), id(2), id(3)]));
    assert!(set.is_empty());
    history.undo(&mut set);
    set.translate(100.0, 50.0);
    set.translate(-100.0, -50.0);
    assert_eq!(parsed(&write(&set))["features"][0], parsed(&text));
}

#[test]
fn the_eraser_leaves_objects_without_a_place_alone() {
    let mut set = read(&format!("[{},{}]", feature(1, "{}", ""), feature(2, SQUARE, ""))).unwrap();
    let area = set.get(id(2)).unwrap().shape().clone();
    set.apply(Edit::Erase { ids: vec![id(1), id(2)], area });
    assert!(set.len() == 1 && set.get(id(1)).is_some());
}

/// Parents that form a cycle cannot come from a single file.
#[test]
fn objects_in_a_circle_are_written_all_the_same() {
    let [mut a, mut b] =
        [1.0, 2.0].map(|x| Annotation::new(Shape::Points(vec![Level0Point::new(x, 0.0)]), None));
    (a.parent, b.parent) = (Some(b.id), Some(a.id));
    let written = write(&AnnotationSet::new([a, b]));
    assert_eq!(read(&written).unwrap().len(), 2);
}

/// An object that cannot be read does not affect the others.
#[test]
fn odd_objects_are_left_out_by_name() {
    let odd = [
        (
            r#"{"type":"Polygon","coordinates":[[[0,0],[9,9],[0,0]]]}"#,
            "geometry: a ring needs at least 3 different points, but has 2",
        ),
        (
            r#"{"type":"Polygon","coordinates":[[[0,0],[9,9]]]}"#,
            "geometry: a ring needs at least 3 different points, but has 2",
        ),
        (r#"{"type":"Polygon","coordinates":[[0,0],[9,9],[0,9]]}"#, "geometry: invalid type"),
        (r#"{"type":"Polygon","coordinates":[[["0","0"],[9,9],[0,9]]]}"#, "geometry: invalid type: string"),
        (
            r#"{"type":"Polygon","coordinates":[[[NaN,0],[9,9],[0,9]]]}"#,
            "geometry: invalid type: string \"NaN\"",
        ),
        (r#"{"type":"Polygon"}"#, "geometry: it has no coordinates"),
        (r#"{"type":"Point","coordinates":[1]}"#, "geometry: a position needs x and y"),
        (r#"{"type":"Point","coordinates":[1,2e12]}"#, "is not on any slide"),
        (r#"{"type":"Point","coordinates":[1,1e400]}"#, "number out of range"),
        (r#"{"type":"Circle","coordinates":[1,2]}"#, "\"Circle\" is not a geometry type"),
        (r#"{"coordinates":[1,2]}"#, "geometry: it has no type"),
        (r#"{"type":"GeometryCollection"}"#, "geometry: it has no geometries"),
        ("7", "geometry: invalid type"),
        ("[]", "geometry: invalid type"),
    ];
    for (geometry, reason) in odd {
        let text = format!(
            "[{},\n{},\n{}]",
            feature(1, SQUARE, ""),
            feature(2, geometry, ""),
            feature(3, SQUARE, "")
        );
        let Read { set, left_out, .. } = whole(&text);
        assert_eq!((set.len(), left_out.count), (2, 1), "{geometry}");
        let first = &left_out.first[0];
        assert_eq!(
            (first.object.as_str(), first.line, &first.id),
            ("object 2", Some(2), &Some(id(2).to_string()))
        );
        assert!(first.reason.contains(reason), "{first:?}");
        // As the only object, it is an error.
        assert!(read(&feature(2, geometry, "")).unwrap_err().reason.contains(reason));
    }
    for item in ["7", "null", "[7]", "{}", r#"{"type":"Feature "}"#, r#""a""#] {
        let read = whole(&format!("[{item},{}]", feature(1, SQUARE, "")));
        assert_eq!((read.set.len(), read.left_out.count), (1, 1), "{item}");
    }
    // Nested objects are named by their path, and children of an object that cannot be read are kept.
    let bad = r#"{"type":"Point","coordinates":[1]}"#;
    let inner = feature(2, bad, &format!(r#""childObjects":[{}]"#, feature(3, SQUARE, "")));
    let read = whole(&format!("[{},3]", nested(1, &[feature(4, SQUARE, ""), inner])));
    assert_eq!((read.set.len(), read.left_out.count), (3, 2));
    assert_eq!(read.left_out.first[0].object, "object 1, child 2");
    assert_eq!(read.set.get(id(3)).unwrap().parent, Some(id(1)));
}

#[test]
fn of_an_area_the_parts_that_enclose_something_are_read() {
    let multi =
        r#"{"type":"MultiPolygon","coordinates":[[[[0,0],[9,0],[9,9],[0,0]]],[[[5,5],[6,6],[5,5]]]]}"#;
    let read = whole(&format!("[{}]", feature(1, multi, "")));
    assert_eq!((read.set.at(0).unwrap().shape().area_px2(), read.left_out.count), (Some(40.5), 0));
    assert_eq!((read.parts.count, read.parts.first[0].object.as_str()), (1, "object 1"));
    assert_eq!(back(&feature(1, multi, ""))["features"][0], parsed(&feature(1, multi, "")));
    let holed = r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]],[[5,5]]]}"#;
    let read = whole(&feature(1, holed, ""));
    assert_eq!((read.set.at(0).unwrap().shape().area_px2(), read.parts.count), (Some(40.5), 1));
}

#[test]
fn objects_without_a_place_are_kept() {
    for geometry in [
        "{}",
        "null",
        r#"{"type":"Polygon","coordinates":[]}"#,
        r#"{"type":"Polygon","coordinates":[[]]}"#,
        r#"{"type":"Point","coordinates":[]}"#,
        r#"{"type":"MultiPolygon","coordinates":null}"#,
    ] {
        let text = feature(1, geometry, "");
        let set = read(&text).unwrap();
        assert_eq!((set.len(), set.at(0).unwrap().bounds()), (1, None), "{geometry}");
        assert_eq!(back(&text)["features"][0], parsed(&text));
    }
    let missing = r#"{"type":"Feature","properties":{"objectType":"annotation"}}"#;
    assert_eq!(back(missing)["features"][0]["geometry"], json!({}));
}

/// QuPath splits a collection into one object per type of geometry; it cannot read a collection in a feature.
#[test]
fn collections_of_geometries_become_an_object_of_each_kind() {
    let collection = r#"{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]},
        {"type":"GeometryCollection","geometries":[{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]]]}]},
        {"type":"LineString","coordinates":[[0,0],[3,4]]},{"type":"Polygon","coordinates":[[[1,1]]]}]}"#;
    let read = whole(&feature(1, collection, r#""name":"a""#));
    let nouns: Vec<_> = read.set.iter().map(|one| (one.shape().noun(), one.name.clone())).collect();
    let named = |noun| (noun, Some("a".to_owned()));
    assert_eq!(nouns, ["Polygon", "Line", "Point"].map(named));
    assert_eq!((read.set.at(0).unwrap().id, read.parts.count), (id(1), 1));
    assert!(!write(&read.set).contains("GeometryCollection"));
    let deep =
        format!("{}{}", r#"{"type":"GeometryCollection","geometries":["#.repeat(3000), "]}".repeat(3000));
    assert!(super::read(&feature(1, &deep, ""), "a", &Watch::none()).is_err());
}

/// Python's `json.dump` and QuPath before 0.4.4 write non-finite numbers without quotes.
#[test]
fn bare_numbers_that_are_not_finite_are_read() {
    let text = feature(1, SQUARE, r#""measurements":{"A":NaN,"B":2.0,"C":Infinity,"D":-Infinity,"NaN":1}"#);
    let values = only(&text).measurements;
    assert!(values[0].1.is_nan());
    assert_eq!(
        values[1..].iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        [2.0, f64::INFINITY, f64::NEG_INFINITY, 1.0]
    );
    let error = read("{\"a\":NaN,\n\"b\":oops}").unwrap_err();
    assert_eq!(error.line, Some(2));
}

#[test]
fn measurements_of_every_form_keep_their_values() {
    let text = feature(
        1,
        SQUARE,
        r#""measurements":{"z":1.5,"a":2,"text":"1.5","nan":"nan","inf":"-inf","yes":true,"list":[1,2],"none":null,"word":"much","whole":12345678901234567890,"z":3}"#,
    );
    let values = only(&text).measurements;
    let number = |name: &str| values.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!(
        (number("text"), number("inf"), number("whole")),
        (1.5, f64::NEG_INFINITY, 12345678901234567890.0)
    );
    for name in ["nan", "yes", "list", "none", "word"] {
        assert!(number(name).is_nan(), "{name}");
    }
    let written = write(&read(&text).unwrap());
    assert!(
        written.contains(text.split_once(r#""measurements":"#).unwrap().1.split_once('}').unwrap().0),
        "{written}"
    );
    assert_eq!(back(&text)["features"][0], parsed(&text));
}

#[test]
fn colours_of_every_form_are_read_and_what_else_a_class_says_is_kept() {
    for (class, color) in [
        (r#"{"name":"A","color":[200,0,0]}"#, [200, 0, 0]),
        (r#"{"name":"A","colorRGB":-16746241}"#, [0, 120, 255]),
        (r##"{"name":"A","color":"#112233"}"##, [17, 34, 51]),
        (r#"{"name":"A","color":[1,2,3,128]}"#, [1, 2, 3]),
        (r#"{"name":"A","color":-16116706}"#, [10, 20, 30]),
        (r#"{"name":"A","color":"cornflowerblue"}"#, [100, 149, 237]),
        (r#"{"name":"A","color":[1.0,0.5,0.0]}"#, [255, 128, 0]),
    ] {
        let text = feature(1, SQUARE, &format!(r#""classification":{class}"#));
        assert_eq!(only(&text).class, Some(AnnotationClass::new("A", color)), "{class}");
        let written = &back(&text)["features"][0]["properties"]["classification"];
        assert_eq!(only(&back(&text).to_string()).class, Some(AnnotationClass::new("A", color)));
        // QuPath needs a list.
        assert!(written["color"].is_array() && written.get("colorRGB").is_none(), "{written}");
    }
    for class in [
        r#"{"name":"G","color":[7,8,9],"note":"kept?","id":17}"#,
        r#"{"name":"G","color":[7,8,9,255]}"#,
        r#"{"names":["Fé","阳性"],"color":[4,5,6]}"#,
        r#"{"names":["Fé"],"color":[4,5,6]}"#,
        r#"{"name":"Tumor: Positive","color":[4,5,6]}"#,
        "null",
        "{}",
        r#"{"name":null,"color":[3,3,3]}"#,
    ] {
        let text = feature(1, SQUARE, &format!(r#""classification":{class}"#));
        assert_eq!(back(&text)["features"][0], parsed(&text));
        // Another class replaces the whole value.
        let mut changed = only(&text);
        changed.set_class(Some(AnnotationClass::new("B", [1, 1, 1])));
        let written = parsed(&write(&AnnotationSet::new([changed])));
        assert_eq!(
            written["features"][0]["properties"]["classification"],
            json!({"name":"B","color":[1,1,1]})
        );
    }
    let own = only(&feature(1, SQUARE, r##""color":"#ff8800""##));
    assert_eq!(own.color, Some([255, 136, 0]));
    let odd = feature(1, SQUARE, r#""color":"no colour""#);
    assert_eq!((whole(&odd).parts.count, &back(&odd)["features"][0]), (1, &parsed(&odd)));
}

#[test]
fn nulls_aliases_and_foreign_members_come_back() {
    for text in [
        r#"{"type":"Feature","id":17,"geometry":{"type":"Point","coordinates":[1,2]},"properties":{"objectType":null,"isLocked":null,"name":null,"color":null,"measurements":null,"metadata":null}}"#.to_owned(),
        feature(1, SQUARE, r#""type":"detection","prob":0.25"#),
        feature(1, r#"{"type":"Polygon","coordinates":[[[0,0,7],[9,0,7],[9,9,7],[0,0,7]]]}"#, ""),
        feature(1, r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9]]],"isEllipse":false,"plane":{"c":-1,"z":3,"t":2}}"#, ""),
    ] {
        assert_eq!(back(&text)["features"][0], parsed(&text));
    }
    let alias = r#"[{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"type":"detection"}}]"#;
    assert_eq!(only(alias).kind, ObjectKind::Detection);
}

#[test]
fn ids_of_every_kind_come_back_and_repeated_ones_are_told() {
    let point = |id: &str, x: u32| {
        format!(
            r#"{{"type":"Feature","id":{id},"geometry":{{"type":"Point","coordinates":[{x},0]}},"properties":{{"objectType":"annotation"}}}}"#
        )
    };
    let uuid = "\"00000000-0000-4000-8000-000000000001\"";
    let features = [
        point("17", 1),
        point("\"17\"", 2),
        point("\"cell-0012\"", 3),
        point("17", 4),
        point(uuid, 5),
        point(uuid, 6),
        point("\"Pathology\"", 7),
    ];
    let text = format!("[{}]", features.join(","));
    let read = whole(&text);
    assert_eq!(read.set.len(), features.len());
    assert!(read.notes[0].ends_with("all kept: 2."), "{:?}", read.notes);
    assert_eq!(back(&text)["features"], parsed(&text));
    assert!(read.set.iter().map(|one| one.id).eq(whole(&text).set.iter().map(|one| one.id)));
    assert_eq!(read.set.at(6).unwrap().kind, ObjectKind::Annotation);
}

#[test]
fn features_stand_one_a_line_and_collections_in_lists() {
    let lines = format!("{}\n\u{1e}{}\n", feature(1, SQUARE, ""), feature(2, SQUARE, ""));
    assert_eq!(read(&lines).unwrap().len(), 2);
    let list = format!(
        r#"[{{"type":"FeatureCollection","name":"x","features":[{}]}},[{}]]"#,
        feature(1, SQUARE, ""),
        feature(2, SQUARE, "")
    );
    assert_eq!((read(&list).unwrap().len(), &back(&list)["name"]), (2, &json!("x")));
    let deep = format!("{}{}{}", "[".repeat(100_000), feature(1, SQUARE, ""), "]".repeat(100_000));
    assert!(read(&deep).unwrap_err().reason.contains("too deep"));
}

#[test]
fn json_of_other_programs_is_refused_by_name() {
    for (text, name) in [
        (r#"{"images":[],"annotations":[{"bbox":[1,2,3,4]}],"categories":[]}"#, "COCO"),
        (r#"{"version":"5.0","shapes":[],"imagePath":"a.png","imageData":null}"#, "labelme"),
        (r#"{"_via_settings":{},"_via_img_metadata":{}}"#, "VGG"),
        (r#"{"a.png123":{"filename":"a.png","regions":[]}}"#, "VGG"),
        (r#"{"name":"a","elements":[{"type":"polyline"}]}"#, "Digital Slide Archive"),
        (r#"{"type":"Topology","arcs":[],"objects":{}}"#, "TopoJSON"),
        (r#"[{"id":1,"data":{},"annotations":[]}]"#, "Label Studio"),
        (r#"{"mag":40,"nuc":{"1":{}}}"#, "HoVer-Net"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.reason.contains(name) && error.reason.contains("supported are GeoJSON"), "{error:?}");
    }
}
