//! The floor under every encoder: a histogram of the tile's colours. An encoder that does no better has
//! learnt nothing of tissue.

use image::RgbImage;
use rayon::prelude::*;

use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;
use histokin_encoder::{self as encoder, DescriptorBatch, Encoder, EncoderError, EncoderId, EncoderSpec};
use histokin_project::project::Project;

/// Name by which the histogram is asked for.
pub const HSV_HISTOGRAM: &str = "hsv-histogram";

/// Bins of hue, saturation and value.
const BINS: [usize; 3] = [8, 4, 4];

/// A histogram of hue, saturation and value as an encoder: the square root of the share of pixels in each of
/// 8 × 4 × 4 bins, so that the distance of two descriptors is √2 times the Hellinger distance of the
/// histograms.
pub struct HsvHistogram {
    spec: EncoderSpec,
}

impl HsvHistogram {
    /// The histogram of tiles cut by `tiles`; `reference` are the colours to which tiles are normalised.
    pub fn new(tiles: TileSettings, reference: LabStatistics) -> Self {
        let spec = EncoderSpec {
            id: EncoderId(format!("{HSV_HISTOGRAM}-{}x{}x{}-1", BINS[0], BINS[1], BINS[2])),
            name: HSV_HISTOGRAM.to_owned(),
            width: BINS.iter().product(),
            tiles,
            stain: StainSetting::Lab,
            stain_reference: reference,
        };
        Self { spec }
    }

    /// What is known of the histogram of a project's tiles, whose colours are normalised to those of the
    /// former default model where the project normalises: the histogram stays what it has been.
    ///
    /// # Errors
    /// When that model's description is not there.
    pub fn of_project(project: &Project) -> Result<EncoderSpec, EncoderError> {
        let reference = encoder::spec(encoder::FORMER_DEFAULT)?.stain_reference;
        Ok(Self::new(project.settings().tiles, reference).spec)
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
        let rows: Vec<Vec<f32>> = tiles.par_iter().map(histogram).collect();
        Ok(DescriptorBatch { values: rows.concat(), width: self.spec.width })
    }
}

fn histogram(tile: &RgbImage) -> Vec<f32> {
    let mut counts = vec![0_u32; BINS.iter().product()];
    for pixel in tile.pixels() {
        let place =
            hsv(pixel.0).map(f64::from).iter().zip(BINS).fold(0, |place, (value, bins)| {
                place * bins + ((value * bins as f64) as usize).min(bins - 1)
            });
        counts[place] += 1;
    }
    let pixels = (tile.width() * tile.height()).max(1) as f32;
    counts.into_iter().map(|count| (count as f32 / pixels).sqrt()).collect()
}

/// Hue, saturation and value, each 0 to 1.
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
