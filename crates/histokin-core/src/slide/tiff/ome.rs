//! OME-XML: the description of the images of an OME-TIFF file.
//!
//! The model: <https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html>. One file may
//! contain several images, each with planes for focus, channel and time. A plane is one directory of the
//! file's chain, and its SubIFDs are the reduced levels of that plane.

use std::collections::BTreeSet;

use roxmltree::{Document, Node, ParsingOptions};

use super::super::calibration::um_per_unit;
use crate::number_format::of_program;

/// Maximum number of elements and attributes that are read; files with 10,000 planes have about 100,000.
const MOST_NODES: u32 = 4_000_000;

/// One image of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::slide) struct Image {
    /// Name of the image.
    pub name: String,
    /// Width in pixels.
    pub width: u64,
    /// Height in pixels.
    pub height: u64,
    /// Number of focal planes.
    pub focal_planes: u64,
    /// Number of time points.
    pub times: u64,
    /// Number of significant bits of a sample.
    pub significant_bits: Option<u32>,
    /// Micrometres per pixel along each axis, as stated.
    pub pixel_size: Option<(f64, f64)>,
    /// Magnification of the objective.
    pub objective: Option<f64>,
    /// The channels, in the order of the file.
    pub channels: Vec<Channel>,
    /// Index of the directory of each channel, for the middle focal plane at the first time point.
    pub directories: Vec<Option<u64>>,
}

/// One channel of an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::slide) struct Channel {
    /// Name of the channel, if it has one.
    pub name: Option<String>,
    /// Red, green and blue, if the file states a colour.
    pub colour: Option<[u8; 3]>,
    /// Samples per pixel: 3 for RGB.
    pub samples: u64,
}

/// Whether a description may be OME-XML.
pub(in crate::slide) fn is_ome(description: &str) -> bool {
    let head: String = description.trim_start_matches('\u{feff}').trim_start().chars().take(4096).collect();
    head.starts_with('<')
        && (head.contains("<OME") || head.contains(":OME"))
        && head.contains("openmicroscopy")
}

/// Why a description tells nothing about the images of its file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::slide) enum NoImages {
    /// Planes that are shown together are in several files: a message.
    Several(String),
    /// The description is damaged, empty or in another file: a message.
    Undescribed(String),
}

/// Reads the images of a description that are in its file, which has `directories` directories.
///
/// # Errors
/// [`NoImages`], when it is not valid OME-XML, or all images have planes in other files.
pub(in crate::slide) fn images(description: &str, directories: u64) -> Result<Vec<Image>, NoImages> {
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let text = description.trim_start_matches('\u{feff}').trim_start();
    let document = Document::parse_with_options(text, options).map_err(|error| {
        NoImages::Undescribed(format!("its OME-XML cannot be read ({error}), so that channels are not known"))
    })?;
    let root = document.root_element();
    if let Some(companion) = children(root, "BinaryOnly").next() {
        return Err(NoImages::Undescribed(format!(
            "its OME-XML is in another file ({}), which is not read: only what this file contains is shown",
            companion.attribute("MetadataFile").unwrap_or("unnamed")
        )));
    }
    let files: BTreeSet<&str> = root
        .descendants()
        .filter(|node| node.tag_name().name() == "UUID")
        .filter_map(|node| node.attribute("FileName"))
        .collect();
    let own = root.attribute("UUID").map(str::trim);
    let is_elsewhere = |node: Node| {
        let blocks = children(node, "Pixels").flat_map(|pixels| children(pixels, "TiffData"));
        let mut files = blocks.flat_map(|block| children(block, "UUID"));
        files.any(|file| own.is_none() || file.text().map(str::trim) != own)
    };
    let mut images = Vec::new();
    let mut next = 0;
    for node in children(root, "Image").filter(|node| files.len() < 2 || !is_elsewhere(*node)) {
        if let Some(image) = image(node, root, directories, &mut next) {
            images.push(image);
        }
    }
    if !images.is_empty() {
        return Ok(images);
    }
    if files.len() > 1 {
        let names: Vec<&str> = files.into_iter().take(3).collect();
        return Err(NoImages::Several(format!(
            "its planes are in several files ({}, …): OME-TIFFs of several files are not \
             supported; convert it to one file with bfconvert or QuPath",
            names.join(", ")
        )));
    }
    Err(NoImages::Undescribed("its OME-XML describes no image".to_owned()))
}

/// Returns the children of that name in any namespace, since prefixes and versions vary between writers.
fn children<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn number(node: Node, name: &str) -> Option<u64> {
    node.attribute(name)?.trim().parse().ok()
}

