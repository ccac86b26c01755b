//! Descriptors compressed to 64 bytes, for data that is too flat for a tree: what a search compares of all tiles is
//! small, and lies in their order.
//!
//! A layer is a point of 32 numbers: coordinates along 31 principal axes, and the norm of what is beyond them. The
//! first layer has the first axes, the second layer the next ones. Both map descriptors to points that are never
//! farther apart, and so does clamping them to a range. The numbers are then rounded to whole steps, in a byte each.
//! Thus with `s` the length of a step, `c` the bytes, `e_y` the norm of the query's rounding error and `e` that of
//! the tile with the largest, in steps: `‖x − y‖ ≥ s · (‖c_x − c_y‖ − e − e_y)`. In two layers together, the second
//! replaces the norm in the first one.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::basis::{AXES, Projected};
use super::layer_loops::{self, BLOCK_TILES, BlockDistances, LANES, Layer, LayerBlock, NORM, Passed};

/// Number of axes of a layer; its last lane is a norm.
const LAYER_AXES: usize = NORM;

/// Number of steps on either side of the middle.
const STEPS: f64 = 127.0;

/// Share of the numbers of a sample that are clamped, so that outliers do not enlarge the step for all others.
const CLAMPED: f64 = 2e-4;

/// Conversion of the numbers of a layer to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Length of a step.
    step: f64,
    /// Middle of the norms of each layer.
    middle: [f64; 2],
    /// Largest norms of the rounding errors of any tile, of its first layer and of both, in steps.
    lost: [f32; 2],
}

/// The layers of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoded {
    /// First and second layer.
    pub layers: [Layer; 2],
    /// Norms of the rounding errors of the first layer and of both, in steps, rounded up.
    pub lost: [f32; 2],
}

impl Scale {
    /// Chooses a scale by a sample of the descriptors.
    pub fn of_sample<'a>(sample: impl ExactSizeIterator<Item = &'a Projected> + Clone) -> Self {
        let mean = |layer: usize| {
            sample.clone().map(|projected| norm(projected, layer)).sum::<f64>() / sample.len().max(1) as f64
        };
        let middle = [mean(0), mean(1)];
        let unscaled = Self { step: 1.0, middle, lost: [0.0; 2] };
        let lanes = |projected: &Projected| [0, 1].map(|layer| unscaled.lanes(projected, layer));
        let mut sizes: Vec<f64> = sample.clone().flat_map(lanes).flatten().map(f64::abs).collect();
        sizes.sort_by(f64::total_cmp);
        let clamped = (sizes.len() as f64 * CLAMPED) as usize;
        let most = sizes.len().checked_sub(1 + clamped).map_or(0.0, |place| sizes[place]);
        // Equal tiles need no steps.
        Self { step: if most > 0.0 { most / STEPS } else { 1.0 }, ..unscaled }
    }

    /// Returns the scale for tiles whose rounding errors have at most these norms.
    pub fn with_lost(self, lost: [f32; 2]) -> Self {
        Self { lost, ..self }
    }

    /// Returns the layers of a descriptor.
    pub fn encode(&self, projected: &Projected) -> Encoded {
        let lanes = [0, 1].map(|layer| self.lanes(projected, layer).map(|value| value.clamp(-STEPS, STEPS)));
        let error = |value: &f64| (value - value.round_ties_even()).powi(2);
        let [first, second] = [0, 1].map(|layer| lanes[layer].iter().map(error).sum::<f64>());
        let both = (first - error(&lanes[0][NORM])).max(0.0) + second;
        Encoded {
            layers: lanes.map(|lanes| lanes.map(|value| (value.round_ties_even() + STEPS) as u8)),
            lost: [first, both].map(|squared| (squared.sqrt() as f32).next_up()),
        }
    }

    /// Returns the numbers of a layer, in steps, neither clamped nor rounded.
    fn lanes(&self, projected: &Projected, layer: usize) -> [f64; LANES] {
        let mut lanes = [0.0; LANES];
        lanes[..LAYER_AXES].copy_from_slice(&projected.along[layer * LAYER_AXES..][..LAYER_AXES]);
        lanes[NORM] = norm(projected, layer) - self.middle[layer];
        lanes.map(|value| value / self.step)
    }
}

const _: () = assert!(AXES == 2 * LAYER_AXES, "the layers hold all axes");

/// Returns the norm of what is beyond the axes of a layer.
fn norm(projected: &Projected, layer: usize) -> f64 {
    projected.residual_after((layer + 1) * LAYER_AXES)
}

/// Brings blocks that were filled tile by tile into their order, by pairs of lanes.
pub fn arrange(blocks: &mut [LayerBlock]) {
    blocks.par_iter_mut().for_each(|block| {
        let mut tiles = [Layer::default(); BLOCK_TILES];
        tiles.copy_from_slice(bytemuck::cast_slice(block.as_slice()));
        for (place, tile) in tiles.iter().enumerate() {
            for (lanes, values) in block.iter_mut().zip(tile.chunks_exact(2)) {
                lanes[2 * place..][..2].copy_from_slice(values);
            }
        }
    });
}

