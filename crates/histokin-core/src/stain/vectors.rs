//! Stain vectors: the optical densities of each stain of a slide in red, green and blue.

use serde::{Deserialize, Serialize};

use crate::number_format::{decimal, grouped, plain};

/// Smallest angle in degrees between two stains that can be separated.
const SMALLEST_ANGLE: f32 = 5.0;

/// Why stain vectors cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VectorError {
    /// A vector has no length, a negative value or one that is no number.
    #[error(
        "{} is not a stain: give the optical densities in red, green and blue, none negative and one above 0",
        listed(.0)
    )]
    NoStain([f32; 3]),
    /// The vectors are too similar.
    #[error(
        "the two stains are too similar to be separated ({}° apart, at least {SMALLEST_ANGLE}° are needed); \
         choose a region with both stains",
        decimal(*degrees, 1)
    )]
    TooSimilar {
        /// The angle between them.
        degrees: f32,
    },
    /// There are too few stained pixels to estimate vectors from.
    #[error(
        "only {} stained pixels were found, and {} are needed to estimate stain vectors; choose a region with stained \
         tissue",
        grouped(*found as u64),
        grouped(*needed as u64)
    )]
    TooFewPixels {
        /// Number of stained pixels.
        found: usize,
        /// Number that is needed.
        needed: usize,
    },
}

/// Returns the values of a vector, for people to read.
fn listed(vector: &[f32; 3]) -> String {
    vector.map(plain).join("; ")
}

/// The vectors of three stains, or of two and a residual perpendicular to both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<[f32; 3]>", into = "Vec<[f32; 3]>")]
pub struct StainVectors {
    first: [f32; 3],
    second: [f32; 3],
    third: Option<[f32; 3]>,
}

impl StainVectors {
    /// Haematoxylin and eosin (Ruifrok and Johnston 2001, as in ImageJ).
    pub const HAEMATOXYLIN_EOSIN: Self =
        Self { first: [0.650, 0.704, 0.286], second: [0.072, 0.990, 0.105], third: None };

    /// Haematoxylin and diaminobenzidine (Ruifrok and Johnston 2001, as in ImageJ).
    pub const HAEMATOXYLIN_DAB: Self =
        Self { first: [0.650, 0.704, 0.286], second: [0.268, 0.570, 0.776], third: None };

    /// Creates vectors of two stains, whose lengths do not matter.
    ///
    /// # Errors
    /// [`VectorError::NoStain`] or [`VectorError::TooSimilar`].
    pub fn of_two(first: [f32; 3], second: [f32; 3]) -> Result<Self, VectorError> {
        for vector in [first, second] {
            let is_density = |value: &f32| value.is_finite() && *value >= 0.0;
            // The length of a vector of tiny or huge numbers is 0 or infinite.
            if !vector.iter().all(is_density) || !dot(vector, vector).is_normal() {
                return Err(VectorError::NoStain(vector));
            }
        }
        let degrees = dot(unit(first), unit(second)).clamp(-1.0, 1.0).acos().to_degrees();
        if degrees < SMALLEST_ANGLE {
            return Err(VectorError::TooSimilar { degrees });
        }
        Ok(Self { first, second, third: None })
    }

    /// Adds a third stain in place of the residual.
    ///
    /// # Errors
    /// As for [`Self::of_two`], for any two of the three; [`VectorError::TooSimilar`] if the third is a mixture of the
    /// others.
    pub fn with_third(self, third: [f32; 3]) -> Result<Self, VectorError> {
        Self::of_two(self.first, third)?;
        Self::of_two(self.second, third)?;
        let across = unit(cross(unit(self.first), unit(self.second)));
        let degrees = dot(across, unit(third)).abs().clamp(0.0, 1.0).asin().to_degrees();
        if degrees < SMALLEST_ANGLE / 5.0 {
            return Err(VectorError::TooSimilar { degrees });
        }
        Ok(Self { third: Some(third), ..self })
    }

    /// Returns the three vectors with a length of 1.
    pub fn unit_vectors(&self) -> [[f32; 3]; 3] {
        let (first, second) = (unit(self.first), unit(self.second));
        [first, second, unit(self.third.unwrap_or_else(|| cross(first, second)))]
    }
}

impl TryFrom<Vec<[f32; 3]>> for StainVectors {
    type Error = String;

    fn try_from(vectors: Vec<[f32; 3]>) -> Result<Self, String> {
        let made = match vectors.as_slice() {
            [first, second] => Self::of_two(*first, *second),
            [first, second, third] => {
                Self::of_two(*first, *second).and_then(|vectors| vectors.with_third(*third))
            }
            other => return Err(format!("{} stain vectors are given; two or three are needed", other.len())),
        };
        made.map_err(|error| error.to_string())
    }
}

impl From<StainVectors> for Vec<[f32; 3]> {
    fn from(vectors: StainVectors) -> Self {
        [Some(vectors.first), Some(vectors.second), vectors.third].into_iter().flatten().collect()
    }
}

pub(super) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn unit(vector: [f32; 3]) -> [f32; 3] {
    let length = dot(vector, vector).sqrt();
    vector.map(|value| value / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_vectors_that_can_be_separated_are_taken() {
        let (h, dab) = ([0.65, 0.704, 0.286], [0.268, 0.57, 0.776]);
        assert!(StainVectors::of_two(h, dab).is_ok());
        assert!(matches!(StainVectors::of_two(h, h), Err(VectorError::TooSimilar { .. })));
        assert!(matches!(StainVectors::of_two(h, [0.0; 3]), Err(VectorError::NoStain(_))));
        assert!(matches!(StainVectors::of_two([f32::NAN, 1.0, 1.0], dab), Err(VectorError::NoStain(_))));
        assert!(matches!(StainVectors::of_two([-0.1, 1.0, 1.0], dab), Err(VectorError::NoStain(_))));
        for length in [1e-30, 1e30] {
            let direction_lost = StainVectors::of_two(h.map(|value| value * length), dab);
            assert!(matches!(direction_lost, Err(VectorError::NoStain(_))), "{length}");
        }
        let two = StainVectors::of_two(h, dab).unwrap();
        assert!(two.with_third([0.07, 0.99, 0.11]).is_ok());
        let mixture: [f32; 3] = std::array::from_fn(|i| h[i] + dab[i]);
        assert!(two.with_third(mixture).is_err());
    }

    #[test]
    fn the_residual_is_perpendicular_to_both_stains() {
        for vectors in [StainVectors::HAEMATOXYLIN_EOSIN, StainVectors::HAEMATOXYLIN_DAB] {
            let [first, second, residual] = vectors.unit_vectors();
            assert!(dot(first, residual).abs() < 1e-6 && dot(second, residual).abs() < 1e-6);
            assert!((dot(residual, residual) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn vectors_are_stored_as_a_list() {
        let text = serde_json::to_string(&StainVectors::HAEMATOXYLIN_DAB).unwrap();
        assert_eq!(serde_json::from_str::<StainVectors>(&text).unwrap(), StainVectors::HAEMATOXYLIN_DAB);
        assert!(serde_json::from_str::<StainVectors>("[[1,0,0]]").is_err());
        assert!(serde_json::from_str::<StainVectors>("[[1,0,0],[1,0,0]]").is_err());
    }
}
