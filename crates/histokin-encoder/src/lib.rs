//! Encoders: networks that turn a tile into a descriptor. libtorch is known here and in training only.
//!
//! An encoder is described by a [`model::ModelFile`] (`model.toml`), is one file of weights that describes
//! itself (what training writes) or is recognised by its parameters (torchvision's), or is a TorchScript
//! module that the user brings; [`load`] takes any of them. [`trainable`] opens the same networks for
//! learning.

pub mod backbones;
mod device;
pub mod fitting;
mod imported;
pub mod model;
mod module_output;
pub mod neighbourhoods;
mod network;
mod nuclear_stain;
pub mod prototypes;
mod pth;
pub mod readout;
mod removed;
mod state_dict;
mod torch_library;
mod torchscript;
pub mod trainable;
pub mod trust;
pub mod weights;

use std::path::{Path, PathBuf};

use image::RgbImage;

use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;

use device::Compute;
use model::{Location, Model, locate};
use network::{Branch, NetworkEncoder};

pub use device::is_out_of_memory;
pub use device::{DeviceChoice, device_name};
pub use histokin_core::descriptors::EncoderId;
pub use imported::ImportedEncoder;
pub use model::{ModelSummary, available};

/// Name of the model that is used where none is asked for.
pub const DEFAULT: &str = "tissue-whitened";

/// Name of the model that was the default before: that of projects that name none. The colours of its tissue also stay
/// the reference for what is compared by colour alone.
pub const FORMER_DEFAULT: &str = "tissue-and-nuclei";

/// Name of the model that learning is held to, and goes on from: its descriptors are memberships alone, whose fine
/// differences the default's switch would drown in a loss.
pub const LEARNING_REFERENCE: &str = "tissue-prototypes";

/// What has to be known of an encoder to feed it and to store what it says.
#[derive(Debug, Clone)]
pub struct EncoderSpec {
    pub id: EncoderId,
    /// Name for people, such as `imagenet-mobilenet-v2`.
    pub name: String,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Tile size and resolution that the encoder was made for.
    pub tiles: TileSettings,
    /// Whether it was made on stain-normalised tiles; where it was not, tiles keep their own colours.
    pub stain: StainSetting,
    /// Colours that it was made on; tiles are normalised to these when stain normalisation is on.
    pub stain_reference: LabStatistics,
}

/// Descriptors of a batch of tiles, one after the other.
#[derive(Debug, Clone)]
pub struct DescriptorBatch {
    /// `count × width` numbers, all finite.
    pub values: Vec<f32>,
    pub width: usize,
}

impl DescriptorBatch {
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }
}

/// A network that turns tiles into descriptors. Owned by one thread at a time.
pub trait Encoder: Send {
    fn spec(&self) -> &EncoderSpec;

    /// Where it runs, for people: `CPU` or `NVIDIA … (cuda:0)`.
    fn device(&self) -> String;

    /// Encode `tiles`, all of one size (the spec's `tile_px` squared is what the encoder was made for),
    /// already stain-normalised. A device that runs out of memory is given smaller and smaller parts.
    ///
    /// # Errors
    /// [`EncoderError::NotFinite`] when the network answers NaN or an infinity: no such number ever
    /// leaves the encoder. [`EncoderError::UnequalTiles`], or [`EncoderError::Torch`] with libtorch's words.
    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError>;
}

/// What can go wrong with an encoder. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error(
        "the descriptors of {count} tiles hold NaN or infinite numbers; the encoder {name} is damaged or unfit for these tiles"
    )]
    NotFinite { name: String, count: usize },
    #[error("tiles of {} × {} px and of {} × {} px in one batch", first.0, first.1, other.0, other.1)]
    UnequalTiles { first: (u32, u32), other: (u32, u32) },
    #[error(
        "there is no encoder {which:?}; known by name: {available}. Otherwise give the path of a model's \
         folder, of a file of weights (.safetensors, .pth) or of a TorchScript file (.pt)"
    )]
    Unknown { which: String, available: String },
    #[error(
        "{name} does not come with histokin any more: on patients that it had not seen it found less than ImageNet's \
         features. What it has described can still be searched; to embed slides, choose another encoder, such as \
         {DEFAULT} (`histokin embed PROJECT --encoder {DEFAULT}`)"
    )]
    Removed { name: String },
    #[error("{}: no encoder; a model is a folder with a model.toml, a file of weights (.safetensors, .pth), or a TorchScript file (.pt)", path.display())]
    NotAModel { path: PathBuf },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error(
        "{name} ran in another program: what it says of a slide can be imported (`histokin import`), but no tile \
         can be described by it here"
    )]
    Imported { name: String },
    #[error("{}: these weights are not there; `make setup` fetches those that histokin ships with", path.display())]
    WeightsMissing { path: PathBuf },
    #[error(
        "{}: cannot be read as saved weights: {reason}. Convert it once, in Python:\n  \
         import torch, safetensors.torch; state = torch.load({:?}, map_location=\"cpu\", weights_only=True)\n  \
         safetensors.torch.save_file({{k: v.contiguous() for k, v in state.items()}}, {:?})",
        path.display(), path.display().to_string(), path.with_extension("safetensors").display().to_string()
    )]
    Unpickled { path: PathBuf, reason: String },
    #[error(
        "{}: these are the weights of {kind}; weights alone can be used of {known}, as torchvision names them. Use any other \
         network as a TorchScript module (torch.jit.save(torch.jit.trace(model.eval(), example), \"model.pt\")), or import \
         the features that it made elsewhere (`histokin import`)",
        path.display()
    )]
    UnknownNetwork { path: PathBuf, kind: &'static str, known: String },
    #[error("{}: these are not the weights of this network: {differences}", path.display())]
    Mismatch { path: PathBuf, differences: String },
    #[error("{}: this TorchScript module cannot be used: {reason}", path.display())]
    TorchScript { path: PathBuf, reason: String },
    #[error(
        "{}: not a TorchScript module ({reason}); save one with \
         torch.jit.save(torch.jit.trace(model, example), path)",
        path.display()
    )]
    NotTorchScript { path: PathBuf, reason: String },
    #[error(
        "{}: a TorchScript module is a program, and this one has not run here before. If you trust where it comes \
         from, allow it: with --trust-torchscript, or in the window; weights (.safetensors, .pth) need no trust",
        path.display()
    )]
    Untrusted { path: PathBuf },
    #[error("{outputs} components cannot be found in {tiles} tiles; give more slides, or more tiles of each")]
    TooFewTiles { tiles: usize, outputs: usize },
    #[error(
        "no two tiles of a slide have their middles within {within_um} µm of each other; give more tiles of each slide \
         (--tiles-per-slide)"
    )]
    NoNeighbours { within_um: f64 },
    #[error("the device {device} cannot be used: {reason}")]
    Device { device: String, reason: String },
    #[error("{doing} failed in libtorch: {reason}")]
    Torch { doing: &'static str, reason: String },
}

