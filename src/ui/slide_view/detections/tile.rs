//! The tiles in which detections are drawn: squares of a pyramid over the slide, as pictures have.

use crate::annotation::{Bounds, MOST_DETECTION_SIDE_PX};
use crate::geometry::Level0Point;
use crate::ui::slide_view::camera::{Camera, ScreenPoint, Viewport};

/// Side of a tile in its own pixels.
pub const SIDE: u32 = 512;
/// Coarsest level; its pixels span 4096 level-0 pixels.
const COARSEST: u8 = 12;
/// Maximum number of tiles in a view, for views that are far too large.
const MOST_IN_VIEW: usize = 400;

/// A tile. A pixel of level `n` spans 2ⁿ level-0 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DetectionTile {
    /// Level, from 0 for level-0 pixels.
    pub level: u8,
    /// Column, from the slide's left edge.
    pub column: i32,
    /// Row, from the slide's top edge.
    pub row: i32,
}

impl DetectionTile {
    /// Returns the side of a pixel in level-0 pixels.
    pub fn pixel_px(self) -> f64 {
        f64::from(1_u32 << self.level)
    }

    /// Returns the area in level-0 pixels.
    pub fn area(self) -> Bounds {
        let side = f64::from(SIDE) * self.pixel_px();
        let (x, y) = (f64::from(self.column) * side, f64::from(self.row) * side);
        Bounds { min: Level0Point::new(x, y), max: Level0Point::new(x + side, y + side) }
    }

    /// Returns the tile of the next coarser level that contains this one.
    pub fn parent(self) -> Option<Self> {
        let Self { level, column, row } = self;
        let (column, row) = (column.div_euclid(2), row.div_euclid(2));
        (level < COARSEST).then_some(Self { level: level + 1, column, row })
    }

    /// Returns the four tiles of the next finer level that cover this one; none at level 0.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let Self { level, column, row } = self;
        let finer = level.checked_sub(1).into_iter();
        let parts = [(0, 0), (1, 0), (0, 1), (1, 1)];
        finer.flat_map(move |level| {
            parts.map(|(right, down)| Self { level, column: 2 * column + right, row: 2 * row + down })
        })
    }
}

/// Returns the tiles in view that overlap `extent`, the area with detections, the middle ones first.
pub fn in_view(camera: &Camera, viewport: Viewport, extent: Bounds) -> Vec<DetectionTile> {
    let zooms = camera.zooms();
    let level = (-zooms.0.max(zooms.1).log2()).round().clamp(0.0, f64::from(COARSEST)) as u8;
    let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(right, down)| {
        let at = ScreenPoint { x: right * viewport.width, y: down * viewport.height };
        camera.level0_from_screen(at, viewport)
    });
    // A detection is drawn with the tile in which its centre lies.
    let reach = MOST_DETECTION_SIDE_PX / 2.0;
    let Some(view) = Bounds::around(&corners).map(|view| view.grown(reach)) else { return Vec::new() };
    let side = f64::from(SIDE) * f64::from(1_u32 << level);
    let range = |view: (f64, f64), extent: (f64, f64)| {
        let (low, high) = (view.0.max(extent.0), view.1.min(extent.1));
        (low / side).floor() as i32..((high / side).floor() as i32).saturating_add(1)
    };
    let columns = range((view.min.x, view.max.x), (extent.min.x, extent.max.x));
    let rows = range((view.min.y, view.max.y), (extent.min.y, extent.max.y));
    let tiles = rows.flat_map(|row| columns.clone().map(move |column| DetectionTile { level, column, row }));
    let mut tiles: Vec<DetectionTile> = tiles.take(MOST_IN_VIEW).collect();
    tiles.sort_by(|a, b| {
        let distance = |tile: &DetectionTile| tile.area().center().distance_px(camera.center);
        distance(a).total_cmp(&distance(b))
    });
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_cover_their_parent() {
        let tile = DetectionTile { level: 3, column: -3, row: 5 };
        assert!(tile.children().all(|child| child.parent() == Some(tile)));
        let area: f64 = tile.children().map(|child| child.area().width() * child.area().height()).sum();
        assert_eq!(area, tile.area().width() * tile.area().height());
        assert_eq!(DetectionTile { level: 0, ..tile }.children().count(), 0);
    }

    #[test]
    fn tiles_cover_what_is_in_view_and_nothing_without_detections() {
        let extent = Bounds { min: Level0Point::new(0.0, 0.0), max: Level0Point::new(100_000.0, 80_000.0) };
        let viewport = Viewport::new(1600.0, 1000.0);
        for zoom in [32.0, 1.0, 0.3, 0.01] {
            let mut camera = Camera::upright(Level0Point::new(30_000.0, 20_000.0));
            camera.zoom = zoom;
            camera.rotation = 0.4;
            let tiles = in_view(&camera, viewport, extent);
            assert!(tiles.len() < 80, "{} tiles", tiles.len());
            for (x, y) in [(0.0, 0.0), (1600.0, 1000.0), (800.0, 500.0), (1600.0, 0.0)] {
                let at = camera.level0_from_screen(ScreenPoint { x, y }, viewport);
                let is_covered = tiles.iter().any(|tile| tile.area().contains(at));
                assert!(is_covered || !extent.contains(at), "at zoom {zoom}");
            }
        }
        let mut camera = Camera::upright(Level0Point::new(-50_000.0, 0.0));
        camera.zoom = 1.0;
        assert!(in_view(&camera, viewport, extent).is_empty());
    }
}
