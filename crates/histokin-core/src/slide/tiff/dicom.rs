//! DICOM slides that OpenSlide refuses: with several focal planes or optical paths, grey values, or colours that it does not
//! know (DICOM PS3.3, C.8.12.4 and C.7.6.17).
//!
//! The tiles of an instance are described as those of an image of a TIFF file, whose reader does all else.

use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::super::calibration::objective_power;
use super::super::dicom;
use super::super::dicom::elements::{END_OF_ITEM, END_OF_SEQUENCE, Element, Elements, ITEM, Tag, has_prefix};
use super::super::dicom::frames::{extended_offsets, item_length, items};
use super::super::dicom::header::Header;
use super::super::reconnecting::Stamp;
use super::directory::{Entry, Tiff, tag};
use super::ome::Channel;
use super::page::{Page, SampleFormat};
use super::raster::Location;
use super::set::{Images, SetFile, Stored};
use super::{Refusal, TiffFile};
use crate::number_format::counted;
use crate::untrusted;

/// Maximum number of elements of an instance, with those that state the place of each frame.
const MOST_ELEMENTS: usize = 4_000_000;

/// Maximum size of a colour profile in bytes.
const MOST_PROFILE_BYTES: u64 = 16 << 20;

/// Bytes of an item's tag and length.
const ITEM_HEADER: u64 = 8;

const PLACES_OF_FRAMES: Tag = (0x5200, 0x9230);
const OPTICAL_PATHS: Tag = (0x0048, 0x0105);
const PIXEL_DATA: Tag = (0x7fe0, 0x0010);

