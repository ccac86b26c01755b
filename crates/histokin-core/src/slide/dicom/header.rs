//! What a DICOM file states before its pixel data.
//!
//! Finding the files of a slide, its identity and its tiles each need some of it, from every file of a folder, so headers
//! are read once and kept for a while.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::reconnecting::Stamp;
use super::Instance;
use super::elements::{Element, Elements, Tag, has_prefix};
use crate::untrusted;

/// SOP class of whole-slide images (VL Whole Slide Microscopy Image Storage).
const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";

const SOP_CLASS: Tag = (0x0008, 0x0016);
const SOP_INSTANCE: Tag = (0x0008, 0x0018);
const SERIES: Tag = (0x0020, 0x000e);
const CONCATENATION: Tag = (0x0020, 0x9161);
const PLACES_OF_FRAMES: Tag = (0x5200, 0x9230);
const EXTENDED_OFFSETS: Tag = (0x7fe0, 0x0001);
const PIXEL_DATA: Tag = (0x7fe0, 0x0010);

/// Longest value that is read, in bytes; identifiers have at most 64.
const MAX_VALUE_BYTES: u32 = 1024;

/// Number of files whose headers are kept.
const MAX_KEPT: usize = 4096;

/// The elements that are needed. Texts are empty and numbers 0 where they are not stated.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::slide) struct Header {
    /// Identifier of the transfer syntax: how elements and pixels are stored.
    pub syntax: String,
    /// SOPClassUID; `None` if it is not stated.
    class: Option<String>,
    /// SOPInstanceUID.
    pub uid: String,
    /// SeriesInstanceUID.
    pub series: String,
    /// ImageType: `VOLUME` for levels, `LABEL` or `OVERVIEW` for others; `None` if it is not stated.
    kind: Option<String>,
    /// DimensionOrganizationType.
    pub organization: String,
    /// SamplesPerPixel.
    pub samples: u32,
    /// PhotometricInterpretation.
    pub photometric: String,
    /// NumberOfFrames.
    pub frames: usize,
    /// Width and height of a tile in pixels.
    pub tile: (u32, u32),
    /// Width and height of the whole level in pixels.
    pub level: (u32, u32),
    /// TotalPixelMatrixFocalPlanes.
    pub focal_planes: Option<u32>,
    /// Offset in the file and number of bytes of the extended offset table.
    pub offset_table: Option<(u64, u32)>,
    /// Offset of the fragments of the pixel data in the file; `None` if frames are stored in another way, or the header is
    /// damaged.
    pub fragments: Option<u64>,
    /// Why the header could not be read to its end, for display.
    pub damage: Option<String>,
}

impl Header {
    /// Returns the header of the file at `path`, as it is now; `None` if it is not a DICOM file.
    pub fn of(path: &Path) -> Option<Arc<Self>> {
        type Kept = HashMap<PathBuf, (Stamp, Option<Arc<Header>>)>;
        static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
        // A map stays consistent if a thread panics.
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let file = untrusted::open(path).ok()?;
        let stamp = Stamp::of(&file.metadata().ok()?);
        if let Some((of, header)) = kept().get_or_insert_default().get(path)
            && *of == stamp
        {
            return header.clone();
        }
        let mut source = BufReader::new(file);
        let header = has_prefix(&mut source).then(|| Arc::new(Self::read(source)));
        let mut kept = kept();
        let kept = kept.get_or_insert_default();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(path.to_owned(), (stamp, header.clone()));
        header
    }

    /// Reads the header of a file, as far as it can be read. `source` is at the end of the prefix, see [`has_prefix`].
    pub fn read(source: impl Read + Seek) -> Self {
        let mut header = Self::default();
        if let Err(error) = header.read_elements(source) {
            header.damage = Some(error.to_string());
        }
        header
    }

    fn read_elements(&mut self, source: impl Read + Seek) -> io::Result<()> {
        let mut elements = Elements::begin(source)?;
        self.syntax = elements.syntax().to_owned();
        loop {
            let element = elements.next()?;
            match element.tag {
                PIXEL_DATA => {
                    self.fragments = element.length.is_none().then(|| elements.position()).transpose()?;
                    return Ok(());
                }
                // Such frames are not stored one after the other in one file.
                CONCATENATION | PLACES_OF_FRAMES => return Ok(()),
                EXTENDED_OFFSETS => {
                    let start = elements.position()?;
                    self.offset_table = element.length.map(|length| (start, length));
                    elements.skip(&element)?;
                }
                _ => self.take(&mut elements, &element)?,
            }
        }
    }

    /// Keeps the value of an element if it is needed, and skips it otherwise.
    fn take<R: Read + Seek>(&mut self, elements: &mut Elements<R>, element: &Element) -> io::Result<()> {
        let is_needed = matches!(
            element.tag,
            (0x0008, 0x0008)
                | SOP_CLASS
                | SOP_INSTANCE
                | SERIES
                | (0x0020, 0x9311)
                | (0x0028, 0x0002 | 0x0004 | 0x0008 | 0x0010 | 0x0011)
                | (0x0048, 0x0006 | 0x0007 | 0x0303)
        );
        if !is_needed || element.length.is_none_or(|length| length > MAX_VALUE_BYTES) {
            return elements.skip(element);
        }
        let value = elements.bytes(element, MAX_VALUE_BYTES.into())?;
        let text = || String::from_utf8_lossy(&value).trim_matches(['\0', ' ']).to_owned();
        // A whole number of 16 or 32 bits.
        let number = || match *value {
            [b0, b1] => u16::from_le_bytes([b0, b1]).into(),
            [b0, b1, b2, b3] => u32::from_le_bytes([b0, b1, b2, b3]),
            _ => 0,
        };
        match element.tag {
            (0x0008, 0x0008) => self.kind = Some(text()),
            SOP_CLASS => self.class = Some(text()),
            SOP_INSTANCE => self.uid = text(),
            SERIES => self.series = text(),
            (0x0020, 0x9311) => self.organization = text(),
            (0x0028, 0x0002) => self.samples = number(),
            (0x0028, 0x0004) => self.photometric = text(),
            (0x0028, 0x0008) => self.frames = text().parse().unwrap_or(0),
            (0x0028, 0x0010) => self.tile.1 = number(),
            (0x0028, 0x0011) => self.tile.0 = number(),
            (0x0048, 0x0006) => self.level.0 = number(),
            (0x0048, 0x0007) => self.level.1 = number(),
            (0x0048, 0x0303) => self.focal_planes = Some(number()),
            _ => {}
        }
        Ok(())
    }

    /// What the file is.
    pub fn instance(&self) -> Instance {
        match &self.class {
            Some(class) if class != WHOLE_SLIDE => Instance::Other,
            Some(_) if !self.series.is_empty() => Instance::Slide { series: self.series.clone() },
            _ => Instance::Unknown,
        }
    }

    /// Whether it is stated to be a level of a slide.
    pub fn is_volume(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.contains("VOLUME"))
    }

    /// Number of pixels of the whole level; 0 for labels and overview images, and if not stated.
    pub fn pixels(&self) -> u64 {
        let is_other = self.kind.is_some() && !self.is_volume();
        if is_other { 0 } else { u64::from(self.level.0) * u64::from(self.level.1) }
    }
}
