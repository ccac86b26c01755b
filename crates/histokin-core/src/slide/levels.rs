//! Levels of a slide's pyramid, and what their sizes say of their scale.
//!
//! Most formats store the size of each level and nothing of its scale. Writers reduce by whole factors and then cut
//! the last, incomplete pixel off (Aperio, libvips), round, or pad (up to a whole pixel, or up to whole tiles); others
//! resample the whole picture to the size (Pillow, scikit-image). The quotient of the sizes is the scale in the last
//! case only: of a slide 700 px wide that was halved six times 10 px are left, each of 64 and not of 70 level-0 pixels.
//! OpenSlide takes the mean of both axes' quotients, which on a long, thin slide displaces the long axis by many pixels
//! of the level.

use serde::{Deserialize, Serialize};

use crate::geometry::Downsample;

/// One stored level of the pyramid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    pub width: u32,
    pub height: u32,
    /// Level-0 pixels per pixel of this level. Both levels have their top-left corner in common.
    pub downsample: Downsample,
}

impl Level {
    /// Level 0 of `width` × `height` pixels.
    pub fn finest(width: u32, height: u32) -> Self {
        Self { width, height, downsample: Downsample::ONE }
    }

    /// A level of `width` × `height` pixels whose scale is known.
    pub fn with_downsample(width: u32, height: u32, downsample: Downsample) -> Self {
        Self { width, height, downsample }
    }

    /// Whether it is at least as fine as `wanted` along both axes, with a tolerance of 1 % since scanners round their
    /// level sizes.
    pub fn is_fine_enough(&self, wanted: Downsample) -> bool {
        self.downsample.x <= wanted.x * 1.01 && self.downsample.y <= wanted.y * 1.01
    }

    /// A level of `width` × `height` pixels of a slide of `finest` pixels whose scale is not stated.
    ///
    /// The downsample is the whole number by which both axes were reduced, if there is one that explains both sizes
    /// to less than a pixel (a power of two before others, else the one nearest to the longer axis' quotient); else
    /// each axis' own quotient. Where both explanations are possible they differ by less than a pixel of the level.
    pub fn of_size(finest: (u32, u32), width: u32, height: u32) -> Self {
        let quotient = Downsample {
            x: f64::from(finest.0) / f64::from(width.max(1)),
            y: f64::from(finest.1) / f64::from(height.max(1)),
        };
        let longer = if finest.0 >= finest.1 { quotient.x } else { quotient.y };
        let explains = |whole: f64| {
            let off_by = |finest: u32, size: u32| (f64::from(finest) / whole - f64::from(size)).abs();
            off_by(finest.0, width) < 1.0 && off_by(finest.1, height) < 1.0
        };
        let candidates = [longer.log2().round().exp2(), longer.round(), longer.floor(), longer.ceil()];
        let whole = candidates.into_iter().find(|whole| *whole >= 1.0 && explains(*whole));
        Self { width, height, downsample: whole.map_or(quotient, Downsample::square) }
    }
}

