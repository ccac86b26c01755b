//! Builds TIFF files in memory, for tests.

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

/// A slide with two levels and an image in strips between them, as in Aperio files.
pub(crate) struct MadeTiff {
    /// Width of level 0 in pixels.
    pub width: u32,
    /// Height of level 0 in pixels.
    pub height: u32,
    /// Edge of a tile in pixels.
    pub tile: u32,
    /// Whether numbers begin with their highest byte.
    pub is_big_endian: bool,
    /// Whether it is a BigTIFF.
    pub is_big: bool,
    /// Index of a tile of level 0 that is omitted.
    pub missing: Option<usize>,
}

impl Default for MadeTiff {
    fn default() -> Self {
        Self { width: 130, height: 90, tile: 48, is_big_endian: false, is_big: false, missing: None }
    }
}

/// An image in which a wrong offset is detected, smooth enough for JPEG.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |at: u32, period: f64| 128.0 + 100.0 * (f64::from(at) / period).sin();
        Rgb([wave(x, 11.0) as u8, wave(y, 9.0) as u8, wave(x + 2 * y, 17.0) as u8])
    })
}

/// A complete JPEG stream with JFIF header and its own tables.
pub(crate) fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut stream = Vec::new();
    JpegEncoder::new_with_quality(&mut stream, 90).encode_image(picture).expect("a Vec takes all bytes");
    stream
}

/// A complete JPEG stream of any subsampling of the colours.
pub(crate) fn subsampled_jpeg(picture: &RgbImage, subsampling: Subsamp) -> Vec<u8> {
    let mut compressor = Compressor::new().expect("memory");
    compressor.set_subsamp(subsampling).expect("a subsampling of colours");
    compressor.set_quality(85).expect("a possible quality");
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let image = Image {
        pixels: picture.as_raw().as_slice(),
        width,
        pitch: width * 3,
        height,
        format: PixelFormat::RGB,
    };
    compressor.compress_to_vec(image).expect("a picture")
}

/// The bytes of the file: header, tiles, then the directories.
pub(crate) fn tiff_bytes(made: &MadeTiff) -> Vec<u8> {
    let mut writer = Writer { bytes: Vec::new(), is_big_endian: made.is_big_endian, is_big: made.is_big };
    writer.bytes.extend_from_slice(if made.is_big_endian { b"MM" } else { b"II" });
    if made.is_big {
        [43, 8, 0].iter().for_each(|number| writer.number(*number, 2));
    } else {
        writer.number(42, 2);
    }
    let mut pointer = writer.bytes.len();
    writer.number(0, writer.word());
    let fine = picture(made.width, made.height);
    let coarse = imageops::thumbnail(&fine, made.width / 2, made.height / 2);
    let fine_tiles = writer.tiles(&fine, made.tile, made.missing);
    let coarse_tiles = writer.tiles(&coarse, made.tile, None);
    let strip = writer.bytes.len() as u64;
    writer.bytes.extend_from_slice(&[255; 4]);
    for directory in 0..3 {
        let start = writer.bytes.len() as u64;
        writer.patch(pointer, start);
        pointer = match directory {
            0 => writer.level(&fine, 0, made.tile, &fine_tiles),
            1 => writer.one_pixel_strip(strip),
            _ => writer.level(&coarse, 1, made.tile, &coarse_tiles),
        };
    }
    writer.bytes
}

struct Writer {
    bytes: Vec<u8>,
    is_big_endian: bool,
    is_big: bool,
}

/// Tag, type (2 ASCII, 3 SHORT, 4 LONG, 5 RATIONAL and 10 SRATIONAL as two numbers, 11 FLOAT and 12 DOUBLE as their bits,
/// 16 LONG8) and values.
pub(crate) type Tag = (u16, u16, Vec<u64>);

impl Writer {
    fn word(&self) -> usize {
        if self.is_big { 8 } else { 4 }
    }

