//! What is read of documents of all forms, and what is wrong with others.

use proptest::prelude::*;
use serde_json::json;

use super::{SQUARE, back, feature, id, nested, only, parsed, read, whole, write};
use crate::annotation::file::Read;
use crate::annotation::geojson;
use crate::annotation::watch::Watch;
use crate::annotation::{AnnotationClass, AnnotationSet, Bounds, ObjectKind, Shape};
use crate::geometry::Level0Point;

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
fn what_scripts_write_beside_the_standard_is_understood() {
    let of_table = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":
        [[["10","20"],["30.5"," 20 "],["3.05e1",40],["10","20"]]]},"properties":{"classification":{"name":3,"color":[1,2,3]}}}"#;
    let one = only(of_table);
    assert_eq!(one.shape().area_px2(), Some(205.0));
    assert_eq!(one.class, Some(AnnotationClass::new("3", [1, 2, 3])));
    let written = parsed(&write(&AnnotationSet::new([one])));
    let expected = parsed(of_table);
    for path in ["/geometry/coordinates", "/properties/classification"] {
        let feature =
            if written.pointer("/features/0").is_some() { &written["features"][0] } else { &written };
        assert_eq!(feature.pointer(path), expected.pointer(path), "{path}");
    }
    let class = |text: &str| {
        let feature = format!(
            r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[1,2]}},"properties":{{"classification":{text}}}}}"#
        );
        only(&feature).class.map(|class| class.name)
    };
    assert_eq!(class("-1"), Some("-1".to_owned()));
    assert_eq!(class(r#"{"names":["Immune",4]}"#), Some("Immune: 4".to_owned()));
    assert_eq!(class(r#"{"names":[]}"#), None);
    let with = |number: &str| of_table.replace("\"30.5\"", number);
    assert_eq!(only(&with("\"30,5\"")).shape().area_px2(), Some(205.0));
    let odd = read(&with("\"1.030,5\"")).unwrap_err();
    assert!(odd.reason.contains("\"1.030,5\" is not a coordinate"), "{odd:?}");

    // An empty list, as Go writes it, and what people leave in files that they edit.
    assert!(read(r#"{"type":"FeatureCollection","features":null}"#).unwrap().is_empty());
    let edited = "// checked\n[{\"type\":\"Point\",\"coordinates\":[1,2],},\n/* a\nb */\n{\"type\":\"Point\",\"coordinates\":[1]},\n]";
    let whole = whole(edited);
    assert_eq!((whole.set.len(), whole.left_out.first[0].line), (1, Some(5)));
    for cut in [
        "{\"type\":\"FeatureCollection\",\n\"features\":[{\"type\":\"Feat",
        "[\n{\"type\":\"Point\",\"coordinates\":[1,2]}",
    ] {
        let error = read(cut).unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.reason.contains("ends early"), "{error:?}");
    }
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

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".*", cut in 0usize..400) {
        let _ = read(&text);
        let whole = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,2],[3,2],[3,4],[1,2]]]},"properties":{"measurements":{"a":1},"classification":{"name":"x","color":[1,2,3]}}}"#;
        let _ = read(&whole[..cut.min(whole.len())]);
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
            geojson::read(text, "a.geojson", &Watch::none()).map(|Read { set, left_out, parts, notes }| {
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
        (
            r#"{"type":"Polygon","coordinates":[[["a","0"],[9,9],[0,9]]]}"#,
            "geometry: \"a\" is not a coordinate",
        ),
        (
            r#"{"type":"Polygon","coordinates":[[[NaN,0],[9,9],[0,9]]]}"#,
            "geometry: \"NaN\" is not a coordinate",
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
    assert!(geojson::read(&feature(1, &deep, ""), "a", &Watch::none()).is_err());
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
        (r#"{"1":{"centroid":[2,2],"contour":[[1,2],[3,4],[1,4]],"type":1}}"#, "HoVer-Net"),
        (r#"[{"annotation":{"name":"a","elements":[]}}]"#, "Digital Slide Archive"),
        (r#"{"class":"be.cytomine.ontology.UserAnnotation","location":"POINT(1 2)"}"#, "Cytomine"),
        (r#"[{"type":"polygon","points":[{"x":1,"y":2}]}]"#, "Slide Score"),
        (r#"{"pixel_classifier_type":"OpenCVPixelClassifier","metadata":{}}"#, "QuPath classifier"),
        (r#"{"object_classifier_type":"OpenCVMLClassifier","features":{}}"#, "QuPath classifier"),
        (r#"{"version":"0.5.1","images":[]}"#, "QuPath project"),
        (r#"[{"id":1,"shapes":[{"type":"Polygon"}]}]"#, "OMERO"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.reason.contains(name) && error.reason.contains("supported are GeoJSON"), "{error:?}");
    }
}

#[test]
fn types_in_other_letters_and_coordinates_with_a_decimal_comma_are_read() {
    let text = r#"{"type":"featurecollection","features":[{"type":"feature","properties":{},"geometry":
        {"type":"polygon","coordinates":[[["10,5","10"],["110,5","10"],["110,5","60"],["10,5","60"]]]}}]}"#;
    let annotation = only(text);
    assert_eq!(annotation.bounds().map(|bounds| (bounds.min.x, bounds.max.x)), Some((10.5, 110.5)));
    let written = back(text);
    assert_eq!(written["features"][0]["geometry"]["type"], "Polygon", "as other programs read it");
}
