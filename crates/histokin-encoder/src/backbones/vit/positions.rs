//! Learned positions for images of another size than that for which they were learned.

use serde::{Deserialize, Serialize};

use crate::interpolation::{self, Kernel};

/// How positions are adapted to images of another size. Libraries differ in it, and a network answers as it did
/// in training only with the one that it was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Resampling {
    /// Bicubic (transformers: ViT and DINOv2).
    Bicubic,
    /// Bicubic with antialiasing (timm, open_clip, DINOv2 with registers).
    BicubicAntialias,
    /// Bicubic, with the number of patches enlarged by 0.1 in the scale only (facebookresearch/dinov2 without
    /// registers, `interpolate_offset`).
    BicubicOffset,
}

impl Resampling {
    /// Adapts positions of patches, `[grid, grid, width]`, to an image of `rows` × `columns` patches:
    /// `[rows, columns, width]`.
    pub(crate) fn adapted(self, patches: &[f32], grid: usize, [rows, columns]: [usize; 2]) -> Vec<f32> {
        if [rows, columns] == [grid; 2] {
            return patches.to_vec();
        }
        let weights = |edge: usize| match self {
            Self::Bicubic => interpolation::bicubic(grid, edge, grid as f64 / edge as f64),
            Self::BicubicAntialias => interpolation::antialiased(grid, edge, Kernel::Cubic),
            Self::BicubicOffset => interpolation::bicubic(grid, edge, grid as f64 / (edge as f64 + 0.1)),
        };
        let width = patches.len() / (grid * grid);
        interpolation::plane(patches, [grid, grid, width], &weights(rows), &weights(columns))
    }
}
