use proptest::prelude::*;

use super::{cut_camelyon16_holes, write};
use crate::annotation::file::{FormatError, Read};
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, Bounds, Polygon, Shape};
use crate::annotation::{geojson, xml};
use crate::geometry::Level0Point;

/// As written by ASAP, with every type.
const FILE: &str = r##"<?xml version="1.0"?>
<ASAP_Annotations>
	<Annotations>
		<Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58">
			<Coordinates>
				<Coordinate Order="0" X="1.5" Y="2.5" />
				<Coordinate Order="1" X="100" Y="2.5" />
				<Coordinate Order="2" X="100" Y="200.125" />
			</Coordinates>
		</Annotation>
		<Annotation Name="Annotation 1" Type="Dot" PartOfGroup="None" Color="#ff0000">
			<Coordinates>
				<Coordinate Order="0" X="7" Y="8" />
			</Coordinates>
		</Annotation>
		<Annotation Name="A &amp; &quot;B&quot;" Type="Spline" PartOfGroup="Vessel" Color="#64FE2E" Reviewer="me">
			<Coordinates>
				<Coordinate Order="0" X="10" Y="10" />
				<Coordinate Order="1" X="20" Y="10" />
				<Coordinate Order="2" X="20" Y="20" />
			</Coordinates>
		</Annotation>
		<Annotation Name="Annotation 3" Type="PointSet" PartOfGroup="Tumor" Color="#F4FA58">
			<Coordinates>
				<Coordinate Order="0" X="1" Y="1" />
				<Coordinate Order="1" X="2" Y="2" />
			</Coordinates>
		</Annotation>
		<Annotation Name="Annotation 4" Type="Measurement" PartOfGroup="None" Color="#F4FA58">
			<Coordinates>
				<Coordinate Order="0" X="0" Y="0" />
				<Coordinate Order="1" X="3" Y="4" />
			</Coordinates>
		</Annotation>
		<Annotation Name="Annotation 5" Type="Rectangle" PartOfGroup="Tumor" Color="#F4FA58">
			<Coordinates>
				<Coordinate Order="0" X="0" Y="0" />
				<Coordinate Order="1" X="0" Y="50" />
				<Coordinate Order="2" X="50" Y="50" />
				<Coordinate Order="3" X="50" Y="0" />
			</Coordinates>
		</Annotation>
		<Annotation Name="Annotation 6" Type="None" PartOfGroup="None" Color="#F4FA58">
			<Coordinates>
			</Coordinates>
		</Annotation>
	</Annotations>
	<AnnotationGroups>
		<Group Name="Tissue" PartOfGroup="None" Color="#00ff00">
			<Attributes />
		</Group>
		<Group Name="Tumor" PartOfGroup="Tissue" Color="#64FE2E">
			<Attributes>
				<Attribute grade="3" />
			</Attributes>
		</Group>
		<Group Name="Vessel" PartOfGroup="None" Color="#64FE2E">
			<Attributes />
		</Group>
	</AnnotationGroups>
</ASAP_Annotations>
"##;

fn whole(text: &str) -> Result<Read, FormatError> {
    xml::read(text, "a.xml").map(|(_, read)| read)
}

fn read(text: &str) -> Result<(AnnotationSet, Vec<String>), FormatError> {
    whole(text).map(|read| (read.set, read.notes))
}

#[test]
fn asap_files_come_back_byte_by_byte_even_by_way_of_geojson() {
    let (set, notes) = read(FILE).unwrap();
    assert_eq!(set.len(), 7);
    assert!(notes.len() == 1 && notes[0].contains("control points: 1."), "{notes:?}");
    assert_eq!(set.at(0).unwrap().class, Some(AnnotationClass::new("Tumor", [0x64, 0xfe, 0x2e])));
    assert_eq!(set.at(1).unwrap().drawn_color(), [255, 0, 0]);
    assert_eq!(set.at(4).unwrap().shape().length_px(), Some(5.0));
    assert_eq!(write(&set).0, FILE);
    let by_way_of_geojson = geojson::tests::read(&geojson::tests::write(&set)).unwrap();
    assert_eq!(write(&by_way_of_geojson).0, FILE);
    let (again, _) = read(FILE).unwrap();
    assert_eq!(again.at(2).unwrap().id, set.at(2).unwrap().id, "the same file has the same ids");
}

