//! Views of a tile at several magnifications.

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::Preprocessing;
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
                "tiles of {tile_px} px at {mpp} µm/px do not hold the crops, which need {} px at {} µm/px",
                expected.tile_px, expected.mpp
            ));
        }
        Ok(())
    }

    /// Computes the features of all views of `images`, `[N, 3, H, W]`, by `of_view` for images of this size, and
    /// concatenates them: `[N, views · F]`. On a slide that is coarser than the tiles, views keep their shares of the
    /// tile.
    ///
    /// # Errors
    /// An error of `of_view`, or of libtorch.
    pub fn features(
        &self,
        images: &Tensor,
        of_view: impl Fn(&Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let features = self.um_per_px.iter().map(|um| of_view(&self.view(images, um / self.widest())?));
        Tensor::f_cat(&features.collect::<Result<Vec<_>, _>>()?, 1)
    }

    /// Cuts the centre, `share` of each edge, out of images, and scales it to the size that the network sees.
    fn view(&self, images: &Tensor, share: f64) -> Result<Tensor, TchError> {
        let (_, _, height, width) = images.size4()?;
        let edge = |whole: i64| ((whole as f64 * share).round() as i64).clamp(1, whole);
        let (rows, columns) = (edge(height), edge(width));
        let centre =
            images.f_narrow(2, (height - rows) / 2, rows)?.f_narrow(3, (width - columns) / 2, columns)?;
        let size = i64::from(self.px);
        match (rows, columns) == (size, size) {
            true => Ok(centre),
            false => centre.f_internal_upsample_bilinear2d_aa([size, size], false, None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn views_are_the_whole_tile_and_its_centre() {
        let crops = Crops { px: 4, um_per_px: vec![1.0, 0.5] };
        assert_eq!(crops.tiles(), TileSettings { tile_px: 8, mpp: 0.5 });
        // Dark, with a bright square of 4 px in the middle.
        let images = Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu));
        let _ = images.narrow(2, 2, 4).narrow(3, 2, 4).fill_(1.0);
        let mean = |view: &Tensor| {
            assert_eq!(view.size(), [1, 3, 4, 4]);
            view.f_mean_dim([2i64, 3].as_slice(), false, None)
        };
        let found = Vec::<f32>::try_from(crops.features(&images, mean).unwrap().flatten(0, 1)).unwrap();
        assert!(found[..3].iter().all(|mean| (mean - 0.25).abs() < 0.05), "the context: {found:?}");
        assert_eq!(found[3..], [1.0; 3], "the detail");
        // Of a tile of half as many pixels, from a coarser slide, views are the same parts.
        let coarse = Tensor::zeros([1, 3, 4, 4], (Kind::Float, Device::Cpu));
        let _ = coarse.narrow(2, 1, 2).narrow(3, 1, 2).fill_(1.0);
        let found = Vec::<f32>::try_from(crops.features(&coarse, mean).unwrap().flatten(0, 1)).unwrap();
        assert!((found[0] - 0.25).abs() < 1e-6 && (found[3] - 1.0).abs() < 1e-6, "{found:?}");
    }

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
