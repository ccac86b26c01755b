//! ResNet-18, -34 and -50 (He et al. 2016, "Deep residual learning for image recognition"), with
//! torchvision's parameter names and, as there, the stride in the 3 × 3 convolution.

use super::description::{Activation, BlockDescription, Family, Geometry, Padding, Unit};

const FAMILY: Family = Family { padding: Padding::Centred, norm_epsilon: 1e-5 };

/// Channels of the four stages before a bottleneck's expansion.
const STAGE_CHANNELS: [i64; 4] = [64, 128, 256, 512];

/// Returns the blocks of a network whose residual blocks have two 3 × 3 convolutions.
pub fn basic(depths: [usize; 4]) -> Vec<BlockDescription> {
    stages(depths, 1, |inputs, channels, stride| {
        vec![Geometry::dense(inputs, channels, 3, stride), Geometry::dense(channels, channels, 3, 1)]
    })
}

/// Returns the blocks of a network whose residual blocks have a 1 × 1 convolution that reduces the channels, a 3 × 3
/// convolution, and a 1 × 1 convolution that expands the channels fourfold.
pub fn bottleneck(depths: [usize; 4]) -> Vec<BlockDescription> {
    stages(depths, 4, |inputs, channels, stride| {
        vec![
            Geometry::dense(inputs, channels, 1, 1),
            Geometry::dense(channels, channels, 3, stride),
            Geometry::dense(channels, channels * 4, 1, 1),
        ]
    })
}

fn stages(
    depths: [usize; 4],
    expansion: i64,
    convolutions: impl Fn(i64, i64, i64) -> Vec<Geometry>,
) -> Vec<BlockDescription> {
    let unit = |conv: String, norm: String, geometry, activation| Unit {
        conv,
        norm,
        geometry,
        family: FAMILY,
        activation,
    };
    let stem = unit("conv1".into(), "bn1".into(), Geometry::dense(3, 64, 7, 2), Activation::Relu);
    let mut blocks = vec![BlockDescription::Chain(vec![stem]), BlockDescription::MaxPool];
    let mut inputs = 64;
    for (stage, (depth, channels)) in depths.into_iter().zip(STAGE_CHANNELS).enumerate() {
        for index in 0..depth {
            let path = format!("layer{}.{index}", stage + 1);
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let outputs = channels * expansion;
            let geometries = convolutions(inputs, channels, stride);
            let last = geometries.len();
            let body = geometries.into_iter().zip(1..).map(|(geometry, number)| {
                let activation = if number == last { Activation::None } else { Activation::Relu };
                unit(format!("{path}.conv{number}"), format!("{path}.bn{number}"), geometry, activation)
            });
            let shortcut = (stride != 1 || inputs != outputs).then(|| {
                let geometry = Geometry::dense(inputs, outputs, 1, stride);
                let path = format!("{path}.downsample");
                unit(format!("{path}.0"), format!("{path}.1"), geometry, Activation::None)
            });
            blocks.push(BlockDescription::Residual {
                body: body.collect(),
                shortcut,
                activation: Activation::Relu,
            });
            inputs = outputs;
        }
    }
    blocks
}
