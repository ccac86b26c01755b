//! The threshold of a concept, chosen from its marks by cross-validation.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::Learning;
use crate::index::squared_distance;
use crate::slide::SlideId;

/// Fewest tiles marked as the same, and as different, that give a threshold.
pub const FEWEST_MARKS: usize = 5;

/// Fewest slides or patients with tiles marked as the same that are left out as a whole.
const FEWEST_GROUPS: usize = 3;

/// Largest number of parts that are left out in turn.
const PARTS: usize = 20;

/// 97.5th percentile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A marked tile.
#[derive(Debug, Clone, Copy)]
pub struct TaughtTile<'a> {
    /// Slide of the tile, if it has one.
    pub slide: Option<&'a SlideId>,
    /// Patient of the slide, if known.
    pub patient: Option<&'a str>,
    /// Whether it shows what is taught, or different tissue.
    pub is_same: bool,
    /// Descriptor of the tile.
    pub descriptor: &'a [f32],
}

/// What is left out in turn when the threshold is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeftOut {
    /// Whole patients, so that the precision is that in patients without marks.
    Patients,
    /// Whole slides, so that the precision is that on slides without marks; patients are unknown, or fewer than three.
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
/// for rating diagnostic tests"), which does not depend on how many marks there are of each kind.
///
/// For the precision, all of this is done again without each part, and the marks of the part are counted within the
/// threshold that the others give, by their distances from the direction of the others: neither has seen them
/// (Varma and Simon 2006, "Bias in error estimation when using cross-validation for model selection"). The marks are
/// a sample of the tiles that were shown, mostly the nearest ones, and not of all tiles.
pub fn choose_threshold(tiles: &[TaughtTile<'_>], learning: Learning<'_>) -> Option<Estimate> {
    let same = tiles.iter().filter(|tile| tile.is_same).count();
    if same < FEWEST_MARKS || tiles.len() - same < FEWEST_MARKS {
        return None;
    }
    let (parts, left_out) = parts(tiles);
    let all: Vec<Marked<'_>> =
        tiles.iter().zip(parts).map(|(tile, part)| Marked { tile: *tile, part }).collect();
    let mut estimate = Estimate { distance: limit(&all, learning)?, within: 0, same: 0, left_out };
    for part in parts_of(&all) {
        let (left, others): (Vec<Marked<'_>>, Vec<Marked<'_>>) =
            all.iter().partition(|tile| tile.part == part);
        // Without this part there may be marks of one kind only, and nothing to count it within.
        let Some((limit, direction)) = limit(&others, learning).zip(direction(&others, learning)) else {
            continue;
        };
        let is_within = |marked: &&Marked<'_>| marked.distance(&direction) <= limit;
        estimate.within += left.iter().filter(is_within).count();
        estimate.same += left.iter().filter(is_within).filter(|marked| marked.tile.is_same).count();
    }
    Some(estimate)
}

/// A marked tile and the part with which it is left out.
#[derive(Debug, Clone, Copy)]
struct Marked<'a> {
    tile: TaughtTile<'a>,
    part: usize,
}

impl Marked<'_> {
    fn distance(&self, direction: &[f32]) -> f32 {
        squared_distance(direction, self.tile.descriptor).sqrt()
    }
}

