//! The pixels of one image of a TIFF file: where its tiles or strips lie, and what they hold.

use std::io::{Read, Seek, SeekFrom};

use super::Refusal;
use super::codec::{self, Codec};
use super::directory::{Entry, Tiff};
use super::jpeg::TileJpegs;
use super::page::{Page, SampleFormat};
use super::samples::{self, Packing, Samples};
use crate::geometry::LevelRect;

/// Pixels of one tile or compressed strip: 16,384 squared. It is unpacked as a whole.
const MOST_CHUNK_PIXELS: u64 = 1 << 28;

/// Bytes that one tile or strip is unpacked into.
const MOST_CHUNK_BYTES: u64 = 1 << 30;

/// Tiles and strips that are unpacked although their bytes are fewer than such a size makes believable.
const BELIEVED_CHUNK_BYTES: u64 = 256 << 20;

/// Bytes that a byte of a larger one may become: Deflate and LZW reach 1,400.
const MOST_FOLD: u64 = 1_500;

/// Bytes of an uncompressed strip that are read at once: longer ones are read in parts.
const STRIP_PART: u64 = 1 << 20;

/// Bytes that a tile or strip takes in its directory at least: an offset and a length of two bytes each.
const MIN_ENTRY: u64 = 4;

/// Samples of a pixel that are believed.
const MOST_SAMPLES: u64 = 256;

/// Bytes of shared JPEG tables; four of each kind are below 4 KiB.
const MOST_TABLES: u64 = 1 << 16;

/// Where the bytes of a tile or strip lie. They may reach beyond the file's end: reading tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) struct Place {
    pub offset: u64,
    /// 0 for one that was left out.
    pub length: u64,
}

/// One image whose pixels can be read.
pub(in crate::slide) struct Raster {
    pub width: u32,
    pub height: u32,
    /// Pixels of a tile, or of a strip: the last one of an image in strips has fewer rows.
    pub chunk_width: u32,
    pub chunk_height: u32,
    pub is_tiled: bool,
    /// Samples of a pixel.
    pub samples: usize,
    /// Row by row; where each sample has tiles of its own, those of the first sample come first.
    places: Vec<Place>,
    is_planar: bool,
    is_lsb_first: bool,
    is_big_endian: bool,
    packing: Packing,
    predictor: u64,
    codec: Codec,
    file_size: u64,
}

impl Raster {
    /// Find the tiles or strips of `page`, of which the whole file has at most `left` more.
    ///
    /// # Errors
    /// In words, when its pixels are stored in a way that is not read, or it is damaged.
    pub fn of<R: Read + Seek>(page: &Page, tiff: &mut Tiff<R>, left: &mut u64) -> Result<Self, Refusal> {
        let side = |pixels: u64| u32::try_from(pixels).ok().filter(|pixels| *pixels > 0);
        let (Some(width), Some(height)) = (side(page.width), side(page.height)) else {
            return Err("it holds no pixels".into());
        };
        if page.depth != 1 {
            return Err(Refusal::Unsupported("it is a volume of several planes in one directory".to_owned()));
        }
        let packing = packing(page)?;
        let codec = Codec::of(page, &packing, |entry| tiff.blob(entry, MOST_TABLES))?;
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
        let count = count.ok_or("it names more tiles than it can hold")?;
        *left -= count;
        let places = places(page, tiff, count, row_bytes, rows)?;
        let mut raster = Self {
            width,
            height,
            chunk_width,
            chunk_height: rows,
            is_tiled: page.tile.is_some(),
            samples: page.samples as usize,
            places,
            is_planar: page.is_planar,
            is_lsb_first: page.is_lsb_first,
            is_big_endian: tiff.is_big_endian,
            packing,
            predictor: if codec.has_predictor() { page.predictor } else { 1 },
            codec,
            file_size: tiff.size,
        };
        raster.divide_strips(row_bytes);
        let pixels = u64::from(raster.chunk_width) * u64::from(raster.chunk_height);
        let bytes = pixels.saturating_mul(page.samples).saturating_mul(packing.unpacked_bytes());
        if pixels > MOST_CHUNK_PIXELS || bytes > MOST_CHUNK_BYTES {
            return Err(Refusal::Unsupported(format!(
                "it is stored in {} of {} × {} px, which are too large to be unpacked",
                if raster.is_tiled { "tiles" } else { "compressed strips" },
                raster.chunk_width,
                raster.chunk_height
            )));
        }
        Ok(raster)
    }

