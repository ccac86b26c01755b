//! A vision transformer in libtorch.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::{Kind, TchError, Tensor};

use super::adapter::{self, Adapter};
use super::block::{Block, Linear, Norm, Parameters};
use super::{Resampling, VitArchitecture, VitOutput};

/// A vision transformer with its parameters.
#[derive(Debug)]
pub struct VisionTransformer {
    architecture: VitArchitecture,
    /// All parameters by name; they share their memory with the layers.
    named: BTreeMap<String, Tensor>,
    /// Adapters by the name of the matrix that each is added to; they share their memory with the layers.
    adapters: BTreeMap<String, Adapter>,
    patch_weight: Tensor,
    patch_bias: Option<Tensor>,
    class_token: Option<Tensor>,
    registers: Option<Tensor>,
    positions: Tensor,
    pre_norm: Option<Norm>,
    blocks: Vec<Block>,
    norm: Option<Norm>,
    pooled_norm: Option<Norm>,
    projection: Vec<Linear>,
}

impl VisionTransformer {
    /// Builds the network from the parameters that `parameters` returns for a name and shape.
    ///
    /// # Errors
    /// Any error of `parameters`.
    pub fn new<E>(
        architecture: VitArchitecture,
        mut parameters: impl FnMut(&str, &[usize]) -> Result<Tensor, E>,
    ) -> Result<Self, E> {
        let mut named = BTreeMap::new();
        let mut take = |name: String, shape: &[usize]| {
            let tensor = parameters(&name, shape)?;
            named.insert(name, tensor.shallow_clone());
            Ok(tensor)
        };
        let take: &mut Parameters<E> = &mut take;
        let VitArchitecture { width, patch_px, registers, grid, .. } = architecture;
        let norm = |take: &mut Parameters<E>, name: &str, is_there: bool| {
            is_there.then(|| Norm::new(take, name, &architecture)).transpose()
        };
        let token = |take: &mut Parameters<E>, name: &str, count: usize| {
            (count > 0).then(|| take(name.to_owned(), &[1, count, width])).transpose()
        };
        let patch_weight = take("patch_embed.proj.weight".into(), &[width, 3, patch_px, patch_px])?;
        let patch_bias =
            architecture.patch_bias.then(|| take("patch_embed.proj.bias".into(), &[width])).transpose()?;
        let class_token = token(take, "cls_token", usize::from(architecture.class_token))?;
        let registers = token(take, "reg_token", registers)?;
        let positions = [1, architecture.prefix_positions() + grid * grid, width];
        let positions = take("pos_embed".into(), &positions)?;
        let pre_norm = norm(take, "norm_pre", architecture.pre_norm)?;
        let blocks = (0..architecture.depth)
            .map(|number| Block::new(take, number, &architecture))
            .collect::<Result<_, _>>()?;
        let last_norm = norm(take, "norm", architecture.final_norm)?;
        let pooled_norm = norm(take, "fc_norm", architecture.pooled_norm)?;
        let projection = projection(take, &architecture)?;
        Ok(Self {
            architecture,
            patch_weight,
            patch_bias,
            class_token,
            registers,
            positions,
            pre_norm,
            blocks,
            norm: last_norm,
            pooled_norm,
            projection,
            named,
            adapters: BTreeMap::new(),
        })
    }

    /// Returns the architecture.
    pub fn architecture(&self) -> &VitArchitecture {
        &self.architecture
    }

    /// Computes the features `[N, outputs]` of `images`, `[N, 3, H, W]`, whose edges are multiples of the patch.
    /// No activations of the first `frozen` blocks, nor of the embedding before them, are kept for
    /// backpropagation.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory; [`TchError::Shape`] if patches do not fill the images.
    pub fn features(&self, images: &Tensor, frozen: usize) -> Result<Tensor, TchError> {
        let mut x = {
            let _no_grad = (frozen > 0).then(tch::no_grad_guard);
            self.embed(images)?
        };
        for (index, block) in self.blocks.iter().enumerate() {
            let _no_grad = (index < frozen).then(tch::no_grad_guard);
            x = block.forward(&x)?;
        }
        self.take_out(&x)
    }

