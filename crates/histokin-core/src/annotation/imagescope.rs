//! The XML of Aperio ImageScope, read only. HALO (Indica Labs) writes the same format with type names instead
//! of numbers.
//!
//! `Annotation` is a layer with a name and a colour. `Region` is an outline in level-0 pixels, regardless of
//! its `Zoom` and of the file's `MicronsPerPixel`. `Type` is 0 for a drawn outline, 1 for a rectangle, 2 for
//! an ellipse given by its bounding box, 3 for an arrow, 4 for a ruler, 5 for points. Regions with
//! `NegativeROA="1"` are cut out of the other regions of their layer. Colours are numbers in the form
//! 0xBBGGRR.

use roxmltree::{Document, Node};

use super::color::from_bgr;
use super::file::{FormatError, Read};
use super::identity::{self, id_in_file};
use super::left_out::LeftOut;
use super::xml::{point, wrong};
use super::{Annotation, AnnotationClass, Bounds, Polygon, RawJson, Ring, Shape};

/// Reads the annotations of an ImageScope document. Regions that cannot be read are left out.
///
/// # Errors
/// Fails if none of its regions can be read, with the line of the first.
pub fn read(document: &Document<'_>, source: &str) -> Result<Read, FormatError> {
    let mut read = Read::default();
    let mut annotations = Vec::new();
    let (mut first, mut cut, mut kept) = (None, 0, 0);
    let layers = document.root_element().children().filter(|node| node.has_tag_name("Annotation"));
    for (number, layer) in layers.enumerate() {
        let name = format!("layer {}", number + 1);
        let mut layer = Layer::new(document, layer, number, source);
        let regions = layer.node.children().filter(|node| node.has_tag_name("Regions"));
        for (number, node) in
            regions.flat_map(|list| list.children()).filter(|one| one.has_tag_name("Region")).enumerate()
        {
            if let Err(error) = layer.take(node, number) {
                read.left_out.add(|| {
                    let (object, id) =
                        (format!("{name}, region {}", number + 1), node.attribute("Id").map(str::to_owned));
                    let (line, reason) = (error.line, error.reason.clone());
                    first.get_or_insert_with(|| error.within(&object));
                    LeftOut { object, id, line, reason }
                });
            }
        }
        let (holes, alone) = layer.cut();
        (cut, kept) = (cut + holes, kept + alone);
        annotations.extend(layer.regions.into_iter().map(|region| (region, None)));
    }
    if let Some(error) = first.filter(|_| annotations.is_empty()) {
        return Err(error);
    }
    if cut > 0 {
        let regions = annotations.len() + cut;
        read.notes
            .push(format!("Negative regions, cut out of others in their layer: {cut} of {regions} regions."));
    }
    if kept > 0 {
        read.notes.push(format!("Negative regions outside all others, kept without a class: {kept}."));
    }
    identity::insert_with_ids(annotations, source, &mut read.set);
    Ok(read)
}

/// A layer of the file, with its regions that were read.
struct Layer<'a, 'input> {
    document: &'a Document<'input>,
    node: Node<'a, 'input>,
    source: &'a str,
    /// Its ID in the file.
    id: String,
    class: Option<AnnotationClass>,
    color: Option<[u8; 3]>,
    regions: Vec<Annotation>,
    negative: Vec<Annotation>,
}

impl<'a, 'input> Layer<'a, 'input> {
    fn new(document: &'a Document<'input>, node: Node<'a, 'input>, number: usize, source: &'a str) -> Self {
        let color = node.attribute("LineColor").and_then(|text| text.trim().parse().ok()).map(from_bgr);
        let class = name_of(node).map(|name| match color {
            Some(color) => AnnotationClass::new(name, color),
            None => AnnotationClass::named(&name),
        });
        let id = node.attribute("Id").map_or_else(|| (number + 1).to_string(), str::to_owned);
        Self { document, node, source, id, class, color, regions: Vec::new(), negative: Vec::new() }
    }

