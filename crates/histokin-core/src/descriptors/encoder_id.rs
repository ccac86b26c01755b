//! Identity of an encoder, which distinguishes its descriptors from others.

use serde::{Deserialize, Serialize};

/// Identity of an encoder: a hash of its weights and of the preprocessing of tiles. Descriptors of different
/// encoders are never compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncoderId(pub String);

impl EncoderId {
    /// Prefix of the IDs of encoders that ran in another program.
    pub const IMPORTED_PREFIX: &str = "imported-";

    /// Returns the first 12 characters, for file names and display.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// Returns whether descriptors of this encoder come from another program, with that program's tiles.
    pub fn is_imported(&self) -> bool {
        self.0.starts_with(Self::IMPORTED_PREFIX)
    }
}

impl std::fmt::Display for EncoderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