/// How the images of the files are put together, as [`super::layout::layout`] needs it.
pub(in crate::slide) struct Arrangement {
    /// For each level, finest first, the numbers of its images among all pages: one with colours, or one for each channel.
    pub levels: Vec<Vec<usize>>,
    /// The channels; empty if one image holds the colours.
    pub channels: Vec<Channel>,
    /// Numbers of the label and the overview, by their names.
    pub associated: Vec<(&'static str, usize)>,
    /// Micrometres per pixel along each axis.
    pub pixel_size: Option<(f64, f64)>,
    /// Magnification of the objective, if stated.
    pub objective: Option<f64>,
    /// What is not shown, for display.
    pub notes: Vec<String>,
}

/// What is needed of an instance besides its [`Header`].
#[derive(Default)]
struct Instance {
    number: i64,
    kind: String,
    bits: u64,
    bits_used: u64,
    is_signed: bool,
    is_planar: bool,
    /// Width and height of the level in mm.
    extent_mm: (f64, f64),
    /// Descriptions of the optical paths by their identifiers, in the order of the file.
    paths: Vec<(String, Option<String>)>,
    /// Colour profile of the first optical path.
    profile: Option<Vec<u8>>,
    /// Magnification of the objective.
    objective: Option<f64>,
    /// The place of each frame, if the file states them one by one.
    places: Option<Vec<Frame>>,
    is_part: bool,
    /// Offset of the pixels; their number of bytes if they are not compressed.
    pixels: Option<(u64, Option<u64>)>,
}

/// The place of a frame on the level.
#[derive(Debug, Clone, Default, PartialEq)]
struct Frame {
    /// Pixels from the left, from 1.
    column: i64,
    /// Pixels from the top, from 1.
    row: i64,
    /// Height above the glass, in no certain unit.
    depth: f64,
    /// Identifier of the optical path.
    path: String,
}

/// An image of a level: the frames of one optical path in the middle focal plane.
struct Plane {
    /// Place of the page.
    page: usize,
    size: (u64, u64),
    name: Option<String>,
    is_colour: bool,
    number: i64,
}

/// Reads the instances of the DICOM slide to which the file at `path` belongs.
///
/// # Errors
/// [`Refusal`], when there is no level that can be shown.
pub(in crate::slide) fn read(path: &Path) -> Result<TiffFile, Refusal> {
    let mut paths = dicom::files_of_slide(path);
    if let Some(own) = paths.iter().position(|other| other == path) {
        paths[..=own].rotate_right(1);
    }
    let mut read = Reader::default();
    let mut problem = None;
    for path in &paths {
        if let Err(refusal) = read.instance(path) {
            problem.get_or_insert(refusal);
        }
    }
    match problem {
        Some(refusal) if read.planes.is_empty() => Err(refusal),
        _ => read.finished(),
    }
}

/// The files of a slide that have been read.
#[derive(Default)]
struct Reader {
    files: Vec<SetFile>,
    pages: Vec<Page>,
    planes: Vec<Plane>,
    associated: Vec<(&'static str, usize)>,
    pixel_size: Option<(f64, f64)>,
    objective: Option<f64>,
    focal_planes: usize,
    uids: Vec<String>,
}

impl Reader {
    /// Reads an instance, unless it is a copy of one that has been read.
    fn instance(&mut self, path: &Path) -> Result<(), Refusal> {
        let header = Header::of(path).ok_or("it is not a DICOM file")?;
        if self.uids.contains(&header.uid) {
            return Ok(());
        }
        let file = untrusted::open(path).map_err(|error| error.to_string())?;
        let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
        let mut source = BufReader::new(file);
        let damaged = |error: io::Error| format!("its elements are damaged: {error}");
        if !has_prefix(&mut source) {
            return Err("it is not a DICOM file".into());
        }
        let instance = Instance::read(&mut source).map_err(damaged)?;
        let name = match instance.kind.as_str() {
            kind if kind.contains("LABEL") => Some("label"),
            kind if kind.contains("OVERVIEW") => Some("macro"),
            kind if kind.contains("THUMBNAIL") => Some("thumbnail"),
            _ => None,
        };
        let number = self.files.len();
        let found = instance.planes(&header, &mut source, stamp.size)?;
        let file = SetFile {
            stored: Stored { path: path.to_owned(), stamp },
            tiff: Tiff::without_directories(source, stamp.size),
        };
        self.files.push(file);
        self.uids.push(header.uid.clone());
        let is_finest = |planes: &[Plane]| planes.iter().all(|plane| plane.size <= size_of(&header));
        if name.is_none() && is_finest(&self.planes) {
            let (width, height) = size_of(&header);
            let um = |mm: f64, pixels: u64| mm * 1000.0 / pixels.max(1) as f64;
            let size = (um(instance.extent_mm.0, width), um(instance.extent_mm.1, height));
            self.pixel_size = Some(size).filter(|(x, y)| *x > 0.0 && *y > 0.0);
            self.objective = instance.objective;
        }
        self.focal_planes = self.focal_planes.max(found.focal_planes);
        for (path, locations) in found.paths {
            let mut page = instance.page(&header, &locations)?;
            page.set_file(number);
            match name {
                Some(name) if self.associated.iter().all(|(known, _)| *known != name) => {
                    self.associated.push((name, self.pages.len()));
                }
                Some(_) => continue,
                None => self.planes.push(Plane {
                    page: self.pages.len(),
                    size: page.size(),
                    name: path,
                    is_colour: page.samples >= 3,
                    number: instance.number,
                }),
            }
            self.pages.push(page);
        }
        Ok(())
    }

