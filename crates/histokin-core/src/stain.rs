//! Stain normalisation in CIELAB: the mean and standard deviation of each slide's tissue are matched to those
//! of a reference, channel by channel (Reinhard et al. 2001, "Color transfer between images", equations
//! 10–11, here with CIELAB in place of lαβ, as in Gildenblat and Klaiman 2019).

pub mod estimate;
mod kind;
pub mod separation;
mod vectors;

use std::sync::LazyLock;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::slide::{SlideError, SlideSource};
use crate::tissue::{ColouredTissue, LowPower, is_stained};

pub use kind::{SlideStain, StainType, guess};
pub use vectors::{StainVectors, VectorError};

/// Mean and standard deviation of tissue pixels in CIELAB (D65): L* 0–100, a* and b* about ±128.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabStatistics {
    /// Mean of L*, a* and b*.
    pub mean: [f32; 3],
    /// Standard deviation of L*, a* and b*.
    pub std: [f32; 3],
}

/// How tiles are stain-normalised before they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StainSetting {
    /// Mean and standard deviation in CIELAB are matched to the encoder's reference.
    #[default]
    Lab,
    /// The slide's colours are left unchanged.
    None,
}

impl StainSetting {
    /// Whether colours are normalised.
    pub fn is_lab(&self) -> bool {
        *self == Self::Lab
    }

    /// Returns its name within the identity of a recipe. The names must never change.
    pub fn identity(self) -> &'static str {
        match self {
            Self::Lab => "Lab",
            Self::None => "None",
        }
    }

    /// Returns its name in settings and in headers of descriptor files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::None => "none",
        }
    }
}

impl LabStatistics {
    /// Computes the statistics of the pixels of `picture` for which `is_tissue` (pixel index, row by row) is
    /// true; `None` if there are fewer than 100. Per channel, mean `μ = Σx / n` and population standard
    /// deviation `σ = √(Σ(x − μ)² / n)`.
    pub fn of_pixels(picture: &RgbImage, is_tissue: impl Fn(usize) -> bool) -> Option<Self> {
        let mut count = 0_u64;
        let mut sum = [0.0_f64; 3];
        let mut sum_of_squares = [0.0_f64; 3];
        for (index, pixel) in picture.pixels().enumerate() {
            if !is_tissue(index) {
                continue;
            }
            count += 1;
            for (channel, value) in lab_from_srgb(pixel.0).into_iter().enumerate() {
                let value = f64::from(value);
                sum[channel] += value;
                sum_of_squares[channel] += value * value;
            }
        }
        if count < ColouredTissue::FEWEST_PIXELS as u64 {
            return None;
        }
        let mean = sum.map(|sum| sum / count as f64);
        let deviation = |channel: usize| {
            let variance = sum_of_squares[channel] / count as f64 - mean[channel] * mean[channel];
            variance.max(0.0).sqrt() as f32
        };
        Some(Self { mean: mean.map(|mean| mean as f32), std: [deviation(0), deviation(1), deviation(2)] })
    }

    /// Computes the statistics of a slide's stained tissue from its low-power picture; `None` without tissue.
    /// The tissue depends on the slide alone, not on the settings that select the tiles to embed, so that a
    /// tile has the same descriptor under all settings. The empty interiors of fat cells count as tissue but
    /// show the glass: they are excluded, unless the whole slide is that pale. Otherwise the share of fat
    /// would determine how a slide is normalised.
    ///
    /// At low power neighbouring structures are averaged, so standard deviations are smaller than in a tile:
    /// compare these statistics only with others computed by this function.
    ///
    /// # Errors
    /// [`SlideError::Read`] if the low-power picture cannot be read.
    pub fn of_slide(slide: &dyn SlideSource) -> Result<Option<Self>, SlideError> {
        let low_power = LowPower::of(slide)?;
        let tissue = ColouredTissue::in_picture(&low_power, slide.info());
        Ok(Self::of_low_power(&low_power.picture, &tissue))
    }

    /// Computes the same statistics for tissue that is already known, such as that of the same slide in other
    /// colours.
    ///
    /// # Errors
    /// [`SlideError::Read`] if the low-power picture cannot be read.
    pub fn of_tissue(slide: &dyn SlideSource, tissue: &ColouredTissue) -> Result<Option<Self>, SlideError> {
        Ok(Self::of_low_power(&LowPower::of(slide)?.picture, tissue))
    }

