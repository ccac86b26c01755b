//! Identity of an encoder, by which descriptors are told apart.

use serde::{Deserialize, Serialize};

/// Identity of an encoder: a hash of its weights and of all that happens to a tile before them, so that
/// descriptors of different encoders are never compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncoderId(pub String);

impl EncoderId {
    /// Start of the ids of encoders that ran in another program.
    pub const IMPORTED_PREFIX: &str = "imported-";

    /// The first 12 characters: enough for file names and for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// Whether descriptors of this encoder come from another program, with tiles of their own.
    pub fn is_imported(&self) -> bool {
        self.0.starts_with(Self::IMPORTED_PREFIX)
    }
}

impl std::fmt::Display for EncoderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
