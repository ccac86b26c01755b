//! Components shared by all backbones: a convolution with its batch-norm and activation, and residual blocks
//! of these.

use tch::{Kind, TchError, Tensor, nn};

use super::description::{Activation, BlockDescription, Geometry, Padding, Unit};
use super::network::folder;

impl Activation {
    /// Applies the activation in place. This is safe for training: the gradients of both functions depend
    /// only on their output, and the operations before them here do not need the overwritten values.
    fn apply(self, mut x: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::None => Ok(x),
            Self::Relu => x.f_relu_(),
            Self::Relu6 => x.f_relu6_(),
        }
    }
}

#[derive(Debug)]
struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    epsilon: f64,
}

/// Weight of a batch's statistics in the update of the running statistics (PyTorch's default).
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

/// A convolution, batch-norm and activation. After folding, the batch-norm is part of kernel and bias.
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
    /// Creates the unit with newly initialised parameters under `path`.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn new(path: &nn::Path, unit: &Unit) -> Result<Self, TchError> {
        let Unit { conv, norm, geometry, family, activation } = unit;
        let shape = geometry.weight_shape().map(|extent| extent as i64);
        Ok(Self {
            weight: folder(path, conv).f_var("weight", &shape, nn::init::DEFAULT_KAIMING_NORMAL)?,
            bias: None,
            norm: Some(BatchNorm::new(&folder(path, norm), geometry.outputs, family.norm_epsilon)?),
            geometry: *geometry,
            padding: family.padding,
            activation: *activation,
        })
    }

    /// Computes the output for `x`; with `train`, batch-norms use and update statistics of the batch.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let Geometry { stride, groups, .. } = self.geometry;
        let convolve = |x: &Tensor, padding: i64| {
            x.f_conv2d(&self.weight, self.bias.as_ref(), [stride, stride], [padding, padding], [1, 1], groups)
        };
        let (_, _, height, width) = x.size4()?;
        let [(top, bottom), (left, right)] =
            [height, width].map(|extent| self.padding.around(extent, self.geometry));
        let x = match top == bottom && top == left && left == right {
            true => convolve(x, top)?,
            false => convolve(&x.f_constant_pad_nd([left, right, top, bottom])?, 0)?,
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

    /// Returns a copy with the batch-norm, a scale and shift per channel, folded into kernel and bias.
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

/// Returns a copy in channels-last layout, in which the channels of a pixel are contiguous; libtorch's CPU
/// convolutions are fastest with it. tch has no function for it, but a permuted contiguous copy is
/// equivalent.
fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// A block of a backbone.
#[derive(Debug)]
pub enum Block {
    /// Max pooling, 3 × 3 with stride 2.
    MaxPool,
    /// Units applied in sequence.
    Chain(Vec<ConvUnit>),
    /// `activation(body(x) + shortcut(x))`; if `shortcut` is `None`, it is the identity.
    Residual { body: Vec<ConvUnit>, shortcut: Option<ConvUnit>, activation: Activation },
}

impl Block {
    /// Creates the block with newly initialised parameters under `path`.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn new(path: &nn::Path, description: &BlockDescription) -> Result<Self, TchError> {
        let units = |units: &[Unit]| -> Result<Vec<ConvUnit>, TchError> {
            units.iter().map(|unit| ConvUnit::new(path, unit)).collect()
        };
        Ok(match description {
            BlockDescription::MaxPool => Self::MaxPool,
            BlockDescription::Chain(body) => Self::Chain(units(body)?),
            BlockDescription::Residual { body, shortcut, activation } => Self::Residual {
                body: units(body)?,
                shortcut: shortcut.as_ref().map(|unit| ConvUnit::new(path, unit)).transpose()?,
                activation: *activation,
            },
        })
    }

    /// Computes the output for `x`; with `train`, batch-norms use and update statistics of the batch.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
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

    /// Returns the kernels, and the scale and shift of batch-norms.
    pub fn parameters(&self) -> Vec<&Tensor> {
        let units: Vec<&ConvUnit> = match self {
            Self::MaxPool => Vec::new(),
            Self::Chain(body) => body.iter().collect(),
            Self::Residual { body, shortcut, .. } => body.iter().chain(shortcut).collect(),
        };
        units.into_iter().flat_map(ConvUnit::parameters).collect()
    }

    /// Returns a copy with all batch-norms folded into their convolutions.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn folded(&self) -> Result<Self, TchError> {
        self.map_units(ConvUnit::folded)
    }

    /// Returns a copy with all parameters converted to `kind`.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
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
