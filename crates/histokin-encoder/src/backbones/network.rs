//! Networks in libtorch.
//!
//! The parameters of a convolutional network are held in a variable store. Inference uses a folded copy
//! ([`Backbone::folded`]); training uses the blocks directly.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::{TchError, Tensor, nn};

use super::BackboneKind;
use super::layers::Block;
use super::vit::VisionTransformer;

impl BackboneKind {
    /// Builds the network under `path` with newly initialised parameters.
    ///
    /// # Errors
    /// An error of libtorch, for example if the parameters do not fit into the device's memory.
    pub fn build(self, path: &nn::Path) -> Result<Backbone, TchError> {
        if let Self::Vit(architecture) = self {
            let network = VisionTransformer::new(architecture, |name, shape| variable(path, name, shape))?;
            return Ok(network.into());
        }
        let blocks = self.blocks().iter().map(|block| Block::new(path, block)).collect::<Result<_, _>>()?;
        Ok(Backbone { layers: Layers::Convolutional(blocks) })
    }
}

/// Returns the path under `path` whose parts are separated by dots in `name`; `path` itself of an empty name.
pub(super) fn folder<'a>(path: &nn::Path<'a>, name: &str) -> nn::Path<'a> {
    name.split('.').filter(|part| !part.is_empty()).fold(path.clone(), |path, part| path / part)
}

/// Creates the variable `name`, whose parts are separated by dots.
fn variable(path: &nn::Path, name: &str, shape: &[usize]) -> Result<Tensor, TchError> {
    let (folders, last) = name.rsplit_once('.').unwrap_or(("", name));
    let path = folder(path, folders);
    let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    match (shape.len(), last) {
        // Factors; a network that starts with random weights would answer nothing but zeros without them.
        (1, "weight" | "gamma") => path.f_ones(last, &shape),
        _ => path.f_zeros(last, &shape),
    }
}

/// A network that computes pooled features from images.
#[derive(Debug)]
pub struct Backbone {
    layers: Layers,
}

#[derive(Debug)]
enum Layers {
    Convolutional(Vec<Block>),
    Transformer(Box<VisionTransformer>),
}

impl From<VisionTransformer> for Backbone {
    fn from(network: VisionTransformer) -> Self {
        Self { layers: Layers::Transformer(Box::new(network)) }
    }
}

impl Backbone {
    /// Computes the features of `images` (`[N, 3, H, W]`, normalised as the weights require) for inference:
    /// the outputs of `blocks` (ascending, counted from 0), each averaged over the tile and concatenated.
    /// Blocks after the last of these are not run. If `blocks` is empty, the network's last block is used:
    /// `[N, feature_width]`. Of a vision transformer the last block is always used, as its architecture says.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory or an unsuitable shape of `images`.
    pub fn features(&self, images: &Tensor, blocks: &[usize]) -> Result<Tensor, TchError> {
        self.learning_features(images, blocks, 0, false)
    }

