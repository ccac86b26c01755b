//! Networks that serve as an encoder's backbone.
//!
//! A convolutional network is described by a list of blocks (`description`) whose parameters have the names used by
//! published weights, so a state dict saved as safetensors loads unchanged. A vision transformer ([`vit`]) is
//! described by the names and shapes in its file. [`Backbone`] is either of them in libtorch.

pub(crate) mod description;
mod efficientnet_lite;
#[cfg(feature = "torch")]
mod layers;
mod mobilenet;
#[cfg(feature = "torch")]
mod network;
mod resnet;
mod tiny;
pub mod vit;

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

#[cfg(feature = "torch")]
pub use network::Backbone;

use description::BlockDescription;
use efficientnet_lite::Scale;
use vit::{Shapes, VitArchitecture};

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
    /// EfficientNet-Lite1, deeper than Lite0.
    EfficientnetLite1,
    /// EfficientNet-Lite2, wider and deeper than Lite0.
    EfficientnetLite2,
    /// Four small convolutions, for testing settings in seconds; no published weights exist.
    Tiny,
    /// A vision transformer, described in full; its architecture is read from a file of weights.
    #[strum(disabled)]
    Vit(VitArchitecture),
}

impl BackboneKind {
    /// Architectures with published ImageNet weights.
    pub const PUBLISHED: [Self; 7] = [
        Self::Resnet18,
        Self::Resnet34,
        Self::Resnet50,
        Self::MobilenetV2,
        Self::EfficientnetLite0,
        Self::EfficientnetLite1,
        Self::EfficientnetLite2,
    ];

    /// Returns the name used in `model.toml`, in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::EfficientnetLite0 => "efficientnet_lite0",
            Self::EfficientnetLite1 => "efficientnet_lite1",
            Self::EfficientnetLite2 => "efficientnet_lite2",
            Self::Tiny => "tiny",
            Self::Vit(_) => "vit",
        }
    }

    /// Returns the name by which people know it, such as MobileNetV2 or ViT-S/14. Files, JSON and options have
    /// [`Self::name`].
    pub fn shown_name(self) -> String {
        let known = match self {
            Self::Resnet18 => "ResNet-18",
            Self::Resnet34 => "ResNet-34",
            Self::Resnet50 => "ResNet-50",
            Self::MobilenetV2 => "MobileNetV2",
            Self::EfficientnetLite0 => "EfficientNet-Lite0",
            Self::EfficientnetLite1 => "EfficientNet-Lite1",
            Self::EfficientnetLite2 => "EfficientNet-Lite2",
            Self::Tiny => "Tiny",
            Self::Vit(architecture) => return architecture.shown_name(),
        };
        known.to_owned()
    }

    /// Returns the number of pooled features.
    pub fn feature_width(self) -> usize {
        match self {
            Self::Resnet18 | Self::Resnet34 => 512,
            Self::Resnet50 => 2048,
            Self::MobilenetV2
            | Self::EfficientnetLite0
            | Self::EfficientnetLite1
            | Self::EfficientnetLite2 => 1280,
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

    /// Returns the blocks of a convolutional network; none of a vision transformer, which its architecture describes.
    pub(crate) fn blocks(self) -> Vec<BlockDescription> {
        match self {
            Self::Resnet18 => resnet::basic([2, 2, 2, 2]),
            Self::Resnet34 => resnet::basic([3, 4, 6, 3]),
            Self::Resnet50 => resnet::bottleneck([3, 4, 6, 3]),
            Self::MobilenetV2 => mobilenet::blocks(),
            Self::EfficientnetLite0 => efficientnet_lite::blocks(Scale::LITE0),
            Self::EfficientnetLite1 => efficientnet_lite::blocks(Scale::LITE1),
            Self::EfficientnetLite2 => efficientnet_lite::blocks(Scale::LITE2),
            Self::Tiny => tiny::blocks(),
            Self::Vit(_) => Vec::new(),
        }
    }

    /// Returns the names and shapes of the network's parameters and running statistics.
    pub(crate) fn shapes(self) -> Shapes {
        if let Self::Vit(architecture) = self {
            return architecture.shapes();
        }
        let mut shapes = Shapes::new();
        for unit in self.blocks().iter().flat_map(BlockDescription::units) {
            shapes.insert(format!("{}.weight", unit.conv), unit.geometry.weight_shape().to_vec());
            for name in ["weight", "bias", "running_mean", "running_var"] {
                shapes.insert(format!("{}.{name}", unit.norm), vec![unit.geometry.outputs as usize]);
            }
        }
        shapes
    }

    /// Returns the number of output channels of each block, in block order.
    pub fn block_widths(self) -> Vec<usize> {
        if let Self::Vit(architecture) = self {
            return vec![architecture.outputs(); architecture.depth];
        }
        let following = |channels: &mut usize, block: BlockDescription| {
            *channels = block.outputs(*channels);
            Some(*channels)
        };
        self.blocks().into_iter().scan(3, following).collect()
    }

    /// Returns the mean and standard deviation of each colour channel (scale 0 to 1) with which the published
    /// ImageNet weights expect their input to be normalised.
    pub fn input_statistics(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::EfficientnetLite0 | Self::EfficientnetLite1 | Self::EfficientnetLite2 => {
                ([0.498; 3], [0.502; 3])
            }
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
            Self::EfficientnetLite0 | Self::EfficientnetLite1 | Self::EfficientnetLite2 => {
                &["_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1"]
            }
            Self::Tiny => &["tiny"],
            Self::Vit(_) => return !name.starts_with("head."),
        };
        own.contains(&name.split('.').next().unwrap_or_default())
    }

    /// Returns whether a weights file may contain `name` although the network has no such parameter: PyTorch's batch
    /// counters, and tensors outside the backbone, such as the ImageNet classifier, projectors and heads.
    pub(super) fn is_beside(self, name: &str) -> bool {
        !self.is_own(name) || name.ends_with("num_batches_tracked")
    }

    /// Returns the network whose parameters a file contains, identified by parameter names unique to it and, where
    /// networks of a family have the same names, by shapes. `shape` tells that of a parameter, if it is there.
    pub(super) fn recognise<'a>(shape: impl Fn(&str) -> Option<&'a [usize]>) -> Option<Self> {
        let has = |name: &str| shape(name).is_some();
        let resnet = || match (has("layer1.0.conv3.weight"), has("layer3.6.conv1.weight")) {
            (true, true) => None,
            (true, false) => Some(Self::Resnet50),
            (false, _) if has("layer1.2.conv1.weight") => Some(Self::Resnet34),
            (false, _) => Some(Self::Resnet18),
        };
        let efficientnet_lite = || match shape(Self::ANCHORS[2]).and_then(|kernels| kernels.get(1)) {
            Some(352) => Self::EfficientnetLite2,
            _ if has("_blocks.16._project_conv.weight") => Self::EfficientnetLite1,
            _ => Self::EfficientnetLite0,
        };
        match () {
            () if has(Self::ANCHORS[0]) => resnet(),
            () if has(Self::ANCHORS[1]) => Some(Self::MobilenetV2),
            () if has(Self::ANCHORS[2]) => Some(efficientnet_lite()),
            () if has(Self::ANCHORS[3]) => Some(Self::Tiny),
            () => None,
        }
    }
}

impl std::fmt::Display for BackboneKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
