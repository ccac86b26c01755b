//! A model's description file, `model.toml`.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::further::{self, FurtherNetwork, check_blocks};
use super::{About, Crops, Preprocessing, SelfDescription};
use crate::EncoderError;
use crate::backbones::BackboneKind;
use crate::readout::{FeatureScaling, HeadOutput};
use histokin_core::untrusted;

/// Name of the description file; a folder that contains one is a model.
pub const MODEL_FILE: &str = "model.toml";

/// A model as described by `model.toml`: a backbone with its weights, a linear head, and the processing of
/// tiles before and of descriptors after the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Display name, also used for `--encoder`; equal to the folder's name.
    pub name: String,
    /// Architecture of the backbone.
    pub backbone: BackboneKind,
    /// Safetensors file with the backbone's published parameter names; relative to the folder.
    pub weights: PathBuf,
    /// Blocks of the backbone (ascending, counted from 0) whose outputs, averaged over the tile and
    /// concatenated, form the features. Empty for the last block only, the network's usual features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<usize>,
    /// Scaling of the backbone's pooled features before the head.
    #[serde(default)]
    pub feature_scaling: FeatureScaling,
    /// Safetensors file with `head.weight` `[D, F]` and `head.bias` `[D]`; relative to the folder. With `H` hidden
    /// values it has `head.hidden.weight` `[H, F]` and `head.hidden.bias` `[H]` as well, and `head.weight` is `[D, H]`.
    /// Without a head, the pooled features are the descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
    /// Number of values between the two layers of the head, each the positive part (ReLU) of a linear function of the
    /// features; `None` for a head of one layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Conversion of the head's output to a descriptor.
    #[serde(default, skip_serializing_if = "HeadOutput::is_linear")]
    pub output: HeadOutput,
    /// Height of the stain switch, if there is one. With it, the darkness of the tile's nuclei is appended to
    /// the pooled features, and the descriptor's last value is this height times the tanh of the head's last
    /// output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stain_switch: Option<f32>,
    /// Views of a tile at several magnifications, whose features are concatenated. Without them, the network sees the
    /// tile as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crops: Option<Crops>,
    /// Networks beside the first one, which the settings above describe. Their features follow its features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_networks: Vec<FurtherNetwork>,
    /// What the model is for, its source and its licence.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub about: About,
    /// Processing of tiles before the network and of descriptors after it.
    #[serde(default)]
    pub preprocessing: Preprocessing,
}

