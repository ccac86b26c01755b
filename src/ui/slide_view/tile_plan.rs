//! Selects the tiles that a view draws and those that it requests: a pure function of pyramid, camera and
//! tile states.

use std::collections::BTreeSet;

use super::camera::{Camera, Viewport};
use crate::geometry::Level0Point;
use crate::slide::pyramid::{DISPLAY_TILE_PX, DisplayPyramid, TileKey};

/// Coarser tiles that need more stored tiles than this are requested after the tiles that they stand in for.
const CHEAP_STAND_IN: u64 = 16;

/// State of a tile when a view is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileState {
    /// On the GPU and opaque.
    Shown,
    /// On the GPU, still fading in over coarser tiles.
    Fading,
    /// Not loaded.
    Missing,
    /// Decoded and waiting for its upload; not requested again.
    Waiting,
    /// Could not be read; not requested again.
    Failed,
}

/// The tiles of one view in one frame.
#[derive(Debug, Default, PartialEq)]
pub struct TilePlan {
    /// Tiles to draw, in this order: coarser tiles first, and only in place of missing finer tiles.
    pub draw: Vec<TileKey>,
    /// Missing tiles to request, most urgent first.
    pub want: Vec<TileKey>,
    /// Number of tiles at the start of `want` that are in view; the others surround the view.
    pub in_view: usize,
    /// Number of missing tiles.
    pub missing_tiles: MissingTiles,
}

/// Number of tiles missing in a view, at the level that has a pixel for each screen pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissingTiles {
    /// Tiles in view that are not loaded yet.
    pub sharp: usize,
    /// Of these, tiles for which no coarser tile is shown either.
    pub all: usize,
}

/// Plans one frame: tiles of the level that has a pixel for each screen pixel, the nearest loaded coarser
/// tiles where those are missing, and the tiles to load.
pub fn plan_tiles(
    pyramid: &DisplayPyramid,
    camera: &Camera,
    viewport: Viewport,
    state: impl Fn(TileKey) -> TileState,
) -> TilePlan {
    let target = pyramid.level_for_zooms(camera.zooms());
    let bounds = camera.bounds(viewport);
    let top = pyramid.root().level;

    // The bounds of a rotated view contain tiles that are not in view.
    let in_view = |tile: &TileKey| is_in_view(pyramid, camera, viewport, *tile);
    let mut coarser: BTreeSet<(std::cmp::Reverse<u32>, TileKey)> = BTreeSet::new();
    let mut exact = Vec::new();
    let mut missing_tiles = MissingTiles::default();
    for tile in tiles_within(pyramid, target, bounds).filter(in_view) {
        let known = state(tile);
        if matches!(known, TileState::Shown | TileState::Fading) {
            exact.push(tile);
        }
        if known == TileState::Shown {
            continue;
        }
        let is_missing = matches!(known, TileState::Missing | TileState::Waiting);
        missing_tiles.sharp += usize::from(is_missing);
        let mut stands_in = false;
        let rect = pyramid.tile_rect(tile);
        let low = Level0Point::new(rect.x as f64, rect.y as f64);
        let high = Level0Point::new(rect.right() as f64, rect.bottom() as f64);
        for level in target + 1..=top {
            let ancestors: Vec<TileKey> = tiles_within(pyramid, level, (low, high)).collect();
            let mut covered = true;
            for ancestor in ancestors {
                let known = state(ancestor);
                covered &= known == TileState::Shown;
                if matches!(known, TileState::Shown | TileState::Fading) {
                    stands_in = true;
                    coarser.insert((std::cmp::Reverse(level), ancestor));
                }
            }
            if covered {
                break;
            }
        }
        missing_tiles.all += usize::from(is_missing && !stands_in);
    }

    let mut draw: Vec<TileKey> = coarser.into_iter().map(|(_, tile)| tile).collect();
    draw.extend(exact);
    let (want, in_view) = tiles_to_load(pyramid, camera, viewport, target, state);
    TilePlan { draw, want, in_view, missing_tiles }
}

