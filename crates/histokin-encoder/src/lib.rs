//! Encoders: networks that turn a tile into a descriptor. Only this crate and training depend on libtorch.
//!
//! Networks run in libtorch (feature `torch`) or in ONNX Runtime (feature `ort`); see [`engine`].
//!
//! [`load`] accepts three forms of encoder: a folder described by a [`model::ModelFile`] (`model.toml`); a
//! weights file, either self-describing (written by training) or recognised by its parameter names (torchvision,
//! and vision transformers of several libraries); and a TorchScript module supplied by the user. [`trainable`]
//! opens the same networks for training.

#[cfg(not(any(feature = "torch", feature = "ort")))]
compile_error!("histokin-encoder needs an engine: the feature `torch`, `ort`, or both");

pub mod backbones;
mod batches;
#[cfg(feature = "torch")]
mod compute;
mod config_json;
mod device;
pub mod engine;
pub mod facts;
mod file_digest;
pub mod stop;
#[cfg(feature = "torch")]
pub mod fitting;
mod imported;
mod interpolation;
pub mod known;
pub mod model;
mod module_output;
#[cfg(feature = "torch")]
mod moments;
#[cfg(feature = "torch")]
pub mod neighbourhoods;
#[cfg(feature = "torch")]
mod network;
#[cfg(feature = "torch")]
mod nuclear_stain;
pub mod onnx;
#[cfg(feature = "ort")]
mod onnx_runtime;
mod parameters;
#[cfg(feature = "torch")]
pub mod prototypes;
mod pth;
pub mod readout;
#[cfg(feature = "torch")]
pub mod readout_kind;
mod removed;
pub mod speeds;
mod state_dict;
#[cfg(feature = "torch")]
mod torch_library;
#[cfg(feature = "torch")]
mod torchscript;
pub mod trainable;
pub mod trust;
pub mod user_models;
pub mod vit_settings;
mod vit_weights;
mod weight_file;
mod weight_files;
pub mod weights;

use std::path::{Path, PathBuf};

use image::RgbImage;

use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;

use engine::{Engine, EngineChoice};
use model::{Location, Model, locate};

#[cfg(feature = "torch")]
pub use compute::is_out_of_memory;
pub use device::DeviceChoice;
pub use histokin_core::descriptors::EncoderId;
pub use imported::ImportedEncoder;
pub use model::{ModelSummary, available, is_encoder};

/// Name of the default model, used when none is specified.
pub const DEFAULT: &str = "tissue-views";

/// Name of the first default model, used by projects that do not name one. Its stain reference also
/// remains the reference for colour-only comparisons.
pub const FIRST_DEFAULT: &str = "tissue-and-nuclei";

/// Name of the default model between [`FIRST_DEFAULT`] and [`DEFAULT`]. New projects named it, so that it cannot be told
/// from a choice of the user.
pub const PREVIOUS_DEFAULT: &str = "tissue-whitened";

/// Name of the model that training starts from and uses as the reference of the anchor loss. Its descriptors
/// are memberships only: in a loss, the default model's stain switch would mask their small differences.
pub const LEARNING_REFERENCE: &str = "tissue-prototypes";

/// Properties of an encoder that are needed to prepare its input and store its descriptors.
#[derive(Debug, Clone)]
pub struct EncoderSpec {
    /// Identity, derived from the settings and the content of the model's files.
    pub id: EncoderId,
    /// Display name, such as `imagenet-mobilenet-v2`.
    pub name: String,
    /// Length of a descriptor.
    pub width: usize,
    /// Tile size and spacing that the encoder was made for.
    pub tiles: TileSettings,
    /// Whether the encoder was made on stain-normalised tiles; if not, tiles keep their original colours.
    pub stain: StainSetting,
    /// Reference colours that tiles are normalised to when stain normalisation is on.
    pub stain_reference: LabStatistics,
}

/// Descriptors of a batch of tiles, concatenated.
#[derive(Debug, Clone)]
pub struct DescriptorBatch {
    /// `count × width` values, all finite.
    pub values: Vec<f32>,
    /// Length of one descriptor.
    pub width: usize,
}

impl DescriptorBatch {
    /// Returns the descriptors in tile order, each of length `width`.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }
}

/// A network that turns tiles into descriptors. Owned by one thread at a time.
pub trait Encoder: Send {
    /// Returns the encoder's properties.
    fn spec(&self) -> &EncoderSpec;

