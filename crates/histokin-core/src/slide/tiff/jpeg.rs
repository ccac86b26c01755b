//! Decoding one JPEG tile of a TIFF file with libjpeg-turbo, the way OpenSlide does.
//!
//! A tile in a TIFF is an abbreviated JPEG: tables that all tiles share stand in a tag of their own, and what
//! the components stand for says a TIFF tag, whatever the stream itself claims. libjpeg-turbo takes whole
//! streams, so one is put together here: the shared tables and an Adobe marker that names the colours, then
//! the tile without application markers of its own.

use std::cell::RefCell;

use turbojpeg::{Decompressor, PixelFormat, ScalingFactor};

const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];
const START_OF_SCAN: u8 = 0xda;

/// How libjpeg-turbo's warning ends when all pixels were decoded before the marker that ends the picture was met.
const BYTES_BEFORE_THE_END: &str = "extraneous bytes before marker 0xd9";

/// What a tile's components stand for (TIFF's photometric interpretation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) enum Components {
    Grey,
    Rgb,
    YCbCr,
}

impl Components {
    /// Samples of a decoded pixel.
    fn count(self) -> u8 {
        if self == Self::Grey { 1 } else { 3 }
    }
}

/// What all tiles of an image have in common.
#[derive(Debug, Clone)]
pub(in crate::slide) struct TileJpegs {
    /// How every stream begins: start, colours, shared tables.
    head: Vec<u8>,
    components: Components,
}

thread_local! {
    /// A decoder holds tables and buffers of libjpeg-turbo, which are worth keeping between tiles.
    static DECODER: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

impl TileJpegs {
    /// `tables` is the JPEG stream of tables that all tiles share; empty when each has its own.
    ///
    /// # Errors
    /// When the shared tables are no JPEG stream of tables.
    pub fn new(components: Components, tables: &[u8]) -> Result<Self, String> {
        let mut head = START.to_vec();
        if components != Components::Grey {
            // Adobe's marker: version 100, no flags, then 0 for RGB or 1 for YCbCr.
            let transform = u8::from(components == Components::YCbCr);
            head.extend_from_slice(&[0xff, 0xee, 0, 14]);
            head.extend_from_slice(b"Adobe");
            head.extend_from_slice(&[0, 100, 0, 0, 0, 0, transform]);
        }
        if !tables.is_empty() {
            let tables = tables.strip_prefix(&START).and_then(|rest| rest.strip_suffix(&END));
            head.extend_from_slice(tables.ok_or("its JPEG tables are damaged")?);
        }
        Ok(Self { head, components })
    }

    /// Decode a stream of exactly `width` × `height` pixels into RGBA rows of which each begins `pitch` bytes after
    /// the one before.
    ///
    /// # Errors
    /// When the stream is not a sound JPEG of this size; some pixels may be written by then.
    pub fn decode(
        &self,
        tile: &[u8],
        size: (u32, u32),
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        self.decode_at(ScalingFactor::ONE, tile, size, pixels, pitch)
    }

    /// Like [`decode`](Self::decode), at 1/8 of the tile's width and height, both multiples of 8.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_eighth(
        &self,
        tile: &[u8],
        size: (u32, u32),
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        self.decode_at(ScalingFactor::ONE_EIGHTH, tile, size, pixels, pitch)
    }

    fn decode_at(
        &self,
        scale: ScalingFactor,
        tile: &[u8],
        (width, height): (u32, u32),
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        let (stream, rows) = self.whole_stream(tile, width)?;
        if rows != height {
            return Err("a tile's JPEG is of another size than the tile".to_owned());
        }
        let (width, height) = (scale.scale(width as usize), scale.scale(height as usize));
        let image = turbojpeg::Image { pixels, width, pitch, height, format: PixelFormat::RGBA };
        decompress(&stream, scale, image)
    }

    /// The samples of a stream of `width` pixels and `height` rows, or up to `most_rows`: strips of some writers are all
    /// of the same height, the last one too.
    ///
    /// # Errors
    /// When the stream is not a sound JPEG of this size.
    pub fn samples(
        &self,
        tile: &[u8],
        (width, height): (u32, u32),
        most_rows: u32,
    ) -> Result<Vec<u8>, String> {
        let (stream, rows) = self.whole_stream(tile, width)?;
        if !(height..=most_rows).contains(&rows) {
            return Err("a tile's JPEG is of another size than the tile".to_owned());
        }
        let format = if self.components == Components::Grey { PixelFormat::GRAY } else { PixelFormat::RGB };
        let pitch = width as usize * usize::from(self.components.count());
        let mut pixels = vec![0; pitch * rows as usize];
        let (width, rows) = (width as usize, rows as usize);
        decompress(
            &stream,
            ScalingFactor::ONE,
            turbojpeg::Image { pixels: &mut pixels[..], width, pitch, height: rows, format },
        )?;
        pixels.truncate(pitch * height as usize);
        Ok(pixels)
    }

    /// The stream that libjpeg-turbo decodes and its rows, once the tile's header has said that it is one of ours.
    fn whole_stream(&self, tile: &[u8], width: u32) -> Result<(Vec<u8>, u32), String> {
        let mut rest = tile.strip_prefix(&START).ok_or("a tile is no JPEG")?;
        let mut stream = Vec::with_capacity(self.head.len() + tile.len());
        stream.extend_from_slice(&self.head);
        let mut rows = None;
        loop {
            let [0xff, marker, high, low, ..] = *rest else {
                return Err("a tile's header is damaged".to_owned());
            };
            let length = usize::from(u16::from_be_bytes([high, low])) + 2;
            let segment = rest.get(..length).ok_or("a tile's header is damaged")?;
            match marker {
                START_OF_SCAN => break,
                // Application markers and comments.
                0xe0..=0xef | 0xfe => {}
                // Tables and the like.
                0xc4 | 0xdb | 0xdd => stream.extend_from_slice(segment),
                // The frame: precision, height, width, components.
                0xc0..=0xc2 if rows.is_none() => {
                    let [_, _, _, _, 8, h1, h0, w1, w0, components, ..] = *segment else {
                        return Err("a tile is not of 8-bit components".to_owned());
                    };
                    if components != self.components.count() {
                        return Err("a tile has another number of components than the image".to_owned());
                    }
                    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                    if side(w1, w0) != width {
                        return Err("a tile's JPEG is of another size than the tile".to_owned());
                    }
                    rows = Some(side(h1, h0));
                    stream.extend_from_slice(segment);
                }
                _ => return Err("a tile's JPEG is of a rare kind".to_owned()),
            }
            rest = &rest[length..];
        }
        let rows = rows.ok_or("a tile's header is damaged")?;
        stream.extend_from_slice(rest);
        Ok((stream, rows))
    }
}

