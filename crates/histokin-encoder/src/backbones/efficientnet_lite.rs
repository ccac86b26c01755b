//! EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, table 1) without squeeze-and-excitation and with
//! ReLU6, as published for TensorFlow Lite. Uses the parameter names of the PyTorch conversion.
//!
//! The conversion has fixed padding for an input of 224 px. Here 'SAME' padding is computed from the input's
//! size, which is identical for 224 px and correct for other sizes too.

use tch::{TchError, nn};

use super::layers::{Activation, Block, ConvUnit, Family, Geometry, Padding};

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

/// Returns the number of output channels of each block.
pub fn widths() -> Vec<usize> {
    let stages =
        STAGES.iter().flat_map(|(_, outputs, repeats, ..)| std::iter::repeat_n(*outputs as usize, *repeats));
    std::iter::once(32).chain(stages).chain([1280]).collect()
}

/// Builds the network's blocks under `path`.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub fn blocks(path: &nn::Path) -> Result<Vec<Block>, TchError> {
    let unit = |path: &nn::Path, conv: &str, norm: &str, geometry, activation| {
        ConvUnit::new(&(path / conv), &(path / norm), geometry, FAMILY, activation)
    };
    let relu6 = Activation::Relu6;
    let mut blocks =
        vec![Block::Chain(vec![unit(path, "_conv_stem", "_bn0", Geometry::dense(3, 32, 3, 2), relu6)?])];
    let mut inputs = 32;
    for (expansion, outputs, repeats, first_stride, kernel) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let path = path / "_blocks" / (blocks.len() - 1);
            let hidden = inputs * expansion;
            let mut body = Vec::with_capacity(3);
            if expansion != 1 {
                body.push(unit(&path, "_expand_conv", "_bn0", Geometry::dense(inputs, hidden, 1, 1), relu6)?);
            }
            let depthwise = Geometry::depthwise(hidden, kernel, stride);
            body.push(unit(&path, "_depthwise_conv", "_bn1", depthwise, relu6)?);
            let project = Geometry::dense(hidden, outputs, 1, 1);
            body.push(unit(&path, "_project_conv", "_bn2", project, Activation::None)?);
            blocks.push(Block::chain(body, stride == 1 && inputs == outputs));
            inputs = outputs;
        }
    }
    blocks.push(Block::Chain(vec![unit(
        path,
        "_conv_head",
        "_bn1",
        Geometry::dense(inputs, 1280, 1, 1),
        relu6,
    )?]));
    Ok(blocks)
}
