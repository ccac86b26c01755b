//! Models: their descriptions, their files, and where they are.

mod about;
mod crops;
mod file;
mod further;
mod location;
#[cfg(feature = "torch")]
mod network;
mod preprocessing;
mod single_file;

use std::path::Path;

use single_file::SELF_DESCRIPTION;

use super::backbones::BackboneKind;
use super::parameters::Parameters;
use super::state_dict::{FoundNetwork, prefix_in_files};
use super::vit_settings::{self, RecognisedVit};
use super::vit_weights::VitWeights;
use super::weight_files::WeightFiles;
use super::{EncoderError, EncoderSpec};

pub use about::About;
pub use crops::Crops;
pub use file::{MODEL_FILE, ModelFile, read_description};
pub use further::FurtherNetwork;
#[cfg(feature = "torch")]
pub(super) use location::model_folders;
pub(super) use location::{Location, locate};
pub use location::{MODELS_VARIABLE, ModelSummary, available, is_encoder};
pub use preprocessing::Preprocessing;
pub(super) use preprocessing::sidecar;
pub use single_file::{Base, SelfDescription};

/// Location of a model's linear head.
#[derive(Debug)]
pub(super) enum Head {
    /// There is no head: the pooled features are the descriptor.
    None,
    /// In the same file as the backbone's weights, or as the changes to them.
    Inside,
    /// In a separate file.
    Beside(WeightFiles),
}

/// Weights, and the file that changes them, if there is one.
struct Weights {
    files: WeightFiles,
    changes: Option<WeightFiles>,
}

impl Weights {
    /// Takes `files` as the weights or, if they are changes of the weights `base`, as those.
    ///
    /// # Errors
    /// [`EncoderError::File`] if the base is no longer there or is another by now.
    fn of(files: WeightFiles, base: Option<Base>) -> Result<Self, EncoderError> {
        let Some(base) = base else { return Ok(Self { files, changes: None }) };
        let wrong = |what: &str| EncoderError::File {
            path: files.path().to_owned(),
            reason: format!(
                "it was trained from {}, which {what}; restore that file",
                base.weights.display()
            ),
        };
        if !base.weights.is_file() {
            return Err(wrong("is no longer there"));
        }
        let weights = WeightFiles::read(&base.weights)?;
        if weights.digests()? != base.digests {
            return Err(wrong("has changed since"));
        }
        Ok(Self { files: weights, changes: Some(files) })
    }
}

/// The weights of a further network.
#[derive(Debug)]
pub(super) struct FurtherWeights {
    /// The files.
    pub files: WeightFiles,
    /// Prefix of the network's parameter names in them.
    pub prefix: String,
}

/// Returns the description that a file holds of itself, if it was written by training.
fn self_description(files: &WeightFiles) -> Result<Option<SelfDescription>, EncoderError> {
    let text = files.text(SELF_DESCRIPTION).map(serde_json::from_str).transpose();
    text.map_err(|error| EncoderError::File { path: files.path().to_owned(), reason: error.to_string() })
}

