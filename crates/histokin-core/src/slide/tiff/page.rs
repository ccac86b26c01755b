//! The description of an image in one directory of a TIFF file, without its pixels.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::directory::{Directory, Entry, Tiff, tag};

/// Maximum number of directories of one file, including those of the levels. A stack of 30 planes in 40
/// channels with 6 levels has 7,200.
const MAX_DIRECTORIES: usize = 16_384;

/// Maximum number of bytes of all texts of a file together.
const MAX_TEXT_BYTES: usize = 64 << 20;

/// Type of sample values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) enum SampleFormat {
    Unsigned,
    Signed,
    Float,
    /// Complex numbers and undefined types.
    Other,
}

/// An image of a file, as described by its directory. Values are as stored in the file, plausible or not.
#[derive(Debug, Clone)]
pub(in crate::slide) struct Page {
    /// Number of the file in which it is stored, if the slide is in several: 0 for the one that was opened.
    pub file: usize,
    /// Width in pixels.
    pub width: u64,
    /// Height in pixels.
    pub height: u64,
    /// Bits of each sample; empty if the tag is missing.
    pub bits: Vec<u64>,
    /// Type of the sample values.
    pub format: SampleFormat,
    /// Samples per pixel.
    pub samples: u64,
    /// Value of PhotometricInterpretation.
    pub photometric: Option<u64>,
    /// Value of Compression; 1 is none.
    pub compression: u64,
    /// Value of Predictor; 1 is none.
    pub predictor: u64,
    /// Whether each sample has separate tiles or strips.
    pub is_planar: bool,
    /// Whether the bits of a byte begin with the lowest.
    pub is_lsb_first: bool,
    /// Value of Orientation, from 1 to 8; 1 is upright.
    pub orientation: u64,
    /// Meaning of the samples after the colours: 1 premultiplied alpha, 2 straight alpha.
    pub extra_samples: Vec<u64>,
    /// Flags of NewSubfileType: 1 a reduced version of another image, 2 one page of several, 4 a mask.
    pub subfile: u64,
    /// Width and height of a tile; `None` for strips.
    pub tile: Option<(u64, u64)>,
    /// Rows of each strip except the last.
    pub rows_per_strip: u64,
    /// Offsets of the tiles or strips.
    pub offsets: Option<Entry>,
    /// Lengths in bytes of the tiles or strips.
    pub lengths: Option<Entry>,
    /// Table of colours, for images of indices.
    pub color_map: Option<Entry>,
    /// JPEG tables that all tiles or strips share.
    pub tables: Option<Entry>,
    /// ICC profile.
    pub icc: Option<Entry>,
    /// Largest value of a sample, if the file states it.
    pub max_sample: Option<u64>,
    /// Value of InkSet; 1 is CMYK.
    pub ink_set: u64,
    /// Number of planes of a volume; 1 for images.
    pub depth: u64,
    /// Pixels per unit along both axes.
    pub resolution: Option<(f64, f64)>,
    /// Value of ResolutionUnit: 1 none, 2 inch, which a missing tag means, 3 centimetre.
    pub resolution_unit: u64,
    /// Text of ImageDescription.
    pub description: Option<String>,
    /// Name of the program that wrote the file.
    pub software: Option<String>,
    /// Other texts by the names of their tags.
    pub texts: Vec<(&'static str, String)>,
    /// The images of its SubIFDs: by convention its levels, finest first.
    pub children: Vec<Page>,
}

impl Page {
    /// An image in tiles, upright and not compressed, of which nothing else is stated.
    pub fn of_tiles((width, height): (u64, u64), tile: (u64, u64), bits: u64, samples: u64) -> Self {
        Self {
            file: 0,
            width,
            height,
            bits: vec![bits; samples.min(4) as usize],
            format: SampleFormat::Unsigned,
            samples,
            photometric: None,
            compression: 1,
            predictor: 1,
            is_planar: false,
            is_lsb_first: false,
            orientation: 1,
            extra_samples: Vec::new(),
            subfile: 0,
            tile: Some(tile),
            rows_per_strip: u64::from(u32::MAX),
            offsets: None,
            lengths: None,
            color_map: None,
            tables: None,
            icc: None,
            max_sample: None,
            ink_set: 1,
            depth: 1,
            resolution: None,
            resolution_unit: 1,
            description: None,
            software: None,
            texts: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Sets the number of the file in which it and the images of its SubIFDs are stored.
    pub fn set_file(&mut self, file: usize) {
        self.file = file;
        self.children.iter_mut().for_each(|child| child.set_file(file));
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u64, u64) {
        (self.width, self.height)
    }

    /// Number of pixels.
    pub fn area(&self) -> u64 {
        self.width.saturating_mul(self.height)
    }

    /// Whether the file flags it as a reduced version of another image.
    pub fn is_reduced(&self) -> bool {
        self.subfile & 1 != 0
    }

    /// Whether it is a transparency mask.
    pub fn is_mask(&self) -> bool {
        // TIFF 6.0 requires both and one bit per pixel.
        self.photometric == Some(4) || (self.subfile & 4 != 0 && self.bits.first() == Some(&1))
    }

    /// Whether the samples of both have the same meaning, so that one can be a level of the other.
    pub fn is_like(&self, other: &Self) -> bool {
        let is_rgb = |page: &Self| matches!(page.photometric, Some(2 | 6));
        let same_colors = self.photometric == other.photometric || (is_rgb(self) && is_rgb(other));
        same_colors
            && self.samples == other.samples
            && self.bits.first() == other.bits.first()
            && self.format == other.format
    }
}

/// Reads the images of a TIFF file in the order of its directories, each with those of its SubIFDs.
///
/// # Errors
/// A message, when the directories are damaged.
pub(in crate::slide) fn pages<R: Read + Seek>(tiff: &mut Tiff<R>, first: u64) -> Result<Vec<Page>, String> {
    let (pages, damage) = readable_pages(tiff, first)?;
    damage.map_or(Ok(pages), Err)
}

/// Reads the images of a TIFF file up to the first damaged directory, as libtiff does; also returns a message about that one.
///
/// # Errors
/// A message, when the first directory is damaged.
pub(in crate::slide) fn readable_pages<R: Read + Seek>(
    tiff: &mut Tiff<R>,
    first: u64,
) -> Result<(Vec<Page>, Option<String>), String> {
    let mut walk = Walk { seen: HashSet::new(), text: 0, damage: None };
    let mut pages = Vec::new();
    let mut next = first;
    while next != 0 {
        match walk.page_at(tiff, next) {
            Ok((page, following)) => {
                pages.push(page);
                next = following;
            }
            Err(damage) if pages.is_empty() => return Err(damage),
            Err(damage) => return Ok((pages, Some(damage))),
        }
    }
    if let [only] = pages.as_slice() {
        pages.extend(imagej_planes(tiff, only));
    }
    Ok((pages, walk.damage))
}

/// The images that ImageJ has stored behind the only one that has a directory, as it does in files of more than 4 GiB.
fn imagej_planes<R: Read + Seek>(tiff: &mut Tiff<R>, first: &Page) -> Vec<Page> {
    let description = first.description.as_deref().unwrap_or_default();
    let stated = imagej_number(description, "images").unwrap_or(1);
    let bits = first.bits.iter().fold(0_u64, |sum, bits| sum.saturating_add(*bits));
    let bytes = first.area().saturating_mul(bits) / 8;
    let offset = first.offsets.as_ref().and_then(|entry| Some(tiff.numbers(entry, 1).ok()?[0]));
    let (Some(offset), 1, None, false, 1..) = (offset, first.compression, first.tile, first.is_planar, bytes)
    else {
        return Vec::new();
    };
    let there = tiff.size.saturating_sub(offset) / bytes;
    let plane = |index: u64| Page {
        offsets: Some(Entry::of_number(tag::STRIP_OFFSETS, offset + index * bytes, tiff)),
        lengths: Some(Entry::of_number(tag::STRIP_BYTE_COUNTS, bytes, tiff)),
        rows_per_strip: first.height,
        description: None,
        ..first.clone()
    };
    (1..stated.min(there).min(MAX_DIRECTORIES as u64)).map(plane).collect()
}

/// Reads a number from ImageJ's ImageDescription, such as `channels=3`; `None` if the description is not ImageJ's.
pub(in crate::slide) fn imagej_number(description: &str, name: &str) -> Option<u64> {
    let rest = description.strip_prefix("ImageJ=")?;
    rest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.trim().parse().ok())
}

struct Walk {
    seen: HashSet<u64>,
    text: usize,
    /// Why the images of a SubIFD are not all read.
    damage: Option<String>,
}

impl Walk {
    fn directory<R: Read + Seek>(&mut self, tiff: &mut Tiff<R>, offset: u64) -> Result<Directory, String> {
        if !self.seen.insert(offset) || self.seen.len() > MAX_DIRECTORIES {
            return Err("its chain of directories does not end".to_owned());
        }
        tiff.directory(offset)
    }