/// Returns missing tiles in the order in which they help most: the tile of the whole slide, a coarse level
/// under the view, the view from its centre outwards, then a ring around the view for the next movement. Also
/// returns the number of tiles before the ring.
fn tiles_to_load(
    pyramid: &DisplayPyramid,
    camera: &Camera,
    viewport: Viewport,
    target: u32,
    state: impl Fn(TileKey) -> TileState,
) -> (Vec<TileKey>, usize) {
    let root = pyramid.root();
    let bounds = camera.bounds(viewport);
    let in_view = |tile: &TileKey| is_in_view(pyramid, camera, viewport, *tile);
    let center = camera.stretch.drawn(camera.center);
    let distance =
        |tile: &TileKey| camera.stretch.drawn(pyramid.tile_rect(*tile).center()).distance_px(center);
    let nearest_first = |tiles: &mut Vec<TileKey>| tiles.sort_by(|a, b| distance(a).total_cmp(&distance(b)));

    let stand_in = (target + 2).min(root.level);
    let mut coarse = vec![root];
    coarse.extend(tiles_within(pyramid, stand_in, bounds).filter(in_view));
    let mut view: Vec<TileKey> = tiles_within(pyramid, target, bounds).filter(in_view).collect();
    nearest_first(&mut view);

    let downsample = pyramid.levels()[target as usize].downsample;
    let (across, down) =
        (f64::from(DISPLAY_TILE_PX) * downsample.x, f64::from(DISPLAY_TILE_PX) * downsample.y);
    let wider = (
        Level0Point::new(bounds.0.x - across, bounds.0.y - down),
        Level0Point::new(bounds.1.x + across, bounds.1.y + down),
    );
    let mut ring: Vec<TileKey> = tiles_within(pyramid, target, wider).collect();
    nearest_first(&mut ring);

    let cheap = |tile: &TileKey| pyramid.tiles_decoded_for(tile.level) <= CHEAP_STAND_IN;
    let (first, last): (Vec<TileKey>, Vec<TileKey>) = coarse.into_iter().partition(cheap);
    let mut seen = BTreeSet::new();
    let mut is_new = |tile: &TileKey| state(*tile) == TileState::Missing && seen.insert(*tile);
    let mut want: Vec<TileKey> = [first, view, last].into_iter().flatten().filter(&mut is_new).collect();
    let in_view = want.len();
    want.extend(ring.into_iter().filter(is_new));
    (want, in_view)
}

/// Tiles of `level` that overlap the rectangle between two level-0 corners.
fn tiles_within(
    pyramid: &DisplayPyramid,
    level: u32,
    (low, high): (Level0Point, Level0Point),
) -> impl Iterator<Item = TileKey> + use<> {
    let shape = pyramid.levels()[level as usize];
    let range = |from: f64, to: f64, downsample: f64, count: u32| {
        let edge = f64::from(DISPLAY_TILE_PX) * downsample;
        if to <= 0.0 {
            return 0..0;
        }
        // The last tile extends to the slide's edge, which may lie slightly beyond its nominal size.
        let start = (from / edge).floor().clamp(0.0, f64::from(count - 1)) as u32;
        let end = (to / edge).ceil().clamp(1.0, f64::from(count)) as u32;
        start..end
    };
    let columns = range(low.x, high.x, shape.downsample.x, shape.columns());
    let slide = pyramid.key();
    range(low.y, high.y, shape.downsample.y, shape.rows())
        .flat_map(move |row| columns.clone().map(move |column| TileKey { slide, level, column, row }))
}

