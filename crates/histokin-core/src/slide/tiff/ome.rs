//! OME-XML: the description of the images of an OME-TIFF file.
//!
//! The model: <https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html>. One file may
//! contain several images, each with planes for focus, channel and time. A plane is one directory of the
//! file's chain, and its SubIFDs are the reduced levels of that plane.

use std::collections::{BTreeSet, HashMap};

use roxmltree::{Document, Node, ParsingOptions};

use super::super::calibration::um_per_unit;
use super::super::names;
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
    /// Where the planes of each channel may be: that of the middle focal plane at the first time point, with 0, and those that
    /// are shown if it is missing, with larger numbers.
    pub planes: Vec<Vec<(usize, Place)>>,
    /// Where the plane that is shown of each channel is, if there is one.
    pub shown: Vec<Option<Place>>,
    /// Names of files in which planes should be that are not there.
    pub missing: Vec<String>,
    /// Whether other planes are shown than should be.
    pub has_others_shown: bool,
}

/// Where a plane is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) struct Place {
    /// The file: 0 for the one that was opened, otherwise a place in [`Described::files`], from 1.
    pub file: usize,
    /// Index of the directory in that file.
    pub directory: u64,
}

/// What a description tells about the images of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::slide) struct Described {
    /// The images that have a plane in the file.
    pub images: Vec<Image>,
    /// Names of the other files in which these images have planes, in the order of the description.
    pub files: Vec<String>,
    /// Name of the first file of these images, if the description names any.
    pub first_file: Option<String>,
}

/// How the file that was opened is called in a description.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::slide) struct Own<'a> {
    /// Name of the file.
    pub name: Option<&'a str>,
    /// The UUID that it states for itself.
    pub uuid: Option<&'a str>,
    /// Whether the description is that of this file: one file that it names is then this one, whatever it is called now.
    pub is_certain: bool,
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

/// Reads a description.
///
/// # Errors
/// A message, when it is damaged.
pub(in crate::slide) fn parsed(description: &str) -> Result<Document<'_>, String> {
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let text = description.trim_start_matches('\u{feff}').trim_start();
    Document::parse_with_options(text, options).map_err(|error| error.to_string())
}

/// Returns the names of files that a description states, in its order.
pub(in crate::slide) fn file_names(document: &Document) -> Vec<String> {
    let nodes = document.root_element().descendants().filter(|node| node.tag_name().name() == "UUID");
    nodes.filter_map(|node| node.attribute("FileName")).map(str::to_owned).collect()
}

/// Returns the UUID that a file states for itself.
pub(in crate::slide) fn own_uuid<'a>(document: &'a Document) -> Option<&'a str> {
    document.root_element().attribute("UUID").map(str::trim)
}

/// Returns the name of the file that has the description of this one's images; `None` if this one has it, `Some(None)` if the
/// file is not named.
pub(in crate::slide) fn companion<'a>(document: &'a Document) -> Option<Option<&'a str>> {
    let elsewhere = children(document.root_element(), "BinaryOnly").next()?;
    Some(elsewhere.attribute("MetadataFile").map(str::trim).filter(|name| !name.is_empty()))
}

/// Reads the images of a description that have a plane in the file `own`, which has `directories` directories.
///
/// # Errors
/// [`NoImages`], when there is none.
pub(in crate::slide) fn images(
    document: &Document,
    own: Own,
    directories: u64,
) -> Result<Described, NoImages> {
    let root = document.root_element();
    let named: BTreeSet<&str> = root
        .descendants()
        .filter(|node| node.tag_name().name() == "UUID")
        .filter_map(|node| node.attribute("FileName"))
        .collect();
    let mut files =
        Files { own, is_alone: own.is_certain && named.len() < 2, others: Vec::new(), first: None };
    let mut images = Vec::new();
    let mut next = 0;
    for node in children(root, "Image") {
        let others = files.others.len();
        let first = files.first.clone();
        match image(node, root, directories, &mut next, &mut files) {
            Some(image)
                if files.is_alone || image.planes.iter().flatten().any(|(_, place)| place.file == 0) =>
            {
                images.push(image);
            }
            _ => {
                files.others.truncate(others);
                files.first = first;
            }
        }
    }
    if !images.is_empty() {
        return Ok(Described { images, files: files.others, first_file: files.first });
    }
    if named.len() > 1 {
        let names: Vec<&str> = named.into_iter().take(3).collect();
        return Err(NoImages::Several(format!(
            "its planes are in several files ({}, …), none of which is this one by its name or UUID: give the files the names \
             that their OME-XML states, or convert them to one file with bfconvert or QuPath",
            names.join(", ")
        )));
    }
    Err(NoImages::Undescribed("its OME-XML describes no image".to_owned()))
}

