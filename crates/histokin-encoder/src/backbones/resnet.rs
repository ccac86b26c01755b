//! ResNet-18, -34 and -50 (He et al. 2016, "Deep residual learning for image recognition"), with
//! torchvision's parameter names and, as there, the stride in the 3 × 3 convolution.

use tch::{TchError, nn};

use super::layers::{Activation, Block, ConvUnit, Family, Geometry, Padding};

const FAMILY: Family = Family { padding: Padding::Centred, norm_epsilon: 1e-5 };

/// Channels of the four stages before a bottleneck's expansion.
const STAGE_CHANNELS: [i64; 4] = [64, 128, 256, 512];

/// Returns the number of output channels of each block; `expansion` is that of the residual blocks.
pub fn widths(depths: [usize; 4], expansion: usize) -> Vec<usize> {
    let stages = depths
        .into_iter()
        .zip(STAGE_CHANNELS)
        .flat_map(|(depth, channels)| std::iter::repeat_n(channels as usize * expansion, depth));
    [64, 64].into_iter().chain(stages).collect()
}

/// Builds a network whose residual blocks have two 3 × 3 convolutions.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub fn basic(path: &nn::Path, depths: [usize; 4]) -> Result<Vec<Block>, TchError> {
    stages(path, depths, 1, |inputs, channels, stride| {
        vec![Geometry::dense(inputs, channels, 3, stride), Geometry::dense(channels, channels, 3, 1)]
    })
}

/// Builds a network whose residual blocks have a 1 × 1 convolution that reduces the channels, a 3 × 3
/// convolution, and a 1 × 1 convolution that expands the channels fourfold.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub fn bottleneck(path: &nn::Path, depths: [usize; 4]) -> Result<Vec<Block>, TchError> {
    stages(path, depths, 4, |inputs, channels, stride| {
        vec![
            Geometry::dense(inputs, channels, 1, 1),
            Geometry::dense(channels, channels, 3, stride),
            Geometry::dense(channels, channels * 4, 1, 1),
        ]
    })
}

fn stages(
    path: &nn::Path,
    depths: [usize; 4],
    expansion: i64,
    convolutions: impl Fn(i64, i64, i64) -> Vec<Geometry>,
) -> Result<Vec<Block>, TchError> {
    let stem = Geometry::dense(3, 64, 7, 2);
    let stem = ConvUnit::new(&(path / "conv1"), &(path / "bn1"), stem, FAMILY, Activation::Relu)?;
    let mut blocks = vec![Block::Chain(vec![stem]), Block::MaxPool];
    let mut inputs = 64;
    for (stage, (depth, channels)) in depths.into_iter().zip(STAGE_CHANNELS).enumerate() {
        for index in 0..depth {
            let path = path / format!("layer{}", stage + 1) / index;
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let outputs = channels * expansion;
            let geometries = convolutions(inputs, channels, stride);
            let last = geometries.len();
            let body = geometries.into_iter().zip(1..).map(|(geometry, number)| {
                let activation = if number == last { Activation::None } else { Activation::Relu };
                let (conv, norm) = (&path / format!("conv{number}"), &path / format!("bn{number}"));
                ConvUnit::new(&conv, &norm, geometry, FAMILY, activation)
            });
            let body = body.collect::<Result<_, _>>()?;
            let shortcut = if stride != 1 || inputs != outputs {
                let path = &path / "downsample";
                let geometry = Geometry::dense(inputs, outputs, 1, stride);
                Some(ConvUnit::new(&(&path / 0), &(&path / 1), geometry, FAMILY, Activation::None)?)
            } else {
                None
            };
            blocks.push(Block::Residual { body, shortcut, activation: Activation::Relu });
            inputs = outputs;
        }
    }
    Ok(blocks)
}
