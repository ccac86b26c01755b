//! Training as seen by the session: possible pairs, the current run, and the list of runs.

mod commands;
mod events;
mod jobs;
mod state;
mod trial;

use std::path::Path;
use std::sync::Arc;

pub use commands::TrainingCommand;
pub use events::{TrainingEnd, TrainingEvent};
pub use jobs::{PairLimits, PlannedRun, TrainingJob, TrainingPlan, TrainingTarget};
pub use state::{Preview, RunView, RunningState, TrainingState};
pub use trial::{TrialRequest, TrialState, TrialSubject};

use super::{Job, Session, SlideState};
use histokin_core::slide::SlideId;
use histokin_encoder::DeviceChoice;
use histokin_project::project::ProjectSettings;
use histokin_training::config::TrainingConfig;

impl Session {
    /// State of training.
    pub fn training(&self) -> &TrainingState {
        &self.training
    }

    pub(super) fn training_command(&mut self, command: TrainingCommand) -> Vec<Job> {
        let project = self.project.root().to_owned();
        match command {
            TrainingCommand::Count { slides, config } => self.count_pairs(&slides, &config),
            TrainingCommand::Start { slides, validation, config, seconds, device } => {
                let targets = self.targets(&slides, &validation);
                self.begin_training(PlannedRun::New { targets, config, seconds }, device)
            }
            TrainingCommand::Continue { run, device } => {
                let targets = self.targets(&self.slides.ids(), &[]);
                self.begin_training(PlannedRun::Continued { run, targets }, device)
            }
            TrainingCommand::Pause | TrainingCommand::Resume => {
                let paused = command == TrainingCommand::Pause;
                if !self.training.running.active {
                    return Vec::new();
                }
                self.training.running.paused = paused;
                vec![Job::Training(TrainingJob::Pause(paused))]
            }
            TrainingCommand::Stop => {
                if !self.training.running.active {
                    return Vec::new();
                }
                self.training.running.stopping = true;
                vec![Job::Training(TrainingJob::Stop)]
            }
            TrainingCommand::Preview { slides, config } => {
                self.training.preview.drawing = true;
                let targets = self.targets(&slides, &[]);
                vec![Job::Training(TrainingJob::Preview { targets, config })]
            }
            TrainingCommand::ListRuns => {
                self.training.listed = true;
                vec![Job::Training(TrainingJob::List { project })]
            }
            TrainingCommand::Try(run) => self.try_encoder(&run),
            TrainingCommand::StopTrial => {
                self.stop_trial();
                Vec::new()
            }
            TrainingCommand::UseEncoder(run) => self.use_encoder(&run),
            TrainingCommand::Export(run) => vec![Job::Training(TrainingJob::Export { project, run })],
            TrainingCommand::Delete(run) => vec![Job::Training(TrainingJob::Delete { project, run })],
            TrainingCommand::ReadSettings(path) => vec![Job::Training(TrainingJob::ReadSettings(path))],
            TrainingCommand::WriteSettings { path, config } => {
                vec![Job::Training(TrainingJob::WriteSettings { path, config })]
            }
        }
    }

    /// Stops the current run when its project is closed; its checkpoint allows it to be continued later.
    pub(super) fn stop_training(&mut self) -> Vec<Job> {
        self.stop_trial();
        let active = self.training.running.active;
        active.then_some(Job::Training(TrainingJob::Stop)).into_iter().collect()
    }

    pub(super) fn training_event(&mut self, event: TrainingEvent) -> Vec<Job> {
        let running = &mut self.training.running;
        match event {
            TrainingEvent::Counted { slide, limits, count } => {
                // Only the counts for the newest limits are kept.
                if let Some((wanted, kept)) = self.training.counts.get_mut(&slide)
                    && *wanted == limits
                {
                    *kept = Some(count);
                }
            }
            TrainingEvent::Previewed(drawn) => {
                let preview = &mut self.training.preview;
                preview.drawing = false;
                preview.drawn += 1;
                (preview.pairs, preview.problem) = match drawn {
                    Ok(pairs) => (Arc::new(pairs), None),
                    Err(problem) => (Arc::default(), Some(problem)),
                };
            }
            TrainingEvent::Listed(runs) => {
                self.training.runs = runs;
                return self.try_finished();
            }
            TrainingEvent::SettingsRead(Ok(config)) => {
                let number = self.training.read.as_ref().map_or(0, |(number, _)| *number);
                self.training.read = Some((number + 1, *config));
            }
            TrainingEvent::SettingsRead(Err(reason)) => self.messages.error(reason),
            TrainingEvent::SettingsWritten(path) => {
                self.messages.note(format!("Settings were written to {}", path.display()));
            }
            TrainingEvent::Preparing { what } => running.doing = Some(what),
            TrainingEvent::Progress(progress) => running.progressed(progress),
            TrainingEvent::Ended(end) => return self.training_ended(end),
            TrainingEvent::TrialProgress { run, share, doing } => self.trial_goes_on(&run, share, doing),
            TrainingEvent::Tried { run, result } => self.tried(&run, result),
            TrainingEvent::Exported { run, path } => {
                let text = format!("{run}: encoder and card were written to {}", path.display());
                self.messages.note(text);
            }
        }
        Vec::new()
    }