    /// Reads the image at `offset` and those of its SubIFDs; also returns the offset of the next directory.
    fn page_at<R: Read + Seek>(&mut self, tiff: &mut Tiff<R>, offset: u64) -> Result<(Page, u64), String> {
        let directory = self.directory(tiff, offset)?;
        let mut page = self.page(tiff, &directory)?;
        if let Some(entry) = directory.find(tag::SUB_IFDS)
            && let Err(damage) = self.all_children(tiff, entry, &mut page.children)
        {
            // The image itself is there, and coarser levels can be computed.
            self.damage.get_or_insert(damage);
        }
        Ok((page, directory.next))
    }

    /// Reads the images at the offsets that `entry` lists.
    fn all_children<R: Read + Seek>(
        &mut self,
        tiff: &mut Tiff<R>,
        entry: &Entry,
        children: &mut Vec<Page>,
    ) -> Result<(), String> {
        if entry.count > MAX_DIRECTORIES as u64 {
            return Err("it has too many SubIFDs".to_owned());
        }
        tiff.numbers(entry, entry.count)?
            .into_iter()
            .try_for_each(|offset| self.children(tiff, offset, children))
    }

    /// Reads the image at `offset` of a SubIFD, and those that follow it if levels are chained.
    fn children<R: Read + Seek>(
        &mut self,
        tiff: &mut Tiff<R>,
        offset: u64,
        children: &mut Vec<Page>,
    ) -> Result<(), String> {
        let mut next = offset;
        // If the list contains all levels, the chain leads to levels that have already been read.
        while next != 0 && !self.seen.contains(&next) {
            let directory = self.directory(tiff, next)?;
            children.push(self.page(tiff, &directory)?);
            next = directory.next;
        }
        Ok(())
    }