    /// Returns the display name of the device that it runs on: `CPU` or `NVIDIA … (cuda:0)`.
    fn device(&self) -> String;

    /// Computes the descriptors of `tiles`, which must all have the same size (the encoder was made for
    /// squares of the spec's `tile_px`) and already be stain-normalised. When the device runs out of memory,
    /// the batch is split into smaller parts.
    ///
    /// # Errors
    /// [`EncoderError::NotFinite`] if a descriptor contains NaN or an infinity, so that returned values are
    /// always finite; [`EncoderError::UnequalTiles`] if the tiles differ in size;
    /// [`EncoderError::TileSize`] if patches do not fill them; [`EncoderError::Torch`] or
    /// [`EncoderError::OnnxRuntime`] if the engine fails.
    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError>;
}

/// Errors of loading, running and fitting encoders.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error(
        "the descriptors of {count} tiles hold NaN or infinite numbers; the encoder {name} is damaged or unfit for these tiles"
    )]
    /// The network returned NaN or infinite values.
    NotFinite {
        /// Name of the encoder.
        name: String,
        /// Number of tiles in the batch.
        count: usize,
    },
    #[error("tiles of {} × {} px and of {} × {} px in one batch", first.0, first.1, other.0, other.1)]
    /// The tiles of a batch differ in size.
    UnequalTiles {
        /// Width and height of the first tile, in pixels.
        first: (u32, u32),
        /// Width and height of the first tile that differs, in pixels.
        other: (u32, u32),
    },
    #[error(
        "{name} cuts tiles into patches of {step} px, which do not fill tiles of {} × {} px; use tiles of {} px",
        size.0, size.1, (size.0 / step).max(1) * step
    )]
    /// The edge of a tile is not a multiple of a vision transformer's patches.
    TileSize {
        /// Name of the encoder.
        name: String,
        /// Width and height of the tile, in pixels.
        size: (u32, u32),
        /// Edge length of a patch, in pixels.
        step: u32,
    },
    #[error(
        "there is no encoder {which:?}; known by name: {available}. Otherwise give the path of a model's \
         folder, of a file of weights (.safetensors, .pth) or of a TorchScript file (.pt)"
    )]
    /// No encoder has this name or path.
    Unknown {
        /// Name or path as given by the user.
        which: String,
        /// Names of the available models, separated by commas.
        available: String,
    },
    #[error(
        "{name} is no longer part of histokin: on patients not used for its training, it found less than ImageNet's \
         features. Slides embedded with it can still be searched. To embed slides, choose another encoder, such as \
         {DEFAULT} (`histokin embed PROJECT --encoder {DEFAULT}`)"
    )]
    /// The encoder was shipped with an earlier version and can no longer be run.
    Removed {
        /// Name of the encoder.
        name: String,
    },
    #[error("{}: no encoder; a model is a folder with a model.toml, a file of weights (.safetensors, .pth), or a TorchScript file (.pt)", path.display())]
    /// The file has no extension of a supported model format.
    NotAModel {
        /// Path as given by the user.
        path: PathBuf,
    },
    #[error("{}: {reason}", path.display())]
    /// A file cannot be read or written, or its content is invalid.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Description of the problem.
        reason: String,
    },
    #[error(
        "{name} runs in another program: its descriptors can be imported (`histokin import`), but it cannot embed \
         tiles here"
    )]
    /// The encoder ran in another program; only its descriptors were imported.
    Imported {
        /// Name of the encoder.
        name: String,
    },
    #[error("{}: the weights file does not exist; `make setup` fetches the weights of histokin's own encoders", path.display())]
    /// A weights file does not exist.
    WeightsMissing {
        /// Path of the missing file.
        path: PathBuf,
    },
    #[error(
        "{}: cannot be read as saved weights: {reason}. Convert it once, in Python:\n  \
         import torch, safetensors.torch; state = torch.load({:?}, map_location=\"cpu\", weights_only=True)\n  \
         safetensors.torch.save_file({{k: v.contiguous() for k, v in state.items()}}, {:?})",
        path.display(), path.display().to_string(), path.with_extension("safetensors").display().to_string()
    )]
    /// A file saved by PyTorch cannot be converted.
    Unpickled {
        /// Path of the file.
        path: PathBuf,
        /// Description of the unsupported or invalid content.
        reason: String,
    },
    #[error(
        "{}: these are the weights of {kind}; weights alone can be used of {known}. Use any other network as a TorchScript \
         module (torch.jit.save(torch.jit.trace(model.eval(), example), \"model.pt\")), or import the features that it made elsewhere (`histokin import`)",
        path.display()
    )]
    /// A weights file belongs to a network without a built-in implementation.
    UnknownNetwork {
        /// Path of the weights file.
        path: PathBuf,
        /// Description of the network, as far as it was recognised.
        kind: &'static str,
        /// Names of the supported networks, as a list for display.
        known: String,
    },
    #[error("{}: these are not the weights of this network: {differences}", path.display())]
    /// The parameters of a file differ in name or shape from those of the network.
    Mismatch {
        /// Path of the weights file.
        path: PathBuf,
        /// List of the differences.
        differences: String,
    },
    #[error("{}: this TorchScript module cannot be used: {reason}", path.display())]
    /// A TorchScript module loads but cannot be used.
    TorchScript {
        /// Path of the module.
        path: PathBuf,
        /// Description of the problem.
        reason: String,
    },
    #[error(
        "{}: not a TorchScript module ({reason}); save one with \
         torch.jit.save(torch.jit.trace(model, example), path)",
        path.display()
    )]
    /// The file cannot be loaded as a TorchScript module.
    NotTorchScript {
        /// Path of the file.
        path: PathBuf,
        /// Error message of libtorch.
        reason: String,
    },
    #[error(
        "{}: a TorchScript module is a program, and this one has not run here before. If you trust where it comes \
         from, allow it: with --trust-torchscript, or in the window; weights (.safetensors, .pth) need no trust",
        path.display()
    )]
    /// The TorchScript module has not been allowed to run.
    Untrusted {
        /// Path of the module.
        path: PathBuf,
    },
    #[error("{outputs} components cannot be found in {tiles} tiles; give more slides, or more tiles of each")]
    /// There are too few tiles to fit the requested number of components.
    TooFewTiles {
        /// Number of tiles given.
        tiles: usize,
        /// Number of components requested.
        outputs: usize,
    },
    #[error(
        "no two tiles of a slide are nearer to each other than {within_um} µm; use more tiles of each slide \
         (--tiles-per-slide)"
    )]
    /// No slide has two tiles within the given distance of each other.
    NoNeighbours {
        /// Largest distance between the centres of two neighbouring tiles, in µm.
        within_um: f64,
    },
    #[error(
        "adapters (lora-N) are for vision transformers; of {backbone}, train the last blocks (last-N), the head or all"
    )]
    /// Adapters were to be trained in a network that is no vision transformer.
    NotAdaptable {
        /// Name of the network.
        backbone: String,
    },
    #[error("the device {device} cannot be used: {reason}")]
    /// The requested device is not available or does not work.
    Device {
        /// Device as requested, such as `cuda:0`.
        device: String,
        /// Description of the problem.
        reason: String,
    },
    #[error(
        "{what} needs libtorch, which this build of histokin does not have; use a build with libtorch, such as that for \
         Linux"
    )]
    /// Only libtorch can do it, and the program was built without.
    NeedsTorch {
        /// What needs it, such as `running a TorchScript module`.
        what: &'static str,
    },
    #[error("the engine {engine} cannot be used: {reason}")]
    /// The engine is not part of this build, or its library is missing.
    Engine {
        /// The engine.
        engine: Engine,
        /// What is wrong, and what to do.
        reason: String,
    },
    #[error("{}: reading it was stopped", path.display())]
    /// Reading a file was stopped ([`stop::reading_until`]).
    Stopped {
        /// The file.
        path: PathBuf,
    },
    #[error("{doing} failed in ONNX Runtime: {reason}")]
    /// ONNX Runtime failed.
    OnnxRuntime {
        /// Operation that failed, such as `encoding`.
        doing: &'static str,
        /// ONNX Runtime's error message.
        reason: String,
    },
    #[error("{doing} failed in libtorch: {reason}")]
    /// A libtorch operation failed.
    Torch {
        /// Operation that failed, such as `copying weights`.
        doing: &'static str,
        /// First line of libtorch's error message.
        reason: String,
    },
}

