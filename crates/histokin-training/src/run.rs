//! A run's folder: its settings, history, checkpoints, and the resulting encoder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::card::card;
use super::config::TrainingConfig;
use super::{FEATURES_FOLDER, TrainingError, Validation, concept_marks, judged_pairs};
use histokin_core::durable;
use histokin_core::slide::SlideId;

/// Name of the folder in a project that holds its runs.
pub const RUNS_FOLDER: &str = "runs";

const CARD: &str = "run.json";
const CONFIG: &str = "config.toml";

/// Values of one training step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of the step, from 1.
    pub step: u64,
    /// Loss of the batch.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Mean descriptor distance of the batch's near pairs, if it has any.
    pub near: Option<f64>,
    /// Mean descriptor distance of the batch's far pairs, if it has any.
    pub far: Option<f64>,
    /// Norm of the gradient before it was scaled down.
    pub gradient: f64,
}

/// Everything that was recorded of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// All steps so far.
    pub steps: Vec<StepRecord>,
    /// All validations so far.
    pub validations: Vec<Validation>,
}

/// Status of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunStatus {
    /// Running, or ended without notice (for example by a power failure); it can be continued.
    Running,
    /// Stopped by the user; it can be continued.
    Stopped {
        /// Last step that was done.
        step: u64,
    },
    /// Ended by an error; it can be continued if it has a checkpoint.
    Failed {
        /// Message of the error.
        reason: String,
    },
    /// Finished, with an encoder.
    Finished {
        /// File of the encoder.
        #[serde(with = "histokin_core::paths::whole")]
        model: PathBuf,
        /// ID of the encoder.
        encoder_id: String,
        /// Last step that was done.
        step: u64,
        /// Seconds spent on training and validation.
        seconds: f64,
    },
}

/// A slide that a run uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSlide {
    /// ID of the slide.
    pub id: SlideId,
    /// Path of the slide when the run was created.
    #[serde(with = "histokin_core::paths::whole")]
    pub path: PathBuf,
    /// True if it is validated on, false if it is trained on.
    pub validation: bool,
}

/// The contents of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    /// ID of the run, such as `run-001`.
    pub id: String,
    /// Time of creation, in seconds since 1970.
    pub begun: u64,
    /// Version of the program that created the run.
    pub program_version: String,
    /// Name of the device on which it last ran.
    pub device: String,
    /// Slides that the run uses.
    pub slides: Vec<RunSlide>,
    /// Status of the run.
    pub status: RunStatus,
}

/// A run in its folder on disk.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
    /// Contents of `run.json`.
    pub card: RunCard,
    /// Settings of the run.
    pub config: TrainingConfig,
}