    /// Puts the images together.
    fn finished(self) -> Result<TiffFile, Refusal> {
        let mut by_size: Vec<((u64, u64), Vec<&Plane>)> = Vec::new();
        for plane in &self.planes {
            match by_size.iter_mut().find(|(size, _)| *size == plane.size) {
                Some((_, planes)) => planes.push(plane),
                None => by_size.push((plane.size, vec![plane])),
            }
        }
        by_size.sort_by_key(|((width, height), _)| std::cmp::Reverse(width.saturating_mul(*height)));
        let Some((_, finest)) = by_size.first_mut() else {
            return Err("it contains no level of a slide".into());
        };
        finest.sort_by_key(|plane| plane.number);
        let is_colour = finest.iter().any(|plane| plane.is_colour);
        let mut notes = Vec::new();
        if self.focal_planes > 1 {
            notes
                .push(format!("it has {} focal planes, of which the middle one is shown", self.focal_planes));
        }
        if is_colour && finest.len() > 1 {
            let images = counted(finest.len() as u64, "image");
            notes.push(format!(
                "it contains {images} of the same size, of which only the middle one is shown"
            ));
        }
        let count = if is_colour { 1 } else { finest.len() };
        let channels: Vec<Channel> = match count {
            1 => Vec::new(),
            _ => finest
                .iter()
                .map(|plane| Channel { name: plane.name.clone(), colour: None, samples: 1 })
                .collect(),
        };
        let mut levels = Vec::new();
        for (_, planes) in &mut by_size {
            planes.retain(|plane| plane.is_colour == is_colour);
            planes.sort_by_key(|plane| plane.number);
            match is_colour {
                true => levels.extend(planes.get(planes.len() / 2).map(|plane| vec![plane.page])),
                false if planes.len() == count => {
                    levels.push(planes.iter().map(|plane| plane.page).collect())
                }
                false => {}
            }
        }
        let (associated, pixel_size, objective) = (self.associated, self.pixel_size, self.objective);
        let arrangement = Arrangement { levels, channels, associated, pixel_size, objective, notes };
        Ok(TiffFile::of_images(self.files, Images::arranged(self.pages, arrangement)))
    }
}

/// Reads the elements of an instance, and describes its tiles, for fuzzing. `source` is at the end of the prefix.
#[cfg(feature = "test-support")]
pub(in crate::slide) fn fuzz(header: &Header, source: &mut (impl Read + Seek), size: u64) {
    let Ok(instance) = Instance::read(source) else { return };
    let Ok(found) = instance.planes(header, source, size) else { return };
    for (_, locations) in found.paths {
        let _ = instance.page(header, &locations);
    }
}

fn size_of(header: &Header) -> (u64, u64) {
    (header.level.0.into(), header.level.1.into())
}

/// The frames of an instance that are shown.
struct Found {
    /// For each optical path, its name and the locations of its tiles, row by row.
    paths: Vec<(Option<String>, Vec<Location>)>,
    focal_planes: usize,
}

impl Instance {
    /// Reads the elements up to the pixels. `source` is at the end of the prefix.
    fn read(source: &mut (impl Read + Seek)) -> io::Result<Self> {
        let mut elements = Elements::begin(source)?.with_limit(MOST_ELEMENTS);
        let mut instance = Self::default();
        loop {
            let element = elements.next()?;
            match element.tag {
                PIXEL_DATA => {
                    instance.pixels = Some((elements.position()?, element.length.map(u64::from)));
                    return Ok(instance);
                }
                // A part of a level in several files.
                (0x0020, 0x9161) => {
                    instance.is_part = true;
                    elements.skip(&element)?;
                }
                (0x0008, 0x0008) => instance.kind = elements.text(&element)?,
                (0x0020, 0x0013) => instance.number = elements.text(&element)?.parse().unwrap_or(0),
                (0x0028, 0x0006) => instance.is_planar = elements.number(&element)? == 1,
                (0x0028, 0x0100) => instance.bits = elements.number(&element)?,
                (0x0028, 0x0101) => instance.bits_used = elements.number(&element)?,
                (0x0028, 0x0103) => instance.is_signed = elements.number(&element)? == 1,
                (0x0048, 0x0001) => instance.extent_mm.0 = elements.float(&element)?,
                (0x0048, 0x0002) => instance.extent_mm.1 = elements.float(&element)?,
                OPTICAL_PATHS => instance.optical_paths(&mut elements, &element)?,
                PLACES_OF_FRAMES => instance.places = Some(places(&mut elements, &element)?),
                _ => elements.skip(&element)?,
            }
        }
    }

