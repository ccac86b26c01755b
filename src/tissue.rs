//! Where on the slide there is tissue.
//!
//! The mask is computed once a slide from a low-power picture; a tile counts as tissue when the mask
//! covers at least [`TISSUE_FRACTION`] of it.

use image::GrayImage;

use crate::geometry::Level0Rect;
use crate::slide::{SlideError, SlideSource};

/// Share of a tile that has to be tissue for the tile to be embedded.
pub const TISSUE_FRACTION: f64 = 0.5;

/// A low-power picture of the slide in which each pixel is tissue (255) or not (0).
#[derive(Debug, Clone)]
pub struct TissueMask {
    pub mask: GrayImage,
    /// Level-0 pixels that one mask pixel spans along x and y.
    pub scale: (f64, f64),
}

impl TissueMask {
    /// Find the tissue of `slide`.
    ///
    /// # Errors
    /// [`SlideError::Read`] when the low-power picture cannot be read.
    pub fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        todo!()
    }

    /// Share (0 to 1) of `rect` that is tissue; what lies outside the slide is not.
    pub fn fraction(&self, rect: &Level0Rect) -> f64 {
        todo!()
    }

    /// Share (0 to 1) of the whole slide that is tissue.
    pub fn coverage(&self) -> f64 {
        todo!()
    }
}
