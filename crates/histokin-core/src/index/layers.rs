//! Descriptors compressed to 64 bytes, for data that is too flat for a tree: what a search compares of all tiles is
//! small, and lies in their order.
//!
//! A layer is a point: coordinates along principal axes, and the norm of what is beyond them. The first layer has the
//! first 49 axes, and both layers together have 105 and one norm. Such points are never farther apart than the
//! descriptors, nor are they when they are clamped to a range. Each number is then rounded to one of 128 values (*fine*
//! lanes: the first axes, along which tiles differ most, and the norms) or of 16 (*coarse* lanes). Where tiles differ about
//! as much along many axes, many coarse lanes rule out more than a few fine ones of the same size.
//!
//! With `z` the rounded point of a tile, `u` that of the query, and `e` the norm of the tile's rounding error:
//! `‖x − y‖ ≥ ‖z − u‖ − e`. In `‖z − u‖² = ‖z‖² − 2 z·u + ‖u‖²` the first term is stored with the tile, and the second is a
//! sum of products of small whole numbers. These have to be whole for the query as well: so `u` is replaced by the near
//! point `v` for which they are, and `‖u − v‖` adds to `e`. Distances are in units of `2 / t`, with `t` as large as 16 bits
//! allow for the query.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::basis::{AXES, Projected};
use super::distance::{sum_of_squares, vectorised};
use super::layer_loops::{
    self, BLOCK_TILES, BYTES, BlockDistances, COARSE_PAIRS, FINE_PAIRS, FIRST_COARSE, FirstProbe, Layer,
    LayerBlock, Passed, SECOND_COARSE, SECOND_HEAD, SecondProbe,
};

/// Number of fine lanes of the first layer; the last one is a norm.
const FINE: usize = 2 * FINE_PAIRS;
/// Number of axes of the first layer.
const FIRST_AXES: usize = FINE - 1 + FIRST_COARSE;
/// Number of lanes of the first layer. Its fine lanes come first.
const FIRST: usize = FINE + FIRST_COARSE;
/// Number of lanes of both layers. Those of the second come last: coarse ones, then a norm.
const LANES: usize = FIRST + SECOND_COARSE + 1;
/// Lanes of the norms.
const NORMS: [usize; 2] = [FINE - 1, LANES - 1];

const _: () = assert!(AXES == FIRST_AXES + SECOND_COARSE, "the layers hold all axes");

/// Numbers of values of fine and of coarse lanes.
const VALUES: (f64, f64) = (128.0, 16.0);

/// Shares of the numbers of a sample that are clamped in a fine and in a coarse lane: the range of a lane is wide where its
/// values are many.
const CLAMPED: (f64, f64) = (2e-4, 1e-2);

/// Largest weight of a lane.
const HEAVIEST: f64 = 127.0;
/// Largest weight of a lane of the second layer, which has 16 bits.
const HEAVIEST_OF_SECOND: f64 = 32_000.0;
/// Largest distance of a first layer: 16 bits, with room for what rounding adds.
const FARTHEST: f64 = 65_000.0;
/// Added to distances of first layers. Rounding their parts down takes off less than four, so that they are neither
/// below 0 nor less than two above the true ones.
const ROUNDING: f64 = 6.0;

/// Largest squared norms that are stored of the first and of the second layer.
const LARGEST: (f64, f64) = (u16::MAX as f64, i16::MAX as f64);

/// Conversion of descriptors to layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Distance of two values of each lane; 0 if all tiles are about equal there.
    steps: Vec<f64>,
    /// Middle of the norms.
    middle: [f64; 2],
    /// Largest norms of the rounding errors of any tile, of its first layer and of both.
    lost: [f32; 2],
    /// Largest squared norms that are stored of any tile.
    norms: [f64; 2],
}

/// The layers of a descriptor, without its squared norms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoded {
    /// First and second layer.
    pub layers: [Layer; 2],
    /// Norms of the rounding errors of the first layer and of both, rounded up.
    pub lost: [f32; 2],
}

/// Half of the number of values of each lane.
const HALF: [f64; LANES] = {
    let mut half = [0.0; LANES];
    let mut lane = 0;
    while lane < LANES {
        half[lane] = if is_fine(lane) { VALUES.0 / 2.0 } else { VALUES.1 / 2.0 };
        lane += 1;
    }
    half
};

