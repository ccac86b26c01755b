//! Conversion of a pixel's samples to 8-bit RGBA.

use super::Refusal;
use super::opaque::opaque;
use super::page::{Page, SampleFormat};
use super::samples::{Packing, Samples};

/// Meaning of a pixel's samples.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::slide) enum Model {
    Grey {
        is_inverted: bool,
    },
    Rgb,
    /// Indices into a table of colours.
    Palette(Vec<[u8; 3]>),
    /// Cyan, magenta, yellow and black, as amounts of ink.
    Cmyk,
    /// CIE L*a*b* under D50.
    Lab {
        /// Whether a* and b* are signed (CIELab); otherwise half of their range is 0 (ICCLab).
        is_signed: bool,
    },
}

/// Meaning of the sample after the colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) enum Alpha {
    /// There is no alpha.
    None,
    /// Colours are not multiplied by alpha.
    Straight,
    /// Colours are multiplied by alpha.
    Premultiplied,
}

/// Mapping of sample values to shades from 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::slide) enum Range {
    /// Integers with this number of bits, reduced to the highest eight.
    Bits(u32),
    /// From the first value, which is black, to the second, which is white.
    Window(f32, f32),
}

/// How the pixels of a slide are converted to colours.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::slide) struct Rendering {
    /// Meaning of the samples.
    pub model: Model,
    /// Meaning of the sample after the colours.
    pub alpha: Alpha,
    /// Mapping of sample values to shades.
    pub range: Range,
    /// Samples per pixel in total, including unused ones.
    pub samples: usize,
}

impl Rendering {
    /// Derives the rendering from the tags of `page`. `is_rgb_already` is set for codecs that convert YCbCr
    /// to RGB; `map` is the colour map.
    ///
    /// # Errors
    /// [`Refusal`] with the kind of image, when it cannot be shown.
    pub fn of(
        page: &Page,
        packing: Packing,
        is_rgb_already: bool,
        map: Option<&[u64]>,
    ) -> Result<Self, Refusal> {
        let samples = page.samples as usize;
        let model = match (page.photometric, samples) {
            (Some(0), _) => Model::Grey { is_inverted: true },
            (Some(1) | None, _) => Model::Grey { is_inverted: false },
            (Some(2), 3..) => Model::Rgb,
            (Some(6), 3..) if is_rgb_already => Model::Rgb,
            (Some(3), 1..) => palette(map, packing)?,
            (Some(5), 4..) if page.ink_set == 1 => Model::Cmyk,
            (Some(8 | 9), 3..)
                if packing.format == SampleFormat::Unsigned && matches!(packing.bits, 8 | 16) =>
            {
                Model::Lab { is_signed: page.photometric == Some(8) }
            }
            (photometric, _) => return Err(Refusal::Unsupported(kind(photometric, page))),
        };
        let colours = match model {
            Model::Grey { .. } | Model::Palette(_) => 1,
            Model::Rgb | Model::Lab { .. } => 3,
            Model::Cmyk => 4,
        };
        let alpha = match page.extra_samples.first() {
            Some(1) if samples > colours => Alpha::Premultiplied,
            Some(2) if samples > colours => Alpha::Straight,
            _ => Alpha::None,
        };
        let range = match (packing.format, packing.bits) {
            (SampleFormat::Unsigned, bits @ 1..=16) => Range::Bits(bits),
            _ => Range::Window(0.0, 1.0),
        };
        Ok(Self { model, alpha, range, samples })
    }

    /// Number of samples per pixel that are colours.
    pub fn colours(&self) -> usize {
        match self.model {
            Model::Grey { .. } | Model::Palette(_) => 1,
            Model::Rgb | Model::Lab { .. } => 3,
            Model::Cmyk => 4,
        }
    }

    /// Whether the first three samples are the colours as they are shown, without alpha.
    pub fn is_plain_rgb(&self) -> bool {
        self.model == Model::Rgb && self.alpha == Alpha::None && self.range == Range::Bits(8)
    }

    /// Converts all pixels in `samples` to RGBA with straight alpha.
    pub fn rgba(&self, samples: &Samples) -> Vec<u8> {
        if let Samples::U8(all) = samples
            && self.is_plain_rgb()
        {
            let mut out = vec![0; all.len() / self.samples * 4];
            opaque(all, self.samples, &mut out);
            return out;
        }
        match samples {
            Samples::U8(all) => {
                let table = self.range.table::<256>();
                self.pixels(all, |sample| table[usize::from(sample)], usize::from)
            }
            Samples::U16(all) => {
                let table = self.range.table::<65_536>();
                self.pixels(all, |sample| table[usize::from(sample)], usize::from)
            }
            Samples::F32(all) => self.pixels(all, |sample| self.range.shade(sample), |index| index as usize),
        }
    }

