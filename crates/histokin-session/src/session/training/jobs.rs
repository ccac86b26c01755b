//! Jobs of the training workers.

use std::path::PathBuf;
use std::sync::Arc;

use histokin_core::slide::SlideSource;
use histokin_core::tiling::TileSettings;
use histokin_core::tissue::TissueMask;
use histokin_encoder::DeviceChoice;
use histokin_training::config::TrainingConfig;

/// A job for the training workers.
pub enum TrainingJob {
    /// Counts the pairs of slides.
    Count {
        /// Slides to count pairs on.
        targets: Vec<TrainingTarget>,
        /// Limits of the pairs.
        limits: PairLimits,
    },
    /// Draws some pairs for display.
    Preview {
        /// Slides from which pairs are drawn.
        targets: Vec<TrainingTarget>,
        /// Settings that decide the pairs.
        config: Box<TrainingConfig>,
    },
    /// Lists the runs of a project.
    List {
        /// Folder of the project.
        project: PathBuf,
    },
    /// Starts or continues a run.
    Train(Box<TrainingPlan>),
    /// Pauses the running training (true) or resumes it (false).
    Pause(bool),
    /// Stops the running training with a checkpoint.
    Stop,
    /// Copies the encoder of a run to the project's `models` folder.
    Export {
        /// Folder of the project.
        project: PathBuf,
        /// ID of the run.
        run: String,
    },
    /// Deletes a run.
    Delete {
        /// Folder of the project.
        project: PathBuf,
        /// ID of the run.
        run: String,
    },
    /// Reads settings from a TOML file.
    ReadSettings(PathBuf),
    /// Writes settings to a TOML file.
    WriteSettings {
        /// File to write.
        path: PathBuf,
        /// Settings to write.
        config: Box<TrainingConfig>,
    },
}

/// The settings that decide how many pairs a slide has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLimits {
    /// Size and spacing of the tiles.
    pub tiles: TileSettings,
    /// Near limit in mm.
    pub near_mm: f64,
    /// Far limit in mm.
    pub far_mm: f64,
}

impl PairLimits {
    /// Takes the limits from settings.
    pub fn of(config: &TrainingConfig) -> Self {
        Self { tiles: config.tiles(), near_mm: config.near_mm, far_mm: config.far_mm }
    }
}

/// A slide to train or validate on.
#[derive(Clone)]
pub struct TrainingTarget {
    /// The slide.
    pub slide: Arc<dyn SlideSource>,
    /// Its tissue mask, if it is known already.
    pub tissue: Option<Arc<TissueMask>>,
    /// True to validate on it, false to train on it.
    pub validation: bool,
}

/// A run to start or continue.
pub struct TrainingPlan {
    /// Folder of the project.
    pub project: PathBuf,
    /// Device on which to train.
    pub device: DeviceChoice,
    /// The run.
    pub what: PlannedRun,
}

/// A new run, or one to be continued.
pub enum PlannedRun {
    /// A new run.
    New {
        /// Slides to train and validate on.
        targets: Vec<TrainingTarget>,
        /// Settings of the run.
        config: Box<TrainingConfig>,
        /// How long the run lasts; `None` for the steps in the settings.
        seconds: Option<f64>,
    },
    /// A run that continues. `targets` are all open slides; the run takes those that it needs.
    Continued {
        /// ID of the run.
        run: String,
        /// All open slides.
        targets: Vec<TrainingTarget>,
    },
}
