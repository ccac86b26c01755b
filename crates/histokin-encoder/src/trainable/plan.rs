//! What a network to train is made of: its start, its head, and how it is trained.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use super::Depth;
use crate::DeviceChoice;
use crate::backbones::BackboneKind;
use histokin_core::tiling::TileSettings;

/// Weights with which training starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The backbone's published ImageNet weights, and a random head.
    ImageNet,
    /// Random weights throughout.
    Random,
    /// A model by name or path, or a weights file. Features are taken from the same blocks, and the head is
    /// used if it has the right shape.
    From(String),
}

impl FromStr for Start {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "imagenet" => Self::ImageNet,
            "random" => Self::Random,
            other => Self::From(other.to_owned()),
        })
    }
}

/// The kind of head that is trained.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
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

/// Specification of a network to train.
#[derive(Debug, Clone)]
pub struct NetworkPlan {
    /// Architecture of the backbone.
    pub backbone: BackboneKind,
    /// Initial weights.
    pub start: Start,
    /// Kind of head.
    pub head: HeadKind,
    /// Length of a descriptor.
    pub width: usize,
    /// The part of the network that is trained.
    pub depth: Depth,
    /// Whether trained blocks normalise with the statistics of the batch (as in ordinary training) or with
    /// the running statistics (as in inference).
    pub batch_statistics: bool,
    /// Whether the finished encoder scales descriptors to length 1.
    pub l2_normalise: bool,
    /// Tile size and spacing.
    pub tiles: TileSettings,
    /// Seed of all random parameters.
    pub seed: u64,
    /// Device to train on; `CudaHalf` selects mixed precision.
    pub device: DeviceChoice,
}