vectorised! {
    /// Rounds the numbers of all lanes to values at distances of `steps`. Returns the places of the values, and the rounding
    /// errors.
    pub fn round(lanes: &[f64; LANES], steps: &[f64]) -> ([u8; LANES], [f64; LANES]) = round_lanes
}

vectorised! {
    /// Returns the sum of the squared values of the lanes of the first layer, and of those of the second.
    pub fn squared_norms(places: &[u8; LANES], steps: &[f64]) -> [f64; 2] = squared_norms_of
}

#[inline(always)]
fn round_lanes(lanes: &[f64; LANES], steps: &[f64]) -> ([u8; LANES], [f64; LANES]) {
    let (mut places, mut errors) = ([0; LANES], [0.0; LANES]);
    let steps = &steps[..LANES];
    for lane in 0..LANES {
        let (step, half) = (steps[lane], HALF[lane]);
        // Without a step, all values are 0.
        let value = if step > 0.0 { lanes[lane] / step } else { 0.0 };
        let value = value.clamp(-half, half);
        let place = (value + half).floor().min(2.0 * half - 1.0);
        places[lane] = place as u8;
        errors[lane] = step * (value - (place + 0.5 - half));
    }
    (places, errors)
}

#[inline(always)]
fn squared_norms_of(places: &[u8; LANES], steps: &[f64]) -> [f64; 2] {
    let mut values = [0.0; LANES];
    let steps = &steps[..LANES];
    for lane in 0..LANES {
        values[lane] = steps[lane] * from_middle(lane, places[lane]);
    }
    [sum_of_squares(&values[..FIRST]), sum_of_squares(&values[FIRST..])]
}

