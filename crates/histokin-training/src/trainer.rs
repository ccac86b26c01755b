//! The training loop: batches, steps, validations, checkpoints, and the encoder at the end.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpoint, CheckpointHeader};
use super::config::{JudgedBy, TrainingConfig};
use super::control::Control;
use super::kept_features::Keeper;
use super::learner::{Learned, Learner, StepError};
use super::loader::{Batch, BatchSource, Batches, with_batches};
use super::pairs::{PairSampler, TileRef, has_far_pairs};
use super::run::RunStatus;
use super::shown::shown_pairs;
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use super::training::{Outcome, Pace, Progress, Setup};
use super::validation_tiles::ValidationTiles;
use super::{TrainingError, memory_need};
use histokin_core::memory;
use histokin_core::number_format::{grouped, plain};
use histokin_core::slide::SlideError;
use histokin_encoder::EncoderId;
use histokin_encoder::prototypes::PrototypeSettings;

/// Shortest time between two sets of pairs for display.
const SHOW_EVERY: Duration = Duration::from_secs(3);

/// Time constant in seconds of the averaged speed.
const SPEED_OVER: f64 = 20.0;

/// Trains until all steps are done, nothing improves any more, or `control` stops it. Blocks.
///
/// # Errors
/// Returns the error that ended the run; everything up to the last checkpoint is kept.
pub fn train(
    mut setup: Setup,
    control: &Control,
    send: &mut dyn FnMut(Progress),
) -> Result<Outcome, TrainingError> {
    let outcome = run(&mut setup, control, send);
    if outcome.is_err() && !setup.run.last_checkpoint().is_file() {
        // A run that could not be started leaves no folder. If it cannot be removed, nothing of value is in
        // it.
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
    send: &mut dyn FnMut(Progress),
) -> Result<Outcome, TrainingError> {
    let config = setup.run.config.clone();
    if config.kept_views > 0 {
        leave_out_unkept_pairs(setup, send);
    }
    let (sampler, notices) = PairSampler::new(&setup.slides, setup.judged_pairs.clone(), &config)?;
    notices.into_iter().for_each(|notice| send(Progress::Notice(notice)));
    tell_what_is_not_measured(&setup.validation, &config, send);
    if let Some(text) = memory_need::told(&config, setup.device)? {
        send(Progress::Notice(text));
    }
    let mut learner = Learner::new(&config, sampler.instances(), setup.device)?;
    let path = setup.run.last_checkpoint();
    let header = if setup.resume && path.is_file() {
        let kept = Checkpoint::read(&path)?;
        learner.restore(&kept, &path)?;
        kept.header
    } else {
        if setup.resume {
            send(Progress::Notice("the run has no checkpoint and starts from the beginning".into()));
        }
        CheckpointHeader::new(config.clone())
    };
    setup.run.card.device = learner.network.device_name();
    setup.run.set_status(RunStatus::Running)?;
    send(Progress::Started {
        run: setup.run.card.id.clone(),
        step: header.step,
        steps: config.steps,
        device: learner.network.device_name(),
        history: Box::new(header.history.clone()),
    });
    let reference = learner.network.stain_reference(config.stain);
    let reader = TileReader::with_cache(reference, setup.run.folder(), config.tile_cache_mb << 20);
    let limit = AtomicUsize::new(header.batch_limit.unwrap_or(usize::MAX));
    if config.kept_views > 0 {
        let folder = setup.run.features_folder();
        let keeper = Keeper { network: &learner.network, reader: &reader, config: &config, folder, control };
        let Some(kept) = keeper.keep(&setup.slides, send)? else {
            return Ok(Outcome::stopped_before_learning(&header));
        };
        if header.step == 0 && learner.network.needs_prototypes() {
            let settings = PrototypeSettings { seed: config.seed, ..PrototypeSettings::new(config.width) };
            learner.network.set_head(&kept.prototypes(settings)?)?;
        }
        learner.kept = Some(kept);
    }
    let kept = learner.kept.as_ref().map(|kept| kept.rows.clone());
    let source = BatchSource {
        slides: &setup.slides,
        sampler: &sampler,
        config: &config,
        reader: &reader,
        limit: &limit,
        kept: kept.as_deref(),
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
        send,
        active: 0.0,
        pairs: 0,
        speed: Speed::default(),
        shown: None,
    };
    with_batches(&source, first, end, setup.threads, |batches| training_loop.follow(batches))?
}

/// Leaves out judged pairs with a tile whose features are not kept, and says how many these are.
fn leave_out_unkept_pairs(setup: &mut Setup, send: &mut dyn FnMut(Progress)) {
    let before = setup.judged_pairs.len();
    let is_kept = |tile: &TileRef| setup.slides[tile.slide].tiles.contains(&tile.rect);
    setup.judged_pairs.retain(|pair| pair.tiles.iter().all(is_kept));
    let left_out = before - setup.judged_pairs.len();
    if left_out > 0 {
        send(Progress::Notice(format!(
            "{} judged pairs are not used: their tiles are not among those whose features are kept",
            grouped(left_out as u64)
        )));
    }
}

/// Says on which validation slides there is no ADDR, and whether retrieval cannot be measured although it should decide.
fn tell_what_is_not_measured(
    validation: &[TrainingSlide],
    config: &TrainingConfig,
    send: &mut dyn FnMut(Progress),
) {
    let unmeasured: Vec<String> = validation
        .iter()
        .filter(|slide| !has_far_pairs(slide, config.far_mm))
        .map(TrainingSlide::name)
        .collect();
    if !unmeasured.is_empty() {
        send(Progress::Notice(format!(
            "no ADDR can be measured on {}: no tissue tiles are more than {} mm apart",
            unmeasured.join(", "),
            plain(config.far_mm)
        )));
    }
    if !validation.is_empty()
        && config.judged_by == JudgedBy::Retrieval
        && !has_labels_on_two_slides(validation)
    {
        send(Progress::Notice(
            "no class is labelled on two validation slides: the best step is chosen by ADDR alone".into(),
        ));
    }
}

/// Whether any class is labelled on two validation slides, so that retrieval can be measured.
fn has_labels_on_two_slides(slides: &[TrainingSlide]) -> bool {
    let classes = |slide: &TrainingSlide| slide.classes.iter().flatten().cloned().collect::<HashSet<_>>();
    let classes: Vec<HashSet<String>> = slides.iter().map(classes).collect();
    classes
        .iter()
        .enumerate()
        .any(|(index, own)| classes[..index].iter().any(|other| !own.is_disjoint(other)))
}

/// A training loop that is running.
struct TrainingLoop<'a> {
    header: CheckpointHeader,
    /// Step of the checkpoint on disk.
    kept: u64,
    learner: &'a mut Learner,
    sampler: &'a PairSampler,
    config: &'a TrainingConfig,
    setup: &'a Setup,
    validation_tiles: ValidationTiles<'a>,
    reader: &'a TileReader,
    /// Largest number of groups for which the device has memory.
    limit: &'a AtomicUsize,
    control: &'a Control,
    send: &'a mut dyn FnMut(Progress),
    /// Seconds of work in this part of the run, without pauses.
    active: f64,
    pairs: u64,
    speed: Speed,
    shown: Option<Instant>,
}

