//! The loop: batches, steps, looks at the validation slides, checkpoints, and the encoder at the end.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::TrainingError;
use super::checkpoint::{Checkpoint, CheckpointHeader};
use super::config::{JudgedBy, TrainingConfig};
use super::control::Control;
use super::learner::{Learned, Learner, StepError};
use super::loader::{Batch, BatchSource, Batches, with_batches};
use super::pairs::{MarkedPair, PairSampler, has_far_pairs};
use super::run::{History, Run, RunStatus, StepRecord};
use super::shown::{ShownPair, shown_pairs};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use super::validation::{Validation, ValidationTiles};
use histokin_core::memory;
use histokin_encoder::{DeviceChoice, EncoderId};

/// Pairs are shown as pictures this often.
const SHOW_EVERY: Duration = Duration::from_secs(3);

/// Seconds over which the speed is averaged.
const SPEED_OVER: f64 = 20.0;

/// What is to be trained.
pub struct Setup {
    /// Where it is kept; its config is what is done.
    pub run: Run,
    pub slides: Vec<TrainingSlide>,
    /// Not learned from; may be empty.
    pub validation: Vec<TrainingSlide>,
    /// The user's marks, by places among `slides`.
    pub marks: Vec<MarkedPair>,
    pub device: DeviceChoice,
    /// Threads that read pairs.
    pub threads: usize,
    /// Go on from the run's last checkpoint.
    pub resume: bool,
    /// File and name of the encoder that comes of it.
    pub model: PathBuf,
    pub model_name: String,
}

/// What a training tells while it runs.
pub enum Progress {
    /// It begins, or goes on: steps done before and in all, the device's name, and what was seen before.
    Began {
        step: u64,
        steps: u64,
        device: String,
        history: Box<History>,
    },
    Step {
        record: StepRecord,
        pairs_per_second: f64,
        seconds_left: f64,
        /// Bytes that the process has taken, and of tiles on the disk.
        memory: Option<usize>,
        cached: u64,
    },
    Pairs(Vec<ShownPair>),
    Validating,
    Validated(Box<Validation>),
    /// A checkpoint of this step is safe on the disk.
    Saved {
        step: u64,
    },
    /// Something that the user should know, although the work goes on.
    Notice(String),
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done, earlier parts of the run included.
    pub steps: u64,
    /// Whether the user stopped it; the run can be taken up again.
    pub stopped: bool,
    /// Seconds spent learning and validating, earlier parts included.
    pub seconds: f64,
    /// Over this part of the run.
    pub pairs_per_second: f64,
    pub history: History,
    /// The encoder and the step it was taken from, when the run is done.
    pub encoder: Option<(EncoderId, u64)>,
}

/// Train until the steps are done, nothing improves any more, or `control` stops it. Blocks.
///
/// # Errors
/// Whatever ends the run early; what was learned up to the last checkpoint is kept.
pub fn train(
    mut setup: Setup,
    control: &Control,
    tell: &mut dyn FnMut(Progress),
) -> Result<Outcome, TrainingError> {
    let outcome = run(&mut setup, control, tell);
    if outcome.is_err() && !setup.run.last_checkpoint().is_file() {
        // A run that could not even begin leaves nothing behind; where it cannot be removed there is nothing of
        // worth in it.
        let _ = setup.run.delete();
        return outcome;
    }
    let status = match &outcome {
        Ok(Outcome { encoder: Some((id, _)), steps, seconds, .. }) => RunStatus::Finished {
            model: setup.model.clone(),
            encoder_id: id.to_string(),
            step: *steps,
            seconds: *seconds,
        },
        Ok(Outcome { steps, .. }) => RunStatus::Stopped { step: *steps },
        Err(error) => RunStatus::Failed { reason: error.to_string() },
    };
    let noted = setup.run.set_status(status);
    let outcome = outcome?;
    noted?;
    Ok(outcome)
}