impl Scale {
    /// Chooses a scale by a sample of the descriptors.
    pub fn of_sample<'a>(sample: impl ExactSizeIterator<Item = &'a Projected> + Clone) -> Self {
        let mean = |axes: usize| {
            let norms = sample.clone().map(|projected| projected.residual_after(axes));
            norms.sum::<f64>() / sample.len().max(1) as f64
        };
        let middle = [mean(FIRST_AXES), mean(AXES)];
        let unscaled = Self { steps: vec![1.0; LANES], middle, lost: [0.0; 2], norms: [0.0; 2] };
        let rows: Vec<[f64; LANES]> = sample.map(|projected| unscaled.lanes(projected)).collect();
        let step = |lane: usize| {
            let mut sizes: Vec<f64> = rows.iter().map(|row| row[lane].abs()).collect();
            let clamped = (sizes.len() as f64 * if is_fine(lane) { CLAMPED.0 } else { CLAMPED.1 }) as usize;
            let Some(place) = sizes.len().checked_sub(1 + clamped) else { return 0.0 };
            let (_, most, _) = sizes.select_nth_unstable_by(place, f64::total_cmp);
            *most / HALF[lane]
        };
        Self { steps: (0..LANES).into_par_iter().map(step).collect(), ..unscaled }
    }

    /// Returns whether this can be the scale of a file.
    pub fn is_valid(&self) -> bool {
        let is_size = |number: &f64| *number >= 0.0 && number.is_finite();
        self.steps.len() == LANES
            && self.steps.iter().chain(&self.norms).chain(&self.lost.map(f64::from)).all(is_size)
            && self.middle.iter().all(|middle| middle.is_finite())
    }

    /// Returns the scale for tiles whose rounding errors have at most these norms.
    pub fn with_lost(self, lost: [f32; 2]) -> Self {
        Self { lost, ..self }
    }

    /// Returns the layers of a descriptor, without its squared norms.
    pub fn encode(&self, projected: &Projected) -> Encoded {
        let (places, errors) = round(&self.lanes(projected), &self.steps);
        let mut layers = [[0; BYTES]; 2];
        let (fine, coarse) = layers[0][2..].split_at_mut(FINE);
        fine.copy_from_slice(&places[..FINE]);
        pack(&places[FINE..FIRST], coarse);
        layers[1][2..SECOND_HEAD].copy_from_slice(&NORMS.map(|lane| places[lane]));
        pack(&places[FIRST..NORMS[1]], &mut layers[1][SECOND_HEAD..]);

        let [first, second] = [sum_of_squares(&errors[..FIRST]), sum_of_squares(&errors[FIRST..])];
        let both = (first - errors[NORMS[0]].powi(2)).max(0.0) + second;
        Encoded { layers, lost: [first, both].map(|squared| (squared.sqrt() as f32).next_up()) }
    }

    /// Completes the layers of all tiles, first ones tile by tile: adds squared norms, and brings the blocks of first
    /// layers into their order. Returns the scale with the largest squared norms.
    pub fn complete(self, blocks: &mut [LayerBlock], seconds: &mut [Layer]) -> Self {
        let parts = || blocks.par_iter().zip(seconds.par_chunks(BLOCK_TILES));
        let largest = |(block, seconds): (&LayerBlock, &[Layer])| {
            let firsts: &[Layer] = bytemuck::cast_slice(block);
            let norms = firsts.iter().zip(seconds).map(|(first, second)| self.squared_norms([first, second]));
            norms.fold([0.0f64; 2], |most, norms| [0, 1].map(|layer| most[layer].max(norms[layer].abs())))
        };
        let more = |a: [f64; 2], b: [f64; 2]| [0, 1].map(|layer| f64::max(a[layer], b[layer]));
        let norms = parts().map(largest).reduce(|| [0.0; 2], more);
        let scale = Self { norms, ..self };
        let [of_first, of_second] = scale.units();
        blocks.par_iter_mut().zip(seconds.par_chunks_mut(BLOCK_TILES)).for_each(|(block, seconds)| {
            let firsts: &mut [Layer] = bytemuck::cast_slice_mut(block);
            for (first, second) in firsts.iter_mut().zip(seconds) {
                let [norm_of_first, norm_of_second] = scale.squared_norms([first, second]);
                let stored = (norm_of_first / of_first).min(LARGEST.0) as u16;
                first[..2].copy_from_slice(&stored.to_le_bytes());
                // Rounded down as well, also below 0.
                let stored = (norm_of_second / of_second).floor() as i16;
                second[..2].copy_from_slice(&stored.to_le_bytes());
            }
            arrange(block);
        });
        scale
    }

    /// Returns the squared norm of a tile's first layer, and what its second layer adds, in place of the first one's norm.
    fn squared_norms(&self, [first, second]: [&Layer; 2]) -> [f64; 2] {
        let mut places = [0; LANES];
        let (fine, coarse) = first[2..].split_at(FINE);
        places[..FINE].copy_from_slice(fine);
        unpack(coarse, &mut places[FINE..FIRST]);
        unpack(&second[SECOND_HEAD..], &mut places[FIRST..NORMS[1]]);
        places[NORMS[1]] = second[3];
        let [of_first, of_second] = squared_norms(&places, &self.steps);
        let replaced = self.steps[NORMS[0]] * from_middle(NORMS[0], second[2]);
        [of_first, of_second - replaced * replaced]
    }

    /// Returns the units of stored squared norms, slightly larger than needed, so that the largest one fits.
    fn units(&self) -> [f64; 2] {
        let unit = |norm: f64, largest: f64| norm.max(f64::MIN_POSITIVE) * (1.0 + 1e-9) / largest;
        [unit(self.norms[0], LARGEST.0), unit(self.norms[1], LARGEST.1)]
    }

    /// Returns the numbers of all lanes.
    fn lanes(&self, projected: &Projected) -> [f64; LANES] {
        let mut lanes = [0.0; LANES];
        let (first, second) = projected.along.split_at(FIRST_AXES);
        lanes[..NORMS[0]].copy_from_slice(&first[..NORMS[0]]);
        lanes[NORMS[0]] = projected.residual_after(FIRST_AXES) - self.middle[0];
        lanes[FINE..FIRST].copy_from_slice(&first[NORMS[0]..]);
        lanes[FIRST..NORMS[1]].copy_from_slice(second);
        lanes[NORMS[1]] = projected.residual_after(AXES) - self.middle[1];
        lanes
    }
}

const fn is_fine(lane: usize) -> bool {
    lane < FINE || lane == NORMS[1]
}

