//! Decoding of a JPEG tile of a TIFF file with libjpeg-turbo, in the same way as OpenSlide.
//!
//! A tile in a TIFF file is an abbreviated JPEG: the tables that all tiles share are in a separate tag, and
//! the meaning of the components is given by a TIFF tag, unless the streams contradict it ([`stream_head`]).
//! libjpeg-turbo requires complete streams, so one is assembled here: the shared tables and an Adobe marker with the
//! colour model, then the tile without its own application markers.

use std::cell::RefCell;

use turbojpeg::{Decompressor, PixelFormat, ScalingFactor};

use super::super::partial_jpeg::{Part, PartialDecoder};
use super::super::scratch;
use super::codec::Shape;

const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];
const START_OF_SCAN: u8 = 0xda;
const HUFFMAN_TABLES: u8 = 0xc4;
const QUANTISATION_TABLES: u8 = 0xdb;
const RESTART_INTERVAL: u8 = 0xdd;
const JFIF: u8 = 0xe0;
const ADOBE: u8 = 0xee;

/// End of libjpeg-turbo's warning when bytes were left before the end-of-image marker.
const BYTES_BEFORE_THE_END: &str = "extraneous bytes before marker 0xd9";

/// Beginnings of libjpeg-turbo's warnings about damaged data (`JWRN_…` in its `jerror.h`).
const WARNINGS: [&str; 4] = [
    "Corrupt JPEG data",
    "Premature end of JPEG file",
    "Invalid SOS parameters for sequential JPEG",
    "Inconsistent progression sequence",
];

/// Meaning of a tile's components (TIFF's photometric interpretation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) enum Components {
    Grey,
    Rgb,
    YCbCr,
    /// Four components that are stored as they are: inks, or red, green, blue and alpha.
    Four,
    /// Inks, of which the first three are stored as YCbCr.
    Ycck,
}

impl Components {
    /// Samples per decoded pixel.
    fn count(self) -> u8 {
        match self {
            Self::Grey => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Four | Self::Ycck => 4,
        }
    }

    /// The format of the decoded samples.
    fn format(self) -> PixelFormat {
        match self {
            Self::Grey => PixelFormat::GRAY,
            Self::Rgb | Self::YCbCr => PixelFormat::RGB,
            Self::Four | Self::Ycck => PixelFormat::CMYK,
        }
    }
}

/// The properties that all tiles of an image share.
#[derive(Debug, Clone)]
pub(in crate::slide) struct TileJpegs {
    /// Beginning of every stream: start marker, colour model, shared tables.
    head: Vec<u8>,
    components: Components,
    shows_damaged: bool,
}

thread_local! {
    /// The decoder of this thread, reused for its tables and buffers.
    static DECODER: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
    /// The same, for parts of tiles.
    static PARTIAL_DECODER: RefCell<Option<PartialDecoder>> = const { RefCell::new(None) };
}

