//! What all backbones are made of: a convolution with its batch-norm and activation, and residual blocks
//! of those.

use tch::{Kind, TchError, Tensor, nn};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    None,
    Relu,
    /// ReLU clipped at 6.
    Relu6,
}

impl Activation {
    /// In place: both functions know their gradient from their result alone, and so does all that stands
    /// before them here.
    fn apply(self, mut x: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::None => Ok(x),
            Self::Relu => x.f_relu_(),
            Self::Relu6 => x.f_relu6_(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Half the kernel on every side (torchvision).
    Centred,
    /// TensorFlow's 'SAME': only as much as the stride leaves over, the odd pixel to the right and below.
    Same,
}

/// The extent of a convolution, square in every respect.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    pub inputs: i64,
    pub outputs: i64,
    pub kernel: i64,
    pub stride: i64,
    pub groups: i64,
}

impl Geometry {
    pub fn dense(inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        Self { inputs, outputs, kernel, stride, groups: 1 }
    }

    /// One filter per channel.
    pub fn depthwise(channels: i64, kernel: i64, stride: i64) -> Self {
        Self { inputs: channels, outputs: channels, kernel, stride, groups: channels }
    }
}

/// How the convolutions of one family of networks are alike.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub padding: Padding,
    /// Added to the variance in batch-norm.
    pub norm_epsilon: f64,
}

#[derive(Debug)]
struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    epsilon: f64,
}

/// Share of a batch's statistics in the running ones at each training step (torch's default).
const NORM_MOMENTUM: f64 = 0.1;

impl BatchNorm {
    fn new(path: &nn::Path, channels: i64, epsilon: f64) -> Result<Self, TchError> {
        Ok(Self {
            weight: path.f_ones("weight", &[channels])?,
            bias: path.f_zeros("bias", &[channels])?,
            running_mean: path.f_zeros_no_train("running_mean", &[channels])?,
            running_var: path.f_ones_no_train("running_var", &[channels])?,
            epsilon,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            NORM_MOMENTUM,
            self.epsilon,
            true,
        )
    }
}

/// Convolution, batch-norm, activation. Once folded, the batch-norm is part of kernel and bias.
#[derive(Debug)]
pub struct ConvUnit {
    weight: Tensor,
    bias: Option<Tensor>,
    norm: Option<BatchNorm>,
    geometry: Geometry,
    padding: Padding,
    activation: Activation,
}

impl ConvUnit {
    /// Parameters are named under `conv` and `norm`.
    pub fn new(
        conv: &nn::Path,
        norm: &nn::Path,
        geometry: Geometry,
        family: Family,
        activation: Activation,
    ) -> Result<Self, TchError> {
        let Geometry { inputs, outputs, kernel, groups, .. } = geometry;
        let shape = [outputs, inputs / groups, kernel, kernel];
        Ok(Self {
            weight: conv.f_var("weight", &shape, nn::init::DEFAULT_KAIMING_NORMAL)?,
            bias: None,
            norm: Some(BatchNorm::new(norm, outputs, family.norm_epsilon)?),
            geometry,
            padding: family.padding,
            activation,
        })
    }

    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let Geometry { kernel, stride, groups, .. } = self.geometry;
        let convolve = |x: &Tensor, padding: i64| {
            x.f_conv2d(&self.weight, self.bias.as_ref(), [stride, stride], [padding, padding], [1, 1], groups)
        };
        let x = match self.padding {
            // With stride 1 both kinds of padding are the same.
            Padding::Same if stride > 1 => convolve(&pad_same(x, kernel, stride)?, 0)?,
            _ => convolve(x, kernel / 2)?,
        };
        let x = match &self.norm {
            Some(norm) => norm.forward(&x, train)?,
            None => x,
        };
        self.activation.apply(x)
    }

    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        let of_norm = self.norm.iter().flat_map(|norm| [&norm.weight, &norm.bias]);
        std::iter::once(&self.weight).chain(&self.bias).chain(of_norm)
    }

    /// Batch-norm is a scale and a shift per channel: scale the kernels, shift the bias.
    fn folded(&self) -> Result<Self, TchError> {
        let (weight, bias) = match &self.norm {
            None => (self.weight.shallow_clone(), self.bias.as_ref().map(Tensor::shallow_clone)),
            Some(norm) => {
                let scale = norm.weight.f_mul(&norm.running_var.f_add_scalar(norm.epsilon)?.f_rsqrt()?)?;
                let bias = norm.bias.f_sub(&norm.running_mean.f_mul(&scale)?)?;
                (self.weight.f_mul(&scale.f_reshape([-1, 1, 1, 1])?)?, Some(bias))
            }
        };
        Ok(Self {
            weight: channels_last(&weight)?,
            bias,
            norm: None,
            geometry: self.geometry,
            padding: self.padding,
            activation: self.activation,
        })
    }

    fn to_kind(&self, kind: Kind) -> Result<Self, TchError> {
        let convert = |tensor: &Tensor| tensor.f_to_kind(kind);
        let norm = match &self.norm {
            None => None,
            Some(norm) => Some(BatchNorm {
                weight: convert(&norm.weight)?,
                bias: convert(&norm.bias)?,
                running_mean: convert(&norm.running_mean)?,
                running_var: convert(&norm.running_var)?,
                epsilon: norm.epsilon,
            }),
        };
        Ok(Self {
            weight: convert(&self.weight)?,
            bias: self.bias.as_ref().map(convert).transpose()?,
            norm,
            geometry: self.geometry,
            padding: self.padding,
            activation: self.activation,
        })
    }
}