/// Returns the value at a place of a lane, in steps.
#[inline(always)]
fn from_middle(lane: usize, place: u8) -> f64 {
    f64::from(place) + 0.5 - HALF[lane]
}

/// Writes the places of coarse lanes into half as many bytes.
fn pack(places: &[u8], bytes: &mut [u8]) {
    let (lower, upper) = places.split_at(bytes.len());
    for ((byte, lower), upper) in bytes.iter_mut().zip(lower).zip(upper) {
        *byte = lower | upper << 4;
    }
}

/// Reads the places of coarse lanes.
fn unpack(bytes: &[u8], places: &mut [u8]) {
    let (lower, upper) = places.split_at_mut(bytes.len());
    for ((byte, lower), upper) in bytes.iter().zip(lower).zip(upper) {
        (*lower, *upper) = (byte & 0xF, byte >> 4);
    }
}

/// Brings a block that was filled tile by tile into its order, by pairs of bytes.
fn arrange(block: &mut LayerBlock) {
    let mut tiles = [Layer::default(); BLOCK_TILES];
    tiles.copy_from_slice(bytemuck::cast_slice(block.as_slice()));
    for (place, tile) in tiles.iter().enumerate() {
        for (pairs, values) in block.iter_mut().zip(tile.chunks_exact(2)) {
            pairs[2 * place..][..2].copy_from_slice(values);
        }
    }
}

/// A query prepared for comparison with layers.
#[derive(Debug, Clone)]
pub struct LayerProbe {
    first: FirstProbe,
    second: SecondProbe,
    /// Units of distances in one of squared length.
    per_squared: f64,
    /// Most that rounding may have added to a distance of first layers, and of both.
    lost: [f64; 2],
}

impl LayerProbe {
    /// Prepares a projected query.
    pub fn new(projected: &Projected, scale: &Scale) -> Self {
        let lanes = scale.lanes(projected);
        let steps = &scale.steps;
        let wanted: [f64; LANES] = std::array::from_fn(|lane| {
            let most = steps[lane] * HALF[lane];
            lanes[lane].clamp(-most, most)
        });
        let heaviest = |lanes: std::ops::Range<usize>| {
            let weights = lanes.map(|lane| steps[lane] * wanted[lane].abs());
            weights.fold(f64::MIN_POSITIVE, f64::max)
        };
        let weight = |lane: usize, per_unit: f64| (per_unit * steps[lane] * wanted[lane]).round();
        // The number that a weight stands for.
        let number = |lane: usize, per_unit: f64| match steps[lane] {
            step if step > 0.0 => weight(lane, per_unit) / (per_unit * step),
            _ => 0.0,
        };
        let norm = |lanes: std::ops::Range<usize>, number: &dyn Fn(usize) -> f64| {
            lanes.map(|lane| number(lane).powi(2)).sum::<f64>().sqrt()
        };

        let of_tiles = scale.norms[0].sqrt();
        let fits = |per_unit: f64| {
            let of_query = norm(0..FIRST, &|lane| number(lane, per_unit));
            per_unit / 2.0 * (of_tiles + of_query).powi(2) <= FARTHEST
        };
        let farthest = (of_tiles + norm(0..FIRST, &|lane| wanted[lane])).max(f64::from(f32::MIN_POSITIVE));
        let mut per_unit = (HEAVIEST / heaviest(0..FIRST)).min(2.0 * FARTHEST / farthest.powi(2));
        // Rounding weights may lengthen the query.
        while !fits(per_unit) {
            per_unit *= 0.9;
        }
        let per_unit_of_second = (16.0 * per_unit).min(HEAVIEST_OF_SECOND / heaviest(FIRST..LANES));

        let of_lane = |lane: usize| number(lane, if lane < FIRST { per_unit } else { per_unit_of_second });
        let error = |lane: usize| (wanted[lane] - of_lane(lane)).powi(2);
        let [first, second] = [0..FIRST, FIRST..LANES].map(|lanes| lanes.map(error).sum::<f64>());
        let both = (first - error(NORMS[0])).max(0.0) + second;
        let lost = [first, both].map(f64::sqrt);

        // What a lane adds at its first place.
        let at_first = |lane: usize| {
            let (number, first) = (of_lane(lane), steps[lane] * from_middle(lane, 0));
            per_unit * (number * number / 2.0 - first * number)
        };
        let [of_first, of_second] = scale.units().map(|unit| unit * per_unit / 2.0);
        let small = |lane: usize| weight(lane, per_unit) as i8;
        let large = |lane: usize| weight(lane, per_unit_of_second) as i16;
        let start = ((0..FIRST).map(at_first).sum::<f64>() + ROUNDING).floor();
        let first = FirstProbe {
            start: start.rem_euclid(65_536.0) as u16,
            norm: (of_first * 65_536.0) as u16,
            fine: std::array::from_fn(|pair| [2 * pair, 2 * pair + 1].map(small)),
            coarse: std::array::from_fn(|pair| {
                let lower = [FINE + 2 * pair, FINE + 2 * pair + 1];
                [lower, lower.map(|lane| lane + 2 * COARSE_PAIRS)].map(|lanes| lanes.map(small))
            }),
        };
        let coarse = |start: usize| {
            std::array::from_fn(|byte| byte.checked_sub(SECOND_HEAD).map_or(0, |place| large(start + place)))
        };
        let second = SecondProbe {
            start: (FIRST..LANES).map(at_first).sum::<f64>() - at_first(NORMS[0]) - ROUNDING,
            norm: of_second,
            shared: f64::from(small(NORMS[0])),
            scale: per_unit / per_unit_of_second,
            fine: large(NORMS[1]),
            coarse: [coarse(FIRST), coarse(FIRST + SECOND_COARSE / 2)],
        };
        let lost = [0, 1].map(|layers| lost[layers] + f64::from(scale.lost[layers]));
        Self { first, second, per_squared: per_unit / 2.0, lost }
    }

