//! How many training steps fit into a given time on this computer.

use std::path::Path;
use std::time::Instant;

use super::TrainingError;
use super::config::{Method, TrainingConfig};
use super::control::Control;
use super::run::{RUNS_FOLDER, Run};
use super::slides::TrainingSlide;
use super::train;
use super::training::{Progress, Setup};
use histokin_encoder::DeviceChoice;

/// Number of steps that are timed. One step before them is not: it also allocates memory and fills caches.
const TIMED: u64 = 5;

/// Number of validations during a run of limited time, besides the one before its first step.
const VALIDATIONS: u64 = 6;

/// Largest share of a run's time that is spent on validation.
const LARGEST_VALIDATION_SHARE: f64 = 0.25;

/// Smallest number of steps of a run: with fewer, nothing is learned.
const FEWEST_STEPS: u64 = 20;

/// Measures the seconds that a training step takes, by a short training whose result is deleted. Returns `None`
/// if `control` stops it.
///
/// # Errors
/// As [`train`].
pub fn seconds_per_step(
    project: &Path,
    config: &TrainingConfig,
    slides: Vec<TrainingSlide>,
    device: DeviceChoice,
    threads: usize,
    control: &Control,
) -> Result<Option<f64>, TrainingError> {
    // Beside the runs, so that it is on the same disk, and not listed as one.
    let folder = project.join(RUNS_FOLDER).join(".speed");
    let config = TrainingConfig { steps: 1 + TIMED, early_stopping: 0, ..config.clone() };
    let run = Run::create(&folder, config, Vec::new())?;
    let setup = Setup {
        slides,
        validation: Vec::new(),
        judged_pairs: Vec::new(),
        device,
        threads,
        resume: false,
        model: run.model(),
        model_name: String::new(),
        run,
    };
    let mut times = Vec::new();
    let trained = train(setup, control, &mut |progress| {
        if matches!(progress, Progress::Step { .. }) {
            times.push(Instant::now());
        }
    });
    // What is left of it is of no use and not listed anywhere.
    let _ = std::fs::remove_dir_all(&folder);
    trained?;
    Ok(match (times.first(), times.last()) {
        (Some(first), Some(last)) if times.len() as u64 == 1 + TIMED => {
            Some(last.duration_since(*first).as_secs_f64() / TIMED as f64)
        }
        _ => None,
    })
}

impl TrainingConfig {
    /// Sets the number of steps and of validation tiles, and when to validate, so that a run with so many
    /// validation slides takes about `seconds`.
    pub fn fit_into(&mut self, seconds: f64, seconds_per_step: f64, validation_slides: usize) {
        let tiles_per_step =
            self.batch * if self.method == Method::Npid { 1 } else { self.loss.group_size() };
        // The backward pass takes about twice as long as the forward pass.
        let seconds_per_tile = seconds_per_step / (3 * tiles_per_step) as f64;
        let validations = (VALIDATIONS + 1) as f64;
        if validation_slides > 0 {
            let most = LARGEST_VALIDATION_SHARE * seconds / (validations * seconds_per_tile);
            let most = (most / validation_slides as f64) as usize;
            self.validation_tiles = self.validation_tiles.min(most).max(2);
        }
        let validated = (self.validation_tiles * validation_slides) as f64 * validations * seconds_per_tile;
        let steps = ((seconds - validated) / seconds_per_step) as u64;
        self.steps = steps.max(FEWEST_STEPS);
        self.validate_every = self.steps.div_ceil(VALIDATIONS);
        self.warmup_steps = self.warmup_steps.min(self.steps / 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_validations_fit_into_the_time() {
        for (seconds, validation_slides) in [(600.0, 0), (600.0, 2), (3600.0, 1), (28_800.0, 40)] {
            let mut config = TrainingConfig::default();
            config.fit_into(seconds, 2.0, validation_slides);
            config.check().unwrap();
            let tile = 2.0 / (3.0 * 2.0 * config.batch as f64);
            let validated = 7.0 * (config.validation_tiles * validation_slides) as f64 * tile;
            let taken = config.steps as f64 * 2.0 + validated;
            assert!((0.95 * seconds..=seconds).contains(&taken), "{taken} of {seconds}");
            assert!(validated <= 0.25 * seconds + 1.0);
            let validations = config.steps.div_ceil(config.validate_every);
            assert!((5..=6).contains(&validations), "{validations}");
        }
    }

    #[test]
    fn however_slow_the_computer_some_steps_are_done() {
        let mut config = TrainingConfig::default();
        config.fit_into(600.0, 500.0, 1);
        config.check().unwrap();
        assert_eq!(config.steps, FEWEST_STEPS);
    }
}
