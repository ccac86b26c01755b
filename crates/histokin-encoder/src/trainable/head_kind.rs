//! Which kind of head is trained.

use serde::{Deserialize, Serialize};

/// The kind of head that is trained.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::EnumIter,
    strum::EnumMessage,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HeadKind {
    /// That of the encoder with which training starts, or a linear one.
    #[default]
    Init,
    /// A linear function of the features.
    Linear,
    /// Two linear layers with a ReLU between them, twice as wide as a descriptor.
    TwoLayers,
    /// Memberships in as many prototypes as a descriptor has values.
    Prototypes,
}