    fn encoded(&self, number: u64, bytes: usize) -> Vec<u8> {
        if self.is_big_endian {
            number.to_be_bytes()[8 - bytes..].to_vec()
        } else {
            number.to_le_bytes()[..bytes].to_vec()
        }
    }

    fn number(&mut self, number: u64, bytes: usize) {
        let encoded = self.encoded(number, bytes);
        self.bytes.extend_from_slice(&encoded);
    }

    fn patch(&mut self, at: usize, offset: u64) {
        let encoded = self.encoded(offset, self.word());
        self.bytes[at..at + encoded.len()].copy_from_slice(&encoded);
    }

    /// Writes the tiles; returns offset and length of each.
    fn tiles(&mut self, level: &RgbImage, edge: u32, missing: Option<usize>) -> Vec<(u64, u64)> {
        let mut locations = Vec::new();
        for top in (0..level.height()).step_by(edge as usize) {
            for left in (0..level.width()).step_by(edge as usize) {
                if missing == Some(locations.len()) {
                    locations.push((0, 0));
                    continue;
                }
                let mut tile = RgbImage::new(edge, edge);
                imageops::replace(&mut tile, level, -i64::from(left), -i64::from(top));
                let stream = jpeg(&tile);
                locations.push((self.bytes.len() as u64, stream.len() as u64));
                self.bytes.extend_from_slice(&stream);
            }
        }
        locations
    }

    /// Writes the directory of a level; returns the position of its pointer to the next directory.
    fn level(&mut self, level: &RgbImage, reduced: u64, tile: u32, tiles: &[(u64, u64)]) -> usize {
        let offset_type = if self.is_big { 16 } else { 4 };
        let tags: Vec<Tag> = vec![
            (254, 4, vec![reduced]),
            (256, 4, vec![level.width().into()]),
            (257, 4, vec![level.height().into()]),
            (258, 3, vec![8, 8, 8]),
            (259, 3, vec![7]),
            (262, 3, vec![6]),
            (277, 3, vec![3]),
            (284, 3, vec![1]),
            (322, 3, vec![tile.into()]),
            (323, 3, vec![tile.into()]),
            (324, offset_type, tiles.iter().map(|(offset, _)| *offset).collect()),
            (325, 4, tiles.iter().map(|(_, length)| *length).collect()),
        ];
        self.tags(&tags)
    }

    /// Writes the directory of an image of one white pixel that is not tiled.
    fn one_pixel_strip(&mut self, at: u64) -> usize {
        let short = |tag, value| (tag, 3, vec![value]);
        let tags: Vec<Tag> = vec![
            short(256, 1),
            short(257, 1),
            (258, 3, vec![8, 8, 8]),
            short(259, 1),
            short(262, 2),
            (273, 4, vec![at]),
            short(277, 3),
            short(278, 1),
            (279, 4, vec![3]),
        ];
        self.tags(&tags)
    }

    fn tags(&mut self, tags: &[Tag]) -> usize {
        let start = self.bytes.len();
        let (count_bytes, word) = if self.is_big { (8, 8) } else { (2, 4) };
        let entry_bytes = 4 + 2 * word;
        let mut value_offset = start + count_bytes + tags.len() * entry_bytes + word;
        let mut values = Vec::new();
        self.number(tags.len() as u64, count_bytes);
        for (tag, kind, numbers) in tags {
            let each = match kind {
                1 | 2 | 7 => 1,
                3 => 2,
                4 | 5 | 9 | 10 | 11 | 13 => 4,
                _ => 8,
            };
            let encoded: Vec<u8> = numbers.iter().flat_map(|number| self.encoded(*number, each)).collect();
            self.number((*tag).into(), 2);
            self.number((*kind).into(), 2);
            let values_each = if matches!(kind, 5 | 10) { 2 } else { 1 };
            self.number(numbers.len() as u64 / values_each, word);
            if encoded.len() <= word {
                self.bytes.extend_from_slice(&encoded);
                self.bytes.resize(self.bytes.len() + word - encoded.len(), 0);
            } else {
                self.number(value_offset as u64, word);
                value_offset += encoded.len();
                values.extend_from_slice(&encoded);
            }
        }
        let pointer = self.bytes.len();
        self.number(0, word);
        self.bytes.extend_from_slice(&values);
        pointer
    }
}

