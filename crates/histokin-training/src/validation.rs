//! Results of validations: measures of the encoder on validation slides during training.

use serde::{Deserialize, Serialize};

use super::config::JudgedBy;

/// Result of one validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Step after which it was done; 0 before training.
    pub step: u64,
    /// Contrastive loss over all near and all far pairs, weighted equally, with the run's margin. The other
    /// losses depend on the rest of a batch and cannot be compared between validations.
    pub loss: Option<f64>,
    /// ADDR over all slides; `None` if no validation slide has both near and far pairs.
    pub addr_global: Option<f64>,
    /// Median of the ADDR of each slide.
    pub addr_median: Option<f64>,
    /// 95 % interval of the ADDR from resampling slides, if there are several.
    pub addr_ci95: Option<[f64; 2]>,
    /// Width of a histogram bin, as a descriptor distance.
    pub bin: f64,
    /// Share of the near pairs in each bin.
    pub near: Vec<f64>,
    /// Share of the far pairs in each bin.
    pub far: Vec<f64>,
    /// Retrieval of labelled tiles; `None` if no class is on two validation slides.
    #[serde(default)]
    pub retrieval: Option<RetrievalValidation>,
    /// Number of tiles that were read.
    pub tiles: usize,
    /// Seconds taken.
    pub seconds: f64,
}

/// Retrieval of labelled tiles among the labelled tiles of the other validation slides. Each measure is the
/// mean over classes of the mean over queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetrievalValidation {
    /// Precision at 1.
    pub p_at_1: f64,
    /// Precision at 5.
    pub p_at_5: f64,
    /// Chance level of the precision; `base_rate` in the runs of earlier versions.
    #[serde(alias = "base_rate")]
    pub chance_level: f64,
    /// Number of classes on at least two slides.
    pub classes: usize,
    /// Number of queries.
    pub queries: usize,
}

impl Validation {
    /// Returns the measure by which validations are compared; higher is better.
    pub fn figure(&self, judged_by: JudgedBy) -> Option<f64> {
        match (judged_by, &self.retrieval) {
            (JudgedBy::Retrieval, Some(found)) => Some(found.p_at_5),
            _ => self.addr_global,
        }
    }
}
