//! Model descriptions (`model.toml`) and the search paths for models.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Kind, TchError, nn};

use super::backbones::{Backbone, BackboneKind};
use super::device::Compute;
use super::module_output::ModuleOutput;
use super::readout::{FeatureScaling, HeadOutput};
use super::state_dict::{FoundNetwork, prefix_in_files};
use super::vit_weights::VitWeights;
use super::weight_files::{INDEX_ENDING, WeightFiles};
use super::weights::{self, Tensors};
use super::{EncoderError, EncoderId, EncoderSpec, pth, vit_settings};
use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;
use histokin_core::untrusted;

/// Name of the description file; a folder that contains one is a model.
pub const MODEL_FILE: &str = "model.toml";

/// Environment variable with additional model folders, separated as in `PATH`.
pub const MODELS_VARIABLE: &str = "HISTOKIN_MODELS";

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
    /// Safetensors file with `head.weight` `[D, F]` and `head.bias` `[D]`; relative to the folder. Without a
    /// head, the pooled features are the descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
    /// Conversion of the head's output to a descriptor.
    #[serde(default, skip_serializing_if = "HeadOutput::is_linear")]
    pub output: HeadOutput,
    /// Height of the stain switch, if there is one. With it, the darkness of the tile's nuclei is appended to
    /// the pooled features, and the descriptor's last value is this height times the tanh of the head's last
    /// output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stain_switch: Option<f32>,
    /// Processing of tiles before the network and of descriptors after it.
    #[serde(default)]
    pub preprocessing: Preprocessing,
}

impl ModelFile {
    /// Returns the number of features that the head takes as input.
    pub fn feature_width(&self) -> usize {
        self.described().feature_width()
    }

    /// Returns this description in the form that is stored in a single weights file.
    pub(super) fn described(&self) -> SelfDescription {
        let Self { name, backbone, blocks, feature_scaling, output, stain_switch, .. } = self.clone();
        let preprocessing = self.preprocessing.clone();
        SelfDescription { name, backbone, blocks, feature_scaling, output, stain_switch, preprocessing }
    }

    fn check(&self, has_head: bool) -> Result<(), String> {
        let count = self.backbone.block_widths().len();
        if let BackboneKind::Vit(architecture) = self.backbone {
            architecture.check()?;
            if !self.blocks.is_empty() || self.feature_scaling == FeatureScaling::Hellinger {
                return Err("blocks and the hellinger scaling are for convolutional networks".into());
            }
            let Preprocessing { tile_px, .. } = self.preprocessing;
            if !(tile_px as usize).is_multiple_of(architecture.patch_px) {
                return Err(format!(
                    "tile_px is {tile_px}; patches of {} px have to fill a tile",
                    architecture.patch_px
                ));
            }
        }
        if !self.blocks.iter().all(|block| *block < count) || !self.blocks.is_sorted_by(|a, b| a < b) {
            return Err(format!(
                "blocks are {:?}; {} has the blocks 0 to {}, to be named in ascending order",
                self.blocks,
                self.backbone,
                count - 1
            ));
        }
        if !self.blocks.is_empty() && self.feature_scaling == FeatureScaling::Hellinger {
            return Err(
                "the hellinger scaling is for the last block only: earlier ones have negative features"
                    .into(),
            );
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
        self.preprocessing.check()
    }
}

/// Processing of a tile before the network and of its output after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocessing {
    /// Edge length in pixels of the tiles that the model was made for.
    pub tile_px: u32,
    /// Spacing that the model was made for, in µm per pixel.
    pub mpp: f64,
    /// Mean of each colour channel (scale 0 to 1), subtracted from the input.
    pub input_mean: [f32; 3],
    /// Standard deviation of each colour channel; the input is divided by it after subtraction of the mean.
    pub input_std: [f32; 3],
    /// Whether descriptors are scaled to length 1.
    pub l2_normalise: bool,
    /// Whether tiles are stain-normalised for this model. A model made on original colours gets original
    /// colours regardless of the project's setting.
    #[serde(skip_serializing_if = "StainSetting::is_lab")]
    pub stain: StainSetting,
    /// Reference colours for stain normalisation.
    pub stain_reference: LabStatistics,
}

