//! The description of a model that is a single weights file.

#[cfg(any(feature = "torch", test))]
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Crops, Preprocessing};
use crate::backbones::BackboneKind;
use crate::readout::{FeatureScaling, HeadOutput};

/// Key of the self-description in the header of a weights file.
pub(super) const SELF_DESCRIPTION: &str = "histokin";

/// Weights of a vision transformer that a file changes: tensors in the file replace those of the same name, and
/// low-rank adapters in the file are added to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Absolute path of the weights.
    #[serde(with = "histokin_core::paths::whole")]
    pub weights: PathBuf,
    /// SHA-256 of the content of each of their files.
    pub digests: Vec<String>,
}

/// Description stored in a single weights file, equivalent to the `model.toml` of a folder. If there is a
/// head, the file contains it as `head.weight` and `head.bias`, next to the backbone's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfDescription {
    /// Display name.
    pub name: String,
    /// Architecture of the backbone.
    pub backbone: BackboneKind,
    /// Blocks that form the features, as in [`ModelFile::blocks`](super::ModelFile::blocks).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<usize>,
    /// Scaling of the pooled features before the head.
    #[serde(default)]
    pub feature_scaling: FeatureScaling,
    /// Width of the hidden layer of the head, as in [`ModelFile::hidden`](super::ModelFile::hidden).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Conversion of the head's output to a descriptor.
    #[serde(default, skip_serializing_if = "HeadOutput::is_linear")]
    pub output: HeadOutput,
    /// Height of the stain switch, as in [`ModelFile::stain_switch`](super::ModelFile::stain_switch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stain_switch: Option<f32>,
    /// Views of a tile, as in [`ModelFile::crops`](super::ModelFile::crops).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crops: Option<Crops>,
    /// The weights that this file changes, if it does not hold all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Processing of tiles before the network and of descriptors after it.
    #[serde(default)]
    pub preprocessing: Preprocessing,
}

impl SelfDescription {
    /// Returns the description of an encoder without a head: pooled features, with the input normalised as
    /// the published weights expect.
    pub(crate) fn plain(name: String, backbone: BackboneKind) -> Self {
        let (input_mean, input_std) = backbone.input_statistics();
        Self {
            name,
            backbone,
            blocks: Vec::new(),
            feature_scaling: FeatureScaling::None,
            hidden: None,
            output: HeadOutput::Linear,
            stain_switch: None,
            crops: None,
            base: None,
            preprocessing: Preprocessing { input_mean, input_std, ..Preprocessing::default() },
        }
    }

    /// Returns the number of features that the head takes as input.
    pub(crate) fn feature_width(&self) -> usize {
        let views = self.crops.as_ref().map_or(1, Crops::count);
        views * self.backbone.width_of(&self.blocks) + usize::from(self.stain_switch.is_some())
    }

    /// Returns the description as metadata for the header of a safetensors file.
    #[cfg(any(feature = "torch", test))]
    pub(crate) fn to_header(&self) -> HashMap<String, String> {
        let text = serde_json::to_string(self).expect("names, numbers and arrays of them become JSON");
        HashMap::from([(SELF_DESCRIPTION.to_owned(), text)])
    }

    /// Returns the description of a weights file published by torchvision or written by another training
    /// program: pooled features, with the input normalised as the published weights expect.
    pub(super) fn of_network(path: &Path, kind: BackboneKind) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::plain(name, kind)
    }
}
