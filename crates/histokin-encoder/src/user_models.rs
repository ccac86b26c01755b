//! Encoders that the user has added: a folder each in the user's data folder, with a description that leads to the
//! weights where they lie.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use super::model::{self, MODEL_FILE, ModelFile, ModelSummary};
use super::weights::write_whole;
use super::{DeviceChoice, EncoderError, engine};
use histokin_core::paths::portable_stem;

/// Returns the folder of the user's encoders, unless the user's home folder is unknown. It may not exist yet.
pub fn folder() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "histokin").map(|folders| folders.data_dir().join("models"))
}

/// Returns a name for an encoder that can name its folder on every system: lower case, with dashes between words.
pub fn plain_name(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
    if words.is_empty() { String::new() } else { portable_stem(&words.join("-")) }
}

/// Adds the encoder that `file` describes, under `file.name`, and returns its folder. Its weights stay where they
/// are. It describes a tile first, so that one that cannot work is not added.
///
/// # Errors
/// [`EncoderError::File`] if the name is taken or names no folder, the encoder does not work, a path cannot be made
/// absolute, or the folder cannot be written; [`EncoderError`] if the encoder cannot be loaded.
pub fn add(file: &ModelFile) -> Result<PathBuf, EncoderError> {
    let wrong = |path: &Path, reason: String| EncoderError::File { path: path.to_owned(), reason };
    let folder = free_folder(&file.name)?;
    try_out(file)?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| wrong(path, error.to_string()));
    let mut file = file.clone();
    for path in file.all_paths_mut() {
        *path = absolute(path)?;
    }
    std::fs::create_dir_all(&folder).map_err(|error| wrong(&folder, error.to_string()))?;
    let text = toml::to_string(&file).map_err(|error| wrong(&folder, error.to_string()))?;
    write_whole(&folder.join(MODEL_FILE), text.as_bytes())?;
    Ok(folder)
}

/// Has the encoder describe a tile of one colour.
fn try_out(file: &ModelFile) -> Result<(), EncoderError> {
    let engine = engine::chosen().unwrap_or_default();
    let mut encoder = super::load_embedded(file.clone(), Path::new(""), DeviceChoice::Cpu, engine)?;
    let edge = file.preprocessing.tile_px;
    let tried = encoder.encode(&[RgbImage::from_pixel(edge, edge, Rgb([200, 170, 190]))]);
    tried
        .map(drop)
        .map_err(|error| EncoderError::File { path: file.weights.clone(), reason: error.to_string() })
}

/// Renames the user's encoder `from` to `to`. Its identity stays, and with it what it has embedded; projects that
/// name it by its former name no longer find it.
///
/// # Errors
/// [`EncoderError::Unknown`] if the user has added no such encoder; [`EncoderError::File`] if the new name is taken or
/// names no folder, or a file cannot be written.
pub fn rename(from: &str, to: &str) -> Result<(), EncoderError> {
    let old = own_folder(from)?;
    let new = free_folder(to)?;
    let file = ModelFile { name: to.to_owned(), ..model::read_description(&old)? };
    let wrong = |path: &Path, reason: String| EncoderError::File { path: path.to_owned(), reason };
    std::fs::rename(&old, &new).map_err(|error| wrong(&new, error.to_string()))?;
    let text = toml::to_string(&file).map_err(|error| wrong(&new, error.to_string()))?;
    write_whole(&new.join(MODEL_FILE), text.as_bytes())
}

/// Removes the user's encoder `name`. Its weights stay where they are, and so do descriptors made with it.
///
/// # Errors
/// [`EncoderError::Unknown`] if the user has added no such encoder; [`EncoderError::File`] if its folder cannot be
/// removed.
pub fn remove(name: &str) -> Result<(), EncoderError> {
    let path = own_folder(name)?;
    std::fs::remove_dir_all(&path).map_err(|error| EncoderError::File { path, reason: error.to_string() })
}

/// Returns the folder of the user's encoder `name`.
///
/// # Errors
/// [`EncoderError::Unknown`] if there is none.
fn own_folder(name: &str) -> Result<PathBuf, EncoderError> {
    let is_plain = Path::new(name).components().count() == 1;
    let found =
        folder().map(|folder| folder.join(name)).filter(|path| is_plain && path.join(MODEL_FILE).is_file());
    found.ok_or_else(|| EncoderError::Unknown { which: name.to_owned(), available: names().join(", ") })
}

/// Returns the folder for a new encoder of the user.
///
/// # Errors
/// [`EncoderError::File`] if `name` is taken or names no folder.
fn free_folder(name: &str) -> Result<PathBuf, EncoderError> {
    let wrong =
        |path: &Path, reason: &str| EncoderError::File { path: path.to_owned(), reason: reason.into() };
    if name.is_empty() || plain_name(name) != name.to_ascii_lowercase() {
        return Err(wrong(
            Path::new(name),
            "an encoder cannot have this name; use letters, digits, dashes and underscores",
        ));
    }
    let folder = folder().ok_or_else(|| wrong(Path::new("~"), "your home folder is unknown"))?.join(name);
    // Some systems do not tell capitals from small letters.
    match model::available().iter().any(|model| model.name.eq_ignore_ascii_case(name)) {
        true => Err(wrong(&folder, "there is an encoder of this name; give another, or remove that one")),
        false => Ok(folder),
    }
}

/// Returns the names of the user's encoders.
fn names() -> Vec<String> {
    model::available().into_iter().filter(ModelSummary::is_own).map(|model| model.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_encoders_become_names_of_folders() {
        assert_eq!(plain_name("UNI2-h"), "uni2-h");
        assert_eq!(plain_name("Kaiko ViT-S-16"), "kaiko-vit-s-16");
        assert_eq!(plain_name("../escape"), "escape");
        assert_eq!(plain_name("a/b c"), "a-b-c");
        assert_eq!(plain_name("Con"), "_con");
        assert_eq!(plain_name("…"), "");
    }
}
