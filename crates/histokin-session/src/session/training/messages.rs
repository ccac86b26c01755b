//! Commands, jobs and events of training.

use std::path::PathBuf;
use std::sync::Arc;

use super::RunView;
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::tiling::TileSettings;
use histokin_core::tissue::TissueMask;
use histokin_encoder::DeviceChoice;
use histokin_training::config::TrainingConfig;
use histokin_training::pairs::PairCount;
use histokin_training::run::{History, StepRecord};
use histokin_training::{ShownPair, Validation};

/// A user action that concerns training.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingCommand {
    /// Counts the pairs that these slides yield with these settings.
    Count {
        /// Slides to count pairs on.
        slides: Vec<SlideId>,
        /// Settings that decide the pairs.
        config: Box<TrainingConfig>,
    },
    /// Starts a new run.
    Start {
        /// Slides to train on.
        slides: Vec<SlideId>,
        /// Slides to validate on.
        validation: Vec<SlideId>,
        /// Settings of the run.
        config: Box<TrainingConfig>,
        /// Device on which to train.
        device: DeviceChoice,
    },
    /// Pauses the running training.
    Pause,
    /// Resumes a paused training.
    Resume,
    /// Stops the running training with a checkpoint.
    Stop,
    /// Continues a run that was stopped or interrupted.
    Continue {
        /// ID of the run.
        run: String,
        /// Device on which to train.
        device: DeviceChoice,
    },
    /// Draws some pairs of these slides for display.
    Preview {
        /// Slides from which pairs are drawn.
        slides: Vec<SlideId>,
        /// Settings that decide the pairs.
        config: Box<TrainingConfig>,
    },
    /// Lists the runs of the project.
    ListRuns,
    /// Makes the encoder of a run, by its ID, the project's encoder.
    UseEncoder(String),
    /// Copies the encoder of a run, by its ID, to the project's `models` folder, with its card.
    Export(String),
    /// Deletes a run, by its ID.
    Delete(String),
    /// Reads settings from a TOML file into the panel.
    ReadSettings(PathBuf),
    /// Writes settings to a TOML file.
    WriteSettings {
        /// File to write.
        path: PathBuf,
        /// Settings to write.
        config: Box<TrainingConfig>,
    },
}

/// A report of the training workers.
pub enum TrainingEvent {
    /// The pairs of a slide were counted.
    Counted {
        /// The slide.
        slide: SlideId,
        /// Limits within which they were counted.
        limits: PairLimits,
        /// The counts, or why there are none.
        count: Result<PairCount, String>,
    },
    /// Pairs for display were drawn, or could not be.
    Previewed(Result<Vec<ShownPair>, String>),
    /// The runs of the project, the oldest first.
    Listed(Vec<RunView>),
    /// Settings were read from a file, or could not be.
    SettingsRead(Result<Box<TrainingConfig>, String>),
    /// Settings were written to this file.
    SettingsWritten(PathBuf),
    /// The run is being prepared.
    Preparing {
        /// What is being done, for display.
        what: String,
    },
    /// The training loop has started.
    Began {
        /// ID of the run.
        run: String,
        /// Step from which it starts; 0 for a new run.
        step: u64,
        /// Number of steps of the run.
        steps: u64,
        /// Name of the device.
        device: String,
        /// Steps and validations so far.
        history: Box<History>,
    },
    /// A step was recorded.
    Step {
        /// Losses and other values of the step.
        record: StepRecord,
        /// Speed and resources.
        pace: Pace,
    },
    /// Pairs of the current batch, for display.
    Pairs(Vec<ShownPair>),
    /// A validation has started.
    Validating,
    /// A validation has finished.
    Validated(Box<Validation>),
    /// A checkpoint was saved.
    Saved {
        /// Step of the checkpoint.
        step: u64,
    },
    /// A message for the log of the run.
    Notice(String),
    /// The training has ended or failed; [`TrainingEvent::Listed`] follows.
    Ended(Result<TrainingEnd, String>),
    /// The encoder of a run was copied.
    Exported {
        /// ID of the run.
        run: String,
        /// File of the copy.
        path: PathBuf,
    },
}

/// Speed of a training and the resources it uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Pairs per second.
    pub pairs_per_second: f64,
    /// Estimated seconds to the end of the run.
    pub seconds_left: f64,
    /// Memory used by the process, in bytes, if known.
    pub memory: Option<usize>,
    /// Bytes of tiles cached on disk.
    pub cached: u64,
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingEnd {
    /// Last step that was done.
    pub step: u64,
    /// Whether the user stopped it; the run can then be continued.
    pub stopped: bool,
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
    },
    /// A run that continues. `targets` are all open slides; the run takes those that it needs.
    Continued {
        /// ID of the run.
        run: String,
        /// All open slides.
        targets: Vec<TrainingTarget>,
    },
}
