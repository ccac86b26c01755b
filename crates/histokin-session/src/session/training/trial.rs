//! The comparison of a run's encoder with the project's, before it is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{EncoderState, EvaluationJob, Job, Session};
use histokin_core::descriptors::Recipe;
use histokin_encoder::EncoderSpec;
use histokin_evaluation::addr::AddrSettings;
use histokin_evaluation::comparison::ComparisonSettings;
use histokin_evaluation::intervals::Resampling;
use histokin_evaluation::retrieval::RetrievalSettings;
use histokin_evaluation::trial::Trial;
use histokin_project::project::Project;

/// The class whose retrieval is measured beside that of all classes.
const CLASS: &str = "tumour";

/// State of a comparison.
pub enum TrialState {
    /// Tiles are being embedded and compared.
    Running {
        /// Share that is done, from 0 to 1.
        share: f64,
        /// What is being done, for display.
        doing: String,
        /// Set to true to stop it.
        stop: Arc<AtomicBool>,
    },
    /// The comparison is done.
    Done(Arc<Trial>),
    /// The user has stopped it.
    Stopped,
    /// It failed, for this reason.
    Failed(String),
}

/// A comparison for the worker.
pub struct TrialRequest {
    /// Project whose tiles are compared.
    pub project: Project,
    /// The project's encoder.
    pub current: EncoderSpec,
    /// What the project's encoder is compared with.
    pub subject: TrialSubject,
    /// Name or path of the other encoder.
    pub model: String,
    /// The project as it would be with the other encoder.
    pub changed: Project,
    /// What is measured.
    pub settings: ComparisonSettings,
    /// Set to true to stop it.
    pub stop: Arc<AtomicBool>,
}

/// What the project's encoder is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialSubject {
    /// The encoder of the run of this ID.
    Run(String),
    /// The encoder of this name or path.
    Encoder(String),
}

impl TrialRequest {
    /// Returns the recipe of descriptors by the other encoder, whose properties are `spec`.
    pub fn recipe(&self, spec: &EncoderSpec) -> Recipe {
        self.changed.recipe(spec)
    }
}

/// What is measured in a comparison.
fn settings() -> ComparisonSettings {
    ComparisonSettings {
        addr: AddrSettings::default(),
        retrieval: RetrievalSettings::default(),
        resampling: Resampling::default(),
        class: CLASS.to_owned(),
    }
}

impl Session {
    /// Compares the encoder of the run that has just finished, once the list tells its file.
    pub(super) fn try_finished(&mut self) -> Vec<Job> {
        match self.training.untried.take() {
            Some(run) => self.try_encoder(&run),
            None => Vec::new(),
        }
    }

    /// Compares the encoder of a run with the project's; does nothing if the run has no encoder, or no slide is
    /// embedded with the project's.
    pub(super) fn try_encoder(&mut self, run: &str) -> Vec<Job> {
        let Some(view) = self.training.runs.iter().find(|view| view.card.id == run) else {
            return Vec::new();
        };
        let (Some(model), EncoderState::Known(current)) = (&view.model, &self.embedding.encoder) else {
            return Vec::new();
        };
        if self.index.is_empty() {
            return Vec::new();
        }
        let mut changed = self.project.clone();
        changed.set_settings(self.settings_with(view, model));
        let subject = TrialSubject::Run(run.to_owned());
        let request = self.trial_of(subject, model.to_string_lossy().into_owned(), changed, current);
        let stop = request.stop.clone();
        self.stop_trial();
        let state = TrialState::Running { share: 0.0, doing: "waiting".to_owned(), stop };
        self.training.trial = Some((run.to_owned(), state));
        vec![Job::Evaluation(EvaluationJob::Try(Box::new(request)))]
    }

    /// Requests the comparison of the encoder `model`, with which the project would be as `changed`, with the `current`
    /// one.
    pub(in crate::session) fn trial_of(
        &self,
        subject: TrialSubject,
        model: String,
        changed: Project,
        current: &EncoderSpec,
    ) -> TrialRequest {
        let (project, current) = (self.project.clone(), current.clone());
        TrialRequest { project, current, subject, model, changed, settings: settings(), stop: Arc::default() }
    }

    /// Stops a running comparison; its worker reports nothing more of it.
    pub(super) fn stop_trial(&mut self) {
        if let Some((_, state)) = &mut self.training.trial
            && let TrialState::Running { stop, .. } = state
        {
            stop.store(true, Ordering::Relaxed);
            *state = TrialState::Stopped;
        }
    }

    pub(super) fn trial_goes_on(&mut self, of: &str, done: f64, now: String) {
        if let Some((run, TrialState::Running { share, doing, .. })) = &mut self.training.trial
            && run == of
        {
            (*share, *doing) = (done, now);
        }
    }

    /// Takes the result of a comparison; that of one which was replaced by another is ignored.
    pub(super) fn tried(&mut self, of: &str, result: Result<Arc<Trial>, String>) {
        if let Some((run, state)) = &mut self.training.trial
            && run == of
        {
            *state = match result {
                Ok(trial) => TrialState::Done(trial),
                Err(reason) => TrialState::Failed(reason),
            };
        }
    }
}