impl Default for Preprocessing {
    /// Returns tiles of 224 px at 1.0 µm/px, ImageNet's channel statistics, and the colours of average H&E
    /// tissue.
    fn default() -> Self {
        let tiles = TileSettings::default();
        Self {
            tile_px: tiles.tile_px,
            mpp: tiles.mpp,
            input_mean: [0.485, 0.456, 0.406],
            input_std: [0.229, 0.224, 0.225],
            l2_normalise: false,
            stain: StainSetting::Lab,
            stain_reference: AVERAGE_HE,
        }
    }
}

/// Mean over the nine H&E sections to which the shipped model was fitted.
const AVERAGE_HE: LabStatistics = LabStatistics { mean: [76.7, 15.0, -9.3], std: [11.2, 6.2, 4.5] };

impl Preprocessing {
    /// Returns the tile size and spacing.
    pub fn tiles(&self) -> TileSettings {
        TileSettings { tile_px: self.tile_px, mpp: self.mpp }
    }

    /// Returns the identity of an encoder: a hash of these settings, the kind of network, and its files'
    /// bytes.
    pub(super) fn encoder_id(&self, network: &str, files: &[&[u8]]) -> EncoderId {
        let mut identity = self.identity(network);
        files.iter().for_each(|file| identity.add(file));
        identity.finish()
    }

    /// Begins an identity with these settings and the kind of network.
    fn identity(&self, network: &str) -> Identity {
        let settings = serde_json::to_string(self).expect("numbers, booleans and arrays of them become JSON");
        let mut identity = Identity(Sha256::new());
        identity.add(network.as_bytes());
        identity.add(settings.as_bytes());
        identity
    }

    fn check(&self) -> Result<(), String> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        if !(8..=4096).contains(&self.tile_px) {
            return Err(format!("tile_px is {}; tiles have 8 to 4096 pixels", self.tile_px));
        }
        if !(self.mpp.is_finite() && self.mpp > 0.0) {
            return Err(format!("mpp is {}; it has to be positive", self.mpp));
        }
        if !self.input_std.into_iter().chain(self.stain_reference.std).all(positive) {
            return Err("every standard deviation has to be positive".into());
        }
        if !self.input_mean.into_iter().chain(self.stain_reference.mean).all(f32::is_finite) {
            return Err("every mean has to be a finite number".into());
        }
        Ok(())
    }
}

/// The identity of an encoder in the making: a hash of its parts.
struct Identity(Sha256);

impl Identity {
    /// Adds a part. The length before each makes the encoding of a sequence of parts unambiguous.
    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds each file as a part.
    fn add_files(&mut self, files: &WeightFiles) -> Result<(), EncoderError> {
        files.pass_on(|piece| self.0.update(piece))
    }

