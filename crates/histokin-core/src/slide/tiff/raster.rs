//! Reads and decodes the tiles or strips of one image of a TIFF file.

use std::io::{Read, Seek, SeekFrom};

use super::Refusal;
use super::codec::{self, Codec};
use super::directory::{Entry, Tiff};
use super::jpeg::{StreamHead, TileJpegs, stream_head};
use super::opaque::{opaque, opaque_sums};
use super::page::{Page, SampleFormat};
use super::samples::{self, Packing, Samples};
use crate::slide::scratch;
use crate::slide::tile_grid::TileGrid;

/// Maximum number of pixels of a tile or compressed strip, which is decoded as a whole: 16,384 squared.
const MAX_CHUNK_PIXELS: u64 = 1 << 28;

/// Maximum number of bytes into which a tile or strip is unpacked.
const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// Unpacked size in bytes up to which the ratio to the compressed size is not checked.
const UNCHECKED_CHUNK_BYTES: u64 = 256 << 20;

/// Largest ratio of unpacked to compressed bytes of larger tiles: Deflate and LZW reach 1,400.
const MAX_EXPANSION: u64 = 1_500;

/// Bytes of an uncompressed strip that are read at once; longer strips are read in parts.
const STRIP_PART: u64 = 1 << 20;

/// Minimum number of bytes that a tile or strip takes in its directory: offset and length of two bytes each.
const MIN_ENTRY: u64 = 4;

/// Maximum number of samples per pixel.
const MAX_SAMPLES: u64 = 256;

/// Maximum number of bytes of shared JPEG tables; four of each kind have less than 4 KiB.
const MAX_TABLE_BYTES: u64 = 1 << 16;

/// Number of bytes of a tile's JPEG that are searched for its header, which application markers may precede.
const MAX_HEAD_BYTES: u64 = 1 << 16;

/// Value of Compression for JPEG streams.
const JPEG: u64 = 7;

/// Where the bytes of a tile or strip are stored. They may extend beyond the end of the file, which is
/// checked when they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) struct Location {
    /// Offset in the file in bytes.
    pub offset: u64,
    /// Number of bytes; 0 for a missing tile or strip.
    pub length: u64,
}

/// One image whose pixels can be read.
pub(in crate::slide) struct Raster {
    /// Size of the image and of its tiles or strips; the last strip of an image may have fewer rows.
    pub grid: TileGrid,
    /// Whether the image is stored in tiles rather than strips.
    pub is_tiled: bool,
    /// Samples per pixel.
    pub samples: usize,
    /// Number of the file in which it is stored ([`Page::file`]).
    pub file: usize,
    /// Row by row; if each sample has separate tiles, those of the first sample come first.
    locations: Vec<Location>,
    is_planar: bool,
    is_lsb_first: bool,
    is_big_endian: bool,
    packing: Packing,
    predictor: u64,
    codec: Codec,
    file_size: u64,
}

impl Raster {
    /// Finds the tiles or strips of `page`. `left` is the number of tiles and strips that the whole file may
    /// still have; it is reduced.
    ///
    /// # Errors
    /// [`Refusal`] when the way in which the pixels are stored is not supported, or when the file is damaged.
    pub fn of<R: Read + Seek>(page: &Page, tiff: &mut Tiff<R>, left: &mut u64) -> Result<Self, Refusal> {
        let side = |pixels: u64| u32::try_from(pixels).ok().filter(|pixels| *pixels > 0);
        let (Some(width), Some(height)) = (side(page.width), side(page.height)) else {
            return Err("it contains no pixels".into());
        };
        if page.depth != 1 {
            return Err(Refusal::Unsupported("it is a volume of several planes in one directory".to_owned()));
        }
        let packing = packing(page)?;
        let (chunk_width, rows) = match page.tile {
            Some((width, height)) => (side(width).ok_or("its tiles have no size")?, height),
            None => (width, page.rows_per_strip.min(page.height)),
        };
        let rows = side(rows).ok_or("its strips have no size")?;
        let samples_each = if page.is_planar { 1 } else { page.samples };
        let row_bytes = packing.row_bytes(u64::from(chunk_width) * samples_each);
        let whole = u64::from(height.div_ceil(rows)) * u64::from(width.div_ceil(chunk_width));
        let planes = if page.is_planar { page.samples } else { 1 };
        let count = whole.checked_mul(planes).filter(|count| *count <= *left);
        let count = count.ok_or("it lists more tiles than it can contain")?;
        *left -= count;
        let locations = locations(page, tiff, count, row_bytes, rows)?;
        let stated = match locations.iter().find(|location| location.length > 0) {
            Some(first) if page.compression == JPEG => head_at(tiff, *first).and_then(|head| head.components),
            _ => None,
        };
        let codec = Codec::of(page, &packing, stated, |entry| tiff.blob(entry, MAX_TABLE_BYTES))?;
        let mut raster = Self {
            grid: TileGrid { width, height, tile_width: chunk_width, tile_height: rows },
            is_tiled: page.tile.is_some(),
            samples: page.samples as usize,
            file: page.file,
            locations,
            is_planar: page.is_planar,
            is_lsb_first: page.is_lsb_first,
            is_big_endian: tiff.is_big_endian,
            packing,
            predictor: if codec.has_predictor() { page.predictor } else { 1 },
            codec,
            file_size: tiff.size,
        };
        raster.divide_strips(row_bytes);
        let pixels = u64::from(raster.grid.tile_width) * u64::from(raster.grid.tile_height);
        let bytes = pixels.saturating_mul(page.samples).saturating_mul(packing.unpacked_bytes());
        if pixels > MAX_CHUNK_PIXELS || bytes > MAX_CHUNK_BYTES {
            return Err(Refusal::Unsupported(format!(
                "it is stored in {} of {} × {} px, which are too large to be decoded",
                if raster.is_tiled { "tiles" } else { "compressed strips" },
                raster.grid.tile_width,
                raster.grid.tile_height
            )));
        }
        Ok(raster)
    }

