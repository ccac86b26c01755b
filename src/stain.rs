//! Stain normalisation in CIELAB: each slide's tissue is given the mean and standard deviation of a
//! reference, channel by channel (Reinhard et al. 2001, "Color transfer between images", equations 10–11,
//! here with CIELAB in place of lαβ, as in Gildenblat and Klaiman 2019).

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::slide::{SlideError, SlideSource};
use crate::tissue::TissueMask;

/// Mean and standard deviation of tissue pixels in CIELAB (D65): L* 0–100, a* and b* about ±128.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabStatistics {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// How tiles are stain-normalised before they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StainSetting {
    /// Mean and deviation in CIELAB matched to the encoder's reference.
    #[default]
    Lab,
    /// The slide's own colours.
    None,
}

impl LabStatistics {
    /// Statistics of the pixels of `picture` for which `is_tissue` (pixel index, row by row) holds;
    /// `None` when there are too few to speak of.
    pub fn of_pixels(picture: &RgbImage, is_tissue: impl Fn(usize) -> bool) -> Option<Self> {
        todo!()
    }

    /// Statistics of a slide's tissue, from a low-power picture under its mask; `None` without tissue.
    pub fn of_slide(slide: &dyn SlideSource, tissue: &TissueMask) -> Result<Option<Self>, SlideError> {
        todo!()
    }
}

/// The mapping of one slide's colours onto a reference.
#[derive(Debug, Clone)]
pub struct LabNormaliser {}

impl LabNormaliser {
    pub fn new(from: LabStatistics, to: LabStatistics) -> Self {
        todo!()
    }

    /// Map every pixel of `tile`; values that leave sRGB are clipped.
    pub fn apply(&self, tile: &mut RgbImage) {
        todo!()
    }
}
