//! The layers of a vision transformer.

use tch::{TchError, Tensor};

use super::adapter::Adapter;
use super::architecture::{VitActivation, VitArchitecture};

/// Source of parameters: returns the one of a name and shape.
pub type Parameters<'a, E> = dyn FnMut(String, &[usize]) -> Result<Tensor, E> + 'a;

/// A matrix `[outputs, inputs]` with an optional bias `[outputs]`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    adapter: Option<Adapter>,
}

impl Linear {
    /// Takes the parameters named under `name`.
    ///
    /// # Errors
    /// Any error of `parameters`.
    pub fn new<E>(
        parameters: &mut Parameters<E>,
        name: &str,
        [outputs, inputs]: [usize; 2],
        bias: bool,
    ) -> Result<Self, E> {
        Ok(Self {
            weight: parameters(format!("{name}.weight"), &[outputs, inputs])?,
            bias: bias.then(|| parameters(format!("{name}.bias"), &[outputs])).transpose()?,
            adapter: None,
        })
    }

    /// Adds an adapter, or replaces the one that there is.
    pub fn adapt(&mut self, adapter: Adapter) {
        self.adapter = Some(adapter);
    }

    /// Returns the matrix, `[outputs, inputs]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Computes the output for `x`, `[…, inputs]`.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let answer = x.f_linear(&self.weight, self.bias.as_ref())?;
        match &self.adapter {
            Some(adapter) => answer.f_add(&adapter.forward(x)?),
            None => Ok(answer),
        }
    }
}

/// Normalisation of tokens (Ba et al. 2016, "Layer normalization").
#[derive(Debug)]
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl Norm {
    /// Takes the parameters named under `name`.
    ///
    /// # Errors
    /// Any error of `parameters`.
    pub fn new<E>(
        parameters: &mut Parameters<E>,
        name: &str,
        architecture: &VitArchitecture,
    ) -> Result<Self, E> {
        let shape = [architecture.width];
        Ok(Self {
            weight: parameters(format!("{name}.weight"), &shape)?,
            bias: parameters(format!("{name}.bias"), &shape)?,
            epsilon: architecture.norm_epsilon,
        })
    }

    /// Normalises `x`, `[…, W]`, over its last dimension.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.epsilon, true)
    }
}

impl VitActivation {
    /// Applies the function.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn apply(self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Gelu => x.f_gelu("none"),
            Self::GeluTanh => x.f_gelu("tanh"),
            Self::QuickGelu => x.f_mul(&x.f_mul_scalar(1.702)?.f_sigmoid()?),
            Self::Silu => x.f_silu(),
            Self::Relu => x.f_relu(),
        }
    }
}

/// A block (Dosovitskiy et al. 2021, "An image is worth 16x16 words"): attention and perceptron, each on
/// normalised tokens, scaled (Touvron et al. 2021, "Going deeper with image transformers") and added to its input.
#[derive(Debug)]
pub struct Block {
    norms: [Norm; 2],
    qkv: Linear,
    projection: Linear,
    /// The perceptron's two layers.
    layers: [Linear; 2],
    scales: Option<[Tensor; 2]>,
    heads: i64,
    gated: bool,
    activation: VitActivation,
}

impl Block {
    /// Takes the parameters of the block of this number.
    ///
    /// # Errors
    /// Any error of `parameters`.
    pub fn new<E>(
        parameters: &mut Parameters<E>,
        number: usize,
        architecture: &VitArchitecture,
    ) -> Result<Self, E> {
        let VitArchitecture { width, hidden, gated, .. } = *architecture;
        let path = format!("blocks.{number}");
        let linear = |parameters: &mut Parameters<E>, name: &str, shape, bias| {
            Linear::new(parameters, &format!("{path}.{name}"), shape, bias)
        };
        let norm = |parameters: &mut Parameters<E>, name: &str| {
            Norm::new(parameters, &format!("{path}.{name}"), architecture)
        };
        let first = if gated { 2 * hidden } else { hidden };
        Ok(Self {
            norms: [norm(parameters, "norm1")?, norm(parameters, "norm2")?],
            qkv: linear(parameters, "attn.qkv", [3 * width, width], architecture.qkv_bias)?,
            projection: linear(parameters, "attn.proj", [width, width], true)?,
            layers: [
                linear(parameters, "mlp.fc1", [first, width], true)?,
                linear(parameters, "mlp.fc2", [width, hidden], true)?,
            ],
            scales: match architecture.layer_scale {
                false => None,
                true => Some([
                    parameters(format!("{path}.ls1.gamma"), &[width])?,
                    parameters(format!("{path}.ls2.gamma"), &[width])?,
                ]),
            },
            heads: architecture.heads as i64,
            gated,
            activation: architecture.activation,
        })
    }

    /// Returns the layers that adapters are made for, with their names within the block.
    pub fn adaptable(&mut self) -> [(&'static str, &mut Linear); 2] {
        [("attn.qkv", &mut self.qkv), ("attn.proj", &mut self.projection)]
    }

    /// Computes the output `[N, tokens, W]` for tokens of the same shape.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = self.add(x, &self.attention(&self.norms[0].forward(x)?)?, 0)?;
        self.add(&x, &self.perceptron(&self.norms[1].forward(&x)?)?, 1)
    }

    fn add(&self, x: &Tensor, change: &Tensor, which: usize) -> Result<Tensor, TchError> {
        match &self.scales {
            Some(scales) => x.f_addcmul(change, &scales[which]),
            None => x.f_add(change),
        }
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (count, tokens, width) = x.size3()?;
        let split = [count, tokens, 3, self.heads, width / self.heads];
        let qkv = self.qkv.forward(x)?.f_reshape(split)?.f_permute([2, 0, 3, 1, 4])?;
        let part = |index: i64| qkv.f_select(0, index);
        let found = Tensor::f_scaled_dot_product_attention(
            &part(0)?,
            &part(1)?,
            &part(2)?,
            None::<Tensor>,
            0.0,
            false,
            None,
            false,
        )?;
        self.projection.forward(&found.f_transpose(1, 2)?.f_reshape([count, tokens, width])?)
    }

    fn perceptron(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = self.layers[0].forward(x)?;
        let x = match self.gated {
            false => self.activation.apply(&x)?,
            true => {
                let halves = x.f_chunk(2, -1)?;
                self.activation.apply(&halves[0])?.f_mul(&halves[1])?
            }
        };
        self.layers[1].forward(&x)
    }
}
