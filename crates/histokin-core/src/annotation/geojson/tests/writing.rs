//! What is read comes back when it is written, and what is written can be read.

use proptest::prelude::*;
use serde_json::json;

use super::{SQUARE, annotations, back, feature, id, nested, only, parsed, read, shapes, whole, write};
use crate::annotation::json::RawJson;
use crate::annotation::shape::Geometry;
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, Edit, History, ObjectKind, Shape};
use crate::geometry::Level0Point;

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
}

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
