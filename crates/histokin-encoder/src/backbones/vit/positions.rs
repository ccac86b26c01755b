//! Learned positions for images of another size than that for which they were learned.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

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

/// Adapts positions of patches, `[1, grid², W]`, to `height` × `width` patches: `[1, height · width, W]`.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub fn resample(
    patches: &Tensor,
    grid: usize,
    [height, width]: [i64; 2],
    how: Resampling,
) -> Result<Tensor, TchError> {
    let edge = grid as i64;
    if height == edge && width == edge {
        return Ok(patches.shallow_clone());
    }
    let plane = patches.f_to_kind(Kind::Float)?.f_reshape([1, edge, edge, -1])?.f_permute([0, 3, 1, 2])?;
    let size = [height, width];
    let plane = match how {
        Resampling::Bicubic => plane.f_upsample_bicubic2d(size, false, None, None)?,
        Resampling::BicubicAntialias => plane.f_internal_upsample_bicubic2d_aa(size, false, None, None)?,
        Resampling::BicubicOffset => {
            let scale = |patches: i64| (patches as f64 + 0.1) / edge as f64;
            plane.f_upsample_bicubic2d(size, false, scale(height), scale(width))?
        }
    };
    plane.f_permute([0, 2, 3, 1])?.f_reshape([1, height * width, -1])?.f_to_kind(patches.kind())
}
