//! Sets of descriptors that tests make.

use std::sync::Arc;

use super::{DescriptorHeader, DescriptorSet, Recipe};
use crate::slide::SlideId;
use crate::tiling::{TileGrid, TileIndex};

/// Makes a set of `rows` of `width` numbers each: the first tiles, of 224 px at 1 µm/px, of a grid 100 tiles wide.
pub fn made_set(slide: &str, recipe: Recipe, width: usize, rows: &[Vec<f32>]) -> Arc<DescriptorSet> {
    let grid = TileGrid {
        tile_px: 224,
        tile_level0: 224,
        tile_level0_y: 224,
        effective_mpp: 1.0,
        columns: 100,
        rows: (rows.len() as u32).div_ceil(100).max(1),
    };
    let header = DescriptorHeader::new(SlideId(slide.repeat(8)), recipe, width, &grid, rows.len() as u32);
    let rows: Vec<(TileIndex, &[f32])> = (0..).map(TileIndex).zip(rows.iter().map(Vec::as_slice)).collect();
    Arc::new(DescriptorSet::from_rows(header, &rows, 0))
}