    /// Adds low-rank adapters of this rank to a vision transformer, as variables under `path`; returns whether it is
    /// one.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn adapt(&mut self, path: &nn::Path, rank: usize) -> Result<bool, TchError> {
        let Layers::Transformer(network) = &mut self.layers else { return Ok(false) };
        network.adapt(rank, |name, shape| variable(path, name, shape))?;
        Ok(true)
    }

    /// Returns all parameters of a vision transformer by their names, with their adapters added; `None` for other
    /// networks.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn transformer_parameters(&self) -> Result<Option<BTreeMap<String, Tensor>>, TchError> {
        match &self.layers {
            Layers::Convolutional(_) => Ok(None),
            Layers::Transformer(network) => network.all_merged().map(Some),
        }
    }

    /// Returns the number of blocks in the network.
    fn block_count(&self) -> usize {
        match &self.layers {
            Layers::Convolutional(blocks) => blocks.len(),
            Layers::Transformer(network) => network.depth(),
        }
    }

    /// Returns the edge length in pixels of which the edge of a tile has to be a multiple.
    pub fn tile_step(&self) -> u32 {
        match &self.layers {
            Layers::Convolutional(_) => 1,
            Layers::Transformer(network) => network.architecture().patch_px as u32,
        }
    }

    /// Computes the same features as [`Backbone::features`], for training. The first `frozen` blocks are not
    /// trained: their running statistics are not updated, and no activations are kept for backpropagation.
    /// With `batch_statistics` the other blocks normalise with the statistics of the batch and update the
    /// running statistics; otherwise they use the running statistics, like the frozen blocks.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory or an unsuitable shape of `images`.
    pub fn learning_features(
        &self,
        images: &Tensor,
        blocks: &[usize],
        frozen: usize,
        batch_statistics: bool,
    ) -> Result<Tensor, TchError> {
        let layers = match &self.layers {
            Layers::Convolutional(layers) => layers,
            Layers::Transformer(network) => return network.features(images, frozen),
        };
        let used = self.blocks_used(blocks);
        let mut x = images.shallow_clone();
        let mut pooled = Vec::with_capacity(blocks.len().max(1));
        for (index, block) in layers.iter().enumerate().take(used) {
            let is_frozen = index < frozen;
            let _no_grad = is_frozen.then(tch::no_grad_guard);
            x = block.forward(&x, batch_statistics && !is_frozen)?;
            if blocks.contains(&index) || index + 1 == used {
                pooled.push(x.f_mean_dim([2i64, 3].as_slice(), false, None)?);
            }
        }
        Tensor::f_cat(&pooled, 1)
    }

    /// Returns how many blocks are run for the features of `blocks`: up to the last of them, or all if empty.
    pub fn blocks_used(&self, blocks: &[usize]) -> usize {
        let count = self.block_count();
        blocks.last().map_or(count, |last| last + 1).min(count)
    }

    /// Returns the trainable parameters of the given blocks: kernels, and scale and shift of norms.
    pub fn parameters(&self, blocks: Range<usize>) -> Vec<&Tensor> {
        match &self.layers {
            Layers::Convolutional(layers) => {
                layers.iter().take(blocks.end).skip(blocks.start).flat_map(Block::parameters).collect()
            }
            Layers::Transformer(network) => network.parameters(blocks),
        }
    }

    /// Returns a copy of the network for inference: every batch-norm is folded into its convolution, adapters are
    /// added to their matrices, and kernels are stored channels-last. Later training of the original does not change
    /// the copy; parameters that are not trained are shared with it.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory for the copy.
    pub fn folded(&self) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let own = |parameter: &Tensor| match parameter.requires_grad() {
            true => Ok(parameter.copy().detach()),
            false => Ok(parameter.shallow_clone()),
        };
        self.map(Block::folded, own)
    }

    /// Returns a copy of the network with all parameters converted to `kind`, for half precision.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory for the copy.
    pub fn to_kind(&self, kind: tch::Kind) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        self.map(|block| block.to_kind(kind), |parameter| parameter.f_to_kind(kind))
    }

    fn map(
        &self,
        of_block: impl Fn(&Block) -> Result<Block, TchError>,
        of_parameter: impl Fn(&Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Self, TchError> {
        match &self.layers {
            Layers::Convolutional(blocks) => {
                let blocks = blocks.iter().map(of_block).collect::<Result<_, _>>()?;
                Ok(Self { layers: Layers::Convolutional(blocks) })
            }
            Layers::Transformer(network) => Ok(network.map(of_parameter)?.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Builds a network with random parameters and running statistics: the initial mean of 0 and variance of
    /// 1 would not reveal a fold that ignores them.
    fn shuffled(kind: BackboneKind) -> (nn::VarStore, Backbone) {
        let store = nn::VarStore::new(Device::Cpu);
        let backbone = kind.build(&store.root()).unwrap();
        let _no_grad = tch::no_grad_guard();
        for (name, mut variable) in store.variables() {
            let is_norm = variable.dim() == 1;
            if is_norm && (name.ends_with("weight") || name.ends_with("running_var")) {
                let _ = variable.f_uniform_(0.6, 1.4).unwrap();
            } else if is_norm {
                let _ = variable.f_uniform_(-0.2, 0.2).unwrap();
            }
        }
        (store, backbone)
    }

    #[test]
    fn folding_keeps_the_features() {
        tch::manual_seed(1);
        let _no_grad = tch::no_grad_guard();
        let images = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        for kind in BackboneKind::PUBLISHED.into_iter().chain([BackboneKind::Tiny]) {
            let (_store, backbone) = shuffled(kind);
            let eager = backbone.features(&images, &[]).unwrap();
            let folded = backbone.folded().unwrap().features(&images, &[]).unwrap();
            assert_eq!(eager.size(), [2, kind.feature_width() as i64], "{kind}");
            let scale = eager.abs().max().double_value(&[]);
            let difference = (&eager - &folded).abs().max().double_value(&[]);
            assert!(scale > 0.01 && difference < 1e-4 * scale, "{kind}: {difference} of {scale}");
        }
    }

    #[test]
    fn features_of_blocks_are_as_wide_as_said_and_end_in_those_of_the_whole() {
        let _no_grad = tch::no_grad_guard();
        let images = Tensor::randn([1, 3, 64, 64], (Kind::Float, Device::Cpu));
        for kind in BackboneKind::PUBLISHED.into_iter().chain([BackboneKind::Tiny]) {
            let backbone = kind.build(&nn::VarStore::new(Device::Cpu).root()).unwrap();
            let widths = kind.block_widths();
            assert_eq!(widths.len(), backbone.block_count(), "{kind}");
            assert_eq!(widths.last(), Some(&kind.feature_width()), "{kind}");
            let all: Vec<usize> = (0..widths.len()).collect();
            let found = backbone.features(&images, &all).unwrap();
            assert_eq!(found.size(), [1, widths.iter().sum::<usize>() as i64], "{kind}");
            let last = found.narrow(1, -(kind.feature_width() as i64), kind.feature_width() as i64);
            assert_eq!(last, backbone.features(&images, &[]).unwrap(), "{kind}");
        }
    }

    #[test]
    fn a_training_step_reaches_every_parameter() {
        tch::manual_seed(2);
        let images = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        for kind in [BackboneKind::Resnet18, BackboneKind::MobilenetV2, BackboneKind::EfficientnetLite0] {
            let (store, backbone) = shuffled(kind);
            let before = store.variables()[first_running_mean(&store).as_str()].copy();
            backbone.learning_features(&images, &[], 0, true).unwrap().square().sum(Kind::Float).backward();
            for parameter in store.trainable_variables() {
                let gradient = parameter.grad();
                assert!(gradient.defined() && bool::try_from(gradient.isfinite().all()).unwrap(), "{kind}");
            }
            let after = &store.variables()[first_running_mean(&store).as_str()];
            assert!((before - after).abs().max().double_value(&[]) > 0.0, "{kind}");
        }
    }

    fn first_running_mean(store: &nn::VarStore) -> String {
        let mut names: Vec<String> = store.variables().into_keys().collect();
        names.sort();
        names.into_iter().find(|name| name.ends_with("running_mean")).unwrap()
    }
}