    /// Returns the number of blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the parameters of the given blocks. The embedding belongs to the first block, and what follows
    /// the blocks to the last.
    pub fn parameters(&self, blocks: Range<usize>) -> Vec<&Tensor> {
        let block_of = |name: &str| match name.strip_prefix("blocks.") {
            Some(rest) => rest.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0),
            None if ["norm.", "fc_norm.", "projection."].iter().any(|last| name.starts_with(last)) => {
                self.depth() - 1
            }
            None => 0,
        };
        self.named
            .iter()
            .filter(|(name, _)| blocks.contains(&block_of(name)))
            .map(|(_, tensor)| tensor)
            .collect()
    }

    /// Adds adapters of this rank to the attention of every block (`qkv` and `proj`). `parameters` returns the tensor
    /// of a name and shape.
    ///
    /// # Errors
    /// Any error of `parameters`.
    pub fn adapt<E>(
        &mut self,
        rank: usize,
        mut parameters: impl FnMut(&str, &[usize]) -> Result<Tensor, E>,
    ) -> Result<(), E> {
        for (number, block) in self.blocks.iter_mut().enumerate() {
            for (layer, linear) in block.adaptable() {
                let name = format!("blocks.{number}.{layer}");
                let extents: Vec<usize> =
                    linear.weight().size().iter().map(|&extent| extent as usize).collect();
                let made = Adapter {
                    down: parameters(&format!("{name}{}", adapter::DOWN), &[rank, extents[1]])?,
                    up: parameters(&format!("{name}{}", adapter::UP), &[extents[0], rank])?,
                };
                linear.adapt(made.shallow_clone());
                self.adapters.insert(format!("{name}.weight"), made);
            }
        }
        Ok(())
    }

    /// Returns the parameter of this name in timm, with its adapter added.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    fn merged(&self, name: &str) -> Result<Tensor, TchError> {
        match self.adapters.get(name) {
            Some(Adapter { down, up }) => adapter::merged(&self.named[name], down, up),
            None => Ok(self.named[name].shallow_clone()),
        }
    }

    /// Returns all parameters by their names in timm, with their adapters added.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn all_merged(&self) -> Result<BTreeMap<String, Tensor>, TchError> {
        self.named.keys().map(|name| Ok((name.clone(), self.merged(name)?))).collect()
    }

    /// Returns a network without adapters, with what `change` makes of each parameter after its adapter was added.
    ///
    /// # Errors
    /// Any error of `change`.
    pub fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        Self::new(self.architecture, |name, _| change(&self.merged(name)?))
    }

    /// Cuts images into patches and adds positions, class token and registers: `[N, tokens, W]`.
    fn embed(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let VitArchitecture { patch_px, grid, resampling, .. } = self.architecture;
        let (count, _, height, width) = images.size4()?;
        let patch = patch_px as i64;
        if height % patch != 0 || width % patch != 0 || height == 0 || width == 0 {
            return Err(TchError::Shape(format!(
                "tiles of {width} × {height} px cannot be cut into patches of {patch} px"
            )));
        }
        let stride = [patch, patch];
        let x = images.f_conv2d(&self.patch_weight, self.patch_bias.as_ref(), stride, [0, 0], [1, 1], 1)?;
        let x = x.f_flatten(2, 3)?.f_transpose(1, 2)?;
        let others = self.architecture.prefix_positions() as i64;
        let learned = self.positions.f_narrow(1, others, self.positions.size()[1] - others)?;
        let x = x.f_add(&resample(&learned, grid, [height / patch, width / patch], resampling)?)?;

        let mut tokens = Vec::new();
        let mut first = 0;
        for token in [&self.class_token, &self.registers].into_iter().flatten() {
            let length = token.size()[1];
            let positioned = match first + length <= others {
                true => token.f_add(&self.positions.f_narrow(1, first, length)?)?,
                false => token.shallow_clone(),
            };
            first += length;
            tokens.push(positioned.f_expand([count, -1, -1], false)?);
        }
        tokens.push(x);
        let x = Tensor::f_cat(&tokens, 1)?;
        match &self.pre_norm {
            Some(norm) => norm.forward(&x),
            None => Ok(x),
        }
    }

    /// Pools the tokens after the last block.
    fn take_out(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = match &self.norm {
            Some(norm) => norm.forward(x)?,
            None => x.shallow_clone(),
        };
        let first = self.architecture.prefix_tokens() as i64;
        let class = || x.f_select(1, 0);
        let mean = || x.f_narrow(1, first, x.size()[1] - first)?.f_mean_dim([1i64].as_slice(), false, None);
        let normed = |pooled: Tensor| match &self.pooled_norm {
            Some(norm) => norm.forward(&pooled),
            None => Ok(pooled),
        };
        match self.architecture.output {
            VitOutput::Class => normed(class()?),
            VitOutput::Mean => normed(mean()?),
            VitOutput::ClassAndMean => Tensor::f_cat(&[class()?, mean()?], 1),
            VitOutput::Projection => self.projection.iter().enumerate().try_fold(
                normed(class()?)?,
                |x, (index, layer)| match index {
                    0 => layer.forward(&x),
                    _ => layer.forward(&x.f_gelu("none")?),
                },
            ),
        }
    }
}