fn run(
    setup: &mut Setup,
    control: &Control,
    tell: &mut dyn FnMut(Progress),
) -> Result<Outcome, TrainingError> {
    let config = setup.run.config.clone();
    let (sampler, notices) = PairSampler::new(&setup.slides, setup.marks.clone(), &config)?;
    notices.into_iter().for_each(|notice| tell(Progress::Notice(notice)));
    let unmeasured: Vec<String> = setup
        .validation
        .iter()
        .filter(|slide| !has_far_pairs(slide, config.far_mm))
        .map(TrainingSlide::name)
        .collect();
    if !unmeasured.is_empty() {
        tell(Progress::Notice(format!(
            "no ADDR can be measured on {}: no tissue tiles are more than {} mm apart",
            unmeasured.join(", "),
            config.far_mm
        )));
    }
    if !setup.validation.is_empty()
        && config.judged_by == JudgedBy::Retrieval
        && !has_labels_on_two_slides(&setup.validation)
    {
        tell(Progress::Notice(
            "no class is labelled on two validation slides: the best step is judged by ADDR alone".into(),
        ));
    }
    let mut learner = Learner::new(&config, sampler.instances(), setup.device)?;
    let path = setup.run.last_checkpoint();
    let header = if setup.resume && path.is_file() {
        let kept = Checkpoint::read(&path)?;
        learner.restore(&kept, &path)?;
        kept.header
    } else {
        if setup.resume {
            tell(Progress::Notice("the run has no checkpoint: it begins anew".into()));
        }
        CheckpointHeader::new(config.clone())
    };
    setup.run.card.device = learner.network.device_name();
    setup.run.set_status(RunStatus::Running)?;
    tell(Progress::Began {
        step: header.step,
        steps: config.steps,
        device: learner.network.device_name(),
        history: Box::new(header.history.clone()),
    });
    let reference = learner.network.stain_reference(config.stain);
    let reader = TileReader::with_cache(reference, setup.run.folder(), config.tile_cache_mb << 20);
    let limit = AtomicUsize::new(header.batch_limit.unwrap_or(usize::MAX));
    let source = BatchSource {
        slides: &setup.slides,
        sampler: &sampler,
        config: &config,
        reader: &reader,
        limit: &limit,
    };
    let (first, end) = (header.step, config.steps);
    let validation_tiles = ValidationTiles::choose(&setup.validation, &config);
    let mut training_loop = TrainingLoop {
        kept: header.step,
        header,
        learner: &mut learner,
        sampler: &sampler,
        config: &config,
        setup,
        validation_tiles,
        reader: &reader,
        limit: &limit,
        control,
        tell,
        active: 0.0,
        pairs: 0,
        speed: Speed::default(),
        shown: None,
    };
    with_batches(&source, first, end, setup.threads, |batches| training_loop.follow(batches))?
}

/// Whether any tile can be looked for on another validation slide.
fn has_labels_on_two_slides(slides: &[TrainingSlide]) -> bool {
    let classes = |slide: &TrainingSlide| slide.classes.iter().flatten().cloned().collect::<HashSet<_>>();
    let classes: Vec<HashSet<String>> = slides.iter().map(classes).collect();
    classes
        .iter()
        .enumerate()
        .any(|(place, own)| classes[..place].iter().any(|other| !own.is_disjoint(other)))
}

/// A run under way.
struct TrainingLoop<'a> {
    header: CheckpointHeader,
    /// Step of the checkpoint on the disk.
    kept: u64,
    learner: &'a mut Learner,
    sampler: &'a PairSampler,
    config: &'a TrainingConfig,
    setup: &'a Setup,
    validation_tiles: ValidationTiles<'a>,
    reader: &'a TileReader,
    /// Groups that the device has room for.
    limit: &'a AtomicUsize,
    control: &'a Control,
    tell: &'a mut dyn FnMut(Progress),
    /// Seconds of work in this part of the run, pauses left out.
    active: f64,
    pairs: u64,
    speed: Speed,
    shown: Option<Instant>,
}

