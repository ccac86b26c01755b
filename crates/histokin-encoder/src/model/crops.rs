//! Views of a tile at several magnifications.

#[cfg(feature = "torch")]
mod views;

use serde::{Deserialize, Serialize};

use super::Preprocessing;
use histokin_core::number_format::plain;
use histokin_core::tiling::TileSettings;

/// Largest number of views: each costs as much time as a tile of its own.
const MOST: usize = 4;

/// Square views of a tile around its centre, each at its own spacing: a wide one shows the surroundings, a narrow one
/// the cells. The network sees each at the same size, and the features of all, concatenated in this order, are those of
/// the tile. The tile is as wide as the widest view and read at the finest spacing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crops {
    /// Edge length in pixels at which the network sees a view.
    pub px: u32,
    /// Spacing of each view, in µm per pixel.
    pub um_per_px: Vec<f64>,
}

impl Crops {
    /// Returns the number of views.
    pub fn count(&self) -> usize {
        self.um_per_px.len()
    }

    /// Returns the tiles that hold all views.
    pub fn tiles(&self) -> TileSettings {
        let mpp = self.um_per_px.iter().copied().fold(f64::INFINITY, f64::min);
        let tile_px = (f64::from(self.px) * self.widest() / mpp).round() as u32;
        TileSettings { tile_px, mpp }
    }

    fn widest(&self) -> f64 {
        self.um_per_px.iter().copied().fold(0.0, f64::max)
    }

    /// Checks the number of views and their spacings.
    ///
    /// # Errors
    /// A message with what was expected.
    pub fn check(&self) -> Result<(), String> {
        let is_spacing = |um: &f64| um.is_finite() && *um > 0.0;
        if !(1..=MOST).contains(&self.count()) || !self.um_per_px.iter().all(is_spacing) {
            return Err(format!(
                "crops.um_per_px is {:?}; give the spacings of 1 to {MOST} views, such as [1.0, 0.5]",
                self.um_per_px
            ));
        }
        match self.tiles().is_plausible() {
            true => Ok(()),
            false => Err(format!("crops of {} px at {:?} µm/px differ too much", self.px, self.um_per_px)),
        }
    }

    /// Checks the views and that the tiles hold them.
    pub(super) fn check_tiles(&self, preprocessing: &Preprocessing) -> Result<(), String> {
        self.check()?;
        let expected = self.tiles();
        let Preprocessing { tile_px, mpp, .. } = *preprocessing;
        if (tile_px, mpp) != (expected.tile_px, expected.mpp) {
            return Err(format!(
                "tiles of {tile_px} px at {} µm/px do not hold the crops, which need {} px at {} µm/px",
                plain(mpp),
                expected.tile_px,
                plain(expected.mpp)
            ));
        }
        Ok(())
    }

    /// Returns the edge in pixels of the part of a tile's edge of `whole` pixels that the view at this spacing is. On a
    /// slide that is coarser than the tiles, views keep their shares of the tile.
    pub(crate) fn edge(&self, whole: u32, um_per_px: f64) -> u32 {
        let share = um_per_px / self.widest();
        (f64::from(whole) * share).round().clamp(1.0, f64::from(whole).max(1.0)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_that_the_tiles_do_not_hold_are_refused() {
        let crops = Crops { px: 224, um_per_px: vec![1.0, 0.5] };
        let refused = crops.check_tiles(&Preprocessing::default()).unwrap_err();
        assert!(refused.contains("448 px at 0.5"), "{refused}");
        let tiles = Preprocessing { tile_px: 448, mpp: 0.5, ..Preprocessing::default() };
        assert!(crops.check_tiles(&tiles).is_ok());
        for um_per_px in [vec![], vec![1.0, 0.0], vec![f64::NAN], vec![1.0; 5]] {
            assert!(Crops { px: 224, um_per_px }.check().unwrap_err().contains("um_per_px"));
        }
    }
}