fn projection<E>(take: &mut Parameters<E>, architecture: &VitArchitecture) -> Result<Vec<Linear>, E> {
    let bias = architecture.projection.is_some_and(|projection| projection.bias);
    let layers = architecture.projection_layers().into_iter().enumerate();
    layers.map(|(index, shape)| Linear::new(take, &format!("projection.{index}"), shape, bias)).collect()
}

/// Adapts positions of patches, `[1, grid², W]`, to `height` × `width` patches: `[1, height · width, W]`.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
fn resample(
    patches: &Tensor,
    grid: usize,
    [height, width]: [i64; 2],
    how: Resampling,
) -> Result<Tensor, TchError> {
    let edge = grid as i64;
    if height == edge && width == edge {
        return Ok(patches.shallow_clone());
    }
    let plane = patches.f_to_kind(Kind::Float)?.f_reshape([1, edge, edge, -1])?.f_permute([0, 3, 1, 2])?;
    let size = [height, width];
    let plane = match how {
        Resampling::Bicubic => plane.f_upsample_bicubic2d(size, false, None, None)?,
        Resampling::BicubicAntialias => plane.f_internal_upsample_bicubic2d_aa(size, false, None, None)?,
        Resampling::BicubicOffset => {
            let scale = |patches: i64| (patches as f64 + 0.1) / edge as f64;
            plane.f_upsample_bicubic2d(size, false, scale(height), scale(width))?
        }
    };
    plane.f_permute([0, 2, 3, 1])?.f_reshape([1, height * width, -1])?.f_to_kind(patches.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::vit::{Positions, Projection, Shapes};

    #[test]
    fn a_network_takes_the_parameters_that_its_architecture_tells() {
        let plain = VitArchitecture {
            patch_px: 4,
            width: 8,
            depth: 2,
            hidden: 12,
            grid: 3,
            heads: 2,
            ..VitArchitecture::base()
        };
        let full = VitArchitecture {
            gated: true,
            positions: Positions::All,
            registers: 2,
            layer_scale: true,
            pre_norm: true,
            pooled_norm: true,
            projection: Some(Projection { hidden: Some(6), outputs: 5, bias: true }),
            ..plain
        };
        let bare = VitArchitecture {
            positions: Positions::Patches,
            class_token: false,
            patch_bias: false,
            qkv_bias: false,
            final_norm: false,
            projection: Some(Projection { hidden: None, outputs: 5, bias: false }),
            output: VitOutput::Mean,
            ..plain
        };
        for architecture in [plain, full, bare] {
            let mut taken = Shapes::new();
            let Ok(_) = VisionTransformer::new::<std::convert::Infallible>(architecture, |name, shape| {
                taken.insert(name.to_owned(), shape.to_vec());
                Ok(Tensor::new())
            });
            assert_eq!(taken, architecture.shapes());
        }
    }
}
