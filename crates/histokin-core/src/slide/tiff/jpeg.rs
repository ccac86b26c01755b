//! Decoding of a JPEG tile of a TIFF file with libjpeg-turbo, in the same way as OpenSlide.
//!
//! A tile in a TIFF file is an abbreviated JPEG: the tables that all tiles share are in a separate tag, and
//! the meaning of the components is given by a TIFF tag, whatever the stream itself states. libjpeg-turbo
//! requires complete streams, so one is assembled here: the shared tables and an Adobe marker with the colour
//! model, then the tile without its own application markers.

use std::cell::RefCell;

use turbojpeg::{Decompressor, PixelFormat, ScalingFactor};

const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];
const START_OF_SCAN: u8 = 0xda;

/// End of libjpeg-turbo's warning when all pixels were decoded before the end-of-image marker was found.
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
}

impl Components {
    /// Samples per decoded pixel.
    fn count(self) -> u8 {
        if self == Self::Grey { 1 } else { 3 }
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
}

impl TileJpegs {
    /// `tables` is the JPEG stream of tables that all tiles share; empty when each tile has its own.
    ///
    /// # Errors
    /// When the shared tables are not a JPEG stream of tables.
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
        Ok(Self { head, components, shows_damaged: false })
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
        let (stream, rows) = self.whole_stream(tile, width)?;
        if rows != height {
            return Err("a tile's JPEG has a different size from the tile".to_owned());
        }
        let (width, height) = (scale.scale(width as usize), scale.scale(height as usize));
        let image = turbojpeg::Image { pixels, width, pitch, height, format: PixelFormat::RGBA };
        self.decompress(&stream, scale, image)
    }

    /// Decodes the samples of a stream of `width` pixels and `height` rows, or up to `most_rows`: some
    /// writers give all strips the same height, including the last one.
    ///
    /// # Errors
    /// When the stream is not a valid JPEG of this size.
    pub fn samples(
        &self,
        tile: &[u8],
        (width, height): (u32, u32),
        most_rows: u32,
    ) -> Result<Vec<u8>, String> {
        let (stream, rows) = self.whole_stream(tile, width)?;
        if !(height..=most_rows).contains(&rows) {
            return Err("a tile's JPEG has a different size from the tile".to_owned());
        }
        let format = if self.components == Components::Grey { PixelFormat::GRAY } else { PixelFormat::RGB };
        let pitch = width as usize * usize::from(self.components.count());
        let mut pixels = vec![0; pitch * rows as usize];
        let (width, rows) = (width as usize, rows as usize);
        let image = turbojpeg::Image { pixels: &mut pixels[..], width, pitch, height: rows, format };
        self.decompress(&stream, ScalingFactor::ONE, image)?;
        pixels.truncate(pitch * height as usize);
        Ok(pixels)
    }

    /// Returns the complete stream for libjpeg-turbo and its number of rows, after checking the tile's
    /// header.
    fn whole_stream(&self, tile: &[u8], width: u32) -> Result<(Vec<u8>, u32), String> {
        let mut rest = tile.strip_prefix(&START).ok_or("a tile is not a JPEG")?;
        let mut stream = Vec::with_capacity(self.head.len() + tile.len() + END.len());
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
                // Huffman tables, quantisation tables and restart intervals.
                0xc4 | 0xdb | 0xdd => stream.extend_from_slice(segment),
                // The frame: precision, height, width, components.
                0xc0..=0xc2 if rows.is_none() => {
                    let [_, _, _, _, 8, h1, h0, w1, w0, components, ..] = *segment else {
                        return Err("a tile does not have 8-bit components".to_owned());
                    };
                    if components != self.components.count() {
                        return Err("a tile has a different number of components from the image".to_owned());
                    }
                    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                    if side(w1, w0) != width {
                        return Err("a tile's JPEG has a different size from the tile".to_owned());
                    }
                    rows = Some(side(h1, h0));
                    stream.extend_from_slice(segment);
                }
                _ => return Err("a tile's JPEG variant is not supported".to_owned()),
            }
            rest = &rest[length..];
        }
        let rows = rows.ok_or("a tile's header is damaged")?;
        stream.extend_from_slice(rest);
        // Where the end marker is missing, as OpenSlide does not notice, all pixels may still be there.
        stream.extend_from_slice(&END);
        Ok((stream, rows))
    }

    fn decompress(
        &self,
        stream: &[u8],
        scale: ScalingFactor,
        image: turbojpeg::Image<&mut [u8]>,
    ) -> Result<(), String> {
        DECODER.with_borrow_mut(|cached| {
            let message = |error: turbojpeg::Error| error.to_string();
            let mut decoder = cached.take().map_or_else(Decompressor::new, Ok).map_err(message)?;
            decoder.set_scaling_factor(scale).map_err(message)?;
            // Unless damaged tiles are shown, warnings count as errors, since pixels may be wrong. The exception is
            // extraneous bytes between the last pixel and the end of the image, which some scanners write. A decoder
            // that failed is not reused.
            match decoder.decompress(stream, image) {
                Ok(()) => *cached = Some(decoder),
                Err(turbojpeg::Error::TurboJpegError(text))
                    if text.ends_with(BYTES_BEFORE_THE_END) || self.shows_damaged && is_warning(&text) => {}
                Err(error) => return Err(message(error)),
            }
            Ok(())
        })
    }
}

/// Whether a message of libjpeg-turbo, which tells them apart only by their texts, is one after which it goes on.
fn is_warning(text: &str) -> bool {
    WARNINGS.iter().any(|start| text.starts_with(start))
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
        let cut = [&stream[..stream.len() * 3 / 4], &END].concat();
        assert!(decode(Components::YCbCr, &cut).unwrap_err().contains("JPEG"));
    }

    #[test]
    fn a_damaged_tile_is_refused_or_shown_as_far_as_it_goes() {
        let stream = jpeg(&picture(EDGE, EDGE));
        let strict = TileJpegs::new(Components::YCbCr, &[]).unwrap();
        let lenient = strict.clone().showing_damaged();
        let samples = |jpegs: &TileJpegs, stream: &[u8]| jpegs.samples(stream, (EDGE, EDGE), EDGE);
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
