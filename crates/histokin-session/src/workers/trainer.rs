//! The thread that trains, and the thread that counts pairs and manages runs meanwhile.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::job_queue::JobQueue;
use super::{EventChannel, EventSender};
use crate::crash;
use crate::session::{
    Event, Issued, MessageEvent, PlannedRun, ProjectNumber, RunView, TrainingEnd, TrainingEvent, TrainingJob,
    TrainingPlan, TrainingTarget,
};
use histokin_core::durable;
use histokin_core::memory;
use histokin_core::number_format::{counted, decimal};
use histokin_encoder::DeviceChoice;
use histokin_encoder::model::Preprocessing;
use histokin_training::config::TrainingConfig;
use histokin_training::run::{Run, RunSlide};
use histokin_training::slides::TrainingSlide;
use histokin_training::{
    self as training, Control, Progress, Setup, ShownPair, TrainingError, judged_pairs, labels, pairs, speed,
    train,
};

/// Job queues of the training threads.
#[derive(Default)]
pub struct TrainerQueue {
    /// Plans, each with its control.
    plans: JobQueue<Issued<(TrainingPlan, Arc<Control>)>>,
    io_jobs: JobQueue<Issued<TrainingJob>>,
    /// Controls the training that is running or about to start.
    control: Mutex<Arc<Control>>,
}

impl TrainerQueue {
    /// Adds a job; pause and stop take effect on a running training at once.
    pub fn submit(&self, issued: Issued<TrainingJob>) {
        let project = issued.with(());
        match issued.job {
            TrainingJob::Train(plan) => {
                let control = Arc::<Control>::default();
                *self.lock() = control.clone();
                self.plans.push(project.with((*plan, control)));
            }
            TrainingJob::Pause(paused) => self.lock().set_paused(paused),
            TrainingJob::Stop => self.lock().stop(),
            io_job => self.io_jobs.push(project.with(io_job)),
        }
    }

    /// Drops the plans of projects that were left, and stops training for them; `open` is the number of the project that is
    /// open.
    pub fn leave_for(&self, open: ProjectNumber) {
        self.plans.leave_for(open);
        self.io_jobs.leave_for(open);
        self.lock().stop();
    }

    /// Closes the queues and stops a running training.
    pub fn close(&self) {
        self.plans.close();
        self.io_jobs.close();
        self.lock().stop();
    }

    /// Number of jobs other than plans that wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.io_jobs.waiting()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Control>> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs training jobs until the queue is closed.
pub fn run(queue: &TrainerQueue, channel: &EventChannel) {
    while let Some(issued) = queue.plans.take() {
        let events = channel.of(issued.of);
        let ((plan, control), _claim) = issued.into_parts();
        let project = plan.project.clone();
        let trained = crash::catch("Training", || carry_out(plan, &control, &events));
        let end = match trained {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(error)) => Err(error.to_string()),
            Err(crash) => {
                events.send(MessageEvent::Crashed(crash.clone()));
                Err(crash.summary)
            }
        };
        memory::release_freed();
        events.send(TrainingEvent::Ended(end));
        events.attempt("Listing training runs", || list(&project, &events), |_| None);
    }
}

/// Runs all other training jobs until the queue is closed.
pub fn run_io_jobs(queue: &TrainerQueue, channel: &EventChannel) {
    while let Some(issued) = queue.io_jobs.take() {
        let events = channel.of(issued.of);
        let (io_job, _claim) = issued.into_parts();
        let is_preview = matches!(io_job, TrainingJob::Preview { .. });
        let failed = move |reason| is_preview.then(|| Event::Training(TrainingEvent::Previewed(Err(reason))));
        events.attempt("Managing training runs", || run_io_job(io_job, &events), failed);
    }
}

