//! Writing of ASAP documents.

use std::fmt::Write;

use super::{
    AsapOrigin, HOLE_ATTRIBUTE, HOLE_GROUP, ID_ATTRIBUTE, NO_GROUP, OWN_ATTRIBUTES, PART_ATTRIBUTE,
    SHAPE_ATTRIBUTE, color_from_text, text_from_color,
};
use crate::annotation::{Annotation, AnnotationSet, Group, ObjectKind, Shape};
use crate::geometry::Level0Point;
use crate::number_format::grouped;

/// Colour of the group of holes.
const HOLE_COLOR: &str = "#000000";

/// Returns the set as an ASAP document, and sentences on what it cannot store.
pub fn write(set: &AnnotationSet) -> (String, Vec<String>) {
    let mut groups = set.groups.clone();
    let mut body = String::new();
    let mut odd_markup = 0;
    for (index, annotation) in set.iter().enumerate() {
        write_annotation(&mut body, &annotation, index, &mut groups);
        if let Some(origin) = &annotation.asap {
            odd_markup += origin.attributes.len() - plain_attributes(&origin.attributes).len();
            odd_markup += origin.elements.iter().filter(|element| !is_element(element)).count();
        }
    }
    let known: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
    let mut text = String::from("<?xml version=\"1.0\"?>\n<ASAP_Annotations>\n\t<Annotations>\n");
    text += &body;
    text += "\t</Annotations>\n\t<AnnotationGroups>\n";
    for group in &groups {
        // ASAP shows an empty list if a group is part of a group that is not declared.
        let parent = group.parent.as_deref().filter(|parent| known.iter().any(|name| name == parent));
        let attributes = [
            ("Name", group.name.as_str()),
            ("PartOfGroup", parent.unwrap_or(NO_GROUP)),
            ("Color", group.color.as_str()),
        ];
        text += "\t\t<Group";
        attributes.iter().for_each(|(name, value)| push_attribute(&mut text, name, value));
        text += ">\n";
        if group.attributes.is_empty() {
            text += "\t\t\t<Attributes />\n";
        } else {
            text += "\t\t\t<Attributes>\n";
            for pair in &group.attributes {
                // One element per attribute, since names may be repeated.
                for (name, value) in plain_attributes(std::slice::from_ref(pair)) {
                    text += "\t\t\t\t<Attribute";
                    push_attribute(&mut text, name, value);
                    text += " />\n";
                }
            }
            text += "\t\t\t</Attributes>\n";
        }
        text += "\t\t</Group>\n";
    }
    text += "\t</AnnotationGroups>\n</ASAP_Annotations>\n";
    let mut notes = left_out(set);
    if odd_markup > 0 {
        notes.push(format!(
            "Elements or attributes of other programs that are not valid XML and were left out: {odd_markup}."
        ));
    }
    (text, notes)
}

/// Returns whether a text of unknown origin is exactly one XML element that has no meaning for ASAP.
fn is_element(text: &str) -> bool {
    roxmltree::Document::parse(text).is_ok_and(|document| {
        let root = document.root_element();
        root.range() == (0..text.len()) && !root.has_tag_name("Coordinates")
    })
}

/// Returns the attributes with valid and unique names that are not written from the annotation itself.
fn plain_attributes(attributes: &[(String, String)]) -> Vec<(&str, &str)> {
    // A name is valid if a parser returns it unchanged.
    let is_name = |name: &str| {
        let element = format!("<a {name}=\"\"/>");
        let read = roxmltree::Document::parse(&element);
        read.is_ok_and(|read| read.root_element().attributes().map(|one| one.name()).eq([name]))
    };
    let mut seen: Vec<&str> = Vec::new();
    let mut plain = Vec::new();
    for (name, value) in attributes {
        if is_name(name) && !OWN_ATTRIBUTES.contains(&name.as_str()) && !seen.contains(&name.as_str()) {
            seen.push(name);
            plain.push((name.as_str(), value.as_str()));
        }
    }
    plain
}

