//! Descriptors as stored in a file, before unusable tiles are left out.

use super::stated::Stated;
use super::{LeftOut, TileFeatures, TilePositions};

/// Descriptors and positions of tiles; all numbers may be NaN or infinite.
pub(super) struct RawFeatures {
    /// Number of values in a descriptor.
    pub width: usize,
    /// Values of all descriptors, number of positions × `width`.
    pub values: Vec<f32>,
    /// Position of each tile.
    pub positions: RawPositions,
    /// Statements of the file about its tiles.
    pub stated: Stated,
}

/// Positions in the coordinates of the file.
pub(super) enum RawPositions {
    /// Level-0 pixels of the top-left corner.
    Corners(Vec<[f64; 2]>),
    /// µm of the top-left corner.
    CornersUm(Vec<[f64; 2]>),
    /// µm of the centre.
    CentersUm(Vec<[f64; 2]>),
}

/// Maximum coordinate on a slide, in pixels or µm.
const FARTHEST: f64 = 1e9;

impl RawFeatures {
    /// Leaves out the tiles whose descriptor or position is not finite.
    ///
    /// # Errors
    /// When no tile of the file remains, a tile lies farther away than any slide extends, or the numbers of
    /// values and positions do not match.
    pub fn checked(self) -> Result<TileFeatures, String> {
        let Self { width, mut values, positions, stated } = self;
        let (RawPositions::Corners(at) | RawPositions::CornersUm(at) | RawPositions::CentersUm(at)) =
            &positions;
        let tiles = at.len();
        if values.len() != tiles * width || (width == 0 && tiles > 0) {
            return Err(format!("{} numbers for {tiles} tiles", values.len()));
        }
        let is_finite = |tile: usize| values[tile * width..(tile + 1) * width].iter().all(|v| v.is_finite());
        let is_placed = |tile: usize| at[tile].iter().all(|coordinate| coordinate.is_finite());
        let placed: Vec<bool> = (0..tiles).map(is_placed).collect();
        let kept: Vec<bool> = (0..tiles).map(|tile| placed[tile] && is_finite(tile)).collect();
        let no_position = placed.iter().filter(|placed| !**placed).count();
        let not_finite = kept.iter().filter(|kept| !**kept).count() - no_position;
        if tiles > 0 && no_position + not_finite == tiles {
            return Err(format!(
                "the descriptor or the position of every one of its {tiles} tiles is NaN or infinite"
            ));
        }
        if no_position + not_finite > 0 {
            let mut tile = 0;
            values.retain(|_| {
                let keep = kept[tile / width];
                tile += 1;
                keep
            });
        }
        let pick = |at: Vec<[f64; 2]>| -> Result<Vec<[f64; 2]>, String> {
            let kept: Vec<[f64; 2]> =
                at.into_iter().zip(&kept).filter(|(_, keep)| **keep).map(|(at, _)| at).collect();
            match kept.iter().find(|at| at.iter().any(|coordinate| coordinate.abs() > FARTHEST)) {
                Some([x, y]) => Err(format!("a tile at {x}, {y} lies farther away than any slide extends")),
                None => Ok(kept),
            }
        };
        let positions = match positions {
            RawPositions::Corners(at) => TilePositions::Corners(
                pick(at)?.iter().map(|at| at.map(|value| value.round() as i64)).collect(),
            ),
            RawPositions::CornersUm(at) => TilePositions::CornersUm(pick(at)?),
            RawPositions::CentersUm(at) => TilePositions::CentersUm(pick(at)?),
        };
        Ok(TileFeatures { width, values, positions, stated, left_out: LeftOut { not_finite, no_position } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(values: &[f32], corners: &[[f64; 2]]) -> Result<TileFeatures, String> {
        let positions = RawPositions::Corners(corners.to_vec());
        RawFeatures { width: 2, values: values.to_vec(), positions, stated: Stated::default() }.checked()
    }

    #[test]
    fn bad_tiles_are_left_out_and_counted() {
        let values = [1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0, 7.0, f32::INFINITY];
        let found = raw(&values, &[[0.0, 0.0], [1.0, 0.0], [f64::NAN, 0.0], [3.0, 0.0]]).unwrap();
        assert_eq!((found.values, found.positions), (vec![1.0, 2.0], TilePositions::Corners(vec![[0, 0]])));
        assert_eq!(found.left_out, LeftOut { not_finite: 2, no_position: 1 });
    }

    #[test]
    fn a_file_without_a_usable_tile_is_refused() {
        let text = raw(&[f32::NAN, 1.0], &[[0.0, 0.0]]).unwrap_err();
        assert!(text.contains("every one of its 1 tiles"), "{text}");
        assert!(raw(&[1.0, 1.0], &[[1e12, 0.0]]).unwrap_err().contains("farther away"));
        assert!(raw(&[1.0], &[[0.0, 0.0]]).unwrap_err().contains("1 numbers for 1 tiles"));
        assert_eq!(raw(&[], &[]).unwrap().positions.len(), 0);
    }
}