    /// Reads what is stated of the optical paths.
    fn optical_paths<R: Read + Seek>(
        &mut self,
        elements: &mut Elements<R>,
        sequence: &Element,
    ) -> io::Result<()> {
        let instance = std::cell::RefCell::new(self);
        let begin = &mut || instance.borrow_mut().paths.push((String::new(), None));
        in_sequence(elements, sequence, begin, &mut |elements, element| {
            match element.tag {
                (0x0028, 0x2000) => {
                    let profile = elements.bytes(element, MOST_PROFILE_BYTES)?;
                    instance.borrow_mut().profile.get_or_insert(profile);
                }
                (0x0048, 0x0106) => {
                    let id = elements.text(element)?;
                    if let Some(last) = instance.borrow_mut().paths.last_mut() {
                        last.0 = id;
                    }
                }
                (0x0048, 0x0107) => {
                    let text = elements.text(element)?;
                    if let Some(last) = instance.borrow_mut().paths.last_mut() {
                        last.1 = Some(text).filter(|text| !text.is_empty());
                    }
                }
                (0x0048, 0x0112) => {
                    let power = objective_power(&elements.text(element)?);
                    instance.borrow_mut().objective = power;
                }
                _ => elements.skip(element)?,
            }
            Ok(())
        })
    }

    /// Finds the frames of each optical path in the middle focal plane.
    fn planes(&self, header: &Header, source: &mut (impl Read + Seek), size: u64) -> Result<Found, Refusal> {
        if self.is_part {
            let reason =
                "its levels are stored in several files each (concatenations), which is not supported";
            return Err(Refusal::Unsupported(reason.to_owned()));
        }
        let (width, height) = header.tile;
        if width == 0 || height == 0 || header.level.0 == 0 || header.level.1 == 0 || header.frames == 0 {
            return Err("it does not state its size".into());
        }
        let frames = self.frames(header, source, size)?;
        let (columns, rows) =
            (header.level.0.div_ceil(width) as usize, header.level.1.div_ceil(height) as usize);
        let tiles = columns
            .checked_mul(rows)
            .filter(|tiles| *tiles <= frames.len().saturating_mul(MOST_MISSING).max(1 << 16));
        let tiles = tiles.ok_or("it has fewer tiles than its size needs")?;
        match &self.places {
            Some(places) if places.iter().any(|place| place.column > 0) => {
                Ok(self.placed(places, &frames, (width, height), (columns, tiles)))
            }
            _ => self.in_order(header, &frames, tiles),
        }
    }

    /// The frames of a full grid: by column, row, focal plane and optical path.
    fn in_order(&self, header: &Header, frames: &[Location], tiles: usize) -> Result<Found, Refusal> {
        let whole = frames.len() / tiles;
        let focal_planes = (header.focal_planes.unwrap_or(1).max(1) as usize).min(whole.max(1));
        if whole == 0 || !frames.len().is_multiple_of(tiles) || !whole.is_multiple_of(focal_planes) {
            return Err("it does not have one frame for each tile".into());
        }
        let path = |number: usize| {
            let start = (number * focal_planes + focal_planes / 2) * tiles;
            let name = self.paths.get(number).and_then(|(id, name)| name.clone().or(Some(id.clone())));
            (name, frames[start..start + tiles].to_vec())
        };
        Ok(Found { paths: (0..whole / focal_planes).map(path).collect(), focal_planes })
    }

    /// The frames whose places are stated.
    fn placed(
        &self,
        places: &[Frame],
        frames: &[Location],
        (width, height): (u32, u32),
        (columns, tiles): (usize, usize),
    ) -> Found {
        let mut depths: Vec<f64> = places.iter().map(|place| place.depth).collect();
        depths.sort_by(f64::total_cmp);
        depths.dedup();
        let middle = depths.get(depths.len() / 2).copied().unwrap_or_default();
        let mut paths: Vec<(String, Vec<Location>)> = Vec::new();
        let missing = Location { offset: 0, length: 0 };
        for (place, frame) in places.iter().zip(frames).filter(|(place, _)| place.depth == middle) {
            let number = match paths.iter().position(|(known, _)| *known == place.path) {
                Some(number) => number,
                None if paths.len() < MOST_PATHS => {
                    paths.push((place.path.clone(), vec![missing; tiles]));
                    paths.len() - 1
                }
                None => continue,
            };
            let index = |pixels: i64, edge: u32| usize::try_from((pixels - 1) / i64::from(edge)).ok();
            let at = index(place.row, height).zip(index(place.column, width));
            let at = at.filter(|(_, column)| *column < columns).map(|(row, column)| row * columns + column);
            if let Some(tile) = at.and_then(|at| paths[number].1.get_mut(at)) {
                *tile = *frame;
            }
        }
        let name = |id: &str| {
            let stated = self.paths.iter().find(|(known, _)| known == id);
            stated.and_then(|(_, name)| name.clone()).or(Some(id.to_owned())).filter(|name| !name.is_empty())
        };
        let paths = paths.into_iter().map(|(id, tiles)| (name(&id), tiles)).collect();
        Found { paths, focal_planes: depths.len() }
    }

