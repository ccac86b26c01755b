//! ADDR, the average descriptor distance ratio: mean descriptor distance of far pairs of tiles divided by
//! that of near pairs (Gildenblat and Klaiman 2019, "Self-supervised similarity learning for digital
//! pathology"). It needs no labels: both tiles of a pair are from the same slide.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::intervals::{Resampling, median};
use super::pairs::PairFinder;
use super::{Descriptors, EvaluationError, Tiles};

/// With [`PairCount::Auto`], all pairs are compared if no slide has more tiles than this.
const ALL_PAIRS_UP_TO: usize = 10_000;

/// Number of near and of far pairs that are drawn per slide otherwise.
const DRAWN_PAIRS: usize = 1_000_000;

/// Distance limits of near and far pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Pairs nearer than this are near, in mm.
    pub near_mm: f64,
    /// Pairs farther than this are far, in mm.
    pub far_mm: f64,
}

impl Default for Limits {
    /// Returns the limits of the paper: 2 mm and 10 mm.
    fn default() -> Self {
        Self { near_mm: 2.0, far_mm: 10.0 }
    }
}

impl Limits {
    pub(super) fn near_um(&self) -> f64 {
        self.near_mm * 1000.0
    }

    pub(super) fn far_um(&self) -> f64 {
        self.far_mm * 1000.0
    }
}

/// How many near and far pairs of each slide are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairCount {
    /// All pairs if no slide has more than 10 000 tiles; otherwise a million near and a million far pairs of
    /// every slide.
    #[default]
    Auto,
    /// All pairs.
    All,
    /// This many near and far pairs of each slide, drawn at random; all if there are fewer.
    PerSlide(usize),
}

/// Settings of an ADDR measurement.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct AddrSettings {
    /// Limits of near and far pairs.
    pub limits: Limits,
    /// Number of pairs compared.
    pub pairs: PairCount,
    /// Seed for drawing pairs.
    pub seed: u64,
}

/// Sum of the descriptor distances of near or far pairs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Number of pairs.
    pub pairs: u64,
    /// Sum of the descriptor distances.
    pub sum: f64,
}

impl Spread {
    /// Returns the mean descriptor distance; NaN without pairs.
    pub fn mean(&self) -> f64 {
        self.sum / self.pairs as f64
    }

    fn add(&mut self, other: &Self, times: f64) {
        self.pairs += (other.pairs as f64 * times) as u64;
        self.sum += other.sum * times;
    }
}

/// ADDR of one slide.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlideAddr {
    /// Index of the slide.
    pub slide: u32,
    /// Near pairs of the slide.
    pub near: Spread,
    /// Far pairs of the slide.
    pub far: Spread,
}

impl SlideAddr {
    /// Returns the mean distance of far pairs divided by that of near pairs.
    pub fn ratio(&self) -> f64 {
        self.far.mean() / self.near.mean()
    }
}

/// Distributions of the descriptor distances of near and far pairs, over all slides that have both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DistanceHistogram {
    /// Width of a bin in descriptor distance; the first bin begins at 0.
    pub bin: f64,
    /// Share of the near pairs in each bin; the shares sum to 1.
    pub near: Vec<f64>,
    /// Share of the far pairs in each bin; the shares sum to 1.
    pub far: Vec<f64>,
}

impl DistanceHistogram {
    /// Returns the distances at which a bin begins and ends.
    pub fn range(&self, bin: usize) -> [f64; 2] {
        [self.bin * bin as f64, self.bin * (bin + 1) as f64]
    }
}

/// ADDR of one encoder on a sample of tiles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Addr {
    /// Mean distance of all far pairs divided by the mean distance of all near pairs, over all slides
    /// together.
    pub global: f64,
    /// 95 % interval of `global` from resampling slides; `None` with a single slide.
    pub ci95: Option<[f64; 2]>,
    /// Median of the slides' ratios.
    pub median_per_slide: f64,
    /// Mean of the slides' ratios.
    pub mean_per_slide: f64,
    /// Near pairs of all slides.
    pub near: Spread,
    /// Far pairs of all slides.
    pub far: Spread,
    /// Slides that have both near and far pairs.
    pub per_slide: Vec<SlideAddr>,
    /// Indices of slides without near or without far pairs; their pairs are not counted.
    pub skipped: Vec<u32>,
    /// Distributions of the distances.
    pub histogram: DistanceHistogram,
}