    /// Divide long uncompressed strips, so that a region does not need all of one.
    fn divide_strips(&mut self, row_bytes: u64) {
        let whole = row_bytes * u64::from(self.chunk_height);
        if self.is_tiled || self.is_planar || !self.codec.is_none() || whole <= 2 * STRIP_PART {
            return;
        }
        let wanted = (STRIP_PART / row_bytes.max(1)).clamp(1, u64::from(u32::MAX)) as u32;
        let is_one = self.places.len() == 1;
        // Parts of several strips make one grid only if they divide the strips evenly.
        let rows = match (1..=wanted).rev().find(|rows| is_one || self.chunk_height.is_multiple_of(*rows)) {
            Some(rows) if rows < self.chunk_height => rows,
            _ => return,
        };
        let parts = u64::from(self.chunk_height.div_ceil(rows));
        let part = u64::from(rows) * row_bytes;
        let split = |place: &Place| {
            let place = *place;
            (0..parts).map(move |index| Place {
                offset: place.offset.saturating_add(index * part),
                length: place.length.saturating_sub(index * part).min(part),
            })
        };
        let chunks = self.height.div_ceil(rows) as usize;
        self.places = self.places.iter().flat_map(split).take(chunks).collect();
        self.chunk_height = rows;
    }

    pub fn columns(&self) -> u32 {
        self.width.div_ceil(self.chunk_width)
    }

    /// Tiles or strips of one sample, or of all where they lie together.
    pub fn chunks(&self) -> usize {
        self.columns() as usize * self.height.div_ceil(self.chunk_height) as usize
    }

    /// Rows that a tile or strip stores: the last strip has fewer.
    pub fn rows_of(&self, chunk: usize) -> u32 {
        let row = chunk as u32 / self.columns();
        if self.is_tiled {
            self.chunk_height
        } else {
            self.chunk_height.min(self.height - row * self.chunk_height)
        }
    }

    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Whether three components come out as RGB, whatever they are stored as.
    pub fn gives_rgb(&self) -> bool {
        self.codec.gives_rgb()
    }

    /// How its tiles are decoded where they are JPEGs.
    pub fn jpegs(&self) -> Option<&TileJpegs> {
        match &self.codec {
            Codec::Jpeg(jpegs) => Some(jpegs),
            _ => None,
        }
    }

    /// Stored bytes of a tile or strip; 0 for one that was left out.
    pub fn stored_bytes(&self, chunk: usize) -> u64 {
        self.places[chunk].length
    }

    /// What a tile or strip shows, without the margin of the last ones.
    pub fn region(&self, level: u32, chunk: usize) -> LevelRect {
        let (column, row) = (chunk as u32 % self.columns(), chunk as u32 / self.columns());
        let (x, y) = (column * self.chunk_width, row * self.chunk_height);
        let (width, height) = (self.chunk_width.min(self.width - x), self.chunk_height.min(self.height - y));
        LevelRect { level, x: x.into(), y: y.into(), width, height }
    }

    /// The tiles or strips that share pixels with `part`, which lies on the image.
    pub fn chunks_under(&self, part: &LevelRect) -> impl Iterator<Item = usize> + use<> {
        let range = |start: i64, length: u32, chunk: u32| {
            let (start, end) = (start as usize, start as usize + length as usize);
            start / chunk as usize..end.div_ceil(chunk as usize)
        };
        let across = range(part.x, part.width, self.chunk_width);
        let columns = self.columns() as usize;
        range(part.y, part.height, self.chunk_height)
            .flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }

    /// The stored bytes of a tile or strip.
    ///
    /// # Errors
    /// In words, when they are not there.
    pub fn stream(&self, file: &mut (impl Read + Seek), chunk: usize) -> Result<Vec<u8>, String> {
        if self.places[chunk].length == 0 {
            return Err("a tile is missing".to_owned());
        }
        self.bytes(file, self.places[chunk], self.rows_of(chunk))
    }

    /// Whether the tile or strip was left out by whoever wrote the file.
    pub fn is_missing(&self, chunk: usize) -> bool {
        self.planes().all(|plane| self.places[plane * self.chunks() + chunk].length == 0)
    }

    fn planes(&self) -> std::ops::Range<usize> {
        0..if self.is_planar { self.samples } else { 1 }
    }

    /// The samples of a tile or strip, those of a pixel beside each other; `None` where it was left out.
    ///
    /// # Errors
    /// In words, when its bytes are damaged or not there.
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

