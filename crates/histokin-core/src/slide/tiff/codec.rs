//! Decompression of tiles and strips, by TIFF's tag Compression.

use std::cell::RefCell;
use std::io::Read;

use flate2::{Decompress, FlushDecompress};
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use image_webp::WebPDecoder;
use libdeflater::Decompressor;

use super::directory::Entry;
use super::jpeg::{Components, TileJpegs};
use super::page::{Page, SampleFormat};
use super::samples::{Packing, Samples};
use super::{Refusal, lzw};

/// Compression of tiles or strips.
pub(in crate::slide) enum Codec {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
    Jpeg(TileJpegs),
    WebP,
    Jpeg2000 {
        /// The components are YCbCr, which is not stated in the stream itself.
        is_ycbcr: bool,
    },
}

/// The contents of a tile or strip.
#[derive(Debug, Clone, Copy)]
pub(in crate::slide) struct Shape {
    /// Width in pixels.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
    /// Number of rows of all tiles or strips except the last.
    pub most_rows: u32,
    /// Width and height of the part that lies on the image.
    pub shown: (u32, u32),
    /// Samples per pixel.
    pub samples: usize,
}

impl Shape {
    /// Whether a stream of this width and height holds the contents: it may have the rows of a whole strip, or lack what lies
    /// outside the image.
    pub fn may_be_stored_as(&self, (width, height): (u32, u32)) -> bool {
        (self.shown.0..=self.width).contains(&width) && (self.shown.1..=self.most_rows).contains(&height)
    }

    /// Brings the samples of a stream of `width` × `height` pixels with `count` samples each to the full width and height.
    pub fn whole<T: Copy + Default>(
        &self,
        mut samples: Vec<T>,
        (width, height): (u32, u32),
        count: usize,
    ) -> Vec<T> {
        let row = self.width as usize * count;
        let length = row * self.height as usize;
        if width == self.width {
            samples.resize(length, T::default());
            return samples;
        }
        let mut whole = vec![T::default(); length];
        let lines = samples.chunks_exact(width as usize * count).take(height as usize);
        for (to, from) in whole.chunks_exact_mut(row).zip(lines) {
            to[..from.len()].copy_from_slice(from);
        }
        whole
    }
}

impl Codec {
    /// Returns the codec of `page`. `stated` is the meaning of the components of its JPEG streams, as far as they state it;
    /// `tables` reads the tag with the shared JPEG tables.
    ///
    /// # Errors
    /// [`Refusal`] when the compression is not supported for this type of samples.
    pub fn of(
        page: &Page,
        packing: &Packing,
        stated: Option<Components>,
        tables: impl FnOnce(&Entry) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Refusal> {
        let is_8_bit = packing.bits == 8 && packing.format == SampleFormat::Unsigned;
        let samples = if page.is_planar { 1 } else { page.samples };
        let only = |what: bool, codec: Self| match what {
            true => Ok(codec),
            false => Err(Refusal::Unsupported(format!(
                "its pixels are compressed with {} as {} samples of {} bits, which is not supported",
                name(page.compression),
                page.samples,
                packing.bits
            ))),
        };
        match page.compression {
            0 | 1 => Ok(Self::None),
            5 => Ok(Self::Lzw),
            8 | 32946 => Ok(Self::Deflate),
            32773 => Ok(Self::PackBits),
            34926 | 50000 => Ok(Self::Zstd),
            7 => {
                let components = match (samples, page.photometric) {
                    (1, _) => Components::Grey,
                    (3, Some(6)) => stated.unwrap_or(Components::YCbCr),
                    (3, _) => stated.unwrap_or(Components::Rgb),
                    (4, Some(2 | 5)) => stated.unwrap_or(Components::Four),
                    _ => return only(false, Self::None),
                };
                let tables = page.tables.as_ref().map(tables).transpose()?.unwrap_or_default();
                let jpegs = TileJpegs::new(components, &tables)?;
                // OpenSlide decodes these tiles itself, and refuses damaged ones; libtiff decodes all others.
                let is_openslides = samples == 3 && matches!(page.photometric, Some(2 | 6));
                let jpegs = if is_openslides { jpegs } else { jpegs.showing_damaged() };
                only(is_8_bit, Self::Jpeg(jpegs))
            }
            50001 => only(is_8_bit && (3..=4).contains(&samples), Self::WebP),
            33003 | 33004 | 33005 | 34712 => {
                let is_ycbcr = page.compression == 33003 && page.photometric == Some(6);
                let is_read = packing.format == SampleFormat::Unsigned && packing.bits <= 16;
                only(is_read && (!is_ycbcr || is_8_bit && samples == 3), Self::Jpeg2000 { is_ycbcr })
            }
            other => Err(Refusal::Unsupported(format!(
                "its pixels are compressed with {}, which is not supported",
                name(other)
            ))),
        }
    }

    /// Whether the bytes are not compressed.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether the order of bits in the stored bytes is given by the tag FillOrder.
    pub fn is_of_bits(&self) -> bool {
        !matches!(self, Self::Jpeg(_) | Self::WebP | Self::Jpeg2000 { .. })
    }

    /// Whether a predictor can be combined with the compression.
    pub fn has_predictor(&self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate | Self::Zstd)
    }