    fn of_low_power(picture: &RgbImage, tissue: &ColouredTissue) -> Option<Self> {
        /// Minimum share of stained tissue for the unstained tissue to be excluded.
        const STAINED_SHARE: f64 = 0.1;

        let is_tissue = &tissue.pixels;
        let is_stained: Vec<bool> =
            is_tissue.iter().zip(picture.pixels()).map(|(is, pixel)| *is && is_stained(pixel.0)).collect();
        let count = |pixels: &[bool]| pixels.iter().filter(|is| **is).count() as f64;
        let chosen = match count(&is_stained) >= STAINED_SHARE * count(is_tissue) {
            true => &is_stained,
            false => is_tissue,
        };
        Self::of_pixels(picture, |index| chosen.get(index).is_some_and(|is| *is))
    }
}

/// The mapping of one slide's colours to a reference: per CIELAB channel
/// `x' = (x − μ_from) · σ_to / σ_from + μ_to`.
#[derive(Debug, Clone)]
pub struct LabNormaliser {
    scale: [f32; 3],
    offset: [f32; 3],
}

/// Standard deviation (in CIELAB units) below which a picture is flat: it has no contrast to match.
const FLAT: f32 = 0.01;

/// Largest factor by which contrast is increased: the contrast of a nearly flat picture is noise. For stained
/// tissue the factor is less than half of this.
const MAX_CONTRAST_GAIN: f32 = 4.0;

impl LabNormaliser {
    /// Computes the mapping from the statistics of a slide (`from`) to those of a reference (`to`).
    pub fn new(from: LabStatistics, to: LabStatistics) -> Self {
        let scale = std::array::from_fn(|channel| match from.std[channel] {
            flat if flat < FLAT => 1.0,
            std => (to.std[channel] / std).min(MAX_CONTRAST_GAIN),
        });
        let offset = std::array::from_fn(|channel| to.mean[channel] - from.mean[channel] * scale[channel]);
        Self { scale, offset }
    }

    /// Returns scale and offset of each CIELAB channel (L*, a*, b*).
    pub fn mapping(&self) -> ([f32; 3], [f32; 3]) {
        (self.scale, self.offset)
    }

    /// Maps a pixel for display: as [`Self::apply`] does for encoders, except that glass and black, which are
    /// not tissue, keep their colour.
    pub fn shown(&self, rgb: [u8; 3]) -> [u8; 3] {
        let mut mapped = RgbImage::from_pixel(1, 1, image::Rgb(rgb));
        self.apply(&mut mapped);
        let unit = rgb.map(|value| f32::from(value) / 255.0);
        let kept = separation::glassiness(unit).max(separation::blackness(unit));
        let mapped = mapped.get_pixel(0, 0).0.map(f32::from);
        std::array::from_fn(|channel| {
            (mapped[channel] + (f32::from(rgb[channel]) - mapped[channel]) * kept).round() as u8
        })
    }

    /// Maps every pixel of `tile`; values outside sRGB are clipped.
    pub fn apply(&self, tile: &mut RgbImage) {
        let tables = &*TABLES;
        for pixel in tile.as_chunks_mut::<3>().0 {
            let lab = tables.lab_from_srgb(*pixel);
            let mapped = std::array::from_fn(|i| lab[i] * self.scale[i] + self.offset[i]);
            *pixel = tables.srgb_from_lab(mapped);
        }
    }
}

/// Returns the CIELAB values (D65, 2° observer) of an 8-bit sRGB colour: the sRGB transfer function is
/// inverted (IEC 61966-2-1), linear RGB is converted to XYZ relative to the white point, and
/// `L* = 116 f(Y) − 16`, `a* = 500 (f(X) − f(Y))`, `b* = 200 (f(Y) − f(Z))` with `f(t) = ∛t`, or
/// `(903.3 t + 16) / 116` below `t = 0.008856`.
pub fn lab_from_srgb(rgb: [u8; 3]) -> [f32; 3] {
    TABLES.lab_from_srgb(rgb)
}

/// Linear sRGB → XYZ, each row divided by the D65 white point (0.95047, 1, 1.08883).
const XYZ_FROM_RGB: [[f32; 3]; 3] = [
    [0.412_453 / 0.950_47, 0.357_58 / 0.950_47, 0.180_423 / 0.950_47],
    [0.212_671, 0.715_16, 0.072_169],
    [0.019_334 / 1.088_83, 0.119_193 / 1.088_83, 0.950_227 / 1.088_83],
];