/// Measures the ADDR of `descriptors` of `tiles`.
///
/// # Errors
/// [`EvaluationError::NoPairs`] when no slide has both near and far pairs, [`EvaluationError::Limits`] for
/// invalid limits, and [`EvaluationError::Lengths`] when `tiles` do not match.
pub fn measure(
    descriptors: Descriptors<'_>,
    tiles: &Tiles,
    settings: &AddrSettings,
    resampling: &Resampling,
) -> Result<Addr, EvaluationError> {
    tiles.check(descriptors)?;
    let Limits { near_mm, far_mm } = settings.limits;
    if !(near_mm > 0.0 && far_mm >= near_mm && far_mm.is_finite()) {
        return Err(EvaluationError::Limits { near_mm, far_mm });
    }
    let rows = tiles.rows_by_slide();
    let pairs = match settings.pairs {
        PairCount::Auto if rows.iter().all(|rows| rows.len() <= ALL_PAIRS_UP_TO) => PairCount::All,
        PairCount::Auto => PairCount::PerSlide(DRAWN_PAIRS),
        set => set,
    };
    let bins = Bins::fitting(descriptors);
    let mut per_slide = Vec::new();
    let mut skipped = Vec::new();
    let mut total = Tally::new();
    for (slide, rows) in (0..).zip(&rows).filter(|(_, rows)| !rows.is_empty()) {
        let at_um: Vec<[f64; 2]> = rows.iter().map(|row| tiles.positions_um[*row as usize]).collect();
        let finder = PairFinder { at_um: &at_um, limits: settings.limits };
        let distance = |a: usize, b: usize| descriptors.distance(rows[a] as usize, rows[b] as usize);
        let tally = match pairs {
            PairCount::PerSlide(count) => {
                let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
                random.set_stream(u64::from(slide));
                let near = finder.draw_near(count, &mut random);
                let far = finder.draw_far(count, &mut random);
                drawn(&near, &far, &bins, distance)
            }
            PairCount::All | PairCount::Auto => all(&finder, &bins, distance),
        };
        if tally.near.spread.pairs == 0 || tally.far.spread.pairs == 0 {
            skipped.push(slide);
            continue;
        }
        per_slide.push(SlideAddr { slide, near: tally.near.spread, far: tally.far.spread });
        total = total.with(tally);
    }
    let global = ratio_of(&per_slide, None).ok_or(EvaluationError::NoPairs { near_mm, far_mm })?;
    let ratios: Vec<f64> = per_slide.iter().map(SlideAddr::ratio).collect();
    Ok(Addr {
        global,
        ci95: resampling.interval(per_slide.len(), |counts| ratio_of(&per_slide, Some(counts))),
        mean_per_slide: ratios.iter().sum::<f64>() / ratios.len() as f64,
        median_per_slide: median(ratios).unwrap_or(f64::NAN),
        near: total.near.spread,
        far: total.far.spread,
        per_slide,
        skipped,
        histogram: bins.histogram(&total),
    })
}

/// Returns the global ADDR of `a` minus that of `b` (same tiles, same settings), and its 95 % interval from
/// the same draws of slides for both.
pub fn difference(a: &Addr, b: &Addr, resampling: &Resampling) -> (f64, Option<[f64; 2]>) {
    let interval = resampling.interval(a.per_slide.len().min(b.per_slide.len()), |counts| {
        Some(ratio_of(&a.per_slide, Some(counts))? - ratio_of(&b.per_slide, Some(counts))?)
    });
    (a.global - b.global, interval)
}