fn run_io_job(io_job: TrainingJob, events: &EventSender) {
    match io_job {
        TrainingJob::Count { targets, limits } => {
            for target in targets {
                let slide = target.slide.info().id.clone();
                let prepared = TrainingSlide::prepare(target.slide, limits.tiles, target.tissue.as_deref());
                let count = prepared
                    .map(|slide| pairs::count_pairs(&slide, limits.near_mm, limits.far_mm))
                    .map_err(|error| error.to_string());
                events.send(TrainingEvent::Counted { slide, limits, count });
            }
        }
        TrainingJob::Preview { targets, config } => {
            let drawn = preview(targets, &config).map_err(|error| error.to_string());
            events.send(TrainingEvent::Previewed(drawn));
        }
        TrainingJob::List { project } => list(&project, events),
        TrainingJob::Export { project, run } => match export(&project, &run) {
            Ok(path) => events.send(TrainingEvent::Exported { run, path }),
            Err(error) => events.send(MessageEvent::Error(error.to_string())),
        },
        TrainingJob::Delete { project, run } => {
            if let Err(error) = Run::find(&project, &run).and_then(Run::delete) {
                events.send(MessageEvent::Error(error.to_string()));
            }
            list(&project, events);
        }
        TrainingJob::ReadSettings(path) => {
            let read = TrainingConfig::read(&path).map(Box::new).map_err(|error| error.to_string());
            events.send(TrainingEvent::SettingsRead(read));
        }
        TrainingJob::WriteSettings { path, config } => {
            match durable::write(&path, config.to_toml().as_bytes()) {
                Ok(()) => events.send(TrainingEvent::SettingsWritten(path)),
                Err(error) => events.send(MessageEvent::Error(format!(
                    "{}: the settings were not written ({error})",
                    path.display()
                ))),
            }
        }
        TrainingJob::Train(_) | TrainingJob::Pause(_) | TrainingJob::Stop => {}
    }
}

fn list(project: &Path, events: &EventSender) {
    events.send(TrainingEvent::Listed(Run::all(project).iter().map(RunView::of).collect()));
}

fn preview(targets: Vec<TrainingTarget>, config: &TrainingConfig) -> Result<Vec<ShownPair>, TrainingError> {
    config.check()?;
    let prepare = |target: TrainingTarget| {
        TrainingSlide::prepare(target.slide, config.tiles(), target.tissue.as_deref())
    };
    let slides = targets.into_iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
    training::preview(&slides, config, Preprocessing::default().stain_reference)
}

fn export(project: &Path, run: &str) -> Result<std::path::PathBuf, TrainingError> {
    let run = Run::find(project, run)?;
    let path = project.join("models").join(format!("{}.safetensors", run.card.id));
    run.export(&path)?;
    Ok(path)
}

fn carry_out(
    plan: TrainingPlan,
    control: &Control,
    events: &EventSender,
) -> Result<TrainingEnd, TrainingError> {
    training::check_available()?;
    let TrainingPlan { project, device, what } = plan;
    let resume = matches!(what, PlannedRun::Continued { .. });
    let begun = match what {
        PlannedRun::New { targets, config, seconds } => {
            new_run(&project, targets, *config, (seconds, device), control, events)?
        }
        PlannedRun::Continued { run, targets } => {
            let run = Run::find(&project, &run)?;
            let targets = targets_of(&run, targets)?;
            let (slides, validation) = prepare(&project, targets, &run.config, events)?;
            Some(Begun { run, slides, validation })
        }
    };
    let Some(Begun { run, slides, validation }) = begun else {
        return Ok(TrainingEnd { step: 0, stopped: true });
    };
    let judged_pairs = judged_pairs::read(run.folder(), &slides)?;
    if !judged_pairs.is_empty() {
        let text = format!("{} pairs that you judged are used for training too", judged_pairs.len());
        notice(text, events);
    }
    let setup = Setup {
        slides,
        validation,
        judged_pairs,
        device,
        threads: threads(),
        resume,
        model: run.model(),
        model_name: run.card.id.clone(),
        run,
    };
    let outcome = train(setup, control, &mut |progress| events.send(TrainingEvent::Progress(progress)))?;
    Ok(TrainingEnd { step: outcome.steps, stopped: outcome.stopped })
}

/// A run, and its slides.
struct Begun {
    run: Run,
    slides: Vec<TrainingSlide>,
    validation: Vec<TrainingSlide>,
}