#[cfg(feature = "torch")]
impl EncoderError {
    fn torch(doing: &'static str, error: &tch::TchError) -> Self {
        Self::Torch { doing, reason: first_line(error) }
    }
}

/// Returns libtorch's error message without the C++ backtrace that follows its first line.
#[cfg(feature = "torch")]
fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Loads an encoder. `which` is the name of a model in `models/` (see [`available`]), or the path of a model
/// folder or its `model.toml`, of a weights file written by training or published by torchvision
/// (`.safetensors`, `.pth`), of the weights of a vision transformer ([`vit_settings`]), or of a TorchScript file
/// (`.pt`). It runs in the engine that was chosen ([`engine::choose`]), or in the one that suits the device ([`engine`]).
///
/// The first call loads libtorch (about 0.4 s) or ONNX Runtime, so it must not precede the first frame.
///
/// # Errors
/// [`EncoderError`] with the path of the missing or damaged file and a suggested remedy.
pub fn load(which: &str, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    load_in(which, device, engine::chosen().unwrap_or_default())
}

/// Loads an encoder as [`load`] does, to run in this engine. A TorchScript module always runs in libtorch.
///
/// # Errors
/// As [`load`]; [`EncoderError::Engine`] if the engine cannot be used.
pub fn load_in(
    which: &str,
    device: DeviceChoice,
    engine: impl Into<EngineChoice>,
) -> Result<Box<dyn Encoder>, EncoderError> {
    let engine = engine.into();
    match locate(which)? {
        Location::Folder(folder) => engine::load_model(Model::read(&folder)?, device, engine),
        Location::Weights(path) => engine::load_model(Model::read_single(&path)?, device, engine),
        Location::TorchScript(path) => engine::load_module(&path, device),
        Location::Imported(path) => Err(EncoderError::Imported { name: ImportedEncoder::read(&path)?.name }),
    }
}