/// Returns the ratio of the mean far and near distances over slides, each weighted by its number in `counts`;
/// `None` without near or far pairs.
fn ratio_of(slides: &[SlideAddr], counts: Option<&[u32]>) -> Option<f64> {
    let (mut near, mut far) = (Spread::default(), Spread::default());
    for (index, slide) in slides.iter().enumerate() {
        let times = counts.map_or(1.0, |counts| f64::from(counts[index]));
        near.add(&slide.near, times);
        far.add(&slide.far, times);
    }
    (near.pairs > 0 && far.pairs > 0 && near.sum > 0.0).then(|| far.mean() / near.mean())
}

/// Compares every tile of a slide with every other.
fn all(finder: &PairFinder<'_>, bins: &Bins, distance: impl Fn(usize, usize) -> f32 + Sync) -> Tally {
    let tiles = finder.at_um.len();
    (0..tiles)
        .into_par_iter()
        .fold(Tally::new, |mut tally, a| {
            for b in a + 1..tiles {
                if finder.is_near(a, b) {
                    tally.near.add(distance(a, b), bins);
                }
                if finder.is_far(a, b) {
                    tally.far.add(distance(a, b), bins);
                }
            }
            tally
        })
        .reduce(Tally::new, Tally::with)
}

/// Compares the drawn pairs.
fn drawn(
    near: &[(u32, u32)],
    far: &[(u32, u32)],
    bins: &Bins,
    distance: impl Fn(usize, usize) -> f32 + Sync,
) -> Tally {
    let gather = |pairs: &[(u32, u32)]| {
        pairs
            .par_chunks(4096)
            .map(|chunk| {
                let mut kind = Kind::new();
                chunk.iter().for_each(|(a, b)| kind.add(distance(*a as usize, *b as usize), bins));
                kind
            })
            .reduce(Kind::new, Kind::with)
    };
    Tally { near: gather(near), far: gather(far) }
}

/// Distances of near or far pairs.
struct Kind {
    spread: Spread,
    bins: Vec<u64>,
}

impl Kind {
    fn new() -> Self {
        Self { spread: Spread::default(), bins: vec![0; FINE_BINS] }
    }

    fn add(&mut self, distance: f32, bins: &Bins) {
        self.spread.pairs += 1;
        self.spread.sum += f64::from(distance);
        self.bins[((f64::from(distance) / bins.fine) as usize).min(FINE_BINS - 1)] += 1;
    }

    fn with(mut self, other: Self) -> Self {
        self.spread.add(&other.spread, 1.0);
        self.bins.iter_mut().zip(&other.bins).for_each(|(sum, count)| *sum += count);
        self
    }
}

/// Distances of near and far pairs.
struct Tally {
    near: Kind,
    far: Kind,
}

impl Tally {
    fn new() -> Self {
        Self { near: Kind::new(), far: Kind::new() }
    }

    fn with(self, other: Self) -> Self {
        Self { near: self.near.with(other.near), far: self.far.with(other.far) }
    }
}

/// Number of bins in which distances are counted.
const FINE_BINS: usize = 2048;

/// Approximate number of bins in the resulting histogram.
const SHOWN_BINS: usize = 48;

/// Bins in which distances are counted.
struct Bins {
    /// Width of a fine bin.
    fine: f64,
}

impl Bins {
    /// Returns bins that cover every distance between `descriptors`: at most twice the largest distance to
    /// their mean.
    fn fitting(descriptors: Descriptors<'_>) -> Self {
        let mean = super::health::mean(descriptors);
        let mean: Vec<f32> = mean.iter().map(|value| *value as f32).collect();
        let radius = descriptors
            .values()
            .par_chunks_exact(descriptors.width())
            .map(|row| histokin_core::index::squared_distance(row, &mean).sqrt())
            .reduce(|| 0.0, f32::max);
        Self { fine: (2.0 * f64::from(radius) / FINE_BINS as f64).max(f64::MIN_POSITIVE) }
    }