    /// Reads a region.
    fn take(&mut self, node: Node<'a, 'input>, number: usize) -> Result<(), FormatError> {
        let mut points = Ring::new();
        for list in node.children().filter(|child| child.has_tag_name("Vertices")) {
            for vertex in list.children().filter(Node::is_element) {
                points.push(point(self.document, vertex, "a vertex")?);
            }
        }
        let shape = self.shape(node, points)?;
        let is_negative =
            node.attribute("NegativeROA").is_some_and(|flag| matches!(flag.trim(), "1" | "true" | "True"));
        let class = self.class.clone().filter(|_| !is_negative);
        let mut annotation = Annotation::new(shape, class);
        let number = node.attribute("Id").map_or_else(|| (number + 1).to_string(), str::to_owned);
        annotation.id = id_in_file(self.source, &format!("layer {} region {number}", self.id));
        annotation.color = self.color.filter(|_| annotation.class.is_none());
        annotation.name =
            node.attribute("Text").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        annotation.metadata = attributes(node);
        match is_negative && annotation.shape().is_area() {
            true => self.negative.push(annotation),
            false => self.regions.push(annotation),
        }
        Ok(())
    }

    fn shape(&self, node: Node<'_, '_>, points: Ring) -> Result<Shape, FormatError> {
        let kind = node.attribute("Type").unwrap_or("0").trim();
        let bounds = Bounds::around(&points);
        let few = |least: usize| {
            let count = points.len();
            let reason = format!("a region of type {kind} needs at least {least} vertices, but has {count}");
            wrong(self.document, node, reason)
        };
        match (kind, bounds) {
            (_, None) => Err(few(1)),
            ("1" | "Rectangle", Some(bounds)) => match points.as_slice() {
                [_] => Err(few(2)),
                // Two opposite corners, or all four corners of an axis-aligned rectangle.
                [_, _] => Ok(Shape::Rectangle(bounds)),
                [a, b, c, d] if is_upright(&[*a, *b, *c, *d], &bounds) => Ok(Shape::Rectangle(bounds)),
                _ => outline(points.clone()).ok_or_else(|| few(3)),
            },
            ("2" | "Ellipse", Some(bounds)) if points.len() > 1 => Ok(Shape::Ellipse(bounds)),
            ("3" | "4" | "Arrow" | "Ruler", _) if points.len() > 1 => Ok(Shape::Lines(vec![points])),
            ("5" | "Pin" | "Points", _) => Ok(Shape::Points(points)),
            _ => outline(points.clone()).ok_or_else(|| few(3)),
        }
    }

    /// Cuts the negative regions out of the others. Returns the number of those cut out, and of those that
    /// overlap no other region and are kept.
    fn cut(&mut self) -> (usize, usize) {
        let (mut cut, mut kept) = (0, 0);
        for negative in std::mem::take(&mut self.negative) {
            let mut touches = false;
            for region in self.regions.iter_mut().filter(|region| region.shape().is_area()) {
                if let Some(rest) = without(region.shape(), negative.shape()) {
                    touches = true;
                    region.set_shape(rest);
                }
            }
            match touches {
                true => cut += 1,
                false => {
                    kept += 1;
                    self.regions.push(Annotation { color: Some([0, 0, 0]), ..negative });
                }
            }
        }
        self.regions.retain(|region| !region.shape().is_empty());
        (cut, kept)
    }
}

/// Returns `shape` with `hole` cut out; `None` if they do not overlap. A hole completely inside keeps its
/// vertices.
fn without(shape: &Shape, hole: &Shape) -> Option<Shape> {
    if !shape.bounds()?.intersects(&hole.bounds()?) {
        return None;
    }
    let mut polygons = shape.polygons().into_owned();
    if let ([polygon], [Polygon { exterior, holes }]) = (polygons.as_mut_slice(), hole.polygons().as_ref())
        && holes.is_empty()
        && exterior.iter().all(|corner| polygon.contains(*corner))
        && hole.difference(shape).area_px2().is_some_and(|outside| outside < 1e-6)
    {
        polygon.holes.push(exterior.clone());
        return Some(Shape::Polygons(polygons));
    }
    let rest = shape.difference(hole);
    let area = |shape: &Shape| shape.area_px2().unwrap_or(0.0);
    (area(shape) - area(&rest) > 1e-6).then_some(rest)
}