    fn finish(self) -> EncoderId {
        EncoderId(self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Maximum size of a settings file, in bytes.
const MOST_SETTINGS: u64 = 1 << 20;

/// Reads a TOML file of settings.
fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, EncoderError> {
    let file = |reason: String| EncoderError::File { path: path.to_owned(), reason };
    let text = untrusted::read_text(path, MOST_SETTINGS).map_err(|error| file(error.to_string()))?;
    toml::from_str(&text).map_err(|error| file(error.to_string()))
}

/// Reads the settings of a TorchScript module from `<module>.toml` in the same folder; returns the defaults
/// if there is no such file.
pub(super) fn sidecar(module: &Path) -> Result<(Preprocessing, ModuleOutput), EncoderError> {
    let mut path = module.as_os_str().to_owned();
    path.push(".toml");
    let path = PathBuf::from(path);
    if !path.exists() {
        return Ok(Default::default());
    }
    let mut settings: toml::Table = read_toml(&path)?;
    let own = ModuleOutput::KEYS.into_iter().filter_map(|key| settings.remove_entry(key)).collect();
    let wrong = |error: toml::de::Error| EncoderError::File { path: path.clone(), reason: error.to_string() };
    let output: ModuleOutput = toml::Table::try_into(own).map_err(wrong)?;
    let settings: Preprocessing = settings.try_into().map_err(wrong)?;
    settings.check().map_err(|reason| EncoderError::File { path: path.clone(), reason })?;
    Ok((settings, output))
}

/// Key of the self-description in the header of a weights file.
const SELF_DESCRIPTION: &str = "histokin";

/// Description stored in a single weights file, equivalent to the `model.toml` of a folder. If there is a
/// head, the file contains it as `head.weight` and `head.bias`, next to the backbone's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfDescription {
    /// Display name.
    pub name: String,
    /// Architecture of the backbone.
    pub backbone: BackboneKind,
    /// Blocks that form the features, as in [`ModelFile::blocks`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<usize>,
    /// Scaling of the pooled features before the head.
    #[serde(default)]
    pub feature_scaling: FeatureScaling,
    /// Conversion of the head's output to a descriptor.
    #[serde(default, skip_serializing_if = "HeadOutput::is_linear")]
    pub output: HeadOutput,
    /// Height of the stain switch, as in [`ModelFile::stain_switch`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stain_switch: Option<f32>,
    /// Processing of tiles before the network and of descriptors after it.
    #[serde(default)]
    pub preprocessing: Preprocessing,
}

impl SelfDescription {
    /// Returns the description of an encoder without a head: pooled features, with the input normalised as
    /// the published weights expect.
    pub(super) fn plain(name: String, backbone: BackboneKind) -> Self {
        let (input_mean, input_std) = backbone.input_statistics();
        Self {
            name,
            backbone,
            blocks: Vec::new(),
            feature_scaling: FeatureScaling::None,
            output: HeadOutput::Linear,
            stain_switch: None,
            preprocessing: Preprocessing { input_mean, input_std, ..Preprocessing::default() },
        }
    }

    /// Returns the number of features that the head takes as input.
    pub(super) fn feature_width(&self) -> usize {
        self.backbone.width_of(&self.blocks) + usize::from(self.stain_switch.is_some())
    }

    /// Returns the description as metadata for the header of a safetensors file.
    pub(super) fn to_header(&self) -> HashMap<String, String> {
        let text = serde_json::to_string(self).expect("names, numbers and arrays of them become JSON");
        HashMap::from([(SELF_DESCRIPTION.to_owned(), text)])
    }

    /// Returns the description of a weights file published by torchvision or written by another training
    /// program: pooled features, with the input normalised as the published weights expect.
    fn of_network(path: &Path, kind: BackboneKind) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::plain(name, kind)
    }
}

/// Location of a model's linear head.
#[derive(Debug)]
pub(super) enum Head {
    /// There is no head: the pooled features are the descriptor.
    None,
    /// In the same file as the backbone's weights.
    Inside,
    /// In a separate file.
    Beside(WeightFiles),
}

/// A model's description and the bytes of its files, from which it is built.
#[derive(Debug)]
pub(super) struct Model {
    /// The description.
    pub file: ModelFile,
    /// The weights.
    pub weights: WeightFiles,
    /// Prefix of the backbone's parameter names in the weights file.
    pub prefix: String,
    /// Location of the head.
    pub head: Head,
    /// Properties of the encoder.
    pub spec: EncoderSpec,
}

impl Model {
    /// Reads the model in `folder`.
    ///
    /// # Errors
    /// [`EncoderError`] if a file is missing or invalid.
    pub fn read(folder: &Path) -> Result<Self, EncoderError> {
        Self::assemble(folder, read_description(folder)?)
    }

    /// Reads the model that `which` names. TorchScript modules are rejected, since their parts are
    /// inaccessible.
    ///
    /// # Errors
    /// [`EncoderError`] if there is no such model, it is a TorchScript module or imported, or a file is
    /// invalid.
    pub fn find(which: &str) -> Result<Self, EncoderError> {
        match locate(which)? {
            Location::Folder(folder) => Self::read(&folder),
            Location::Weights(path) => Self::read_single(&path),
            Location::TorchScript(path) => Err(EncoderError::TorchScript {
                path,
                reason: "a module can be run but not trained; give its weights".into(),
            }),
            Location::Imported(path) => {
                Err(EncoderError::Imported { name: super::ImportedEncoder::read(&path)?.name })
            }
        }
    }

