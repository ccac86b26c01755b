//! The threshold of a concept, chosen from its marks by cross-validation.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::index::squared_distance;
use crate::query::direction;
use crate::slide::SlideId;

/// Fewest tiles marked as the same, and as different, that give a threshold.
pub const FEWEST_MARKS: usize = 5;

/// Fewest slides with tiles marked as the same from which whole slides are left out at a time.
const FEWEST_SLIDES: usize = 3;

/// Largest number of parts that are left out in turn.
const PARTS: usize = 20;

/// 97.5th percentile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A marked tile.
#[derive(Debug, Clone, Copy)]
pub struct TaughtTile<'a> {
    /// Slide of the tile, if it has one.
    pub slide: Option<&'a SlideId>,
    /// Whether it shows what is taught, or different tissue.
    pub is_same: bool,
    /// Descriptor of the tile.
    pub descriptor: &'a [f32],
}

/// What is left out in turn when the threshold is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeftOut {
    /// Whole slides, so that the precision is that on slides without marks.
    Slides,
    /// Single marks, since the marks lie on fewer than three slides.
    Marks,
}

/// A threshold and what the marks say about it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The threshold: largest distance of a tile that belongs to the concept.
    pub distance: f32,
    /// Number of marked tiles within thresholds that were chosen without them.
    pub within: usize,
    /// Those of `within` that were marked as the same.
    pub same: usize,
    /// What was left out in turn.
    pub left_out: LeftOut,
}

impl Estimate {
    /// Returns the share (0 to 1) of tiles marked as the same among the marked tiles within the threshold;
    /// `None` if there are none within.
    pub fn precision(&self) -> Option<f64> {
        (self.within > 0).then(|| self.same as f64 / self.within as f64)
    }

    /// Returns the 95 % interval of the precision.
    pub fn interval(&self) -> Option<[f64; 2]> {
        wilson(self.same, self.within)
    }
}

/// Returns the 95 % interval of a proportion of `hits` among `count` (Wilson 1927, "Probable inference, the law
/// of succession, and statistical inference"); `None` if `count` is 0.
pub fn wilson(hits: usize, count: usize) -> Option<[f64; 2]> {
    if count == 0 {
        return None;
    }
    let (hits, count) = (hits as f64, count as f64);
    let middle = (hits + Z * Z / 2.0) / (count + Z * Z);
    let reach = Z / (count + Z * Z) * (hits * (count - hits) / count + Z * Z / 4.0).sqrt();
    Some([(middle - reach).max(0.0), (middle + reach).min(1.0)])
}

