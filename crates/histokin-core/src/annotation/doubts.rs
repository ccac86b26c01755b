//! Reasons to doubt that the coordinates of a file are level-0 pixels of a slide: positions beyond it, and what the file
//! itself states. The annotations are read all the same, and the user is told.

use std::sync::Arc;

use roxmltree::Node;

use super::json::RawJson;
use super::{Annotation, AnnotationFile, AnnotationSet, Bounds};
use crate::geometry::Level0Point;
use crate::number_format::{counted, grouped};
use crate::slide::{SlideInfo, names};

/// Maximum number of annotations whose members are inspected.
const MOST_INSPECTED: usize = 100_000;

/// Maximum number of values that a sentence names.
const MOST_NAMED: usize = 3;

/// Maximum number of characters of a value in a sentence.
const MOST_LETTERS: usize = 60;

/// Members that state the unit of coordinates, as [`key`] returns them.
const UNIT: [&str; 6] =
    ["unit", "units", "coordinateunit", "coordinateunits", "coordinatesunit", "coordinatesunits"];

/// Units of coordinates that are not pixels, in lower case.
const NOT_PIXELS: [&str; 27] = [
    "µm",
    "um",
    "micron",
    "microns",
    "micrometer",
    "micrometers",
    "micrometre",
    "micrometres",
    "mm",
    "millimeter",
    "millimeters",
    "millimetre",
    "millimetres",
    "nm",
    "nanometer",
    "nanometers",
    "nanometre",
    "nanometres",
    "cm",
    "inch",
    "inches",
    "relative",
    "normalized",
    "normalised",
    "fraction",
    "percent",
    "%",
];

/// Members that state the downsample of coordinates.
const DOWNSAMPLE: [&str; 3] = ["downsample", "leveldownsample", "downsamplefactor"];

/// Members that name the image of an annotation.
const IMAGE: [&str; 9] =
    ["image", "imagename", "slide", "slidename", "slideid", "wsi", "wsiname", "filename", "imagefile"];

/// Members in which other programs than QuPath keep the class.
const CLASS: [&str; 5] = ["label", "class", "classname", "category", "phenotype"];

impl AnnotationFile {
    /// Returns a sentence for everything that speaks against the places of the annotations on a slide, on which they have been
    /// [placed](Self::place_on), or against their classes.
    pub fn doubts(&self, info: &SlideInfo) -> Vec<String> {
        let set = &self.set;
        let doubts = [
            beyond(set, info),
            within_a_pixel(set, info),
            stated_unit(set),
            stated_downsample(set),
            other_images(set, info),
            classes_elsewhere(set),
        ];
        doubts.into_iter().flatten().collect()
    }
}

/// Returns a sentence if the elements at the top of an XML document state that coordinates are not pixels.
pub fn unit_of_xml(root: Node<'_, '_>) -> Option<String> {
    const MOST_ELEMENTS: usize = 100;
    let top = std::iter::once(root).chain(root.children().filter(Node::is_element).take(MOST_ELEMENTS));
    top.flat_map(|node| node.attributes())
        .find_map(|attribute| in_other_unit(attribute.name(), attribute.value()))
}

/// Annotations wholly beyond the slide, as those of another slide are.
fn beyond(set: &AnnotationSet, info: &SlideInfo) -> Option<String> {
    let (width, height) = (info.width(), info.height());
    let slide =
        Bounds::between(Level0Point::default(), Level0Point::new(f64::from(width), f64::from(height)));
    let detections = set.detections();
    let detections = detections.len().saturating_sub(detections.within(slide).len());
    let is_beyond = |one: &&Arc<Annotation>| one.bounds().is_some_and(|bounds| !bounds.intersects(&slide));
    let beyond = detections + set.objects().filter(is_beyond).count();
    (beyond > 0).then(|| {
        format!(
            "{} of {} lie beyond the slide of {width} × {height} px: the file may belong to another slide, or its \
             coordinates may not be level-0 pixels.",
            grouped(beyond as u64),
            counted(set.len() as u64, "annotation")
        )
    })
}