    /// Whether three components are decoded to RGB, however they are stored.
    pub fn gives_rgb(&self) -> bool {
        !self.is_of_bits()
    }

    /// Decodes a stream that states its own size; `None` for codecs of plain bytes.
    ///
    /// # Errors
    /// A message, when the stream is damaged or has a different size.
    pub fn picture(&self, bytes: &[u8], shape: Shape) -> Result<Option<Samples>, String> {
        match self {
            Self::Jpeg(jpegs) => jpegs.samples(bytes, shape).map(|all| Some(Samples::U8(all))),
            Self::WebP => webp(bytes, shape).map(|all| Some(Samples::U8(all))),
            Self::Jpeg2000 { is_ycbcr } => jpeg2000(bytes, shape, *is_ycbcr).map(Some),
            _ => Ok(None),
        }
    }

    /// Decompresses a stream to exactly as many plain bytes as `out` has.
    ///
    /// # Errors
    /// A message, when the stream is damaged or too short.
    pub fn unpack(&self, bytes: &[u8], out: &mut [u8]) -> Result<(), String> {
        let damaged = |reason: &str| format!("one of its tiles is damaged: {reason}");
        let written = match self {
            Self::Lzw => unpack_lzw(bytes, out),
            Self::Deflate => unpack_deflate(bytes, out),
            Self::Zstd => unpack_zstd(bytes, out).map_err(|error| error.to_string()),
            Self::PackBits => Ok(unpack_bits(bytes, out)),
            _ => {
                let length = bytes.len().min(out.len());
                out[..length].copy_from_slice(&bytes[..length]);
                Ok(length)
            }
        };
        let written = written.map_err(|reason| damaged(&reason))?;
        if written < out.len() { Err(damaged("its bytes end too early")) } else { Ok(()) }
    }
}

thread_local! {
    /// The decoders of this thread, reused for their tables.
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

// Each of these writes the beginning of `out` and returns the number of bytes written.

fn unpack_lzw(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    // Before TIFF 6.0, codes began with their lowest bit; such streams begin with the clear code in that
    // order.
    let is_old = bytes.first() == Some(&0) && bytes.get(1).is_some_and(|byte| byte & 1 == 1);
    if is_old { unpack_old_lzw(bytes, out) } else { lzw::unpack(bytes, out) }
}

fn unpack_old_lzw(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    use weezl::{BitOrder, LzwStatus, decode::Configuration};
    let mut decoder = Configuration::new(BitOrder::Lsb, 8).with_yield_on_full_buffer(true).build();
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&bytes[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(written)
}

/// Decodes with libdeflate, which is the quickest decoder but accepts only intact streams of at most this length. Any
/// other stream is decoded by zlib's rules, which ignore what follows the last byte that is needed.
fn unpack_deflate(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    if let Ok(written) = INFLATE.with_borrow_mut(|decoder| decoder.zlib_decompress(bytes, out)) {
        return Ok(written);
    }
    let mut stream = Decompress::new(true);
    let result = stream.decompress(bytes, out, FlushDecompress::Finish);
    let written = stream.total_out() as usize;
    if written < out.len() {
        result.map_err(|error| error.to_string())?;
    }
    Ok(written)
}

/// Decodes a stream of at most this length at once, which is quicker. Of any other stream, what follows the last byte that is
/// needed is ignored, such as the padding of a last strip.
fn unpack_zstd(bytes: &[u8], out: &mut [u8]) -> std::io::Result<usize> {
    let at_once = ZSTD.with_borrow_mut(|cached| {
        let mut decoder = cached.take().map_or_else(zstd::bulk::Decompressor::new, Ok)?;
        let written = decoder.decompress_to_buffer(bytes, out)?;
        // A decoder that failed is not reused.
        *cached = Some(decoder);
        Ok::<usize, std::io::Error>(written)
    });
    if at_once.is_ok() {
        return at_once;
    }
    let mut stream = zstd::stream::read::Decoder::with_buffer(bytes)?;
    let mut written = 0;
    while written < out.len() {
        match stream.read(&mut out[written..])? {
            0 => break,
            read => written += read,
        }
    }
    Ok(written)
}

/// Run-length decoding: TIFF 6.0, section 9.
fn unpack_bits(mut bytes: &[u8], out: &mut [u8]) -> usize {
    let mut written = 0;
    while let [head, rest @ ..] = bytes
        && written < out.len()
    {
        let room = &mut out[written..];
        match head.cast_signed() {
            -128 => bytes = rest,
            head @ 0.. => {
                let (run, after) = rest.split_at(rest.len().min(usize::from(head.unsigned_abs()) + 1));
                let count = run.len().min(room.len());
                room[..count].copy_from_slice(&run[..count]);
                written += count;
                bytes = after;
            }
            head => {
                let [value, after @ ..] = rest else { break };
                let count = (usize::from(head.unsigned_abs()) + 1).min(room.len());
                room[..count].fill(*value);
                written += count;
                bytes = after;
            }
        }
    }
    written
}

fn webp(bytes: &[u8], shape: Shape) -> Result<Vec<u8>, String> {
    let damaged = |error: image_webp::DecodingError| format!("a tile's WebP is damaged: {error}");
    let mut decoder = WebPDecoder::new(std::io::Cursor::new(bytes)).map_err(damaged)?;
    let size = decoder.dimensions();
    if !shape.may_be_stored_as(size) || decoder.is_animated() {
        return Err("a tile's WebP has a different size from the tile".to_owned());
    }
    let given = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; size.0 as usize * size.1 as usize * given];
    decoder.read_image(&mut pixels).map_err(damaged)?;
    let pixels = match (given, shape.samples) {
        (4, 3) => pixels.as_chunks::<4>().0.iter().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        (3, 4) => {
            pixels.as_chunks::<3>().0.iter().flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect()
        }
        _ => pixels,
    };
    Ok(shape.whole(pixels, size, shape.samples))
}

fn jpeg2000(bytes: &[u8], shape: Shape, is_ycbcr: bool) -> Result<Samples, String> {
    let damaged =
        |error: hayro_jpeg2000::error::DecodeError| format!("a tile's JPEG 2000 is damaged: {error}");
    let settings = DecodeSettings { resolve_palette_indices: false, ..DecodeSettings::default() };
    let image = Image::new(bytes, &settings).map_err(damaged)?;
    let size = (image.width(), image.height());
    if !shape.may_be_stored_as(size) {
        return Err("a tile's JPEG 2000 has a different size from the tile".to_owned());
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(damaged)?;
    let components = decoded.components();
    let pixels = size.0 as usize * size.1 as usize;
    let is_whole =
        components.len() >= shape.samples && components.iter().all(|one| one.samples().len() == pixels);
    if !is_whole {
        return Err("a tile's JPEG 2000 has different components from the tile".to_owned());
    }
    let planes = components.iter().take(shape.samples).map(|one| one.samples());
    if components.iter().all(|one| one.bit_depth() <= 8) {
        let plane = |plane: &[f32]| Samples::U8(plane.iter().map(|number| number.round() as u8).collect());
        let samples = Samples::interleaved(planes.map(plane).collect())?;
        return Ok(match samples {
            Samples::U8(mut all) => {
                if is_ycbcr {
                    all.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = rgb_of_ycbcr(*pixel));
                }
                Samples::U8(shape.whole(all, size, shape.samples))
            }
            samples => samples,
        });
    }
    let plane = |plane: &[f32]| Samples::U16(plane.iter().map(|number| number.round() as u16).collect());
    Ok(match Samples::interleaved(planes.map(plane).collect())? {
        Samples::U16(all) => Samples::U16(shape.whole(all, size, shape.samples)),
        samples => samples,
    })
}

/// Converts by ITU-R BT.601 at full range, as in JFIF.
fn rgb_of_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|value| value.round() as u8)
}