    /// Returns the largest squared distances, in units of the query, of the first layer and of both of a tile within
    /// `radius` of the query.
    pub fn limits(&self, radius: f32) -> [u32; 2] {
        // One more for rounding; infinity becomes the largest number.
        let limit = |lost: f64, more: f64| {
            (self.per_squared * (f64::from(radius) + lost).powi(2) + more + 1.0) as u32
        };
        [limit(self.lost[0], ROUNDING), limit(self.lost[1], 0.0)]
    }

    /// Compares the first layers in `blocks`, as [`layer_loops::compare_first`] does.
    pub fn compare_first(&self, blocks: &[LayerBlock], distances: &mut [BlockDistances], least: &mut [u16]) {
        layer_loops::compare_first(&self.first, blocks, distances, least);
    }

    /// Finds those of the `passed` tiles whose layers are both within `limit`, as [`layer_loops::pass_second`] does.
    pub fn pass_second(
        &self,
        seconds: &[Layer],
        passed: &[Passed],
        limit: u32,
        left: &mut [Passed],
    ) -> usize {
        layer_loops::pass_second(&self.second, seconds, passed, limit, left)
    }
}

#[cfg(test)]
mod tests {
    use super::layer_loops::PAIRS;
    use super::*;
    use proptest::prelude::*;

    fn projected(values: &[f64]) -> Projected {
        let mut along = [0.0; AXES];
        along.copy_from_slice(&values[..AXES]);
        Projected { along, residual: values[AXES].abs() }
    }

    /// A block of tiles with their layers, and the scale that belongs to them.
    fn encoded(tiles: &[Projected], scale: Scale) -> (LayerBlock, Vec<Layer>, Scale) {
        let mut blocks = [[[0; 2 * BLOCK_TILES]; PAIRS]];
        let mut seconds = vec![Layer::default(); tiles.len()];
        let mut lost = [0.0f32; 2];
        let firsts: &mut [Layer] = bytemuck::cast_slice_mut(&mut blocks);
        for ((tile, first), second) in tiles.iter().zip(firsts).zip(&mut seconds) {
            let of_tile = scale.encode(tile);
            [*first, *second] = of_tile.layers;
            lost = [0, 1].map(|layers| lost[layers].max(of_tile.lost[layers]));
        }
        let scale = scale.with_lost(lost).complete(&mut blocks, &mut seconds);
        (blocks[0], seconds, scale)
    }