/// Whether a tile within the bounds of the view is in the view itself.
fn is_in_view(pyramid: &DisplayPyramid, camera: &Camera, viewport: Viewport, tile: TileKey) -> bool {
    if camera.quarter_turns().is_some() {
        return true;
    }
    let (x, y) = pyramid.tile_span(tile);
    let middle = Level0Point::new(f64::midpoint(x.0, x.1), f64::midpoint(y.0, y.1));
    let at = camera.screen_from_level0(middle, viewport);
    let [[a, b], [c, d]] = camera.rotation_matrix().map(|row| row.map(f64::abs));
    let zooms = camera.zooms();
    let (width, height) = ((x.1 - x.0) * zooms.0, (y.1 - y.0) * zooms.1);
    let center = viewport.center();
    (at.x - center.x).abs() < (viewport.width + a * width + b * height) / 2.0
        && (at.y - center.y).abs() < (viewport.height + c * width + d * height) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slide::pyramid::SlideKey;
    use crate::slide::test_slide::TestSlide;
    use proptest::prelude::*;
    use std::sync::Arc;

    const VIEWPORT: Viewport = Viewport { width: 1000.0, height: 700.0 };

    fn pyramid() -> DisplayPyramid {
        let slide = TestSlide::new(20_000, 15_000).with_levels(&[1.0, 4.0, 16.0]);
        DisplayPyramid::new(SlideKey(0), Arc::new(slide))
    }

    fn at(x: f64, y: f64, zoom: f64) -> Camera {
        let mut camera = Camera::fit(20_000.0, 15_000.0, VIEWPORT);
        camera.center = Level0Point::new(x, y);
        camera.zoom = zoom;
        camera
    }

    #[test]
    fn a_loaded_view_draws_its_own_level_only() {
        let pyramid = pyramid();
        let plan = plan_tiles(&pyramid, &at(5000.0, 5000.0, 1.0), VIEWPORT, |_| TileState::Shown);
        assert!(plan.want.is_empty());
        assert_eq!(plan.missing_tiles, MissingTiles::default());
        assert!(plan.draw.iter().all(|tile| tile.level == 0));
        assert_eq!(plan.draw.len(), 3 * 2, "columns 8 to 10 and rows 9 to 10 hold x 4500–5500, y 4650–5350");
    }

    #[test]
    fn tiles_are_requested_from_coarse_to_fine_and_from_the_centre_outwards() {
        let pyramid = pyramid();
        let plan = plan_tiles(&pyramid, &at(5376.0, 5376.0, 1.0), VIEWPORT, |_| TileState::Missing);
        assert!(plan.draw.is_empty());
        assert_eq!(plan.missing_tiles, MissingTiles { sharp: 3 * 3, all: 3 * 3 });
        assert_eq!(plan.want[0], pyramid.root());
        assert_eq!(plan.want[1].level, 2);
        let first_exact = plan.want.iter().find(|tile| tile.level == 0).expect("some");
        assert_eq!((first_exact.column, first_exact.row), (10, 10));
        let ring = plan.want.last().expect("some");
        assert_eq!(ring.level, 0);
        let unique: BTreeSet<_> = plan.want.iter().collect();
        assert_eq!(unique.len(), plan.want.len());
    }

    #[test]
    fn failed_tiles_are_not_asked_for_again_and_ancestors_stand_in() {
        let pyramid = pyramid();
        let camera = at(5000.0, 5000.0, 1.0);
        let plan = plan_tiles(&pyramid, &camera, VIEWPORT, |tile| match tile.level {
            0 => TileState::Failed,
            2 => TileState::Shown,
            _ => TileState::Missing,
        });
        assert!(plan.want.iter().all(|tile| tile.level != 0));
        assert_eq!(plan.missing_tiles, MissingTiles::default(), "failed tiles do not count as missing");
        assert!(plan.draw.iter().all(|tile| tile.level == 2) && !plan.draw.is_empty());
    }

    proptest! {
        /// For any set of loaded tiles: once the tile of the whole slide is loaded, no point in view is
        /// empty, and coarser tiles are never drawn after finer ones.
        #[test]
        fn no_holes_once_the_root_is_there(
            x in 0.0..20_000.0, y in 0.0..15_000.0, log_zoom in -3.2f64..2.0, turn in 0.0..6.3, salt in any::<u32>(),
            stretch in prop_oneof![Just(1.0), 1.0..8.0],
        ) {
            let pyramid = pyramid();
            let mut camera = at(x, y, log_zoom.exp());
            camera.stretch.y = stretch;
            camera.rotation = turn;
            let state = |tile: TileKey| {
                let hash = (tile.column * 31 + tile.row * 17 + tile.level * 7).wrapping_mul(salt | 1) >> 7;
                match hash % 4 {
                    _ if tile == pyramid.root() => TileState::Shown,
                    0 => TileState::Shown,
                    1 => TileState::Fading,
                    2 => TileState::Failed,
                    _ => TileState::Missing,
                }
            };
            let plan = plan_tiles(&pyramid, &camera, VIEWPORT, state);
            prop_assert!(plan.draw.windows(2).all(|pair| pair[0].level >= pair[1].level));
            let opaque: Vec<_> = plan.draw.iter().filter(|tile| state(**tile) == TileState::Shown).collect();
            for step in 0..100 {
                let point = super::super::camera::ScreenPoint {
                    x: f64::from(step % 10) * 111.0, y: f64::from(step / 10) * 77.0,
                };
                let point = camera.level0_from_screen(point, VIEWPORT);
                if point.x >= 0.0 && point.y >= 0.0 && point.x < 20_000.0 && point.y < 15_000.0 {
                    prop_assert!(opaque.iter().any(|tile| pyramid.tile_rect(**tile).contains(point)), "{point:?}");
                }
            }
        }
    }
}
