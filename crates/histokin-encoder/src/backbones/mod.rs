//! Networks that serve as an encoder's backbone.
//!
//! A convolutional network is a list of `layers::Block`s whose parameters have the names used by published
//! weights, so a state dict saved as safetensors loads unchanged. The parameters are held in a variable store.
//! Inference uses a folded copy ([`Backbone::folded`]); training uses the blocks directly. A vision transformer
//! ([`vit`]) is built from the names and shapes in its file.

mod efficientnet_lite;
mod layers;
mod mobilenet;
mod resnet;
mod tiny;
pub mod vit;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};
use tch::{TchError, Tensor, nn};

use layers::Block;
use vit::{VisionTransformer, VitArchitecture};

/// A supported backbone architecture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, EnumIter, EnumMessage, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BackboneKind {
    /// ResNet-18 (He et al. 2016).
    Resnet18,
    /// ResNet-34 (He et al. 2016).
    Resnet34,
    /// ResNet-50 (He et al. 2016).
    Resnet50,
    /// MobileNetV2 (Sandler et al. 2018).
    MobilenetV2,
    /// EfficientNet-Lite0, a variant of EfficientNet-B0 with ReLU6 and without squeeze-and-excitation.
    EfficientnetLite0,
    /// Four small convolutions, for testing settings in seconds; no published weights exist.
    Tiny,
    /// A vision transformer, described in full; its architecture is read from a file of weights.
    #[strum(disabled)]
    Vit(VitArchitecture),
}

impl BackboneKind {
    /// Architectures with published ImageNet weights.
    pub const PUBLISHED: [Self; 5] =
        [Self::Resnet18, Self::Resnet34, Self::Resnet50, Self::MobilenetV2, Self::EfficientnetLite0];

    /// Returns the name used in `model.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::EfficientnetLite0 => "efficientnet_lite0",
            Self::Tiny => "tiny",
            Self::Vit(_) => "vit",
        }
    }

    /// Returns the number of pooled features.
    pub fn feature_width(self) -> usize {
        match self {
            Self::Resnet18 | Self::Resnet34 => 512,
            Self::Resnet50 => 2048,
            Self::MobilenetV2 | Self::EfficientnetLite0 => 1280,
            Self::Tiny => tiny::WIDTH as usize,
            Self::Vit(architecture) => architecture.outputs(),
        }
    }

    /// Returns the number of pooled features of `blocks`, or of the last block if `blocks` is empty.
    pub fn width_of(self, blocks: &[usize]) -> usize {
        let widths = self.block_widths();
        match blocks {
            [] => self.feature_width(),
            blocks => blocks.iter().filter_map(|block| widths.get(*block)).sum(),
        }
    }

    /// Returns the number of output channels of each block, in block order.
    pub fn block_widths(self) -> Vec<usize> {
        match self {
            Self::Resnet18 => resnet::widths([2, 2, 2, 2], 1),
            Self::Resnet34 => resnet::widths([3, 4, 6, 3], 1),
            Self::Resnet50 => resnet::widths([3, 4, 6, 3], 4),
            Self::MobilenetV2 => mobilenet::widths(),
            Self::EfficientnetLite0 => efficientnet_lite::widths(),
            Self::Tiny => tiny::widths(),
            Self::Vit(architecture) => vec![architecture.outputs(); architecture.depth],
        }
    }

    /// Returns the mean and standard deviation of each colour channel (scale 0 to 1) with which the published
    /// ImageNet weights expect their input to be normalised.
    pub fn input_statistics(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::EfficientnetLite0 => ([0.498; 3], [0.502; 3]),
            Self::Tiny => ([0.5; 3], [0.25; 3]),
            Self::Resnet18 | Self::Resnet34 | Self::Resnet50 | Self::MobilenetV2 | Self::Vit(_) => {
                ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
            }
        }
    }

    /// Parameter names that identify a family: each occurs in every network of one family and in no other.
    pub(super) const ANCHORS: [&str; 4] =
        ["layer1.0.conv1.weight", "features.18.0.weight", "_conv_head.weight", "tiny.0.conv.weight"];

    /// Returns whether `name` is in a namespace of the network's parameters, even if no such parameter
    /// exists.
    pub(super) fn is_own(self, name: &str) -> bool {
        let own: &[&str] = match self {
            Self::Resnet18 | Self::Resnet34 | Self::Resnet50 => {
                &["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
            }
            Self::MobilenetV2 => &["features"],
            Self::EfficientnetLite0 => &["_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1"],
            Self::Tiny => &["tiny"],
            Self::Vit(_) => return !name.starts_with("head."),
        };
        own.contains(&name.split('.').next().unwrap_or_default())
    }

    /// Returns the network whose parameters a file contains, identified by parameter names unique to it.
    pub(super) fn recognise(has: impl Fn(&str) -> bool) -> Option<Self> {
        let resnet = || match (has("layer1.0.conv3.weight"), has("layer3.6.conv1.weight")) {
            (true, true) => None,
            (true, false) => Some(Self::Resnet50),
            (false, _) if has("layer1.2.conv1.weight") => Some(Self::Resnet34),
            (false, _) => Some(Self::Resnet18),
        };
        match () {
            () if has(Self::ANCHORS[0]) => resnet(),
            () if has(Self::ANCHORS[1]) => Some(Self::MobilenetV2),
            () if has(Self::ANCHORS[2]) => Some(Self::EfficientnetLite0),
            () if has(Self::ANCHORS[3]) => Some(Self::Tiny),
            () => None,
        }
    }

    /// Builds the network under `path` with newly initialised parameters.
    ///
    /// # Errors
    /// An error of libtorch, for example if the parameters do not fit into the device's memory.
    pub fn build(self, path: &nn::Path) -> Result<Backbone, TchError> {
        let blocks = match self {
            Self::Vit(architecture) => {
                let network =
                    VisionTransformer::new(architecture, |name, shape| variable(path, name, shape))?;
                return Ok(network.into());
            }
            Self::Resnet18 => resnet::basic(path, [2, 2, 2, 2])?,
            Self::Resnet34 => resnet::basic(path, [3, 4, 6, 3])?,
            Self::Resnet50 => resnet::bottleneck(path, [3, 4, 6, 3])?,
            Self::MobilenetV2 => mobilenet::blocks(path)?,
            Self::EfficientnetLite0 => efficientnet_lite::blocks(path)?,
            Self::Tiny => tiny::blocks(path)?,
        };
        Ok(Backbone { layers: Layers::Convolutional(blocks) })
    }
}

/// Creates the variable `name`, whose parts are separated by dots.
fn variable(path: &nn::Path, name: &str, shape: &[usize]) -> Result<Tensor, TchError> {
    let (folders, last) = name.rsplit_once('.').unwrap_or(("", name));
    let mut path = path.clone();
    for folder in folders.split('.').filter(|folder| !folder.is_empty()) {
        path = &path / folder;
    }
    let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    match (shape.len(), last) {
        // Factors; a network that starts with random weights would answer nothing but zeros without them.
        (1, "weight" | "gamma") => path.f_ones(last, &shape),
        _ => path.f_zeros(last, &shape),
    }
}

impl std::fmt::Display for BackboneKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
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
