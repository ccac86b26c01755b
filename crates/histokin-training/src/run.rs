//! A run's folder: what was asked for, what happened, checkpoints, and the encoder that came of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::card::card;
use super::config::TrainingConfig;
use super::{TrainingError, Validation, marks};
use histokin_core::durable;
use histokin_core::slide::SlideId;

/// Where a project keeps its runs.
pub const RUNS_FOLDER: &str = "runs";

const CARD: &str = "run.json";
const CONFIG: &str = "config.toml";

/// One learning step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Counted from 1.
    pub step: u64,
    pub loss: f64,
    pub lr: f64,
    /// Mean descriptor distance of the batch's near and far pairs.
    pub near: Option<f64>,
    pub far: Option<f64>,
    /// Length of the gradient before it was shortened.
    pub gradient: f64,
}

/// All that was seen of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    pub steps: Vec<StepRecord>,
    pub validations: Vec<Validation>,
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunStatus {
    /// Learning, or ended without a word (the computer went off): it can be taken up again.
    Running,
    /// Stopped by the user.
    Stopped {
        step: u64,
    },
    Failed {
        reason: String,
    },
    Finished {
        model: PathBuf,
        encoder_id: String,
        step: u64,
        seconds: f64,
    },
}

/// A slide that a run uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSlide {
    pub id: SlideId,
    #[serde(with = "histokin_core::paths::whole")]
    pub path: PathBuf,
    pub validation: bool,
}

/// What `run.json` says of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    pub id: String,
    /// Seconds since 1970 when it was begun.
    pub begun: u64,
    pub program_version: String,
    /// Name for people of the device that it last ran on.
    pub device: String,
    pub slides: Vec<RunSlide>,
    pub status: RunStatus,
}

/// A run's folder on the disk.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
    pub card: RunCard,
    pub config: TrainingConfig,
}

impl Run {
    /// Begin a new run in `project`, under the next free name.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn create(
        project: &Path,
        config: TrainingConfig,
        slides: Vec<RunSlide>,
    ) -> Result<Self, TrainingError> {
        let runs = project.join(RUNS_FOLDER);
        let failed = |path: &Path, error: std::io::Error| TrainingError::File {
            path: path.to_owned(),
            reason: error.to_string(),
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
                    // Marks made later would make a resumed run another one than it was.
                    if let Ok(marks) = std::fs::read(project.join(marks::FILE)) {
                        run.write(marks::FILE, &marks)?;
                    }
                    run.save()?;
                    return Ok(run);
                }
            }
        }
        Err(TrainingError::Config("there are too many runs in this project".into()))
    }

    /// Open the run in `folder`.
    ///
    /// # Errors
    /// [`TrainingError::File`] when it is none, or damaged.
    pub fn open(folder: &Path) -> Result<Self, TrainingError> {
        let path = folder.join(CARD);
        let failed = |reason: String| TrainingError::File { path: path.clone(), reason };
        let text =
            std::fs::read_to_string(&path).map_err(|error| failed(format!("no training run ({error})")))?;
        let card = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let config = TrainingConfig::read(&folder.join(CONFIG))?;
        Ok(Self { folder: folder.to_owned(), card, config })
    }

    /// Open a run of `project` by its id, or by the path of its folder.
    ///
    /// # Errors
    /// When there is none; the message names those there are.
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

    /// The runs of a project, the oldest first. Folders that are no runs are passed over.
    pub fn all(project: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(project.join(RUNS_FOLDER)) else { return Vec::new() };
        let mut runs: Vec<Self> =
            entries.flatten().filter_map(|entry| Self::open(&entry.path()).ok()).collect();
        runs.sort_by(|a, b| (a.card.begun, &a.card.id).cmp(&(b.card.begun, &b.card.id)));
        runs
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The newest checkpoint.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.folder.join("last.safetensors")
    }

    /// The checkpoint of the best validation.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// The encoder that came of the run.
    pub fn model(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    /// What was seen so far; empty before the first checkpoint.
    pub fn history(&self) -> History {
        let text = std::fs::read_to_string(self.folder.join("history.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) fn keep_history(&self, history: &History) -> Result<(), TrainingError> {
        let text = serde_json::to_string(history).expect("numbers and lists of them become JSON");
        self.write("history.json", text.as_bytes())
    }

    /// Note how the run stands.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_status(&mut self, status: RunStatus) -> Result<(), TrainingError> {
        self.card.status = status;
        self.save()
    }

    pub(super) fn save(&self) -> Result<(), TrainingError> {
        let text =
            serde_json::to_string_pretty(&self.card).expect("text, numbers and lists of them become JSON");
        self.write(CARD, text.as_bytes())
    }

    /// Copy the encoder to `path`, with its card beside it as `.md`.
    ///
    /// # Errors
    /// When the run has none yet, or a file cannot be written.
    pub fn export(&self, path: &Path) -> Result<(), TrainingError> {
        let failed = |path: &Path, reason: String| TrainingError::File { path: path.to_owned(), reason };
        let RunStatus::Finished { model, .. } = &self.card.status else {
            return Err(failed(
                &self.folder,
                "there is no encoder in it yet; let the run come to its end".into(),
            ));
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, error.to_string()))?;
        }
        let bytes = std::fs::read(model).map_err(|error| failed(model, error.to_string()))?;
        durable::write(path, &bytes).map_err(|error| failed(path, error.to_string()))?;
        self.write_card(path)
    }

    /// Write the encoder's card beside `model`, as `.md`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_card(&self, model: &Path) -> Result<(), TrainingError> {
        let path = model.with_extension("md");
        durable::write(&path, card(self).as_bytes())
            .map_err(|error| TrainingError::File { path, reason: error.to_string() })
    }

    /// Delete the run with all its files.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn delete(self) -> Result<(), TrainingError> {
        std::fs::remove_dir_all(&self.folder)
            .map_err(|error| TrainingError::File { path: self.folder, reason: error.to_string() })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainingError> {
        let path = self.folder.join(name);
        durable::write(&path, bytes).map_err(|error| TrainingError::File { path, reason: error.to_string() })
    }
}