    /// Merges the fine bins into a histogram.
    fn histogram(&self, tally: &Tally) -> DistanceHistogram {
        let used = (0..FINE_BINS)
            .rev()
            .find(|bin| tally.near.bins[*bin] + tally.far.bins[*bin] > 0)
            .map_or(1, |last| last + 1);
        let joined = used.div_ceil(SHOWN_BINS).max(1);
        let shares = |kind: &Kind| {
            kind.bins[..used]
                .chunks(joined)
                .map(|bins| bins.iter().sum::<u64>() as f64 / kind.spread.pairs.max(1) as f64)
                .collect()
        };
        DistanceHistogram {
            bin: self.fine * joined as f64,
            near: shares(&tally.near),
            far: shares(&tally.far),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Class;

    /// Returns tiles along a line whose descriptors are their position in mm times the slide's number, from
    /// 1, so that distances are known.
    fn line(tiles: usize, slides: u32) -> (Vec<f32>, Tiles) {
        stretched_line(tiles, slides, |slide| (slide + 1) as f32)
    }

    /// Returns tiles one millimetre apart along a line on each slide; descriptors are the position in mm
    /// times the slide's stretch factor.
    pub fn stretched_line(tiles: usize, slides: u32, stretch: fn(u32) -> f32) -> (Vec<f32>, Tiles) {
        let mut known = Tiles::default();
        let mut values = Vec::new();
        for slide in 0..slides {
            for tile in 0..tiles {
                known.positions_um.push([1000.0 * tile as f64, 0.0]);
                known.slides.push(slide);
                known.patients.push(slide);
                known.classes.push(Some(Class(0)));
                values.push(tile as f32 * stretch(slide));
            }
        }
        (values, known)
    }

    fn settings(pairs: PairCount) -> AddrSettings {
        AddrSettings { limits: Limits { near_mm: 1.5, far_mm: 3.5 }, pairs, seed: 7 }
    }

    #[test]
    fn the_ratio_is_that_of_all_pairs_together() {
        // Six positions: near pairs are 1 apart (5 pairs), far pairs 4 and 5 apart (2 and 1 pairs): mean 13 /
        // 3.
        let (values, tiles) = line(6, 2);
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let addr = measure(descriptors, &tiles, &settings(PairCount::Auto), &Resampling::default()).unwrap();
        assert_eq!((addr.near.pairs, addr.far.pairs), (10, 6));
        assert!((addr.global - 13.0 / 3.0).abs() < 1e-6);
        assert!((addr.median_per_slide - 13.0 / 3.0).abs() < 1e-6);
        let sum: f64 = addr.histogram.far.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }

    #[test]
    fn drawing_more_pairs_than_there_are_gives_all() {
        let (values, tiles) = line(9, 3);
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let resampling = Resampling::default();
        let all = measure(descriptors, &tiles, &settings(PairCount::All), &resampling).unwrap();
        let drawn = measure(descriptors, &tiles, &settings(PairCount::PerSlide(1000)), &resampling).unwrap();
        assert!((all.global - drawn.global).abs() < 1e-9);
        assert_eq!(all.far.pairs, drawn.far.pairs);
    }

    #[test]
    fn slides_without_far_pairs_are_left_out_and_named() {
        let (mut values, mut tiles) = line(6, 1);
        values.extend([9.0, 1.0]);
        tiles.positions_um.extend([[0.0, 0.0], [1000.0, 0.0]]);
        tiles.slides.extend([1, 1]);
        tiles.patients.extend([1, 1]);
        tiles.classes.extend([None, None]);
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let addr = measure(descriptors, &tiles, &settings(PairCount::All), &Resampling::default()).unwrap();
        assert_eq!((addr.skipped.as_slice(), addr.near.pairs), ([1].as_slice(), 5));
        assert_eq!(addr.ci95, None, "one slide gives no interval");

        let far = AddrSettings { limits: Limits::default(), ..settings(PairCount::All) };
        let none = measure(descriptors, &tiles, &far, &Resampling::default());
        assert!(none.unwrap_err().to_string().contains("shorter limits"));
    }

    #[test]
    fn an_encoder_compared_with_itself_differs_by_nothing() {
        let (values, tiles) = line(9, 4);
        let descriptors = Descriptors::new(&values, 1).unwrap();
        let addr = measure(descriptors, &tiles, &settings(PairCount::All), &Resampling::default()).unwrap();
        assert_eq!(difference(&addr, &addr, &Resampling::default()), (0.0, Some([0.0, 0.0])));
    }
}