    fn page<R: Read + Seek>(&mut self, tiff: &mut Tiff<R>, directory: &Directory) -> Result<Page, String> {
        let mut text = |tag| {
            let text = directory.find(tag).and_then(|entry| tiff.text(entry))?;
            self.text += text.len();
            (self.text <= MAX_TEXT_BYTES).then_some(text)
        };
        let description = text(tag::IMAGE_DESCRIPTION);
        let software = text(tag::SOFTWARE);
        let named = [("Make", tag::MAKE), ("Model", tag::MODEL), ("DateTime", tag::DATE_TIME)];
        let texts = named.into_iter().filter_map(|(name, tag)| Some((name, text(tag)?))).collect();

        let samples = tiff.one(directory, tag::SAMPLES_PER_PIXEL, 1)?;
        let per_sample = |tiff: &mut Tiff<R>, tag| match directory.find(tag) {
            Some(entry) => tiff.numbers(entry, entry.count.min(samples.clamp(1, 1 << 16))),
            None => Ok(Vec::new()),
        };
        let bits = per_sample(tiff, tag::BITS_PER_SAMPLE)?;
        let formats = per_sample(tiff, tag::SAMPLE_FORMAT)?;
        let format = match formats.first() {
            None | Some(1 | 4) => SampleFormat::Unsigned,
            Some(2) => SampleFormat::Signed,
            Some(3) => SampleFormat::Float,
            Some(_) => SampleFormat::Other,
        };
        let is_mixed = formats.iter().any(|other| Some(other) != formats.first());
        let extra_samples = match directory.find(tag::EXTRA_SAMPLES) {
            Some(entry) => tiff.numbers(entry, entry.count.clamp(1, 16))?,
            None => Vec::new(),
        };
        let first = |tiff: &mut Tiff<R>, entry: &Entry| tiff.numbers(entry, 1).ok().map(|numbers| numbers[0]);
        // As in libtiff, a tag with several values where one is expected counts as missing.
        let optional = |tiff: &mut Tiff<R>, tag| {
            directory.find(tag).filter(|entry| entry.count == 1).and_then(|entry| first(tiff, entry))
        };
        let mut fraction = |tag| directory.find(tag).and_then(|entry| tiff.fraction(entry));
        let resolution = fraction(tag::X_RESOLUTION).zip(fraction(tag::Y_RESOLUTION));
        let (width, height) =
            (tiff.one(directory, tag::IMAGE_WIDTH, 0)?, tiff.one(directory, tag::IMAGE_LENGTH, 0)?);
        let tile = match directory.find(tag::TILE_WIDTH) {
            Some(_) => {
                Some((tiff.one(directory, tag::TILE_WIDTH, 0)?, tiff.one(directory, tag::TILE_LENGTH, 0)?))
            }
            None => None,
        };
        let (offsets, lengths) = match tile {
            Some(_) => (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS),
            None => (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS),
        };
        // As in libtiff, the tile lists of some old writers are found under the tags for strips.
        let either = |tag, other| directory.find(tag).or(directory.find(other)).cloned();
        let old_subfile = match optional(tiff, tag::SUBFILE_TYPE) {
            Some(2) => 1,
            Some(3) => 2,
            _ => 0,
        };
        Ok(Page {
            file: 0,
            width,
            height,
            bits,
            format: if is_mixed { SampleFormat::Other } else { format },
            samples,
            // As in libtiff, three samples without a stated meaning are red, green and blue.
            photometric: optional(tiff, tag::PHOTOMETRIC)
                .or((samples.checked_sub(extra_samples.len() as u64) == Some(3)).then_some(2)),
            compression: tiff.one(directory, tag::COMPRESSION, 1)?,
            predictor: tiff.one(directory, tag::PREDICTOR, 1)?,
            is_planar: tiff.one(directory, tag::PLANAR, 1)? == 2,
            is_lsb_first: optional(tiff, tag::FILL_ORDER) == Some(2),
            orientation: optional(tiff, tag::ORIENTATION).unwrap_or(1),
            extra_samples,
            subfile: optional(tiff, tag::NEW_SUBFILE_TYPE).unwrap_or(old_subfile),
            tile,
            rows_per_strip: tiff.one(directory, tag::ROWS_PER_STRIP, u64::from(u32::MAX))?,
            offsets: either(offsets, tag::STRIP_OFFSETS),
            lengths: either(lengths, tag::STRIP_BYTE_COUNTS),
            color_map: directory.find(tag::COLOR_MAP).cloned(),
            tables: directory.find(tag::JPEG_TABLES).cloned(),
            icc: directory.find(tag::ICC_PROFILE).cloned(),
            max_sample: directory.find(tag::MAX_SAMPLE_VALUE).and_then(|entry| first(tiff, entry)),
            ink_set: optional(tiff, tag::INK_SET).unwrap_or(1),
            depth: tiff.one(directory, tag::IMAGE_DEPTH, 1)?,
            resolution,
            resolution_unit: optional(tiff, tag::RESOLUTION_UNIT).unwrap_or(2),
            description,
            software,
            texts,
            children: Vec::new(),
        })
    }
}
