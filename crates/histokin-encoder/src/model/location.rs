//! Where encoders are: the folders with models, and what a name or path leads to.

use std::path::{Path, PathBuf};

use super::{MODEL_FILE, ModelFile, read_description};
use crate::weight_files::INDEX_ENDING;
use crate::{EncoderError, imported, pth, removed, user_models, weight_file};
use histokin_core::platform;

/// Environment variable with additional model folders, separated as in `PATH`.
pub const MODELS_VARIABLE: &str = "HISTOKIN_MODELS";

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
pub(crate) enum Location {
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
pub(crate) fn locate(which: &str) -> Result<Location, EncoderError> {
    let path = Path::new(which);
    if path.join(MODEL_FILE).is_file() {
        return Ok(Location::Folder(path.to_owned()));
    }
    if let Some(weights) = PUBLISHED_NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file()) {
        return Ok(Location::Weights(weights));
    }
    if path.is_file() {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        if path.file_name().is_some_and(|name| name == MODEL_FILE) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            return Ok(Location::Folder(folder.unwrap_or(Path::new(".")).to_owned()));
        }
        if path.to_string_lossy().ends_with(imported::ENDING) {
            return Ok(Location::Imported(path.to_owned()));
        }
        if path.to_string_lossy().ends_with(INDEX_ENDING) {
            return Ok(Location::Weights(path.to_owned()));
        }
        return match extension.to_str() {
            Some("pt" | "ts") if pth::is_state_dict(path) || weight_file::is_other_kind(path) => {
                Ok(Location::Weights(path.to_owned()))
            }
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
        if let Some(spec) = removed::spec(which) {
            return EncoderError::Removed { name: spec.name };
        }
        let names: Vec<String> = available().into_iter().map(|model| model.name).collect();
        EncoderError::Unknown { which: which.to_owned(), available: names.join(", ") }
    })
}

/// Returns whether `path` is of an encoder, by its name: a model's folder, a file of weights, or a TorchScript module.
/// Nothing is read.
pub fn is_encoder(path: &Path) -> bool {
    const ENDINGS: [&str; 7] = ["safetensors", "pth", "pt", "ts", "bin", "ckpt", "torch"];
    let text = path.to_string_lossy();
    path.join(MODEL_FILE).is_file()
        || PUBLISHED_NAMES.iter().any(|name| path.join(name).is_file())
        || path.is_file()
            && (path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
                || path.file_name().is_some_and(|name| name == MODEL_FILE)
                || text.ends_with(INDEX_ENDING))
}

/// Returns the model folders: those in `HISTOKIN_MODELS`, the user's, the one next to the program, and the source
/// tree's.
pub(crate) fn model_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(paths) = std::env::var_os(MODELS_VARIABLE) {
        folders.extend(std::env::split_paths(&paths));
    }
    folders.extend(user_models::folder());
    if let Ok(program) = std::env::current_exe() {
        folders.extend(platform::folders_of(&program).into_iter().map(|folder| folder.join("models")));
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
    /// Its description, unless that cannot be read.
    pub file: Option<ModelFile>,
    /// Reason why the model cannot be used, such as weights that were not downloaded.
    pub problem: Option<String>,
}

impl ModelSummary {
    /// Returns whether the user has added the model.
    pub fn is_own(&self) -> bool {
        user_models::folder().is_some_and(|own| self.folder.starts_with(own))
    }
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
            let (file, problem) = match read_description(&folder) {
                Err(error) => (None, Some(error.to_string())),
                Ok(file) => {
                    let missing = file
                        .all_weights()
                        .chain(file.head.as_deref())
                        .map(|file| folder.join(file))
                        .find(|path| !path.is_file());
                    let problem = missing.map(|path| EncoderError::WeightsMissing { path }.to_string());
                    (Some(file), problem)
                }
            };
            models.push(ModelSummary { name, folder, file, problem });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}

#[cfg(test)]
mod tests {
    use super::*;

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
