//! Labels from drawn annotations: the XML of ASAP and the Camelyon challenges, and QuPath's GeoJSON. Only what
//! labels need is read: the areas and their classes.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

use super::{Area, LabelError, SlideLabels};
use crate::geometry::Level0Point;

/// Camelyon16's group of areas that are not tumour though they lie within it.
const HOLE_GROUP: &str = "_2";

/// Read the areas of each class from an `.xml`, `.geojson` or `.json` file of one slide. Camelyon16's areas
/// `_2` are cut out of those in which they lie. QuPath counts from `origin`, the corner of the scanned part in
/// level-0 pixels, ASAP from that of level 0.
///
/// # Errors
/// [`LabelError`] with the file, the line and the reason; never half a file.
pub fn read_annotations(path: &Path, origin: Level0Point) -> Result<SlideLabels, LabelError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| LabelError::Io { path: path.to_owned(), source })?;
    let is_xml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("xml"));
    let read = if is_xml { asap(&text) } else { geojson(&text, origin) };
    read.map_err(|Wrong { line, reason }| LabelError::Line { path: path.to_owned(), line, reason })
}

/// Why a text is no annotations, and the line, counted from 1.
#[derive(Debug)]
struct Wrong {
    line: u64,
    reason: String,
}

/// One area that is being read: its group, and corners in the order of the file with their numbers.
struct Open {
    group: String,
    corners: Vec<(u64, Level0Point)>,
}

fn asap(text: &str) -> Result<SlideLabels, Wrong> {
    let mut reader = Reader::from_str(text);
    let mut labels = SlideLabels::default();
    let mut holes = Vec::new();
    let mut open: Option<Open> = None;
    let mut is_asap = false;
    loop {
        let event = reader.read_event();
        let place = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX).min(text.len());
        let line = 1 + text.as_bytes()[..place].iter().filter(|byte| **byte == b'\n').count() as u64;
        let wrong = |reason: String| Wrong { line, reason };
        let event = event.map_err(|error| wrong(error.to_string()))?;
        match &event {
            Event::Start(tag) | Event::Empty(tag) => match tag.name().as_ref() {
                b"ASAP_Annotations" => is_asap = true,
                b"Annotation" => {
                    let kind = attribute(tag, "Type").map_err(wrong)?.unwrap_or_default();
                    let is_area = matches!(kind.as_str(), "Polygon" | "Rectangle" | "Spline");
                    let group = attribute(tag, "PartOfGroup").map_err(wrong)?.unwrap_or_default();
                    open = is_area.then(|| Open { group, corners: Vec::new() });
                }
                b"Coordinate" => {
                    let number = |name: &str| -> Result<f64, Wrong> {
                        let text = attribute(tag, name).map_err(wrong)?.unwrap_or_default();
                        // Some regions of the world write decimals with a comma.
                        let number =
                            text.replace(',', ".").parse::<f64>().ok().filter(|number| number.is_finite());
                        number.ok_or_else(|| wrong(format!("{name}={text:?} is no number")))
                    };
                    let corner = Level0Point::new(number("X")?, number("Y")?);
                    if let Some(open) = &mut open {
                        open.corners.push((number("Order")? as u64, corner));
                    }
                }
                _ => {}
            },
            Event::End(tag) if tag.name().as_ref() == b"Annotation" => {
                let Some(mut done) = open.take() else { continue };
                if done.corners.len() < 3 {
                    return Err(wrong("an area with fewer than three corners".to_owned()));
                }
                done.corners.sort_by_key(|(order, _)| *order);
                let outline: Vec<Level0Point> = done.corners.into_iter().map(|(_, corner)| corner).collect();
                match done.group.as_str() {
                    HOLE_GROUP => holes.push(outline),
                    "" | "None" => {}
                    group => {
                        let areas = labels.areas.entry(group.to_owned()).or_default();
                        areas.push(Area { outlines: vec![outline] });
                    }
                }
            }
            Event::Eof if is_asap && open.is_none() => break,
            Event::Eof => return Err(wrong("the file ends too early, or is none of ASAP's".to_owned())),
            _ => {}
        }
    }
    for hole in holes {
        let areas = labels.areas.values_mut().flatten();
        if let Some(area) = areas.into_iter().find(|area| is_inside(&area.outlines[0], hole[0])) {
            area.outlines.push(hole);
        }
    }
    Ok(labels)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let found = tag.try_get_attribute(name).map_err(|error| error.to_string())?;
    Ok(found.map(|attribute| String::from_utf8_lossy(&attribute.value).into_owned()))
}

/// Whether a point lies within an outline, by the crossings of a line to its right.
fn is_inside(outline: &[Level0Point], point: Level0Point) -> bool {
    let next = outline.iter().cycle().skip(1);
    let crossings = outline.iter().zip(next).filter(|(a, b)| {
        (a.y <= point.y) != (b.y <= point.y) && a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x) > point.x
    });
    crossings.count() % 2 == 1
}