    /// One sample of every pixel of a tile or strip; `None` where it was left out.
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
            true if self.places[sample * self.chunks() + chunk].length == 0 => Ok(None),
            true => self.sample(file, chunk, sample).map(Some),
            false => Ok(self.read(file, chunk)?.map(|all| all.one_of(sample, self.samples))),
        }
    }

    fn sample(&self, file: &mut (impl Read + Seek), chunk: usize, sample: usize) -> Result<Samples, String> {
        let place = sample * self.chunks() + chunk;
        if self.places[place].length == 0 {
            let pixels = self.chunk_width as usize * self.rows_of(chunk) as usize;
            return Ok(self.packing.zeros(pixels));
        }
        self.decode(file, place, self.rows_of(chunk), 1)
    }

    fn plane(&self, file: &mut (impl Read + Seek), chunk: usize, samples: usize) -> Result<Samples, String> {
        self.decode(file, chunk, self.rows_of(chunk), samples)
    }

    fn decode(
        &self,
        file: &mut (impl Read + Seek),
        place: usize,
        rows: u32,
        samples: usize,
    ) -> Result<Samples, String> {
        let mut bytes = self.bytes(file, self.places[place], rows)?;
        if self.is_lsb_first && self.codec.is_of_bits() {
            bytes.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let shape =
            codec::Shape { width: self.chunk_width, height: rows, most_rows: self.chunk_height, samples };
        if let Some(decoded) = self.codec.picture(&bytes, shape)? {
            return Ok(decoded);
        }
        let row_bytes = self.packing.row_bytes(u64::from(self.chunk_width) * samples as u64) as usize;
        let mut raw = self.codec.unpack(bytes, row_bytes * rows as usize)?;
        samples::unpredict(&mut raw, row_bytes, samples, self.predictor, self.packing, self.is_big_endian)?;
        Ok(self.packing.samples(&raw, row_bytes, self.chunk_width as usize * samples, self.is_big_endian))
    }

    /// The stored bytes of a tile or strip.
    fn bytes(&self, file: &mut (impl Read + Seek), place: Place, rows: u32) -> Result<Vec<u8>, String> {
        if place.offset.checked_add(place.length).is_none_or(|end| end > self.file_size) {
            return Err("a tile of it lies beyond the file's end: the file was cut short".to_owned());
        }
        let pixels = u64::from(self.chunk_width) * u64::from(rows);
        let unpacked = pixels * self.samples as u64 * self.packing.unpacked_bytes();
        if unpacked > BELIEVED_CHUNK_BYTES && unpacked / MOST_FOLD > place.length {
            return Err("a tile of it claims to unfold into more than its bytes can hold".to_owned());
        }
        // Hardly compressed at all, and as much again.
        if place.length > 2 * unpacked.max(pixels) + (1 << 16) {
            return Err("a tile of it is longer than its pixels".to_owned());
        }
        let mut bytes = vec![0; place.length as usize];
        let read = file.seek(SeekFrom::Start(place.offset)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

/// How many tiles and strips a file of `size` bytes can name.
pub(in crate::slide) fn most_chunks(size: u64) -> u64 {
    (size / MIN_ENTRY).max(1)
}

/// How the samples of a page are stored.
fn packing(page: &Page) -> Result<Packing, Refusal> {
    if !(1..=MOST_SAMPLES).contains(&page.samples) {
        return Err(Refusal::Damaged(format!("it has {} samples a pixel", page.samples)));
    }
    let bits = page.bits.first().copied().unwrap_or(1);
    if page.bits.iter().any(|other| *other != bits) {
        return Err(Refusal::Unsupported("its samples are of different depths".to_owned()));
    }
    Packing::of(bits, page.format).ok_or_else(|| {
        let kind = match page.format {
            SampleFormat::Unsigned => "whole numbers",
            SampleFormat::Signed => "signed numbers",
            SampleFormat::Float => "floating-point numbers",
            SampleFormat::Other => "complex or mixed numbers",
        };
        Refusal::Unsupported(format!("its samples are {kind} of {bits} bits, which are not read"))
    })
}

/// Where the `count` tiles or strips of a page lie.
fn places<R: Read + Seek>(
    page: &Page,
    tiff: &mut Tiff<R>,
    count: u64,
    row_bytes: u64,
    rows: u32,
) -> Result<Vec<Place>, String> {
    let offsets = page.offsets.as_ref().ok_or("it does not say where its pixels lie")?;
    let chunks = if page.tile.is_some() { "tiles" } else { "strips" };
    let numbers = |tiff: &mut Tiff<R>, entry: &Entry| match entry.count {
        listed if listed < count => Err(format!(
            "its size of {} × {} px takes {count} {chunks}, but it lists {listed}; it is damaged or was cut short",
            page.width, page.height
        )),
        _ => tiff.numbers(entry, count),
    };
    let offsets = numbers(tiff, offsets)?;
    let lengths = match &page.lengths {
        Some(lengths) => numbers(tiff, lengths)?,
        // Old writers leave them out where the size is known anyway.
        None if page.compression == 1 => {
            let whole = row_bytes.saturating_mul(u64::from(rows));
            offsets.iter().map(|offset| whole.min(tiff.size.saturating_sub(*offset))).collect()
        }
        None => return Err(format!("it does not say how long its {chunks} are")),
    };
    let place = |(offset, length)| Place { offset, length: if offset == 0 { 0 } else { length } };
    Ok(offsets.into_iter().zip(lengths).map(place).collect())
}