    /// Divides long uncompressed strips, so that small regions do not require reading a whole strip.
    fn divide_strips(&mut self, row_bytes: u64) {
        let whole = row_bytes.saturating_mul(self.grid.tile_height.into());
        if self.is_tiled || self.is_planar || !self.codec.is_none() || whole <= 2 * STRIP_PART {
            return;
        }
        let wanted = (STRIP_PART / row_bytes.max(1)).clamp(1, u64::from(u32::MAX)) as u32;
        let is_one = self.locations.len() == 1;
        // Parts of several strips form one grid only if they divide the strips evenly.
        let rows = match (1..=wanted).rev().find(|rows| is_one || self.grid.tile_height.is_multiple_of(*rows))
        {
            Some(rows) if rows < self.grid.tile_height => rows,
            _ => return,
        };
        let chunks = self.grid.height.div_ceil(rows);
        if u64::from(chunks) > most_chunks(self.file_size) {
            return;
        }
        let parts = u64::from(self.grid.tile_height.div_ceil(rows));
        let part = u64::from(rows) * row_bytes;
        let split = |location: &Location| {
            let location = *location;
            (0..parts).map(move |index| Location {
                offset: location.offset.saturating_add(index.saturating_mul(part)),
                length: location.length.saturating_sub(index.saturating_mul(part)).min(part),
            })
        };
        self.locations = self.locations.iter().flat_map(split).take(chunks as usize).collect();
        self.grid.tile_height = rows;
    }

    /// Number of rows stored in a tile or strip; the last strip may have fewer.
    pub fn rows_of(&self, chunk: usize) -> u32 {
        let row = chunk as u32 / self.grid.columns();
        if self.is_tiled {
            self.grid.tile_height
        } else {
            self.grid.tile_height.min(self.grid.height - row * self.grid.tile_height)
        }
    }

    /// How samples are stored.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Whether three components are decoded to RGB, however they are stored.
    pub fn gives_rgb(&self) -> bool {
        self.codec.gives_rgb()
    }

    /// The decoder of the tiles, if they are JPEGs.
    pub fn jpegs(&self) -> Option<&TileJpegs> {
        match &self.codec {
            Codec::Jpeg(jpegs) => Some(jpegs),
            _ => None,
        }
    }

    /// Reads the beginning of the JPEG stream of a tile or strip; `None` if it is damaged or missing.
    pub fn head<R: Read + Seek>(&self, tiff: &mut Tiff<R>, chunk: usize) -> Option<StreamHead> {
        head_at(tiff, *self.locations.get(chunk).filter(|location| location.length > 0)?)
    }

    /// Stored bytes of a tile or strip; 0 if it is missing.
    pub fn stored_bytes(&self, chunk: usize) -> u64 {
        self.locations[chunk].length
    }

    /// Reads the stored bytes of a tile or strip.
    ///
    /// # Errors
    /// A message, when it is missing or cannot be read.
    pub fn stream(&self, file: &mut (impl Read + Seek), chunk: usize) -> Result<Vec<u8>, String> {
        if self.locations[chunk].length == 0 {
            return Err("a tile is missing".to_owned());
        }
        self.bytes(file, self.locations[chunk], self.rows_of(chunk))
    }

    /// Whether the file contains no data for the tile or strip.
    pub fn is_missing(&self, chunk: usize) -> bool {
        self.planes().all(|plane| self.locations[plane * self.grid.tiles() + chunk].length == 0)
    }

