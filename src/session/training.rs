//! Training as the session knows it: what can be learned from, the run under way, and the runs there are.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::state::Severity;
use super::{EncoderState, Job, Session, SlideStatus};
use crate::descriptors::DescriptorSet;
use crate::encoder::DeviceChoice;
use crate::project::ProjectSettings;
use crate::slide::{SlideId, SlideSource};
use crate::tiling::TileSettings;
use crate::tissue::TissueMask;
use crate::training::config::TrainingConfig;
use crate::training::pairs::PairCount;
use crate::training::run::{History, Run, RunCard, RunStatus, StepRecord};
use crate::training::{ShownPair, Validation};

/// Lines of the log that are kept.
const LOG_LINES: usize = 500;

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
    /// Describe tiles by the run's encoder from now on.
    UseEncoder(String),
    /// Copy the run's encoder, with a card, into the project's folder of models.
    Export(String),
    Delete(String),
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
        pairs_per_second: f64,
        seconds_left: f64,
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

    /// The best ADDR on the validation slides since it began to learn.
    pub fn best_addr(&self) -> Option<f64> {
        let looks = self.history.validations.iter().filter(|look| look.step > 0);
        looks.filter_map(|look| look.addr_global).max_by(f64::total_cmp)
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
    pub pairs_per_second: f64,
    pub seconds_left: f64,
    pub saved: u64,
    /// Why it ended early.
    pub problem: Option<String>,
    pub log: Vec<String>,
    /// Embedding went on before and is to go on after.
    embedding_waits: bool,
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
    pub(super) counts: HashMap<SlideId, (PairLimits, Option<Result<PairCount, String>>)>,
    pub(super) running: RunningState,
    pub(super) runs: Vec<RunView>,
    pub(super) listed: bool,
    pub(super) preview: Preview,
    /// Finished sets of a new encoder, until all slides have one: so long the old ones answer.
    pub(super) incoming: BTreeMap<SlideId, Arc<DescriptorSet>>,
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

    /// The oldest first.
    pub fn runs(&self) -> &[RunView] {
        &self.runs
    }

    /// Whether the runs of the project have been looked for.
    pub fn is_listed(&self) -> bool {
        self.listed
    }
}

impl Session {
    pub(super) fn handle_training(&mut self, command: TrainingCommand) -> Vec<Job> {
        let project = self.project.root().to_owned();
        match command {
            TrainingCommand::Count { slides, config } => self.count_pairs(&slides, &config),
            TrainingCommand::Start { slides, validation, config, device } => {
                let targets = self.targets(&slides, &validation);
                self.begin_training(PlannedRun::New { targets, config }, device)
            }
            TrainingCommand::Continue { run, device } => {
                let all: Vec<SlideId> = self.slides.iter().map(|slide| slide.id().clone()).collect();
                let targets = self.targets(&all, &[]);
                self.begin_training(PlannedRun::Continued { run, targets }, device)
            }
            TrainingCommand::Pause | TrainingCommand::Resume => {
                let paused = command == TrainingCommand::Pause;
                if !self.training.running.active {
                    return Vec::new();
                }
                self.training.running.paused = paused;
                vec![Job::Train(TrainingJob::Pause(paused))]
            }
            TrainingCommand::Stop => {
                if !self.training.running.active {
                    return Vec::new();
                }
                self.training.running.stopping = true;
                vec![Job::Train(TrainingJob::Stop)]
            }
            TrainingCommand::Preview { slides, config } => {
                self.training.preview.drawing = true;
                let targets = self.targets(&slides, &[]);
                vec![Job::Train(TrainingJob::Preview { targets, config })]
            }
            TrainingCommand::ListRuns => {
                self.training.listed = true;
                vec![Job::Train(TrainingJob::List { project })]
            }
            TrainingCommand::UseEncoder(run) => self.use_encoder(&run),
            TrainingCommand::Export(run) => vec![Job::Train(TrainingJob::Export { project, run })],
            TrainingCommand::Delete(run) => vec![Job::Train(TrainingJob::Delete { project, run })],
        }
    }

    /// A run of a project that is left ends with a checkpoint, from which it can go on later.
    pub(super) fn leave_training(&self) -> Vec<Job> {
        let active = self.training.running.active;
        active.then_some(Job::Train(TrainingJob::Stop)).into_iter().collect()
    }

