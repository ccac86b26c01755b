//! What a user wants to know of an encoder before using it; it does not count for the encoder's identity.

use serde::{Deserialize, Serialize};

use crate::known::{Commercial, KnownEncoder};

/// What a model is for, where it comes from, and what its licence asks. Empty texts are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct About {
    /// What it is for, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// Name of the known encoder whose weights it has.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub known_as: String,
    /// Where it, or its weights, come from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Its licence, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// Whether commercial use is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commercial: Option<Commercial>,
}

impl About {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&KnownEncoder> for About {
    fn from(known: &KnownEncoder) -> Self {
        Self {
            purpose: known.purpose.clone(),
            known_as: known.name.clone(),
            source: known.source.clone(),
            licence: known.licence.clone(),
            commercial: Some(known.commercial),
        }
    }
}
