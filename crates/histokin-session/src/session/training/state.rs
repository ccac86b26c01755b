//! State of training: the current run, the list of runs, and possible pairs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{PairLimits, TrialState};
use histokin_core::number_format::{counted, decimal, grouped};
use histokin_core::slide::SlideId;
use histokin_training::config::TrainingConfig;
use histokin_training::pairs::PairCount;
use histokin_training::run::{History, Run, RunCard, RunStatus};
use histokin_training::{Pace, Progress, ShownPair, Validation};

/// Number of log lines that are kept.
const LOG_LINES: usize = 500;

/// A run, as shown in lists.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Description and status of the run.
    pub card: RunCard,
    /// Its settings.
    pub config: TrainingConfig,
    /// Its steps and validations.
    pub history: Arc<History>,
    /// File of its encoder, if the run is finished and the file exists.
    pub model: Option<PathBuf>,
}

impl RunView {
    /// Reads a run's files.
    pub fn of(run: &Run) -> Self {
        let model = match &run.card.status {
            RunStatus::Finished { model, .. } => Some(model.clone()).filter(|model| model.is_file()),
            _ => None,
        };
        Self { card: run.card.clone(), config: run.config.clone(), history: Arc::new(run.history()), model }
    }

    /// Returns the validation by which its encoder was chosen, or would be chosen at present.
    pub fn best_validation(&self) -> Option<&Validation> {
        let figure = |validation: &Validation| validation.figure(self.config.judged_by);
        let counts = |validation: &&Validation| validation.step > 0 && figure(validation).is_some();
        let validations = self.history.validations.iter().filter(counts);
        // Of equal ones the first is taken.
        validations.reduce(|best, other| if figure(other) > figure(best) { other } else { best })
    }

    /// Whether the run can be continued.
    pub fn can_continue(&self) -> bool {
        !matches!(self.card.status, RunStatus::Finished { .. })
    }
}

/// The current run, or the last one.
#[derive(Default)]
pub struct RunningState {
    /// ID of the run, once it has one.
    pub run: Option<String>,
    /// Whether a training is running or being prepared.
    pub active: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is about to stop at the user's request.
    pub stopping: bool,
    /// What is being done while no step runs, such as "Validating".
    pub doing: Option<String>,
    /// How far that is, 0 to 1, if it is known.
    pub doing_share: Option<f32>,
    /// Last step that was done.
    pub step: u64,
    /// Number of steps of the run.
    pub steps: u64,
    /// Name of the device on which it runs.
    pub device: String,
    /// Steps and validations so far.
    pub history: History,
    /// Pairs of a recent batch, for display.
    pub pairs: Arc<Vec<ShownPair>>,
    /// Number of pair sets received; changes whenever `pairs` does.
    pub pairs_shown: u64,
    /// Speed and resources.
    pub pace: Pace,
    /// Step of the last checkpoint.
    pub saved: u64,
    /// Why it ended early.
    pub problem: Option<String>,
    /// Messages of the run, the oldest first.
    pub log: Vec<String>,
    /// Whether embedding was running before and is resumed afterwards.
    pub(super) embedding_waits: bool,
}

/// Pairs shown before a run is started.
#[derive(Default)]
pub struct Preview {
    /// Whether pairs are being drawn.
    pub drawing: bool,
    /// The pairs.
    pub pairs: Arc<Vec<ShownPair>>,
    /// Why there are none.
    pub problem: Option<String>,
    /// Number of times pairs were drawn; changes whenever `pairs` does.
    pub drawn: u64,
}

/// The state of training.
#[derive(Default)]
pub struct TrainingState {
    pub(in crate::session) counts: HashMap<SlideId, (PairLimits, Option<Result<PairCount, String>>)>,
    pub(in crate::session) running: RunningState,
    pub(in crate::session) runs: Vec<RunView>,
    pub(in crate::session) listed: bool,
    pub(in crate::session) preview: Preview,
    /// Settings last read from a file, and how many times settings have been read.
    pub(in crate::session) read: Option<(u64, TrainingConfig)>,
    /// The comparison of a run's encoder with the project's, with the ID of the run.
    pub(in crate::session) trial: Option<(String, TrialState)>,
    /// ID of a run that has just finished and is to be compared once it is listed.
    pub(in crate::session) untried: Option<String>,
}

