//! Checkpoints: everything a stopped run needs to continue exactly as if it had not been stopped, in one
//! safetensors file. It holds weights and running statistics, the optimiser's state and the memory bank, and
//! in the header the settings, the step and the history.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::TrainingConfig;
use super::run::History;
use super::{TrainingError, optimiser::LossScale};
use histokin_core::{durable, untrusted};
use histokin_encoder::weights::{self, Tensors};

/// Key of the checkpoint description in the file's header.
const HEADER: &str = "histokin-checkpoint";

/// Version of the layout that this program writes.
const FORMAT: u32 = 1;

/// Everything that is not a tensor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// Version of the layout.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// Settings of the run.
    pub config: TrainingConfig,
    /// Steps done.
    pub step: u64,
    /// Steps of the optimiser; less than `step` if some overflowed.
    pub optimiser_steps: u64,
    /// Loss scale of mixed precision.
    pub loss_scale: f64,
    /// Normaliser of the memory bank, once it is fixed.
    pub bank_normaliser: Option<f64>,
    /// Step and value of the best validation so far.
    pub best: Option<(u64, f64)>,
    /// Number of groups in a batch, if the device has too little memory for the number in the settings.
    #[serde(default)]
    pub batch_limit: Option<usize>,
    /// Validations since the best one.
    #[serde(alias = "looks_without_better")]
    pub validations_without_better: usize,
    /// Seconds spent on these steps.
    pub seconds: f64,
    /// History of the run.
    pub history: History,
}

impl CheckpointHeader {
    /// Creates the header of a run before its first step.
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

/// The state of a run at one step.
pub struct Checkpoint {
    /// Everything that is not a tensor.
    pub header: CheckpointHeader,
    /// Weights and running statistics of the network.
    pub weights: Tensors,
    /// State of the optimiser.
    pub optimiser: Tensors,
    /// Features of the memory bank, for NPID.
    pub bank: Option<tch::Tensor>,
}

/// Prefixes of the tensor names of each part.
const WEIGHTS: &str = "weights/";
const OPTIMISER: &str = "optimiser/";
const BANK: &str = "bank";

impl Checkpoint {
    /// Writes the checkpoint with a durable write.
    ///
    /// # Errors
    /// Returns [`TrainingError::Checkpoint`] if the disk is full or the folder is missing; an older
    /// checkpoint of this name, of the step `kept`, then still exists.
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

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if the file is missing, damaged, or written by a newer version of the
    /// program.
    pub fn read(path: &Path) -> Result<Self, TrainingError> {
        let failed = |reason: String| TrainingError::File { path: path.to_owned(), reason };
        let bytes = untrusted::read(path, weights::MOST_BYTES)
            .map_err(|error| failed(format!("no checkpoint to continue from ({error})")))?;
        let header = weights::header_of(path, &bytes)?;
        let text = header.metadata().as_ref().and_then(|texts| texts.get(HEADER)).ok_or_else(|| {
            failed("it has weights but is not a checkpoint; start a new run from it (--init)".into())
        })?;
        let header: CheckpointHeader = serde_json::from_str(text)
            .map_err(|error| failed(format!("its description cannot be read ({error})")))?;
        if header.format > FORMAT {
            return Err(failed(format!(
                "written by a newer version of histokin (format {}, this one supports {FORMAT}); update histokin",
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
