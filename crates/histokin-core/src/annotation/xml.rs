//! Detection of the program that wrote an XML file, and parsing shared by all XML formats.

use roxmltree::{Document, Node, ParsingOptions};

use super::file::{Format, FormatError, READ_KINDS, Read, is_believable};
use super::{asap, doubts, imagescope};
use crate::geometry::Level0Point;
use crate::number_format::of_program;

/// Reads the annotations of an XML document. `source` is the name of its file, within which IDs are unique.
///
/// # Errors
/// Fails with the line if it is not XML or its format is not supported.
pub fn read(text: &str, source: &str) -> Result<(Format, Read), FormatError> {
    let start = text.trim_start();
    let begins =
        |words: &str| start.get(..words.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(words));
    if begins("<!doctype html") || begins("<html") {
        return Err(FormatError::at(1, format!("this is a web page, which is not supported; {READ_KINDS}")));
    }
    let options = ParsingOptions { allow_dtd: has_plain_type(text), ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        // In a truncated file, the error is at its end.
        roxmltree::Error::UnclosedRootNode => {
            FormatError::at_offset(text, text.trim_end().len(), reason_of(&error))
        }
        _ => FormatError::at(error.pos().row as usize, reason_of(&error)),
    })?;
    let root = document.root_element();
    let contains = |list: &str| {
        root.children()
            .filter(Node::is_element)
            .any(|one| one.children().any(|child| child.has_tag_name(list)))
    };
    let (format, mut read) = match root.tag_name().name() {
        "ASAP_Annotations" => (Format::Asap, asap::read(&document)?),
        // ASAP also reads files without its root element.
        "Annotations" if contains("Coordinates") => (Format::Asap, asap::read(&document)?),
        "Annotations" => (Format::ImageScope, imagescope::read(&document, source)?),
        other => {
            let kind = kind_of(root).unwrap_or_else(|| format!("<{other}>"));
            return Err(wrong(
                &document,
                root,
                format!("this is {kind}, which is not supported; {READ_KINDS}"),
            ));
        }
    };
    read.notes.extend(doubts::unit_of_xml(root));
    Ok((format, read))
}

/// Returns whether a document states its type near its beginning, as some programs do, without entities: a short text of
/// those may expand to any length.
fn has_plain_type(text: &str) -> bool {
    const BEGINNING: usize = 4096;
    let beginning = &text.as_bytes()[..text.len().min(BEGINNING)];
    String::from_utf8_lossy(beginning).contains("<!DOCTYPE") && !text.contains("<!ENTITY")
}

/// Returns the name of a known but unsupported format, detected by its elements.
fn kind_of(root: Node<'_, '_>) -> Option<String> {
    let has = |name: &str| root.descendants().take(10_000).any(|node| node.has_tag_name(name));
    let kind = match root.tag_name().name() {
        "annotations" if has("ndpviewstate") => {
            "a Hamamatsu NDP.view file (NDPA; QuPath and ASAP can read and save it)"
        }
        "annotations" if has("meta") || has("image") => "a CVAT export",
        "annotation" if has("object") || has("filename") => "Pascal VOC",
        "OME" => "OME-XML",
        "svg" => "SVG",
        "kml" => "KML",
        "PathologyAnnotations" | "DataObject" => "a Philips IntelliSite export",
        _ => return None,
    };
    Some(kind.to_owned())
}

/// Makes an error about a part of the document.
pub fn wrong(document: &Document<'_>, node: Node<'_, '_>, reason: impl Into<String>) -> FormatError {
    FormatError::at_offset(document.input_text(), node.range().start, reason)
}

/// Returns the point stated by the attributes X and Y of an element; `of` names the element in errors.
///
/// # Errors
/// Fails if an attribute is missing or not a number, or if the position is not plausible.
pub fn point(document: &Document<'_>, node: Node<'_, '_>, of: &str) -> Result<Level0Point, FormatError> {
    let number = |name: &str| {
        // Scripts write `x`.
        let text = node.attribute(name).or_else(|| node.attribute(name.to_lowercase().as_str()));
        let text = text.ok_or_else(|| wrong(document, node, format!("{of} without {name}")))?;
        of_program(text).ok_or_else(|| wrong(document, node, format!("{name} {text:?} is not a number")))
    };
    let point = Level0Point::new(number("X")?, number("Y")?);
    match is_believable(point) {
        true => Ok(point),
        false => {
            Err(wrong(document, node, format!("the position {}, {} is not on any slide", point.x, point.y)))
        }
    }
}

/// Returns a parser's message without the position.
fn reason_of(error: &roxmltree::Error) -> String {
    let message = error.to_string();
    message.split(" at ").next().unwrap_or(&message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_programs_are_refused_by_name() {
        for (text, name) in [
            ("<annotations><ndpviewstate id=\"1\"/></annotations>", "NDP.view"),
            ("<annotation><filename>a</filename><object/></annotation>", "Pascal VOC"),
            ("<annotations><version>1.1</version><meta/></annotations>", "CVAT"),
            ("<OME/>", "OME-XML"),
            ("<!DOCTYPE HTML><html><br></html>", "a web page"),
            ("<other/>", "<other>"),
        ] {
            let error = read(text, "a.xml").unwrap_err();
            assert!(error.reason.contains(name) && error.reason.contains("ImageScope"), "{error:?}");
        }
    }

    #[test]
    fn a_document_type_is_passed_over_and_entities_are_refused() {
        let body = "<ASAP_Annotations><Annotations/></ASAP_Annotations>";
        let stated = format!("<?xml version=\"1.0\"?><!DOCTYPE ASAP_Annotations SYSTEM \"a.dtd\">{body}");
        assert!(read(&stated, "a.xml").unwrap().1.set.is_empty());
        let long = format!("<!DOCTYPE a [<!ENTITY e \"{}\">]>", "ha".repeat(1000));
        let many = format!("{long}<ASAP_Annotations>{}</ASAP_Annotations>", "<a b=\"&e;\"/>".repeat(1000));
        assert!(read(&many, "a.xml").unwrap_err().reason.contains("DTD"));
    }

    #[test]
    fn deep_documents_are_no_danger() {
        let deep = format!(
            "<ASAP_Annotations>{}{}</ASAP_Annotations>",
            "<a>".repeat(200_000),
            "</a>".repeat(200_000)
        );
        assert!(read(&deep, "a.xml").unwrap().1.set.is_empty());
        assert!(read(&"<a>".repeat(200_000), "a.xml").is_err());
    }
}