    fn pixels<T: Copy>(&self, all: &[T], shade: impl Fn(T) -> u8, index: impl Fn(T) -> usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(all.len() / self.samples * 4);
        for pixel in all.chunks_exact(self.samples) {
            let rgb = match &self.model {
                Model::Grey { is_inverted: false } => [shade(pixel[0]); 3],
                Model::Grey { is_inverted: true } => [255 - shade(pixel[0]); 3],
                Model::Rgb => [shade(pixel[0]), shade(pixel[1]), shade(pixel[2])],
                Model::Palette(colours) => colours.get(index(pixel[0])).copied().unwrap_or_default(),
                Model::Cmyk => rgb_of_cmyk([0, 1, 2, 3].map(|ink| shade(pixel[ink]))),
                Model::Lab { is_signed } => rgb_of_lab([0, 1, 2].map(|axis| shade(pixel[axis])), *is_signed),
            };
            let alpha = match self.alpha {
                Alpha::None => 255,
                _ => shade(pixel[self.colours()]),
            };
            out.extend_from_slice(&match (alpha, self.alpha) {
                (255, _) => [rgb[0], rgb[1], rgb[2], 255],
                (0, _) => [0; 4],
                (_, Alpha::Premultiplied) => {
                    let [r, g, b] = rgb.map(|channel| straight(channel, alpha));
                    [r, g, b, alpha]
                }
                _ => [rgb[0], rgb[1], rgb[2], alpha],
            });
        }
        out
    }
}

impl Range {
    /// Returns the shade (0 to 255) of a sample value.
    pub fn shade(self, number: f32) -> u8 {
        match self {
            Self::Bits(bits) => {
                let whole = number as u32;
                match bits {
                    8.. => (whole >> (bits - 8)).min(255) as u8,
                    _ => (whole * 255 / ((1 << bits) - 1)).min(255) as u8,
                }
            }
            // NaN becomes 0.
            Self::Window(low, high) => ((number - low) / (high - low) * 255.0).round() as u8,
        }
    }

    /// Returns the shades of all integers below `LENGTH`.
    fn table<const LENGTH: usize>(self) -> Vec<u8> {
        (0..LENGTH).map(|number| self.shade(number as f32)).collect()
    }
}

/// Divides a channel by the alpha with which it was multiplied.
fn straight(channel: u8, alpha: u8) -> u8 {
    let rounded = (u32::from(channel) * 255 + u32::from(alpha) / 2) / u32::from(alpha.max(1));
    rounded.min(255) as u8
}

/// Converts inks without a profile: each ink absorbs its share of light, and black absorbs all colours.
fn rgb_of_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let paper = 255 - u32::from(k);
    [c, m, y].map(|ink| ((paper * (255 - u32::from(ink)) + 127) / 255) as u8)
}

/// Converts L*a*b* under D50, in the highest eight bits of each sample, to sRGB, for which colours are adapted to D65
/// (Bradford).
fn rgb_of_lab([l, a, b]: [u8; 3], is_signed: bool) -> [u8; 3] {
    /// X and Z of D50; Y is 1.
    const WHITE: [f32; 2] = [0.9642, 0.8249];
    /// From XYZ under D50 to linear sRGB.
    const LINEAR: [[f32; 3]; 3] = [
        [3.133_856, -1.616_867, -0.490_615],
        [-0.978_768, 1.916_142, 0.033_454],
        [0.071_945, -0.228_991, 1.405_243],
    ];
    let axis = |byte: u8| if is_signed { f32::from(byte.cast_signed()) } else { f32::from(byte) - 128.0 };
    let y = (f32::from(l) / 2.55 + 16.0) / 116.0;
    let cubed =
        |root: f32| if root > 6.0 / 29.0 { root.powi(3) } else { (root - 4.0 / 29.0) * 108.0 / 841.0 };
    let xyz = [WHITE[0] * cubed(y + axis(a) / 500.0), cubed(y), WHITE[1] * cubed(y - axis(b) / 200.0)];
    LINEAR.map(|row| {
        let linear: f32 = row.iter().zip(xyz).map(|(weight, value)| weight * value).sum();
        let shown =
            if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        (shown * 255.0).round() as u8
    })
}

fn palette(map: Option<&[u64]>, packing: Packing) -> Result<Model, String> {
    let map = map.ok_or("it has indices into a palette, but no palette")?;
    if packing.format != SampleFormat::Unsigned || packing.bits > 16 {
        return Err("it has indices into a palette that are not integers".to_owned());
    }
    let entries = map.len() / 3;
    // Some writers use only 8 of the 16 bits.
    let shift = if map.iter().all(|value| *value < 256) { 0 } else { 8 };
    let channel = |at: usize| (map[at] >> shift).min(255) as u8;
    Ok(Model::Palette((0..entries).map(|at| [at, at + entries, at + 2 * entries].map(channel)).collect()))
}

