//! Augmentation: random changes to tiles, so that the network learns tissue and not its colour, orientation
//! or focus.

use std::sync::LazyLock;

use image::{RgbImage, imageops};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::config::Augmentation;

/// Changes a tile at random, as far as `settings` allow: mirrors and rotates it, changes the amount of each
/// stain, and blurs it slightly.
pub fn augment(mut tile: RgbImage, settings: &Augmentation, random: &mut ChaCha8Rng) -> RgbImage {
    // All random numbers are drawn whatever is on, so that switching one change off does not affect the
    // others.
    let (mirror, turns) = (random.random_bool(0.5), random.random_range(0..4));
    let change: [f32; 6] = std::array::from_fn(|_| random.random_range(-1.0..=1.0));
    let (blurred, sigma) = (random.random_range(0.0..1.0) < settings.blur, random.random_range(0.3..=1.0));
    if settings.flips && mirror {
        imageops::flip_horizontal_in_place(&mut tile);
    }
    if settings.rotations {
        tile = match turns {
            1 => imageops::rotate90(&tile),
            2 => imageops::rotate180(&tile),
            3 => imageops::rotate270(&tile),
            _ => tile,
        };
    }
    if settings.stain_jitter > 0.0 {
        let jitter = settings.stain_jitter as f32;
        let [a, b, c, d, e, f] = change.map(|change| change * jitter);
        // Shifts are smaller than changes of scale, since a shift also stains unstained areas.
        jitter_stains(&mut tile, [1.0 + a, 1.0 + b, 1.0 + c], [d, e, f].map(|shift| shift * 0.1));
    }
    if blurred {
        tile = imageops::fast_blur(&tile, sigma);
    }
    tile
}

/// Scales the amount of each stain by 1 − `most` to 1 + `most`, and shifts it by up to 0.04 (natural logarithm of
/// transmittance), both at random.
pub fn restain(tile: &mut RgbImage, most: f32, random: &mut ChaCha8Rng) {
    /// Largest shift, as a decadic optical density.
    const SHIFT: f32 = 0.04 * std::f32::consts::LOG10_E;
    let scale = std::array::from_fn(|_| random.random_range(1.0 - most..=1.0 + most));
    let shift = std::array::from_fn(|_| random.random_range(-SHIFT..=SHIFT));
    jitter_stains(tile, scale, shift);
}

/// Optical densities of haematoxylin, eosin and DAB in red, green and blue (Ruifrok and Johnston 2001,
/// "Quantification of histochemical staining by color deconvolution"), each row of length 1.
const RGB_FROM_HED: [[f32; 3]; 3] = [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]];

/// Optical density of each grey level, `−log₁₀((grey + 1) / 256)`, which is finite for black.
static DENSITY: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|grey| -((grey as f32 + 1.0) / 256.0).log10()));

/// Scales and shifts the amount of each stain (Tellez et al. 2018, "Whole-slide mitosis detection … using
/// PHH3 as a reference", section III-E).
fn jitter_stains(tile: &mut RgbImage, scale: [f32; 3], shift: [f32; 3]) {
    static HED_FROM_RGB: LazyLock<[[f32; 3]; 3]> = LazyLock::new(|| inverse(&RGB_FROM_HED));
    // Three linear maps are combined into one: to stains, change, and back.
    let changed: [[f32; 3]; 3] =
        std::array::from_fn(|row| std::array::from_fn(|stain| HED_FROM_RGB[row][stain] * scale[stain]));
    let map: [[f32; 3]; 3] = std::array::from_fn(|row| times(&changed[row], &RGB_FROM_HED));
    let offset = times(&shift, &RGB_FROM_HED);
    let density = &*DENSITY;
    for pixel in tile.as_chunks_mut::<3>().0 {
        let before = pixel.map(|grey| density[usize::from(grey)]);
        let after = times(&before, &map);
        *pixel = std::array::from_fn(|channel| {
            (256.0 * 10.0_f32.powf(-(after[channel] + offset[channel])) - 1.0).round().clamp(0.0, 255.0) as u8
        });
    }
}

/// Product of a row vector and a matrix.
fn times(row: &[f32; 3], matrix: &[[f32; 3]; 3]) -> [f32; 3] {
    std::array::from_fn(|column| (0..3).map(|index| row[index] * matrix[index][column]).sum())
}

fn inverse(m: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f32 = (0..3).map(|column| m[0][column] * minor(0, column)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| minor(column, row) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn tile() -> RgbImage {
        RgbImage::from_fn(32, 32, |x, y| {
            image::Rgb([150 + (x * 3) as u8, 60 + (y * 4) as u8, 140 + (x + y) as u8])
        })
    }

    #[test]
    fn one_seed_gives_one_tile_and_another_another() {
        let make = |seed| augment(tile(), &Augmentation::default(), &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(make(4), make(4));
        assert_ne!(make(4), make(5));
    }

    #[test]
    fn nothing_switched_on_changes_nothing() {
        let off = Augmentation { flips: false, rotations: false, stain_jitter: 0.0, blur: 0.0 };
        for seed in 0..20 {
            assert_eq!(augment(tile(), &off, &mut ChaCha8Rng::seed_from_u64(seed)), tile());
        }
    }

    #[test]
    fn flips_and_turns_give_all_eight_positions() {
        let settings = Augmentation { stain_jitter: 0.0, blur: 0.0, ..Augmentation::default() };
        let mut seen: Vec<Vec<u8>> = (0..200)
            .map(|seed| augment(tile(), &settings, &mut ChaCha8Rng::seed_from_u64(seed)).into_raw())
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn other_amounts_of_stains_are_within_the_limit() {
        let densities = |picture: &RgbImage| -> f32 {
            picture.as_raw().iter().map(|grey| DENSITY[usize::from(*grey)]).sum::<f32>()
        };
        let grey = RgbImage::from_pixel(8, 8, image::Rgb([120, 80, 130]));
        let mut seen = Vec::new();
        for seed in 0..40 {
            let mut changed = grey.clone();
            restain(&mut changed, 0.35, &mut ChaCha8Rng::seed_from_u64(seed));
            seen.push(densities(&changed) / densities(&grey));
        }
        assert!(seen.iter().all(|ratio| (0.4..1.7).contains(ratio)), "{seen:?}");
        assert!(seen.iter().any(|ratio| *ratio > 1.1) && seen.iter().any(|ratio| *ratio < 0.9), "{seen:?}");
        let mut white = RgbImage::from_pixel(4, 4, image::Rgb([255; 3]));
        restain(&mut white, 0.6, &mut ChaCha8Rng::seed_from_u64(1));
        assert!(white.as_raw().iter().all(|grey| *grey > 220), "glass stays light");
    }

    #[test]
    fn unchanged_stains_are_the_same_picture_and_more_of_them_is_darker() {
        let mut same = tile();
        jitter_stains(&mut same, [1.0; 3], [0.0; 3]);
        for (a, b) in same.as_raw().iter().zip(tile().as_raw()) {
            assert!(a.abs_diff(*b) <= 1);
        }
        let mut more = tile();
        jitter_stains(&mut more, [1.2; 3], [0.0; 3]);
        let sum = |picture: &RgbImage| picture.as_raw().iter().map(|grey| u64::from(*grey)).sum::<u64>();
        assert!(sum(&more) < sum(&tile()));
        let mut white = RgbImage::from_pixel(4, 4, image::Rgb([255; 3]));
        jitter_stains(&mut white, [0.8, 1.2, 1.1], [0.0; 3]);
        assert!(white.as_raw().iter().all(|grey| *grey == 255));
    }
}
