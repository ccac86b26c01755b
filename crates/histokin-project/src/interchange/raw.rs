//! Features as a file holds them, before its bad tiles are left out.

use super::stated::Stated;
use super::{LeftOut, Places, TileFeatures};

/// Numbers and places of tiles, as many of one as of the other, of which any may be NaN.
pub(super) struct RawFeatures {
    pub width: usize,
    /// `places × width`.
    pub values: Vec<f32>,
    pub places: RawPlaces,
    pub stated: Stated,
}

/// Places in the space that the file states.
pub(super) enum RawPlaces {
    /// Level-0 pixels of the top-left corner.
    Corners(Vec<[f64; 2]>),
    /// µm of the top-left corner.
    CornersUm(Vec<[f64; 2]>),
    /// µm of the centre.
    CentersUm(Vec<[f64; 2]>),
}

/// Pixels and µm beyond this lie on no slide.
const FARTHEST: f64 = 1e9;

impl RawFeatures {
    /// Leave out the tiles whose descriptor or place is not finite.
    ///
    /// # Errors
    /// When no tile remains of those that the file holds, a tile lies farther away than any slide reaches, or the
    /// numbers do not belong to the places.
    pub fn checked(self) -> Result<TileFeatures, String> {
        let Self { width, mut values, places, stated } = self;
        let (RawPlaces::Corners(at) | RawPlaces::CornersUm(at) | RawPlaces::CentersUm(at)) = &places;
        let tiles = at.len();
        if values.len() != tiles * width || (width == 0 && tiles > 0) {
            return Err(format!("{} numbers for {tiles} tiles", values.len()));
        }
        let is_finite = |tile: usize| values[tile * width..(tile + 1) * width].iter().all(|v| v.is_finite());
        let is_placed = |tile: usize| at[tile].iter().all(|place| place.is_finite());
        let placed: Vec<bool> = (0..tiles).map(is_placed).collect();
        let kept: Vec<bool> = (0..tiles).map(|tile| placed[tile] && is_finite(tile)).collect();
        let no_place = placed.iter().filter(|placed| !**placed).count();
        let not_finite = kept.iter().filter(|kept| !**kept).count() - no_place;
        if tiles > 0 && no_place + not_finite == tiles {
            return Err(format!(
                "the descriptor or the place of every one of its {tiles} tiles is NaN or infinite"
            ));
        }
        if no_place + not_finite > 0 {
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
            match kept.iter().find(|at| at.iter().any(|place| place.abs() > FARTHEST)) {
                Some([x, y]) => Err(format!("a tile at {x}, {y} lies farther away than any slide reaches")),
                None => Ok(kept),
            }
        };
        let places = match places {
            RawPlaces::Corners(at) => {
                Places::Corners(pick(at)?.iter().map(|at| at.map(|place| place.round() as i64)).collect())
            }
            RawPlaces::CornersUm(at) => Places::CornersUm(pick(at)?),
            RawPlaces::CentersUm(at) => Places::CentersUm(pick(at)?),
        };
        Ok(TileFeatures { width, values, places, stated, left_out: LeftOut { not_finite, no_place } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(values: &[f32], corners: &[[f64; 2]]) -> Result<TileFeatures, String> {
        let places = RawPlaces::Corners(corners.to_vec());
        RawFeatures { width: 2, values: values.to_vec(), places, stated: Stated::default() }.checked()
    }

    #[test]
    fn bad_tiles_are_left_out_and_counted() {
        let values = [1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0, 7.0, f32::INFINITY];
        let found = raw(&values, &[[0.0, 0.0], [1.0, 0.0], [f64::NAN, 0.0], [3.0, 0.0]]).unwrap();
        assert_eq!((found.values, found.places), (vec![1.0, 2.0], Places::Corners(vec![[0, 0]])));
        assert_eq!(found.left_out, LeftOut { not_finite: 2, no_place: 1 });
    }

    #[test]
    fn a_file_without_a_usable_tile_is_refused() {
        let text = raw(&[f32::NAN, 1.0], &[[0.0, 0.0]]).unwrap_err();
        assert!(text.contains("every one of its 1 tiles"), "{text}");
        assert!(raw(&[1.0, 1.0], &[[1e12, 0.0]]).unwrap_err().contains("farther away"));
        assert!(raw(&[1.0], &[[0.0, 0.0]]).unwrap_err().contains("1 numbers for 1 tiles"));
        assert_eq!(raw(&[], &[]).unwrap().places.len(), 0);
    }
}
