//! Learning an encoder from the user's own slides, without labels.
//!
//! ```text
//! slides → tissue tiles → pairs → loader (decode, normalise, augment) → network → loss → step
//! ```
//!
//! [`TrainingConfig`] holds every choice. [`pairs`] draws what lies near and far, [`loader`] reads it on threads of
//! its own, [`losses`] and [`memory_bank`] say what is to be learned, [`optimiser`] takes the step, and
//! [`train`] runs the loop, validates, and keeps checkpoints in a [`run`]'s folder. All that is random is a
//! function of seed and step, so that an interrupted run goes on as if it had not been.

pub mod augment;
pub mod card;
pub mod checkpoint;
pub mod config;
mod control;
pub mod fields;
pub mod labels;
mod learner;
pub mod loader;
pub mod losses;
pub mod marks;
pub mod memory_bank;
pub mod optimiser;
pub mod pairs;
pub mod run;
mod shown;
pub mod slides;
pub mod tile_reader;
mod trainer;
mod validation;

use std::path::PathBuf;

use histokin_core::slide::SlideError;
use histokin_encoder::{EncoderError, is_out_of_memory};
use histokin_evaluation::labels::LabelError;

pub use config::TrainingConfig;
pub use control::Control;
pub use shown::{ShownPair, preview};
pub use trainer::{Outcome, Progress, Setup, train};
pub use validation::{RetrievalValidation, Validation};

/// What can go wrong with training. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error("{0}")]
    Config(String),
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error(transparent)]
    Slide(#[from] SlideError),
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    #[error(transparent)]
    Labels(#[from] LabelError),
    #[error("{}: no tissue tiles to learn from; check its pixel size, or leave it out", path.display())]
    NoTissue { path: PathBuf },
    #[error(
        "none of these slides has two tissue tiles nearer than {near_mm} mm to each other; raise the near limit (--near-mm)"
    )]
    NoNearPairs { near_mm: f64 },
    #[error(
        "no slide has two tissue tiles more than {far_mm} mm apart, which the {loss} loss needs: the tissue of \
         {widest} reaches furthest, over {reach_mm:.1} mm. Lower the far limit (--far-mm), or choose the loss nt_xent, \
         which needs near pairs only"
    )]
    NoFarPairs { far_mm: f64, loss: &'static str, widest: String, reach_mm: f64 },
    #[error(
        "there is nothing to tell near pairs from: the tissue of every slide lies closer together than the near limit of \
         {near_mm} mm ({widest} reaches furthest, over {reach_mm:.1} mm). Lower the near limit (--near-mm), or let a batch \
         be of several slides (--slides-per-batch 0)"
    )]
    AllNear { near_mm: f64, widest: String, reach_mm: f64 },
    #[error(
        "{}: {reason}; training stopped at step {step}. The checkpoint of step {kept} is kept: bring the slide back and \
         resume the run",
        path.display()
    )]
    SlideLost { path: PathBuf, reason: String, step: u64, kept: u64 },
    #[error(
        "the loss became {loss} at step {step}; training stopped, and the checkpoint of step {kept} is kept. A lower \
         learning rate (--lr) or a longer warm-up usually helps"
    )]
    Diverged { loss: f64, step: u64, kept: u64 },
    #[error("{}: the checkpoint cannot be written ({source}); make room and resume the run from step {kept}", path.display())]
    Checkpoint { path: PathBuf, source: std::io::Error, kept: u64 },
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    #[error(
        "{doing}: the device has no memory left ({reason}). A smaller batch (--batch) needs less, and so does learning \
         fewer blocks (--depth)"
    )]
    OutOfMemory { doing: &'static str, reason: String },
    #[error("{doing} failed in libtorch: {reason}")]
    Torch { doing: &'static str, reason: String },
}

impl TrainingError {
    fn torch(doing: &'static str, error: &tch::TchError) -> Self {
        // libtorch's words without the C++ backtrace that follows them.
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        match is_out_of_memory(error) {
            true => Self::OutOfMemory { doing, reason },
            false => Self::Torch { doing, reason },
        }
    }
}
