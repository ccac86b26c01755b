//! Models: their descriptions, their files, and where they are.

mod file;
mod location;
mod preprocessing;
mod single_file;

use std::path::Path;

use tch::{Kind, TchError, nn};

use single_file::SELF_DESCRIPTION;

use super::backbones::{Backbone, BackboneKind};
use super::device::Compute;
use super::state_dict::{FoundNetwork, prefix_in_files};
use super::vit_settings::{self, RecognisedVit};
use super::vit_weights::VitWeights;
use super::weight_files::WeightFiles;
use super::weights::{self, Tensors};
use super::{EncoderError, EncoderSpec};

pub use file::{MODEL_FILE, ModelFile, read_description};
pub(super) use location::{Location, locate, model_folders};
pub use location::{MODELS_VARIABLE, ModelSummary, available};
pub use preprocessing::Preprocessing;
pub(super) use preprocessing::sidecar;
pub use single_file::SelfDescription;

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
    /// What was recognised in a file of a vision transformer that does not describe itself.
    pub recognised: Option<RecognisedVit>,
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
        Self::at(locate(which)?)
    }

    /// Reads the model at `location`, as [`Model::find`].
    ///
    /// # Errors
    /// As [`Model::find`].
    pub fn at(location: Location) -> Result<Self, EncoderError> {
        match location {
            Location::Folder(folder) => Self::read(&folder),
            Location::Weights(path) => Self::read_single(&path),
            Location::TorchScript(path) => Err(EncoderError::TorchScript {
                path,
                reason: "a module can be run, but its network cannot be read from it; give its weights"
                    .into(),
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
        let (mut prefix, mut recognised) = (String::new(), None);
        let description = match files.text(SELF_DESCRIPTION) {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })?,
            None => match VitWeights::find(&files)? {
                Some(vit) => recognised.insert(vit_settings::complete(path, &vit)?).description(),
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
        let SelfDescription {
            name,
            backbone,
            blocks,
            feature_scaling,
            hidden,
            output,
            stain_switch,
            preprocessing,
        } = description;
        let file = ModelFile {
            name,
            backbone,
            weights: path.to_owned(),
            blocks,
            feature_scaling,
            head: None,
            hidden,
            output,
            stain_switch,
            preprocessing,
        };
        file.check(has_head).map_err(|reason| EncoderError::File { path: path.to_owned(), reason })?;
        Ok(Self { prefix, recognised, ..Self::of_parts(file, files, head)? })
    }

    /// Reads the files that `file` names, relative to `folder`.
    ///
    /// # Errors
    /// [`EncoderError`] if the description or a file is invalid, or a file is missing.
    pub fn assemble(folder: &Path, file: ModelFile) -> Result<Self, EncoderError> {
        let path = folder.join(&file.weights);
        file.check(file.head.is_some())
            .map_err(|reason| EncoderError::File { path: path.clone(), reason })?;
        let weights = WeightFiles::read(&path)?;
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

    /// Returns the tensors `head.weight` and `head.bias`, those of a hidden layer, and the path of their file, if there
    /// is a head.
    ///
    /// # Errors
    /// [`EncoderError`] if one is missing or damaged.
    pub fn head_tensors(&self) -> Result<Option<(&Path, Tensors)>, EncoderError> {
        let Some(files) = self.head_files() else { return Ok(None) };
        let read = |name: &str| Ok((name.to_owned(), files.tensor(name)?));
        let hidden = ["head.hidden.weight", "head.hidden.bias"];
        let hidden = hidden.into_iter().filter(|_| self.file.hidden.is_some());
        let names = ["head.weight", "head.bias"].into_iter().chain(hidden);
        let tensors = names.map(read).collect::<Result<_, EncoderError>>()?;
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
        if let Some(hidden) = file.hidden {
            network += &format!(" hidden {hidden}");
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
        Ok(Self { file, weights, prefix: String::new(), head, spec, recognised: None })
    }
}

/// Formats `number` as the shortest decimal that parses to the same value, with a fraction: `1.0`, `0.5`.
/// Encoder identities depend on this format.
fn shortest_decimal(number: f32) -> String {
    let text = number.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

fn head_width(files: &WeightFiles, file: &ModelFile) -> Result<usize, EncoderError> {
    let wrong = |name: &str, shape: &[usize], wanted: String| EncoderError::File {
        path: files.path().to_owned(),
        reason: format!("{name} is {shape:?}; these features of {} need {wanted}", file.backbone),
    };
    if let Some(hidden) = file.hidden {
        let name = "head.hidden.weight";
        let (shape, wanted) = (files.shape(name).unwrap_or_default(), [hidden, file.feature_width()]);
        if *shape != wanted {
            return Err(wrong(name, shape, format!("{wanted:?}")));
        }
    }
    let inputs = file.hidden.unwrap_or(file.feature_width());
    let shape = files.shape("head.weight").unwrap_or_default();
    let least = usize::from(file.stain_switch.is_some());
    match *shape {
        [width, features] if width > least && features == inputs => Ok(width),
        _ => Err(wrong("head.weight", shape, format!("[more than {least}, {inputs}]"))),
    }
}