    /// Reads a single weights file.
    ///
    /// # Errors
    /// [`EncoderError`] if the file is missing, invalid, or of an unknown network.
    pub fn read_single(path: &Path) -> Result<Self, EncoderError> {
        let files = WeightFiles::read(path)?;
        let mut prefix = String::new();
        let description = match files.text(SELF_DESCRIPTION) {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })?,
            None => match VitWeights::find(&files)? {
                Some(vit) => vit_settings::complete(path, &vit)?.description(),
                None => {
                    let found = FoundNetwork::in_file(path, files.names())?;
                    prefix = found.prefix;
                    SelfDescription::of_network(path, found.kind)
                }
            },
        };
        let has_head = match description.backbone {
            // Of other vision transformers, `head` is a classifier.
            BackboneKind::Vit(_) => files.text(SELF_DESCRIPTION).is_some(),
            _ => prefix.is_empty(),
        };
        let has_head = has_head && files.shape("head.weight").is_some();
        let head = if has_head { Head::Inside } else { Head::None };
        let SelfDescription { name, backbone, blocks, feature_scaling, output, stain_switch, preprocessing } =
            description;
        let file = ModelFile {
            name,
            backbone,
            weights: path.to_owned(),
            blocks,
            feature_scaling,
            head: None,
            output,
            stain_switch,
            preprocessing,
        };
        file.check(has_head).map_err(|reason| EncoderError::File { path: path.to_owned(), reason })?;
        Ok(Self { prefix, ..Self::of_parts(file, files, head)? })
    }

    /// Reads the files that `file` names, relative to `folder`.
    ///
    /// # Errors
    /// [`EncoderError`] if a file is missing or invalid.
    pub fn assemble(folder: &Path, file: ModelFile) -> Result<Self, EncoderError> {
        let weights = WeightFiles::read(&folder.join(&file.weights))?;
        let head = match &file.head {
            None => Head::None,
            Some(head) => Head::Beside(WeightFiles::read(&folder.join(head))?),
        };
        let prefix = prefix_in_files(&weights)?;
        Ok(Self { prefix, ..Self::of_parts(file, weights, head)? })
    }

    /// Returns the parameters of the backbone by their own names, and any other tensors beside them.
    ///
    /// # Errors
    /// [`EncoderError`] if the weights are damaged.
    pub fn tensors(&self) -> Result<Tensors, EncoderError> {
        match self.file.backbone {
            BackboneKind::Vit(_) => self.vit()?.tensors(),
            kind => self.weights.network(kind, &self.prefix),
        }
    }

    /// Returns the vision transformer in the weights.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] if there is none.
    fn vit(&self) -> Result<VitWeights<'_>, EncoderError> {
        VitWeights::find(&self.weights)?.ok_or_else(|| EncoderError::Mismatch {
            path: self.weights.path().to_owned(),
            differences: "there is no vision transformer among them".into(),
        })
    }

    /// Builds the backbone with its weights for inference on a device.
    ///
    /// # Errors
    /// [`EncoderError`] if the weights are damaged or of another network, or libtorch fails.
    pub fn backbone(&self, compute: Compute) -> Result<Backbone, EncoderError> {
        if let BackboneKind::Vit(architecture) = self.file.backbone {
            return Ok(self.vit()?.network(architecture, compute)?.into());
        }
        let torch = |error: TchError| EncoderError::torch("building the network", &error);
        let store = nn::VarStore::new(compute.device);
        let backbone = self.file.backbone.build(&store.root()).map_err(torch)?;
        weights::fill(&store, &self.tensors()?, self.weights.path(), |name| self.is_beside_backbone(name))?;
        let backbone = backbone.folded().map_err(torch)?;
        match compute.kind {
            Kind::Float => Ok(backbone),
            kind => backbone.to_kind(kind).map_err(torch),
        }
    }

    /// Returns the files that hold the head, if there is one.
    fn head_files(&self) -> Option<&WeightFiles> {
        match &self.head {
            Head::None => None,
            Head::Inside => Some(&self.weights),
            Head::Beside(files) => Some(files),
        }
    }

    /// Returns the path of the file that holds the head, if there is one.
    pub fn head_path(&self) -> Option<&Path> {
        self.head_files().map(WeightFiles::path)
    }

    /// Returns the tensors `head.weight` and `head.bias` and the path of their file, if there is a head.
    ///
    /// # Errors
    /// [`EncoderError`] if one is missing or damaged.
    pub fn head_tensors(&self) -> Result<Option<(&Path, Tensors)>, EncoderError> {
        let Some(files) = self.head_files() else { return Ok(None) };
        let read = |name: &str| Ok((name.to_owned(), files.tensor(name)?));
        let tensors =
            ["head.weight", "head.bias"].into_iter().map(read).collect::<Result<_, EncoderError>>()?;
        Ok(Some((files.path(), tensors)))
    }

    /// Returns whether a weights file may contain `name` although the backbone has no such parameter:
    /// PyTorch's batch counters, and tensors outside the backbone, such as the ImageNet classifier,
    /// projectors and heads.
    pub fn is_beside_backbone(&self, name: &str) -> bool {
        !self.file.backbone.is_own(name) || name.ends_with("num_batches_tracked")
    }

    fn of_parts(file: ModelFile, weights: WeightFiles, head: Head) -> Result<Self, EncoderError> {
        let width = match &head {
            Head::None => file.feature_width(),
            Head::Inside => head_width(&weights, &file)?,
            Head::Beside(files) => head_width(files, &file)?,
        };
        let mut network = format!("{} {}", file.backbone, file.feature_scaling.identity());
        if let BackboneKind::Vit(architecture) = file.backbone {
            let settings =
                serde_json::to_string(&architecture).expect("names and finite numbers become JSON");
            network += &format!(" {settings}");
        }
        if !file.blocks.is_empty() {
            let blocks: Vec<String> = file.blocks.iter().map(usize::to_string).collect();
            network += &format!(" blocks [{}]", blocks.join(", "));
        }
        if !file.output.is_linear() {
            network += &format!(" {}", file.output.identity());
        }
        if let Some(height) = file.stain_switch {
            network += &format!(" stain switch {}", shortest_decimal(height));
        }
        let mut identity = file.preprocessing.identity(&network);
        match file.backbone {
            // Their files are large, so that a kept digest stands for the content.
            BackboneKind::Vit(_) => {
                weights.digests()?.iter().for_each(|digest| identity.add(digest.as_bytes()))
            }
            _ => identity.add_files(&weights)?,
        }
        if let Head::Beside(files) = &head {
            identity.add_files(files)?;
        }
        let spec = EncoderSpec {
            id: identity.finish(),
            name: file.name.clone(),
            width,
            tiles: file.preprocessing.tiles(),
            stain: file.preprocessing.stain,
            stain_reference: file.preprocessing.stain_reference,
        };
        Ok(Self { file, weights, prefix: String::new(), head, spec })
    }
}