impl TrainingLoop<'_> {
    fn follow(&mut self, batches: &mut Batches<'_>) -> Result<Outcome, TrainingError> {
        if self.header.step == 0 {
            // Reports a full disk early, and gives a checkpoint to return to.
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
                (self.send)(Progress::Notice(format!(
                    "stopped early at step {}: {} validations without improvement of {}",
                    grouped(step),
                    self.header.validations_without_better,
                    match self.config.judged_by {
                        JudgedBy::Retrieval => "retrieval",
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
                    (self.send)(Progress::Notice(format!(
                        "step {}: {} pairs could not be read; others were drawn in their place",
                        grouped(self.header.step + 1),
                        grouped(batch.unreadable as u64)
                    )));
                }
                Ok(batch)
            }
            Err(error) => {
                self.save()?;
                let path = match &error {
                    SlideError::Read { path, .. } | SlideError::Unavailable { path, .. } => path.clone(),
                    _ => PathBuf::new(),
                };
                let (step, kept) = (self.header.step, self.kept);
                Err(TrainingError::SlideLost { path, reason: error.to_string(), step, kept })
            }
        }
    }

    fn learn(&mut self, batch: &mut Batch) -> Result<Learned, TrainingError> {
        let (step, slides) = (self.header.step, &self.setup.slides);
        // Batches read before the device ran out of memory are too large as well.
        batch.truncate(self.limit.load(Ordering::Relaxed));
        let (limit, header, send) = (self.limit, &mut self.header, &mut *self.send);
        let mut halved = |groups: usize| {
            limit.store(groups, Ordering::Relaxed);
            header.batch_limit = Some(groups);
            send(Progress::Notice(format!(
                "step {}: the device has too little memory for this batch; continuing with {groups}",
                grouped(step + 1)
            )));
        };
        let learned = self.learner.step(batch, step, self.config, self.sampler, slides, &mut halved);
        learned.map_err(|error| match error {
            StepError::NotFinite(loss) => TrainingError::Diverged { loss, step: step + 1, kept: self.kept },
            StepError::Torch(error) | StepError::TooLarge(error) => {
                TrainingError::torch("a training step", &error)
            }
            StepError::Reference(error) => TrainingError::Encoder(error),
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
        let pace = Pace {
            pairs_per_second,
            seconds_left: left / pairs_per_second.max(1e-9),
            memory: memory::resident_bytes(),
            cached: self.reader.cached_bytes(),
        };
        (self.send)(Progress::Step { record: learned.record, pace });
        if !batch.tiles.is_empty() && self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY) {
            self.shown = Some(Instant::now());
            (self.send)(Progress::Pairs(shown_pairs(batch, &learned.distances, &self.setup.slides)));
        }
    }

    /// Validates; returns false if there are no validation slides, or if the user stopped meanwhile.
    fn validate(&mut self) -> Result<bool, TrainingError> {
        if self.setup.validation.is_empty() {
            return Ok(false);
        }
        (self.send)(Progress::Validating);
        let began = Instant::now();
        let control = self.control;
        let found = self.validation_tiles.validate(
            &self.learner.network,
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
        // The validation before the first step is for comparison only.
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
        (self.send)(Progress::Validated(Box::new(found)));
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
        (self.send)(Progress::Saved { step: self.kept });
        Ok(())
    }

    /// Writes a checkpoint. If the disk is full, the tile cache is deleted first.
    fn write(&self, path: &Path) -> Result<(), TrainingError> {
        let checkpoint = self.learner.checkpoint(self.header.clone());
        checkpoint.write(path, self.kept).or_else(|error| match self.reader.delete_cache() {
            true => checkpoint.write(path, self.kept),
            false => Err(error),
        })
    }

    /// Writes the encoder: the best one by validation, else the last one.
    fn finish(&mut self) -> Result<(EncoderId, u64), TrainingError> {
        self.reader.delete_cache();
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

impl Outcome {
    /// The outcome of a run that the user has stopped while features were computed.
    fn stopped_before_learning(header: &CheckpointHeader) -> Self {
        Self {
            steps: header.step,
            stopped: true,
            seconds: header.seconds,
            pairs_per_second: 0.0,
            history: header.history.clone(),
            encoder: None,
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
        // Older steps fade exponentially, so that the value follows the current speed.
        let fade = (-seconds / SPEED_OVER).exp();
        self.seconds = self.seconds * fade + seconds;
        self.pairs = self.pairs * fade + pairs as f64;
    }

    fn pairs_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.pairs / self.seconds } else { 0.0 }
    }
}
