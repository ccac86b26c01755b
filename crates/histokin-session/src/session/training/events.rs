//! Events of the training workers.

use std::path::PathBuf;
use std::sync::Arc;

use super::{PairLimits, RunView};
use histokin_core::slide::SlideId;
use histokin_evaluation::trial::Trial;
use histokin_training::config::TrainingConfig;
use histokin_training::pairs::PairCount;
use histokin_training::{Progress, ShownPair};

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
    /// The training made progress.
    Progress(Progress),
    /// The training has ended or failed; [`TrainingEvent::Listed`] follows.
    Ended(Result<TrainingEnd, String>),
    /// Progress of a comparison of a run's encoder with the project's.
    TrialProgress {
        /// ID of the run.
        run: String,
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
    },
    /// A run's encoder was compared with the project's, or could not be.
    Tried {
        /// ID of the run.
        run: String,
        /// The comparison, or why there is none.
        result: Result<Arc<Trial>, String>,
    },
    /// The encoder of a run was copied.
    Exported {
        /// ID of the run.
        run: String,
        /// File of the copy.
        path: PathBuf,
    },
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingEnd {
    /// Last step that was done.
    pub step: u64,
    /// Whether the user stopped it; the run can then be continued.
    pub stopped: bool,
}
