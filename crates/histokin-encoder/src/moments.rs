//! Mean and covariance of features that come in parts, so that they need not be in memory together.

use tch::{Device, Kind, TchError, Tensor};

use super::DescriptorBatch;

/// Sums over tiles, in 64 bits: `[F]` and `[F, F]`, whatever the number of tiles.
#[derive(Debug)]
pub(super) struct Moments {
    /// Number of tiles.
    pub tiles: usize,
    /// Number of features of a tile.
    pub inputs: usize,
    sum: Tensor,
    products: Tensor,
}

impl Moments {
    /// Creates the sums of no tile.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn new(inputs: usize) -> Result<Self, TchError> {
        let columns = inputs as i64;
        let zeros = |shape: &[i64]| Tensor::f_zeros(shape, (Kind::Double, Device::Cpu));
        Ok(Self { tiles: 0, inputs, sum: zeros(&[1, columns])?, products: zeros(&[columns, columns])? })
    }

    /// Adds tiles, one row each, of as many features as the others.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn add(&mut self, features: &DescriptorBatch) -> Result<(), TchError> {
        let x = rows(features)?;
        self.tiles += features.rows().len();
        let _ = self.sum.f_add_(&x.f_sum_dim_intlist([0i64].as_slice(), true, None)?)?;
        let _ = self.products.f_addmm_(&x.f_transpose(0, 1)?, &x)?;
        Ok(())
    }

    /// Returns the mean, `[1, F]`.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn mean(&self) -> Result<Tensor, TchError> {
        self.sum.f_div_scalar(self.tiles as f64)
    }

    /// Returns the covariance, `[F, F]`, of at least two tiles.
    ///
    /// # Errors
    /// An error of libtorch, such as lack of memory.
    pub fn covariance(&self) -> Result<Tensor, TchError> {
        let mean = self.mean()?;
        let of_mean = mean.f_transpose(0, 1)?.f_matmul(&mean)?.f_mul_scalar(self.tiles as f64)?;
        self.products.f_sub(&of_mean)?.f_div_scalar((self.tiles - 1) as f64)
    }
}

/// Returns the rows of a batch as a matrix of 64-bit numbers.
///
/// # Errors
/// An error of libtorch, such as lack of memory.
pub(super) fn rows(batch: &DescriptorBatch) -> Result<Tensor, TchError> {
    let shape = [batch.rows().len() as i64, batch.width as i64];
    Tensor::f_from_slice(&batch.values)?.f_reshape(shape)?.f_to_kind(Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_the_covariance_of_the_whole() {
        let values: Vec<f32> =
            (0..60).map(|index| 100.0 + (index as f32 * 0.7).sin() * (index % 3) as f32).collect();
        let mut moments = Moments::new(3).unwrap();
        for part in values.chunks(12) {
            moments.add(&DescriptorBatch { values: part.to_vec(), width: 3 }).unwrap();
        }
        let whole = rows(&DescriptorBatch { values, width: 3 }).unwrap().transpose(0, 1).cov(
            1,
            None::<Tensor>,
            None::<Tensor>,
        );
        let difference = (moments.covariance().unwrap() - whole).abs().max().double_value(&[]);
        assert!(moments.tiles == 20 && difference < 1e-9, "{difference}");
    }
}