impl ModelFile {
    /// Returns a model without a head: its descriptors are the pooled features of the backbone's last block.
    pub fn of_backbone(name: &str, backbone: BackboneKind, weights: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            backbone,
            weights: weights.into(),
            blocks: Vec::new(),
            feature_scaling: FeatureScaling::None,
            head: None,
            hidden: None,
            output: HeadOutput::Linear,
            stain_switch: None,
            crops: None,
            further_networks: Vec::new(),
            about: About::default(),
            preprocessing: Preprocessing::default(),
        }
    }

    /// Returns the number of features that the head takes as input.
    pub fn feature_width(&self) -> usize {
        let crops = self.crops.as_ref();
        let further = self.further_networks.iter().map(|network| network.feature_width(crops));
        self.described().feature_width() + further.sum::<usize>()
    }

    /// Returns the paths of all weights, those of the first network first.
    pub fn all_weights(&self) -> impl Iterator<Item = &Path> {
        let further = self.further_networks.iter().map(|network| network.weights.as_path());
        std::iter::once(self.weights.as_path()).chain(further)
    }

    /// Returns the paths of all files that the description names.
    pub(crate) fn all_paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let further = self.further_networks.iter_mut().map(|network| &mut network.weights);
        std::iter::once(&mut self.weights).chain(&mut self.head).chain(further)
    }

    /// Checks that there is one network, as training and fitting need.
    ///
    /// # Errors
    /// A message with what to do instead.
    pub fn check_single(&self) -> Result<(), String> {
        if self.further_networks.is_empty() {
            return Ok(());
        }
        let weights: Vec<String> = self.all_weights().map(|path| path.display().to_string()).collect();
        Err(format!(
            "{} is made of {} networks, which can be used but not trained or fitted; give the weights of one of them \
             instead: {}",
            self.name,
            weights.len(),
            weights.join(", ")
        ))
    }

    /// Returns this description, of the first network, in the form that is stored in a single weights file.
    pub(crate) fn described(&self) -> SelfDescription {
        SelfDescription {
            name: self.name.clone(),
            backbone: self.backbone,
            blocks: self.blocks.clone(),
            feature_scaling: self.feature_scaling,
            hidden: self.hidden,
            output: self.output,
            stain_switch: self.stain_switch,
            crops: self.crops.clone(),
            base: None,
            preprocessing: self.preprocessing.clone(),
        }
    }

    /// Returns the description of the weights file at `weights`, from the one that it holds of itself.
    pub(super) fn of_single(weights: &Path, own: SelfDescription, about: About) -> Self {
        Self {
            name: own.name,
            backbone: own.backbone,
            weights: weights.to_owned(),
            blocks: own.blocks,
            feature_scaling: own.feature_scaling,
            head: None,
            hidden: own.hidden,
            output: own.output,
            stain_switch: own.stain_switch,
            crops: own.crops,
            further_networks: Vec::new(),
            about,
            preprocessing: own.preprocessing,
        }
    }

    /// Checks that the settings go together; `has_head` is whether there is a head, in whichever file.
    pub(super) fn check(&self, has_head: bool) -> Result<(), String> {
        if let BackboneKind::Vit(architecture) = self.backbone {
            architecture.check()?;
            if !self.blocks.is_empty() || self.feature_scaling == FeatureScaling::Hellinger {
                return Err("blocks and the hellinger scaling are for convolutional networks".into());
            }
            let (name, px) = match &self.crops {
                Some(crops) => ("crops.px", crops.px),
                None => ("tile_px", self.preprocessing.tile_px),
            };
            if !(px as usize).is_multiple_of(architecture.patch_px) {
                return Err(format!(
                    "{name} is {px}; patches of {} px have to fill it",
                    architecture.patch_px
                ));
            }
        }
        check_blocks(self.backbone, &self.blocks)?;
        if !self.blocks.is_empty() && self.feature_scaling == FeatureScaling::Hellinger {
            return Err(
                "the hellinger scaling is for the last block only: earlier ones have negative features"
                    .into(),
            );
        }
        if let Some(hidden) = self.hidden
            && (!has_head || hidden == 0)
        {
            return Err(format!(
                "hidden is {hidden}; a head of two layers has at least 1 value between them"
            ));
        }
        if self.output == HeadOutput::Memberships && !has_head {
            return Err("memberships need a head that tells the prototypes".into());
        }
        if let Some(height) = self.stain_switch {
            if !has_head {
                return Err("a stain switch needs a head that tells its sides".into());
            }
            if !(height.is_finite() && height > 0.0) {
                return Err(format!("stain_switch is {height}; its height has to be above 0"));
            }
        }
        if let Some(crops) = &self.crops {
            crops.check_tiles(&self.preprocessing)?;
        }
        if !self.further_networks.is_empty() && self.feature_scaling == FeatureScaling::Hellinger {
            return Err("the hellinger scaling is for models of one network".into());
        }
        if self.further_networks.len() > further::MOST {
            return Err(format!(
                "{} further networks are too many; a model has at most {}",
                self.further_networks.len(),
                further::MOST
            ));
        }
        self.further_networks.iter().try_for_each(|network| network.check(self.crops.as_ref()))?;
        self.preprocessing.check()
    }
}

/// Reads the description of the model in `folder`, without its weights.
///
/// # Errors
/// [`EncoderError::File`] if it cannot be read or is invalid.
pub fn read_description(folder: &Path) -> Result<ModelFile, EncoderError> {
    let path = folder.join(MODEL_FILE);
    let file: ModelFile = read_toml(&path)?;
    file.check(file.head.is_some()).map_err(|reason| EncoderError::File { path, reason })?;
    Ok(file)
}

/// Maximum size of a settings file, in bytes.
const MOST_SETTINGS: u64 = 1 << 20;

