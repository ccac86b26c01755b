//! The direction of a taught query: one point in descriptor space that stands for all tiles that the user
//! has called the same or different. The tiles nearest to it are the answer, so that the index finds them
//! exactly.
//!
//! By Rocchio (1971, "Relevance feedback in information retrieval", with α = 0, β = 1, γ = ½) a tile `x` scores
//! `γ ‖x − d‖² − ‖x − s‖²`, where `s` and `d` are the means of the same and of the different tiles. This equals
//! `−(1 − γ) ‖x − (s − γ d) / (1 − γ)‖²` up to a constant: tiles rank by their distance to one point. Among
//! descriptors of length 1, every positive multiple of that point gives the same order, which is that of the
//! cosine to `s − γ d`; the point of length 1 is taken, from which distances range from 0 to 2.
//!
//! The linear discriminant is `C⁻¹ (s − γ d)` instead, with the covariance `C` of the index's tiles, strongly
//! shrunk ([`DescriptorStatistics::discriminant`]): what varies among all tiles anyway counts less. Among
//! descriptors of length 1 this too is one point, and tiles rank by their distance to it.

use super::RankBy;
use crate::index::{DescriptorStatistics, UNIT_TOLERANCE};

/// Weight of the mean of the different tiles, relative to that of the same tiles.
const DIFFERENT: f64 = 0.5;

/// Returns the point whose nearest tiles answer a query that was taught by `same` and `different` tiles, each
/// as a descriptor; all have the width of those in `statistics`. Of descriptors of length 1 the point has that
/// length, too. `None` without a `same` tile.
///
/// With [`RankBy::Discriminant`] it is the discriminant, where there is one: with enough tiles, and descriptors of
/// length 1.
pub fn direction<'a>(
    same: impl IntoIterator<Item = &'a [f32]>,
    different: impl IntoIterator<Item = &'a [f32]>,
    rank_by: RankBy,
    statistics: &DescriptorStatistics,
) -> Option<Vec<f32>> {
    let mean = mean(same)?;
    let mut point = match self::mean(different) {
        Some(away) => {
            let along = |(same, different): (&f64, f64)| (same - DIFFERENT * different) / (1.0 - DIFFERENT);
            mean.iter().zip(away).map(along).collect()
        }
        None => mean.clone(),
    };
    if statistics.is_unit() {
        let length = |point: &[f64]| point.iter().map(|value| value * value).sum::<f64>().sqrt();
        // Means that cancel each other leave no direction.
        if length(&point) < f64::from(UNIT_TOLERANCE) {
            point = mean;
        }
        if rank_by == RankBy::Discriminant {
            point = statistics.discriminant(&point).unwrap_or(point);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::squared_distance;

    /// The score of Rocchio's formula.
    fn score(tile: &[f32], same: &[f32], different: &[f32]) -> f32 {
        0.5 * squared_distance(tile, different) - squared_distance(tile, same)
    }

    /// Places of `tiles` in ascending order of `key`.
    fn order<const WIDTH: usize>(tiles: &[[f32; WIDTH]], key: impl Fn(&[f32; WIDTH]) -> f64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..tiles.len()).collect();
        order.sort_by(|a, b| key(&tiles[*a]).total_cmp(&key(&tiles[*b])));
        order
    }

    /// Statistics of too few tiles for a covariance.
    fn few(tile: &[f32]) -> DescriptorStatistics {
        DescriptorStatistics::of_rows(tile, tile.len())
    }

    #[test]
    fn tiles_rank_by_their_distance_to_the_direction_as_by_rocchios_score() {
        let same: [&[f32]; 2] = [&[1.0, 0.5, 0.0], &[0.0, 1.5, 1.0]];
        let different: [&[f32]; 1] = [&[2.0, -1.0, 0.0]];
        let tiles: [[f32; 3]; 5] =
            [[0.0, 1.0, 0.0], [2.0, 0.0, 1.0], [-1.0, 3.0, 1.0], [0.5, 0.5, 0.5], [-2.0, 3.0, 1.0]];
        for rank_by in [RankBy::Direction, RankBy::Discriminant] {
            let point = direction(same, different, rank_by, &few(same[0])).unwrap();
            let nearest = order(&tiles, |tile| f64::from(squared_distance(tile, &point)));
            let by_score = order(&tiles, |tile| f64::from(-score(tile, &[0.5, 1.0, 0.5], different[0])));
            assert_eq!(nearest, by_score, "without length 1 there is no discriminant: {rank_by:?}");
        }
    }

    #[test]
    fn among_unit_vectors_the_direction_is_one_of_them() {
        let unit = few(&[1.0, 0.0]);
        let same: [&[f32]; 2] = [&[1.0, 0.0], &[0.6, 0.8]];
        let point = direction(same, [&[0.0, 1.0][..]], RankBy::Direction, &unit).unwrap();
        assert!(few(&point).is_unit());
        // 0.8 and 0.4 are the mean of the same tiles; half of the different one is taken off.
        assert!(point[0] > 0.98 && point[1] < 0.0, "{point:?}");
        let alone = direction(same[..1].iter().copied(), [], RankBy::Discriminant, &unit);
        assert_eq!(alone.unwrap(), same[0], "one tile says nothing of how tiles vary");
        let cancelled = direction([&[0.5, 0.0][..]], [&[1.0, 0.0][..]], RankBy::Direction, &unit).unwrap();
        assert_eq!(cancelled, [1.0, 0.0], "means that cancel each other leave the mean of the same tiles");
        assert_eq!(direction([], [&[0.0, 1.0][..]], RankBy::Direction, &unit), None);
    }

    #[test]
    fn unit_vectors_rank_by_their_distance_to_the_discriminant_as_by_its_score() {
        let tiles: Vec<[f32; 3]> = (0..60)
            .map(|number| {
                let (along, around) = (0.3 * (number % 7) as f32, 0.9 * number as f32);
                let row = [1.0, along, 0.1 * around.sin()];
                let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                row.map(|value| value / length)
            })
            .collect();
        let statistics = DescriptorStatistics::of_rows(tiles.as_flattened(), 3);
        let (same, different) = (&tiles[3][..], &tiles[5][..]);
        let point = direction([same], [different], RankBy::Discriminant, &statistics).unwrap();
        let difference: Vec<f64> =
            same.iter().zip(different).map(|(same, different)| f64::from(same - 0.5 * different)).collect();
        let axis = statistics.discriminant(&difference).unwrap();
        let score =
            |tile: &[f32; 3]| -axis.iter().zip(tile).map(|(axis, x)| axis * f64::from(*x)).sum::<f64>();
        assert_eq!(order(&tiles, |tile| f64::from(squared_distance(tile, &point))), order(&tiles, score));
        let plain = direction([same], [different], RankBy::Direction, &statistics).unwrap();
        assert_ne!(plain, point);
    }
}