    fn planes(&self) -> std::ops::Range<usize> {
        0..if self.is_planar { self.samples } else { 1 }
    }

    /// Reads the samples of a tile or strip, interleaved by pixel; `None` if it is missing.
    ///
    /// # Errors
    /// A message, when its bytes are damaged or cannot be read.
    pub fn read(&self, file: &mut (impl Read + Seek), chunk: usize) -> Result<Option<Samples>, String> {
        if self.is_missing(chunk) {
            return Ok(None);
        }
        if !self.is_planar {
            return self.plane(file, chunk, self.samples).map(Some);
        }
        let planes: Result<Vec<Samples>, String> =
            self.planes().map(|plane| self.sample(file, chunk, plane)).collect();
        Ok(Some(Samples::interleaved(planes?)?))
    }

    /// Reads one sample of each pixel of a tile or strip; `None` if it is missing.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_sample(
        &self,
        file: &mut (impl Read + Seek),
        chunk: usize,
        sample: usize,
    ) -> Result<Option<Samples>, String> {
        match self.is_planar {
            true if self.locations[sample * self.grid.tiles() + chunk].length == 0 => Ok(None),
            true => self.sample(file, chunk, sample).map(Some),
            false => Ok(self.read(file, chunk)?.map(|all| all.one_of(sample, self.samples))),
        }
    }

    fn sample(&self, file: &mut (impl Read + Seek), chunk: usize, sample: usize) -> Result<Samples, String> {
        let index = sample * self.grid.tiles() + chunk;
        if self.locations[index].length == 0 {
            let pixels = self.grid.tile_width as usize * self.rows_of(chunk) as usize;
            return Ok(self.packing.zeros(pixels));
        }
        self.decode(file, index, self.rows_of(chunk), 1)
    }

    fn plane(&self, file: &mut (impl Read + Seek), chunk: usize, samples: usize) -> Result<Samples, String> {
        self.decode(file, chunk, self.rows_of(chunk), samples)
    }

    fn decode(
        &self,
        file: &mut (impl Read + Seek),
        index: usize,
        rows: u32,
        samples: usize,
    ) -> Result<Samples, String> {
        let bytes = self.stored(file, index, rows)?;
        let shape = codec::Shape {
            width: self.grid.tile_width,
            height: rows,
            most_rows: self.grid.tile_height,
            shown: {
                let shown = self.grid.region(0, index % self.grid.tiles());
                (shown.width, shown.height)
            },
            samples,
        };
        if let Some(decoded) = self.codec.picture(&bytes, shape)? {
            return Ok(decoded);
        }
        let row_bytes = self.packing.row_bytes(u64::from(self.grid.tile_width) * samples as u64) as usize;
        let mut raw = vec![0; row_bytes * rows as usize];
        self.codec.unpack(&bytes, &mut raw)?;
        samples::unpredict(&mut raw, row_bytes, samples, self.predictor, self.packing, self.is_big_endian)?;
        Ok(self.packing.samples(raw, row_bytes, self.grid.tile_width as usize * samples, self.is_big_endian))
    }

    /// Whether the rows of tiles can be converted to RGBA as they are unpacked: they have three samples of 8 bits that stand
    /// beside each other.
    pub fn has_plain_rows(&self) -> bool {
        let is_8_bit = self.packing.bits == 8 && self.packing.format == SampleFormat::Unsigned;
        let is_undone = matches!(self.predictor, 1 | 2);
        is_8_bit && is_undone && self.samples == 3 && !self.is_planar && self.codec.is_of_bits()
    }

    /// Decodes a tile or strip with plain rows ([`Self::has_plain_rows`]) into RGBA rows that begin `pitch` bytes apart. This is
    /// quicker than [`Self::read`], since no memory is allocated for samples.
    ///
    /// # Errors
    /// As [`Self::read`], and when it is missing.
    pub fn draw(
        &self,
        file: &mut (impl Read + Seek),
        chunk: usize,
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        let rows = self.rows_of(chunk);
        let row_bytes = self.grid.tile_width as usize * 3;
        let bytes = self.stored(file, chunk, rows)?;
        scratch::with(row_bytes * rows as usize, |raw| {
            self.codec.unpack(&bytes, raw)?;
            for (row, line) in pixels.chunks_mut(pitch).zip(raw.chunks_exact(row_bytes)) {
                let row = &mut row[..row_bytes / 3 * 4];
                if self.predictor == 2 { opaque_sums(line, row) } else { opaque(line, 3, row) }
            }
            Ok(())
        })
    }

    /// Reads the stored bytes of a tile or strip with the highest bit of each byte first.
    fn stored(&self, file: &mut (impl Read + Seek), index: usize, rows: u32) -> Result<Vec<u8>, String> {
        let mut bytes = self.bytes(file, self.locations[index], rows)?;
        if self.is_lsb_first && self.codec.is_of_bits() {
            bytes.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        Ok(bytes)
    }

    /// Reads the stored bytes of a tile or strip.
    fn bytes(&self, file: &mut (impl Read + Seek), location: Location, rows: u32) -> Result<Vec<u8>, String> {
        if location.offset.checked_add(location.length).is_none_or(|end| end > self.file_size) {
            return Err("one of its tiles is beyond the end of the file: the file is truncated".to_owned());
        }
        let pixels = u64::from(self.grid.tile_width) * u64::from(rows);
        let unpacked = pixels * self.samples as u64 * self.packing.unpacked_bytes();
        if unpacked > UNCHECKED_CHUNK_BYTES && unpacked / MAX_EXPANSION > location.length {
            return Err("one of its tiles states more pixels than its bytes can hold".to_owned());
        }
        // Allows for compression that doubles the size.
        if location.length > 2 * unpacked.max(pixels) + (1 << 16) {
            return Err("one of its tiles has more bytes than its pixels need".to_owned());
        }
        let mut bytes = vec![0; location.length as usize];
        let read = file.seek(SeekFrom::Start(location.offset)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

/// Reads the beginning of the JPEG stream at `location`.
fn head_at<R: Read + Seek>(tiff: &mut Tiff<R>, location: Location) -> Option<StreamHead> {
    let length = location.length.min(MAX_HEAD_BYTES).min(tiff.size.saturating_sub(location.offset));
    stream_head(&tiff.bytes(location.offset, length).ok()?)
}

/// Maximum number of tiles and strips that a file of `size` bytes can list.
pub(in crate::slide) fn most_chunks(size: u64) -> u64 {
    (size / MIN_ENTRY).max(1)
}

/// Determines how the samples of a page are stored.
fn packing(page: &Page) -> Result<Packing, Refusal> {
    if !(1..=MAX_SAMPLES).contains(&page.samples) {
        return Err(Refusal::Damaged(format!("it has {} samples per pixel", page.samples)));
    }
    let bits = page.bits.first().copied().unwrap_or(1);
    if page.bits.iter().any(|other| *other != bits) {
        return Err(Refusal::Unsupported("its samples have different bit depths".to_owned()));
    }
    Packing::of(bits, page.format).ok_or_else(|| {
        let kind = match page.format {
            SampleFormat::Unsigned => "unsigned integers",
            SampleFormat::Signed => "signed integers",
            SampleFormat::Float => "floating-point numbers",
            SampleFormat::Other => "complex or mixed numbers",
        };
        Refusal::Unsupported(format!("its samples are {kind} of {bits} bits, which are not supported"))
    })
}

/// Reads the locations of the `count` tiles or strips of a page.
fn locations<R: Read + Seek>(
    page: &Page,
    tiff: &mut Tiff<R>,
    count: u64,
    row_bytes: u64,
    rows: u32,
) -> Result<Vec<Location>, String> {
    let offsets = page.offsets.as_ref().ok_or("it does not state the offsets of its pixels")?;
    let chunks = if page.tile.is_some() { "tiles" } else { "strips" };
    let numbers = |tiff: &mut Tiff<R>, entry: &Entry| match entry.count {
        listed if listed < count => Err(format!(
            "its {} × {} px need {count} {chunks}, but it lists {listed}; it is damaged or truncated",
            page.width, page.height
        )),
        _ => tiff.numbers(entry, count),
    };
    let offsets = numbers(tiff, offsets)?;
    let whole = row_bytes.saturating_mul(u64::from(rows));
    let lengths = match &page.lengths {
        Some(lengths) => numbers(tiff, lengths)?,
        None => Vec::new(),
    };
    // Old writers omit the lengths, or state none, where the size is known anyway. As in libtiff, what is compressed then extends
    // to what follows.
    let are_stated = lengths.iter().any(|length| *length > 0);
    let lengths = match (are_stated, page.compression) {
        (true, _) => lengths,
        (false, 1) => offsets.iter().map(|offset| whole.min(tiff.size.saturating_sub(*offset))).collect(),
        (false, _) if page.lengths.is_some() => lengths,
        (false, _) => {
            let most = whole.saturating_mul(2).saturating_add(1 << 16);
            let mut starts = offsets.clone();
            starts.sort_unstable();
            let end = |offset: u64| {
                starts.get(starts.partition_point(|start| *start <= offset)).copied().unwrap_or(tiff.size)
            };
            offsets.iter().map(|offset| end(*offset).saturating_sub(*offset).min(most)).collect()
        }
    };
    let location = |(offset, length)| Location { offset, length: if offset == 0 { 0 } else { length } };
    Ok(offsets.into_iter().zip(lengths).map(location).collect())
}
