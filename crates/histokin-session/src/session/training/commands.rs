//! Commands of training.

use std::path::PathBuf;

use histokin_core::slide::SlideId;
use histokin_encoder::DeviceChoice;
use histokin_training::config::TrainingConfig;

/// A user action that concerns training.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingCommand {
    /// Counts the pairs that these slides yield with these settings.
    Count {
        /// Slides to count pairs on.
        slides: Vec<SlideId>,
        /// Settings that decide the pairs.
        config: Box<TrainingConfig>,
    },
    /// Starts a new run.
    Start {
        /// Slides to train on.
        slides: Vec<SlideId>,
        /// Slides to validate on.
        validation: Vec<SlideId>,
        /// Settings of the run.
        config: Box<TrainingConfig>,
        /// How long the run lasts; its steps follow from the measured speed. `None` for the steps in the settings.
        seconds: Option<f64>,
        /// Device on which to train.
        device: DeviceChoice,
    },
    /// Pauses the running training.
    Pause,
    /// Resumes a paused training.
    Resume,
    /// Stops the running training with a checkpoint.
    Stop,
    /// Continues a run that was stopped or interrupted.
    Continue {
        /// ID of the run.
        run: String,
        /// Device on which to train.
        device: DeviceChoice,
    },
    /// Draws some pairs of these slides for display.
    Preview {
        /// Slides from which pairs are drawn.
        slides: Vec<SlideId>,
        /// Settings that decide the pairs.
        config: Box<TrainingConfig>,
    },
    /// Lists the runs of the project.
    ListRuns,
    /// Compares the encoder of a run, by its ID, with the project's encoder.
    Try(String),
    /// Stops the running comparison of encoders.
    StopTrial,
    /// Makes the encoder of a run, by its ID, the project's encoder.
    UseEncoder(String),
    /// Copies the encoder of a run, by its ID, to the project's `models` folder, with its card.
    Export(String),
    /// Deletes a run, by its ID.
    Delete(String),
    /// Reads settings from a TOML file into the panel.
    ReadSettings(PathBuf),
    /// Writes settings to a TOML file.
    WriteSettings {
        /// File to write.
        path: PathBuf,
        /// Settings to write.
        config: Box<TrainingConfig>,
    },
}