/// Makes an area from its vertices, of which the first may be repeated at the end.
fn outline(mut points: Ring) -> Option<Shape> {
    if points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    (points.len() >= 3).then(|| Shape::polygon(points))
}

/// Returns whether four points are the corners of an axis-aligned rectangle, in either direction and from any
/// corner.
fn is_upright(corners: &[crate::geometry::Level0Point; 4], bounds: &Bounds) -> bool {
    let expected = bounds.corners();
    let turned = |start: usize, step: usize| (0..4).all(|i| corners[i] == expected[(start + i * step) % 4]);
    (0..4).any(|start| turned(start, 1) || turned(start, 3))
}

/// Returns the name of a layer: its name, or the description among its attributes.
fn name_of(layer: Node<'_, '_>) -> Option<String> {
    let stated = |text: &&str| !text.trim().is_empty();
    let described = || {
        let lists = layer.children().filter(|child| child.has_tag_name("Attributes"));
        let mut attributes = lists.flat_map(|list| list.children());
        let one = attributes
            .find(|one| one.attribute("Name").is_some_and(|name| matches!(name, "Description" | "Name")))?;
        one.attribute("Value").filter(stated)
    };
    layer.attribute("Name").filter(stated).or_else(described).map(|name| name.trim().to_owned())
}

