//! Example pairs of tiles for every bin of the ADDR histogram, for display.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::addr::{Addr, AddrSettings};
use super::pairs::PairFinder;
use super::{Descriptors, Tiles};

/// Maximum number of near and of far pairs for each bin.
pub const KEPT: usize = 6;

/// Number of pairs that are examined, over all slides. If a slide has no more pairs than its share of this,
/// all of them are examined.
const EXAMINED: usize = 2_000_000;

/// Minimum number of pairs that are examined on each slide.
const LEAST_EXAMINED: usize = 20_000;

/// Near and far pairs for each bin of a [`super::addr::DistanceHistogram`], as tile rows; at most [`KEPT`] of
/// each, from as many slides as possible. A rare bin of a large slide may have none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PairExamples {
    /// Near pairs of each bin.
    pub near: Vec<Vec<[u32; 2]>>,
    /// Far pairs of each bin.
    pub far: Vec<Vec<[u32; 2]>>,
}

impl PairExamples {
    /// Chooses examples from the slides in `addr`, which must be measured on the same tiles with the same
    /// settings. The same seed gives the same examples.
    pub fn of(descriptors: Descriptors<'_>, tiles: &Tiles, settings: &AddrSettings, addr: &Addr) -> Self {
        let rows = tiles.rows_by_slide();
        let share = (EXAMINED / addr.per_slide.len().max(1)).max(LEAST_EXAMINED);
        let bins = addr.histogram.near.len();
        let (mut near, mut far) = (vec![Vec::new(); bins], vec![Vec::new(); bins]);
        for slide in addr.per_slide.iter().map(|one| one.slide) {
            let rows = &rows[slide as usize];
            let at_um: Vec<[f64; 2]> = rows.iter().map(|row| tiles.positions_um[*row as usize]).collect();
            let finder = PairFinder { at_um: &at_um, limits: settings.limits };
            let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
            random.set_stream(u64::from(slide));
            let bin_of = |[a, b]: [u32; 2]| {
                let distance = descriptors.distance(a as usize, b as usize);
                ((f64::from(distance) / addr.histogram.bin) as usize).min(bins - 1)
            };
            let (mut slide_near, mut slide_far) = (vec![Vec::new(); bins], vec![Vec::new(); bins]);
            for [a, b] in examined(rows.len(), share, &mut random) {
                let pair = [rows[a], rows[b]];
                if finder.is_near(a, b) {
                    keep(&mut slide_near[bin_of(pair)], pair);
                }
                if finder.is_far(a, b) {
                    keep(&mut slide_far[bin_of(pair)], pair);
                }
            }
            for (all, found) in near.iter_mut().chain(&mut far).zip(slide_near.into_iter().chain(slide_far)) {
                all.extend(found.into_iter().enumerate());
            }
        }
        let chosen = |mut pairs: Vec<(usize, [u32; 2])>| {
            // The first pairs of all slides come before the second ones.
            pairs.sort_by_key(|(number, _)| *number);
            pairs.into_iter().take(KEPT).map(|(_, pair)| pair).collect()
        };
        Self { near: near.into_iter().map(chosen).collect(), far: far.into_iter().map(chosen).collect() }
    }
}

fn keep(pairs: &mut Vec<[u32; 2]>, pair: [u32; 2]) {
    if pairs.len() < KEPT && !pairs.contains(&pair) {
        pairs.push(pair);
    }
}

/// Returns pairs of two different tile indices, the smaller first, in random order: all pairs if there are at
/// most `most`; otherwise up to `most`, drawn uniformly.
fn examined(tiles: usize, most: usize, random: &mut ChaCha8Rng) -> Vec<[usize; 2]> {
    if tiles * tiles.saturating_sub(1) / 2 <= most {
        let mut all: Vec<[usize; 2]> = (0..tiles).flat_map(|a| (a + 1..tiles).map(move |b| [a, b])).collect();
        all.shuffle(random);
        return all;
    }
    let mut one = || [random.random_range(0..tiles), random.random_range(0..tiles)];
    (0..most).map(|_| one()).filter(|[a, b]| a != b).map(|[a, b]| [a.min(b), a.max(b)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::tests::stretched_line;
    use crate::addr::{self, Limits};
    use crate::intervals::Resampling;

    fn examples(tiles: usize, slides: u32) -> (Vec<f32>, Tiles, Addr, PairExamples) {
        let settings =
            AddrSettings { limits: Limits { near_mm: 2.5, far_mm: 5.5 }, seed: 3, ..AddrSettings::default() };
        let (values, known) = stretched_line(tiles, slides, |_| 1.0);
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let addr = addr::measure(descriptors, &known, &settings, &Resampling::default()).unwrap();
        let found = PairExamples::of(descriptors, &known, &settings, &addr);
        assert_eq!(found, PairExamples::of(descriptors, &known, &settings, &addr), "they repeat");
        (values, known, addr, found)
    }

    #[test]
    fn every_bin_shows_pairs_of_its_distance_and_kind() {
        let (values, tiles, addr, found) = examples(40, 3);
        for (kind, shares, limits) in
            [(&found.near, &addr.histogram.near, 0.0..2.5), (&found.far, &addr.histogram.far, 5.5..40.0)]
        {
            assert_eq!(kind.len(), shares.len());
            for (bin, (pairs, share)) in kind.iter().zip(shares).enumerate() {
                assert_eq!(pairs.is_empty(), *share == 0.0, "bin {bin} has {share}");
                for [a, b] in pairs {
                    let (a, b) = (*a as usize, *b as usize);
                    assert_eq!(tiles.slides[a], tiles.slides[b]);
                    let distance = f64::from((values[a] - values[b]).abs());
                    assert!(limits.contains(&distance));
                    assert_eq!((distance / addr.histogram.bin) as usize, bin);
                }
            }
        }
        let fullest = found.near.iter().max_by_key(|pairs| pairs.len()).unwrap();
        assert_eq!(fullest.len(), KEPT);
        let slides: std::collections::BTreeSet<u32> =
            fullest.iter().map(|[a, _]| tiles.slides[*a as usize]).collect();
        assert_eq!(slides.len(), 3, "of every slide");
    }

    #[test]
    fn large_slides_are_looked_at_in_part() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let pairs = examined(5000, 20_000, &mut random);
        assert!((19_900..=20_000).contains(&pairs.len()) && pairs.iter().all(|[a, b]| a < b && *b < 5000));
        assert_eq!(examined(5, 10, &mut random).len(), 10);
    }
}