/// The files that a description names.
struct Files<'a> {
    own: Own<'a>,
    /// Whether the description names one file at most, which is the one that was opened whatever it is called now.
    is_alone: bool,
    others: Vec<String>,
    first: Option<String>,
}

impl Files<'_> {
    /// Returns the number of the file in which a block's planes are; `None` if it is not stated.
    fn of(&mut self, block: Node) -> Option<usize> {
        let stated = children(block, "UUID").next();
        let name = stated.and_then(|node| node.attribute("FileName")).map(str::trim);
        if let (None, Some(name)) = (&self.first, name) {
            self.first = Some(name.to_owned());
        }
        if self.is_alone {
            return Some(0);
        }
        // Without a name, planes are in the file that has the description.
        let Some(stated) = stated else { return self.own.is_certain.then_some(0) };
        let uuid = stated.text().map(str::trim).filter(|uuid| !uuid.is_empty());
        if uuid.is_some() && uuid == self.own.uuid || name.is_some() && is_name(name, self.own.name) {
            return Some(0);
        }
        let name = name?;
        let known = self.others.iter().position(|other| other == name);
        Some(
            1 + known.unwrap_or_else(|| {
                self.others.push(name.to_owned());
                self.others.len() - 1
            }),
        )
    }
}

/// Whether both name the same file, in any folder and spelling.
fn is_name(stated: Option<&str>, own: Option<&str>) -> bool {
    let plain = |name: &str| names::plain(name.rsplit(['/', '\\']).next().unwrap_or(name));
    stated.map(plain) == own.map(plain)
}

/// Returns the children of that name in any namespace, since prefixes and versions vary between writers.
fn children<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn number(node: Node, name: &str) -> Option<u64> {
    node.attribute(name)?.trim().parse().ok()
}

/// Number of channels above which no other plane is shown in the place of a missing one; bounds the memory.
const MANY_CHANNELS: usize = 1024;

/// Maximum number of planes of a channel among which one that is there is looked for.
const MOST_TRIED: u64 = 256;