/// A query prepared for comparison with layers.
#[derive(Debug, Clone)]
pub struct LayerProbe {
    layers: [Layer; 2],
    step: f64,
    /// Most that rounding may have added to a distance of first layers, and of both, in steps.
    lost: [f64; 2],
}

impl LayerProbe {
    /// Prepares a projected query.
    pub fn new(projected: &Projected, scale: &Scale) -> Self {
        let Encoded { layers, lost } = scale.encode(projected);
        let lost = [0, 1].map(|layers| f64::from(lost[layers]) + f64::from(scale.lost[layers]));
        Self { layers, step: scale.step, lost }
    }

    /// Returns the largest squared distances, in steps, of the first layer and of both of a tile within `radius` of the
    /// query.
    pub fn limits(&self, radius: f32) -> [u32; 2] {
        // A step of allowance for rounding is more than enough; infinity becomes the largest number.
        self.lost.map(|lost| ((f64::from(radius) / self.step + lost).powi(2) + 1.0) as u32)
    }

    /// Compares the first layers in `blocks`, as [`layer_loops::compare_first`] does.
    pub fn compare_first(&self, blocks: &[LayerBlock], distances: &mut [BlockDistances], least: &mut [u16]) {
        layer_loops::compare_first(&self.layers[0], blocks, distances, least);
    }

    /// Finds those of the `passed` tiles whose layers are within `limit`, as [`layer_loops::pass_both`] does.
    pub fn pass_both(
        &self,
        (blocks, seconds): (&[LayerBlock], &[Layer]),
        passed: &[Passed],
        limit: u32,
        left: &mut [Passed],
    ) -> usize {
        layer_loops::pass_both(&self.layers, blocks, seconds, passed, limit, left)
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

    /// A block with one tile.
    fn block_with(place: usize, layer: Layer) -> LayerBlock {
        let mut blocks = [[[0; 2 * BLOCK_TILES]; PAIRS]];
        let tiles: &mut [Layer] = bytemuck::cast_slice_mut(&mut blocks);
        tiles[place] = layer;
        arrange(&mut blocks);
        blocks[0]
    }

    proptest! {
        /// The points that layers stand for are at most as far apart as the descriptors.
        #[test]
        fn distances_of_layers_are_within_the_limits_of_the_true_distance(
            pairs in prop::collection::vec((-3.0f64..3.0, -0.5f64..0.5), AXES + 1),
            outlier in prop::sample::select(vec![0.0, 0.5, 40.0]),
            place in 0..BLOCK_TILES,
        ) {
            let (mut a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|(a, change)| (*a, a + change)).unzip();
            // The scale knows neither the outlier nor the second descriptor.
            let scale = Scale::of_sample([projected(&a), projected(&[0.1; AXES + 1])].iter());
            a[0] += outlier;
            let (a, b) = (projected(&a), projected(&b));
            let along: f64 = a.along.iter().zip(&b.along).map(|(a, b)| (a - b).powi(2)).sum();
            // Descriptors can be no nearer than this.
            let distance = (along + (a.residual - b.residual).powi(2)).sqrt();
            let Encoded { layers: [first, second], lost } = scale.encode(&b);
            let probe = LayerProbe::new(&a, &scale.with_lost(lost));
            let (blocks, mut seconds) = ([block_with(place, first)], [Layer::default(); BLOCK_TILES]);
            seconds[place] = second;
            let [of_first, of_both] = probe.limits(distance as f32);
            let mut distances = [[0; BLOCK_TILES]];
            probe.compare_first(&blocks, &mut distances, &mut [0]);
            let tile = Passed { place: place as u32, distance: u32::from(distances[0][place]) };
            prop_assert!(tile.distance <= of_first, "{} > {of_first}", tile.distance);
            let mut left = [Passed::default()];
            prop_assert_eq!(probe.pass_both((&blocks, &seconds), &[tile], of_both, &mut left), 1, "both are");
            // They are not much nearer either, unless clamped.
            if outlier == 0.0 && a.along.iter().zip(&b.along).all(|(a, b)| (a - b).abs() < 100.0 * scale.step) {
                let least = distance / scale.step - 2.0 * probe.lost[1];
                prop_assert!(f64::from(left[0].distance).sqrt() >= least - 1.0, "{:?} is far below {least}²", left[0]);
            }
        }
    }

    #[test]
    fn equal_tiles_and_no_radius_have_limits() {
        let tile = projected(&[0.0; AXES + 1]);
        let scale = Scale::of_sample([tile].iter());
        let probe = LayerProbe::new(&tile, &scale);
        assert!(probe.limits(0.0)[0] >= 1 && probe.limits(f32::INFINITY) == [u32::MAX; 2]);
        assert_eq!(probe.layers, scale.encode(&tile).layers);
    }
}