impl Run {
    /// Creates a new run in `project`, under the next free name.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if the folder or a file cannot be written, or the project's judgements or concepts
    /// cannot be read.
    pub fn create(
        project: &Path,
        config: TrainingConfig,
        slides: Vec<RunSlide>,
    ) -> Result<Self, TrainingError> {
        let marks = concept_marks::of_project(project)?;
        let runs = project.join(RUNS_FOLDER);
        let failed = |path: &Path, error: std::io::Error| TrainingError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        // Judgements made later would make a resumed run differ from what it was.
        let judgements = project.join(judged_pairs::FILE);
        let judged_pairs = match std::fs::read(&judgements) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&judgements, error)),
        };
        std::fs::create_dir_all(&runs).map_err(|error| failed(&runs, error))?;
        for number in 1_u32.. {
            let id = format!("run-{number:03}");
            let folder = runs.join(&id);
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&folder, error)),
                Ok(()) => {
                    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                    let card = RunCard {
                        id,
                        begun: now.map_or(0, |since| since.as_secs()),
                        program_version: env!("CARGO_PKG_VERSION").to_owned(),
                        device: String::new(),
                        slides,
                        status: RunStatus::Running,
                    };
                    let run = Self { folder, card, config };
                    run.write(CONFIG, run.config.to_toml().as_bytes())?;
                    if let Some(judged_pairs) = &judged_pairs {
                        run.write(judged_pairs::FILE, judged_pairs)?;
                    }
                    if !marks.is_empty() {
                        let text = serde_json::to_string(&marks).expect("text and numbers become JSON");
                        run.write(concept_marks::FILE, text.as_bytes())?;
                    }
                    run.save()?;
                    return Ok(run);
                }
            }
        }
        Err(TrainingError::Config("there are too many runs in this project".into()))
    }

    /// Opens the run in `folder`.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if there is no run, or if it is damaged.
    pub fn open(folder: &Path) -> Result<Self, TrainingError> {
        let path = folder.join(CARD);
        let failed = |reason: String| TrainingError::File { path: path.clone(), reason };
        let text =
            std::fs::read_to_string(&path).map_err(|error| failed(format!("no training run ({error})")))?;
        let card = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let config = TrainingConfig::read(&folder.join(CONFIG))?;
        Ok(Self { folder: folder.to_owned(), card, config })
    }

    /// Opens a run of `project` by its ID, or by the path of its folder.
    ///
    /// # Errors
    /// Returns an error if there is no such run; the message lists the existing ones.
    pub fn find(project: &Path, which: &str) -> Result<Self, TrainingError> {
        let named = project.join(RUNS_FOLDER).join(which);
        let folder = if named.join(CARD).is_file() { named } else { PathBuf::from(which) };
        if folder.join(CARD).is_file() {
            return Self::open(&folder);
        }
        let known: Vec<String> = Self::all(project).into_iter().map(|run| run.card.id).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(TrainingError::Config(format!("there is no run {which:?} in this project; there are: {known}")))
    }

    /// Returns the runs of a project, the oldest first. Other folders are skipped.
    pub fn all(project: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(project.join(RUNS_FOLDER)) else { return Vec::new() };
        let mut runs: Vec<Self> =
            entries.flatten().filter_map(|entry| Self::open(&entry.path()).ok()).collect();
        runs.sort_by(|a, b| (a.card.begun, &a.card.id).cmp(&(b.card.begun, &b.card.id)));
        runs
    }

    /// Folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder of the features that the project keeps for training.
    pub fn features_folder(&self) -> PathBuf {
        // PROJECT/runs/ID; a folder that lies elsewhere keeps them to itself.
        let runs = self.folder.parent().filter(|runs| runs.ends_with(RUNS_FOLDER));
        runs.and_then(Path::parent).unwrap_or(&self.folder).join(FEATURES_FOLDER)
    }

    /// Path of the newest checkpoint.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.folder.join("last.safetensors")
    }

    /// Path of the checkpoint of the best validation.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// Path of the resulting encoder, unless another was chosen.
    pub fn model(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    /// Reads the history; empty before the first checkpoint.
    pub fn history(&self) -> History {
        let text = std::fs::read_to_string(self.folder.join("history.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Writes the history.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if the file cannot be written.
    pub fn keep_history(&self, history: &History) -> Result<(), TrainingError> {
        let text = serde_json::to_string(history).expect("numbers and lists of them become JSON");
        self.write("history.json", text.as_bytes())
    }

    /// Records the status of the run.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if the file cannot be written.
    pub fn set_status(&mut self, status: RunStatus) -> Result<(), TrainingError> {
        self.card.status = status;
        self.save()
    }

    pub(super) fn save(&self) -> Result<(), TrainingError> {
        let text =
            serde_json::to_string_pretty(&self.card).expect("text, numbers and lists of them become JSON");
        self.write(CARD, text.as_bytes())
    }

    /// Copies the encoder to `path`, and writes its card next to it as `.md`.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if the run has no encoder yet, or if a file cannot be written.
    pub fn export(&self, path: &Path) -> Result<(), TrainingError> {
        let failed = |path: &Path, reason: String| TrainingError::File { path: path.to_owned(), reason };
        let RunStatus::Finished { model, .. } = &self.card.status else {
            return Err(failed(&self.folder, "the run has no encoder yet; let it finish first".into()));
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, error.to_string()))?;
        }
        let bytes = std::fs::read(model).map_err(|error| failed(model, error.to_string()))?;
        durable::write(path, &bytes).map_err(|error| failed(path, error.to_string()))?;
        self.write_card(path)
    }

    /// Writes the encoder's card next to `model`, as `.md`.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if the file cannot be written.
    pub fn write_card(&self, model: &Path) -> Result<(), TrainingError> {
        let path = model.with_extension("md");
        durable::write(&path, card(self).as_bytes())
            .map_err(|error| TrainingError::File { path, reason: error.to_string() })
    }

    /// Deletes the run with all its files.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if a file cannot be removed.
    pub fn delete(self) -> Result<(), TrainingError> {
        std::fs::remove_dir_all(&self.folder)
            .map_err(|error| TrainingError::File { path: self.folder, reason: error.to_string() })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainingError> {
        let path = self.folder.join(name);
        durable::write(&path, bytes).map_err(|error| TrainingError::File { path, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_begins_without_judgements_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(judged_pairs::FILE)).unwrap();
        let refused = Run::create(folder.path(), TrainingConfig::default(), Vec::new()).unwrap_err();
        assert!(refused.to_string().contains(judged_pairs::FILE), "{refused}");
        assert!(!folder.path().join(RUNS_FOLDER).exists());
    }
}
