//! Colour deconvolution: the amount of each stain in a pixel, and the colour of the pixel with one stain
//! alone (Ruifrok and Johnston 2001, "Quantification of histochemical staining by color deconvolution").

use image::RgbImage;

use super::vectors::{StainVectors, cross, dot};

/// Lower bound of pixel values, to keep the optical density finite: 1 of 255.
const DARKEST: f32 = 1.0 / 255.0;

/// Optical density, to the base of 10, that is shown as black. The densest nuclei and the densest DAB reach 1 to 1.5.
pub const DARKEST_DENSITY: f32 = 1.5;

/// Optical density `−ln(value)` of each channel of a pixel (sRGB, 0 to 1), at most 5.54. The sRGB values are taken as
/// transmitted light, as Ruifrok and Johnston, ImageJ, QuPath and scikit-image do.
pub fn densities(rgb: [f32; 3]) -> [f32; 3] {
    rgb.map(|value| -value.max(DARKEST).ln())
}

/// How the amount of one stain is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShownAs {
    /// As the slide would look with this stain alone.
    #[default]
    Colour,
    /// As grey: white without the stain, black at an optical density of [`DARKEST_DENSITY`].
    Density,
}

/// Extraction of one stain from a pixel. The optical density `od = −ln(rgb)` of a pixel is modelled as
/// `c₁ · s₁ + c₂ · s₂ + c₃ · s₃`, with the unit vectors `s` of the stains. The amount is `c = max(0, amount · od)`, and
/// the colour of the stain alone is `exp(−c · colour)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Separation {
    /// Row of the inverse stain matrix that yields the amount of this stain.
    pub amount: [f32; 3],
    /// Unit vector of the optical density of this stain in red, green and blue.
    pub colour: [f32; 3],
    /// Whether black, which in haematoxylin and eosin is ink or dirt, stays dark ([`blackness`]). Dense DAB is nearly
    /// black.
    pub keeps_black: bool,
}

impl Separation {
    /// Computes the extraction of the stain of this index (0 to 2).
    pub fn new(vectors: &StainVectors, index: usize, keeps_black: bool) -> Self {
        let [first, second, third] = vectors.unit_vectors();
        // Rows of the inverse of the matrix with the stains as columns: cross products over the determinant.
        let determinant = dot(first, cross(second, third));
        let (colour, row) = match index {
            0 => (first, cross(second, third)),
            1 => (second, cross(third, first)),
            _ => (third, cross(first, second)),
        };
        Self { amount: row.map(|value| value / determinant), colour, keeps_black }
    }

    /// Returns the amount of the stain in a pixel (sRGB, 0 to 1), as the length of its vector of optical densities to the
    /// base of e; not negative.
    pub fn amount_in(&self, rgb: [f32; 3]) -> f32 {
        dot(self.amount, densities(rgb)).max(0.0)
    }

    /// Returns the colour of a pixel (sRGB, 0 to 1) with this stain alone.
    pub fn apply(&self, rgb: [f32; 3]) -> [f32; 3] {
        let amount = self.amount_in(rgb);
        let alone = self.colour.map(|colour| (-amount * colour).exp());
        let kept = if self.keeps_black { blackness(rgb) } else { 0.0 };
        std::array::from_fn(|channel| alone[channel] + (rgb[channel] - alone[channel]) * kept)
    }

    /// Returns the grey (0 to 1) that shows the amount of the stain as an optical density.
    pub fn grey(&self, rgb: [f32; 3]) -> f32 {
        1.0 - dot(self.density_weights(), densities(rgb)).clamp(0.0, 1.0)
    }

    /// Weights of the optical densities whose sum is the darkness (0 to 1) with which the stain is shown as a density.
    pub fn density_weights(&self) -> [f32; 3] {
        self.amount.map(|weight| weight / (DARKEST_DENSITY * std::f32::consts::LN_10))
    }

    /// Shows every pixel of `picture` with this stain alone.
    pub fn show(&self, picture: &mut RgbImage, shown_as: ShownAs) {
        for pixel in picture.pixels_mut() {
            let rgb = pixel.0.map(|value| f32::from(value) / 255.0);
            let shown = match shown_as {
                ShownAs::Colour => self.apply(rgb),
                ShownAs::Density => [self.grey(rgb); 3],
            };
            pixel.0 = shown.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8);
        }
    }
}

