//! The direction of a taught query: one point in descriptor space that stands for all tiles that the user
//! has called the same or different. The tiles nearest to it are the answer, so that the index finds them
//! exactly.
//!
//! By Rocchio (1971, "Relevance feedback in information retrieval", with α = 0, β = 1, γ = ½) a tile `x` scores
//! `γ ‖x − d‖² − ‖x − s‖²`, where `s` and `d` are the means of the same and of the different tiles. This equals
//! `−(1 − γ) ‖x − (s − γ d) / (1 − γ)‖²` up to a constant: tiles rank by their distance to one point. Among
//! descriptors of length 1, every positive multiple of that point gives the same order, which is that of the
//! cosine to `s − γ d`; the point of length 1 is taken, from which distances range from 0 to 2.

use crate::descriptors::Row;
use crate::index::{Snapshot, squared_distance};

/// Weight of the mean of the different tiles, relative to that of the same tiles.
const DIFFERENT: f64 = 0.5;

/// Largest deviation from 1 of the length of a descriptor that counts as a unit vector.
const UNIT_TOLERANCE: f32 = 1e-3;

/// Number of descriptors, evenly sampled, that tell whether an encoder gives unit vectors: it normalises all
/// of its descriptors or none.
const SAMPLED: usize = 64;

/// Returns the point whose nearest tiles answer a query that was taught by `same` and `different` tiles, each
/// as a descriptor; all have the same width. `is_unit` tells whether descriptors have length 1; the result then
/// has, too. `None` without a `same` tile.
pub fn direction<'a>(
    same: impl IntoIterator<Item = &'a [f32]>,
    different: impl IntoIterator<Item = &'a [f32]>,
    is_unit: bool,
) -> Option<Vec<f32>> {
    let mean = mean(same)?;
    let mut point = match self::mean(different) {
        Some(away) => {
            let along = |(same, different): (&f64, f64)| (same - DIFFERENT * different) / (1.0 - DIFFERENT);
            mean.iter().zip(away).map(along).collect()
        }
        None => mean.clone(),
    };
    if is_unit {
        let length = |point: &[f64]| point.iter().map(|value| value * value).sum::<f64>().sqrt();
        // Means that cancel each other leave no direction.
        if length(&point) < f64::from(UNIT_TOLERANCE) {
            point = mean;
        }
        let length = length(&point).max(f64::MIN_POSITIVE);
        point.iter_mut().for_each(|value| *value /= length);
    }
    Some(point.into_iter().map(|value| value as f32).collect())
}

/// Returns the mean of descriptors; `None` if there are none.
fn mean<'a>(descriptors: impl IntoIterator<Item = &'a [f32]>) -> Option<Vec<f64>> {
    let mut descriptors = descriptors.into_iter();
    let mut sum: Vec<f64> = descriptors.next()?.iter().map(|value| f64::from(*value)).collect();
    let mut count = 1.0;
    for descriptor in descriptors {
        sum.iter_mut().zip(descriptor).for_each(|(sum, value)| *sum += f64::from(*value));
        count += 1.0;
    }
    sum.iter_mut().for_each(|sum| *sum /= count);
    Some(sum)
}

/// Returns whether the descriptors of an index have length 1.
pub fn has_unit_length(index: &Snapshot) -> bool {
    let step = index.len().div_ceil(SAMPLED).max(1);
    let rows = index.sets().iter().flat_map(|set| (0..set.len() as u32).map(move |row| (set, Row(row))));
    is_unit(rows.step_by(step).map(|(set, row)| set.descriptor(row)))
}

/// Returns whether descriptors have length 1; false if there are none.
pub fn is_unit<'a>(descriptors: impl IntoIterator<Item = &'a [f32]>) -> bool {
    let mut descriptors = descriptors.into_iter().peekable();
    let has_length_1 = |descriptor: &[f32]| {
        let squared = squared_distance(descriptor, &vec![0.0; descriptor.len()]);
        (squared.sqrt() - 1.0).abs() <= UNIT_TOLERANCE
    };
    descriptors.peek().is_some() && descriptors.all(has_length_1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The score of Rocchio's formula.
    fn score(tile: &[f32], same: &[f32], different: &[f32]) -> f32 {
        0.5 * squared_distance(tile, different) - squared_distance(tile, same)
    }

    #[test]
    fn tiles_rank_by_their_distance_to_the_direction_as_by_rocchios_score() {
        let same: [&[f32]; 2] = [&[1.0, 0.5, 0.0], &[0.0, 1.5, 1.0]];
        let different: [&[f32]; 1] = [&[2.0, -1.0, 0.0]];
        let tiles: [[f32; 3]; 5] =
            [[0.0, 1.0, 0.0], [2.0, 0.0, 1.0], [-1.0, 3.0, 1.0], [0.5, 0.5, 0.5], [-2.0, 3.0, 1.0]];
        let point = direction(same, different, false).unwrap();
        let by = |key: &dyn Fn(&[f32; 3]) -> f32| {
            let mut order: Vec<usize> = (0..tiles.len()).collect();
            order.sort_by(|a, b| key(&tiles[*a]).total_cmp(&key(&tiles[*b])));
            order
        };
        let nearest = by(&|tile| squared_distance(tile, &point));
        assert_eq!(nearest, by(&|tile| -score(tile, &[0.5, 1.0, 0.5], different[0])));
    }

    #[test]
    fn among_unit_vectors_the_direction_is_one_of_them() {
        let same: [&[f32]; 2] = [&[1.0, 0.0], &[0.6, 0.8]];
        let point = direction(same, [&[0.0, 1.0][..]], true).unwrap();
        assert!(is_unit([&point[..]]) && is_unit(same) && !is_unit([&[1.0, 0.5][..]]) && !is_unit([]));
        // 0.8 and 0.4 are the mean of the same tiles; half of the different one is taken off.
        assert!(point[0] > 0.98 && point[1] < 0.0, "{point:?}");
        assert_eq!(direction(same[..1].iter().copied(), [], true).unwrap(), same[0]);
        let cancelled = direction([&[0.5, 0.0][..]], [&[1.0, 0.0][..]], true).unwrap();
        assert_eq!(cancelled, [1.0, 0.0], "means that cancel each other leave the mean of the same tiles");
        assert_eq!(direction([], [&[0.0, 1.0][..]], true), None);
    }
}
