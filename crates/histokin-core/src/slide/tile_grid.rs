//! The grid of tiles in which a level is stored.

use crate::geometry::LevelRect;

/// Sizes of a level and of its tiles, in pixels. Tiles are numbered row by row; those at the right and lower edge may
/// extend beyond the level. Strips are tiles as wide as the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) struct TileGrid {
    /// Width of the level, at least 1.
    pub width: u32,
    /// Height of the level, at least 1.
    pub height: u32,
    /// Width of a tile, at least 1.
    pub tile_width: u32,
    /// Height of a tile, at least 1.
    pub tile_height: u32,
}

impl TileGrid {
    /// Number of columns of tiles.
    pub fn columns(&self) -> u32 {
        self.width.div_ceil(self.tile_width)
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.columns() as usize * self.height.div_ceil(self.tile_height) as usize
    }

    /// The region that a tile shows, without what extends beyond the level.
    pub fn region(&self, level: u32, tile: usize) -> LevelRect {
        let (column, row) = (tile as u32 % self.columns(), tile as u32 / self.columns());
        let (x, y) = (column * self.tile_width, row * self.tile_height);
        let (width, height) = (self.tile_width.min(self.width - x), self.tile_height.min(self.height - y));
        LevelRect { level, x: x.into(), y: y.into(), width, height }
    }

    /// The tiles that share pixels with `part`, which must lie on the level.
    pub fn tiles_under(&self, part: &LevelRect) -> impl Iterator<Item = usize> + use<> {
        let range = |start: i64, length: u32, edge: u32| {
            let (start, end) = (start as usize, start as usize + length as usize);
            start / edge as usize..end.div_ceil(edge as usize)
        };
        let across = range(part.x, part.width, self.tile_width);
        let columns = self.columns() as usize;
        range(part.y, part.height, self.tile_height)
            .flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }
}
