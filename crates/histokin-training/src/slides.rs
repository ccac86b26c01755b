//! Slides for training: their tissue tiles with positions in mm, and how to read a tile.

use std::sync::Arc;

use image::RgbImage;

use super::TrainingError;
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::stain::{LabNormaliser, LabStatistics};
use histokin_core::tiling::{TileGrid, TileSettings, read_tile};
use histokin_core::tissue::{TissueMask, selection};

/// A slide prepared for training.
#[derive(Clone)]
pub struct TrainingSlide {
    /// The slide.
    pub source: Arc<dyn SlideSource>,
    /// Its tile grid.
    pub grid: TileGrid,
    /// Tissue tiles in level-0 pixels, in the grid's order.
    pub tiles: Vec<Level0Rect>,
    /// Centres of the tiles in mm from the slide's top left corner.
    pub centres_mm: Vec<[f64; 2]>,
    /// Class of each tile, if known; empty if no labels were read.
    pub classes: Vec<Option<String>>,
    /// Colour statistics of its tissue.
    statistics: Option<LabStatistics>,
}

impl TrainingSlide {
    /// Prepares a slide; `tissue` is its tissue mask, if it is known already.
    ///
    /// # Errors
    /// Returns an error if the pixel size is unknown, the slide cannot be read, or it has no tissue.
    pub fn prepare(
        source: Arc<dyn SlideSource>,
        settings: TileSettings,
        tissue: Option<&TissueMask>,
    ) -> Result<Self, TrainingError> {
        let info = source.info();
        let grid = TileGrid::new(info, settings)?;
        let mpp = info.require_mpp()?;
        let found;
        let tissue = match tissue {
            Some(tissue) => tissue,
            None => {
                found = TissueMask::of(source.as_ref())?;
                &found
            }
        };
        let tiles: Vec<Level0Rect> =
            selection::tiles(tissue, &grid, &tissue.settings).iter().map(|tile| grid.rect(*tile)).collect();
        if tiles.is_empty() {
            return Err(TrainingError::NoTissue { path: info.path.clone() });
        }
        let centres_mm = tiles
            .iter()
            .map(Level0Rect::center)
            .map(|centre| [centre.x * mpp.x() / 1000.0, centre.y * mpp.y() / 1000.0])
            .collect();
        let statistics = LabStatistics::of_slide(source.as_ref())?;
        Ok(Self { grid, tiles, centres_mm, classes: Vec::new(), statistics, source })
    }

    /// Name of the file, for display.
    pub fn name(&self) -> String {
        self.source.info().name()
    }

    /// Reads one tile, with its colours normalised to `reference` if given.
    ///
    /// # Errors
    /// Returns [`SlideError::Read`] if the slide's pixels cannot be read.
    pub fn read(&self, rect: &Level0Rect, reference: Option<LabStatistics>) -> Result<RgbImage, SlideError> {
        let mut tile = read_tile(self.source.as_ref(), rect, self.grid.tile_px)?;
        if let (Some(statistics), Some(reference)) = (self.statistics, reference) {
            LabNormaliser::new(statistics, reference).apply(&mut tile);
        }
        Ok(tile)
    }
}
