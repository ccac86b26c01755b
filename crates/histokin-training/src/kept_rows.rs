//! Where the kept features of tiles are.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::pairs::TileRef;
use super::slides::TrainingSlide;
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::SlideError;

/// Name of the folder in a project that holds kept features.
pub const FEATURES_FOLDER: &str = "features";

/// Number of pictures that the network looks at at once; at least the views of one tile.
pub(super) const PICTURES: usize = 32;

/// The rows of kept features.
pub(super) struct KeptRows {
    /// Number of views of each tile.
    pub views: usize,
    /// For each slide, the row of the first view of each tile that could be read.
    pub slides: Vec<HashMap<Level0Rect, i64>>,
}

impl KeptRows {
    /// Draws one of the views of a tile; returns its row. `None` if the tile could not be read.
    pub fn draw(&self, tile: &TileRef, random: &mut ChaCha8Rng) -> Option<i64> {
        let view = random.random_range(0..self.views) as i64;
        Some(self.slides[tile.slide].get(&tile.rect)? + view)
    }
}

/// Returns the error for a tile whose features could not be computed.
pub(super) fn unread(slide: &TrainingSlide) -> SlideError {
    SlideError::Unavailable {
        path: slide.source.info().path.clone(),
        reason: "a tile has no kept features, since it could not be read".into(),
    }
}
