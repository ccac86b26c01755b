//! Computation of descriptors from a network's pooled features: scaling, nuclear stain, head, and output.

#[cfg(feature = "torch")]
mod layers;

use serde::{Deserialize, Serialize};

#[cfg(feature = "torch")]
pub(super) use layers::{Head, Readout};

/// The nuclear stain is the red absorbance that one in this many of the pixels that count exceeds.
pub(super) const DARKEST_ONE_IN: i64 = 10;

/// Conversion of the head's output to a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadOutput {
    /// The head's output is the descriptor.
    #[default]
    Linear,
    /// The head's outputs are log-similarities of the tile to each of a set of prototypes. The descriptor
    /// contains the square roots of its memberships (softmax): descriptors have length 1, and their distance
    /// is √2 times the Hellinger distance of the memberships.
    Memberships,
}

impl HeadOutput {
    /// Returns the name used in an encoder's identity; must never change.
    pub(super) fn identity(self) -> &'static str {
        match self {
            Self::Linear => "Linear",
            Self::Memberships => "Memberships",
        }
    }

    pub(super) fn is_linear(&self) -> bool {
        *self == Self::Linear
    }
}

/// How pooled features are scaled before the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureScaling {
    /// No scaling.
    #[default]
    None,
    /// The square root of each feature's share of their sum: Euclidean distances are then Hellinger
    /// distances, which give more weight to rare features (Arandjelović and Zisserman 2012, "Three things
    /// everyone should know to improve object retrieval", section 3). Features are not negative, since every
    /// backbone ends in a ReLU.
    Hellinger,
}

impl FeatureScaling {
    /// Returns the name used in an encoder's identity; must never change.
    pub(super) fn identity(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Hellinger => "Hellinger",
        }
    }
}
