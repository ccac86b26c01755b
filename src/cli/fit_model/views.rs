//! Varied views of a tile: what differs between them tells no tissues apart.

use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::geometry::Level0Rect;
use crate::slide::{SlideError, SlideSource};
use crate::stain::LabNormaliser;
use crate::tiling::read_tile;
use crate::training::augment::{augment, restain};
use crate::training::config::Augmentation;

/// Largest move, as a share of a tile's edge: 20 µm of tiles of 224 µm.
pub const MOVE: f64 = 20.0 / 224.0;

/// Largest factor by which a view is larger or smaller than the tile.
pub const SIZE: f64 = 4.0 / 3.0;

/// Largest relative changes of the amount of each stain: of the views of even numbers, and of odd ones.
pub const STAIN: [f32; 2] = [0.35, 0.6];

/// Mirrored and turned, and nothing else.
const TURNED: Augmentation = Augmentation { flips: true, rotations: true, stain_jitter: 0.0, blur: 0.0 };

/// Reads the varied view of this `number` of the tile `rect`.
///
/// # Errors
/// [`SlideError::Read`] if the pixels cannot be read.
pub fn read_varied(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    tile_px: u32,
    normaliser: Option<&LabNormaliser>,
    number: u32,
    random: &mut ChaCha8Rng,
) -> Result<RgbImage, SlideError> {
    let mut picture = read_tile(slide, &moved(rect, &slide.info().extent(), random), tile_px)?;
    if let Some(normaliser) = normaliser {
        normaliser.apply(&mut picture);
    }
    let mut picture = augment(picture, &TURNED, random);
    restain(&mut picture, STAIN[number as usize % STAIN.len()], random);
    Ok(picture)
}

/// Moves and resizes a tile at random, within the slide.
fn moved(rect: &Level0Rect, slide: &Level0Rect, random: &mut ChaCha8Rng) -> Level0Rect {
    let scale = SIZE.powf(random.random_range(-1.0..=1.0));
    let mut along = |[begin, slide_begin]: [i64; 2], [length, slide_length]: [u32; 2]| {
        let most = MOVE * f64::from(length);
        let middle = begin as f64 + f64::from(length) / 2.0 + random.random_range(-most..=most);
        let edge = ((f64::from(length) * scale).round() as u32).clamp(1, slide_length.max(1));
        let last = slide_begin + i64::from(slide_length) - i64::from(edge);
        let first = (middle - f64::from(edge) / 2.0).round() as i64;
        (first.clamp(slide_begin, last.max(slide_begin)), edge)
    };
    let (x, width) = along([rect.x, slide.x], [rect.width, slide.width]);
    let (y, height) = along([rect.y, slide.y], [rect.height, slide.height]);
    Level0Rect::new(x, y, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn views_are_near_the_tile_of_similar_size_and_on_the_slide() {
        let slide = Level0Rect::new(0, 0, 1000, 900);
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut edges = Vec::new();
        for tile in [Level0Rect::new(400, 300, 224, 224), Level0Rect::new(776, 0, 224, 112)] {
            for _ in 0..200 {
                let view = moved(&tile, &slide, &mut random);
                assert!(view.x >= 0 && view.y >= 0, "{view:?}");
                assert!(view.right() <= 1000 && view.bottom() <= 900, "{view:?}");
                assert!((167..=299).contains(&view.width), "{view:?}");
                let [from, to] = [view.center(), tile.center()];
                // At the edge of the slide a larger view is pushed inwards.
                assert!((from.x - to.x).abs() <= 59.0 && (from.y - to.y).abs() <= 40.0, "{view:?}");
                edges.push(view.width);
            }
        }
        assert!(edges.iter().any(|edge| *edge < 180) && edges.iter().any(|edge| *edge > 280));
        let small = Level0Rect::new(0, 0, 100, 90);
        let whole = moved(&small, &small, &mut random);
        assert!(whole.right() <= 100 && whole.bottom() <= 90, "{whole:?}");
    }
}