/// Divides marks into the parts that are left out in turn.
fn parts(tiles: &[TaughtTile<'_>]) -> (Vec<usize>, LeftOut) {
    let slide = |tile: &TaughtTile<'_>| tile.slide.map(|slide| slide.0.clone());
    // A slide whose patient is not known counts as one of its own.
    let patient = |tile: &TaughtTile<'_>| tile.patient.map(str::to_owned).or_else(|| slide(tile));
    if tiles.iter().any(|tile| tile.patient.is_some())
        && let Some(parts) = groups(tiles, patient)
    {
        return (parts, LeftOut::Patients);
    }
    match groups(tiles, slide) {
        Some(parts) => (parts, LeftOut::Slides),
        None => ((0..tiles.len()).map(|tile| tile % PARTS).collect(), LeftOut::Marks),
    }
}

/// Divides marks by what they lie on; `None` if too few of these have tiles marked as the same.
fn groups(tiles: &[TaughtTile<'_>], group: impl Fn(&TaughtTile<'_>) -> Option<String>) -> Option<Vec<usize>> {
    let groups: Vec<Option<String>> = tiles.iter().map(group).collect();
    let of_same: BTreeSet<_> =
        tiles.iter().zip(&groups).filter(|(tile, _)| tile.is_same).map(|(_, group)| group).collect();
    if of_same.len() < FEWEST_GROUPS {
        return None;
    }
    let others: BTreeSet<_> = groups.iter().filter(|group| !of_same.contains(group)).collect();
    // Those with tiles marked as the same come first, so that no part holds all of them.
    let number: HashMap<_, _> = of_same.into_iter().chain(others).zip(0_usize..).collect();
    Some(groups.iter().map(|group| number[group] % PARTS).collect())
}

fn parts_of(tiles: &[Marked<'_>]) -> BTreeSet<usize> {
    tiles.iter().map(|tile| tile.part).collect()
}

fn direction(tiles: &[Marked<'_>], learning: Learning<'_>) -> Option<Vec<f32>> {
    let said = |is_same: bool| {
        let is_said = move |marked: &&Marked<'_>| marked.tile.is_same == is_same;
        tiles.iter().filter(is_said).map(|marked| marked.tile.descriptor)
    };
    learning.direction(said(true), said(false))
}

/// Returns the threshold that marks give; `None` without marks of both kinds, or if a part holds all tiles marked as
/// the same.
fn limit(tiles: &[Marked<'_>], learning: Learning<'_>) -> Option<f32> {
    let mut measured = Vec::with_capacity(tiles.len());
    for part in parts_of(tiles) {
        let (left, others): (Vec<Marked<'_>>, Vec<Marked<'_>>) =
            tiles.iter().partition(|tile| tile.part == part);
        let direction = direction(&others, learning)?;
        measured.extend(
            left.iter().map(|marked| Measured {
                is_same: marked.tile.is_same,
                distance: marked.distance(&direction),
            }),
        );
    }
    separating(&measured)
}

/// A marked tile and its distance from the direction of the other parts.
#[derive(Debug, Clone, Copy)]
struct Measured {
    is_same: bool,
    distance: f32,
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
    use crate::index::DescriptorStatistics;
    use crate::query::RankBy;

    /// Of unit vectors, too few for a covariance.
    fn statistics() -> DescriptorStatistics {
        DescriptorStatistics::of_rows(&[1.0, 0.0], 2)
    }

    fn threshold(tiles: &[TaughtTile<'_>]) -> Option<Estimate> {
        choose_threshold(tiles, Learning { rank_by: RankBy::default(), statistics: &statistics() })
    }

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
                patient: None,
                is_same,
                descriptor: one,
            })
            .collect();
        threshold(&tiles)
    }

    #[test]
    fn the_threshold_lies_between_what_the_marks_tell_apart() {
        let (same, different) = ([0.0, 4.0, 8.0, 12.0, 16.0], [50.0, 55.0, 60.0, 65.0, 70.0]);
        let estimate = chosen(&same, &different, 1).unwrap();
        assert_eq!((estimate.same, estimate.within, estimate.left_out), (5, 5, LeftOut::Marks));
        assert_eq!(estimate.precision(), Some(1.0));
        let tiles = at(&same);
        let far = at(&different);
        let statistics = statistics();
        let learning = Learning { rank_by: RankBy::default(), statistics: &statistics };
        let point =
            learning.direction(tiles.iter().map(Vec::as_slice), far.iter().map(Vec::as_slice)).unwrap();
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
                tiles.push(TaughtTile { slide: Some(slide), patient: None, is_same, descriptor });
            }
        }
        let estimate = threshold(&tiles).unwrap();
        assert_eq!((estimate.left_out, estimate.same, estimate.within), (LeftOut::Slides, 6, 6));
    }

    #[test]
    fn patients_are_left_out_where_three_of_them_are_known_to_have_the_same_tissue() {
        let ids: Vec<SlideId> = (0..4).map(|slide| SlideId(format!("slide{slide}"))).collect();
        let (near, far) = (at(&[0.0, 5.0]), at(&[60.0, 65.0]));
        let left_out = |patients: [Option<&str>; 4]| {
            let of_slide = |(slide, patient)| {
                let tile = move |(is_same, descriptor)| TaughtTile {
                    slide: Some(slide),
                    patient,
                    is_same,
                    descriptor,
                };
                let near = near.iter().map(|one| (true, one.as_slice()));
                near.chain(far.iter().map(|one| (false, one.as_slice()))).map(tile)
            };
            let tiles: Vec<TaughtTile<'_>> = ids.iter().zip(patients).flat_map(of_slide).collect();
            threshold(&tiles).unwrap().left_out
        };
        assert_eq!(left_out([Some("P1"), Some("P1"), Some("P2"), Some("P3")]), LeftOut::Patients);
        assert_eq!(left_out([Some("P1"), Some("P1"), Some("P2"), None]), LeftOut::Patients);
        assert_eq!(left_out([Some("P1"), Some("P1"), Some("P2"), Some("P2")]), LeftOut::Slides);
        assert_eq!(left_out([None; 4]), LeftOut::Slides);
    }

    #[test]
    fn marks_that_say_nothing_have_the_precision_of_chance() {
        // Marsaglia 2003, "Xorshift RNGs".
        let mut state = 2_463_534_242_u32;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        };
        let (mut same, mut within) = (0, 0);
        for _ in 0..60 {
            let tiles: Vec<(bool, Vec<f32>)> = (0..24)
                .map(|tile| {
                    let row: Vec<f32> = (0..8).map(|_| random()).collect();
                    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                    (tile % 2 == 0, row.into_iter().map(|value| value / length).collect())
                })
                .collect();
            let tiles: Vec<TaughtTile<'_>> = tiles
                .iter()
                .map(|(is_same, row)| TaughtTile {
                    slide: None,
                    patient: None,
                    is_same: *is_same,
                    descriptor: row,
                })
                .collect();
            let estimate = threshold(&tiles).unwrap();
            same += estimate.same;
            within += estimate.within;
        }
        let precision = same as f64 / within as f64;
        // Leaving one of two equal halves out leaves more of the other: a little below a half is expected.
        assert!(within > 200 && (0.35..0.54).contains(&precision), "{precision} of {within}");
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
