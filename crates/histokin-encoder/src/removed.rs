//! Encoders that earlier versions came with and this one does not: what they have described can still be searched, but
//! they describe no more.

use super::{EncoderId, EncoderSpec};
use histokin_core::stain::{LabStatistics, StainSetting};
use histokin_core::tiling::TileSettings;

/// Networks learned from neighbouring tiles, and prototypes among their features. On patients that it had not seen it
/// was worse than ImageNet's features.
const TISSUE_NEIGHBOURS: &str = "tissue-neighbours";

/// What is known of the encoder `name`, where it was one of histokin's own.
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
