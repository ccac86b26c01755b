//! What is known of training: the run under way, the runs there are, and what can be learned from.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::messages::{Pace, PairLimits};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::slide::SlideId;
use histokin_training::config::TrainingConfig;
use histokin_training::pairs::PairCount;
use histokin_training::run::{History, Run, RunCard, RunStatus};
use histokin_training::{ShownPair, Validation};

/// Lines of the log that are kept.
const LOG_LINES: usize = 500;

/// A run as lists show it.
#[derive(Debug, Clone)]
pub struct RunView {
    pub card: RunCard,
    pub config: TrainingConfig,
    pub history: Arc<History>,
    /// The encoder that came of it, if it is there.
    pub model: Option<PathBuf>,
}

impl RunView {
    /// Read what is known of a run.
    pub fn of(run: &Run) -> Self {
        let model = match &run.card.status {
            RunStatus::Finished { model, .. } => Some(model.clone()).filter(|model| model.is_file()),
            _ => None,
        };
        Self { card: run.card.clone(), config: run.config.clone(), history: Arc::new(run.history()), model }
    }

    /// The look at the validation slides that its encoder was chosen by.
    pub fn best_validation(&self) -> Option<&Validation> {
        let figure = |look: &Validation| look.figure(self.config.judged_by);
        let looks = self.history.validations.iter().filter(|look| look.step > 0 && figure(look).is_some());
        // Of equals the first counts.
        looks.reduce(|best, look| if figure(look) > figure(best) { look } else { best })
    }

    /// Whether it can be taken up again.
    pub fn can_continue(&self) -> bool {
        !matches!(self.card.status, RunStatus::Finished { .. })
    }
}

/// The run under way, or the last one.
#[derive(Default)]
pub struct RunningState {
    /// Its id, once it has one.
    pub run: Option<String>,
    pub active: bool,
    pub paused: bool,
    pub stopping: bool,
    /// What is being done where no step is under way: "finding tissue", "looking at validation slides".
    pub doing: Option<String>,
    pub step: u64,
    pub steps: u64,
    pub device: String,
    pub history: History,
    pub pairs: Arc<Vec<ShownPair>>,
    /// Counts up with every new set of pairs.
    pub pairs_shown: u64,
    pub pace: Pace,
    pub saved: u64,
    /// Why it ended early.
    pub problem: Option<String>,
    pub log: Vec<String>,
    /// Embedding went on before and is to go on after.
    pub(super) embedding_waits: bool,
}

/// Pairs to look at before a run is begun.
#[derive(Default)]
pub struct Preview {
    pub drawing: bool,
    pub pairs: Arc<Vec<ShownPair>>,
    /// Why there are none.
    pub problem: Option<String>,
    /// Counts up with every new set of pairs.
    pub drawn: u64,
}

/// All of training.
#[derive(Default)]
pub struct TrainingState {
    pub(in crate::session) counts: HashMap<SlideId, (PairLimits, Option<Result<PairCount, String>>)>,
    pub(in crate::session) running: RunningState,
    pub(in crate::session) runs: Vec<RunView>,
    pub(in crate::session) listed: bool,
    pub(in crate::session) preview: Preview,
    /// Settings that were read from a file, and how many times that has been done.
    pub(in crate::session) read: Option<(u64, TrainingConfig)>,
    /// Finished sets of a new encoder, until all slides have one: so long the old ones answer.
    pub(in crate::session) incoming: BTreeMap<SlideId, Arc<DescriptorSet>>,
}

impl TrainingState {
    /// What a slide can give within `limits`: `None` where nobody asked, `Some(None)` while it is counted.
    pub fn count(&self, slide: &SlideId, limits: PairLimits) -> Option<Option<&Result<PairCount, String>>> {
        let (counted, count) = self.counts.get(slide)?;
        (*counted == limits).then_some(count.as_ref())
    }

    pub fn running(&self) -> &RunningState {
        &self.running
    }

    pub fn preview(&self) -> &Preview {
        &self.preview
    }

    /// The settings that were read last, with a number that tells them from those before.
    pub fn settings_read(&self) -> Option<&(u64, TrainingConfig)> {
        self.read.as_ref()
    }

    /// The oldest first.
    pub fn runs(&self) -> &[RunView] {
        &self.runs
    }

    /// Whether the runs of the project have been looked for.
    pub fn is_listed(&self) -> bool {
        self.listed
    }
}

impl RunningState {
    pub(super) fn log(&mut self, line: String) {
        if self.log.len() >= LOG_LINES {
            self.log.remove(0);
        }
        self.log.push(line);
    }
}