    /// Finds the bytes of all frames.
    fn frames(
        &self,
        header: &Header,
        source: &mut (impl Read + Seek),
        size: u64,
    ) -> Result<Vec<Location>, Refusal> {
        let (offset, length) = self.pixels.ok_or("it contains no pixels")?;
        let seek = |source: &mut dyn Seek, to: u64| {
            source.seek(io::SeekFrom::Start(to)).map_err(|error| error.to_string())
        };
        if let Some(length) = length {
            let bits =
                u64::from(header.tile.0) * u64::from(header.tile.1) * u64::from(header.samples) * self.bits;
            let bytes = bits.div_ceil(8);
            let needed =
                bytes.checked_mul(header.frames as u64).filter(|bytes| *bytes <= length && *bytes <= size);
            needed.ok_or("its pixels end too early")?;
            let frame = |number: u64| Location { offset: offset + number * bytes, length: bytes };
            return Ok((0..header.frames as u64).map(frame).collect());
        }
        let offsets = match header.offset_table {
            Some((start, length)) => {
                seek(source, start)?;
                Some(extended_offsets(source, length, header.frames, size)?)
            }
            None => None,
        };
        seek(source, offset)?;
        let found = items(source, header.frames, offsets, size)?;
        // Of an item, only its value is the frame.
        let inner = |item: &Location| Location {
            offset: item.offset + ITEM_HEADER,
            length: item.length - ITEM_HEADER,
        };
        if let Some(first) = found.first() {
            seek(source, first.offset)?;
            if item_length(source)? != first.length - ITEM_HEADER {
                return Err(Refusal::Unsupported("its tiles are stored in several parts".to_owned()));
            }
        }
        Ok(found.iter().map(inner).collect())
    }

