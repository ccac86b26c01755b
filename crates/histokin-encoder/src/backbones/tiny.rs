//! A network of four 3 × 3 convolutions, for testing settings in seconds and for testing training.

use super::description::{Activation, BlockDescription, Family, Geometry, Padding, Unit};

const FAMILY: Family = Family { padding: Padding::Centred, norm_epsilon: 1e-5 };

/// Number of pooled features.
pub const WIDTH: i64 = 64;

/// Channels of the input and of each block's output.
const CHANNELS: [i64; 5] = [3, 16, 32, 48, WIDTH];

/// Returns the network's blocks.
pub fn blocks() -> Vec<BlockDescription> {
    let unit = |(index, pair): (usize, &[i64])| Unit {
        conv: format!("tiny.{index}.conv"),
        norm: format!("tiny.{index}.norm"),
        geometry: Geometry::dense(pair[0], pair[1], 3, 2),
        family: FAMILY,
        activation: Activation::Relu,
    };
    CHANNELS.windows(2).enumerate().map(|pair| BlockDescription::Chain(vec![unit(pair)])).collect()
}