/// The layout in which libtorch's CPU convolutions are quickest: numbers of one pixel side by side. There
/// is no call for it in tch, but a permuted contiguous copy is just that.
fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

fn pad_same(x: &Tensor, kernel: i64, stride: i64) -> Result<Tensor, TchError> {
    let (_, _, height, width) = x.size4()?;
    let total = |extent: i64| ((extent + stride - 1) / stride * stride - stride + kernel - extent).max(0);
    let (x_total, y_total) = (total(width), total(height));
    x.f_constant_pad_nd([x_total / 2, x_total - x_total / 2, y_total / 2, y_total - y_total / 2])
}

/// One step of a backbone.
#[derive(Debug)]
pub enum Block {
    /// 3 × 3, stride 2.
    MaxPool,
    /// One unit after the other.
    Chain(Vec<ConvUnit>),
    /// `activation(body(x) + shortcut(x))`; without a shortcut of its own, x itself.
    Residual { body: Vec<ConvUnit>, shortcut: Option<ConvUnit>, activation: Activation },
}

impl Block {
    /// An inverted residual block: its input is added where the shape allows it.
    pub fn chain(body: Vec<ConvUnit>, with_skip: bool) -> Self {
        if with_skip {
            Self::Residual { body, shortcut: None, activation: Activation::None }
        } else {
            Self::Chain(body)
        }
    }

    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        match self {
            Self::MaxPool => x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false),
            Self::Chain(body) => run(body, x, train),
            Self::Residual { body, shortcut, activation } => {
                let mut y = run(body, x, train)?;
                let y = match shortcut {
                    Some(unit) => y.f_add_(&unit.forward(x, train)?)?,
                    None => y.f_add_(x)?,
                };
                activation.apply(y)
            }
        }
    }

    /// Kernels, and scale and shift of batch-norms.
    pub fn parameters(&self) -> Vec<&Tensor> {
        let units: Vec<&ConvUnit> = match self {
            Self::MaxPool => Vec::new(),
            Self::Chain(body) => body.iter().collect(),
            Self::Residual { body, shortcut, .. } => body.iter().chain(shortcut).collect(),
        };
        units.into_iter().flat_map(ConvUnit::parameters).collect()
    }

    pub fn folded(&self) -> Result<Self, TchError> {
        self.map_units(ConvUnit::folded)
    }

    pub fn to_kind(&self, kind: Kind) -> Result<Self, TchError> {
        self.map_units(|unit| unit.to_kind(kind))
    }

    fn map_units(&self, change: impl Fn(&ConvUnit) -> Result<ConvUnit, TchError>) -> Result<Self, TchError> {
        Ok(match self {
            Self::MaxPool => Self::MaxPool,
            Self::Chain(body) => Self::Chain(body.iter().map(&change).collect::<Result<_, _>>()?),
            Self::Residual { body, shortcut, activation } => Self::Residual {
                body: body.iter().map(&change).collect::<Result<_, _>>()?,
                shortcut: shortcut.as_ref().map(&change).transpose()?,
                activation: *activation,
            },
        })
    }
}

fn run(units: &[ConvUnit], x: &Tensor, train: bool) -> Result<Tensor, TchError> {
    units.iter().try_fold(x.shallow_clone(), |x, unit| unit.forward(&x, train))
}