#[test]
fn holes_and_parts_are_written_in_a_declared_group_and_come_back() {
    let square = |from: f64, to: f64| {
        Bounds::between(Level0Point::new(from, from), Level0Point::new(to, to)).corners().to_vec()
    };
    let parts = vec![
        Polygon { exterior: square(0.0, 100.0), holes: vec![square(10.0, 20.0), square(30.0, 40.0)] },
        Polygon::new(square(200.0, 300.0)),
    ];
    let tumour = AnnotationClass::new("Tumour", [200, 0, 0]);
    let whole = Annotation::new(Shape::Polygons(parts), Some(tumour.clone()));
    let ellipse = Annotation::new(
        Shape::Ellipse(Bounds::between(Level0Point::new(1.0, 2.0), Level0Point::new(8.0, 4.5))),
        None,
    );
    let (text, _) = write(&AnnotationSet::new([whole.clone(), ellipse.clone()]));
    let document = roxmltree::Document::parse(&text).unwrap();
    let all = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
    let declared: Vec<_> = all("Group").map(|group| group.attribute("Name").unwrap()).collect();
    for annotation in all("Annotation") {
        let group = annotation.attribute("PartOfGroup").unwrap();
        assert!(group == "None" || declared.contains(&group), "{group} is not declared");
    }
    assert_eq!(all("Annotation").filter(|one| one.attribute("PartOfGroup") == Some("_2")).count(), 2);
    let (back, _) = read(&text).unwrap();
    assert_eq!(back.len(), 2);
    let first = back.at(0).unwrap();
    assert_eq!((first.id, first.shape(), first.class.as_ref()), (whole.id, whole.shape(), Some(&tumour)));
    assert_eq!(back.at(1).unwrap().shape(), ellipse.shape());
}

fn camelyon16() -> String {
    let square = |name: &str, group: &str, from: i32, to: i32| {
        let corners = [(from, from), (to, from), (to, to), (from, to)];
        let coordinates: String = (0..)
            .zip(corners)
            .map(|(order, (x, y))| format!("<Coordinate Order=\"{order}\" X=\"{x}\" Y=\"{y}\" />"))
            .collect();
        format!(
            "<Annotation Name=\"{name}\" Type=\"Polygon\" PartOfGroup=\"{group}\" Color=\"#F4FA58\"><Coordinates>{coordinates}</Coordinates></Annotation>"
        )
    };
    let group = |name: &str| {
        format!("<Group Name=\"{name}\" PartOfGroup=\"None\" Color=\"#00ff00\"><Attributes /></Group>")
    };
    format!(
        "<ASAP_Annotations><Annotations>{}{}{}{}</Annotations><AnnotationGroups>{}{}{}</AnnotationGroups></ASAP_Annotations>",
        square("a", "_0", 0, 100),
        square("b", "_1", 200, 300),
        square("in a", "_2", 10, 20),
        square("over the edge of b", "_2", 290, 310),
        group("_0"),
        group("_1"),
        group("_2"),
    )
}