/// All annotations in the first pixel, as fractions of the slide's width and height are.
fn within_a_pixel(set: &AnnotationSet, info: &SlideInfo) -> Option<String> {
    let pixel = Bounds::between(Level0Point::default(), Level0Point::new(1.0, 1.0));
    let is_within = |bounds: &Bounds| {
        let is_inside = |point: Level0Point| {
            (pixel.min.x..=pixel.max.x).contains(&point.x) && (pixel.min.y..=pixel.max.y).contains(&point.y)
        };
        is_inside(bounds.min) && is_inside(bounds.max)
    };
    if !set.detections().is_empty() || info.width().max(info.height()) <= 1 {
        return None;
    }
    let mut placed = set.objects().filter_map(|one| one.bounds()).peekable();
    placed.peek()?;
    placed.all(|bounds| is_within(&bounds)).then(|| {
        "All annotations lie within the first pixel of the slide: its coordinates may be fractions of the slide's width \
         and height."
            .to_owned()
    })
}

fn stated_unit(set: &AnnotationSet) -> Option<String> {
    members(set).find_map(|(name, value)| in_other_unit(name, &value.as_string()?))
}

fn stated_downsample(set: &AnnotationSet) -> Option<String> {
    let number = |value: &RawJson| serde_json::from_str::<f64>(value.get()).ok();
    let is_of_level = |(name, value): &(String, RawJson)| key(name) == "level" && number(value) > Some(0.0);
    let level = set
        .members
        .iter()
        .find(|member| is_of_level(member))
        .map(|(_, value)| format!("It states level {}", value.get()));
    let downsample = || {
        members(set).filter(|(name, _)| DOWNSAMPLE.contains(&key(name).as_str())).find_map(|(_, value)| {
            let number = number(value).filter(|number| *number != 1.0)?;
            Some(format!("It states a downsample of {number}"))
        })
    };
    let stated = level.or_else(downsample)?;
    Some(format!(
        "{stated} for its coordinates, but they are read as those of level 0: check where the annotations lie."
    ))
}

/// Names of other images than the slide.
fn other_images(set: &AnnotationSet, info: &SlideInfo) -> Option<String> {
    let file = info.path.file_name()?.to_string_lossy().into_owned();
    let stem = info.path.file_stem()?.to_string_lossy().into_owned();
    let (mut others, mut count) = (Vec::new(), 0_u64);
    for (name, value) in members(set) {
        let Some(image) = value.as_string().filter(|_| IMAGE.contains(&key(name).as_str())) else { continue };
        if !image.trim().is_empty() && names::fit(&image, &[&file, &stem, &info.id.0]).is_none() {
            count += 1;
            note(&mut others, image);
        }
    }
    (count > 0).then(|| {
        format!(
            "The file names another image than {file} for {}: {}; it may belong to another slide, or to several.",
            counted(count, "annotation"),
            listed(&others)
        )
    })
}

/// Classes where QuPath does not look for them, if no annotation has one where it does.
fn classes_elsewhere(set: &AnnotationSet) -> Option<String> {
    let (mut found, mut values) = (None, Vec::new());
    for one in set.objects().take(MOST_INSPECTED) {
        if one.class.is_some() {
            return None;
        }
        for (name, value) in &one.foreign.properties {
            let is_class = CLASS.contains(&key(name).as_str()) && found.is_none_or(|known| known == name);
            if let Some(text) = value.as_string().filter(|text| is_class && !text.trim().is_empty()) {
                found = Some(name);
                note(&mut values, text);
            }
        }
    }
    let name = found?;
    Some(format!(
        "No annotation has a class, which QuPath keeps in “classification”; their “{name}” ({}) is kept, but is not a class.",
        listed(&values)
    ))
}

/// The further members of the collection, of its annotations and of their properties.
fn members(set: &AnnotationSet) -> impl Iterator<Item = (&str, &RawJson)> {
    let objects = set.objects().take(MOST_INSPECTED);
    let of_objects = objects.flat_map(|one| one.foreign.own.iter().chain(&one.foreign.properties));
    set.members.iter().chain(of_objects).map(|(name, value)| (name.as_str(), value))
}

/// Returns a sentence if a member states that coordinates are not pixels.
fn in_other_unit(name: &str, value: &str) -> Option<String> {
    let unit = value.trim().to_lowercase().replace('μ', "µ");
    (UNIT.contains(&key(name).as_str()) && NOT_PIXELS.contains(&unit.as_str())).then(|| {
        format!(
            "It states the unit “{}”, but its coordinates are read as level-0 pixels: check where the annotations lie.",
            value.trim()
        )
    })
}

