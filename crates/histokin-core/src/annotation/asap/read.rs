//! Reading of ASAP documents.

use std::collections::HashMap;

use roxmltree::{Document, Node};
use uuid::Uuid;

use super::{
    AsapOrigin, HOLE_ATTRIBUTE, ID_ATTRIBUTE, NO_GROUP, OWN_ATTRIBUTES, PART_ATTRIBUTE, SHAPE_ATTRIBUTE,
    color_from_text, text_from_color,
};
use crate::annotation::file::{FormatError, Read, id_from_text};
use crate::annotation::left_out::LeftOut;
use crate::annotation::{Annotation, AnnotationClass, Bounds, Group, Polygon, Ring, Shape, identity, xml};
use crate::number_format::of_program;

/// Reads the annotations of an ASAP document. Those that cannot be read are left out.
///
/// # Errors
/// Fails if none of them can be read, with the line of the first.
pub fn read(document: &Document<'_>) -> Result<Read, FormatError> {
    let reader = Reader { document };
    let root = document.root_element();
    let holder = |name: &str| root.children().find(|node| node.has_tag_name(name));
    let list = if root.has_tag_name("Annotations") { Some(root) } else { holder("Annotations") };
    let mut read = Read::default();
    let set = &mut read.set;
    if let Some(groups) = holder("AnnotationGroups") {
        set.groups = groups.children().filter(Node::is_element).map(|group| reader.group(group)).collect();
    }
    let mut outlines = Vec::new();
    let mut first = None;
    for (number, node) in list.iter().flat_map(Node::children).filter(Node::is_element).enumerate() {
        match reader.outline(node, &set.groups) {
            Ok(outline) => outlines.push(outline),
            Err(error) => read.left_out.add(|| {
                let (object, id) =
                    (format!("annotation {}", number + 1), node.attribute("Name").map(str::to_owned));
                let (line, reason) = (error.line, error.reason.clone());
                first.get_or_insert_with(|| error.within(&object));
                LeftOut { object, id, line, reason }
            }),
        }
    }
    if let Some(error) = first.filter(|_| outlines.is_empty()) {
        return Err(error);
    }
    let notes = &mut read.notes;
    let splines = outlines.iter().filter(|one| one.kind == "Spline").count();
    if splines > 0 {
        notes.push(format!("Splines, drawn and measured along their control points: {splines}."));
    }
    let unordered = outlines.iter().filter(|one| !one.is_ordered).count();
    if unordered > 0 {
        notes.push(format!(
            "Annotations with a repeated or missing Order, read in the order of the file: {unordered}."
        ));
    }
    let is_declared = |name: &str| set.groups.iter().any(|group| group.name == name);
    let undeclared =
        outlines.iter().filter_map(|one| one.class.as_ref()).find(|class| !is_declared(&class.name));
    if let Some(class) = undeclared {
        notes.push(format!(
            "The file uses the group {:?} without declaring it; ASAP would open it empty.",
            class.name
        ));
    }
    let annotations = joined(outlines).into_iter().map(|annotation| (annotation, None)).collect();
    identity::insert_with_ids(annotations, "", set);
    Ok(read)
}

/// One `Annotation` element: a single outline, which may be a part or a hole of a larger annotation.
struct Outline {
    kind: String,
    name: String,
    class: Option<AnnotationClass>,
    points: Ring,
    /// Whether each of its coordinates has a unique `Order`.
    is_ordered: bool,
    origin: AsapOrigin,
    is_ellipse: bool,
    /// ID of the annotation to which it belongs, index of the part, and index of the hole in this part.
    belongs: Option<(Uuid, usize, Option<usize>)>,
    /// XML of the element, from which the ID is derived if it has none.
    written: String,
}

struct Reader<'a, 'input> {
    document: &'a Document<'input>,
}

impl Reader<'_, '_> {
    fn group(&self, node: Node<'_, '_>) -> Group {
        let text = |name: &str| node.attribute(name).unwrap_or_default().to_owned();
        let attributes = node.children().filter(|child| child.has_tag_name("Attributes"));
        let pairs = attributes.flat_map(|list| list.children()).flat_map(|one| one.attributes());
        Group {
            name: text("Name"),
            color: text("Color"),
            parent: Some(text("PartOfGroup")).filter(|parent| !parent.is_empty() && parent != NO_GROUP),
            attributes: pairs.map(|pair| (pair.name().to_owned(), pair.value().to_owned())).collect(),
        }
    }

    fn outline(&self, node: Node<'_, '_>, groups: &[Group]) -> Result<Outline, FormatError> {
        let attribute = |name: &str| node.attribute(name);
        let group = attribute("PartOfGroup").filter(|group| !group.is_empty() && *group != NO_GROUP);
        let class = group.map(|name| {
            let declared = groups.iter().find(|group| group.name == name);
            match declared.and_then(|group| color_from_text(&group.color)) {
                Some(color) => AnnotationClass::new(name, color),
                None => AnnotationClass::named(name),
            }
        });
        let number = |name: &str| attribute(name).and_then(|text| text.parse::<usize>().ok());
        let id = attribute(ID_ATTRIBUTE).and_then(|id| Uuid::parse_str(id).ok());
        let further = node.attributes().filter(|one| !OWN_ATTRIBUTES.contains(&one.name()));
        let elements =
            node.children().filter(|child| child.is_element() && !child.has_tag_name("Coordinates"));
        let text = self.document.input_text();
        let (points, is_ordered) = self.coordinates(node)?;
        Ok(Outline {
            kind: attribute("Type").unwrap_or(NO_GROUP).to_owned(),
            name: attribute("Name").unwrap_or_default().to_owned(),
            class,
            points,
            is_ordered,
            origin: AsapOrigin {
                kind: None,
                color: attribute("Color").map(str::to_owned),
                attributes: further.map(|one| (one.name().to_owned(), one.value().to_owned())).collect(),
                elements: elements.map(|child| text[child.range()].to_owned()).collect(),
                holes: Vec::new(),
            },
            is_ellipse: attribute(SHAPE_ATTRIBUTE) == Some("Ellipse"),
            belongs: id.map(|id| (id, number(PART_ATTRIBUTE).unwrap_or(0), number(HOLE_ATTRIBUTE))),
            written: text[node.range()].to_owned(),
        })
    }

