//! Encoders that ran elsewhere: their descriptors were imported, and are searched and measured like any others,
//! but no new tile can be described by them here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EncoderError, EncoderId, EncoderSpec};
use histokin_core::durable;
use histokin_core::stain::StainSetting;
use histokin_core::tiling::TileSettings;

/// End of the name of a file that describes such an encoder.
pub const ENDING: &str = ".imported.toml";

/// What is known of an encoder that ran elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedEncoder {
    /// Name for people, such as `uni_v1`.
    pub name: String,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Tiles that it was given.
    pub tiles: TileSettings,
}

impl ImportedEncoder {
    /// Where a project keeps the description of the encoder `name`, relative to the project's folder.
    pub fn file(name: &str) -> PathBuf {
        let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        Path::new("models").join(name.chars().map(plain).collect::<String>() + ENDING)
    }

    /// Keep the description.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = toml::to_string_pretty(self).map_err(std::io::Error::other)?;
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        durable::write(path, text.as_bytes())
    }

    /// # Errors
    /// [`EncoderError::File`] when it cannot be read or is no such description.
    pub fn read(path: &Path) -> Result<Self, EncoderError> {
        let wrong = |reason: String| EncoderError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))
    }

    /// What the rest of the program knows of an encoder. Nothing is normalised for it, so that its colours are
    /// those of the former default.
    ///
    /// # Errors
    /// When that encoder's description is not there.
    pub fn spec(&self) -> Result<EncoderSpec, EncoderError> {
        let TileSettings { tile_px, mpp } = self.tiles;
        let text = format!("{}|{}|{tile_px}|{mpp}", self.name, self.width);
        let hash = histokin_core::descriptors::hex(&Sha256::digest(text));
        Ok(EncoderSpec {
            id: EncoderId(format!("{}{}", EncoderId::IMPORTED_PREFIX, &hash[..16])),
            name: self.name.clone(),
            width: self.width,
            tiles: self.tiles,
            stain: StainSetting::None,
            stain_reference: super::spec(super::FORMER_DEFAULT)?.stain_reference,
        })
    }
}