/// Reads an image; `next` is the index of the directory after those of the previous images.
fn image(node: Node, root: Node, directories: u64, next: &mut u64) -> Option<Image> {
    let pixels = children(node, "Pixels").next()?;
    let size = |name| number(pixels, name).filter(|size| *size > 0).unwrap_or(1);
    let channel = |node: Node| Channel {
        name: node.attribute("Name").map(str::to_owned).filter(|name| !name.trim().is_empty()),
        colour: node.attribute("Color").and_then(colour),
        samples: number(node, "SamplesPerPixel").unwrap_or(1).max(1),
    };
    let mut channels: Vec<Channel> = children(pixels, "Channel").map(channel).collect();
    let size_c = size("SizeC");
    if channels.is_empty() {
        channels =
            vec![Channel { samples: 1, ..Channel::default() }; size_c.min(directories.max(1)) as usize];
    }
    let (focal_planes, times) = (size("SizeZ"), size("SizeT"));
    let order = pixels.attribute("DimensionOrder").unwrap_or("XYZCT");
    let planes = Planes { order, z: focal_planes, c: channels.len() as u64, t: times };
    let wanted: Vec<u64> =
        (0..channels.len() as u64).map(|channel| planes.index(focal_planes / 2, channel, 0)).collect();
    let mut assigned = vec![None; channels.len()];
    let blocks: Vec<Node> = children(pixels, "TiffData").collect();
    let mut put = |first_plane: u64, first_directory: u64, count: u64| {
        for (slot, wanted) in assigned.iter_mut().zip(&wanted) {
            if let Some(offset) = wanted.checked_sub(first_plane).filter(|offset| *offset < count) {
                *slot = first_directory.checked_add(offset).filter(|directory| *directory < directories);
            }
        }
    };
    let total = planes.count();
    for block in &blocks {
        let first = |name| number(*block, name).unwrap_or(0);
        let plane = planes.index(first("FirstZ"), first("FirstC"), first("FirstT"));
        let directory = number(*block, "IFD");
        let all = if directory.is_some() { 1 } else { total.saturating_sub(plane) };
        put(plane, directory.unwrap_or(0), number(*block, "PlaneCount").unwrap_or(all));
    }
    if blocks.is_empty() {
        put(0, *next, total);
    }
    *next = next.saturating_add(total);
    let length = |axis: &str| {
        let value = of_program(pixels.attribute(format!("PhysicalSize{axis}").as_str())?)?;
        let unit = pixels.attribute(format!("PhysicalSize{axis}Unit").as_str()).unwrap_or("µm");
        um_per_unit(unit).map(|um| value * um)
    };
    Some(Image {
        name: node.attribute("Name").unwrap_or_default().to_owned(),
        width: size("SizeX"),
        height: size("SizeY"),
        focal_planes,
        times,
        significant_bits: number(pixels, "SignificantBits")
            .filter(|bits| *bits <= 32)
            .map(|bits| bits as u32),
        pixel_size: length("X").zip(length("Y")),
        objective: objective(node, root),
        channels,
        directories: assigned,
    })
}

/// Numbering of planes.
struct Planes<'a> {
    /// Such as `XYZCT`: the axis that varies fastest comes first.
    order: &'a str,
    z: u64,
    c: u64,
    t: u64,
}

impl Planes<'_> {
    fn index(&self, z: u64, c: u64, t: u64) -> u64 {
        let (mut index, mut step) = (0_u64, 1_u64);
        for axis in self.order.chars() {
            let (at, size) = match axis {
                'Z' => (z, self.z),
                'C' => (c, self.c),
                'T' => (t, self.t),
                _ => continue,
            };
            index = index.saturating_add(at.saturating_mul(step));
            step = step.saturating_mul(size);
        }
        index
    }

    fn count(&self) -> u64 {
        self.z.saturating_mul(self.c).saturating_mul(self.t)
    }
}

/// Magnification of the objective used for the image.
fn objective(image: Node, root: Node) -> Option<f64> {
    let id = children(image, "ObjectiveSettings").next()?.attribute("ID")?;
    let objective = root
        .descendants()
        .find(|node| node.tag_name().name() == "Objective" && node.attribute("ID") == Some(id))?;
    let stated =
        objective.attribute("NominalMagnification").or(objective.attribute("CalibratedMagnification"))?;
    stated.trim().parse().ok().filter(|power: &f64| power.is_finite() && *power > 0.0)
}