fn decompress(stream: &[u8], scale: ScalingFactor, image: turbojpeg::Image<&mut [u8]>) -> Result<(), String> {
    DECODER.with_borrow_mut(|kept| {
        let said = |error: turbojpeg::Error| error.to_string();
        let mut decoder = kept.take().map_or_else(Decompressor::new, Ok).map_err(said)?;
        decoder.set_scaling_factor(scale).map_err(said)?;
        // Warnings count as errors, since pixels may be wrong: all but that of bytes between the last pixel and the end
        // of the picture, as some scanners leave them. A decoder that failed is not kept.
        match decoder.decompress(stream, image) {
            Ok(()) => *kept = Some(decoder),
            Err(turbojpeg::Error::TurboJpegError(words)) if words.ends_with(BYTES_BEFORE_THE_END) => {}
            Err(error) => return Err(said(error)),
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::made::{jpeg, picture};
    use super::*;
    use proptest::prelude::*;

    const EDGE: u32 = 48;

    fn decode(components: Components, stream: &[u8]) -> Result<Vec<u8>, String> {
        let mut pixels = vec![0; (EDGE * EDGE * 4) as usize];
        let jpegs = TileJpegs::new(components, &[]).unwrap();
        jpegs.decode(stream, (EDGE, EDGE), &mut pixels, EDGE as usize * 4)?;
        Ok(pixels)
    }

    #[test]
    fn bytes_left_between_the_last_pixel_and_the_end_do_no_harm() {
        let stream = jpeg(&picture(EDGE, EDGE));
        let whole = decode(Components::YCbCr, &stream).unwrap();
        let padded = [stream.strip_suffix(&END).unwrap(), &[0; 7], &END].concat();
        assert!(decode(Components::YCbCr, &padded).unwrap() == whole);
        let cut = [&stream[..stream.len() * 3 / 4], &END].concat();
        assert!(decode(Components::YCbCr, &cut).unwrap_err().contains("JPEG"));
    }

    #[test]
    fn the_tag_says_what_the_components_stand_for_not_the_stream() {
        let picture = picture(EDGE, EDGE);
        let stream = jpeg(&picture);
        let as_ycbcr = decode(Components::YCbCr, &stream).unwrap();
        let as_rgb = decode(Components::Rgb, &stream).unwrap();
        for (pixel, (decoded, raw)) in
            picture.pixels().zip(as_ycbcr.chunks_exact(4).zip(as_rgb.chunks_exact(4)))
        {
            let off = (0..3).map(|c| pixel[c].abs_diff(decoded[c])).max().unwrap_or(0);
            assert!(off < 24, "{pixel:?} became {decoded:?}");
            // Taken as RGB, the first component is the luminance.
            let luminance = [0.299, 0.587, 0.114].iter().zip(pixel.0).map(|(w, c)| w * f64::from(c));
            assert!((luminance.sum::<f64>() - f64::from(raw[0])).abs() < 16.0, "{pixel:?} became {raw:?}");
            assert_eq!((decoded[3], raw[3]), (255, 255));
        }
    }

    #[test]
    fn tiles_of_another_size_and_cut_ones_are_refused() {
        let stream = jpeg(&picture(EDGE, EDGE));
        assert!(decode(Components::YCbCr, &stream).is_ok());
        assert!(decode(Components::YCbCr, &jpeg(&picture(EDGE, EDGE - 8))).is_err());
        for cut in [0, 1, 2, 3, 20, 200, stream.len() / 2, stream.len() - 40] {
            assert!(decode(Components::YCbCr, &stream[..cut]).is_err(), "cut to {cut}");
        }
        // The failures leave a good decoder for what follows.
        assert!(decode(Components::YCbCr, &stream).is_ok());
    }

    proptest! {
        #[test]
        fn mutated_streams_are_decoded_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut stream = jpeg(&picture(EDGE, EDGE));
            for (place, byte) in changes {
                let at = place.index(stream.len());
                stream[at] = byte;
            }
            stream.truncate(cut.index(stream.len() * 2).max(1).min(stream.len()));
            if let Ok(pixels) = decode(Components::Rgb, &stream) {
                prop_assert!(pixels.chunks_exact(4).all(|pixel| pixel[3] == 255));
            }
        }
    }
}
