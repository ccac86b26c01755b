//! What the session, the user and the trainer tell each other.

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

/// What the user asks of training.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingCommand {
    /// Count what these slides can give with these settings.
    Count {
        slides: Vec<SlideId>,
        config: Box<TrainingConfig>,
    },
    Start {
        slides: Vec<SlideId>,
        validation: Vec<SlideId>,
        config: Box<TrainingConfig>,
        device: DeviceChoice,
    },
    Pause,
    Resume,
    Stop,
    /// Go on with a run that was stopped, or whose computer went off.
    Continue {
        run: String,
        device: DeviceChoice,
    },
    /// Draw some pairs of these slides, to look at.
    Preview {
        slides: Vec<SlideId>,
        config: Box<TrainingConfig>,
    },
    /// Find out which runs there are.
    ListRuns,
    /// EmbedTiles tiles by the run's encoder from now on.
    UseEncoder(String),
    /// Copy the run's encoder, with a card, into the project's folder of models.
    Export(String),
    Delete(String),
    /// Take the settings of a TOML file into the panel.
    ReadSettings(PathBuf),
    /// Keep settings in a TOML file.
    WriteSettings {
        path: PathBuf,
        config: Box<TrainingConfig>,
    },
}

/// What the trainer has found out.
pub enum TrainingEvent {
    Counted {
        slide: SlideId,
        limits: PairLimits,
        count: Result<PairCount, String>,
    },
    Previewed(Result<Vec<ShownPair>, String>),
    Listed(Vec<RunView>),
    SettingsRead(Result<Box<TrainingConfig>, String>),
    SettingsWritten(PathBuf),
    Preparing {
        what: String,
    },
    Began {
        run: String,
        step: u64,
        steps: u64,
        device: String,
        history: Box<History>,
    },
    Step {
        record: StepRecord,
        pace: Pace,
    },
    Pairs(Vec<ShownPair>),
    Validating,
    Validated(Box<Validation>),
    Saved {
        step: u64,
    },
    Notice(String),
    /// The training has ended; the runs follow.
    Ended(Result<TrainingEnd, String>),
    /// An encoder was copied to this file.
    Exported {
        run: String,
        path: PathBuf,
    },
}

/// How quickly it learns, and what that takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    pub pairs_per_second: f64,
    pub seconds_left: f64,
    /// Bytes of memory that the process has taken.
    pub memory: Option<usize>,
    /// Bytes of tiles that are kept on the disk.
    pub cached: u64,
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingEnd {
    pub step: u64,
    /// By the user; the run can be taken up again.
    pub stopped: bool,
}

/// What decides how many pairs a slide has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLimits {
    pub tiles: TileSettings,
    pub near_mm: f64,
    pub far_mm: f64,
}

impl PairLimits {
    pub fn of(config: &TrainingConfig) -> Self {
        Self { tiles: config.tiles(), near_mm: config.near_mm, far_mm: config.far_mm }
    }
}

/// A slide that is to be trained or validated on.
#[derive(Clone)]
pub struct TrainingTarget {
    pub slide: Arc<dyn SlideSource>,
    pub tissue: Option<Arc<TissueMask>>,
    pub validation: bool,
}

/// What the trainer has to do.
pub enum TrainingJob {
    Count { targets: Vec<TrainingTarget>, limits: PairLimits },
    Preview { targets: Vec<TrainingTarget>, config: Box<TrainingConfig> },
    List { project: PathBuf },
    Train(Box<TrainingPlan>),
    Pause(bool),
    Stop,
    Export { project: PathBuf, run: String },
    Delete { project: PathBuf, run: String },
    ReadSettings(PathBuf),
    WriteSettings { path: PathBuf, config: Box<TrainingConfig> },
}

/// A run to begin or to go on with.
pub struct TrainingPlan {
    pub project: PathBuf,
    pub device: DeviceChoice,
    pub what: PlannedRun,
}

pub enum PlannedRun {
    New {
        targets: Vec<TrainingTarget>,
        config: Box<TrainingConfig>,
    },
    /// `targets` are all open slides; the run knows which it wants.
    Continued {
        run: String,
        targets: Vec<TrainingTarget>,
    },
}
