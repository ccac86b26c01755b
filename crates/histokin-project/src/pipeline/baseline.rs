//! The baseline that encoders are compared with: a colour histogram of the tile. An encoder that performs no
//! better has learnt nothing about tissue.

use image::RgbImage;

use histokin_core::stain::StainSetting;
use histokin_core::tiling::TileSettings;
use histokin_encoder::model::Preprocessing;
use histokin_encoder::{DescriptorBatch, Encoder, EncoderError, EncoderId, EncoderSpec};

/// Name by which the histogram is selected as an encoder.
pub const HSV_HISTOGRAM: &str = "hsv-histogram";

/// Number of bins of hue, saturation and value.
const BINS: [usize; 3] = [8, 4, 4];

/// A histogram of hue, saturation and value as an encoder. The descriptor is the square root of the share of
/// pixels in each of 8 × 4 × 4 bins, so the distance of two descriptors is √2 times the Hellinger distance of
/// the histograms. Tiles keep the slide's own colours, so that the histogram of a tile is the same beside every
/// encoder.
pub struct HsvHistogram {
    spec: EncoderSpec,
}

impl HsvHistogram {
    /// Creates the encoder for tiles cut with the settings `tiles`.
    pub fn new(tiles: TileSettings) -> Self {
        let spec = EncoderSpec {
            id: EncoderId(format!("{HSV_HISTOGRAM}-{}x{}x{}-2", BINS[0], BINS[1], BINS[2])),
            name: HSV_HISTOGRAM.to_owned(),
            width: BINS.iter().product(),
            tiles,
            stain: StainSetting::None,
            stain_reference: Preprocessing::default().stain_reference,
        };
        Self { spec }
    }
}

impl Encoder for HsvHistogram {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn device(&self) -> String {
        "CPU".to_owned()
    }

    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError> {
        let rows: Vec<Vec<f32>> = tiles.iter().map(histogram).collect();
        Ok(DescriptorBatch { values: rows.concat(), width: self.spec.width })
    }
}

/// Returns the square roots of the shares of pixels in each bin.
pub(super) fn histogram(tile: &RgbImage) -> Vec<f32> {
    let mut counts = vec![0_u32; BINS.iter().product()];
    for pixel in tile.pixels() {
        let bin = hsv(pixel.0)
            .map(f64::from)
            .iter()
            .zip(BINS)
            .fold(0, |bin, (value, bins)| bin * bins + ((value * bins as f64) as usize).min(bins - 1));
        counts[bin] += 1;
    }
    let pixels = (tile.width() * tile.height()).max(1) as f32;
    counts.into_iter().map(|count| (count as f32 / pixels).sqrt()).collect()
}

/// Returns hue, saturation and value, each from 0 to 1.
fn hsv(rgb: [u8; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|channel| f32::from(channel) / 255.0);
    let value = r.max(g).max(b);
    let chroma = value - r.min(g).min(b);
    let hue = if chroma == 0.0 {
        0.0
    } else if value == r {
        ((g - b) / chroma).rem_euclid(6.0)
    } else if value == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    [hue / 6.0, if value > 0.0 { chroma / value } else { 0.0 }, value]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_known() {
        assert_eq!(hsv([255, 0, 0]), [0.0, 1.0, 1.0]);
        assert_eq!(hsv([0, 255, 0]), [1.0 / 3.0, 1.0, 1.0]);
        assert_eq!(hsv([0, 0, 255]), [2.0 / 3.0, 1.0, 1.0]);
        assert_eq!(hsv([51, 51, 51]), [0.0, 0.0, 0.2]);
    }

    #[test]
    fn a_histogram_has_length_one_whatever_the_tile() {
        let tile = RgbImage::from_fn(30, 20, |x, y| image::Rgb([(x * 8) as u8, (y * 12) as u8, 90]));
        let squares: f32 = histogram(&tile).iter().map(|value| value * value).sum();
        assert!((squares - 1.0).abs() < 1e-5);
        let other = RgbImage::from_pixel(30, 20, image::Rgb([200, 20, 90]));
        assert_eq!(histogram(&other).iter().filter(|value| **value > 0.0).count(), 1);
    }
}