    proptest! {
        /// The points that layers stand for are at most as far apart as the descriptors.
        #[test]
        fn distances_of_layers_are_within_the_limits_of_the_true_distance(
            pairs in prop::collection::vec((-3.0f64..3.0, -0.5f64..0.5), AXES + 1),
            outlier in prop::sample::select(vec![0.0, 0.5, 40.0]),
            size in prop::sample::select(vec![1e-15, 1e-3, 1.0, 1e12]),
            place in 0..BLOCK_TILES,
        ) {
            let (mut a, b): (Vec<f64>, Vec<f64>) =
                pairs.iter().map(|(a, change)| (size * a, size * (a + change))).unzip();
            // The scale knows neither the outlier nor the second descriptor.
            let known = [projected(&a), projected(&[0.1 * size; AXES + 1])];
            let scale = Scale::of_sample(known.iter());
            a[0] += size * outlier;
            let (a, b) = (projected(&a), projected(&b));
            let along: f64 = a.along.iter().zip(&b.along).map(|(a, b)| (a - b).powi(2)).sum();
            // Descriptors can be no nearer than this.
            let distance = (along + (a.residual - b.residual).powi(2)).sqrt();
            let mut tiles = [known[1]; BLOCK_TILES];
            tiles[place] = b;
            let (block, seconds, scale) = encoded(&tiles, scale);
            prop_assert!(scale.is_valid());

            let probe = LayerProbe::new(&a, &scale);
            let [of_first, of_both] = probe.limits((distance as f32).next_up());
            let mut distances = [[0; BLOCK_TILES]];
            probe.compare_first(&[block], &mut distances, &mut [0]);
            let tile = Passed { place: place as u32, distance: u32::from(distances[0][place]) };
            prop_assert!(tile.distance <= of_first, "{} > {of_first}", tile.distance);
            let mut left = [Passed::default()];
            prop_assert_eq!(probe.pass_second(&seconds, &[tile], of_both, &mut left), 1, "both are");
            // They are not much nearer either, unless clamped.
            let in_range = |tile: &Projected| {
                let lanes = scale.lanes(tile);
                (0..LANES).all(|lane| lanes[lane].abs() <= scale.steps[lane] * HALF[lane])
            };
            if in_range(&a) && in_range(&b) {
                let found = ((f64::from(left[0].distance) + ROUNDING) / probe.per_squared).sqrt();
                prop_assert!(found >= distance - probe.lost[1], "{found} is far below {distance}");
            }
        }
    }

    #[test]
    fn equal_tiles_and_no_radius_have_limits() {
        let tile = projected(&[0.0; AXES + 1]);
        let (block, seconds, scale) = encoded(&[tile; 3], Scale::of_sample([tile].iter()));
        assert!(scale.is_valid());
        let probe = LayerProbe::new(&tile, &scale);
        let [of_first, of_both] = probe.limits(0.0);
        assert!(probe.limits(f32::INFINITY) == [u32::MAX; 2]);
        let mut distances = [[0; BLOCK_TILES]];
        probe.compare_first(&[block], &mut distances, &mut [0]);
        let passed =
            [0, 1, 2].map(|place| Passed { place, distance: u32::from(distances[0][place as usize]) });
        assert!(passed.iter().all(|tile| tile.distance <= of_first));
        assert_eq!(probe.pass_second(&seconds, &passed, of_both, &mut [Passed::default(); 3]), 3);
    }

    #[test]
    fn scales_of_damaged_files_are_not_valid() {
        let tile = projected(&[0.5; AXES + 1]);
        let scale = || Scale::of_sample([tile].iter());
        assert!(scale().is_valid());
        assert!(!Scale { steps: vec![1.0; LANES - 1], ..scale() }.is_valid());
        assert!(!Scale { steps: vec![f64::NAN; LANES], ..scale() }.is_valid());
        assert!(!Scale { norms: [-1.0, 0.0], ..scale() }.is_valid());
        assert!(!Scale { lost: [0.0, f32::INFINITY], ..scale() }.is_valid());
        assert!(!Scale { middle: [f64::NAN; 2], ..scale() }.is_valid());
    }
}