/// Begins a new run; `None` if it was stopped while the speed of training was measured, so that it lasts `seconds`.
fn new_run(
    project: &Path,
    targets: Vec<TrainingTarget>,
    mut config: TrainingConfig,
    (seconds, device): (Option<f64>, DeviceChoice),
    control: &Control,
    events: &EventSender,
) -> Result<Option<Begun>, TrainingError> {
    config.check()?;
    config.settle()?;
    let known = targets.iter().map(used).collect();
    // The run is created last, so that one that could not be started leaves no folder.
    let (slides, validation) = prepare(project, targets, &config, events)?;
    // Steps from kept features take milliseconds, and as many as the settings say are done.
    if let Some(seconds) = seconds.filter(|_| config.kept_views == 0) {
        events.send(TrainingEvent::Preparing { what: "Measuring the speed of training".to_owned() });
        let measured = speed::seconds_per_step(project, &config, slides.clone(), device, threads(), control)?;
        let Some(measured) = measured else { return Ok(None) };
        config.fit_into(seconds, measured, validation.len());
        let text = format!(
            "{} fit into {} minutes, at {} s a step",
            counted(config.steps, "step"),
            decimal(seconds / 60.0, 0),
            decimal(measured, 2)
        );
        notice(text, events);
    }
    let run = Run::create(project, config, known)?;
    Ok(Some(Begun { run, slides, validation }))
}

/// Prepares the slides to train on and, with their labels, those to validate on.
fn prepare(
    project: &Path,
    targets: Vec<TrainingTarget>,
    config: &TrainingConfig,
    events: &EventSender,
) -> Result<(Vec<TrainingSlide>, Vec<TrainingSlide>), TrainingError> {
    let (mut slides, mut validation) = (Vec::new(), Vec::new());
    for target in targets {
        let name = target.slide.info().name();
        events.send(TrainingEvent::Preparing { what: format!("Finding tissue and pairs of {name}") });
        let slide = TrainingSlide::prepare(target.slide, config.tiles(), target.tissue.as_deref())?;
        if target.validation { validation.push(slide) } else { slides.push(slide) }
    }
    let labelled = labels::apply(project, &config.labels, &mut validation)?;
    if labelled > 0 {
        let text = format!("{labelled} tiles of the validation slides are labelled: retrieval is measured");
        notice(text, events);
    }
    Ok((slides, validation))
}

/// Sends a message for the log of the run.
fn notice(text: String, events: &EventSender) {
    events.send(TrainingEvent::Progress(Progress::Notice(text)));
}

/// Returns the number of threads that read tiles; some cores are left for the window.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, 8)
}

fn used(target: &TrainingTarget) -> RunSlide {
    let info = target.slide.info();
    RunSlide { id: info.id.clone(), path: info.path.clone(), validation: target.validation }
}

/// The training and validation slides of a run, in the run's order.
fn targets_of(run: &Run, open: Vec<TrainingTarget>) -> Result<Vec<TrainingTarget>, TrainingError> {
    let find = |wanted: &RunSlide| {
        let found = open.iter().find(|target| target.slide.info().id == wanted.id);
        found.map(|target| TrainingTarget { validation: wanted.validation, ..target.clone() }).ok_or_else(
            || {
                TrainingError::Config(format!(
                    "{}: the run was trained on this slide; open it, then continue",
                    wanted.path.display()
                ))
            },
        )
    };
    run.card.slides.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;
    use histokin_project::project::Project;

    #[test]
    fn a_run_that_waits_is_stopped_by_what_was_meant_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let project = Session::new(Project::open_or_create(folder.path()).unwrap()).opened();
        let queue = TrainerQueue::default();
        let submit = |job| queue.submit(Issued::new(job, &project));
        let train = || {
            let what = PlannedRun::Continued { run: "r".to_owned(), targets: Vec::new() };
            let (project, device) = (folder.path().to_owned(), DeviceChoice::Cpu);
            TrainingJob::Train(Box::new(TrainingPlan { project, device, what }))
        };
        submit(train());
        submit(TrainingJob::Stop);
        submit(train());
        let stopped = [(); 2].map(|()| queue.plans.take().unwrap().job.1.is_stopped());
        assert_eq!(stopped, [true, false]);
    }
}
