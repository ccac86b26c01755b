//! Slides as training sees them: their tissue tiles, where those lie in millimetres, and how to read one.

use std::sync::Arc;

use image::RgbImage;

use super::TrainingError;
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::stain::{LabNormaliser, LabStatistics};
use histokin_core::tiling::{TileGrid, TileSettings, read_tile};
use histokin_core::tissue::{TissueMask, selection};

/// A slide with what training has to know of it.
pub struct TrainingSlide {
    pub source: Arc<dyn SlideSource>,
    pub grid: TileGrid,
    /// Tissue tiles in level-0 pixels, in the grid's order.
    pub tiles: Vec<Level0Rect>,
    /// Their centres in mm from the slide's top left.
    pub centres_mm: Vec<[f64; 2]>,
    /// Class of each tile where one is known; empty where nobody looked for labels.
    pub classes: Vec<Option<String>>,
    /// Colours of its tissue.
    statistics: Option<LabStatistics>,
}

impl TrainingSlide {
    /// Find a slide's tissue tiles; `tissue` saves finding the tissue again where it is known.
    ///
    /// # Errors
    /// When the pixel size is unknown, low power cannot be read, or there is no tissue.
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
            .map(|centre| [centre.x * mpp.x / 1000.0, centre.y * mpp.y / 1000.0])
            .collect();
        let statistics = LabStatistics::of_slide(source.as_ref())?;
        Ok(Self { grid, tiles, centres_mm, classes: Vec::new(), statistics, source })
    }

    /// Name of the file, for people.
    pub fn name(&self) -> String {
        self.source.info().name()
    }

    /// Read one tile, its colours normalised to `reference` where there is one.
    ///
    /// # Errors
    /// [`SlideError::Read`] when the file cannot deliver its pixels.
    pub fn read(&self, rect: &Level0Rect, reference: Option<LabStatistics>) -> Result<RgbImage, SlideError> {
        let mut tile = read_tile(self.source.as_ref(), rect, self.grid.tile_px)?;
        if let (Some(own), Some(reference)) = (self.statistics, reference) {
            LabNormaliser::new(own, reference).apply(&mut tile);
        }
        Ok(tile)
    }
}
