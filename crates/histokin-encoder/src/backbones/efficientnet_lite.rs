//! EfficientNet-Lite: EfficientNets (Tan and Le 2019, table 1) without squeeze-and-excitation and with ReLU6, as
//! published for TensorFlow Lite. Uses the parameter names of the PyTorch conversion.
//!
//! The conversion has fixed padding for the input that each network was trained with. Here 'SAME' padding is computed
//! from the input's size, which is identical for that size and correct for other sizes too.

use super::description::{Activation, BlockDescription, Family, Geometry, Padding, Unit};

const FAMILY: Family = Family { padding: Padding::Same, norm_epsilon: 1e-3 };

/// Expansion, output channels, repeats, stride of the first repeat and kernel of Lite0's stages.
const STAGES: [(i64, i64, usize, i64, i64); 7] = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
];

/// Factors by which a network of the family is larger than Lite0 (`efficientnet_lite_params` of
/// `efficientnet/lite/efficientnet_lite_builder.py` in tensorflow/tpu).
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Factor of the number of channels.
    width: f64,
    /// Factor of the number of repeats.
    depth: f64,
}

impl Scale {
    /// EfficientNet-Lite0.
    pub const LITE0: Self = Self { width: 1.0, depth: 1.0 };
    /// EfficientNet-Lite1.
    pub const LITE1: Self = Self { width: 1.0, depth: 1.1 };
    /// EfficientNet-Lite2.
    pub const LITE2: Self = Self { width: 1.1, depth: 1.2 };

    /// Returns the number of channels: the nearest multiple of 8, or the next one if that is more than a tenth less
    /// than wanted.
    fn channels(self, lite0: i64) -> i64 {
        let wanted = self.width * lite0 as f64;
        let nearest = ((wanted / 8.0 + 0.5).floor() as i64 * 8).max(8);
        if (nearest as f64) < 0.9 * wanted { nearest + 8 } else { nearest }
    }

    /// Returns the number of repeats of a stage, rounded up. The first and the last stage are not repeated.
    fn repeats(self, lite0: usize) -> usize {
        if lite0 == 1 { 1 } else { (self.depth * lite0 as f64).ceil() as usize }
    }
}

/// Returns the network's blocks. Stem and head have 32 and 1280 channels in every network of the family.
pub fn blocks(scale: Scale) -> Vec<BlockDescription> {
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
        let outputs = scale.channels(outputs);
        for repeat in 0..scale.repeats(repeats) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Output channels and number of blocks of each stage.
    fn stages(scale: Scale) -> Vec<(usize, usize)> {
        let blocks = blocks(scale);
        let mut stages: Vec<(usize, usize)> = Vec::new();
        for block in &blocks[1..blocks.len() - 1] {
            let outputs = block.outputs(0);
            match stages.last_mut() {
                Some((last, count)) if *last == outputs => *count += 1,
                _ => stages.push((outputs, 1)),
            }
        }
        stages
    }

    #[test]
    fn stages_are_those_of_the_published_weights() {
        let lite0 = [(16, 1), (24, 2), (40, 2), (80, 3), (112, 3), (192, 4), (320, 1)];
        let lite1 = [(16, 1), (24, 3), (40, 3), (80, 4), (112, 4), (192, 5), (320, 1)];
        let lite2 = [(16, 1), (24, 3), (48, 3), (88, 4), (120, 4), (208, 5), (352, 1)];
        for (scale, expected) in [(Scale::LITE0, lite0), (Scale::LITE1, lite1), (Scale::LITE2, lite2)] {
            assert_eq!(stages(scale), expected, "{scale:?}");
        }
    }
}