/// Returns sentences on what the format cannot store.
fn left_out(set: &AnnotationSet) -> Vec<String> {
    let count = |what: &dyn Fn(&Annotation) -> bool| set.iter().filter(|one| what(one)).count();
    let measured = count(&|one| !one.measurements.is_empty() || !one.metadata.is_empty());
    let locked = count(&|one| one.locked);
    let cells = count(&|one| one.nucleus().is_some() || one.kind != ObjectKind::Annotation);
    let nested = count(&|one| one.parent.is_some());
    [
        (nested, "parent"),
        (measured, "measurements and metadata"),
        (locked, "lock"),
        (cells, "object type and nucleus"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| {
        let count = grouped(count as u64);
        format!("Annotations that lose their {what}, since ASAP cannot store it: {count}.")
    })
    .collect()
}

fn write_annotation(text: &mut String, annotation: &Annotation, index: usize, groups: &mut Vec<Group>) {
    let plain = AsapOrigin::default();
    let origin = annotation.asap.as_ref().unwrap_or(&plain);
    let group = match &annotation.class {
        None => NO_GROUP.to_owned(),
        Some(class) => {
            // A class of this name would be read as no class.
            let name = if class.name == NO_GROUP { "None (class)".to_owned() } else { class.name.clone() };
            declare(groups, &name, &text_from_color(class.color));
            name
        }
    };
    let name = annotation.name.clone().unwrap_or_else(|| match annotation.class {
        Some(_) => format!("{} {index}", annotation.title()),
        None => format!("Annotation {index}"),
    });
    let color = origin
        .color
        .clone()
        .filter(|text| annotation.color.is_none_or(|color| color_from_text(text) == Some(color)));
    let color = color.unwrap_or_else(|| text_from_color(annotation.drawn_color()));
    let mut head = Head { name: &name, kind: "", group: &group, color: &color, origin, belongs: Vec::new() };
    match annotation.shape() {
        Shape::Points(points) => {
            head.kind = origin.kind.as_deref().unwrap_or(if points.len() == 1 { "Dot" } else { "PointSet" });
            head.write(text, points);
        }
        Shape::Lines(lines) => {
            head.kind = origin.kind.as_deref().unwrap_or("Measurement");
            lines.iter().for_each(|line| head.write(text, line));
        }
        Shape::Rectangle(bounds) => {
            head.kind = "Rectangle";
            head.write(text, &bounds.corners());
        }
        area => write_area(text, annotation, area, head, groups),
    }
}

fn write_area(
    text: &mut String,
    annotation: &Annotation,
    area: &Shape,
    mut head: Head<'_>,
    groups: &mut Vec<Group>,
) {
    let polygons = area.polygons();
    let id = annotation.id.hyphenated().to_string();
    let holes = polygons.iter().map(|polygon| polygon.holes.len()).sum::<usize>();
    let known_holes = &head.origin.holes;
    // Holes from Camelyon16's group are written back to it unchanged.
    let is_single = polygons.len() == 1 && (holes == 0 || holes == known_holes.len());
    let mut hole_number = 0;
    for (part, polygon) in polygons.iter().enumerate() {
        head.kind = match head.origin.kind.as_deref() {
            Some("Rectangle") if polygon.exterior.len() != 4 => "Polygon",
            Some(kind @ ("Spline" | "Rectangle" | "None")) => kind,
            _ => "Polygon",
        };
        head.belongs.clear();
        if !is_single {
            head.belongs = vec![(ID_ATTRIBUTE, id.clone()), (PART_ATTRIBUTE, part.to_string())];
        }
        if matches!(area, Shape::Ellipse(_)) {
            head.belongs.push((SHAPE_ATTRIBUTE, "Ellipse".to_owned()));
        }
        head.write(text, &polygon.exterior);
        for (number, hole) in polygon.holes.iter().enumerate() {
            let default = (format!("{} hole {}", head.name, hole_number + 1), HOLE_COLOR.to_owned());
            let (name, color) = if is_single { &known_holes[hole_number] } else { &default };
            hole_number += 1;
            declare(groups, HOLE_GROUP, HOLE_COLOR);
            let plain = AsapOrigin::default();
            let mut belongs = head.belongs.clone();
            if !is_single {
                belongs.push((HOLE_ATTRIBUTE, number.to_string()));
            }
            let hole_head = Head { name, kind: "Polygon", group: HOLE_GROUP, color, origin: &plain, belongs };
            hole_head.write(text, hole);
        }
    }
}

fn declare(groups: &mut Vec<Group>, name: &str, color: &str) {
    if !groups.iter().any(|group| group.name == name) {
        let (name, color) = (name.to_owned(), color.to_owned());
        groups.push(Group { name, color, parent: None, attributes: Vec::new() });
    }
}

/// Everything in an `Annotation` element except its coordinates.
struct Head<'a> {
    name: &'a str,
    kind: &'a str,
    group: &'a str,
    color: &'a str,
    origin: &'a AsapOrigin,
    belongs: Vec<(&'static str, String)>,
}

impl Head<'_> {
    fn write(&self, text: &mut String, points: &[Level0Point]) {
        *text += "\t\t<Annotation";
        let attributes =
            [("Name", self.name), ("Type", self.kind), ("PartOfGroup", self.group), ("Color", self.color)];
        attributes.iter().for_each(|(name, value)| push_attribute(text, name, value));
        let further = plain_attributes(&self.origin.attributes);
        further.into_iter().for_each(|(name, value)| push_attribute(text, name, value));
        self.belongs.iter().for_each(|(name, value)| push_attribute(text, name, value));
        *text += ">\n\t\t\t<Coordinates>\n";
        for (order, point) in points.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\t\t\t\t<Coordinate Order=\"{order}\" X=\"{}\" Y=\"{}\" />",
                point.x, point.y
            );
        }
        *text += "\t\t\t</Coordinates>\n";
        for element in self.origin.elements.iter().filter(|element| is_element(element)) {
            *text += "\t\t\t";
            *text += element;
            *text += "\n";
        }
        *text += "\t\t</Annotation>\n";
    }
}

fn push_attribute(text: &mut String, name: &str, value: &str) {
    text.push(' ');
    *text += name;
    *text += "=\"";
    for character in value.chars() {
        match character {
            '&' => *text += "&amp;",
            '<' => *text += "&lt;",
            '>' => *text += "&gt;",
            '"' => *text += "&quot;",
            '\n' => *text += "&#10;",
            '\r' => *text += "&#13;",
            '\t' => *text += "&#9;",
            // These characters are not allowed in XML.
            other if other.is_control() || matches!(other, '\u{fffe}' | '\u{ffff}') => {}
            other => text.push(other),
        }
    }
    text.push('"');
}
