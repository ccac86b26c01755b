//! EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, table 1) without squeeze-and-excitation and with
//! ReLU6, as published for TensorFlow Lite. Uses the parameter names of the PyTorch conversion.
//!
//! The conversion has fixed padding for an input of 224 px. Here 'SAME' padding is computed from the input's
//! size, which is identical for 224 px and correct for other sizes too.

use super::description::{Activation, BlockDescription, Family, Geometry, Padding, Unit};

const FAMILY: Family = Family { padding: Padding::Same, norm_epsilon: 1e-3 };

/// Expansion, output channels, repeats, stride of the first repeat, kernel.
const STAGES: [(i64, i64, usize, i64, i64); 7] = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
];

/// Returns the network's blocks.
pub fn blocks() -> Vec<BlockDescription> {
    let unit = |path: &str, [conv, norm]: [&str; 2], geometry, activation| Unit {
        conv: format!("{path}{conv}"),
        norm: format!("{path}{norm}"),
        geometry,
        family: FAMILY,
        activation,
    };
    let relu6 = Activation::Relu6;
    let stem = unit("", ["_conv_stem", "_bn0"], Geometry::dense(3, 32, 3, 2), relu6);
    let mut blocks = vec![BlockDescription::Chain(vec![stem])];
    let mut inputs = 32;
    for (expansion, outputs, repeats, first_stride, kernel) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let path = format!("_blocks.{}.", blocks.len() - 1);
            let hidden = inputs * expansion;
            let mut body = Vec::with_capacity(3);
            if expansion != 1 {
                let expand = Geometry::dense(inputs, hidden, 1, 1);
                body.push(unit(&path, ["_expand_conv", "_bn0"], expand, relu6));
            }
            let depthwise = Geometry::depthwise(hidden, kernel, stride);
            body.push(unit(&path, ["_depthwise_conv", "_bn1"], depthwise, relu6));
            let project = Geometry::dense(hidden, outputs, 1, 1);
            body.push(unit(&path, ["_project_conv", "_bn2"], project, Activation::None));
            blocks.push(BlockDescription::inverted(body, stride == 1 && inputs == outputs));
            inputs = outputs;
        }
    }
    let head = unit("", ["_conv_head", "_bn1"], Geometry::dense(inputs, 1280, 1, 1), relu6);
    blocks.push(BlockDescription::Chain(vec![head]));
    blocks
}