/// A part of a tile, in pixels from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) struct TilePart {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl TileJpegs {
    /// `tables` is the JPEG stream of tables that all tiles share; empty when each tile has its own.
    ///
    /// # Errors
    /// When the shared tables are not a JPEG stream of tables.
    pub fn new(components: Components, tables: &[u8]) -> Result<Self, String> {
        let mut head = START.to_vec();
        // Four components without a marker are not converted.
        if !matches!(components, Components::Grey | Components::Four) {
            // Adobe's marker: version 100, no flags, then 0 for RGB, 1 for YCbCr or 2 for YCCK.
            let transform = match components {
                Components::Ycck => 2,
                other => u8::from(other == Components::YCbCr),
            };
            head.extend_from_slice(&[0xff, 0xee, 0, 14]);
            head.extend_from_slice(b"Adobe");
            head.extend_from_slice(&[0, 100, 0, 0, 0, 0, transform]);
        }
        if !tables.is_empty() {
            let mut rest = tables.strip_prefix(&START).ok_or("its JPEG tables are damaged")?;
            // As in libjpeg, what follows the end marker does not count, and the marker may be missing.
            while !rest.is_empty() && !rest.starts_with(&END) {
                let (marker, segment, after) = next_segment(rest).ok_or("its JPEG tables are damaged")?;
                // All else, such as a restart interval, ends with the stream of tables.
                if matches!(marker, HUFFMAN_TABLES | QUANTISATION_TABLES) {
                    head.extend_from_slice(segment);
                }
                rest = after;
            }
        }
        Ok(Self { head, components, shows_damaged: false })
    }

    /// Meaning of the components.
    pub fn components(&self) -> Components {
        self.components
    }

    /// Returns the same for streams that are decoded as far as possible if they are damaged, as libtiff does.
    pub fn showing_damaged(self) -> Self {
        Self { shows_damaged: true, ..self }
    }

    /// Decodes a stream of exactly `width` × `height` pixels, which are multiples of 8 unless `scale` is 1, into RGBA
    /// rows that begin `pitch` bytes apart.
    ///
    /// # Errors
    /// When the stream is not a valid JPEG of this size; some pixels may have been written by then.
    pub fn decode(
        &self,
        tile: &[u8],
        (width, height): (u32, u32),
        scale: ScalingFactor,
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        let stream = self.whole_stream(tile)?;
        if (stream.width, stream.rows) != (width, height) {
            return Err("a tile's JPEG has a different size from the tile".to_owned());
        }
        let (width, height) = (scale.scale(width as usize), scale.scale(height as usize));
        let image = turbojpeg::Image { pixels, width, pitch, height, format: PixelFormat::RGBA };
        self.decompress(&stream, scale, image)
    }

    /// Decodes a part of a stream of exactly `width` × `height` pixels into RGBA rows that begin `pitch` bytes apart. The
    /// pixels equal those of [`Self::decode`], but damage below the part is not noticed.
    ///
    /// # Errors
    /// When the stream is not a sequential JPEG of this size with a common subsampling, or is damaged.
    pub fn decode_part(
        &self,
        tile: &[u8],
        (width, height): (u32, u32),
        part: TilePart,
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        let stream = self.whole_stream(tile)?;
        let is_within = |start: u32, length: u32, whole: u32| {
            length > 0 && u64::from(start) + u64::from(length) <= u64::from(whole)
        };
        if (stream.width, stream.rows) != (width, height)
            || !is_within(part.x, part.width, width)
            || !is_within(part.y, part.height, height)
        {
            return Err("a tile's JPEG has a different size from the tile".to_owned());
        }
        let Some(unit) = stream.unit_width else {
            return Err("all of a progressive JPEG has to be decoded".to_owned());
        };
        // The colours of a pixel are interpolated from those of its neighbours, so the units beside the part are needed.
        let left = (part.x / unit).saturating_sub(1) * unit;
        let right = ((part.x + part.width).div_ceil(unit) + 1).saturating_mul(unit).min(width);
        let row_bytes = (right - left) as usize * 4;
        let region = Part::Region { x: left, y: part.y, width: right - left, height: part.height };
        scratch::with(row_bytes * part.height as usize, |wide| {
            PARTIAL_DECODER.with_borrow_mut(|cached| {
                let mut decoder = cached.take().map_or_else(PartialDecoder::new, Ok)?;
                // A decoder that failed is not reused.
                decoder.decode(&stream.bytes, region, wide, row_bytes).map_err(|failure| failure.message)?;
                *cached = Some(decoder);
                Ok::<(), String>(())
            })?;
            let (skipped, length) = ((part.x - left) as usize * 4, part.width as usize * 4);
            for (row, line) in pixels.chunks_mut(pitch).zip(wide.chunks_exact(row_bytes)) {
                row[..length].copy_from_slice(&line[skipped..skipped + length]);
            }
            Ok(())
        })
    }

    /// Decodes the samples of the stream of a tile or strip. Some writers give all strips the same height, including the
    /// last one; others cut off what lies outside the image, which then is 0.
    ///
    /// # Errors
    /// When the stream is not a valid JPEG of this size.
    pub fn samples(&self, tile: &[u8], shape: Shape) -> Result<Vec<u8>, String> {
        let stream = self.whole_stream(tile)?;
        let size = (stream.width, stream.rows);
        if !shape.may_be_stored_as(size) {
            return Err("a tile's JPEG has a different size from the tile".to_owned());
        }
        let count = usize::from(self.components.count());
        let (width, height) = (stream.width as usize, stream.rows as usize);
        let mut pixels = vec![0; width * height * count];
        let format = self.components.format();
        let image = turbojpeg::Image { pixels: &mut pixels[..], width, pitch: width * count, height, format };
        self.decompress(&stream, ScalingFactor::ONE, image)?;
        Ok(shape.whole(pixels, size, count))
    }

    /// Returns the complete stream for libjpeg-turbo, after checking the tile's header.
    fn whole_stream(&self, tile: &[u8]) -> Result<Stream, String> {
        let mut rest = tile.strip_prefix(&START).ok_or("a tile is not a JPEG")?;
        let mut bytes = Vec::with_capacity(self.head.len() + tile.len() + END.len());
        bytes.extend_from_slice(&self.head);
        let (mut frame, mut restart_interval) = (None, 0);
        let scan = loop {
            let (marker, segment, after) = next_segment(rest).ok_or("a tile's header is damaged")?;
            match marker {
                START_OF_SCAN => break segment,
                // Application markers and comments.
                0xe0..=0xef | 0xfe => {}
                HUFFMAN_TABLES | QUANTISATION_TABLES => bytes.extend_from_slice(segment),
                RESTART_INTERVAL => {
                    let [_, _, _, _, high, low] = *segment else {
                        return Err("a tile's header is damaged".to_owned());
                    };
                    restart_interval = u32::from(u16::from_be_bytes([high, low]));
                    bytes.extend_from_slice(segment);
                }
                0xc0..=0xc2 if frame.is_none() => {
                    frame = Some(self.frame(segment)?);
                    bytes.extend_from_slice(segment);
                }
                _ => return Err("a tile's JPEG variant is not supported".to_owned()),
            }
            rest = after;
        };
        let frame = frame.ok_or("a tile's header is damaged")?;
        let pixels = &rest[scan.len()..];
        let is_only_scan = !frame.is_progressive && scan.get(4) == Some(&self.components.count());
        let whole = is_only_scan.then(|| whole_scan(pixels, frame.units, restart_interval)).flatten();
        bytes.extend_from_slice(scan);
        bytes.extend_from_slice(whole.unwrap_or(pixels));
        // Where the end marker is missing, as OpenSlide does not notice, all pixels may still be there.
        bytes.extend_from_slice(&END);
        Ok(Stream {
            bytes,
            width: frame.width,
            rows: frame.rows,
            unit_width: (!frame.is_progressive).then_some(frame.unit_width),
            may_have_spare_bytes: whole.is_some(),
        })
    }

    /// Reads a frame header: precision, height, width, then three bytes for each component.
    fn frame(&self, segment: &[u8]) -> Result<Frame, String> {
        let [_, marker, _, _, 8, h1, h0, w1, w0, count, ref components @ ..] = *segment else {
            return Err("a tile does not have 8-bit components".to_owned());
        };
        if count != self.components.count() {
            return Err("a tile has a different number of components from the image".to_owned());
        }
        let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
        let (width, rows) = (side(w1, w0), side(h1, h0));
        if width == 0 || rows == 0 {
            return Err("a tile's header is damaged".to_owned());
        }
        // The sampling factors of a single component have no meaning (ITU-T T.81, A.2.2).
        let sampling = components.chunks_exact(3).filter(|_| count > 1).map(|component| component[1]);
        let (across, down) = sampling
            .fold((1, 1), |(across, down), factors| (across.max(factors >> 4), down.max(factors & 15)));
        let unit_width = 8 * u32::from(across);
        let units = width.div_ceil(unit_width) * rows.div_ceil(8 * u32::from(down));
        Ok(Frame { width, rows, units, unit_width, is_progressive: marker == 0xc2 })
    }

    fn decompress(
        &self,
        stream: &Stream,
        scale: ScalingFactor,
        image: turbojpeg::Image<&mut [u8]>,
    ) -> Result<(), String> {
        DECODER.with_borrow_mut(|cached| {
            let message = |error: turbojpeg::Error| error.to_string();
            let mut decoder = cached.take().map_or_else(Decompressor::new, Ok).map_err(message)?;
            decoder.set_scaling_factor(scale).map_err(message)?;
            // Unless damaged tiles are shown, warnings count as errors, since pixels may be wrong. The exception is
            // extraneous bytes between the last pixel and the end of the image, which some scanners write. Only the
            // first warning is known. A decoder that failed is not reused.
            match decoder.decompress(&stream.bytes, image) {
                Ok(()) => *cached = Some(decoder),
                Err(turbojpeg::Error::TurboJpegError(text))
                    if stream.may_have_spare_bytes && text.ends_with(BYTES_BEFORE_THE_END)
                        || self.shows_damaged && is_warning(&text) => {}
                Err(error) => return Err(message(error)),
            }
            Ok(())
        })
    }
}

