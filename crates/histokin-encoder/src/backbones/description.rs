//! Descriptions of convolutional networks: their layers and the names of their parameters, without the parameters.
//!
//! libtorch builds a network from its description ([`super::Backbone`]), and so does the export to ONNX
//! ([`crate::onnx`]).

/// Activation function after a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    None,
    /// ReLU, `max(x, 0)`.
    Relu,
    /// ReLU clipped at 6.
    Relu6,
}

/// Zero padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Half the kernel on every side (torchvision).
    Centred,
    /// TensorFlow's 'SAME': the minimum for an output of `ceil(input / stride)`, with the odd pixel at the
    /// right and bottom.
    Same,
}

impl Padding {
    /// Returns the number of pixels added before and after an edge of `extent` pixels.
    pub fn around(self, extent: i64, Geometry { kernel, stride, .. }: Geometry) -> (i64, i64) {
        match self {
            // With stride 1 both kinds of padding are identical.
            Self::Same if stride > 1 => {
                let total = ((extent + stride - 1) / stride * stride - stride + kernel - extent).max(0);
                (total / 2, total - total / 2)
            }
            _ => (kernel / 2, kernel / 2),
        }
    }
}

/// Geometry of a convolution; kernel and stride are square.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Number of input channels.
    pub inputs: i64,
    /// Number of output channels.
    pub outputs: i64,
    /// Edge length of the kernel.
    pub kernel: i64,
    /// Stride along both axes.
    pub stride: i64,
    /// Number of channel groups; 1 for a dense convolution.
    pub groups: i64,
}

impl Geometry {
    /// Returns the geometry of a convolution that connects all channels.
    pub fn dense(inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        Self { inputs, outputs, kernel, stride, groups: 1 }
    }

    /// Returns the geometry of a convolution with one filter per channel.
    pub fn depthwise(channels: i64, kernel: i64, stride: i64) -> Self {
        Self { inputs: channels, outputs: channels, kernel, stride, groups: channels }
    }

    /// Returns the shape of the kernels.
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.outputs, self.inputs / self.groups, self.kernel, self.kernel].map(|extent| extent as usize)
    }
}

/// Properties shared by all convolutions of a network family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Padding of the convolutions.
    pub padding: Padding,
    /// Value added to the variance in batch-norm.
    pub norm_epsilon: f64,
}

/// A convolution, batch-norm and activation.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Name under which the kernels lie.
    pub conv: String,
    /// Name under which the parameters of the batch-norm lie.
    pub norm: String,
    /// Geometry of the convolution.
    pub geometry: Geometry,
    /// Properties of the network's convolutions.
    pub family: Family,
    /// Activation function after the batch-norm.
    pub activation: Activation,
}

/// A block of a convolutional network.
#[derive(Debug, Clone)]
pub enum BlockDescription {
    /// Max pooling, 3 × 3 with stride 2 and a padding of 1.
    MaxPool,
    /// Units applied in sequence.
    Chain(Vec<Unit>),
    /// `activation(body(x) + shortcut(x))`; if `shortcut` is `None`, it is the identity.
    Residual {
        /// Units applied in sequence.
        body: Vec<Unit>,
        /// Unit applied to the input.
        shortcut: Option<Unit>,
        /// Activation function of the sum.
        activation: Activation,
    },
}

impl BlockDescription {
    /// Returns an inverted residual block; with `with_skip`, its input is added to its output.
    pub fn inverted(body: Vec<Unit>, with_skip: bool) -> Self {
        match with_skip {
            true => Self::Residual { body, shortcut: None, activation: Activation::None },
            false => Self::Chain(body),
        }
    }

    /// Returns all units of the block.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        let (body, shortcut): (&[Unit], _) = match self {
            Self::MaxPool => (&[], None),
            Self::Chain(body) => (body, None),
            Self::Residual { body, shortcut, .. } => (body, shortcut.as_ref()),
        };
        body.iter().chain(shortcut)
    }

    /// Returns the number of output channels of a block with this number of input channels.
    pub fn outputs(&self, inputs: usize) -> usize {
        match self {
            Self::MaxPool => inputs,
            Self::Chain(units) | Self::Residual { body: units, .. } => {
                units.last().map_or(inputs, |unit| unit.geometry.outputs as usize)
            }
        }
    }
}
