//! Processing of tiles before a network and of descriptors after it, and the identity of an encoder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file::read_toml;
use crate::module_output::ModuleOutput;
use crate::weight_files::WeightFiles;
use crate::{EncoderError, EncoderId};
use histokin_core::descriptors::hex;
use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;

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
    #[cfg(any(feature = "torch", test))]
    pub(crate) fn encoder_id(&self, network: &str, files: &[&[u8]]) -> EncoderId {
        let mut identity = self.identity(network);
        files.iter().for_each(|file| identity.add(file));
        identity.finish()
    }

    /// Begins an identity with these settings and the kind of network.
    pub(super) fn identity(&self, network: &str) -> Identity {
        let settings = serde_json::to_string(self).expect("numbers, booleans and arrays of them become JSON");
        let mut identity = Identity(Sha256::new());
        identity.add(network.as_bytes());
        identity.add(settings.as_bytes());
        identity
    }

    pub(super) fn check(&self) -> Result<(), String> {
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
pub(super) struct Identity(Sha256);

impl Identity {
    /// Adds a part. The length before each makes the encoding of a sequence of parts unambiguous.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds each file as a part.
    pub(super) fn add_files(&mut self, files: &WeightFiles) -> Result<(), EncoderError> {
        files.pass_on(|piece| self.0.update(piece))
    }

    pub(super) fn finish(self) -> EncoderId {
        EncoderId(hex(&self.0.finalize()))
    }
}

/// Reads the settings of a TorchScript module from `<module>.toml` in the same folder; returns the defaults
/// if there is no such file.
pub(crate) fn sidecar(module: &Path) -> Result<(Preprocessing, ModuleOutput), EncoderError> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
