//! Estimation of stain vectors from a region with both stains (Macenko et al. 2009, "A method for normalizing histology
//! slides for quantitative analysis").

use image::RgbImage;
use nalgebra::{Matrix3, SymmetricEigen, Vector3};

use super::separation::densities;
use super::vectors::{StainVectors, VectorError, unit};
use crate::geometry::Level0Rect;
use crate::slide::{SlideError, SlideSource};
use crate::tiling::read_rect_for_view;

/// Optical density (to the base of e) that at least one channel of a stained pixel has: β in the paper.
const FAINTEST: f32 = 0.15;

/// Values below which a channel is too dark for its density to be known: ink, dirt and saturated stain.
const DARKEST: u8 = 6;

/// Share of the pixels beyond each of the two extreme directions that is taken for noise: α in the paper.
const NOISE: f64 = 0.01;

/// Number of stained pixels that is needed.
const FEWEST: usize = 400;

/// Maximum number of pixels that are read of a region.
const MOST_PIXELS: f64 = 2.0e6;

/// Estimates the vectors of the two stains in `picture`, haematoxylin (the one that absorbs more red) first.
///
/// The optical densities of the stained pixels lie near the plane that the two stains span: the one through the two
/// eigenvectors of `Σ od · odᵀ` with the largest eigenvalues. In that plane, the stains are the extreme directions, the
/// 1st and 99th percentile of the angle.
///
/// # Errors
/// [`VectorError::TooFewPixels`]; [`VectorError::TooSimilar`] if there is only one stain.
pub fn estimate(picture: &RgbImage) -> Result<StainVectors, VectorError> {
    let is_stained = |density: &Vector3<f64>| density.max() >= f64::from(FAINTEST);
    let stained: Vec<Vector3<f64>> = picture
        .pixels()
        .filter(|pixel| pixel.0.iter().all(|value| *value >= DARKEST))
        .map(|pixel| densities(pixel.0.map(|value| f32::from(value) / 255.0)))
        .map(|density| Vector3::from(density.map(f64::from)))
        .filter(is_stained)
        .collect();
    if stained.len() < FEWEST {
        return Err(VectorError::TooFewPixels { found: stained.len(), needed: FEWEST });
    }
    let scatter = stained.iter().fold(Matrix3::zeros(), |sum, density| sum + density * density.transpose());
    let eigen = SymmetricEigen::new(scatter);
    let mut order = [0, 1, 2];
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let axis = |rank: usize| -> Vector3<f64> { eigen.eigenvectors.column(order[rank]).into() };
    // All densities are positive, so the first axis can be made to point their way.
    let (along, across) = (axis(0) * axis(0).sum().signum(), axis(1));
    let mut angles: Vec<f64> =
        stained.iter().map(|density| across.dot(density).atan2(along.dot(density))).collect();
    angles.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| angles[((angles.len() - 1) as f64 * share).round() as usize];
    let stain = |angle: f64| -> [f32; 3] {
        let vector = along * angle.cos() + across * angle.sin();
        // Noise can make a channel that hardly absorbs slightly negative.
        unit([0, 1, 2].map(|channel| (vector[channel] as f32).max(0.0)))
    };
    let (first, second) = (stain(at(NOISE)), stain(at(1.0 - NOISE)));
    match first[0] >= second[0] {
        true => StainVectors::of_two(first, second),
        false => StainVectors::of_two(second, first),
    }
}

/// Why stain vectors could not be estimated from a slide.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// The region cannot be read.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// The region does not show two stains.
    #[error(transparent)]
    Vectors(#[from] VectorError),
}

/// Estimates the stain vectors of a slide from `region`. A large region is read at a lower resolution.
///
/// # Errors
/// When the region cannot be read, or as [`estimate`].
pub fn estimate_in(slide: &dyn SlideSource, region: &Level0Rect) -> Result<StainVectors, EstimateError> {
    let (width, height) = (f64::from(region.width), f64::from(region.height));
    let scale = (MOST_PIXELS / (width * height).max(1.0)).sqrt().min(1.0);
    let side = |length: f64| (length * scale).round().max(1.0) as u32;
    let picture = read_rect_for_view(slide, region, side(width), side(height))?;
    Ok(estimate(&picture)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels that hold amounts from 0 to 1.2 of the stains, most of them of one of the two.
    fn stained(vectors: &StainVectors) -> RgbImage {
        let [first, second, _] = vectors.unit_vectors();
        RgbImage::from_fn(120, 100, |x, y| {
            let (a, b) = match x % 4 {
                0 => (0.3 + 0.009 * y as f32, 0.0),
                1 => (0.0, 0.3 + 0.009 * y as f32),
                2 => (0.006 * x as f32, 0.009 * y as f32),
                _ => (0.0, 0.0),
            };
            image::Rgb(std::array::from_fn(|i| {
                (255.0 * (-(a * first[i] + b * second[i])).exp()).round() as u8
            }))
        })
    }

    #[test]
    fn the_stains_of_a_picture_are_found_whatever_they_are() {
        let turquoise = StainVectors::of_two([0.75, 0.3, 0.2], [0.1, 0.5, 0.85]).unwrap();
        for vectors in [StainVectors::HAEMATOXYLIN_EOSIN, StainVectors::HAEMATOXYLIN_DAB, turquoise] {
            let found = estimate(&stained(&vectors)).unwrap().unit_vectors();
            for (found, true_vector) in found.iter().zip(vectors.unit_vectors()).take(2) {
                let cosine: f32 = found.iter().zip(true_vector).map(|(a, b)| a * b).sum();
                let degrees = cosine.clamp(-1.0, 1.0).acos().to_degrees();
                assert!(degrees < 2.0, "{found:?} is {degrees}° from {true_vector:?}");
            }
        }
    }

    #[test]
    fn a_region_without_two_stains_is_refused() {
        let glass = RgbImage::from_pixel(100, 100, image::Rgb([245, 244, 246]));
        assert!(matches!(estimate(&glass), Err(VectorError::TooFewPixels { found: 0, .. })));
        let ink = RgbImage::from_pixel(100, 100, image::Rgb([3, 3, 3]));
        assert!(matches!(estimate(&ink), Err(VectorError::TooFewPixels { .. })));
        let one = RgbImage::from_pixel(100, 100, image::Rgb([120, 90, 160]));
        assert!(matches!(estimate(&one), Err(VectorError::TooSimilar { .. })));
    }
}