    pub(super) fn absorb_training(&mut self, event: TrainingEvent) -> Vec<Job> {
        let running = &mut self.training.running;
        match event {
            TrainingEvent::Counted { slide, limits, count } => {
                // Of several questions only the last one's answer counts.
                if let Some((wanted, place)) = self.training.counts.get_mut(&slide)
                    && *wanted == limits
                {
                    *place = Some(count);
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
            TrainingEvent::Listed(runs) => self.training.runs = runs,
            TrainingEvent::Preparing { what } => running.doing = Some(what),
            TrainingEvent::Began { run, step, steps, device, history } => {
                running.log(format!("{run}: {steps} steps on {device}, beginning after step {step}"));
                running.run = Some(run);
                (running.step, running.steps, running.saved) = (step, steps, step);
                running.device = device;
                running.history = *history;
                running.doing = None;
            }
            TrainingEvent::Step { record, pairs_per_second, seconds_left } => {
                running.step = record.step;
                running.history.steps.push(record);
                (running.pairs_per_second, running.seconds_left) = (pairs_per_second, seconds_left);
                running.doing = None;
            }
            TrainingEvent::Pairs(pairs) => {
                running.pairs = Arc::new(pairs);
                running.pairs_shown += 1;
            }
            TrainingEvent::Validating => running.doing = Some("Looking at the validation slides".into()),
            TrainingEvent::Validated(look) => {
                let addr = look.addr_global.map_or("none".into(), |addr| format!("{addr:.3}"));
                running.log(format!("step {}: ADDR {addr} on {} validation tiles", look.step, look.tiles));
                running.history.validations.push(*look);
                running.doing = None;
            }
            TrainingEvent::Saved { step } => running.saved = step,
            TrainingEvent::Notice(text) => running.log(text),
            TrainingEvent::Ended(end) => return self.training_ended(end),
            TrainingEvent::Exported { run, path } => {
                self.tell(Severity::Note, format!("{run}: encoder and card are in {}", path.display()), None);
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
        vec![Job::Train(TrainingJob::Count { targets, limits })]
    }

    fn targets(&self, slides: &[SlideId], validation: &[SlideId]) -> Vec<TrainingTarget> {
        let target = |state: &super::SlideState| {
            let validates = validation.contains(state.id());
            (validates || slides.contains(state.id())).then(|| TrainingTarget {
                slide: state.source.clone(),
                tissue: state.tissue.clone(),
                validation: validates,
            })
        };
        self.slides.iter().filter_map(target).collect()
    }

    /// Learning and embedding would halve each other's speed: embedding waits until the end.
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
        jobs.push(Job::Train(TrainingJob::Train(Box::new(TrainingPlan { project, device, what }))));
        jobs
    }

    fn training_ended(&mut self, end: Result<TrainingEnd, String>) -> Vec<Job> {
        let running = &mut self.training.running;
        (running.active, running.paused, running.stopping) = (false, false, false);
        running.doing = None;
        match end {
            Ok(TrainingEnd { step, stopped: true }) => running.log(format!("stopped at step {step}")),
            Ok(TrainingEnd { step, .. }) => running.log(format!("done after {step} steps")),
            Err(reason) => {
                running.log(reason.clone());
                running.problem = Some(reason.clone());
                self.tell(Severity::Error, reason, None);
            }
        }
        if std::mem::take(&mut self.training.running.embedding_waits) {
            self.embedding.paused = false;
            return self.embed_plan();
        }
        Vec::new()
    }

    /// Embed all slides anew, by the encoder of a run. The sets there are answer until then.
    fn use_encoder(&mut self, run: &str) -> Vec<Job> {
        let Some(view) = self.training.runs.iter().find(|view| view.card.id == run) else {
            return Vec::new();
        };
        let Some(model) = view.model.clone() else {
            let text = format!("{run}: there is no encoder in it yet; let the run come to its end");
            self.tell(Severity::Error, text, None);
            return Vec::new();
        };
        let which = model.to_string_lossy().into_owned();
        let settings = ProjectSettings {
            encoder: Some(which.clone()),
            tiles: view.config.tiles(),
            stain: view.config.stain,
        };
        self.project.set_settings(settings);
        self.encoder = EncoderState::Unknown;
        self.training.incoming.clear();
        for slide in &mut self.slides {
            if slide.status != SlideStatus::NeedsMpp {
                slide.status = SlideStatus::Checking;
            }
        }
        let text = format!(
            "{run}: its encoder describes the slides anew; until that is done the old descriptors answer"
        );
        self.tell(Severity::Note, text, None);
        vec![Job::SaveProject(Box::new(self.project.clone())), Job::LearnEncoder(which)]
    }

    /// Whether the sets that answer now were made otherwise than `set`.
    pub(super) fn is_of_another_encoder(&self, set: &DescriptorSet) -> bool {
        self.sets.values().any(|old| old.header.recipe != set.header.recipe)
    }

    /// Keep a set of a new encoder until all slides have one.
    pub(super) fn keep_apart(&mut self, set: Arc<DescriptorSet>, finished: bool) -> Vec<Job> {
        if finished {
            self.training.incoming.insert(set.header.slide_id.clone(), set);
        }
        self.change_over()
    }

    /// Let the new encoder's sets answer, once no slide is left that will have one.
    pub(super) fn change_over(&mut self) -> Vec<Job> {
        let is_open = |status: &SlideStatus| {
            matches!(status, SlideStatus::Checking | SlideStatus::Waiting(_) | SlideStatus::Embedding(_))
        };
        if self.training.incoming.is_empty() || self.slides.iter().any(|slide| is_open(&slide.status)) {
            return Vec::new();
        }
        self.sets = std::mem::take(&mut self.training.incoming).into_iter().collect();
        // An answer of the old encoder means nothing beside answers of the new one.
        self.query = None;
        self.index_stale = true;
        self.index_if_stale()
    }
}

impl RunningState {
    fn log(&mut self, line: String) {
        if self.log.len() >= LOG_LINES {
            self.log.remove(0);
        }
        self.log.push(line);
    }
}
