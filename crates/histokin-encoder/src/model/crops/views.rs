//! Views of a tile in libtorch.

use tch::{TchError, Tensor};

use super::Crops;

impl Crops {
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
        let features = self.um_per_px.iter().map(|um| of_view(&self.view(images, *um)?));
        Tensor::f_cat(&features.collect::<Result<Vec<_>, _>>()?, 1)
    }

    /// Cuts the view at this spacing out of the centre of images, and scales it to the size that the network sees.
    ///
    /// # Errors
    /// An error of libtorch.
    pub(crate) fn view(&self, images: &Tensor, um_per_px: f64) -> Result<Tensor, TchError> {
        let (_, _, height, width) = images.size4()?;
        let edge = |whole: i64| i64::from(self.edge(whole as u32, um_per_px));
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
    use histokin_core::tiling::TileSettings;
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
}