/// Reads a TOML file of settings.
pub(super) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, EncoderError> {
    let file = |reason: String| EncoderError::File { path: path.to_owned(), reason };
    let text = untrusted::read_text(path, MOST_SETTINGS).map_err(|error| file(error.to_string()))?;
    toml::from_str(&text).map_err(|error| file(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::stain::StainSetting;

    #[test]
    fn descriptions_read_back_as_written() {
        let weights = "../weights/efficientnet_lite0.safetensors";
        let file = ModelFile {
            feature_scaling: FeatureScaling::Hellinger,
            head: Some("head.safetensors".into()),
            preprocessing: Preprocessing { l2_normalise: true, ..Preprocessing::default() },
            ..ModelFile::of_backbone("mine", BackboneKind::EfficientnetLite0, weights)
        };
        let text = toml::to_string(&file).unwrap();
        assert!(text.contains("backbone = \"efficientnet_lite0\""), "{text}");
        assert!(
            ["blocks", "hidden", "output", "stain_switch", "stain =", "crops", "further", "about"]
                .iter()
                .all(|key| !text.contains(key)),
            "what is as ever is not written: {text}"
        );
        assert_eq!(toml::from_str::<ModelFile>(&text).unwrap(), file);
        let fitted = ModelFile {
            blocks: vec![3, 5],
            hidden: Some(64),
            output: HeadOutput::Memberships,
            stain_switch: Some(0.5),
            crops: Some(Crops { px: 112, um_per_px: vec![2.0, 1.0] }),
            further_networks: vec![FurtherNetwork {
                backbone: BackboneKind::Resnet18,
                weights: "resnet18.pth".into(),
                blocks: vec![4],
                um_per_px: vec![1.0],
                input_mean: [0.5; 3],
                input_std: [0.25; 3],
            }],
            about: About { purpose: "tests".into(), ..About::default() },
            preprocessing: Preprocessing { stain: StainSetting::None, ..Preprocessing::default() },
            ..file
        };
        assert_eq!(toml::from_str::<ModelFile>(&toml::to_string(&fitted).unwrap()).unwrap(), fitted);
    }

    #[test]
    fn every_backbone_is_written_by_its_name() {
        for kind in BackboneKind::PUBLISHED.into_iter().chain([BackboneKind::Tiny]) {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }

    #[test]
    fn unknown_and_impossible_settings_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let described = |text: &str| {
            std::fs::write(folder.path().join(MODEL_FILE), text).unwrap();
            read_description(folder.path()).unwrap_err().to_string()
        };
        let base = "name = \"m\"\nbackbone = \"resnet18\"\nweights = \"w.safetensors\"\n";
        assert!(described(&format!("{base}wieghts = 1\n")).contains("wieghts"));
        assert!(described(&format!("{base}[preprocessing]\nmpp = 0.0\n")).contains("mpp"));
        assert!(described(&format!("{base}blocks = [4, 3]\n")).contains("ascending"));
        assert!(described(&format!("{base}blocks = [10]\n")).contains("0 to 9"));
        assert!(described(&format!("{base}output = \"memberships\"\n")).contains("head"));
        assert!(described(&format!("{base}stain_switch = 1.0\n")).contains("head"));
        assert!(described(&format!("{base}hidden = 8\n")).contains("two layers"));
        let headed = format!("{base}head = \"h.safetensors\"\n");
        assert!(described(&format!("{headed}stain_switch = 0.0\n")).contains("above 0"));
        let scaled = format!("{base}blocks = [3]\nfeature_scaling = \"hellinger\"\n");
        assert!(described(&scaled).contains("last block"));
        let further = |settings: &str| {
            let colours = "input_mean = [0.5, 0.5, 0.5]\ninput_std = [0.5, 0.5, 0.5]\n";
            let named = "[[further_networks]]\nweights = \"w.safetensors\"\n";
            described(&format!("{base}{named}{colours}{settings}"))
        };
        assert!(further("backbone = \"tiny\"\nblocks = [4]\n").contains("Tiny has the blocks 0 to 3"));
        assert!(further("backbone = \"tiny\"\num_per_px = [2.0]\n").contains("um_per_px of Tiny is [2.0]"));
        assert!(further("").contains("backbone"));
        assert!(described("name = \"m\"\nbackbone = \"resnet19\"\nweights = \"w\"\n").contains("resnet19"));
    }
}