/// Returns the name of a compression, for display.
pub(in crate::slide) fn name(compression: u64) -> String {
    let known = match compression {
        0 | 1 => "no compression",
        2 => "CCITT modified Huffman (fax)",
        3 => "CCITT Group 3 (fax)",
        4 => "CCITT Group 4 (fax)",
        5 => "LZW",
        6 => "old-style JPEG",
        7 => "JPEG",
        8 | 32946 => "Deflate",
        9 | 10 | 34661 => "JBIG",
        32766 => "NeXT's run lengths",
        32773 => "PackBits",
        32809 => "ThunderScan",
        33003 | 33004 | 33005 | 34712 => "JPEG 2000",
        34676 | 34677 => "SGI's LogLuv",
        34713 => "Nikon's raw format",
        34887 => "LERC",
        34892 => "lossy JPEG (DNG)",
        34925 => "LZMA",
        34926 | 50000 => "Zstandard",
        34933 => "PNG",
        34934 | 22610 => "JPEG XR",
        50001 => "WebP",
        50002 | 52546 => "JPEG XL",
        _ => return format!("a method of number {compression}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_unpacked_as_apples_example_says() {
        // The example in the section on PackBits of TIFF 6.0.
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let mut whole =
            [0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22].to_vec();
        whole.extend([0xaa; 10]);
        let unpack = |packed: &[u8], length: usize| {
            let mut unpacked = vec![0; length];
            Codec::PackBits.unpack(packed, &mut unpacked).map(|()| unpacked)
        };
        assert_eq!(unpack(&packed, whole.len()).unwrap(), whole);
        assert!(unpack(&packed[..5], whole.len()).is_err());
        assert_eq!(unpack(&packed, 4).unwrap(), whole[..4]);
    }

    #[test]
    fn neutral_chroma_is_grey() {
        assert_eq!(rgb_of_ycbcr([77, 128, 128]), [77, 77, 77]);
        assert_eq!(rgb_of_ycbcr([255, 128, 255]), [255, 164, 255]);
    }
}
