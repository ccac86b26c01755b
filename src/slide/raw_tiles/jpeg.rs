//! Decoding one JPEG tile of a TIFF file with libjpeg-turbo, the way OpenSlide does.
//!
//! A tile in a TIFF is an abbreviated JPEG: tables that all tiles share stand in a tag of their own, and what
//! the components stand for says a TIFF tag, whatever the stream itself claims. libjpeg-turbo takes whole
//! streams, so one is put together here: the shared tables and an Adobe marker that names the colours, then
//! the tile without application markers of its own.

use std::cell::RefCell;

use turbojpeg::{Decompressor, PixelFormat, ScalingFactor};

use super::directory::{TileColors, TiledImage};

const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];
const START_OF_SCAN: u8 = 0xda;

/// What all tiles of an image have in common.
pub(super) struct TileJpegs {
    /// How every stream begins: start, colours, shared tables.
    head: Vec<u8>,
    /// Pixels of every tile.
    pub width: u32,
    pub height: u32,
}

thread_local! {
    /// A decoder holds tables and buffers of libjpeg-turbo, which are worth keeping between tiles.
    static DECODER: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

impl TileJpegs {
    /// # Errors
    /// When the shared tables are no JPEG stream of tables.
    pub(super) fn of(image: &TiledImage) -> Result<Self, String> {
        // Adobe's marker: version 100, no flags, then 0 for RGB or 1 for YCbCr.
        let transform = u8::from(image.colors == TileColors::YCbCr);
        let mut head = START.to_vec();
        head.extend_from_slice(&[0xff, 0xee, 0, 14]);
        head.extend_from_slice(b"Adobe");
        head.extend_from_slice(&[0, 100, 0, 0, 0, 0, transform]);
        if !image.tables.is_empty() {
            let tables = image.tables.strip_prefix(&START).and_then(|rest| rest.strip_suffix(&END));
            head.extend_from_slice(tables.ok_or("its JPEG tables are damaged")?);
        }
        Ok(Self { head, width: image.tile_width, height: image.tile_height })
    }

    /// Decode a tile's stream into RGBA rows of which each begins `pitch` bytes after the one before.
    ///
    /// # Errors
    /// When the stream is not a sound JPEG of this image's tile size; some pixels may be written by then.
    pub(super) fn decode(&self, tile: &[u8], pixels: &mut [u8], pitch: usize) -> Result<(), String> {
        self.decode_at(ScalingFactor::ONE, tile, pixels, pitch)
    }

    /// Like [`decode`](Self::decode), at 1/8 of the tile's width and height, both multiples of 8.
    pub(super) fn decode_eighth(&self, tile: &[u8], pixels: &mut [u8], pitch: usize) -> Result<(), String> {
        self.decode_at(ScalingFactor::ONE_EIGHTH, tile, pixels, pitch)
    }

    fn decode_at(
        &self,
        scale: ScalingFactor,
        tile: &[u8],
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        let stream = self.whole_stream(tile)?;
        let (width, height) = (scale.scale(self.width as usize), scale.scale(self.height as usize));
        DECODER.with_borrow_mut(|kept| {
            let said = |error: turbojpeg::Error| error.to_string();
            let mut decoder = kept.take().map_or_else(Decompressor::new, Ok).map_err(said)?;
            decoder.set_scaling_factor(scale).map_err(said)?;
            let image = turbojpeg::Image { pixels, width, pitch, height, format: PixelFormat::RGBA };
            // Warnings count as errors here, as they do with OpenSlide. A decoder that failed is not kept.
            decoder.decompress(&stream, image).map_err(said)?;
            *kept = Some(decoder);
            Ok(())
        })
    }

    /// The stream that libjpeg-turbo decodes, once the tile's header has said that it is one of ours.
    fn whole_stream(&self, tile: &[u8]) -> Result<Vec<u8>, String> {
        let mut rest = tile.strip_prefix(&START).ok_or("a tile is no JPEG")?;
        let mut stream = Vec::with_capacity(self.head.len() + tile.len());
        stream.extend_from_slice(&self.head);
        let mut has_frame = false;
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
                0xc0..=0xc2 if !has_frame => {
                    let [_, _, _, _, 8, h1, h0, w1, w0, 3, ..] = *segment else {
                        return Err("a tile is not of three 8-bit components".to_owned());
                    };
                    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                    if (side(w1, w0), side(h1, h0)) != (self.width, self.height) {
                        return Err("a tile's JPEG is of another size than the tile".to_owned());
                    }
                    has_frame = true;
                    stream.extend_from_slice(segment);
                }
                _ => return Err("a tile's JPEG is of a rare kind".to_owned()),
            }
            rest = &rest[length..];
        }
        if !has_frame {
            return Err("a tile's header is damaged".to_owned());
        }
        stream.extend_from_slice(rest);
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{jpeg, picture};
    use super::*;
    use proptest::prelude::*;

    const EDGE: u32 = 48;

    fn tiles(colors: TileColors) -> TileJpegs {
        let (tables, tiles) = (Vec::new(), Vec::new());
        let image = TiledImage {
            width: EDGE,
            height: EDGE,
            tile_width: EDGE,
            tile_height: EDGE,
            colors,
            tables,
            tiles,
        };
        TileJpegs::of(&image).unwrap()
    }

    fn decode(colors: TileColors, stream: &[u8]) -> Result<Vec<u8>, String> {
        let mut pixels = vec![0; (EDGE * EDGE * 4) as usize];
        tiles(colors).decode(stream, &mut pixels, EDGE as usize * 4)?;
        Ok(pixels)
    }

    #[test]
    fn the_tag_says_what_the_components_stand_for_not_the_stream() {
        let picture = picture(EDGE, EDGE);
        let stream = jpeg(&picture);
        let as_ycbcr = decode(TileColors::YCbCr, &stream).unwrap();
        let as_rgb = decode(TileColors::Rgb, &stream).unwrap();
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
        assert!(decode(TileColors::YCbCr, &stream).is_ok());
        assert!(decode(TileColors::YCbCr, &jpeg(&picture(EDGE, EDGE - 8))).is_err());
        for cut in [0, 1, 2, 3, 20, 200, stream.len() / 2, stream.len() - 40] {
            assert!(decode(TileColors::YCbCr, &stream[..cut]).is_err(), "cut to {cut}");
        }
        // The failures leave a good decoder for what follows.
        assert!(decode(TileColors::YCbCr, &stream).is_ok());
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
            if let Ok(pixels) = decode(TileColors::Rgb, &stream) {
                prop_assert!(pixels.chunks_exact(4).all(|pixel| pixel[3] == 255));
            }
        }
    }
}