    /// Describes the tiles at `locations` as an image of a TIFF file.
    fn page(&self, header: &Header, locations: &[Location]) -> Result<Page, Refusal> {
        let compression = match header.syntax.as_str() {
            "1.2.840.10008.1.2" | "1.2.840.10008.1.2.1" => 1,
            "1.2.840.10008.1.2.4.50" => 7,
            "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => 33005,
            other => {
                return Err(Refusal::Unsupported(format!(
                    "its pixels are compressed in a way that is not supported ({other})"
                )));
            }
        };
        let photometric = match (header.photometric.as_str(), compression) {
            ("RGB", _) => 2,
            // The stream of JPEG 2000 states whether it is to be converted.
            ("YBR_ICT" | "YBR_RCT", 33005) => 2,
            ("YBR_FULL" | "YBR_FULL_422" | "YBR_FULL_420" | "YBR_PARTIAL_420", 7) => 6,
            ("MONOCHROME2", _) => 1,
            ("MONOCHROME1", _) => 0,
            (other, _) => {
                return Err(Refusal::Unsupported(format!("its samples are {other}, which is not supported")));
            }
        };
        let samples = u64::from(header.samples.max(1));
        let is_planar = self.is_planar && samples > 1 && compression == 1;
        let locations: Vec<Location> = match is_planar {
            true => {
                let part = |sample: u64| {
                    locations.iter().map(move |whole| {
                        let length = whole.length / samples;
                        Location { offset: whole.offset + sample * length, length }
                    })
                };
                (0..samples).flat_map(part).collect()
            }
            false => locations.to_vec(),
        };
        let numbers = |tag, value: fn(&Location) -> u64| Entry::of_numbers(tag, locations.iter().map(value));
        Ok(Page {
            photometric: Some(photometric),
            compression,
            is_planar,
            offsets: Some(numbers(tag::TILE_OFFSETS, |location| location.offset)),
            lengths: Some(numbers(tag::TILE_BYTE_COUNTS, |location| location.length)),
            icc: self.profile.clone().map(|profile| Entry::of_bytes(tag::ICC_PROFILE, profile)),
            max_sample: (self.bits_used > 8 && self.bits_used < self.bits)
                .then(|| (1 << self.bits_used.min(32)) - 1),
            format: if self.is_signed { SampleFormat::Signed } else { SampleFormat::Unsigned },
            ..Page::of_tiles(
                size_of(header),
                (header.tile.0.into(), header.tile.1.into()),
                self.bits,
                samples,
            )
        })
    }
}

/// Maximum number of optical paths.
const MOST_PATHS: usize = 128;

/// Largest number of tiles of a level for each frame that is there.
const MOST_MISSING: usize = 64;

/// Calls `on` for each element of each item of a sequence, which has to read or skip it, and `begin` before each item.
fn in_sequence<R: Read + Seek>(
    elements: &mut Elements<R>,
    sequence: &Element,
    begin: &mut dyn FnMut(),
    on: &mut dyn FnMut(&mut Elements<R>, &Element) -> io::Result<()>,
) -> io::Result<()> {
    let start = elements.position()?;
    let end = sequence.length.map(|length| start + u64::from(length));
    while end.is_none_or(|end| start < end) && !is_at(elements, end)? {
        let item = elements.next()?;
        match item.tag {
            END_OF_SEQUENCE => return Ok(()),
            ITEM => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        let start = elements.position()?;
        let end = item.length.map(|length| start + u64::from(length));
        begin();
        while !is_at(elements, end)? {
            let element = elements.next()?;
            if element.tag == END_OF_ITEM {
                break;
            }
            on(elements, &element)?;
        }
    }
    Ok(())
}

/// Whether the end of a value has been reached.
fn is_at<R: Read + Seek>(elements: &mut Elements<R>, end: Option<u64>) -> io::Result<bool> {
    Ok(match end {
        Some(end) => elements.position()? >= end,
        None => false,
    })
}

/// Reads the place of each frame.
fn places<R: Read + Seek>(elements: &mut Elements<R>, sequence: &Element) -> io::Result<Vec<Frame>> {
    let frames = std::cell::RefCell::new(Vec::<Frame>::new());
    let change = |change: &dyn Fn(&mut Frame)| {
        if let Some(last) = frames.borrow_mut().last_mut() {
            change(last);
        }
    };
    in_sequence(
        elements,
        sequence,
        &mut || frames.borrow_mut().push(Frame::default()),
        &mut |elements, element| match element.tag {
            // Position and optical path stand in sequences of one item.
            (0x0048, 0x021a | 0x0207) => {
                in_sequence(elements, element, &mut || {}, &mut |elements, element| {
                    match element.tag {
                        (0x0048, 0x021e) => {
                            let column = elements.signed(element)?;
                            change(&|frame| frame.column = column);
                        }
                        (0x0048, 0x021f) => {
                            let row = elements.signed(element)?;
                            change(&|frame| frame.row = row);
                        }
                        (0x0040, 0x074a) => {
                            let depth = elements.text(element)?.parse().unwrap_or(0.0);
                            change(&|frame| frame.depth = depth);
                        }
                        (0x0048, 0x0106) => {
                            let path = elements.text(element)?;
                            change(&|frame| frame.path.clone_from(&path));
                        }
                        _ => elements.skip(element)?,
                    }
                    Ok(())
                })
            }
            _ => elements.skip(element),
        },
    )?;
    Ok(frames.into_inner())
}