#[test]
fn camelyon16_cut_outs_are_holes_and_go_back_where_they_came_from() {
    let (mut set, _) = read(&camelyon16()).unwrap();
    assert_eq!(set.len(), 4, "without the rule they remain annotations");
    assert_eq!(cut_camelyon16_holes(&mut set), 2);
    assert_eq!(set.len(), 2);
    let area = |index: usize| set.at(index).unwrap().shape().area_px2().unwrap();
    assert_eq!(area(0), 9900.0);
    assert!((area(1) - 9900.0).abs() < 1e-6, "{}", area(1));
    let (text, _) = write(&set);
    assert!(text.contains(r##"Name="in a" Type="Polygon" PartOfGroup="_2" Color="#F4FA58""##), "{text}");
    let (mut back, _) = read(&text).unwrap();
    cut_camelyon16_holes(&mut back);
    assert_eq!(back.at(0).unwrap().shape(), set.at(0).unwrap().shape());

    let (mut plain, _) = read(FILE).unwrap();
    assert_eq!(cut_camelyon16_holes(&mut plain), 0);
    assert_eq!(write(&plain).0, FILE);
}

#[test]
fn what_is_malformed_is_told_by_line_and_reason() {
    let cases = [
        (FILE.replace("</Annotations>\n", ""), 60, "expected 'Annotations' tag, not 'ASAP_Annotations'"),
        ("<kml/>".to_owned(), 1, "this is KML, which is not supported; supported are"),
        (
            "<Annotations>\n<Annotation><Coordinates><Coordinate X=\"1\"/></Coordinates></Annotation></Annotations>".to_owned(),
            2,
            "annotation 1: a coordinate without Y",
        ),
    ];
    for (text, line, reason) in cases {
        let error = read(&text).unwrap_err();
        assert!(error.reason.contains(reason), "{error:?}");
        assert_eq!(error.line, Some(line), "{error:?}");
    }
    let (_, notes) = read(&FILE.replace("<Group Name=\"Vessel\"", "<Group Name=\"Vessels\"")).unwrap();
    assert!(notes.iter().any(|note| note.contains("\"Vessel\" without declaring it")), "{notes:?}");
}

/// Deviations that ASAP's `XmlRepository` ignores, and changes made by locales and editors.
#[test]
fn variants_of_asaps_files_are_read() {
    let points = |text: &str| -> Vec<(f64, f64)> {
        let set = read(text).unwrap().0;
        let polygons = set.at(0).unwrap().shape().polygons().into_owned();
        polygons[0].exterior.iter().map(|point| (point.x, point.y)).collect()
    };
    let expected = points(FILE);
    assert_eq!(expected[0], (1.5, 2.5));
    assert_eq!(points(&FILE.replace("\"1.5\"", "\"1,5\"").replace("\"200.125\"", "\" 200,125 \"")), expected);
    // With missing or repeated orders, the coordinates keep the order of the file.
    assert_eq!(
        points(&FILE.replace("Order=\"1\"", "Order=\"0\"").replace("Order=\"2\"", "Order=\"0\"")),
        expected
    );
    assert_eq!(points(&FILE.replace("Order=", "Place=")), expected);
    let notes = read(&FILE.replace("Order=", "Place=")).unwrap().1;
    assert!(notes.iter().any(|note| note.contains("in the order of the file")), "{notes:?}");
    let turned = FILE.replacen("Order=\"0\"", "Order=\"7\"", 1);
    assert_eq!(points(&turned)[2], (1.5, 2.5));

    let class =
        |from: &str, to: &str| read(&FILE.replace(from, to)).unwrap().0.at(0).unwrap().class.clone().unwrap();
    let group = "PartOfGroup=\"Tissue\" Color=\"#64FE2E\"";
    assert_eq!(class(group, "PartOfGroup=\"Tissue\" Color=\"#8001FE2E\"").color, [1, 0xfe, 0x2e]);
    assert_eq!(class(group, "PartOfGroup=\"Tissue\" Color=\"red\"").color, [255, 0, 0]);
    assert_eq!(class(group, "PartOfGroup=\"Tissue\""), AnnotationClass::named("Tumor"));
    let argb = FILE.replace("#64FE2E", "#8064FE2E");
    assert_eq!(write(&read(&argb).unwrap().0).0, argb, "opacities are kept");
    // Without the root element.
    let bare = FILE.replace("<ASAP_Annotations>\n", "").replace("</ASAP_Annotations>\n", "");
    let bare = bare.split_inclusive("</Annotations>").next().unwrap();
    assert_eq!(points(bare), expected);
}

#[test]
fn an_odd_annotation_is_left_out_by_name() {
    let odd = FILE.replace("X=\"1.5\"", "X=\"oops\"").replace("Order=\"0\" X=\"7\" ", "Order=\"0\" ");
    let read = whole(&odd).unwrap();
    assert_eq!((read.set.len(), read.left_out.count), (5, 2));
    let [first, second] = &read.left_out.first[..] else { panic!("{:?}", read.left_out) };
    assert_eq!(
        (first.object.as_str(), first.line, first.id.as_deref()),
        ("annotation 1", Some(6), Some("Annotation 0"))
    );
    assert!(first.reason.contains("X \"oops\" is not a number"), "{first:?}");
    assert!(second.reason.contains("a coordinate without X"), "{second:?}");
}

/// A GeoJSON file may contain arbitrary text as elements and attributes of an ASAP file.
#[test]
fn markup_from_elsewhere_cannot_break_the_xml() {
    let cases = [
        (r#""elements":["<Note><b>kept</b></Note>"]"#, true),
        (r#""elements":["<Note>"]"#, false),
        (r#""elements":["</Annotation><Annotation Name='injected'/>"]"#, false),
        (r#""elements":["<a/><a/>"]"#, false),
        (r#""elements":["text"]"#, false),
        (r#""elements":["<?xml version='1.0'?><a/>"]"#, false),
        (r#""elements":["<!DOCTYPE a><a/>"]"#, false),
        (r#""elements":["<a>&unknown;</a>"]"#, false),
        (r#""elements":["<x:a/>"]"#, false),
        (r#""elements":["<Coordinates><Coordinate X='1' Y='2'/></Coordinates>"]"#, false),
        (r#""attributes":[["Reviewer","<\"&"]]"#, true),
        (r#""attributes":[["Größe","1"]]"#, true),
        (r#""attributes":[["a b","1"]]"#, false),
        (r#""attributes":[["a='1' b","1"]]"#, false),
        (r#""attributes":[["Name","1"]]"#, false),
        (r#""attributes":[["x:a","1"]]"#, false),
        (r#""attributes":[["",""]]"#, false),
        (r#""attributes":[["a","1"],["a","2"]]"#, false),
        (r#""kind":"\"><Annotation","color":"<","holes":[["<","&"]]"#, true),
    ];
    for (origin, is_plain) in cases {
        let text = format!(
            r#"{{"type":"FeatureCollection","asapGroups":[{{"name":"<&","color":"\"","attributes":[["b c","1"],["d","<"]]}}],
            "features":[{{"type":"Feature","geometry":{{"type":"Point","coordinates":[1,2]}},"properties":{{"asap":{{{origin}}}}}}}]}}"#
        );
        let set = geojson::tests::read(&text).unwrap();
        let (xml, notes) = write(&set);
        let (back, _) = read(&xml).unwrap();
        assert_eq!(back.len(), 1, "{xml}");
        assert_eq!(*back.at(0).unwrap().shape(), Shape::Points(vec![Level0Point::new(1.0, 2.0)]), "{xml}");
        assert_eq!(notes.is_empty(), is_plain, "{origin}: {notes:?}");
    }
}

proptest! {
    #[test]
    fn shapes_classes_and_names_come_back(
        annotations in prop::collection::vec(geojson::tests::annotations(), 0..6)
    ) {
        // Excludes what ASAP cannot store: several lines in one annotation, and characters that XML does not
        // allow.
        let plain = |text: &str| text.chars().filter(|c| c.is_ascii_graphic()).collect::<String>();
        let annotations: Vec<Annotation> = annotations
            .into_iter()
            .filter(|one| !matches!(one.shape(), Shape::Lines(lines) if lines.len() > 1))
            .map(|mut one| {
                one.name = Some(format!("n{}", plain(one.name.as_deref().unwrap_or_default())));
                one.class = one.class.map(|class| AnnotationClass::new(format!("c{}", plain(&class.name)), [1, 2, 3]));
                one.color = one.color.filter(|_| one.class.is_none());
                one
            })
            .collect();
        let set = AnnotationSet::new(annotations);
        let (text, _) = write(&set);
        let (back, _) = read(&text).unwrap();
        prop_assert_eq!(back.len(), set.len());
        for (before, after) in set.iter().zip(back.iter()) {
            prop_assert_eq!(before.shape(), after.shape());
            prop_assert_eq!((&before.name, &before.class), (&after.name, &after.class));
            prop_assert_eq!(before.drawn_color(), after.drawn_color());
        }
        prop_assert_eq!(write(&back).0, text);
    }
}

#[test]
fn a_rectangle_may_be_stated_by_two_opposite_corners() {
    let file = |right: &str, bottom: &str| {
        format!(
            r##"<ASAP_Annotations><Annotations><Annotation Name="a" Type="Rectangle" PartOfGroup="None" Color="#F4FA58"><Coordinates>
<Coordinate Order="0" X="10" Y="20" /><Coordinate Order="1" X="{right}" Y="{bottom}" /></Coordinates></Annotation></Annotations></ASAP_Annotations>"##
        )
    };
    let shape = |text: &str| xml::read(text, "a.xml").unwrap().1.set.at(0).unwrap().shape().clone();
    let bounds = Bounds::between(Level0Point::new(10.0, 20.0), Level0Point::new(60.0, 50.0));
    assert_eq!(shape(&file("60", "50")), Shape::Rectangle(bounds));
    assert!(matches!(shape(&file("60", "20")), Shape::Lines(_)), "it encloses nothing");
}

#[test]
fn coordinates_in_small_letters_are_read() {
    let text = FILE.replace(" X=", " x=").replace(" Y=", " y=");
    let read = |text: &str| xml::read(text, "a.xml").unwrap().1.set;
    let bounds = |set: &AnnotationSet| set.objects().filter_map(|one| one.bounds()).collect::<Vec<_>>();
    assert_eq!(bounds(&read(&text)), bounds(&read(FILE)));
}