/// A model's description and the bytes of its files, from which it is built.
#[derive(Debug)]
pub(super) struct Model {
    /// The description.
    pub file: ModelFile,
    /// The weights.
    pub weights: WeightFiles,
    /// The file that training wrote, where it holds changes of the weights only.
    pub changes: Option<WeightFiles>,
    /// Prefix of the backbone's parameter names in the weights file.
    pub prefix: String,
    /// The weights of each of the further networks.
    pub further: Vec<FurtherWeights>,
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
        let own = self_description(&files)?;
        let describes_itself = own.is_some();
        let mut description = match own {
            Some(description) => description,
            None => match VitWeights::find(&files)? {
                Some(vit) => recognised.insert(vit_settings::complete(path, &vit)?).description(),
                None => {
                    let found = FoundNetwork::in_file(path, files.shapes())?;
                    prefix = found.prefix;
                    SelfDescription::of_network(path, found.kind)
                }
            },
        };
        let has_head = match description.backbone {
            // Of other vision transformers, `head` is a classifier.
            BackboneKind::Vit(_) => describes_itself,
            _ => prefix.is_empty(),
        };
        let has_head = has_head && files.shape("head.weight").is_some();
        let head = if has_head { Head::Inside } else { Head::None };
        let known = recognised.as_ref().and_then(|found: &RecognisedVit| found.known);
        let about = known.map(About::from).unwrap_or_default();
        let base = description.base.take();
        let file = ModelFile::of_single(path, description, about);
        file.check(has_head).map_err(|reason| EncoderError::File { path: path.to_owned(), reason })?;
        let weights = Weights::of(files, base)?;
        Ok(Self { prefix, recognised, ..Self::of_parts(file, weights, head, Vec::new())? })
    }

    /// Reads the files that `file` names, relative to `folder`.
    ///
    /// # Errors
    /// [`EncoderError`] if the description or a file is invalid, or a file is missing.
    pub fn assemble(folder: &Path, file: ModelFile) -> Result<Self, EncoderError> {
        let path = folder.join(&file.weights);
        file.check(file.head.is_some())
            .map_err(|reason| EncoderError::File { path: path.clone(), reason })?;
        let files = WeightFiles::read(&path)?;
        let base = self_description(&files)?.and_then(|description| description.base);
        let weights = Weights::of(files, base)?;
        let head = match &file.head {
            None => Head::None,
            Some(head) => Head::Beside(WeightFiles::read(&folder.join(head))?),
        };
        let prefix = prefix_in_files(&weights.files)?;
        let further = |network: &FurtherNetwork| {
            let files = WeightFiles::read(&folder.join(&network.weights))?;
            Ok(FurtherWeights { prefix: prefix_in_files(&files)?, files })
        };
        let further = file.further_networks.iter().map(further).collect::<Result<_, EncoderError>>()?;
        Ok(Self { prefix, ..Self::of_parts(file, weights, head, further)? })
    }

    /// Returns the vision transformer in the weights.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] if there is none.
    pub fn vit(&self) -> Result<VitWeights<'_>, EncoderError> {
        let found = VitWeights::find(&self.weights)?.ok_or_else(|| EncoderError::Mismatch {
            path: self.weights.path().to_owned(),
            differences: "there is no vision transformer among them".into(),
        })?;
        match &self.changes {
            Some(changes) => found.changed_by(changes),
            None => Ok(found),
        }
    }

    /// Returns the files that the user chooses: the weights or, where they hold all else, their changes.
    fn main_files(&self) -> &WeightFiles {
        self.changes.as_ref().unwrap_or(&self.weights)
    }

    /// Returns the path of the file that the user chooses.
    pub fn path(&self) -> &Path {
        self.main_files().path()
    }

    /// Returns the files that hold the head, if there is one.
    fn head_files(&self) -> Option<&WeightFiles> {
        match &self.head {
            Head::None => None,
            Head::Inside => Some(self.main_files()),
            Head::Beside(files) => Some(files),
        }
    }

    /// Returns the path of the file that holds the head, if there is one.
    fn head_path(&self) -> Option<&Path> {
        self.head_files().map(WeightFiles::path)
    }

    /// Returns `head.weight` and `head.bias` and those of a hidden layer, if there is a head.
    ///
    /// # Errors
    /// [`EncoderError`] if one is missing or damaged; [`EncoderError::Mismatch`] if a bias is not that of its layer.
    pub fn head_parameters(&self) -> Result<Option<Parameters>, EncoderError> {
        let Some(files) = self.head_files() else { return Ok(None) };
        let read = |name: &str| Ok((name.to_owned(), files.parameter(name)?));
        let head = self.head_names().map(read).collect::<Result<Parameters, EncoderError>>()?;
        for (name, bias) in &head {
            let Some(layer) = name.strip_suffix("bias") else { continue };
            // The matrices were checked when the model was read.
            let outputs = &head[&format!("{layer}weight")].shape[..1];
            if bias.shape != outputs {
                let differences = format!("{name} is {:?}, not {outputs:?}", bias.shape);
                return Err(EncoderError::Mismatch { path: files.path().to_owned(), differences });
            }
        }
        Ok(Some(head))
    }

    /// Returns the names of the parameters of a head such as the model's.
    fn head_names(&self) -> impl Iterator<Item = &'static str> {
        let hidden = ["head.hidden.weight", "head.hidden.bias"];
        let hidden = hidden.into_iter().filter(|_| self.file.hidden.is_some());
        ["head.weight", "head.bias"].into_iter().chain(hidden)
    }

    /// Returns the further networks with their weights.
    pub fn further_networks(&self) -> impl Iterator<Item = (&FurtherNetwork, &FurtherWeights)> {
        self.file.further_networks.iter().zip(&self.further)
    }

    /// Returns the description with the paths of the files as they were found, which lead there from the current
    /// folder.
    pub fn located_file(&self) -> ModelFile {
        let located = |(network, weights): (&FurtherNetwork, &FurtherWeights)| FurtherNetwork {
            weights: weights.files.path().to_owned(),
            ..network.clone()
        };
        ModelFile {
            weights: self.path().to_owned(),
            head: self.head_path().map(Path::to_owned),
            further_networks: self.further_networks().map(located).collect(),
            ..self.file.clone()
        }
    }

    fn of_parts(
        file: ModelFile,
        weights: Weights,
        head: Head,
        further: Vec<FurtherWeights>,
    ) -> Result<Self, EncoderError> {
        let Weights { files: weights, changes } = weights;
        let width = match &head {
            Head::None => file.feature_width(),
            Head::Inside => head_width(changes.as_ref().unwrap_or(&weights), &file)?,
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
        if let Some(crops) = &file.crops {
            let views: Vec<String> = crops.um_per_px.iter().map(f64::to_string).collect();
            network += &format!(" crops of {} px at [{}]", crops.px, views.join(", "));
        }
        file.further_networks.iter().for_each(|further| network += &further.identity());
        let mut identity = file.preprocessing.identity(&network);
        match file.backbone {
            // Their files are large, so that a kept digest stands for the content.
            BackboneKind::Vit(_) => {
                weights.digests()?.iter().for_each(|digest| identity.add(digest.as_bytes()))
            }
            _ => identity.add_files(&weights)?,
        }
        let beside = if let Head::Beside(files) = &head { Some(files) } else { None };
        for files in changes.iter().chain(beside).chain(further.iter().map(|further| &further.files)) {
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
        Ok(Self { file, weights, changes, prefix: String::new(), further, head, spec, recognised: None })
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
        reason: format!(
            "{name} is {shape:?}; these features of {} need {wanted}",
            crate::facts::network(file)
        ),
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