fn geojson(text: &str, origin: Level0Point) -> Result<SlideLabels, Wrong> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| Wrong { line: error.line() as u64, reason: error.to_string() })?;
    let features: Vec<&Value> = match (&document["features"], &document) {
        (Value::Array(features), _) | (_, Value::Array(features)) => features.iter().collect(),
        (_, one) if one["type"] == "Feature" => vec![one],
        _ => {
            return Err(Wrong {
                line: 1,
                reason: "neither a FeatureCollection, nor features, nor a Feature".to_owned(),
            });
        }
    };
    let mut labels = SlideLabels::default();
    for (number, feature) in features.into_iter().enumerate() {
        let Some(class) = class_of(&feature["properties"]["classification"]) else { continue };
        let geometry = &feature["geometry"];
        let polygons: Vec<&Value> = match geometry["type"].as_str() {
            Some("Polygon") => vec![&geometry["coordinates"]],
            Some("MultiPolygon") => geometry["coordinates"].as_array().into_iter().flatten().collect(),
            _ => continue,
        };
        for polygon in polygons {
            let rings = polygon.as_array().into_iter().flatten();
            let outlines: Option<Vec<_>> = rings.map(|ring| outline(ring, origin)).collect();
            let outlines = outlines.filter(|outlines| !outlines.is_empty()).ok_or_else(|| Wrong {
                line: 1,
                reason: format!("the coordinates of feature {} are no polygon", number + 1),
            })?;
            labels.areas.entry(class.clone()).or_default().push(Area { outlines });
        }
    }
    Ok(labels)
}

/// The name of a class, which older files give as text and derived classes as a list.
fn class_of(classification: &Value) -> Option<String> {
    let name = classification["name"].as_str().or(classification.as_str());
    let names = || {
        let names: Vec<&str> = classification["names"].as_array()?.iter().filter_map(Value::as_str).collect();
        Some(names.join(": "))
    };
    name.map(str::to_owned).or_else(names).filter(|name| !name.is_empty())
}

fn outline(ring: &Value, origin: Level0Point) -> Option<Vec<Level0Point>> {
    let corners: Option<Vec<Level0Point>> = ring
        .as_array()?
        .iter()
        .map(|corner| Some(Level0Point::new(corner[0].as_f64()? + origin.x, corner[1].as_f64()? + origin.y)))
        .collect();
    corners.filter(|corners| corners.len() >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Level0Rect;

    #[test]
    fn polygons_of_qupath_are_read_with_holes_and_moved_to_their_place() {
        let text = r#"{"type":"FeatureCollection","features":[
            {"type":"Feature","geometry":{"type":"Polygon","coordinates":
              [[[0,0],[100,0],[100,100],[0,100],[0,0]],[[0,0],[50,0],[50,100],[0,100],[0,0]]]},
             "properties":{"classification":{"name":"Tumor","color":[200,0,0]}}},
            {"type":"Feature","geometry":{"type":"Point","coordinates":[5,5]},
             "properties":{"classification":{"name":"Stroma"}}}]}"#;
        let labels = geojson(text, Level0Point::new(1000.0, 0.0)).unwrap();
        assert_eq!(labels.areas.len(), 1);
        let tiles = [Level0Rect::new(1000, 0, 100, 100), Level0Rect::new(1050, 0, 50, 100)];
        assert_eq!(super::super::covered(&labels.areas["Tumor"], &tiles), [0.5, 1.0]);
        let wrong = geojson("{\"features\":[\n{]}", Level0Point::default()).unwrap_err();
        assert_eq!(wrong.line, 2);
    }

    #[test]
    fn corners_stand_in_their_order_and_holes_are_cut_out() {
        let corner =
            |order: usize, x: f64, y: f64| format!("<Coordinate Order=\"{order}\" X=\"{x}\" Y=\"{y}\" />");
        let square = |group: &str, low: f64, high: f64| {
            format!(
                "<Annotation Name=\"a\" Type=\"Polygon\" PartOfGroup=\"{group}\"><Coordinates>{}{}{}{}</Coordinates></Annotation>",
                corner(1, high, low),
                corner(0, low, low),
                corner(2, high, high),
                corner(3, low, high)
            )
        };
        let text = format!(
            "<ASAP_Annotations><Annotations>{}{}</Annotations></ASAP_Annotations>",
            square("_0", 0.0, 100.0),
            square("_2", 25.0, 75.0)
        );
        let labels = asap(&text).unwrap();
        let tile = Level0Rect::new(0, 0, 100, 100);
        assert_eq!(super::super::covered(&labels.areas["_0"], &[tile]), [0.75]);
        assert!(!labels.areas.contains_key(HOLE_GROUP));
        assert_eq!(asap("<ASAP_Annotations>\n<Annotation").unwrap_err().line, 2);
    }
}