/// Formats `number` as the shortest decimal that parses to the same value, with a fraction: `1.0`, `0.5`.
/// Encoder identities depend on this format.
fn shortest_decimal(number: f32) -> String {
    let text = number.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
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

fn head_width(files: &WeightFiles, file: &ModelFile) -> Result<usize, EncoderError> {
    let shape = files.shape("head.weight").unwrap_or_default();
    let least = usize::from(file.stain_switch.is_some());
    match *shape {
        [width, features] if width > least && features == file.feature_width() => Ok(width),
        _ => Err(EncoderError::File {
            path: files.path().to_owned(),
            reason: format!(
                "head.weight is {shape:?}; these features of {} need [more than {least}, {}]",
                file.backbone,
                file.feature_width()
            ),
        }),
    }
}

/// Names of weights in the folders in which Hugging Face keeps encoders, the preferred first.
const PUBLISHED_NAMES: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
];

/// The form and location of an encoder given by name or path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A folder with a `model.toml`.
    Folder(PathBuf),
    /// A single weights file.
    Weights(PathBuf),
    /// A TorchScript module.
    TorchScript(PathBuf),
    /// The description of an encoder that ran elsewhere.
    Imported(PathBuf),
}

/// Locates the encoder that `which` names: an existing path, otherwise a model in one of the model folders.
pub(super) fn locate(which: &str) -> Result<Location, EncoderError> {
    let path = Path::new(which);
    if path.join(MODEL_FILE).is_file() {
        return Ok(Location::Folder(path.to_owned()));
    }
    if let Some(weights) = PUBLISHED_NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file()) {
        return Ok(Location::Weights(weights));
    }
    if path.is_file() {
        let extension = path.extension().unwrap_or_default();
        if path.file_name().is_some_and(|name| name == MODEL_FILE) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            return Ok(Location::Folder(folder.unwrap_or(Path::new(".")).to_owned()));
        }
        if path.to_string_lossy().ends_with(super::imported::ENDING) {
            return Ok(Location::Imported(path.to_owned()));
        }
        if path.to_string_lossy().ends_with(INDEX_ENDING) {
            return Ok(Location::Weights(path.to_owned()));
        }
        return match extension.to_str() {
            Some("pt" | "ts") if pth::is_state_dict(path) => Ok(Location::Weights(path.to_owned())),
            Some("pt" | "ts") => Ok(Location::TorchScript(path.to_owned())),
            // MoCo and torchvision's training scripts name checkpoints `.pth.tar`, Lunit `.torch`.
            Some("safetensors" | "pth" | "bin" | "ckpt" | "tar" | "torch") => {
                Ok(Location::Weights(path.to_owned()))
            }
            _ => Err(EncoderError::NotAModel { path: path.to_owned() }),
        };
    }
    let is_plain_name = path.components().count() == 1;
    let found = model_folders().into_iter().map(|folder| folder.join(which));
    let mut found = found.filter(|folder| is_plain_name && folder.join(MODEL_FILE).is_file());
    found.next().map(Location::Folder).ok_or_else(|| {
        if let Some(spec) = super::removed::spec(which) {
            return EncoderError::Removed { name: spec.name };
        }
        let names: Vec<String> = available().into_iter().map(|model| model.name).collect();
        EncoderError::Unknown { which: which.to_owned(), available: names.join(", ") }
    })
}

