//! A network of four 3 × 3 convolutions, for testing settings in seconds and for testing training.

use tch::{TchError, nn};

use super::layers::{Activation, Block, ConvUnit, Family, Geometry, Padding};

const FAMILY: Family = Family { padding: Padding::Centred, norm_epsilon: 1e-5 };

/// Number of pooled features.
pub const WIDTH: i64 = 64;

/// Channels of the input and of each block's output.
const CHANNELS: [i64; 5] = [3, 16, 32, 48, WIDTH];

/// Returns the number of output channels of each block.
pub fn widths() -> Vec<usize> {
    CHANNELS[1..].iter().map(|channels| *channels as usize).collect()
}

/// Builds the network's blocks under `path`.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub fn blocks(path: &nn::Path) -> Result<Vec<Block>, TchError> {
    let path = path / "tiny";
    let units = CHANNELS.windows(2).enumerate().map(|(index, pair)| {
        let geometry = Geometry::dense(pair[0], pair[1], 3, 2);
        let path = &path / index;
        ConvUnit::new(&(&path / "conv"), &(&path / "norm"), geometry, FAMILY, Activation::Relu)
    });
    units.map(|unit| Ok(Block::Chain(vec![unit?]))).collect()
}