/// An encoder as its files describe it.
#[derive(Debug)]
pub struct Described {
    /// Its description, as a model's folder has it; the paths of weights and head lead there from the current folder.
    pub file: model::ModelFile,
    /// Its properties.
    pub spec: EncoderSpec,
    /// What was recognised in a file of a vision transformer; `None` of other networks, and of a model that was set up,
    /// whose description has settled what a file leaves open.
    pub recognised: Option<vit_settings::RecognisedVit>,
}

/// Describes an encoder given by name or path.
///
/// # Errors
/// As [`load`]; [`EncoderError::TorchScript`] for a TorchScript module, which has no description.
pub fn describe(which: &str) -> Result<Described, EncoderError> {
    Model::find(which).map(described)
}

fn described(model: Model) -> Described {
    Described { file: model.located_file(), spec: model.spec, recognised: model.recognised }
}

/// Loads the encoder that `file`, a description in memory, specifies. Its paths are relative to `folder`.
///
/// # Errors
/// As [`load_in`].
pub fn load_embedded(
    file: model::ModelFile,
    folder: &Path,
    device: DeviceChoice,
    engine: impl Into<EngineChoice>,
) -> Result<Box<dyn Encoder>, EncoderError> {
    engine::load_model(Model::assemble(folder, file)?, device, engine.into())
}

/// Returns the message for users of a project at `project` that still uses an earlier default, `former`.
pub fn newer_default(project: impl std::fmt::Display, former: &str) -> String {
    format!(
        "{project} uses {former}, the default encoder of earlier versions, and continues to. The default is now \
         {DEFAULT}, which finds more of the same tissue in other patients. Use --encoder {DEFAULT} to change, which embeds all \
         slides again, or --encoder {former} to keep the current one and hide this note."
    )
}

/// Returns the message for users of the encoder `name`, if earlier versions shipped it and this one does not.
pub fn removed(name: &str) -> Option<String> {
    removed::spec(name).map(|spec| EncoderError::Removed { name: spec.name }.to_string())
}

/// Returns the properties of the encoder that [`load`] would return, from the model's files alone. Only a
/// TorchScript module has to be run once, to find its width. Encoders that earlier versions shipped are
/// supported too.
///
/// # Errors
/// As [`load`].
pub fn spec(which: &str) -> Result<EncoderSpec, EncoderError> {
    match locate(which) {
        Err(EncoderError::Removed { name }) => removed::spec(&name).ok_or(EncoderError::Removed { name }),
        Err(error) => Err(error),
        Ok(location) => spec_at(location),
    }
}

fn spec_at(location: Location) -> Result<EncoderSpec, EncoderError> {
    match location {
        Location::Folder(folder) => Ok(Model::read(&folder)?.spec),
        Location::Weights(path) => Ok(Model::read_single(&path)?.spec),
        Location::TorchScript(path) => Ok(engine::load_module(&path, DeviceChoice::Cpu)?.spec().clone()),
        Location::Imported(path) => ImportedEncoder::read(&path)?.spec(),
    }
}