/// Returns the letters of a name in lower case.
fn key(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Adds a value to those that a sentence names, once.
fn note(values: &mut Vec<String>, value: String) {
    if values.len() <= MOST_NAMED && !values.contains(&value) {
        values.push(value);
    }
}

fn listed(values: &[String]) -> String {
    let short = |value: &String| match value.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.clone(),
    };
    let more = if values.len() > MOST_NAMED { ", …" } else { "" };
    format!("{}{more}", values.iter().take(MOST_NAMED).map(short).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::annotation::read_bytes;
    use crate::slide::SlideSource;
    use crate::slide::test_slide::TestSlide;

    /// Notes about a file on a slide of 4,000 × 3,000 px called `test-4000x3000.svs`.
    fn notes(text: &str) -> String {
        let mut file = read_bytes(text.as_bytes(), Path::new("a.geojson")).unwrap();
        file.place_on(TestSlide::new(4000, 3000).info(), None);
        file.notes.join(" ")
    }

    fn collection(members: &str, properties: &str) -> String {
        let geometry = r#"{"type":"Polygon","coordinates":[[[100,100],[300,100],[300,300],[100,100]]]}"#;
        format!(
            r#"{{"type":"FeatureCollection",{members}"features":[
            {{"type":"Feature","geometry":{geometry},"properties":{{{properties}}}}}]}}"#
        )
    }

    #[test]
    fn a_file_that_states_other_coordinates_than_pixels_is_told() {
        for (members, properties) in [
            (r#""units":"microns","#, ""),
            (r#""coordinate_unit":"\u03bcm","#, ""),
            ("", r#""unit":"mm""#),
            (r#""units":"relative","#, ""),
        ] {
            let told = notes(&collection(members, properties));
            assert!(told.contains("states the unit"), "{members} {properties}: {told}");
        }
        assert!(notes(&collection(r#""level":2,"#, "")).contains("states level 2"));
        assert!(notes(&collection("", r#""downsample":16.0"#)).contains("downsample of 16"));
        for (members, properties) in [
            ("", ""),
            (r#""units":"px","level":0,"#, r#""downsample":1,"level":3"#),
            (r#""area_unit":"um","#, r#""unit":"mm²""#),
        ] {
            assert_eq!(notes(&collection(members, properties)), "", "{members} {properties}");
        }
    }

    #[test]
    fn xml_that_states_a_unit_is_told() {
        let point =
            |order: u32, at: u32| format!(r#"<Coordinate Order="{order}" X="{at}" Y="{}"/>"#, at * at);
        let points: String = (0..3).map(|order| point(order, 10 + order)).collect();
        let asap = |unit: &str| {
            let of = "Name='a' Type='Polygon' PartOfGroup='None' Color='#ff0000'";
            format!(
                "<ASAP_Annotations><Annotations{unit}><Annotation {of}><Coordinates>{points}</Coordinates></Annotation>\
                 </Annotations></ASAP_Annotations>"
            )
        };
        assert_eq!(notes(&asap("")), "");
        assert!(notes(&asap(" Unit=\"um\"")).contains("states the unit “um”"));
    }

    #[test]
    fn fractions_of_the_slide_are_told() {
        let of = |points: &str| format!(r#"{{"type":"Polygon","coordinates":[[{points}]]}}"#);
        let told = notes(&of("[0.1,0.1],[0.9,0.1],[0.9,0.9],[0.1,0.1]"));
        assert!(told.contains("may be fractions"), "{told}");
        assert_eq!(notes(&of("[0.1,0.1],[9,0.1],[9,9],[0.1,0.1]")), "");
    }

    #[test]
    fn annotations_of_other_slides_are_told() {
        let told = notes(&collection("", r#""image":"other.svs""#));
        assert!(told.contains("other.svs") && told.contains("1 annotation"), "{told}");
        let told = notes(&collection(r#""slide_name":"D:\\x\\other 2.tif","#, ""));
        assert!(told.contains("other 2.tif"), "{told}");
        for name in ["test-4000x3000.svs", "/data/TEST-4000x3000.svs", "test-4000x3000"] {
            assert_eq!(notes(&collection("", &format!(r#""image":"{name}""#))), "", "{name}");
        }
    }

    #[test]
    fn classes_that_are_not_read_are_told() {
        let told = notes(&collection("", r#""label":"Tumour""#));
        assert!(told.contains("“label” (Tumour)"), "{told}");
        assert_eq!(notes(&collection("", r#""label":"x","classification":{"name":"Tumour"}"#)), "");
    }
}