impl TrainingState {
    /// Pair count of a slide within `limits`: `None` if it was not requested, `Some(None)` while it is being
    /// computed.
    pub fn count(&self, slide: &SlideId, limits: PairLimits) -> Option<Option<&Result<PairCount, String>>> {
        let (counted, count) = self.counts.get(slide)?;
        (*counted == limits).then_some(count.as_ref())
    }

    /// The current run, or the last one.
    pub fn running(&self) -> &RunningState {
        &self.running
    }

    /// Pairs shown before a run is started.
    pub fn preview(&self) -> &Preview {
        &self.preview
    }

    /// Settings last read from a file, with a number that changes each time settings are read.
    pub fn settings_read(&self) -> Option<&(u64, TrainingConfig)> {
        self.read.as_ref()
    }

    /// The comparison of a run's encoder with the project's, with the ID of the run.
    pub fn trial(&self) -> Option<(&str, &TrialState)> {
        self.trial.as_ref().map(|(run, state)| (run.as_str(), state))
    }

    /// Seconds that a step took in the latest finished run of the same network, tiles and batch, including
    /// validation; `None` if there is none.
    pub fn seconds_per_step(&self, config: &TrainingConfig) -> Option<f64> {
        let is_alike = |run: &&RunView| {
            let own = &run.config;
            let kind = |config: &TrainingConfig| {
                (
                    config.backbone,
                    config.depth,
                    config.method,
                    config.loss.group_size(),
                    config.anchor > 0.0,
                    config.kept_views > 0,
                )
            };
            kind(own) == kind(config) && own.tile_px == config.tile_px && own.batch == config.batch
        };
        self.runs.iter().rev().filter(is_alike).find_map(|run| match run.card.status {
            RunStatus::Finished { step, seconds, .. } if step > 0 => Some(seconds / step as f64),
            _ => None,
        })
    }

    /// Runs of the project, the oldest first.
    pub fn runs(&self) -> &[RunView] {
        &self.runs
    }

    /// Whether the list of runs has been requested.
    pub fn is_listed(&self) -> bool {
        self.listed
    }
}

impl RunningState {
    pub(super) fn progressed(&mut self, progress: Progress) {
        self.doing_share = None;
        match progress {
            Progress::Started { run, step, steps, device, history } => {
                let from = match step {
                    0 => String::new(),
                    _ => format!(", continued after step {}", grouped(step)),
                };
                self.log(format!("{run}: {} on {device}{from}", counted(steps, "step")));
                self.run = Some(run);
                (self.step, self.steps, self.saved) = (step, steps, step);
                self.device = device;
                self.history = *history;
                self.doing = None;
            }
            Progress::Step { record, pace } => {
                self.step = record.step;
                self.history.steps.push(record);
                self.pace = pace;
                self.doing = None;
            }
            Progress::Pairs(pairs) => {
                self.pairs = Arc::new(pairs);
                self.pairs_shown += 1;
            }
            Progress::Keeping { done, total, seconds_left } => {
                self.doing = Some(format!(
                    "Computing features: {} of {}, about {} min left",
                    grouped(done as u64),
                    counted(total as u64, "tile"),
                    decimal((seconds_left / 60.0).ceil(), 0)
                ));
                self.doing_share = Some(done as f32 / total.max(1) as f32);
            }
            Progress::Validating => self.doing = Some("Validating".into()),
            Progress::Validated(validation) => {
                let addr = validation
                    .addr_global
                    .map_or("no ADDR".into(), |addr| format!("ADDR {}", decimal(addr, 3)));
                let p_at_5 =
                    validation.retrieval.map(|found| format!(", P@5 {} %", decimal(100.0 * found.p_at_5, 1)));
                self.log(format!(
                    "step {}: {addr}{} on {}",
                    grouped(validation.step),
                    p_at_5.unwrap_or_default(),
                    counted(validation.tiles as u64, "validation tile")
                ));
                self.history.validations.push(*validation);
                self.doing = None;
            }
            Progress::Saved { step } => self.saved = step,
            Progress::Notice(text) => self.log(text),
        }
    }

    pub(super) fn log(&mut self, line: String) {
        if self.log.len() >= LOG_LINES {
            self.log.remove(0);
        }
        self.log.push(line);
    }
}
