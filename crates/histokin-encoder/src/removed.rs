//! Encoders shipped with earlier versions but not with this one. Their descriptors can still be searched, but
//! they can no longer embed slides.

use super::{EncoderId, EncoderSpec};
use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;

/// Encoder with networks trained on neighbouring tiles, and prototypes of their features. On patients outside
/// its training data it performed worse than ImageNet features.
const TISSUE_NEIGHBOURS: &str = "tissue-neighbours";

/// Returns the properties of the encoder `name`, if it was shipped with an earlier version.
pub(super) fn spec(name: &str) -> Option<EncoderSpec> {
    (name == TISSUE_NEIGHBOURS).then(|| EncoderSpec {
        id: EncoderId("7cfe8572596ebf6c63baab890679a12ab7012cab4f898a1942e7e9d457a2e303".into()),
        name: name.to_owned(),
        width: 128,
        tiles: TileSettings { tile_px: 224, mpp: 1.0 },
        stain: StainSetting::Lab,
        stain_reference: LabStatistics {
            mean: [75.512535, 15.785423, -9.841694],
            std: [10.539718, 5.466605, 4.054717],
        },
    })
}