/// Describes the kind of image that cannot be shown, for display.
fn kind(photometric: Option<u64>, page: &Page) -> String {
    let name = match photometric {
        Some(2) => format!("RGB with {} samples per pixel", page.samples),
        Some(4) => "a transparency mask".to_owned(),
        Some(5) => "inks other than CMYK".to_owned(),
        Some(6) => format!("YCbCr colours that are compressed with {}", super::codec::name(page.compression)),
        Some(8..=10) => "CIE L*a*b* colours of this kind".to_owned(),
        Some(32803 | 34892) => "a camera's raw sensor data".to_owned(),
        Some(32844 | 32845) => "LogL or LogLuv colours".to_owned(),
        Some(51177) => "a depth map".to_owned(),
        other => format!("photometric interpretation {}", other.unwrap_or_default()),
    };
    format!("this kind of image cannot be shown: {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendering(model: Model, alpha: Alpha, range: Range, samples: usize) -> Rendering {
        Rendering { model, alpha, range, samples }
    }

    #[test]
    fn whole_numbers_are_cut_to_eight_bits() {
        for (bits, number, shade) in [
            (8, 200, 200),
            (12, 4080, 255),
            (12, 16 * 77, 77),
            (16, 257 * 9, 9),
            (1, 1, 255),
            (4, 15, 255),
            (2, 1, 85),
        ] {
            assert_eq!(Range::Bits(bits).shade(number as f32), shade, "{number} of {bits} bits");
        }
        assert_eq!(Range::Bits(12).shade(60_000.0), 255);
    }

    #[test]
    fn numbers_without_bounds_are_put_into_their_window() {
        let window = Range::Window(-1.0, 1.0);
        assert_eq!([-7.0, -1.0, 0.0, 1.0, 9.0, f32::NAN].map(|n| window.shade(n)), [0, 0, 128, 255, 255, 0]);
    }

    #[test]
    fn alpha_is_straight_in_the_end() {
        let samples = Samples::U8(vec![100, 50, 0, 128, 9, 9, 9, 0]);
        let of = |alpha| rendering(Model::Rgb, alpha, Range::Bits(8), 4).rgba(&samples);
        assert_eq!(of(Alpha::Straight), [100, 50, 0, 128, 0, 0, 0, 0]);
        assert_eq!(of(Alpha::Premultiplied), [199, 100, 0, 128, 0, 0, 0, 0]);
        assert_eq!(of(Alpha::None), [100, 50, 0, 255, 9, 9, 9, 255]);
    }

    #[test]
    fn lab_becomes_the_colours_of_a_colour_management_system() {
        // By LittleCMS, through Pillow: 223, 159, 199 is 185, 29, -11 of 255, 128, 128.
        let signed = rendering(Model::Lab { is_signed: true }, Alpha::None, Range::Bits(8), 3);
        let found = signed.rgba(&Samples::U8(vec![185, 29, 245, 255, 0, 0, 0, 0, 0]));
        assert_eq!(found.len(), 12);
        for (found, expected) in found.iter().zip([223, 159, 199, 255, 255, 255, 255, 255, 0, 0, 0, 255]) {
            assert!(found.abs_diff(expected) <= 2, "{found} instead of {expected}");
        }
        let offset = rendering(Model::Lab { is_signed: false }, Alpha::None, Range::Bits(8), 3);
        assert_eq!(offset.rgba(&Samples::U8(vec![185, 157, 117])), found[..4]);
        let wide = rendering(Model::Lab { is_signed: true }, Alpha::None, Range::Bits(16), 3);
        assert_eq!(wide.rgba(&Samples::U16(vec![185 << 8, 29 << 8, 245 << 8])), found[..4]);
    }

    #[test]
    fn inks_and_palettes_become_colours() {
        let inks = rendering(Model::Cmyk, Alpha::None, Range::Bits(8), 4);
        assert_eq!(
            inks.rgba(&Samples::U8(vec![0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255])),
            [255, 255, 255, 255, 0, 255, 255, 255, 0, 0, 0, 255]
        );
        let map = [[0, 65_535], [0, 256], [512, 0]].concat();
        let packing = Packing::of(8, SampleFormat::Unsigned).unwrap();
        let model = palette(Some(&map), packing).unwrap();
        assert_eq!(model, Model::Palette(vec![[0, 0, 2], [255, 1, 0]]));
        let indexed = rendering(model, Alpha::None, Range::Bits(8), 1);
        assert_eq!(indexed.rgba(&Samples::U8(vec![1, 7])), [255, 1, 0, 255, 0, 0, 0, 255]);
        let white = rendering(Model::Grey { is_inverted: true }, Alpha::None, Range::Bits(1), 1);
        assert_eq!(white.rgba(&Samples::U8(vec![1, 0])), [0, 0, 0, 255, 255, 255, 255, 255]);
    }
}
