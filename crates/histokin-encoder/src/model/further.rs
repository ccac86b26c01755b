//! Further networks of a model.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Crops;
use crate::backbones::BackboneKind;

/// Largest number of further networks: each costs as much time as an encoder of its own.
pub(super) const MOST: usize = 4;

/// A network that sees the tile beside a model's first one. Its features follow those of the networks before it, and the
/// head takes all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherNetwork {
    /// Architecture, a convolutional one.
    pub backbone: BackboneKind,
    /// Safetensors file with its published parameter names; relative to the model's folder.
    pub weights: PathBuf,
    /// Blocks that form its features, as [`ModelFile::blocks`](super::ModelFile::blocks).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<usize>,
    /// Which of the model's views it sees, by their spacings in µm per pixel; empty for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub um_per_px: Vec<f64>,
    /// Mean of each colour channel (scale 0 to 1), subtracted from its input.
    pub input_mean: [f32; 3],
    /// Standard deviation of each colour channel; its input is divided by it after subtraction of the mean.
    pub input_std: [f32; 3],
}

impl FurtherNetwork {
    /// Returns the spacings of the views that it sees, of a model with the views `crops`; `None` if the model has none.
    pub(crate) fn seen<'a>(&'a self, crops: Option<&'a Crops>) -> Option<&'a [f64]> {
        match &self.um_per_px[..] {
            [] => crops.map(|crops| &crops.um_per_px[..]),
            some => Some(some),
        }
    }

    /// Returns the number of its features in a model with the views `crops`.
    pub(crate) fn feature_width(&self, crops: Option<&Crops>) -> usize {
        self.seen(crops).map_or(1, <[f64]>::len) * self.backbone.width_of(&self.blocks)
    }

    /// Returns factor and summand of each colour channel that turn the input of a network with this mean and standard
    /// deviation into that of this one.
    pub(crate) fn renormalisation(&self, mean: [f32; 3], std: [f32; 3]) -> [[f32; 3]; 2] {
        let channels = [0, 1, 2];
        [
            channels.map(|channel| std[channel] / self.input_std[channel]),
            channels.map(|channel| (mean[channel] - self.input_mean[channel]) / self.input_std[channel]),
        ]
    }

    /// Returns what its settings add to the identity of the model's encoder; must never change.
    pub(super) fn identity(&self) -> String {
        let Self { backbone, blocks, um_per_px, input_mean, input_std, .. } = self;
        format!(
            " and {backbone} blocks {blocks:?} at {um_per_px:?} mean {input_mean:?} deviation {input_std:?}"
        )
    }

    /// Checks the settings in a model with the views `crops`.
    ///
    /// # Errors
    /// A message with what was expected.
    pub(super) fn check(&self, crops: Option<&Crops>) -> Result<(), String> {
        let Self { backbone, um_per_px, .. } = self;
        if matches!(backbone, BackboneKind::Vit(_)) {
            return Err("a vision transformer has to be a model's first network".into());
        }
        check_blocks(*backbone, &self.blocks)?;
        let views = crops.map_or(&[][..], |crops| &crops.um_per_px);
        if !um_per_px.iter().all(|um| views.contains(um)) {
            return Err(format!(
                "um_per_px of {} is {um_per_px:?}; the views that there are have {views:?} (crops.um_per_px)",
                backbone.shown_name()
            ));
        }
        if !self.input_std.iter().all(|std| std.is_finite() && *std > 0.0)
            || !self.input_mean.iter().all(|mean| mean.is_finite())
        {
            return Err(format!(
                "input_mean and input_std of {} have to be finite numbers, and the latter positive",
                backbone.shown_name()
            ));
        }
        Ok(())
    }
}

/// Checks that a network has these blocks, and that they are in ascending order.
pub(super) fn check_blocks(backbone: BackboneKind, blocks: &[usize]) -> Result<(), String> {
    let count = backbone.block_widths().len();
    match blocks.iter().all(|block| *block < count) && blocks.is_sorted_by(|a, b| a < b) {
        true => Ok(()),
        false => Err(format!(
            "blocks are {blocks:?}; {} has the blocks 0 to {}, to be named in ascending order",
            backbone.shown_name(),
            count - 1
        )),
    }
}
