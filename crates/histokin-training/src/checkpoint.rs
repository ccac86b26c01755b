//! Everything that a stopped run needs to go on as if it had not been stopped, in one safetensors file: weights
//! and running statistics, the optimiser's state, the memory bank, and in the header the configuration, the
//! step and what was seen so far.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::TrainingConfig;
use super::run::History;
use super::{TrainingError, optimiser::LossScale};
use histokin_core::{durable, untrusted};
use histokin_encoder::weights::{self, Tensors};

/// Key of the header under which a checkpoint describes itself.
const HEADER: &str = "histokin-checkpoint";

/// Version of the layout that this program writes.
const FORMAT: u32 = 1;

/// What is not a tensor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckpointHeader {
    pub format: u32,
    pub program_version: String,
    pub config: TrainingConfig,
    /// Steps done.
    pub step: u64,
    pub optimiser_steps: u64,
    pub loss_scale: f64,
    pub bank_normaliser: Option<f64>,
    /// Best validation so far: its step and the figure that decides.
    pub best: Option<(u64, f64)>,
    /// Groups in a batch, where the device had no room for as many as the settings say.
    #[serde(default)]
    pub batch_limit: Option<usize>,
    /// Looks since then.
    #[serde(alias = "looks_without_better")]
    pub validations_without_better: usize,
    /// Seconds spent on these steps.
    pub seconds: f64,
    pub history: History,
}

impl CheckpointHeader {
    pub fn new(config: TrainingConfig) -> Self {
        Self {
            format: FORMAT,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            step: 0,
            optimiser_steps: 0,
            loss_scale: LossScale::NONE.factor,
            bank_normaliser: None,
            best: None,
            batch_limit: None,
            validations_without_better: 0,
            seconds: 0.0,
            history: History::default(),
        }
    }
}

/// A run at one step.
pub struct Checkpoint {
    pub header: CheckpointHeader,
    pub weights: Tensors,
    pub optimiser: Tensors,
    pub bank: Option<tch::Tensor>,
}

/// What the names of each part begin with.
const WEIGHTS: &str = "weights/";
const OPTIMISER: &str = "optimiser/";
const BANK: &str = "bank";

impl Checkpoint {
    /// Write it whole or not at all.
    ///
    /// # Errors
    /// [`TrainingError::Checkpoint`] when the disk is full or the folder gone; an older checkpoint under this
    /// name, of the step `kept`, is then still there.
    pub fn write(&self, path: &Path, kept: u64) -> Result<(), TrainingError> {
        let mut tensors = Tensors::new();
        let prefixed = |prefix: &str, from: &Tensors| -> Vec<(String, tch::Tensor)> {
            from.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.shallow_clone())).collect()
        };
        tensors.extend(prefixed(WEIGHTS, &self.weights));
        tensors.extend(prefixed(OPTIMISER, &self.optimiser));
        tensors.extend(self.bank.iter().map(|bank| (BANK.to_owned(), bank.shallow_clone())));
        let failed = |source| TrainingError::Checkpoint { path: path.to_owned(), source, kept };
        let text = serde_json::to_string(&self.header).map_err(|error| failed(error.into()))?;
        let bytes = weights::serialise(&tensors, Some(HashMap::from([(HEADER.to_owned(), text)])), path)?;
        durable::write(path, &bytes).map_err(failed)
    }

    /// # Errors
    /// [`TrainingError::File`] when it is missing, damaged, or written by a newer version of the program.
    pub fn read(path: &Path) -> Result<Self, TrainingError> {
        let failed = |reason: String| TrainingError::File { path: path.to_owned(), reason };
        let bytes = untrusted::read(path, weights::MOST_BYTES)
            .map_err(|error| failed(format!("no checkpoint to go on from ({error})")))?;
        let header = weights::header_of(path, &bytes)?;
        let text = header.metadata().as_ref().and_then(|texts| texts.get(HEADER)).ok_or_else(|| {
            failed("it holds weights but no checkpoint; start a new run from it (--init)".into())
        })?;
        let header: CheckpointHeader = serde_json::from_str(text)
            .map_err(|error| failed(format!("its description cannot be understood ({error})")))?;
        if header.format > FORMAT {
            return Err(failed(format!(
                "written by a newer version of histokin (format {}, this one knows {FORMAT}); update histokin",
                header.format
            )));
        }
        let (mut weights, mut optimiser, mut bank) = (Tensors::new(), Tensors::new(), None);
        for (name, tensor) in weights::parse(path, &bytes)? {
            if let Some(name) = name.strip_prefix(WEIGHTS) {
                weights.insert(name.to_owned(), tensor);
            } else if let Some(name) = name.strip_prefix(OPTIMISER) {
                optimiser.insert(name.to_owned(), tensor);
            } else if name == BANK {
                bank = Some(tensor);
            }
        }
        Ok(Self { header, weights, optimiser, bank })
    }
}
