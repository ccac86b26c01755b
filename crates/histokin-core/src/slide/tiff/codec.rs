//! Unpacking the bytes of a tile or strip, by TIFF's tag Compression.

use std::io::Read;

use flate2::{Decompress, FlushDecompress};
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use image_webp::WebPDecoder;

use super::Refusal;
use super::directory::Entry;
use super::jpeg::{Components, TileJpegs};
use super::page::{Page, SampleFormat};
use super::samples::{Packing, Samples};

/// How tiles or strips are compressed.
pub(in crate::slide) enum Codec {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
    Jpeg(TileJpegs),
    WebP,
    Jpeg2000 {
        /// The components are YCbCr, which the stream itself does not say.
        is_ycbcr: bool,
    },
}

/// What a tile or strip holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::slide) struct Shape {
    pub width: u32,
    pub height: u32,
    /// Rows of all tiles or strips but the last.
    pub most_rows: u32,
    /// Samples of a pixel.
    pub samples: usize,
}

impl Codec {
    /// The codec of `page`. `tables` reads the tag of shared JPEG tables.
    ///
    /// # Errors
    /// In words, when it is none of those that are read.
    pub fn of(
        page: &Page,
        packing: &Packing,
        tables: impl FnOnce(&Entry) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Refusal> {
        let is_8_bit = packing.bits == 8 && packing.format == SampleFormat::Unsigned;
        let samples = if page.is_planar { 1 } else { page.samples };
        let only = |what: bool, codec: Self| match what {
            true => Ok(codec),
            false => Err(Refusal::Unsupported(format!(
                "its pixels are compressed with {} as {} samples of {} bits, which is not read",
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
                    (3, Some(6)) => Components::YCbCr,
                    (3, _) => Components::Rgb,
                    _ => return only(false, Self::None),
                };
                let tables = page.tables.as_ref().map(tables).transpose()?.unwrap_or_default();
                let jpegs = TileJpegs::new(components, &tables)?;
                only(is_8_bit, Self::Jpeg(jpegs))
            }
            50001 => only(is_8_bit && (3..=4).contains(&samples), Self::WebP),
            33003 | 33004 | 33005 | 34712 => {
                let is_ycbcr = page.compression == 33003 && page.photometric == Some(6);
                let is_read = packing.format == SampleFormat::Unsigned && packing.bits <= 16;
                only(is_read && (!is_ycbcr || is_8_bit && samples == 3), Self::Jpeg2000 { is_ycbcr })
            }
            other => Err(Refusal::Unsupported(format!(
                "its pixels are compressed with {}, which is not read",
                name(other)
            ))),
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether the stored bytes are in the order of bits that the tag FillOrder says.
    pub fn is_of_bits(&self) -> bool {
        !matches!(self, Self::Jpeg(_) | Self::WebP | Self::Jpeg2000 { .. })
    }

    /// Whether a predictor may have been at work.
    pub fn has_predictor(&self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate | Self::Zstd)
    }

    /// Whether three components come out as RGB, whatever they are stored as.
    pub fn gives_rgb(&self) -> bool {
        !self.is_of_bits()
    }

    /// The samples of a stream that knows its own size; `None` for codecs of plain bytes.
    ///
    /// # Errors
    /// When the stream is damaged or of another size.
    pub fn picture(&self, bytes: &[u8], shape: Shape) -> Result<Option<Samples>, String> {
        match self {
            Self::Jpeg(jpegs) => jpegs
                .samples(bytes, (shape.width, shape.height), shape.most_rows)
                .map(|all| Some(Samples::U8(all))),
            Self::WebP => webp(bytes, shape).map(|all| Some(Samples::U8(all))),
            Self::Jpeg2000 { is_ycbcr } => jpeg2000(bytes, shape, *is_ycbcr).map(Some),
            _ => Ok(None),
        }
    }

    /// The plain bytes of a stream, exactly `length`.
    ///
    /// # Errors
    /// When the stream is damaged or gives fewer.
    pub fn unpack(&self, mut bytes: Vec<u8>, length: usize) -> Result<Vec<u8>, String> {
        let short = || "a tile of it is damaged: its bytes end too early".to_owned();
        if self.is_none() {
            if bytes.len() < length {
                return Err(short());
            }
            bytes.truncate(length);
            return Ok(bytes);
        }
        let mut out = vec![0; length];
        let written = match self {
            Self::Lzw => unpack_lzw(&bytes, &mut out)?,
            Self::Deflate => {
                let mut stream = Decompress::new(true);
                let result = stream.decompress(&bytes, &mut out, FlushDecompress::Finish);
                let written = stream.total_out() as usize;
                if written < length {
                    result.map_err(|error| format!("a tile of it is damaged: {error}"))?;
                }
                written
            }
            Self::Zstd => unpack_zstd(&bytes, &mut out)?,
            _ => unpack_bits(&bytes, &mut out),
        };
        if written < length { Err(short()) } else { Ok(out) }
    }
}

fn unpack_lzw(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    use weezl::{BitOrder, LzwStatus, decode::Configuration};
    // Before TIFF 6.0, codes began with their lowest bit; such streams begin with the clear code in that order.
    let is_old = bytes.first() == Some(&0) && bytes.get(1).is_some_and(|byte| byte & 1 == 1);
    let order = if is_old { BitOrder::Lsb } else { BitOrder::Msb };
    let configuration = match order {
        BitOrder::Lsb => Configuration::new(order, 8),
        BitOrder::Msb => Configuration::with_tiff_size_switch(order, 8),
    };
    let mut decoder = configuration.with_yield_on_full_buffer(true).build();
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&bytes[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(format!("a tile of it is damaged: {error}")),
        }
    }
    Ok(written)
}

/// Fill `out`; what the stream holds beyond that, such as the margin of a last strip, is left.
fn unpack_zstd(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let damaged = |error: std::io::Error| format!("a tile of it is damaged: {error}");
    let mut stream = zstd::stream::read::Decoder::with_buffer(bytes).map_err(damaged)?;
    let mut written = 0;
    while written < out.len() {
        match stream.read(&mut out[written..]).map_err(damaged)? {
            0 => break,
            read => written += read,
        }
    }
    Ok(written)
}

/// Runs of bytes: TIFF 6.0, section 9.
fn unpack_bits(mut bytes: &[u8], out: &mut [u8]) -> usize {
    let mut written = 0;
    while let [head, rest @ ..] = bytes {
        let room = out.len() - written;
        match head.cast_signed() {
            -128 => bytes = rest,
            head @ 0.. => {
                let count = usize::from(head.unsigned_abs()) + 1;
                let taken = count.min(rest.len()).min(room);
                out[written..written + taken].copy_from_slice(&rest[..taken]);
                written += taken;
                bytes = &rest[count.min(rest.len())..];
            }
            head => {
                let [value, after @ ..] = rest else { break };
                let count = (usize::from(head.unsigned_abs()) + 1).min(room);
                out[written..written + count].fill(*value);
                written += count;
                bytes = after;
            }
        }
        if written == out.len() {
            break;
        }
    }
    written
}

fn webp(bytes: &[u8], shape: Shape) -> Result<Vec<u8>, String> {
    let damaged = |error: image_webp::DecodingError| format!("a tile's WebP is damaged: {error}");
    let mut decoder = WebPDecoder::new(std::io::Cursor::new(bytes)).map_err(damaged)?;
    if decoder.dimensions() != (shape.width, shape.height) || decoder.is_animated() {
        return Err("a tile's WebP is of another size than the tile".to_owned());
    }
    let given = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; shape.width as usize * shape.height as usize * given];
    decoder.read_image(&mut pixels).map_err(damaged)?;
    Ok(match (given, shape.samples) {
        (4, 3) => pixels.as_chunks::<4>().0.iter().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        (3, 4) => {
            pixels.as_chunks::<3>().0.iter().flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect()
        }
        _ => pixels,
    })
}

fn jpeg2000(bytes: &[u8], shape: Shape, is_ycbcr: bool) -> Result<Samples, String> {
    let damaged =
        |error: hayro_jpeg2000::error::DecodeError| format!("a tile's JPEG 2000 is damaged: {error}");
    let settings = DecodeSettings { resolve_palette_indices: false, ..DecodeSettings::default() };
    let image = Image::new(bytes, &settings).map_err(damaged)?;
    if (image.width(), image.height()) != (shape.width, shape.height) {
        return Err("a tile's JPEG 2000 is of another size than the tile".to_owned());
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(damaged)?;
    let components = decoded.components();
    let pixels = shape.width as usize * shape.height as usize;
    let is_whole =
        components.len() >= shape.samples && components.iter().all(|one| one.samples().len() == pixels);
    if !is_whole {
        return Err("a tile's JPEG 2000 has other components than the tile".to_owned());
    }
    let planes = components.iter().take(shape.samples).map(|one| one.samples());
    if components.iter().all(|one| one.bit_depth() <= 8) {
        let plane = |plane: &[f32]| Samples::U8(plane.iter().map(|number| number.round() as u8).collect());
        let woven = Samples::interleaved(planes.map(plane).collect())?;
        return Ok(match woven {
            Samples::U8(mut all) if is_ycbcr => {
                all.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = rgb_of_ycbcr(*pixel));
                Samples::U8(all)
            }
            woven => woven,
        });
    }
    let plane = |plane: &[f32]| Samples::U16(plane.iter().map(|number| number.round() as u16).collect());
    Samples::interleaved(planes.map(plane).collect())
}

/// ITU-R BT.601 at full range, as JFIF has it.
fn rgb_of_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|value| value.round() as u8)
}

/// A compression's name for people.
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
        // The example of TIFF 6.0's section on PackBits.
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let mut whole =
            [0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22].to_vec();
        whole.extend([0xaa; 10]);
        let unpacked = Codec::PackBits.unpack(packed.to_vec(), whole.len()).unwrap();
        assert_eq!(unpacked, whole);
        assert!(Codec::PackBits.unpack(packed[..5].to_vec(), whole.len()).is_err());
        assert_eq!(Codec::PackBits.unpack(packed.to_vec(), 4).unwrap(), whole[..4]);
    }

    #[test]
    fn neutral_chroma_is_grey() {
        assert_eq!(rgb_of_ycbcr([77, 128, 128]), [77, 77, 77]);
        assert_eq!(rgb_of_ycbcr([255, 128, 255]), [255, 164, 255]);
    }
}
