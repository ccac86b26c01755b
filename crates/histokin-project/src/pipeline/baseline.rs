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
    for pixel in tile.as_chunks::<3>().0 {
        counts[bin(*pixel)] += 1;
    }
    let pixels = (tile.width() * tile.height()).max(1) as f32;
    counts.into_iter().map(|count| (count as f32 / pixels).sqrt()).collect()
}

/// Returns the bin of a colour. Every pixel that is embedded passes here, hence the integers.
fn bin(rgb: [u8; 3]) -> usize {
    let [hues, saturations, values] = BINS;
    let [r, g, b] = rgb.map(usize::from);
    let value = r.max(g).max(b);
    let chroma = value - r.min(g).min(b);
    // The hue in sixths of the circle, times the chroma.
    let sixths = if value == r {
        if g >= b { g - b } else { 6 * chroma - (b - g) }
    } else if value == g {
        2 * chroma + b - r
    } else {
        4 * chroma + r - g
    };
    let hue = (sixths * hues).checked_div(6 * chroma).unwrap_or(0);
    let saturation = (chroma * saturations).checked_div(value).unwrap_or(0).min(saturations - 1);
    (hue * saturations + saturation) * values + value * values / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bins of hue, saturation and value of a colour.
    fn bins(rgb: [u8; 3]) -> [usize; 3] {
        let bin = bin(rgb);
        [bin / 16, bin / 4 % 4, bin % 4]
    }

    #[test]
    fn colours_are_known() {
        assert_eq!(bins([255, 0, 0]), [0, 3, 3]);
        assert_eq!(bins([0, 255, 0]), [2, 3, 3], "a third of eight bins");
        assert_eq!(bins([0, 0, 255]), [5, 3, 3], "two thirds");
        assert_eq!(bins([255, 0, 1]), [7, 3, 3], "just before red");
        assert_eq!(bins([51, 51, 51]), [0, 0, 0]);
        assert_eq!(bins([200, 140, 200]), [6, 1, 3], "300° of 360°, three tenths");
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
