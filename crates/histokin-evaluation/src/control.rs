//! A control for ADDR: a descriptor of one number that only tells the left half of a slide from its right.
//!
//! The tiles of a far pair lie in different halves more often than those of a near pair, so the ADDR of this
//! descriptor is high although it says nothing about tissue. Beside the ADDR of encoders it shows that a high
//! ADDR alone is no sign of quality.

use std::collections::HashMap;

use super::addr::{self, Addr, AddrSettings};
use super::intervals::Resampling;
use super::retrieval::{Figure, Measure, ratio};
use super::{Class, Descriptors, EvaluationError, Exclude, Tiles};

/// Displayed name of the control.
pub const NAME: &str = "Control: left or right half of the slide";

/// Results of the control.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// ADDR.
    pub addr: Addr,
    /// Precision of its answers to queries of the target class, the same for any number of answers; `None`
    /// without labels. All tiles of a half are equally near, so that answers are drawn from them at random.
    pub precision: Option<Figure>,
}

impl Control {
    /// Returns the value of a measure of retrieval; `None` for those that the precision does not decide.
    pub fn figure(&self, measure: Measure) -> Option<Figure> {
        match measure {
            Measure::P1 | Measure::P5 | Measure::P20 => self.precision,
            Measure::Map | Measure::Majority5 => None,
        }
    }
}

/// Measures the ADDR of the control.
///
/// # Errors
/// As [`addr::measure`].
pub fn addr(
    tiles: &Tiles,
    settings: &AddrSettings,
    resampling: &Resampling,
) -> Result<Addr, EvaluationError> {
    addr::measure(Descriptors::new(&halves(tiles), 1)?, tiles, settings, resampling)
}

/// Returns the mean over tiles of `class` of the share of this class among the labelled tiles in the same
/// half of other slides or patients; `None` if there are no such tiles.
pub fn precision(tiles: &Tiles, class: Class, exclude: Exclude, resampling: &Resampling) -> Option<Figure> {
    let (halves, groups) = (halves(tiles), tiles.groups(exclude));
    let half = |row: usize| usize::from(halves[row] > 0.5);
    // Numbers of labelled tiles in each half, and of those of the class: of each group, and in total.
    let mut of_group: HashMap<u32, [[u32; 2]; 2]> = HashMap::new();
    let mut total = [[0; 2]; 2];
    for (row, known) in tiles.classes.iter().enumerate() {
        let Some(known) = known else { continue };
        for counts in [of_group.entry(groups[row]).or_default(), &mut total] {
            counts[half(row)][0] += 1;
            counts[half(row)][1] += u32::from(*known == class);
        }
    }
    let mut sums: HashMap<u32, (f64, u32)> = HashMap::new();
    for row in (0..tiles.len()).filter(|row| tiles.classes[*row] == Some(class)) {
        let own = of_group[&groups[row]][half(row)];
        let [pool, same] = [0, 1].map(|kind| total[half(row)][kind] - own[kind]);
        if pool > 0 {
            let sum = sums.entry(tiles.slides[row]).or_default();
            *sum = (sum.0 + f64::from(same) / f64::from(pool), sum.1 + 1);
        }
    }
    let mut sums: Vec<(u32, (f64, u32))> = sums.into_iter().collect();
    sums.sort_by_key(|(slide, _)| *slide);
    let sums: Vec<(f64, u32)> = sums.into_iter().map(|(_, sum)| sum).collect();
    let ci95 = resampling.interval(sums.len(), |counts| ratio(&sums, Some(counts)));
    Some(Figure { value: ratio(&sums, None)?, ci95 })
}

/// Returns 0 for each tile in the left half of its slide's tiles and 1 for each in the right half.
fn halves(tiles: &Tiles) -> Vec<f32> {
    let mut extents = vec![(f64::INFINITY, f64::NEG_INFINITY); tiles.slide_count()];
    for ([x, _], slide) in tiles.positions_um.iter().zip(&tiles.slides) {
        let (left, right) = &mut extents[*slide as usize];
        (*left, *right) = (left.min(*x), right.max(*x));
    }
    let is_right = |([x, _], slide): (&[f64; 2], &u32)| {
        let (left, right) = extents[*slide as usize];
        *x > (left + right) / 2.0
    };
    tiles.positions_um.iter().zip(&tiles.slides).map(|tile| f32::from(u8::from(is_right(tile)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::tests::stretched_line;
    use crate::addr::{Limits, PairCount};

    #[test]
    fn it_separates_far_pairs_well_and_finds_no_tissue() {
        // Twelve tiles one millimetre apart on each of three slides; every other tile is of the class.
        let (_, mut tiles) = stretched_line(12, 3, |_| 1.0);
        for (row, class) in tiles.classes.iter_mut().enumerate() {
            *class = Some(Class((row % 2) as u16));
        }
        let limits = Limits { near_mm: 2.5, far_mm: 8.5 };
        let settings = AddrSettings { limits, pairs: PairCount::All, seed: 0 };
        let addr = addr(&tiles, &settings, &Resampling::default()).unwrap();
        // All far pairs lie in different halves; of 11 + 10 near pairs of a slide, 1 + 2 do.
        assert!((addr.global - 7.0).abs() < 1e-9, "{}", addr.global);
        let found = precision(&tiles, Class(0), Exclude::Slide, &Resampling::default()).unwrap();
        assert_eq!((found.value, found.ci95), (0.5, Some([0.5, 0.5])), "the chance level");
    }

    #[test]
    fn a_class_on_one_side_is_found_on_that_side() {
        let (_, mut tiles) = stretched_line(4, 2, |_| 1.0);
        for (row, class) in tiles.classes.iter_mut().enumerate() {
            *class = Some(Class(u16::from(row % 4 > 1)));
        }
        let found = precision(&tiles, Class(1), Exclude::Patient, &Resampling::default()).unwrap();
        assert_eq!(found.value, 1.0);
        assert_eq!(precision(&tiles, Class(7), Exclude::Patient, &Resampling::default()), None);
    }
}