    /// Returns the coordinates, and whether each has a unique `Order`. They are sorted by it if so; otherwise
    /// they keep the order of the file.
    fn coordinates(&self, node: Node<'_, '_>) -> Result<(Ring, bool), FormatError> {
        let lists = node.children().filter(|child| child.has_tag_name("Coordinates"));
        let mut coordinates = Vec::new();
        for coordinate in lists.flat_map(|list| list.children()).filter(Node::is_element) {
            let order = coordinate.attribute("Order").and_then(of_program);
            coordinates.push((order, xml::point(self.document, coordinate, "a coordinate")?));
        }
        let mut orders: Vec<f64> = coordinates.iter().filter_map(|(order, _)| *order).collect();
        orders.sort_by(f64::total_cmp);
        let is_ordered =
            orders.len() == coordinates.len() && orders.windows(2).all(|pair| pair[0] != pair[1]);
        if is_ordered {
            coordinates.sort_by(|a, b| a.0.unwrap_or(0.0).total_cmp(&b.0.unwrap_or(0.0)));
        }
        Ok((coordinates.into_iter().map(|(_, point)| point).collect(), is_ordered))
    }
}

/// Joins outlines that are parts and holes of the same annotation.
fn joined(outlines: Vec<Outline>) -> Vec<Annotation> {
    let mut annotations: Vec<Annotation> = Vec::new();
    let mut indices: HashMap<Uuid, usize> = HashMap::new();
    for outline in outlines {
        let Some((id, part, hole)) = outline.belongs else {
            let id = id_from_text(&outline.written);
            annotations.push(annotation(outline, id));
            continue;
        };
        let Some(&index) = indices.get(&id) else {
            indices.insert(id, annotations.len());
            annotations.push(annotation(outline, id));
            continue;
        };
        let whole = &mut annotations[index];
        let mut polygons = whole.shape().polygons().into_owned();
        match (hole, polygons.get_mut(part)) {
            (Some(_), Some(polygon)) => polygon.holes.push(outline.points),
            _ => polygons.push(Polygon::new(outline.points)),
        }
        whole.set_shape(Shape::Polygons(polygons));
    }
    annotations
}

fn annotation(outline: Outline, id: Uuid) -> Annotation {
    let Outline { kind, name, class, points, mut origin, is_ellipse, .. } = outline;
    let (shape, is_derivable) = shape(&kind, points, is_ellipse);
    origin.kind = (!is_derivable).then_some(kind);
    let color = origin.color.as_deref().and_then(color_from_text);
    if class.is_none() {
        // Without a group, the colour is that of the annotation.
        origin.color = origin.color.filter(|text| color.map(text_from_color).as_ref() != Some(text));
    } else if color.is_some() && color == class.as_ref().map(|class| class.color) {
        origin.color = origin.color.filter(|text| color.map(text_from_color).as_ref() != Some(text));
    }
    let mut annotation = Annotation::new(shape, class);
    annotation.id = id;
    annotation.name = Some(name).filter(|name| !name.is_empty());
    annotation.color = color.filter(|_| annotation.class.is_none());
    annotation.asap = Some(origin).filter(|origin| *origin != AsapOrigin::default());
    annotation
}

/// Returns the shape of an outline, and whether its type can be derived from the shape.
fn shape(kind: &str, points: Ring, is_ellipse: bool) -> (Shape, bool) {
    match (kind, points.len()) {
        ("Dot", 1) => (Shape::Points(points), true),
        ("PointSet", count) => (Shape::Points(points), count > 1),
        ("Measurement", count) if count > 1 => (Shape::Lines(vec![points]), true),
        // Scripts state two opposite corners.
        ("Rectangle", 2) => match Bounds::around(&points) {
            Some(bounds) if bounds.width() > 0.0 && bounds.height() > 0.0 => (Shape::Rectangle(bounds), true),
            _ => (Shape::Lines(vec![points]), false),
        },
        ("Rectangle", 4) => match Bounds::around(&points).filter(|bounds| bounds.corners()[..] == points[..])
        {
            Some(bounds) => (Shape::Rectangle(bounds), true),
            None => (Shape::polygon(points), false),
        },
        (_, 3..) if is_ellipse && kind == "Polygon" => match Bounds::around(&points) {
            Some(bounds) => (Shape::Ellipse(bounds), true),
            None => (Shape::polygon(points), true),
        },
        (_, 3..) => (Shape::polygon(points), kind == "Polygon"),
        (_, 2) => (Shape::Lines(vec![points]), false),
        _ => (Shape::Points(points), false),
    }
}