/// Returns the model folders: those in `HISTOKIN_MODELS`, the user's, the one next to the program, and the source
/// tree's.
pub(super) fn model_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(paths) = std::env::var_os(MODELS_VARIABLE) {
        folders.extend(std::env::split_paths(&paths));
    }
    folders.extend(super::user_models::folder());
    if let Ok(program) = std::env::current_exe() {
        folders.extend(program.parent().map(|folder| folder.join("models")));
    }
    // This crate is in the source tree's crates/ folder.
    let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    folders.extend(source_tree.map(|root| root.join("models")));
    folders
}

/// A model that can be selected by name.
#[derive(Debug, Clone)]
pub struct ModelSummary {
    /// Name, as accepted by `--encoder`.
    pub name: String,
    /// Folder with the model's `model.toml`.
    pub folder: PathBuf,
    /// Reason why the model cannot be used, such as weights that were not downloaded.
    pub problem: Option<String>,
}

/// Returns the available models, sorted by name. Reads their descriptions but not their weights, and does not
/// load libtorch.
pub fn available() -> Vec<ModelSummary> {
    let mut models: Vec<ModelSummary> = Vec::new();
    for entry in
        model_folders().iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten()
    {
        let folder = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // If several model folders have a model of this name, the first is used, as in `locate`.
        if folder.join(MODEL_FILE).is_file() && models.iter().all(|model| model.name != name) {
            let problem = match read_description(&folder) {
                Err(error) => Some(error.to_string()),
                Ok(file) => [Some(file.weights), file.head]
                    .into_iter()
                    .flatten()
                    .map(|file| folder.join(file))
                    .find(|path| !path.is_file())
                    .map(|path| EncoderError::WeightsMissing { path }.to_string()),
            };
            models.push(ModelSummary { name, folder, problem });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_read_back_as_written() {
        let file = ModelFile {
            name: "mine".into(),
            backbone: BackboneKind::EfficientnetLite0,
            feature_scaling: FeatureScaling::Hellinger,
            weights: "../weights/efficientnet_lite0.safetensors".into(),
            blocks: Vec::new(),
            head: Some("head.safetensors".into()),
            output: HeadOutput::Linear,
            stain_switch: None,
            preprocessing: Preprocessing { l2_normalise: true, ..Preprocessing::default() },
        };
        let text = toml::to_string(&file).unwrap();
        assert!(text.contains("backbone = \"efficientnet_lite0\""), "{text}");
        assert!(
            ["blocks", "output", "stain_switch", "stain ="].iter().all(|key| !text.contains(key)),
            "what is as ever is not written: {text}"
        );
        assert_eq!(toml::from_str::<ModelFile>(&text).unwrap(), file);
        let fitted = ModelFile {
            blocks: vec![3, 5],
            output: HeadOutput::Memberships,
            stain_switch: Some(0.5),
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
        let headed = format!("{base}head = \"h.safetensors\"\n");
        assert!(described(&format!("{headed}stain_switch = 0.0\n")).contains("above 0"));
        let scaled = format!("{base}blocks = [3]\nfeature_scaling = \"hellinger\"\n");
        assert!(described(&scaled).contains("last block"));
        assert!(described("name = \"m\"\nbackbone = \"resnet19\"\nweights = \"w\"\n").contains("resnet19"));
    }

    #[test]
    fn the_identity_changes_with_every_part() {
        let settings = Preprocessing::default();
        let id = settings.encoder_id("resnet18", &[b"weights", b"head"]);
        assert_eq!(id, settings.encoder_id("resnet18", &[b"weights", b"head"]));
        let other = Preprocessing { l2_normalise: true, ..settings.clone() };
        let unstained = Preprocessing { stain: StainSetting::None, ..settings.clone() };
        for different in [
            unstained.encoder_id("resnet18", &[b"weights", b"head"]),
            other.encoder_id("resnet18", &[b"weights", b"head"]),
            settings.encoder_id("resnet34", &[b"weights", b"head"]),
            settings.encoder_id("resnet18", &[b"weightsh", b"ead"]),
            settings.encoder_id("resnet18", &[b"weights"]),
        ] {
            assert_ne!(id, different);
        }
    }

    #[test]
    fn names_that_lead_nowhere_say_what_there_is() {
        let text = locate("no-such-model").unwrap_err().to_string();
        assert!(text.contains("no-such-model") && text.contains(crate::DEFAULT), "{text}");
        let text = locate("../src").unwrap_err().to_string();
        assert!(text.contains("../src"), "{text}");
    }

    #[test]
    fn a_folder_as_hugging_face_keeps_it_is_its_weights() {
        let folder = tempfile::tempdir().unwrap();
        let at = || locate(folder.path().to_str().unwrap());
        assert!(at().is_err());
        for name in ["pytorch_model.bin", "model.safetensors"] {
            std::fs::write(folder.path().join(name), "").unwrap();
            assert_eq!(at().unwrap(), Location::Weights(folder.path().join(name)));
        }
    }

    #[test]
    fn a_model_is_found_by_name_folder_and_file() {
        let Location::Folder(folder) = locate(crate::DEFAULT).unwrap() else { panic!("not a folder") };
        for path in [folder.clone(), folder.join(MODEL_FILE)] {
            assert_eq!(locate(path.to_str().unwrap()).unwrap(), Location::Folder(folder.clone()));
        }
        assert!(available().iter().any(|model| model.name == crate::DEFAULT));
    }
}
