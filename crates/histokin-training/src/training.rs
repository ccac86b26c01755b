//! What a training run needs, and what it reports.

use std::path::PathBuf;

use super::pairs::JudgedPair;
use super::run::{History, Run, StepRecord};
use super::slides::TrainingSlide;
use super::{ShownPair, TrainingError, Validation};
use histokin_encoder::{DeviceChoice, EncoderError, EncoderId};

/// Checks that this build can train, which needs libtorch.
///
/// # Errors
/// [`EncoderError::NeedsTorch`] if it cannot.
pub fn check_available() -> Result<(), TrainingError> {
    match cfg!(feature = "torch") {
        true => Ok(()),
        false => Err(unavailable()),
    }
}

fn unavailable() -> TrainingError {
    EncoderError::NeedsTorch { what: "training an encoder" }.into()
}

/// Everything a training needs.
pub struct Setup {
    /// The run, with its settings.
    pub run: Run,
    /// Slides to train on.
    pub slides: Vec<TrainingSlide>,
    /// Slides to validate on, not used for training; may be empty.
    pub validation: Vec<TrainingSlide>,
    /// Pairs judged by the user; their slides are positions in `slides`.
    pub judged_pairs: Vec<JudgedPair>,
    /// Device on which to train.
    pub device: DeviceChoice,
    /// Number of threads that read pairs.
    pub threads: usize,
    /// Whether to continue from the run's last checkpoint.
    pub resume: bool,
    /// File of the resulting encoder.
    pub model: PathBuf,
    /// Name stored in the resulting encoder.
    pub model_name: String,
}

/// Progress of a training.
pub enum Progress {
    /// The training loop starts or continues.
    Started {
        /// ID of the run.
        run: String,
        /// Steps done before.
        step: u64,
        /// Steps in total.
        steps: u64,
        /// Name of the device.
        device: String,
        /// History so far.
        history: Box<History>,
    },
    /// A step is done.
    Step {
        /// Values of the step.
        record: StepRecord,
        /// Speed and resources.
        pace: Pace,
    },
    /// Some pairs of the last batch, for display.
    Pairs(Vec<ShownPair>),
    /// Features of the frozen network are being computed and kept.
    Keeping {
        /// Number of tiles that are done, including those of earlier runs.
        done: usize,
        /// Number of tiles.
        total: usize,
        /// Estimated seconds to the last one.
        seconds_left: f64,
    },
    /// A validation has started.
    Validating,
    /// A validation is done.
    Validated(Box<Validation>),
    /// A checkpoint was saved.
    Saved {
        /// Step of the checkpoint.
        step: u64,
    },
    /// A message for the user; the training continues.
    Notice(String),
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

/// Result of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done, including earlier parts of the run.
    pub steps: u64,
    /// Whether the user stopped it; the run can be continued.
    pub stopped: bool,
    /// Seconds of training and validation, including earlier parts of the run.
    pub seconds: f64,
    /// Mean speed of this part of the run.
    pub pairs_per_second: f64,
    /// History of the run.
    pub history: History,
    /// Encoder and the step it was taken from, if the run is finished.
    pub encoder: Option<(EncoderId, u64)>,
}

/// Refuses to train: this build has no libtorch.
///
/// # Errors
/// Always, as [`check_available`].
#[cfg(not(feature = "torch"))]
pub fn train(_: Setup, _: &super::Control, _: &mut dyn FnMut(Progress)) -> Result<Outcome, TrainingError> {
    Err(unavailable())
}
