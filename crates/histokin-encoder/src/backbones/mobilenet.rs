//! MobileNetV2 (Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2), with
//! torchvision's parameter names.

use tch::{TchError, nn};

use super::layers::{Activation, Block, ConvUnit, Family, Geometry, Padding};

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

/// Returns the number of output channels of each block.
pub fn widths() -> Vec<usize> {
    let stages =
        STAGES.iter().flat_map(|(_, outputs, repeats, _)| std::iter::repeat_n(*outputs as usize, *repeats));
    std::iter::once(32).chain(stages).chain([1280]).collect()
}

/// Builds the network's blocks under `path`.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub fn blocks(path: &nn::Path) -> Result<Vec<Block>, TchError> {
    let features = path / "features";
    let unit = |path: &nn::Path, geometry| {
        ConvUnit::new(&(path / 0), &(path / 1), geometry, FAMILY, Activation::Relu6)
    };
    let mut blocks = vec![Block::Chain(vec![unit(&(&features / 0), Geometry::dense(3, 32, 3, 2))?])];
    let mut inputs = 32;
    for (expansion, outputs, repeats, first_stride) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let path = &features / blocks.len() / "conv";
            let hidden = inputs * expansion;
            let mut body = Vec::with_capacity(3);
            if expansion != 1 {
                body.push(unit(&(&path / 0), Geometry::dense(inputs, hidden, 1, 1))?);
            }
            body.push(unit(&(&path / body.len()), Geometry::depthwise(hidden, 3, stride))?);
            let (conv, norm) = (&path / body.len(), &path / (body.len() + 1));
            let project = Geometry::dense(hidden, outputs, 1, 1);
            body.push(ConvUnit::new(&conv, &norm, project, FAMILY, Activation::None)?);
            blocks.push(Block::chain(body, stride == 1 && inputs == outputs));
            inputs = outputs;
        }
    }
    blocks.push(Block::Chain(vec![unit(&(&features / blocks.len()), Geometry::dense(inputs, 1280, 1, 1))?]));
    Ok(blocks)
}
