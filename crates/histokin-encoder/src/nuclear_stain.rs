//! Measurement of how dark a tile's nuclei are, from its pixels. A network's pooled features hardly contain
//! this information.

use tch::{Kind, TchError, Tensor};

use super::readout::DARKEST_ONE_IN;

/// Conversion of a network's normalised input back to the light intensity of its red channel.
#[derive(Debug)]
pub(super) struct NuclearStain {
    /// Light intensity (0 to 1) is `input · scale + shift`.
    scale: f64,
    shift: f64,
}

impl NuclearStain {
    /// Creates the conversion for tiles whose red channel (0 to 1) was normalised with this mean and standard
    /// deviation.
    pub fn new(red_mean: f32, red_std: f32) -> Self {
        // Intensities are 1/256 to 1, so the absorbance of black is finite.
        let [scale, shift] = [255.0 * f64::from(red_std), 255.0 * f64::from(red_mean) + 1.0];
        Self { scale: scale / 256.0, shift: shift / 256.0 }
    }

    /// Computes the red absorbance that a tenth of the pixels exceed, `[N, 1]`, for images `[N, 3, H, W]`,
    /// from every second pixel of every second row.
    ///
    /// Absorbance is the negative natural logarithm of light intensity (Beer–Lambert law). Haematoxylin,
    /// which stains nuclei, absorbs red strongly and eosin hardly does (Ruifrok and Johnston 2001,
    /// "Quantification of histochemical staining by color deconvolution", table 1). The value is therefore
    /// high if nuclei are dark and cover more than a tenth of the tile.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn of(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let red = images.f_select(1, 0)?.f_slice(1, None, None, 2)?.f_slice(2, None, None, 2)?;
        let light = red.f_to_kind(Kind::Float)?.f_mul_scalar(self.scale)?.f_add_scalar(self.shift)?;
        let pixels = light.f_flatten(1, 2)?;
        // The tenth of the pixels that absorb most are those with the lowest intensity.
        let (dark, _) = pixels.f_kthvalue(pixels.size()[1] / DARKEST_ONE_IN + 1, 1, true)?;
        dark.f_clamp(1.0 / 256.0, 1.0)?.f_log()?.f_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const MEAN: [f32; 3] = [0.4, 0.5, 0.6];
    const STD: [f32; 3] = [0.2, 0.3, 0.1];

    /// Returns a tile of 20 × 20 pixels as normalised network input.
    fn tile(colour: impl Fn(usize) -> [u8; 3]) -> Tensor {
        let of_channel = |channel: usize| {
            let scaled = |value: u8| (f32::from(value) / 255.0 - MEAN[channel]) / STD[channel];
            (0..400).map(|pixel| scaled(colour(pixel)[channel])).collect::<Vec<f32>>()
        };
        let values: Vec<f32> = (0..3).flat_map(of_channel).collect();
        Tensor::from_slice(&values).reshape([1, 3, 20, 20])
    }

    fn found(tile: &Tensor) -> f64 {
        let stain = NuclearStain::new(MEAN[0], STD[0]).of(tile).unwrap();
        assert_eq!((stain.size(), stain.device()), (vec![1, 1], Device::Cpu));
        stain.double_value(&[0, 0])
    }

    #[test]
    fn one_colour_absorbs_the_logarithm_of_its_red() {
        let expected = -(91.0_f64 / 256.0).ln();
        assert!((found(&tile(|_| [90, 60, 140])) - expected).abs() < 1e-4);
        assert!(found(&tile(|_| [255, 0, 0])).abs() < 1e-5, "green and blue do not count");
        assert!((found(&tile(|_| [0; 3])) - 256.0_f64.ln()).abs() < 1e-3, "black is finite");
    }

    #[test]
    fn nuclei_count_once_they_take_a_tenth() {
        let (blue, pink) = ([90, 80, 160], [230, 150, 190]);
        let rows_of_nuclei = |rows: usize| found(&tile(|pixel| if pixel / 20 < rows { blue } else { pink }));
        assert_eq!(rows_of_nuclei(2), rows_of_nuclei(0));
        assert!(rows_of_nuclei(4) > rows_of_nuclei(2) + 0.5);
        assert_eq!(rows_of_nuclei(4), rows_of_nuclei(20));
    }
}
