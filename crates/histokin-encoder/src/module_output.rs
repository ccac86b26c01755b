//! Settings for extracting the descriptor from the output of a TorchScript module.

#[cfg(feature = "torch")]
mod extraction;

use serde::{Deserialize, Serialize};

#[cfg(feature = "torch")]
pub(super) use extraction::NOT_A_ROW_A_TILE;

/// Settings for extracting the descriptor, read from the module's settings file. Without any setting, the
/// output must be one tensor `[N, D]` or `[N, D, 1, 1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ModuleOutput {
    /// Name of the tensor, if the output is a dictionary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Index of the tensor, counted from 0, if the output is a tuple or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Pooling of tokens `[N, tokens, D]` or of a feature map `[N, D, height, width]` into one descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Pooling>,
    /// Number of leading tokens (class token and registers) that `mean-tokens` leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_tokens: Option<i64>,
}

/// Pooling of tokens or of a feature map into one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pooling {
    /// The first token.
    Cls,
    /// The mean of the tokens.
    MeanTokens,
    /// The first token, concatenated with the mean of the others.
    ClsAndMeanTokens,
    /// The mean over height and width of a feature map.
    AveragePool,
}

impl ModuleOutput {
    /// Names of the settings.
    pub const KEYS: [&str; 4] = ["key", "index", "output", "skip_tokens"];
}