/// Levels from their sizes, finest first. `tile` gives the size of a level's tiles, if it has any.
///
/// As [`Level::of_size`]; in addition levels are recognised whose sizes are those of their whole tiles, edge tiles
/// included, as Philips writes them. Their scale doubles from level to level.
pub fn levels_of_sizes(sizes: &[(u32, u32)], tile: impl Fn(usize) -> Option<(u32, u32)>) -> Vec<Level> {
    let Some(&finest) = sizes.first() else { return Vec::new() };
    let mut levels = vec![Level::finest(finest.0, finest.1)];
    let mut padded_before = false;
    let is_padded = |(width, height): (u32, u32), (tile_width, tile_height): (u32, u32)| {
        tile_width > 0 && tile_height > 0 && width % tile_width == 0 && height % tile_height == 0
    };
    for (index, &(width, height)) in sizes.iter().enumerate().skip(1) {
        let derived = Level::of_size(finest, width, height);
        let doubled = levels[index - 1].downsample.x * 2.0;
        let explains = |(tile_width, tile_height): (u32, u32)| {
            let padded = |size: u32, tile: u32| {
                (f64::from(size) / doubled / f64::from(tile)).ceil().max(1.0) * f64::from(tile)
            };
            is_padded(finest, (tile_width, tile_height))
                && padded(finest.0, tile_width) == f64::from(width)
                && padded(finest.1, tile_height) == f64::from(height)
        };
        let is_explained = derived.downsample == Downsample::square(derived.downsample.x.round());
        // Sizes of whole tiles may happen to be a whole part of level 0; where one level is padded, all are.
        padded_before = tile(index).is_some_and(|tile| (padded_before || !is_explained) && explains(tile));
        levels.push(match padded_before {
            true => Level::with_downsample(width, height, Downsample::square(doubled)),
            false => derived,
        });
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn downsample(finest: (u32, u32), size: (u32, u32)) -> (f64, f64) {
        let level = Level::of_size(finest, size.0, size.1);
        (level.downsample.x, level.downsample.y)
    }

    #[test]
    fn sizes_that_were_cut_off_rounded_or_padded_tell_the_whole_factor() {
        // A long, thin core, halved six times.
        assert_eq!(downsample((40_000, 700), (625, 10)), (64.0, 64.0));
        assert_eq!(downsample((700, 40_000), (11, 625)), (64.0, 64.0));
        // Aperio: 1:4, 1:16.
        assert_eq!(downsample((46_000, 32_914), (11_500, 8228)), (4.0, 4.0));
        assert_eq!(downsample((46_000, 32_914), (2875, 2057)), (16.0, 16.0));
        // Steps of three.
        assert_eq!(downsample((5000, 1000), (185, 37)), (27.0, 27.0));
        assert_eq!(downsample((1, 1), (1, 1)), (1.0, 1.0));
    }

    #[test]
    fn sizes_that_no_whole_factor_explains_give_each_axis_its_own() {
        assert_eq!(downsample((1000, 500), (400, 200)), (2.5, 2.5));
        assert_eq!(downsample((1000, 500), (500, 125)), (2.0, 4.0));
        let (x, y) = downsample((10_000, 9000), (2490, 2250));
        assert!((x - 10_000.0 / 2490.0).abs() < 1e-12 && y == 4.0);
    }

    #[test]
    fn levels_padded_to_whole_tiles_double_their_scale() {
        let sizes = [(4608, 1536), (2560, 1024), (1536, 512), (1024, 512), (512, 512)];
        let levels = levels_of_sizes(&sizes, |_| Some((512, 512)));
        let scales: Vec<f64> = levels.iter().map(|level| level.downsample.x).collect();
        assert_eq!(scales, [1.0, 2.0, 4.0, 8.0, 16.0]);
        assert!(levels.iter().all(|level| level.downsample.x == level.downsample.y));
        // Without tiles nothing but the quotients is known.
        assert_eq!(levels_of_sizes(&sizes, |_| None)[1].downsample.x, 1.8);
        assert_eq!(levels_of_sizes(&[], |_| None), []);
    }

    proptest! {
        /// However a writer rounds while it halves, pixels are found to less than two pixels of the level, which
        /// only levels of one or two pixels need.
        #[test]
        fn repeated_halving_is_recognised(
            width in 1_u32..60_000, height in 1_u32..60_000, levels in 1_u32..9, way in 0..3_u8,
        ) {
            let halve = |size: u32| match way {
                0 => (size / 2).max(1),
                1 => size.div_ceil(2),
                _ => ((f64::from(size) / 2.0).round() as u32).max(1),
            };
            let (mut w, mut h) = (width, height);
            for _ in 0..levels {
                (w, h) = (halve(w), halve(h));
            }
            let level = Level::of_size((width, height), w, h);
            let scale = f64::from(1_u32 << levels);
            for (size, found) in [(width, level.downsample.x), (height, level.downsample.y)] {
                let apart = (f64::from(size) / scale - f64::from(size) / found).abs();
                prop_assert!(apart < 2.0, "{apart} pixels of the level");
                if f64::from(size) > 4.0 * scale {
                    prop_assert!(apart < 1.0 + 1e-9, "{apart} pixels of the level");
                }
            }
            if f64::from(width.max(height)) > 4.0 * scale * scale {
                prop_assert_eq!(level.downsample, Downsample::square(scale));
            }
        }
    }
}