impl TrainingLoop<'_> {
    fn follow(&mut self, batches: &mut Batches<'_>) -> Result<Outcome, TrainingError> {
        if self.header.step == 0 {
            // An early word on a full disk, and something to go back to.
            self.save()?;
            if self.header.history.validations.is_empty() {
                self.validate()?;
            }
        }
        while self.header.step < self.config.steps {
            self.control.wait_while_paused();
            if self.control.is_stopped() {
                self.save()?;
                return Ok(self.outcome(None));
            }
            let began = Instant::now();
            let mut batch = self.next(batches)?;
            let learned = self.learn(&mut batch)?;
            self.header.step += 1;
            self.header.history.steps.push(learned.record);
            self.count(began.elapsed().as_secs_f64(), batch.groups.len());
            self.report(&batch, &learned);
            let step = self.header.step;
            let is_last = step == self.config.steps;
            let validated =
                (step.is_multiple_of(self.config.validate_every) || is_last) && self.validate()?;
            if step.is_multiple_of(self.config.checkpoint_every) || is_last || validated {
                self.save()?;
            }
            if validated && self.has_stopped_improving() {
                (self.tell)(Progress::Notice(format!(
                    "stopped at step {step}: {} looks without a better {}",
                    self.header.validations_without_better,
                    match self.config.judged_by {
                        JudgedBy::Retrieval => "figure",
                        JudgedBy::Addr => "ADDR",
                    }
                )));
                self.save()?;
                break;
            }
        }
        let encoder = self.finish()?;
        Ok(self.outcome(Some(encoder)))
    }

    fn next(&mut self, batches: &mut Batches<'_>) -> Result<Batch, TrainingError> {
        match batches.take_next() {
            Ok(batch) => {
                if batch.unreadable > 0 {
                    (self.tell)(Progress::Notice(format!(
                        "step {}: {} pairs could not be read, others were drawn in their place",
                        self.header.step + 1,
                        batch.unreadable
                    )));
                }
                Ok(batch)
            }
            Err(error) => {
                self.save()?;
                let path = match &error {
                    histokin_core::slide::SlideError::Read { path, .. } => path.clone(),
                    _ => PathBuf::new(),
                };
                let (step, kept) = (self.header.step, self.kept);
                Err(TrainingError::SlideLost { path, reason: error.to_string(), step, kept })
            }
        }
    }

    fn learn(&mut self, batch: &mut Batch) -> Result<Learned, TrainingError> {
        let (step, slides) = (self.header.step, &self.setup.slides);
        // Batches that were read before the device ran out of memory are too large as well.
        batch.truncate(self.limit.load(Ordering::Relaxed));
        let (limit, header, tell) = (self.limit, &mut self.header, &mut *self.tell);
        let mut halved = |groups: usize| {
            limit.store(groups, Ordering::Relaxed);
            header.batch_limit = Some(groups);
            tell(Progress::Notice(format!(
                "step {}: the device has no room for so large a batch; going on with {groups}",
                step + 1
            )));
        };
        let learned = self.learner.step(batch, step, self.config, self.sampler, slides, &mut halved);
        learned.map_err(|error| match error {
            StepError::NotFinite(loss) => TrainingError::Diverged { loss, step: step + 1, kept: self.kept },
            StepError::Torch(error) | StepError::TooLarge(error) => {
                TrainingError::torch("a learning step", &error)
            }
            StepError::Known(error) => TrainingError::Encoder(error),
        })
    }

    fn count(&mut self, seconds: f64, pairs: usize) {
        self.active += seconds;
        self.header.seconds += seconds;
        self.pairs += pairs as u64;
        self.speed.add(seconds, pairs);
    }

    fn report(&mut self, batch: &Batch, learned: &Learned) {
        let batch_size = self.config.batch.min(self.limit.load(Ordering::Relaxed));
        let left = (self.config.steps - self.header.step) as f64 * batch_size as f64;
        let pairs_per_second = self.speed.pairs_per_second();
        (self.tell)(Progress::Step {
            record: learned.record,
            pairs_per_second,
            seconds_left: left / pairs_per_second.max(1e-9),
            memory: memory::taken_by_process(),
            cached: self.reader.cached_bytes(),
        });
        if self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY) {
            self.shown = Some(Instant::now());
            (self.tell)(Progress::Pairs(shown_pairs(batch, &learned.distances, &self.setup.slides)));
        }
    }

    /// Look at the validation slides; false where there are none, or the user stopped meanwhile.
    fn validate(&mut self) -> Result<bool, TrainingError> {
        if self.setup.validation.is_empty() {
            return Ok(false);
        }
        (self.tell)(Progress::Validating);
        let began = Instant::now();
        let mut encoder = self.learner.network.encoder()?;
        let control = self.control;
        let found = self.validation_tiles.validate(
            encoder.as_mut(),
            self.reader,
            self.config,
            self.header.step,
            || {
                control.wait_while_paused();
                !control.is_stopped()
            },
        )?;
        self.header.seconds += began.elapsed().as_secs_f64();
        let Some(found) = found else { return Ok(false) };
        self.header.history.validations.push(found.clone());
        // What the network was before it learned is for comparison only.
        if let Some(figure) = found.figure(self.config.judged_by).filter(|_| self.header.step > 0) {
            if self.header.best.is_none_or(|(_, best)| figure > best) {
                self.header.best = Some((self.header.step, figure));
                self.header.validations_without_better = 0;
                let best = self.setup.run.best_checkpoint();
                self.write(&best)?;
            } else {
                self.header.validations_without_better += 1;
            }
        }
        (self.tell)(Progress::Validated(Box::new(found)));
        Ok(true)
    }

    fn has_stopped_improving(&self) -> bool {
        self.config.early_stopping > 0 && self.header.validations_without_better >= self.config.early_stopping
    }

    fn save(&mut self) -> Result<(), TrainingError> {
        let path = self.setup.run.last_checkpoint();
        self.write(&path)?;
        self.kept = self.header.step;
        self.setup.run.keep_history(&self.header.history)?;
        (self.tell)(Progress::Saved { step: self.kept });
        Ok(())
    }

    /// Write a checkpoint. Tiles that are kept on the disk make room for it where it has none.
    fn write(&self, path: &Path) -> Result<(), TrainingError> {
        let checkpoint = self.learner.checkpoint(self.header.clone());
        checkpoint.write(path, self.kept).or_else(|error| match self.reader.give_back_room() {
            true => checkpoint.write(path, self.kept),
            false => Err(error),
        })
    }

    /// Write the encoder: the best by validation, else the last.
    fn finish(&mut self) -> Result<(EncoderId, u64), TrainingError> {
        self.reader.give_back_room();
        let mut step = self.header.step;
        if let Some((best, _)) = self.header.best.filter(|(best, _)| *best != step) {
            let path = self.setup.run.best_checkpoint();
            let kept = Checkpoint::read(&path)?;
            self.learner.network.restore(&kept.weights, &path)?;
            step = best;
        }
        let id = self.learner.network.write(&self.setup.model, &self.setup.model_name)?;
        Ok((id, step))
    }

    fn outcome(&self, encoder: Option<(EncoderId, u64)>) -> Outcome {
        Outcome {
            steps: self.header.step,
            stopped: encoder.is_none(),
            seconds: self.header.seconds,
            pairs_per_second: if self.active > 0.0 { self.pairs as f64 / self.active } else { 0.0 },
            history: self.header.history.clone(),
            encoder,
        }
    }
}

/// Pairs per second over the last seconds.
#[derive(Default)]
struct Speed {
    seconds: f64,
    pairs: f64,
}

impl Speed {
    fn add(&mut self, seconds: f64, pairs: usize) {
        // Older steps fade, so that the figure follows what the machine does now.
        let fade = (-seconds / SPEED_OVER).exp();
        self.seconds = self.seconds * fade + seconds;
        self.pairs = self.pairs * fade + pairs as f64;
    }

    fn pairs_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.pairs / self.seconds } else { 0.0 }
    }
}
