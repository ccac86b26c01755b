//! Encoders: networks that turn a tile into a descriptor. libtorch is known here and in training only.
//!
//! An encoder is described by a [`model::ModelFile`] (`model.toml`), or is a TorchScript module that the
//! user brings; [`load`] takes either.

pub mod backbones;
mod device;
pub mod model;
mod siamese;
mod torchscript;
mod weights;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::stain::LabStatistics;
use crate::tiling::TileSettings;

pub use device::{DeviceChoice, device_name};

/// Identity of an encoder: a hash of its weights and of all that happens to a tile before them, so that
/// descriptors of different encoders are never compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncoderId(pub String);

impl EncoderId {
    /// The first 12 characters: enough for file names and for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for EncoderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What has to be known of an encoder to feed it and to store what it says.
#[derive(Debug, Clone)]
pub struct EncoderSpec {
    pub id: EncoderId,
    /// Name for people, such as `imagenet-efficientnet-lite0`.
    pub name: String,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Tile size and resolution that the encoder was made for.
    pub tiles: TileSettings,
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
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }
}

/// A network that turns tiles into descriptors. Owned by one thread at a time.
pub trait Encoder: Send {
    fn spec(&self) -> &EncoderSpec;

    /// Where it runs, for people: `CPU` or `NVIDIA … (cuda:0)`.
    fn device(&self) -> String;

    /// Encode `tiles`, all of the spec's `tile_px` squared, already stain-normalised. A device that runs
    /// out of memory is given smaller and smaller parts of the batch.
    ///
    /// # Errors
    /// [`EncoderError::NotFinite`] when the network answers NaN or an infinity: no such number ever
    /// leaves the encoder.
    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError>;
}

/// What can go wrong with an encoder. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error(
        "the descriptors of {count} tiles hold NaN or infinite numbers; the encoder {name} is damaged or unfit for these tiles"
    )]
    NotFinite { name: String, count: usize },
}

/// Load an encoder: `which` is the name of a model in `models/`, the path of a model folder or its
/// `model.toml`, or of a TorchScript file (`.pt`).
///
/// The first call loads libtorch (about 0.4 s): never on the way to the first frame.
pub fn load(which: &str, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    todo!()
}

/// What [`load`] would give, found without loading libtorch where a `model.toml` says it.
pub fn spec(which: &str) -> Result<EncoderSpec, EncoderError> {
    todo!()
}

/// Name of the encoder that is used unless the project says otherwise.
pub const DEFAULT: &str = "imagenet-efficientnet-lite0";