/// Returns to what degree (0 to 1) a pixel (sRGB, 0 to 1) is black rather than stained, from its lightest
/// channel: in stained tissue that channel is lighter.
pub fn blackness(rgb: [f32; 3]) -> f32 {
    1.0 - smoothstep(0.10, 0.22, rgb[0].max(rgb[1]).max(rgb[2]))
}

/// Returns to what degree (0 to 1) a pixel (sRGB, 0 to 1) is glass rather than stained, from its darkest
/// channel: in all but the palest tissue that channel is darker.
pub fn glassiness(rgb: [f32; 3]) -> f32 {
    smoothstep(0.86, 0.94, rgb[0].min(rgb[1]).min(rgb[2]))
}

/// Returns 0 below `from`, 1 above `to`, and a Hermite interpolation in between, like the WGSL function of
/// this name.
fn smoothstep(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(vectors: &StainVectors, amounts: [f32; 2]) -> [f32; 3] {
        let [first, second, _] = vectors.unit_vectors();
        std::array::from_fn(|i| (-(amounts[0] * first[i] + amounts[1] * second[i])).exp())
    }

    #[test]
    fn a_mixture_comes_apart_into_what_it_was_made_of() {
        for vectors in [StainVectors::HAEMATOXYLIN_EOSIN, StainVectors::HAEMATOXYLIN_DAB] {
            for [a, b] in [[0.0, 0.0], [1.2, 0.0], [0.0, 0.8], [0.7, 0.5], [1.5, 1.0]] {
                for (index, alone) in [[a, 0.0], [0.0, b]].into_iter().enumerate() {
                    let separation = Separation::new(&vectors, index, false);
                    let found = separation.apply(mixed(&vectors, [a, b]));
                    for (found, alone) in found.into_iter().zip(mixed(&vectors, alone)) {
                        assert!((found - alone).abs() < 1e-4, "{index} of {a} and {b}: {found} for {alone}");
                    }
                    assert!((separation.amount_in(mixed(&vectors, [a, b])) - alone[index]).abs() < 1e-4);
                }
                let residual = Separation::new(&vectors, 2, false).amount_in(mixed(&vectors, [a, b]));
                assert!(residual < 1e-4, "{residual}");
            }
        }
    }

    #[test]
    fn glass_stays_light_and_black_stays_dark() {
        for index in 0..2 {
            let separation = Separation::new(&StainVectors::HAEMATOXYLIN_EOSIN, index, true);
            assert_eq!(separation.apply([1.0; 3]), [1.0; 3]);
            assert_eq!(separation.apply([0.0; 3]), [0.0; 3]);
            assert!(separation.apply([0.07, 0.05, 0.09]).iter().all(|value| *value < 0.1));
            let glass = separation.apply([244.0, 243.0, 246.0].map(|value| value / 255.0));
            assert!(glass.iter().all(|value| *value > 235.0 / 255.0), "{index}: {glass:?}");
            for grey in 0..=255 {
                let shown = separation.apply([grey as f32 / 255.0; 3]);
                assert!(
                    shown.iter().all(|value| (0.0..=1.0).contains(value)),
                    "{index} of {grey}: {shown:?}"
                );
            }
        }
    }

    #[test]
    fn a_density_is_shown_from_white_to_black() {
        let dab = Separation::new(&StainVectors::HAEMATOXYLIN_DAB, 1, false);
        let grey = |density: f32| {
            dab.grey(mixed(&StainVectors::HAEMATOXYLIN_DAB, [0.4, density * std::f32::consts::LN_10]))
        };
        assert!((grey(0.0) - 1.0).abs() < 1e-4 && (grey(0.75) - 0.5).abs() < 1e-3 && grey(1.6) < 1e-3);
        let mut picture = RgbImage::from_pixel(2, 1, image::Rgb([120, 80, 50]));
        dab.show(&mut picture, ShownAs::Density);
        let [r, g, b] = picture.get_pixel(0, 0).0;
        assert!(r == g && g == b && r < 255);
    }
}