/// A complete stream for libjpeg-turbo.
struct Stream {
    bytes: Vec<u8>,
    /// Width of the picture in pixels.
    width: u32,
    /// Height of the picture in pixels.
    rows: u32,
    /// Width of a minimum coded unit in pixels; `None` if the picture is progressive.
    unit_width: Option<u32>,
    /// Bytes that are left before the end-of-image marker come after the last pixel.
    may_have_spare_bytes: bool,
}

/// What a stream states about its picture.
struct Frame {
    width: u32,
    rows: u32,
    /// Number of minimum coded units of an interleaved scan.
    units: u32,
    /// Width of such a unit in pixels.
    unit_width: u32,
    is_progressive: bool,
}

/// What the beginning of a tile's stream states about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) struct StreamHead {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Meaning of three or four components, as far as it is stated.
    pub components: Option<Components>,
}

/// Reads the beginning of a tile's stream; `None` if it is damaged or longer than `head`.
///
/// The meaning of three components is stated by Adobe's marker, by the identifiers `R`, `G` and `B` of the components, or by
/// a JFIF marker: JFIF knows YCbCr only. Colours at half the resolution are YCbCr, too. Bio-Formats and writers that store
/// complete JPEG files as tiles call such tiles RGB, which libtiff believes.
pub(in crate::slide) fn stream_head(head: &[u8]) -> Option<StreamHead> {
    let mut rest = head.strip_prefix(&START)?;
    let (mut has_jfif, mut adobe) = (false, None);
    loop {
        let (marker, segment, after) = next_segment(rest)?;
        match (marker, segment) {
            (JFIF, [_, _, _, _, b'J', b'F', b'I', b'F', 0, ..]) => has_jfif = true,
            (ADOBE, [_, _, _, _, b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                adobe = Some(*transform);
            }
            (0xc0..=0xc2, [_, _, _, _, _, h1, h0, w1, w0, _, parts @ ..]) => {
                let side = |high: &u8, low: &u8| u32::from(u16::from_be_bytes([*high, *low]));
                let components = match parts.as_chunks::<3>().0 {
                    [first, second, third] => match adobe {
                        Some(0) => Some(Components::Rgb),
                        Some(1) => Some(Components::YCbCr),
                        _ if [first[0], second[0], third[0]] == *b"RGB" => Some(Components::Rgb),
                        _ if has_jfif || first[1] != second[1] || first[1] != third[1] => {
                            Some(Components::YCbCr)
                        }
                        _ => None,
                    },
                    [_, _, _, _] if adobe == Some(2) => Some(Components::Ycck),
                    _ => None,
                };
                return Some(StreamHead { size: (side(w1, w0), side(h1, h0)), components });
            }
            _ => {}
        }
        rest = after;
    }
}

/// Splits the first marker segment from a stream: its marker, the segment with marker and length, and what follows.
fn next_segment(stream: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [0xff, marker, high, low, ..] = *stream else { return None };
    let (segment, after) = stream.split_at_checked(usize::from(u16::from_be_bytes([high, low])) + 2)?;
    Some((marker, segment, after))
}

/// Returns the part of the only scan's data that is decoded, up to the first marker that does not belong to it; what
/// comes after it is not read by OpenSlide. `None` when restart markers are missing among the `units`.
fn whole_scan(data: &[u8], units: u32, restart_interval: u32) -> Option<&[u8]> {
    let restarts = units.checked_div(restart_interval).map_or(0, |_| units.div_ceil(restart_interval) - 1);
    let (mut found, mut at) = (0, 0);
    let end = loop {
        let Some(next) = memchr::memchr(0xff, &data[at..]) else { break data.len() };
        at += next;
        // A marker may be preceded by any number of fill bytes.
        let fill = data[at..].iter().take_while(|&&byte| byte == 0xff).count();
        match data.get(at + fill) {
            Some(0) => {}
            Some(0xd0..=0xd7) if found < restarts => found += 1,
            _ => break at,
        }
        at += fill + 1;
    };
    (found == restarts).then(|| &data[..end])
}

/// Whether a message of libjpeg-turbo, which tells them apart only by their texts, is one after which it goes on.
fn is_warning(text: &str) -> bool {
    WARNINGS.iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::super::made::{jpeg, picture, subsampled_jpeg};
    use super::*;
    use proptest::prelude::*;
    use turbojpeg::Subsamp;

    const EDGE: u32 = 48;

    fn shape(width: u32, height: u32) -> Shape {
        Shape { width, height, most_rows: height, shown: (width, height), samples: 3 }
    }

    fn decode(components: Components, stream: &[u8]) -> Result<Vec<u8>, String> {
        let mut pixels = vec![0; (EDGE * EDGE * 4) as usize];
        let jpegs = TileJpegs::new(components, &[]).unwrap();
        jpegs.decode(stream, (EDGE, EDGE), ScalingFactor::ONE, &mut pixels, EDGE as usize * 4)?;
        Ok(pixels)
    }

    #[test]
    fn bytes_left_between_the_last_pixel_and_the_end_do_no_harm() {
        let stream = jpeg(&picture(EDGE, EDGE));
        let whole = decode(Components::YCbCr, &stream).unwrap();
        let padded = [stream.strip_suffix(&END).unwrap(), &[0; 7], &END].concat();
        assert!(decode(Components::YCbCr, &padded).unwrap() == whole);
        assert!(decode(Components::YCbCr, stream.strip_suffix(&END).unwrap()).unwrap() == whole);
        // Nor do other markers after the last pixel, of which the third would begin a second scan.
        for (spare, marker) in [(0, 0x01), (32, 0x01), (3, START_OF_SCAN), (0, 0xd3)] {
            let followed =
                [stream.strip_suffix(&END).unwrap(), &vec![0; spare], &[0xff, marker, 9, 9]].concat();
            assert!(
                decode(Components::YCbCr, &followed).unwrap() == whole,
                "{spare} bytes, marker {marker:#x}"
            );
        }
        let cut = [&stream[..stream.len() * 3 / 4], &END].concat();
        assert!(decode(Components::YCbCr, &cut).unwrap_err().contains("JPEG"));
    }

    #[test]
    fn bytes_left_before_a_restart_are_damage() {
        // Three units of one grey block each, black throughout, with a restart after each of them.
        let tables = [
            &[0xff, QUANTISATION_TABLES, 0, 67, 0][..],
            &[1; 64],
            // One code, of one bit, for "no difference" (DC) and for "end of block" (AC).
            &[&[0xff, HUFFMAN_TABLES, 0, 20, 0x00, 1][..], &[0; 16]].concat(),
            &[&[0xff, HUFFMAN_TABLES, 0, 20, 0x10, 1][..], &[0; 16]].concat(),
        ]
        .concat();
        let stream = |pixels: &[u8]| {
            let header =
                [0xff, 0xc0, 0, 11, 8, 0, 8, 0, 24, 1, 1, 0x11, 0, 0xff, RESTART_INTERVAL, 0, 4, 0, 1];
            let scan = [0xff, START_OF_SCAN, 0, 8, 1, 1, 0, 0, 63, 0];
            [&START, &tables[..], &header, &scan, pixels, &END].concat()
        };
        let jpegs = TileJpegs::new(Components::Grey, &[]).unwrap();
        let decode = |pixels: &[u8]| jpegs.samples(&stream(pixels), shape(24, 8));
        let unit = [0x3f];
        let spare = [&unit[..], &[7; 40]].concat();
        let decode = |units: [&[u8]; 3], markers: [u8; 2], end: &[u8]| {
            let [first, second, third] = units;
            decode(&[first, &[0xff, markers[0]], second, &[0xff, markers[1]], third, end].concat())
        };
        assert_eq!(decode([&unit; 3], [0xd0, 0xd1], &[]).unwrap(), [128; 24 * 8]);
        // After the last unit they do no harm.
        assert!(decode([&unit, &unit, &spare], [0xd0, 0xd1], &[]).is_ok());
        assert!(decode([&unit, &unit, &spare], [0xd0, 0xd1], &[0xff, 0x01]).is_ok());
        assert!(decode([&unit, &spare, &unit], [0xd0, 0xd1], &[]).is_err());
        assert!(decode([&unit, &spare, &unit], [0xd0, 0xd9], &[]).is_err());
        assert!(decode([&unit, &spare, &unit], [0xd0, 0x01], &[]).is_err());
        // A restart interval among the shared tables ends with them.
        let shared = [&START, &tables[..], &[0xff, RESTART_INTERVAL, 0, 4, 0, 1], &END].concat();
        let without =
            [&START, &stream(&[0x03])[2 + tables.len()..][..13], &stream(&[0x03])[21 + tables.len()..]]
                .concat();
        let jpegs = TileJpegs::new(Components::Grey, &shared).unwrap();
        assert_eq!(jpegs.samples(&without, shape(24, 8)).unwrap(), [128; 24 * 8]);
    }

    #[test]
    fn a_damaged_tile_is_refused_or_shown_as_far_as_it_goes() {
        let stream = jpeg(&picture(EDGE, EDGE));
        let strict = TileJpegs::new(Components::YCbCr, &[]).unwrap();
        let lenient = strict.clone().showing_damaged();
        let samples = |jpegs: &TileJpegs, stream: &[u8]| jpegs.samples(stream, shape(EDGE, EDGE));
        let whole = samples(&strict, &stream).unwrap();
        assert!(samples(&lenient, &stream).unwrap() == whole);
        let cut = &stream[..stream.len() * 3 / 4];
        assert!(samples(&strict, cut).is_err());
        let (shown, first_rows) = (samples(&lenient, cut).unwrap(), 16 * EDGE as usize * 3);
        assert!(shown[..first_rows] == whole[..first_rows] && shown != whole);
        // A header that is damaged shows nothing.
        assert!(samples(&lenient, &stream[..40]).is_err());
    }

    #[test]
    fn the_tag_says_what_the_components_stand_for_not_the_stream() {
        let picture = picture(EDGE, EDGE);
        let stream = jpeg(&picture);
        let as_ycbcr = decode(Components::YCbCr, &stream).unwrap();
        let as_rgb = decode(Components::Rgb, &stream).unwrap();
        assert_eq!([as_ycbcr.len(), as_rgb.len()], [4 * (EDGE * EDGE) as usize; 2]);
        for (pixel, (decoded, raw)) in
            picture.pixels().zip(as_ycbcr.chunks_exact(4).zip(as_rgb.chunks_exact(4)))
        {
            let off = (0..3).map(|c| pixel[c].abs_diff(decoded[c])).max().unwrap_or(0);
            assert!(off < 24, "{pixel:?} became {decoded:?}");
            // Interpreted as RGB, the first component is the luminance.
            let luminance = [0.299, 0.587, 0.114].iter().zip(pixel.0).map(|(w, c)| w * f64::from(c));
            assert!((luminance.sum::<f64>() - f64::from(raw[0])).abs() < 16.0, "{pixel:?} became {raw:?}");
            assert_eq!((decoded[3], raw[3]), (255, 255));
        }
    }

    #[test]
    fn a_stream_states_what_its_components_are() {
        let jfif = jpeg(&picture(EDGE, EDGE));
        assert_eq!(
            stream_head(&jfif),
            Some(StreamHead { size: (EDGE, EDGE), components: Some(Components::YCbCr) })
        );
        // Without its JFIF marker of 18 bytes, a stream at full resolution of the colours states nothing.
        let full = subsampled_jpeg(&picture(EDGE, EDGE), Subsamp::None);
        let plain = [&START, &full[20..]].concat();
        assert_eq!(stream_head(&plain).unwrap().components, None);
        let adobe = |transform: u8| {
            let marker = [&[0xff, ADOBE, 0, 14][..], b"Adobe", &[0, 100, 0, 0, 0, 0, transform]].concat();
            stream_head(&[&START[..], &marker, &plain[2..]].concat()).unwrap().components
        };
        assert_eq!((adobe(0), adobe(1)), (Some(Components::Rgb), Some(Components::YCbCr)));
        let halved = subsampled_jpeg(&picture(EDGE, EDGE), Subsamp::Sub2x2);
        let head = stream_head(&[&START, &halved[20..]].concat()).unwrap();
        assert_eq!(head.components, Some(Components::YCbCr));
        for cut in 0..300.min(jfif.len()) {
            let _ = stream_head(&jfif[..cut]);
        }
    }

    #[test]
    fn tables_may_end_without_a_marker_or_be_followed_by_other_bytes() {
        let stream = jpeg(&picture(EDGE, EDGE));
        let whole = decode(Components::YCbCr, &stream).unwrap();
        let (mut tables, mut tile, mut rest) = (START.to_vec(), START.to_vec(), &stream[2..]);
        while let Some((marker, segment, after)) =
            next_segment(rest).filter(|(marker, ..)| *marker != START_OF_SCAN)
        {
            let is_table = matches!(marker, HUFFMAN_TABLES | QUANTISATION_TABLES);
            if is_table { &mut tables } else { &mut tile }.extend_from_slice(segment);
            rest = after;
        }
        tile.extend_from_slice(rest);
        for end in [&END[..], &[], &[0xff, 0xd9, 0, 0, 7]] {
            let jpegs = TileJpegs::new(Components::YCbCr, &[&tables[..], end].concat()).unwrap();
            let mut pixels = vec![0; (EDGE * EDGE * 4) as usize];
            jpegs.decode(&tile, (EDGE, EDGE), ScalingFactor::ONE, &mut pixels, EDGE as usize * 4).unwrap();
            assert!(pixels == whole, "{end:?}");
        }
        assert!(TileJpegs::new(Components::YCbCr, &tables[..tables.len() - 1]).is_err());
    }

    #[test]
    fn tiles_of_another_size_and_cut_ones_are_refused() {
        let stream = jpeg(&picture(EDGE, EDGE));
        assert!(decode(Components::YCbCr, &stream).is_ok());
        assert!(decode(Components::YCbCr, &jpeg(&picture(EDGE, EDGE - 8))).is_err());
        for cut in [0, 1, 2, 3, 20, 200, stream.len() / 2, stream.len() - 40] {
            assert!(decode(Components::YCbCr, &stream[..cut]).is_err(), "cut to {cut}");
        }
        // After the failures, decoding works again.
        assert!(decode(Components::YCbCr, &stream).is_ok());
    }

    proptest! {
        #[test]
        fn a_part_equals_that_of_the_whole(
            subsampling in prop::sample::select(
                vec![Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Sub1x2, Subsamp::Sub4x1],
            ),
            size in (17_u32..120, 9_u32..120),
            corners in prop::collection::vec(any::<prop::sample::Index>(), 4),
        ) {
            let (width, height) = size;
            let stream = subsampled_jpeg(&picture(width, height), subsampling);
            let jpegs = TileJpegs::new(Components::YCbCr, &[]).unwrap();
            let pitch = width as usize * 4;
            let mut whole = vec![0; pitch * height as usize];
            jpegs.decode(&stream, size, ScalingFactor::ONE, &mut whole, pitch).unwrap();
            let span = |a: usize, b: usize, length: u32| {
                let [a, b] = [a, b].map(|corner| corners[corner].index(length as usize) as u32);
                (a.min(b), a.abs_diff(b) + 1)
            };
            let ((x, width), (y, height)) = (span(0, 1, width), span(2, 3, height));
            let row = width as usize * 4;
            let mut part = vec![0; row * height as usize];
            jpegs.decode_part(&stream, size, TilePart { x, y, width, height }, &mut part, row).unwrap();
            for (line, number) in part.chunks_exact(row).zip(y as usize..) {
                let start = number * pitch + x as usize * 4;
                prop_assert!(line == &whole[start..start + row], "{x}, {y}, {width} × {height}, row {number}");
            }
        }

        #[test]
        fn mutated_streams_are_decoded_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut stream = jpeg(&picture(EDGE, EDGE));
            for (position, byte) in changes {
                let at = position.index(stream.len());
                stream[at] = byte;
            }
            stream.truncate(cut.index(stream.len() * 2).max(1).min(stream.len()));
            if let Ok(pixels) = decode(Components::Rgb, &stream) {
                prop_assert!(pixels.chunks_exact(4).all(|pixel| pixel[3] == 255));
            }
        }
    }
}