/// Parses OME's colours: red, green, blue and alpha as the bytes of a signed number.
fn colour(text: &str) -> Option<[u8; 3]> {
    let number: i64 = text.trim().parse().ok()?;
    let [red, green, blue, _] = (number as u32).to_be_bytes();
    Some([red, green, blue])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(pixels: &str) -> Image {
        let text = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
            <Instrument ID="I"><Objective ID="O:1" NominalMagnification="20.0"/></Instrument>
            <Image ID="Image:0" Name="slide"><ObjectiveSettings ID="O:1"/>{pixels}</Image></OME>"#
        );
        assert!(is_ome(&text));
        images(&text, 100).unwrap().remove(0)
    }

    #[test]
    fn sizes_units_channels_and_planes_are_read() {
        let image = described(
            r#"<Pixels DimensionOrder="XYCZT" SizeX="40" SizeY="30" SizeC="2" SizeZ="3" SizeT="1" Type="uint16"
            SignificantBits="12" PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.5">
            <Channel ID="C:0" Name="DAPI" Color="65535"/><Channel ID="C:1" Color="-16776961"/>
            <TiffData IFD="4" PlaneCount="6"/></Pixels>"#,
        );
        assert_eq!((image.width, image.height, image.focal_planes), (40, 30, 3));
        assert_eq!(image.pixel_size, Some((0.25, 0.5)));
        assert_eq!((image.significant_bits, image.objective), (Some(12), Some(20.0)));
        assert_eq!(
            image.channels[0],
            Channel { name: Some("DAPI".into()), colour: Some([0, 0, 255]), samples: 1 }
        );
        assert_eq!(image.channels[1].colour, Some([255, 0, 0]));
        // The middle one of three planes; channels vary fastest.
        assert_eq!(image.directories, [Some(6), Some(7)]);
    }

    #[test]
    fn planes_without_a_place_follow_each_other() {
        let image = described(
            r#"<Pixels DimensionOrder="XYZCT" SizeX="4" SizeY="3" SizeC="3" SizeZ="1" SizeT="1" Type="uint8">
            <Channel ID="C" SamplesPerPixel="3"/><TiffData/></Pixels>"#,
        );
        assert_eq!((image.directories, image.pixel_size), (vec![Some(0)], None));
    }

    #[test]
    fn lengths_may_have_a_decimal_comma() {
        let image = described(
            r#"<Pixels SizeX="4" SizeY="3" PhysicalSizeX="0,25" PhysicalSizeXUnit="Âµm" PhysicalSizeY="250,0"
            PhysicalSizeYUnit="nm"><TiffData IFD="0"/></Pixels>"#,
        );
        assert_eq!(image.pixel_size, Some((0.25, 0.25)));
    }

    #[test]
    fn lengths_that_are_none_are_not_believed() {
        let image = described(
            r#"<Pixels SizeX="4" SizeY="3" PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1"
            PhysicalSizeYUnit="pixel"><TiffData IFD="200"/></Pixels>"#,
        );
        assert_eq!((image.pixel_size, image.directories), (None, vec![None]));
    }

    #[test]
    fn planes_in_other_files_are_refused_in_words() {
        let several = r#"<OME xmlns="http://www.openmicroscopy.org/x"><Image><Pixels SizeX="1" SizeY="1"><TiffData>
            <UUID FileName="a.tif">u</UUID></TiffData><TiffData><UUID FileName="b.tif">v</UUID></TiffData></Pixels></Image></OME>"#;
        let refusal = images(several, 1).unwrap_err();
        assert!(
            matches!(&refusal, NoImages::Several(text) if text.contains("several files (a.tif, b.tif")),
            "{refusal:?}"
        );
        let apart =
            r#"<OME xmlns="http://www.openmicroscopy.org/x"><BinaryOnly MetadataFile="c.ome"/></OME>"#;
        let refusal = images(apart, 1).unwrap_err();
        assert!(matches!(&refusal, NoImages::Undescribed(text) if text.contains("c.ome")), "{refusal:?}");
        assert!(matches!(images("<OME", 1), Err(NoImages::Undescribed(_))));
    }

    #[test]
    fn of_a_set_of_files_the_images_in_this_one_are_read() {
        let image = |name: &str| {
            format!(
                r#"<Image Name="{name}"><Pixels SizeX="4" SizeY="3"><Channel SamplesPerPixel="3"/>
                <TiffData IFD="0"><UUID FileName="{name}.ome.tif">urn:uuid:{name}</UUID></TiffData></Pixels></Image>"#
            )
        };
        let set = |own: &str| {
            let both = [image("a"), image("b")].concat();
            images(&format!(r#"<OME xmlns="http://www.openmicroscopy.org/x" {own}>{both}</OME>"#), 1)
        };
        let names = |own: &str| set(own).map(|all| all.into_iter().map(|one| one.name).collect::<Vec<_>>());
        assert_eq!(names(r#"UUID="urn:uuid:b""#), Ok(vec!["b".to_owned()]));
        assert!(matches!(names(r#"UUID="urn:uuid:c""#), Err(NoImages::Several(_))));
        assert!(matches!(names(""), Err(NoImages::Several(_))));
    }
}