    fn count_pairs(&mut self, slides: &[SlideId], config: &TrainingConfig) -> Vec<Job> {
        let limits = PairLimits::of(config);
        let mut targets = self.targets(slides, &[]);
        targets.retain(|target| {
            let known = self.training.counts.get(&target.slide.info().id);
            known.is_none_or(|(counted, _)| *counted != limits)
        });
        for target in &targets {
            self.training.counts.insert(target.slide.info().id.clone(), (limits, None));
        }
        if targets.is_empty() {
            return Vec::new();
        }
        vec![Job::Training(TrainingJob::Count { targets, limits })]
    }

    fn targets(&self, slides: &[SlideId], validation: &[SlideId]) -> Vec<TrainingTarget> {
        let target = |state: &SlideState| {
            let validates = validation.contains(state.id());
            (validates || slides.contains(state.id())).then(|| TrainingTarget {
                slide: state.source.clone(),
                tissue: state.tissue.clone(),
                validation: validates,
            })
        };
        self.slides.list.iter().filter_map(target).collect()
    }

    /// Starts a run. Training and embedding would slow each other down, so embedding waits until the end.
    fn begin_training(&mut self, what: PlannedRun, device: DeviceChoice) -> Vec<Job> {
        if self.training.running.active {
            return Vec::new();
        }
        let embedding_waits = !self.embedding.paused && !self.embedding.cancelled;
        self.training.running = RunningState {
            active: true,
            embedding_waits,
            doing: Some("Finding tissue and pairs".into()),
            ..RunningState::default()
        };
        let mut jobs = Vec::new();
        if embedding_waits {
            if self.is_embedding_left() {
                self.training.running.log("embedding waits until the training has ended".into());
            }
            self.embedding.paused = true;
            jobs.extend(self.embed_plan());
        }
        let project = self.project.root().to_owned();
        jobs.push(Job::Training(TrainingJob::Train(Box::new(TrainingPlan { project, device, what }))));
        jobs
    }

    fn training_ended(&mut self, end: Result<TrainingEnd, String>) -> Vec<Job> {
        let running = &mut self.training.running;
        (running.active, running.paused, running.stopping) = (false, false, false);
        running.doing = None;
        match end {
            Ok(TrainingEnd { step, stopped: true }) => running.log(format!("stopped at step {step}")),
            Ok(TrainingEnd { step, .. }) => {
                running.log(format!("done after {step} steps"));
                // The trial needs the file of the encoder, which the list of runs tells.
                self.training.untried.clone_from(&running.run);
            }
            Err(reason) => {
                running.log(reason.clone());
                running.problem = Some(reason.clone());
                self.messages.error(reason);
            }
        }
        if std::mem::take(&mut self.training.running.embedding_waits) {
            self.embedding.paused = false;
            return self.embed_plan();
        }
        Vec::new()
    }

    /// Makes the encoder of a run the project's encoder and embeds all slides again. The existing descriptors
    /// are searched until then.
    fn use_encoder(&mut self, run: &str) -> Vec<Job> {
        let Some(view) = self.training.runs.iter().find(|view| view.card.id == run) else {
            return Vec::new();
        };
        let Some(model) = view.model.clone() else {
            let text = format!("{run}: the run has no encoder yet; let it finish first");
            self.messages.error(text);
            return Vec::new();
        };
        let settings = self.settings_with(view, &model);
        let text = format!(
            "{run}: embedding the slides with its encoder; until that is done, searches use the current descriptors"
        );
        self.embed_again(settings, text)
    }

    /// The project's settings with `model`, the encoder of a run, and the tiles and stain that it was trained on.
    fn settings_with(&self, run: &RunView, model: &Path) -> ProjectSettings {
        ProjectSettings {
            encoder: Some(model.to_string_lossy().into_owned()),
            keeps_encoder: true,
            tiles: run.config.tiles(),
            stain: run.config.stain,
            tissue: self.project.settings().tissue.clone(),
        }
    }
}

/// Returns the message that the training in the project in `root` has ended, which was left meanwhile.
pub(super) fn stopped_in(root: &str, end: &TrainingEnd) -> String {
    match end {
        TrainingEnd { step, stopped: true } => format!(
            "{root}: training was stopped after step {step}, because another project was opened. Open it again to continue \
             the run."
        ),
        TrainingEnd { step, .. } => format!("{root}: training is done after {step} steps."),
    }
}