/// The inverse of [`XYZ_FROM_RGB`], for XYZ relative to the white point.
const RGB_FROM_XYZ: [[f32; 3]; 3] = [
    [3.240_479 * 0.950_47, -1.537_15, -0.498_535 * 1.088_83],
    [-0.969_256 * 0.950_47, 1.875_992, 0.041_556 * 1.088_83],
    [0.055_648 * 0.950_47, -0.204_043, 1.057_311 * 1.088_83],
];

/// Steps of the table of `f`. With linear interpolation its error is below 1e-5, so that of L* is below 1e-3.
const F_STEPS: usize = 4096;

/// Steps of the table of the sRGB transfer function. Its steepest slope is 12.92, so the error of an entry is
/// at most a tenth of a grey level.
const GAMMA_STEPS: usize = 1 << 15;

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

/// Lookup tables that replace two powers and a cube root per channel and pixel.
struct Tables {
    linear: [f32; 256],
    f: Vec<f32>,
    gamma: Vec<u8>,
}

impl Tables {
    fn new() -> Self {
        let linear = |grey: usize| match grey as f64 / 255.0 {
            value if value <= 0.040_45 => value / 12.92,
            value => ((value + 0.055) / 1.055).powf(2.4),
        };
        let f = |step: usize| match step as f64 / F_STEPS as f64 {
            t if t > 0.008_856 => t.cbrt(),
            t => (903.3 * t + 16.0) / 116.0,
        };
        let gamma = |step: usize| {
            let encoded = match step as f64 / GAMMA_STEPS as f64 {
                value if value <= 0.003_130_8 => value * 12.92,
                value => 1.055 * value.powf(1.0 / 2.4) - 0.055,
            };
            (encoded * 255.0).round() as u8
        };
        Self {
            linear: std::array::from_fn(|grey| linear(grey) as f32),
            // One more entry than steps, since white exceeds 1 by a rounding error.
            f: (0..=F_STEPS + 1).map(|step| f(step) as f32).collect(),
            gamma: (0..=GAMMA_STEPS).map(gamma).collect(),
        }
    }

