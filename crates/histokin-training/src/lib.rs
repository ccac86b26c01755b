//! Training of encoders on the user's own slides, without labels.
//!
//! ```text
//! slides → tissue tiles → pairs → loader (decode, normalise, augment) → network → loss → step
//! ```
//!
//! [`TrainingConfig`] has all settings. Where only the head is trained, the features of several augmented views of each
//! tile can be computed once and kept, and every step draws from these:
//!
//! ```text
//! slides → tissue tiles → views (decode, normalise, augment) → frozen network → kept features
//! kept features → pairs → head → loss → step
//! ```
//!
//! [`pairs`] draws near and far tiles, [`loader`] reads them on its own threads, `losses` and `memory_bank` compute
//! the loss, `optimiser` makes the step, and [`train`] runs the training loop, validates, and saves checkpoints in the
//! folder of a [`run`]. All random choices depend on seed and step only, so that an interrupted run continues exactly as
//! if it had not been interrupted.
//!
//! Training computes in libtorch. A build without the feature `torch` has all settings and finished runs, but
//! [`train`] refuses.

pub mod augment;
pub mod card;
#[cfg(feature = "torch")]
pub mod checkpoint;
mod concept_marks;
pub mod config;
mod control;
pub mod fields;
pub mod judged_pairs;
#[cfg(feature = "torch")]
mod kept_features;
mod kept_rows;
pub mod labels;
#[cfg(feature = "torch")]
mod learner;
pub mod loader;
#[cfg(feature = "torch")]
pub mod losses;
#[cfg(feature = "torch")]
pub mod memory_bank;
mod memory_need;
#[cfg(feature = "torch")]
pub mod optimiser;
pub mod pairs;
pub mod run;
mod shown;
pub mod slides;
pub mod speed;
pub mod tile_reader;
#[cfg(feature = "torch")]
mod trainer;
mod training;
mod validation;
#[cfg(feature = "torch")]
mod validation_tiles;

use std::path::PathBuf;

use histokin_core::number_format::{decimal, grouped, plain};
use histokin_core::slide::SlideError;
use histokin_encoder::EncoderError;
use histokin_evaluation::labels::LabelError;

pub use config::TrainingConfig;
pub use control::Control;
pub use kept_rows::FEATURES_FOLDER;
pub use shown::{ShownPair, preview};
#[cfg(feature = "torch")]
pub use trainer::train;
#[cfg(not(feature = "torch"))]
pub use training::train;
pub use training::{Outcome, Pace, Progress, Setup, check_available};
pub use validation::{RetrievalValidation, Validation};

/// An error of training. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A setting or another input of the user is invalid.
    #[error("{0}")]
    Config(String),
    /// A file cannot be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A slide cannot be used.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// An encoder cannot be used.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// Labels cannot be used.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// A slide has no tissue tiles.
    #[error("{}: no tissue tiles to train on; check its pixel size, or leave it out", path.display())]
    NoTissue {
        /// Path of the slide.
        path: PathBuf,
    },
    /// No slide has a near pair.
    #[error(
        "none of these slides has two tissue tiles closer than {} mm to each other; raise the near limit \
         (--near-mm)",
        plain(near_mm)
    )]
    NoNearPairs {
        /// Near limit in mm.
        near_mm: f64,
    },
    /// No slide has a far pair, and the loss needs them.
    #[error(
        "no slide has two tissue tiles more than {} mm apart, which the {loss} loss needs: the largest distance is \
         {} mm, on {widest}. Lower the far limit (--far-mm), or choose the loss nt_xent, which needs near \
         pairs only",
        plain(far_mm),
        decimal(*reach_mm, 1)
    )]
    NoFarPairs {
        /// Far limit in mm.
        far_mm: f64,
        /// Name of the loss.
        loss: &'static str,
        /// Name of the slide with the largest distance.
        widest: String,
        /// Largest distance between two tissue tiles of that slide, in mm.
        reach_mm: f64,
    },
    /// All tiles of each slide are near each other, and a batch is drawn from one slide only.
    #[error(
        "near pairs have nothing to be compared with: on every slide all tissue tiles are closer together than the near \
         limit of {} mm (the largest distance is {} mm, on {widest}). Lower the near limit \
         (--near-mm), or draw a batch from several slides (--slides-per-batch 0)",
        plain(near_mm),
        decimal(*reach_mm, 1)
    )]
    AllNear {
        /// Near limit in mm.
        near_mm: f64,
        /// Name of the slide with the largest distance.
        widest: String,
        /// Largest distance between two tissue tiles of that slide, in mm.
        reach_mm: f64,
    },
    /// A slide can no longer be read.
    #[error(
        "{}: {reason}; training stopped at step {}. The checkpoint of step {} is kept: make the slide available \
         again and resume the run",
        path.display(),
        grouped(*step),
        grouped(*kept)
    )]
    SlideLost {
        /// Path of the slide.
        path: PathBuf,
        /// Why it cannot be read.
        reason: String,
        /// Last step that was done.
        step: u64,
        /// Step of the last checkpoint.
        kept: u64,
    },
    /// The loss or its gradient is not finite.
    #[error(
        "the loss became {} at step {}; training stopped, and the checkpoint of step {} is kept. A lower learning rate \
         (--lr) or a longer warm-up usually helps",
        plain(loss),
        grouped(*step),
        grouped(*kept)
    )]
    Diverged {
        /// The loss or gradient norm.
        loss: f64,
        /// Step at which it happened.
        step: u64,
        /// Step of the last checkpoint.
        kept: u64,
    },
    /// A checkpoint cannot be written.
    #[error("{}: the checkpoint cannot be written ({source}); free some space and resume the run from step {}", path.display(), grouped(*kept))]
    Checkpoint {
        /// Path of the checkpoint.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
        /// Step of the last checkpoint that was written.
        kept: u64,
    },
    /// A thread cannot be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The computer has less memory than the training needs.
    #[error(
        "training needs {need}, and {there} are free. A smaller batch (--batch) needs less, and so does training adapters \
         (--depth lora-8), the last blocks (--depth last-2) or the head alone (--depth head)"
    )]
    TooMuchMemory {
        /// What it needs.
        need: String,
        /// What is there.
        there: String,
    },
    /// The device has too little memory.
    #[error(
        "{doing}: the device has too little memory ({reason}). A smaller batch (--batch) needs less, and so does training \
         fewer blocks (--depth)"
    )]
    OutOfMemory {
        /// What was being done.
        doing: &'static str,
        /// Message of libtorch.
        reason: String,
    },
    /// Another error of libtorch.
    #[error("{doing} failed in libtorch: {reason}")]
    Torch {
        /// What was being done.
        doing: &'static str,
        /// Message of libtorch.
        reason: String,
    },
}

#[cfg(feature = "torch")]
impl TrainingError {
    fn torch(doing: &'static str, error: &tch::TchError) -> Self {
        // The message of libtorch without the C++ backtrace that follows it.
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        match histokin_encoder::is_out_of_memory(error) {
            true => Self::OutOfMemory { doing, reason },
            false => Self::Torch { doing, reason },
        }
    }
}