/// Chooses a threshold from marked tiles; `None` with fewer than [`FEWEST_MARKS`] of either kind.
///
/// Each part of the marks is left out in turn, and its distances from the direction of the others are taken. The
/// threshold separates these distances best by Youden's index, sensitivity + specificity − 1 (Youden 1950, "Index
/// for rating diagnostic tests"), which does not depend on how many marks there are of each kind. For the
/// precision, the marks of a part are counted within the threshold that the other parts give. The marks are a
/// sample of the tiles that were shown, mostly the nearest ones, and not of all tiles.
pub fn choose_threshold(tiles: &[TaughtTile<'_>], is_unit: bool) -> Option<Estimate> {
    let same = tiles.iter().filter(|tile| tile.is_same).count();
    if same < FEWEST_MARKS || tiles.len() - same < FEWEST_MARKS {
        return None;
    }
    let (parts, left_out) = parts(tiles);
    let measured: Vec<Measured> = (0..tiles.len())
        .map(|tile| Measured { part: parts[tile], is_same: tiles[tile].is_same, distance: 0.0 })
        .zip(distances(tiles, &parts, is_unit)?)
        .map(|(tile, distance)| Measured { distance, ..tile })
        .collect();
    let distance = separating(&measured)?;
    let mut estimate = Estimate { distance, within: 0, same: 0, left_out };
    for part in parts.iter().collect::<BTreeSet<_>>() {
        let others: Vec<Measured> = measured.iter().filter(|tile| tile.part != *part).copied().collect();
        // Without this part there may be marks of one kind only, and nothing to count it within.
        let Some(limit) = separating(&others) else { continue };
        let within = || measured.iter().filter(|tile| tile.part == *part && tile.distance <= limit);
        estimate.within += within().count();
        estimate.same += within().filter(|tile| tile.is_same).count();
    }
    Some(estimate)
}

/// A marked tile and its distance from the direction of the other parts.
#[derive(Debug, Clone, Copy)]
struct Measured {
    part: usize,
    is_same: bool,
    distance: f32,
}

/// Divides marks into the parts that are left out in turn.
fn parts(tiles: &[TaughtTile<'_>]) -> (Vec<usize>, LeftOut) {
    let of_same: BTreeSet<_> = tiles.iter().filter(|tile| tile.is_same).map(|tile| tile.slide).collect();
    if of_same.len() < FEWEST_SLIDES {
        return ((0..tiles.len()).map(|tile| tile % PARTS).collect(), LeftOut::Marks);
    }
    let others: BTreeSet<_> =
        tiles.iter().map(|tile| tile.slide).filter(|slide| !of_same.contains(slide)).collect();
    // Slides with tiles marked as the same come first, so that no part holds all of them.
    let number: HashMap<_, _> = of_same.into_iter().chain(others).zip(0_usize..).collect();
    (tiles.iter().map(|tile| number[&tile.slide] % PARTS).collect(), LeftOut::Slides)
}

/// Returns the distance of each tile from the direction of the tiles of other parts; `None` if a part holds all
/// tiles marked as the same.
fn distances(tiles: &[TaughtTile<'_>], parts: &[usize], is_unit: bool) -> Option<Vec<f32>> {
    let mut distances = vec![0.0; tiles.len()];
    for part in parts.iter().collect::<BTreeSet<_>>() {
        let others = |is_same: bool| {
            let is_other =
                move |(tile, of): &(&TaughtTile<'_>, &usize)| *of != part && tile.is_same == is_same;
            tiles.iter().zip(parts).filter(is_other).map(|(tile, _)| tile.descriptor)
        };
        let direction = direction(others(true), others(false), is_unit)?;
        for (place, tile) in tiles.iter().enumerate().filter(|(place, _)| parts[*place] == *part) {
            distances[place] = squared_distance(&direction, tile.descriptor).sqrt();
        }
    }
    Some(distances)
}

/// Returns the limit between two neighbouring distances with the greatest Youden index, the smallest of equal
/// ones; `None` without tiles of both kinds.
fn separating(tiles: &[Measured]) -> Option<f32> {
    let mut tiles = tiles.to_vec();
    tiles.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let all_same = tiles.iter().filter(|tile| tile.is_same).count();
    let all_different = tiles.len() - all_same;
    if all_same == 0 || all_different == 0 {
        return None;
    }
    let (mut same, mut different) = (0, 0);
    let mut best: Option<(f64, f32)> = None;
    for (place, tile) in tiles.iter().enumerate() {
        if tile.is_same {
            same += 1
        } else {
            different += 1
        }
        let next = tiles.get(place + 1).map(|next| next.distance);
        if next == Some(tile.distance) {
            continue;
        }
        let limit = next.map_or(tile.distance, |next| f32::midpoint(tile.distance, next));
        let index = same as f64 / all_same as f64 - different as f64 / all_different as f64;
        if best.is_none_or(|(known, _)| index > known) {
            best = Some((index, limit));
        }
    }
    best.map(|(_, limit)| limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit vectors in a plane, at these angles in degrees.
    fn at(degrees: &[f32]) -> Vec<Vec<f32>> {
        degrees.iter().map(|angle| vec![angle.to_radians().cos(), angle.to_radians().sin()]).collect()
    }

    fn chosen(same: &[f32], different: &[f32], slides: usize) -> Option<Estimate> {
        let (same, different) = (at(same), at(different));
        let ids: Vec<SlideId> = (0..slides).map(|slide| SlideId(format!("slide{slide}"))).collect();
        let all = same.iter().map(|one| (true, one)).chain(different.iter().map(|one| (false, one)));
        let tiles: Vec<TaughtTile<'_>> = all
            .enumerate()
            .map(|(place, (is_same, one))| TaughtTile {
                slide: Some(&ids[place % slides]),
                is_same,
                descriptor: one,
            })
            .collect();
        choose_threshold(&tiles, true)
    }

    #[test]
    fn the_threshold_lies_between_what_the_marks_tell_apart() {
        let (same, different) = ([0.0, 4.0, 8.0, 12.0, 16.0], [50.0, 55.0, 60.0, 65.0, 70.0]);
        let estimate = chosen(&same, &different, 1).unwrap();
        assert_eq!((estimate.same, estimate.within, estimate.left_out), (5, 5, LeftOut::Marks));
        assert_eq!(estimate.precision(), Some(1.0));
        let tiles = at(&same);
        let far = at(&different);
        let point = direction(tiles.iter().map(Vec::as_slice), far.iter().map(Vec::as_slice), true).unwrap();
        let distance = |tile: &Vec<f32>| squared_distance(tile, &point).sqrt();
        assert!(tiles.iter().all(|tile| distance(tile) < estimate.distance));
        assert!(far.iter().all(|tile| distance(tile) > estimate.distance));
        let by_slides = chosen(&same, &different, 5).unwrap();
        assert_eq!(by_slides.left_out, LeftOut::Slides);
    }

    #[test]
    fn marks_that_contradict_each_other_give_a_low_precision() {
        let (same, different) = ([0.0, 10.0, 20.0, 30.0, 40.0, 50.0], [5.0, 15.0, 25.0, 35.0, 45.0, 55.0]);
        let estimate = chosen(&same, &different, 1).unwrap();
        assert!(estimate.precision().is_none_or(|precision| precision < 0.8), "{estimate:?}");
    }

    #[test]
    fn too_few_marks_give_no_threshold() {
        let many = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(chosen(&many, &[50.0; 4], 1), None);
        assert_eq!(chosen(&many[..4], &[50.0; 9], 1), None);
        assert!(chosen(&many, &[50.0; 5], 1).is_some());
    }

    #[test]
    fn slides_with_the_same_tissue_are_left_out_one_by_one_however_many_others_there_are() {
        let ids: Vec<SlideId> = (0..=2 * PARTS).map(|slide| SlideId(format!("slide{slide:02}"))).collect();
        let (near, far) = (at(&[0.0, 5.0]), at(&[60.0]));
        let mut tiles: Vec<TaughtTile<'_>> = Vec::new();
        for (number, slide) in ids.iter().enumerate() {
            let is_same = number.is_multiple_of(PARTS);
            for descriptor in if is_same { &near } else { &far } {
                tiles.push(TaughtTile { slide: Some(slide), is_same, descriptor });
            }
        }
        let estimate = choose_threshold(&tiles, true).unwrap();
        assert_eq!((estimate.left_out, estimate.same, estimate.within), (LeftOut::Slides, 6, 6));
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        // Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
        for (hits, count, expected) in [
            (81, 263, [0.2553, 0.3662]),
            (15, 148, [0.0624, 0.1605]),
            (0, 20, [0.0, 0.1611]),
            (1, 29, [0.0061, 0.1718]),
        ] {
            let found = wilson(hits, count).unwrap();
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
        }
        assert_eq!(wilson(0, 0), None);
    }
}