    fn lab_from_srgb(&self, rgb: [u8; 3]) -> [f32; 3] {
        let linear = rgb.map(|grey| self.linear[usize::from(grey)]);
        let [x, y, z] = times(&XYZ_FROM_RGB, linear).map(|t| {
            let position = t.clamp(0.0, 1.0) * F_STEPS as f32;
            let step = position as usize;
            self.f[step] + (self.f[step + 1] - self.f[step]) * (position - step as f32)
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn srgb_from_lab(&self, [l, a, b]: [f32; 3]) -> [u8; 3] {
        let y = (l + 16.0) / 116.0;
        // The inverse of f, whose two branches meet at f = 0.206893.
        let xyz = [y + a / 500.0, y, y - b / 200.0]
            .map(|f| if f > 0.206_893 { f * f * f } else { (116.0 * f - 16.0) / 903.3 });
        times(&RGB_FROM_XYZ, xyz).map(|linear| {
            let step = (linear.clamp(0.0, 1.0) * GAMMA_STEPS as f32 + 0.5) as usize;
            self.gamma[step]
        })
    }
}

fn times(matrix: &[[f32; 3]; 3], [x, y, z]: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row[0] * x + row[1] * y + row[2] * z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    /// Reference values from Lindbloom's CIE calculator (D65, sRGB).
    #[test]
    fn known_colours() {
        for (rgb, lab) in [
            ([255, 255, 255], [100.0, 0.0, 0.0]),
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 0, 0], [53.24, 80.09, 67.20]),
            ([0, 255, 0], [87.73, -86.18, 83.18]),
            ([0, 0, 255], [32.30, 79.19, -107.86]),
        ] {
            for (found, known) in lab_from_srgb(rgb).into_iter().zip(lab) {
                assert!((found - known).abs() < 0.05, "{rgb:?}: {found} instead of {known}");
            }
        }
    }

    #[test]
    fn every_colour_survives_the_way_there_and_back() {
        for red in (0..=255).step_by(5) {
            for green in (0..=255).step_by(3) {
                for blue in (0..=255).step_by(5) {
                    let rgb = [red, green, blue];
                    assert_eq!(TABLES.srgb_from_lab(lab_from_srgb(rgb)), rgb);
                }
            }
        }
    }

    #[test]
    fn too_few_pixels_have_no_statistics() {
        let picture = RgbImage::from_pixel(20, 20, Rgb([200, 100, 150]));
        assert_eq!(LabStatistics::of_pixels(&picture, |index| index < 99), None);
        let flat = LabStatistics::of_pixels(&picture, |index| index < 100).unwrap();
        assert!(flat.std.iter().all(|std| *std < FLAT), "{flat:?}");
    }

    #[test]
    fn a_flat_picture_takes_the_mean_and_nothing_else() {
        let mut picture = RgbImage::from_pixel(20, 20, Rgb([200, 100, 150]));
        let from = LabStatistics::of_pixels(&picture, |_| true).unwrap();
        let to = LabStatistics { mean: [60.0, 20.0, -10.0], std: [10.0, 5.0, 5.0] };
        LabNormaliser::new(from, to).apply(&mut picture);
        let got = LabStatistics::of_pixels(&picture, |_| true).unwrap();
        for (got, wanted) in got.mean.into_iter().zip(to.mean) {
            assert!((got - wanted).abs() < 0.5, "{got} instead of {wanted}");
        }
    }

    #[test]
    fn a_nearly_flat_picture_is_not_made_noisy_and_glass_stays_glass() {
        let reference = LabStatistics { mean: [75.5, 15.8, -9.8], std: [10.5, 5.5, 4.1] };
        for std in [[0.0; 3], [0.02; 3], [0.5, 0.2, 0.1], [25.0, 12.0, 9.0]] {
            for mean in [[95.0, 1.0, -1.0], [66.0, 30.0, -15.0], [20.0, 0.0, 0.0]] {
                let normaliser = LabNormaliser::new(LabStatistics { mean, std }, reference);
                let (scale, offset) = normaliser.mapping();
                assert!(scale.iter().chain(&offset).all(|value| value.is_finite()));
                assert!(scale.iter().all(|scale| *scale <= 4.0), "{scale:?}");
                for glass in [[255; 3], [244, 243, 246], [246, 246, 240]] {
                    let shown = normaliser.shown(glass);
                    assert!(shown.iter().all(|value| *value >= 235), "{glass:?} becomes {shown:?}");
                }
                for black in [[0; 3], [9, 7, 11], [24; 3]] {
                    let shown = normaliser.shown(black);
                    assert!(shown.iter().all(|value| *value <= 30), "{black:?} becomes {shown:?}");
                }
            }
        }
    }

    fn pictures() -> impl Strategy<Value = RgbImage> {
        // Colours of stained tissue, so that the mapped values stay within sRGB.
        let pixel = (120_u8..200, 80_u8..150, 120_u8..190).prop_map(|(r, g, b)| [r, g, b]);
        proptest::collection::vec(pixel, 400)
            .prop_map(|pixels| RgbImage::from_vec(20, 20, pixels.concat()).unwrap())
    }

    proptest! {
        #[test]
        fn a_picture_normalised_to_itself_stays(picture in pictures()) {
            let statistics = LabStatistics::of_pixels(&picture, |_| true).unwrap();
            let mut mapped = picture.clone();
            LabNormaliser::new(statistics, statistics).apply(&mut mapped);
            for (before, after) in picture.as_raw().iter().zip(mapped.as_raw()) {
                prop_assert!(before.abs_diff(*after) <= 1);
            }
        }

        #[test]
        fn the_result_has_the_references_statistics(picture in pictures(), l in 55f32..65.0, a in 15f32..25.0) {
            let from = LabStatistics::of_pixels(&picture, |_| true).unwrap();
            let to = LabStatistics { mean: [l, a, -12.0], std: [6.0, 4.0, 4.0] };
            let mut mapped = picture;
            LabNormaliser::new(from, to).apply(&mut mapped);
            let got = LabStatistics::of_pixels(&mapped, |_| true).unwrap();
            for channel in 0..3 {
                // Rounding to 8 bits moves values by up to half a grey level.
                prop_assert!((got.mean[channel] - to.mean[channel]).abs() < 0.2, "{:?} {:?}", got, to);
                prop_assert!((got.std[channel] - to.std[channel]).abs() < 0.2, "{:?} {:?}", got, to);
            }
        }
    }
}
