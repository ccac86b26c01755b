//! Encoders that ran in another program. Their imported descriptors are searched and evaluated like any
//! others, but new tiles cannot be embedded with them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EncoderError, EncoderId, EncoderSpec};
use histokin_core::durable;
use histokin_core::paths::portable_stem;
use histokin_core::stain::StainSetting;
use histokin_core::tiling::TileSettings;

/// File name suffix of the description of such an encoder.
pub const ENDING: &str = ".imported.toml";

/// Description of an encoder that ran in another program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedEncoder {
    /// Display name, such as `uni_v1`.
    pub name: String,
    /// Length of a descriptor.
    pub width: usize,
    /// Size and spacing of the tiles that it embedded.
    pub tiles: TileSettings,
}

impl ImportedEncoder {
    /// Returns the path of the description of the encoder `name`, relative to the project's folder.
    pub fn file(name: &str) -> PathBuf {
        let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let stem = portable_stem(&name.chars().map(plain).collect::<String>());
        Path::new("models").join(stem + ENDING)
    }

    /// Writes the description to `path`.
    ///
    /// # Errors
    /// An I/O error if the file cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = toml::to_string_pretty(self).map_err(std::io::Error::other)?;
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        durable::write(path, text.as_bytes())
    }

    /// Reads a description from `path`.
    ///
    /// # Errors
    /// [`EncoderError::File`] if the file cannot be read or is not such a description.
    pub fn read(path: &Path) -> Result<Self, EncoderError> {
        let wrong = |reason: String| EncoderError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))
    }

    /// Returns the encoder's properties. No tile is normalised for it, so its stain reference is not used for
    /// embedding; it is that of [`crate::FIRST_DEFAULT`].
    ///
    /// # Errors
    /// [`EncoderError`] if the description of that model cannot be read.
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
            stain_reference: super::spec(super::FIRST_DEFAULT)?.stain_reference,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_have_names_that_every_system_allows() {
        for (name, expected) in [("uni_v1.2", "uni_v1.2"), ("a/b c", "a-b-c"), ("aux", "_aux")] {
            let expected = Path::new("models").join(format!("{expected}.imported.toml"));
            assert_eq!(ImportedEncoder::file(name), expected);
        }
    }
}
