//! MobileNetV2 (Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2), with
//! torchvision's parameter names.

use super::description::{Activation, BlockDescription, Family, Geometry, Padding, Unit};

const FAMILY: Family = Family { padding: Padding::Centred, norm_epsilon: 1e-5 };

/// Expansion, output channels, repeats, stride of the first repeat.
const STAGES: [(i64, i64, usize, i64); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// Returns the network's blocks.
pub fn blocks() -> Vec<BlockDescription> {
    let activated = |path: String, geometry| Unit {
        conv: format!("{path}.0"),
        norm: format!("{path}.1"),
        geometry,
        family: FAMILY,
        activation: Activation::Relu6,
    };
    let alone = |number: usize, geometry| {
        BlockDescription::Chain(vec![activated(format!("features.{number}"), geometry)])
    };
    let mut blocks = vec![alone(0, Geometry::dense(3, 32, 3, 2))];
    let mut inputs = 32;
    for (expansion, outputs, repeats, first_stride) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let path = format!("features.{}.conv", blocks.len());
            let hidden = inputs * expansion;
            let mut body = Vec::with_capacity(3);
            if expansion != 1 {
                body.push(activated(format!("{path}.0"), Geometry::dense(inputs, hidden, 1, 1)));
            }
            body.push(activated(format!("{path}.{}", body.len()), Geometry::depthwise(hidden, 3, stride)));
            body.push(Unit {
                conv: format!("{path}.{}", body.len()),
                norm: format!("{path}.{}", body.len() + 1),
                geometry: Geometry::dense(hidden, outputs, 1, 1),
                family: FAMILY,
                activation: Activation::None,
            });
            blocks.push(BlockDescription::inverted(body, stride == 1 && inputs == outputs));
            inputs = outputs;
        }
    }
    blocks.push(alone(blocks.len(), Geometry::dense(inputs, 1280, 1, 1)));
    blocks
}