/// One image of a file, of any kind.
#[derive(Default)]
pub(crate) struct MadePage {
    /// All tags except offsets and lengths of tiles or strips.
    pub tags: Vec<Tag>,
    /// Stored bytes of the tiles or strips; empty for an omitted one.
    pub chunks: Vec<Vec<u8>>,
    /// The images of its SubIFDs.
    pub children: Vec<MadePage>,
}

impl MadePage {
    /// An image of `size` in tiles of edge `tile`, or in one strip.
    pub fn new(size: (u32, u32), tile: Option<u32>, chunks: Vec<Vec<u8>>) -> Self {
        let mut page = Self { chunks, ..Self::default() };
        page = page.with(256, 4, &[size.0.into()]).with(257, 4, &[size.1.into()]);
        match tile {
            Some(edge) => page.with(322, 3, &[edge.into()]).with(323, 3, &[edge.into()]),
            None => page.with(278, 4, &[size.1.into()]),
        }
    }

    /// Adds a tag, or replaces its value.
    pub fn with(mut self, tag: u16, kind: u16, values: &[u64]) -> Self {
        self.tags.retain(|(other, _, _)| *other != tag);
        self.tags.push((tag, kind, values.to_vec()));
        self
    }

    /// Sets the bits of each sample and the photometric interpretation.
    pub fn of_samples(self, bits: &[u64], photometric: u64) -> Self {
        self.with(258, 3, bits).with(277, 3, &[bits.len() as u64]).with(262, 3, &[photometric])
    }

    /// Sets the ImageDescription.
    pub fn described(self, text: &str) -> Self {
        let bytes: Vec<u64> = text.bytes().chain([0]).map(u64::from).collect();
        self.with(270, 2, &bytes)
    }
}

/// The bytes of a file with the images `pages`.
pub(crate) fn file_of(pages: &[MadePage], is_big_endian: bool, is_big: bool) -> Vec<u8> {
    let mut writer = Writer { bytes: Vec::new(), is_big_endian, is_big };
    writer.bytes.extend_from_slice(if is_big_endian { b"MM" } else { b"II" });
    if is_big {
        [43, 8, 0].iter().for_each(|number| writer.number(*number, 2));
    } else {
        writer.number(42, 2);
    }
    let mut pointer = writer.bytes.len();
    writer.number(0, writer.word());
    for page in pages {
        let (start, next) = writer.page(page);
        writer.patch(pointer, start);
        pointer = next;
    }
    writer.bytes
}

impl Writer {
    /// Writes an image; returns the offset of its directory and the position of its pointer to the next one.
    fn page(&mut self, page: &MadePage) -> (u64, usize) {
        let children: Vec<u64> = page.children.iter().map(|child| self.page(child).0).collect();
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        for chunk in &page.chunks {
            offsets.push(if chunk.is_empty() { 0 } else { self.bytes.len() as u64 });
            lengths.push(chunk.len() as u64);
            self.bytes.extend_from_slice(chunk);
        }
        let is_tiled = page.tags.iter().any(|(tag, _, _)| *tag == 322);
        let (offsets_tag, lengths_tag) = if is_tiled { (324, 325) } else { (273, 279) };
        let mut tags = page.tags.clone();
        tags.push((offsets_tag, if self.is_big { 16 } else { 4 }, offsets));
        tags.push((lengths_tag, 4, lengths));
        if !children.is_empty() {
            tags.push((330, if self.is_big { 18 } else { 13 }, children));
        }
        tags.sort_by_key(|(tag, _, _)| *tag);
        let start = self.bytes.len() as u64;
        (start, self.tags(&tags))
    }
}