/// Reads an image; `next` is the index of the directory after those of the previous images.
fn image(node: Node, root: Node, directories: u64, next: &mut u64, files: &mut Files) -> Option<Image> {
    let pixels = children(node, "Pixels").next()?;
    let size = |name| number(pixels, name).filter(|size| *size > 0).unwrap_or(1);
    let channel = |node: Node| Channel {
        name: node.attribute("Name").map(str::to_owned).filter(|name| !name.trim().is_empty()),
        colour: node.attribute("Color").and_then(colour),
        samples: number(node, "SamplesPerPixel").unwrap_or(1).max(1),
    };
    let mut channels: Vec<Channel> = children(pixels, "Channel").map(channel).collect();
    let blocks: Vec<Node> = children(pixels, "TiffData").collect();
    let size_c = size("SizeC");
    if channels.is_empty() {
        let most = directories.max(blocks.len() as u64).max(1);
        channels = vec![Channel { samples: 1, ..Channel::default() }; size_c.min(most) as usize];
    }
    let (focal_planes, times) = (size("SizeZ"), size("SizeT"));
    let order = pixels.attribute("DimensionOrder").unwrap_or("XYZCT");
    let planes = Planes { order, z: focal_planes, c: channels.len() as u64, t: times };
    // Planes are wanted in this order: the middle one first, then those nearest to it, then later ones.
    let middle = focal_planes / 2;
    let mut depths: Vec<u64> = (0..focal_planes.min(MOST_TRIED))
        .map(|index| middle.saturating_sub(MOST_TRIED / 2).saturating_add(index))
        .filter(|z| *z < focal_planes)
        .collect();
    depths.sort_by_key(|z| z.abs_diff(middle));
    let at_start = depths.into_iter().map(|z| (z, 0));
    let later = (1..times.min(MOST_TRIED)).map(|t| (middle, t));
    let mut tried: Vec<(u64, u64)> = at_start.chain(later).collect();
    if channels.len() > MANY_CHANNELS {
        tried.truncate(1);
    }
    let mut wanted: HashMap<u64, (usize, usize)> = HashMap::new();
    for channel in 0..channels.len() {
        let of_channel = tried.iter().enumerate();
        wanted
            .extend(of_channel.map(|(rank, (z, t))| (planes.index(*z, channel as u64, *t), (channel, rank))));
    }
    let mut found: Vec<Vec<Option<Place>>> = vec![vec![None; tried.len()]; channels.len()];
    let mut put = |first_plane: u64, first: Place, count: u64| {
        let mut put_one = |offset: u64, (channel, rank): (usize, usize)| {
            let directory = first.directory.checked_add(offset);
            let directory = directory.filter(|directory| first.file > 0 || *directory < directories);
            found[channel][rank] = directory.map(|directory| Place { directory, ..first });
        };
        if count < wanted.len() as u64 {
            for offset in 0..count {
                let plane = first_plane.checked_add(offset).and_then(|plane| wanted.get(&plane));
                plane.into_iter().for_each(|slot| put_one(offset, *slot));
            }
        } else {
            let offsets =
                wanted.iter().filter_map(|(plane, slot)| Some((plane.checked_sub(first_plane)?, slot)));
            offsets.filter(|(offset, _)| *offset < count).for_each(|(offset, slot)| put_one(offset, *slot));
        }
    };
    let total = planes.count();
    for block in &blocks {
        let Some(file) = files.of(*block) else { continue };
        let first = |name| number(*block, name).unwrap_or(0);
        let plane = planes.index(first("FirstZ"), first("FirstC"), first("FirstT"));
        let directory = number(*block, "IFD");
        let all = if directory.is_some() { 1 } else { total.saturating_sub(plane) };
        let place = Place { file, directory: directory.unwrap_or(0) };
        put(plane, place, number(*block, "PlaneCount").unwrap_or(all));
    }
    if blocks.is_empty() {
        put(0, Place { file: 0, directory: *next }, total);
    }
    *next = next.saturating_add(total);
    let ranked = |ranks: Vec<Option<Place>>| {
        ranks.into_iter().enumerate().filter_map(|(rank, place)| Some((rank, place?))).collect()
    };
    let planes = found.into_iter().map(ranked).collect();
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
        planes,
        shown: Vec::new(),
        missing: Vec::new(),
        has_others_shown: false,
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
        images(&parsed(&text).unwrap(), Own { is_certain: true, ..Own::default() }, 100)
            .unwrap()
            .images
            .remove(0)
    }

    /// The directories in the file that was opened of the planes that are shown.
    fn directories(image: &Image) -> Vec<Option<u64>> {
        let first = |planes: &Vec<(usize, Place)>| planes.first().map(|(_, place)| place.directory);
        image.planes.iter().map(first).collect()
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
        assert_eq!(directories(&image), [Some(6), Some(7)]);
        assert_eq!(image.planes[0][1], (1, Place { file: 0, directory: 4 }), "another focal plane");
    }

    #[test]
    fn planes_without_a_place_follow_each_other() {
        let image = described(
            r#"<Pixels DimensionOrder="XYZCT" SizeX="4" SizeY="3" SizeC="3" SizeZ="1" SizeT="1" Type="uint8">
            <Channel ID="C" SamplesPerPixel="3"/><TiffData/></Pixels>"#,
        );
        assert_eq!((directories(&image), image.pixel_size), (vec![Some(0)], None));
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
    fn lengths_may_be_in_every_unit_of_the_model() {
        for (length, unit) in [
            ("2.5E-10", "km"),
            ("0.0000025", "dm"),
            ("0.00025", "mm"),
            ("250", "nm"),
            ("250000", "pm"),
            ("2500", "Å"),
            ("0.00984251968503937", "thou"),
            ("0.00000984251968503937", "in"),
        ] {
            let image = described(&format!(
                r#"<Pixels SizeX="4" SizeY="3" PhysicalSizeX="{length}" PhysicalSizeXUnit="{unit}" PhysicalSizeY="{length}"
                PhysicalSizeYUnit="{unit}"><TiffData IFD="0"/></Pixels>"#
            ));
            assert!(
                image.pixel_size.is_some_and(|(x, y)| (x - 0.25).abs() < 1e-9 && x == y),
                "{unit}: {image:?}"
            );
        }
    }

    #[test]
    fn lengths_that_are_none_are_not_believed() {
        let image = described(
            r#"<Pixels SizeX="4" SizeY="3" PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1"
            PhysicalSizeYUnit="pixel"><TiffData IFD="200"/></Pixels>"#,
        );
        assert_eq!((image.pixel_size, directories(&image)), (None, vec![None]));
    }

    #[test]
    fn planes_are_in_the_files_that_are_named_for_them() {
        let text = r#"<OME xmlns="http://www.openmicroscopy.org/x"><Image><Pixels SizeX="1" SizeY="1" SizeC="2"><TiffData>
            <UUID FileName="a.tif">u</UUID></TiffData><TiffData FirstC="1" IFD="3"><UUID FileName="b.tif">v</UUID></TiffData>
            </Pixels></Image></OME>"#;
        let described = |name, uuid| images(&parsed(text).unwrap(), Own { name, uuid, is_certain: true }, 1);
        for (name, uuid) in [(Some("A.TIF"), None), (Some("renamed.tif"), Some("u"))] {
            let described = described(name, uuid).unwrap();
            assert_eq!(
                (described.files, described.first_file),
                (vec!["b.tif".to_owned()], Some("a.tif".to_owned()))
            );
            let place = |channel: usize| described.images[0].planes[channel][0].1;
            assert_eq!(place(0), Place { file: 0, directory: 0 });
            assert_eq!(place(1), Place { file: 1, directory: 3 });
        }
        let refusal = described(Some("c.tif"), Some("w")).unwrap_err();
        assert!(
            matches!(&refusal, NoImages::Several(text) if text.contains("several files (a.tif, b.tif")),
            "{refusal:?}"
        );
        assert!(parsed("<OME").is_err());
    }

    #[test]
    fn of_a_set_of_files_the_images_in_this_one_are_read() {
        let image = |name: &str| {
            format!(
                r#"<Image Name="{name}"><Pixels SizeX="4" SizeY="3"><Channel SamplesPerPixel="3"/>
                <TiffData IFD="0"><UUID FileName="{name}.ome.tif">urn:uuid:{name}</UUID></TiffData></Pixels></Image>"#
            )
        };
        let set = |uuid: Option<&str>| {
            let both = [image("a"), image("b")].concat();
            let text = format!(r#"<OME xmlns="http://www.openmicroscopy.org/x">{both}</OME>"#);
            images(&parsed(&text).unwrap(), Own { name: None, uuid, is_certain: true }, 1)
        };
        let described = set(Some("urn:uuid:b")).unwrap();
        let names: Vec<&str> = described.images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!((names, described.files), (vec!["b"], Vec::new()));
        assert_eq!(described.first_file.as_deref(), Some("b.ome.tif"));
        assert!(matches!(set(Some("urn:uuid:c")), Err(NoImages::Several(_))));
        assert!(matches!(set(None), Err(NoImages::Several(_))));
    }
}
