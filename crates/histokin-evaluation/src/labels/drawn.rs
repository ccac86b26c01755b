//! Labels from annotations: the program's own, and files of QuPath, ASAP, ImageScope and the Camelyon
//! challenges.

use std::path::Path;

use super::{Area, LabelError, SlideLabels};
use histokin_core::annotation::{self, AnnotationSet, HOLE_GROUP, Nesting};
use histokin_core::slide::SlideInfo;

/// Returns the areas that have a class; points, lines and areas without a class are ignored. Where
/// annotations are nested, as in QuPath, the innermost class applies.
pub fn of_annotations(set: &AnnotationSet) -> SlideLabels {
    let mut labels = SlideLabels::default();
    let nesting = Nesting::of(set);
    for one in set.iter() {
        // Areas that Camelyon16 cuts out of tumours have no class.
        let Some(class) = one.class.as_ref().filter(|class| class.name != HOLE_GROUP) else { continue };
        let shape = nesting.own_area(&one, 0.0);
        let areas = shape.polygons();
        let areas = areas.iter().map(|polygon| Area { outlines: polygon.rings().cloned().collect() });
        let mut areas = areas.peekable();
        if areas.peek().is_some() {
            labels.areas.entry(class.name.clone()).or_default().extend(areas);
        }
    }
    labels
}

/// Reads the areas of each class from an annotation file of one slide: GeoJSON, or XML of ASAP or ImageScope,
/// plain or compressed. Camelyon16's areas `_2` are cut out of the tumours that contain them. QuPath's
/// coordinates start at the corner of the scanned region, which is taken from `info`. Also returns notes on
/// objects that could not be read, and on what speaks against their places.
///
/// # Errors
/// [`LabelError::Annotations`] with the file, the line and the reason.
pub fn read_annotations(
    path: &Path,
    info: Option<&SlideInfo>,
) -> Result<(SlideLabels, Vec<String>), LabelError> {
    let mut file = annotation::read_file(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_whole = file.left_out.count == 0 && file.parts_left_out.count == 0 && !file.is_encoding_guessed;
    let mut notes = if is_whole { Vec::new() } else { file.notes.clone() };
    if let Some(info) = info {
        file.place_on(info, None);
        notes.extend(file.doubts(info));
    }
    file.cut_camelyon16_holes();
    let notes = notes.iter().map(|note| format!("{name}: {note}")).collect();
    Ok((of_annotations(&file.set), notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::geometry::Level0Rect;

    fn read(name: &str, text: &str) -> SlideLabels {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_annotations(&path, None).unwrap().0
    }

    #[test]
    fn areas_with_a_class_are_labels_and_points_are_none() {
        let text = r#"{"type":"FeatureCollection","features":[
            {"type":"Feature","geometry":{"type":"Polygon","coordinates":
              [[[0,0],[100,0],[100,100],[0,100],[0,0]],[[0,0],[50,0],[50,100],[0,100],[0,0]]]},
             "properties":{"classification":{"name":"Tumor","color":[200,0,0]}}},
            {"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]]]},
             "properties":{}},
            {"type":"Feature","geometry":{"type":"Point","coordinates":[5,5]},
             "properties":{"classification":{"name":"Stroma"}}}]}"#;
        let labels = read("a.geojson", text);
        assert_eq!(labels.areas.len(), 1);
        let tiles = [Level0Rect::new(0, 0, 100, 100), Level0Rect::new(50, 0, 50, 100)];
        assert_eq!(super::super::covered(&labels.areas["Tumor"], &tiles), [0.5, 1.0]);
    }

    #[test]
    fn of_nested_areas_the_innermost_class_counts_and_odd_objects_are_told() {
        let square = |low: i32, high: i32| {
            format!(
                r#"{{"type":"Polygon","coordinates":[[[{low},{low}],[{high},{low}],[{high},{high}],[{low},{high}],[{low},{low}]]]}}"#
            )
        };
        let feature = |geometry: String, class: &str, children: &str| {
            format!(
                r#"{{"type":"Feature","geometry":{geometry},"properties":{{"classification":"{class}","childObjects":[{children}]}}}}"#
            )
        };
        let inner = feature(square(40, 60), "Stroma", "");
        let middle = feature(square(20, 80), "Tumor", &inner);
        let text = format!(
            "[{},{{\"type\":\"Feature\",\"geometry\":3}}]",
            feature(square(0, 100), "Stroma", &middle)
        );
        let labels = read("a.geojson", &text);
        let tiles =
            [Level0Rect::new(0, 0, 20, 20), Level0Rect::new(20, 20, 20, 20), Level0Rect::new(40, 40, 20, 20)];
        assert_eq!(labels.classes_of(&tiles, 0.5).0, [Some("Stroma"), Some("Tumor"), Some("Stroma")]);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.geojson");
        std::fs::write(&path, text).unwrap();
        let notes = read_annotations(&path, None).unwrap().1;
        assert!(notes[0].starts_with("a.geojson: 1 object was left out"), "{notes:?}");
    }

    #[test]
    fn camelyon16_cuts_holes_and_leaves_no_class_of_them() {
        let corner =
            |order: usize, x: f64, y: f64| format!("<Coordinate Order=\"{order}\" X=\"{x}\" Y=\"{y}\" />");
        let square = |group: &str, low: f64, high: f64| {
            format!(
                "<Annotation Name=\"a\" Type=\"Polygon\" PartOfGroup=\"{group}\" Color=\"#F4FA58\"><Coordinates>{}{}{}{}</Coordinates></Annotation>",
                corner(1, high, low),
                corner(0, low, low),
                corner(2, high, high),
                corner(3, low, high)
            )
        };
        let group = |name: &str| {
            format!("<Group Name=\"{name}\" PartOfGroup=\"None\" Color=\"#00ff00\"><Attributes /></Group>")
        };
        let text = format!(
            "<ASAP_Annotations><Annotations>{}{}{}</Annotations><AnnotationGroups>{}{}</AnnotationGroups></ASAP_Annotations>",
            square("_0", 0.0, 100.0),
            square("_2", 25.0, 75.0),
            square("_2", 500.0, 575.0),
            group("_0"),
            group("_2")
        );
        let labels = read("a.xml", &text);
        let tile = Level0Rect::new(0, 0, 100, 100);
        assert_eq!(super::super::covered(&labels.areas["_0"], &[tile]), [0.75]);
        assert_eq!(labels.areas.len(), 1, "a hole in nothing is nothing");
    }
}