impl EncoderError {
    fn torch(doing: &'static str, error: &tch::TchError) -> Self {
        Self::Torch { doing, reason: first_line(error) }
    }
}

/// libtorch's words without the C++ backtrace that follows them.
fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Load an encoder: `which` is the name of a model in `models/` ([`available`]), the path of a model folder
/// or its `model.toml`, of a file of weights that training wrote or that torchvision publishes
/// (`.safetensors`, `.pth`), or of a TorchScript file (`.pt`).
///
/// The first call starts libtorch (about 0.4 s): never on the way to the first frame.
///
/// # Errors
/// What is missing or damaged, by path, and what to do about it.
pub fn load(which: &str, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    match locate(which)? {
        Location::Folder(folder) => load_model(Model::read(&folder)?, device),
        Location::Weights(path) => load_model(Model::read_single(&path)?, device),
        Location::TorchScript(path) => Ok(Box::new(torchscript::load(&path, Compute::choose(device)?)?)),
        Location::Imported(path) => Err(EncoderError::Imported { name: ImportedEncoder::read(&path)?.name }),
    }
}

/// The encoder that a description in memory tells of, its files relative to `folder`.
///
/// # Errors
/// As [`load`].
pub fn load_embedded(
    file: model::ModelFile,
    folder: &Path,
    device: DeviceChoice,
) -> Result<Box<dyn Encoder>, EncoderError> {
    load_model(Model::assemble(folder, file)?, device)
}

fn load_model(model: Model, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    let compute = Compute::choose(device)?;
    let branch = Branch::load(&model, compute)?;
    Ok(Box::new(NetworkEncoder::new(branch, model.spec, compute, model.file.preprocessing)))
}

/// What a person with a project of the former default is told, `project` being its path.
pub fn newer_default(project: impl std::fmt::Display) -> String {
    format!(
        "{project} uses {FORMER_DEFAULT}, the default encoder of earlier versions, and goes on with it. The default is \
         {DEFAULT} now, which learns more from your marks. Change to it with --encoder {DEFAULT}, which embeds all \
         slides anew, or keep this one, and hear no more of it, with --encoder {FORMER_DEFAULT}."
    )
}

/// What a person is told of the encoder `name`, where it is one that histokin came with once.
pub fn removed(name: &str) -> Option<String> {
    removed::spec(name).map(|spec| EncoderError::Removed { name: spec.name }.to_string())
}

/// What [`load`] would give, found from the model's files alone. Only a TorchScript file has to be run once
/// to know its width. Of encoders that histokin came with once, it is what they were.
///
/// # Errors
/// As [`load`].
pub fn spec(which: &str) -> Result<EncoderSpec, EncoderError> {
    match locate(which) {
        Err(EncoderError::Removed { name }) => {
            removed::spec(&name).ok_or_else(|| EncoderError::Removed { name })
        }
        Err(error) => Err(error),
        Ok(location) => spec_at(location),
    }
}

fn spec_at(location: Location) -> Result<EncoderSpec, EncoderError> {
    match location {
        Location::Folder(folder) => Ok(Model::read(&folder)?.spec),
        Location::Weights(path) => Ok(Model::read_single(&path)?.spec),
        Location::TorchScript(path) => {
            Ok(torchscript::load(&path, Compute::choose(DeviceChoice::Cpu)?)?.spec().clone())
        }
        Location::Imported(path) => ImportedEncoder::read(&path)?.spec(),
    }
}