/// Returns the attributes with values that a user has entered for a region.
fn attributes(region: Node<'_, '_>) -> Vec<(String, RawJson)> {
    let lists = region.children().filter(|child| child.has_tag_name("Attributes"));
    let pair = |one: Node<'_, '_>| {
        let (name, value) = (one.attribute("Name")?, one.attribute("Value")?);
        (!name.is_empty() && !value.is_empty()).then(|| (name.to_owned(), RawJson::from(value)))
    };
    lists.flat_map(|list| list.children()).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Omissions;
    use super::super::file::Format;
    use super::super::xml;
    use super::*;
    use crate::geometry::Level0Point;

    /// A shortened file as written by ImageScope.
    fn file(mpp: &str) -> String {
        format!(
            r#"<Annotations{mpp}><Annotation Id="1" Name="" ReadOnly="0" Type="4" LineColor="65280" Visible="1">
<Attributes><Attribute Name="Description" Id="0" Value="Tumor"/></Attributes>
<Regions><RegionAttributeHeaders><AttributeHeader Id="9999" Name="Region" ColumnWidth="-1"/></RegionAttributeHeaders>
<Region Id="1" Type="0" Zoom="0.5" Text="big" NegativeROA="0"><Attributes><Attribute Name="Grade" Id="1" Value="2"/></Attributes>
<Vertices><Vertex X="10" Y="10" Z="0"/><Vertex X="200" Y="10"/><Vertex X="200" Y="200"/><Vertex X="10" Y="10"/></Vertices></Region>
<Region Id="2" Type="1" Text="" NegativeROA="0"><Vertices><Vertex X="300" Y="10"/><Vertex X="300" Y="80"/><Vertex X="400" Y="80"/><Vertex X="400" Y="10"/></Vertices></Region>
<Region Id="3" Type="2" NegativeROA="0"><Vertices><Vertex X="500" Y="10"/><Vertex X="600" Y="90"/></Vertices></Region>
<Region Id="4" Type="0" NegativeROA="1"><Vertices><Vertex X="150" Y="20"/><Vertex X="180" Y="20"/><Vertex X="180" Y="60"/></Vertices></Region>
<Region Id="5" Type="4" NegativeROA="0"><Vertices><Vertex X="0" Y="0"/><Vertex X="30" Y="40"/></Vertices></Region>
</Regions><Plots/></Annotation>
<Annotation Id="2" Name="" LineColor="255" Type="4"><Regions><Region Id="1" Type="0" NegativeROA="1"><Vertices>
<Vertex X="1" Y="1"/><Vertex X="9" Y="1"/><Vertex X="9" Y="9"/></Vertices></Region></Regions></Annotation></Annotations>"#
        )
    }

    #[test]
    fn regions_of_all_types_are_read_and_negative_ones_are_holes() {
        for mpp in ["", " MicronsPerPixel=\"0.499\""] {
            let (format, Read { set, left_out, notes, .. }) = xml::read(&file(mpp), "a.xml").unwrap();
            assert_eq!((format, left_out), (Format::ImageScope, Omissions::default()));
            assert_eq!(set.len(), 5, "{notes:?}");
            let tumor = AnnotationClass::new("Tumor", [0, 255, 0]);
            let [outline, rectangle, ellipse, ruler, alone] =
                std::array::from_fn(|index| set.at(index).unwrap());
            assert_eq!((outline.class.as_ref(), outline.name.as_deref()), (Some(&tumor), Some("big")));
            assert_eq!(outline.metadata, [("Grade".to_owned(), RawJson::from("2"))]);
            assert_eq!(outline.shape().area_px2(), Some(190.0 * 190.0 / 2.0 - 600.0));
            let bounds = |x, y, right, bottom| {
                Bounds::between(Level0Point::new(x, y), Level0Point::new(right, bottom))
            };
            assert_eq!(*rectangle.shape(), Shape::Rectangle(bounds(300.0, 10.0, 400.0, 80.0)));
            assert_eq!(*ellipse.shape(), Shape::Ellipse(bounds(500.0, 10.0, 600.0, 90.0)));
            assert_eq!(ruler.shape().length_px(), Some(50.0));
            assert_eq!(alone.class, None);
            assert_eq!(notes.len(), 2, "{notes:?}");
        }
        let again = xml::read(&file(""), "a.xml").unwrap().1.set;
        assert_eq!(again.at(1).unwrap().id, xml::read(&file(""), "a.xml").unwrap().1.set.at(1).unwrap().id);
        assert_ne!(again.at(1).unwrap().id, xml::read(&file(""), "b.xml").unwrap().1.set.at(1).unwrap().id);
    }

    #[test]
    fn a_region_that_is_none_is_left_out() {
        let odd = file("")
            .replace("X=\"200\" Y=\"200\"", "X=\"oops\" Y=\"200\"")
            .replace("X=\"500\" Y=\"10\"", "Y=\"10\"");
        let read = xml::read(&odd, "a.xml").unwrap().1;
        assert_eq!((read.set.len(), read.left_out.count), (4, 2));
        assert_eq!(read.left_out.first[0].object, "layer 1, region 1");
        assert!(read.left_out.first[0].reason.contains("\"oops\""), "{read:?}");
        assert!(read.left_out.first[1].reason.contains("a vertex without X"), "{read:?}");
        let none =
            "<Annotations><Annotation><Regions><Region Id=\"7\"/></Regions></Annotation></Annotations>";
        assert!(xml::read(none, "a.xml").unwrap_err().reason.contains("but has 0"));
    }

    /// HALO's files differ in the names of types and of the element for a vertex.
    #[test]
    fn regions_of_halo_are_read() {
        let halo = r#"<Annotations><Annotation LineColor="65280" Name="Layer 1" Visible="True"><Regions>
<Region Type="Polygon" HasEndcaps="0" NegativeROA="0"><Vertices><V X="1" Y="2" /><V X="30" Y="2" /><V X="30" Y="40" /></Vertices><Comments /></Region>
<Region Type="Ellipse" HasEndcaps="0" NegativeROA="0"><Vertices><V X="5" Y="6" /><V X="7" Y="9" /></Vertices></Region>
</Regions></Annotation></Annotations>"#;
        let set = xml::read(halo, "a.annotations").unwrap().1.set;
        assert_eq!(set.len(), 2);
        assert_eq!(set.at(0).unwrap().class, Some(AnnotationClass::new("Layer 1", [0, 255, 0])));
        assert_eq!(set.at(1).unwrap().shape().noun(), "Ellipse");
    }
}
