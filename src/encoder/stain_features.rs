//! Numbers about the stain of a tile, read from its pixels: what pooled features of a network hardly tell.

use tch::{Kind, TchError, Tensor};

/// How many they are.
pub const COUNT: usize = 3;

/// Where they stand among the stain features.
pub const RED_SHARE: usize = 0;
pub const DENSE_RED: usize = 1;
pub const DENSE_SHARE: usize = 2;

/// Which part of the pixels lies below the two that are percentiles.
const DENSE: f64 = 0.9;

/// Absorbance that is added to a pixel's, so that bare glass, whose colour is noise, has a share near 0.
const GLASS: f64 = 0.1;

/// The way back from a network's input to light.
#[derive(Debug)]
pub(super) struct StainFeatures {
    /// `[1, 3, 1, 1]` each: transmitted light (0 to 1) is `input · scale + shift`.
    scale: Tensor,
    shift: Tensor,
}

impl StainFeatures {
    /// Of tiles that were normalised with the mean and standard deviation of each colour channel (0 to 1).
    pub fn new(mean: [f32; 3], std: [f32; 3], device: tch::Device) -> Result<Self, TchError> {
        // Light is counted from 1 of 256, so that black absorbs a finite amount.
        let per_channel =
            |value: [f32; 3]| Tensor::f_from_slice(&value)?.f_reshape([1, 3, 1, 1])?.f_to_device(device);
        Ok(Self {
            scale: per_channel(std.map(|std| std * 255.0 / 256.0))?,
            shift: per_channel(mean.map(|mean| (mean * 255.0 + 1.0) / 256.0))?,
        })
    }

    /// `[N, 3]` of images `[N, 3, H, W]`, from every second pixel of every second row. Absorbance is the negative
    /// logarithm of light (Beer and Lambert). Haematoxylin absorbs red, eosin hardly does (Ruifrok and Johnston 2001,
    /// "Quantification of histochemical staining by color deconvolution", table 1), so that red's share in the absorbance of
    /// all three channels tells the two apart:
    ///
    /// - the share of red in all that the tile absorbs,
    /// - the absorbance of red that a tenth of its pixels exceed: how dense nuclei are,
    /// - the share of red that a tenth of its pixels exceed: whether anything in it is blue.
    pub fn of(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let light = images
            .f_slice(2, None, None, 2)?
            .f_slice(3, None, None, 2)?
            .f_to_kind(Kind::Float)?
            .f_mul(&self.scale)?
            .f_add(&self.shift)?;
        let absorbance = light.f_clamp(1.0 / 256.0, 1.0)?.f_log()?.f_neg()?.f_flatten(2, 3)?;
        let red = absorbance.f_select(1, 0)?.f_contiguous()?;
        let all = absorbance.f_sum_dim_intlist([1i64].as_slice(), false, None)?.f_add_scalar(GLASS)?;
        let sum = |rows: &Tensor| rows.f_sum_dim_intlist([1i64].as_slice(), true, None);
        let rank = (DENSE * red.size()[1] as f64).ceil() as i64;
        let dense = |rows: &Tensor| Ok::<_, TchError>(rows.f_kthvalue(rank, 1, true)?.0);
        Tensor::f_cat(&[sum(&red)?.f_div(&sum(&all)?)?, dense(&red)?, dense(&red.f_div(&all)?)?], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const MEAN: [f32; 3] = [0.4, 0.5, 0.6];
    const STD: [f32; 3] = [0.2, 0.3, 0.1];

    /// A tile of 20 × 20 pixels, as a network would be given it.
    fn tile(colour: impl Fn(usize) -> [u8; 3]) -> Tensor {
        let values: Vec<f32> = (0..3)
            .flat_map(|channel| {
                let colour = &colour;
                (0..400).map(move |pixel| {
                    (f32::from(colour(pixel)[channel]) / 255.0 - MEAN[channel]) / STD[channel]
                })
            })
            .collect();
        Tensor::from_slice(&values).reshape([1, 3, 20, 20])
    }

    fn found(tile: &Tensor) -> Vec<f32> {
        let features = StainFeatures::new(MEAN, STD, Device::Cpu).unwrap().of(tile).unwrap();
        assert_eq!(features.size(), [1, COUNT as i64]);
        Vec::try_from(features.flatten(0, 1)).unwrap()
    }

    #[test]
    fn one_colour_has_the_shares_of_its_absorbance() {
        let absorbance = |value: u8| -((f32::from(value) + 1.0) / 256.0).ln();
        let [red, green, blue] = [90, 60, 140];
        let share = absorbance(red) / (absorbance(red) + absorbance(green) + absorbance(blue) + 0.1);
        let expected = [share, absorbance(red), share];
        let found = found(&tile(|_| [red, green, blue]));
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
    }

    #[test]
    fn glass_has_none_and_black_is_finite() {
        assert!(found(&tile(|_| [255; 3])).iter().all(|value| value.abs() < 1e-5));
        assert!(found(&tile(|_| [0; 3])).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn more_than_a_tenth_of_blue_is_seen_and_less_is_not() {
        let (blue, pink) = ([90, 80, 160], [230, 150, 190]);
        let dense = |rows: usize| found(&tile(|pixel| if pixel / 20 < rows { blue } else { pink }));
        let (few, many) = (dense(2), dense(4));
        assert_eq!(few[DENSE_RED], dense(0)[DENSE_RED]);
        assert!(many[DENSE_RED] > few[DENSE_RED] && many[DENSE_SHARE] > few[DENSE_SHARE]);
        assert!(many[RED_SHARE] > few[RED_SHARE] && few[RED_SHARE] > dense(0)[RED_SHARE]);
    }
}
