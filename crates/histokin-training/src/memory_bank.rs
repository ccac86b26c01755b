//! Non-parametric instance discrimination (Wu et al. 2018, "Unsupervised feature learning via non-parametric
//! instance discrimination"): every tile is its own class, and a memory bank holds what the network said of
//! each when it was last seen.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, TchError, Tensor};

use super::losses::unit_length;

/// The last descriptor of every tile, of length 1: `[n, D]`.
pub struct MemoryBank {
    features: Tensor,
    /// Stands for the sum over all tiles in the estimate of a probability; fixed at the first step
    /// (section 3.2, after equation 8).
    normaliser: Option<f64>,
    temperature: f64,
    momentum: f64,
}

impl MemoryBank {
    /// Random directions, decided by `seed`.
    pub fn new(
        instances: usize,
        width: usize,
        temperature: f64,
        momentum: f64,
        seed: u64,
        device: Device,
    ) -> Result<Self, TchError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..instances * width).map(|_| random.random_range(-1.0..1.0)).collect();
        let features = Tensor::f_from_slice(&values)?.f_reshape([instances as i64, width as i64])?;
        let features = unit_length(&features)?.f_to_device(device)?;
        Ok(Self { features, normaliser: None, temperature, momentum })
    }

    /// The mean loss of `descriptors` `[N, D]` of the tiles `instances` `[N]` (int64), compared with all tiles: the
    /// negative logarithm of equation 2.
    pub fn full_softmax(&self, descriptors: &Tensor, instances: &Tensor) -> Result<Tensor, TchError> {
        let unit = unit_length(descriptors)?;
        let alike = unit.f_matmul(&self.features.f_transpose(0, 1)?)?.f_div_scalar(self.temperature)?;
        let logged = alike.f_log_softmax(1, None::<Kind>)?;
        logged.f_gather(1, &instances.f_unsqueeze(1)?, false)?.f_neg()?.f_mean(None::<Kind>)
    }

    /// The mean loss by noise-contrastive estimation (equations 6 and 7): each tile against the `m` tiles
    /// `noise` `[N, m]` (int64), drawn evenly. The first call fixes the normaliser.
    pub fn noise_contrastive(
        &mut self,
        descriptors: &Tensor,
        instances: &Tensor,
        noise: &Tensor,
    ) -> Result<Tensor, TchError> {
        let count = self.features.size()[0] as f64;
        let (rows, m) = noise.size2()?;
        let unit = unit_length(descriptors)?;
        let compared = Tensor::f_cat(&[instances.f_unsqueeze(1)?, noise.shallow_clone()], 1)?;
        let others = self.features.f_index_select(0, &compared.f_reshape([-1])?)?;
        let others = others.f_reshape([rows, m + 1, -1])?;
        let alike = others.f_bmm(&unit.f_unsqueeze(2)?)?.f_squeeze_dim(2)?;
        let weights = alike.f_div_scalar(self.temperature)?.f_exp()?;
        let normaliser = match self.normaliser {
            Some(known) => known,
            None => {
                let mean = weights.f_narrow(1, 1, m)?.f_mean(Kind::Double)?.f_double_value(&[])?;
                *self.normaliser.insert(count * mean)
            }
        };
        let probability = weights.f_div_scalar(normaliser)?;
        // Equation 5: the share of the data in data and noise together, the noise being m / n everywhere.
        let of_noise = m as f64 / count;
        let posterior = probability.f_div(&probability.f_add_scalar(of_noise)?)?;
        let from_data = posterior.f_narrow(1, 0, 1)?.f_log()?;
        let from_noise = posterior.f_narrow(1, 1, m)?.f_neg()?.f_log1p()?;
        let sum = from_data
            .f_sum_dim_intlist([1i64].as_slice(), false, None)?
            .f_add(&from_noise.f_sum_dim_intlist([1i64].as_slice(), false, None)?)?;
        sum.f_neg()?.f_mean(None::<Kind>)
    }

    /// Remember what the network says now, mixed with what it said before.
    pub fn update(&mut self, descriptors: &Tensor, instances: &Tensor) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        let now = unit_length(&descriptors.f_detach()?)?.f_to_kind(self.features.kind())?;
        let before = self.features.f_index_select(0, instances)?;
        let mixed = before.f_mul_scalar(self.momentum)?.f_add(&now.f_mul_scalar(1.0 - self.momentum)?)?;
        let _ = self.features.f_index_copy_(0, instances, &unit_length(&mixed)?)?;
        Ok(())
    }

    /// What a checkpoint keeps.
    pub fn state(&self) -> (Tensor, Option<f64>) {
        (self.features.shallow_clone(), self.normaliser)
    }

    /// Take up a kept state; `false` when it is of other tiles.
    pub fn restore(&mut self, features: &Tensor, normaliser: Option<f64>) -> Result<bool, TchError> {
        let fits = features.size() == self.features.size();
        if fits {
            self.features.f_copy_(features)?;
            self.normaliser = normaliser;
        }
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::super::losses::tests::check_gradient;
    use super::*;

    const TEMPERATURE: f64 = 0.07;

    fn bank() -> MemoryBank {
        let mut bank = MemoryBank::new(6, 4, TEMPERATURE, 0.5, 1, Device::Cpu).unwrap();
        bank.features = bank.features.to_kind(Kind::Double);
        bank
    }

    fn descriptors() -> Tensor {
        (Tensor::arange(12, (Kind::Double, Device::Cpu)) * 0.37).sin().reshape([3, 4])
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
        let (rows, columns) = tensor.size2().unwrap();
        (0..rows).map(|i| (0..columns).map(|j| tensor.double_value(&[i, j])).collect()).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// exp(v · f / τ) of every descriptor, scaled to length 1, and every entry of the bank.
    fn weights(bank: &MemoryBank) -> Vec<Vec<f64>> {
        let (v, f) = (rows(&descriptors()), rows(&bank.features));
        let of =
            |v: &Vec<f64>| f.iter().map(|f| (dot(v, f) / dot(v, v).sqrt() / TEMPERATURE).exp()).collect();
        v.iter().map(of).collect()
    }

    #[test]
    fn full_softmax_is_the_direct_formula() {
        let bank = bank();
        let instances = [4_usize, 0, 2];
        let direct = weights(&bank)
            .iter()
            .zip(instances)
            .map(|(weights, own)| -(weights[own] / weights.iter().sum::<f64>()).ln())
            .sum::<f64>()
            / 3.0;
        let loss = bank.full_softmax(&descriptors(), &Tensor::from_slice(&[4_i64, 0, 2])).unwrap();
        assert!((loss.double_value(&[]) - direct).abs() < 1e-9, "{loss:?} instead of {direct}");
    }

    #[test]
    fn noise_contrastive_estimation_is_the_direct_formula() {
        let mut bank = bank();
        let (instances, noise) = ([4_usize, 0, 2], [[1_usize, 5], [3, 3], [0, 1]]);
        let weights = weights(&bank);
        let drawn = weights.iter().zip(noise).flat_map(|(weights, noise)| noise.map(|other| weights[other]));
        let z = 6.0 * drawn.sum::<f64>() / 6.0;
        let posterior = |weight: f64| weight / z / (weight / z + 2.0 / 6.0);
        let direct = weights
            .iter()
            .zip(instances)
            .zip(noise)
            .map(|((weights, own), noise)| {
                let of_noise: f64 = noise.iter().map(|other| (1.0 - posterior(weights[*other])).ln()).sum();
                -posterior(weights[own]).ln() - of_noise
            })
            .sum::<f64>()
            / 3.0;
        let instances = Tensor::from_slice(&[4_i64, 0, 2]);
        let noise = Tensor::from_slice(&[1_i64, 5, 3, 3, 0, 1]).reshape([3, 2]);
        let loss = bank.noise_contrastive(&descriptors(), &instances, &noise).unwrap();
        assert!(
            (loss.double_value(&[]) - direct).abs() < 1e-9 * direct.abs(),
            "{loss:?} instead of {direct}"
        );
        assert!((bank.state().1.unwrap() - z).abs() < 1e-9 * z);
        // The normaliser stays as the first step found it.
        let _ = bank.noise_contrastive(&(descriptors() * -1.0), &instances, &noise).unwrap();
        assert!((bank.state().1.unwrap() - z).abs() < 1e-9 * z);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let instances = Tensor::from_slice(&[4_i64, 0, 2]);
        check_gradient(&descriptors(), |x| bank().full_softmax(x, &instances).unwrap());
        let noise = Tensor::from_slice(&[1_i64, 5, 3, 3, 0, 1]).reshape([3, 2]);
        check_gradient(&descriptors(), |x| {
            let mut bank = bank();
            bank.normaliser = Some(50.0);
            bank.noise_contrastive(x, &instances, &noise).unwrap()
        });
    }

    #[test]
    fn the_bank_remembers_in_part_and_stays_of_length_one() {
        let mut bank = bank();
        let before = rows(&bank.features);
        bank.update(&descriptors(), &Tensor::from_slice(&[4_i64, 0, 2])).unwrap();
        let after = rows(&bank.features);
        for (index, row) in after.iter().enumerate() {
            assert!((dot(row, row) - 1.0).abs() < 1e-6);
            assert_eq!(*row == before[index], [1, 3, 5].contains(&index));
        }
        let new = rows(&unit_length(&descriptors()).unwrap());
        let mixed: Vec<f64> = before[0].iter().zip(&new[1]).map(|(a, b)| 0.5 * a + 0.5 * b).collect();
        let length = dot(&mixed, &mixed).sqrt();
        assert!(mixed.iter().zip(&after[0]).all(|(a, b)| (a / length - b).abs() < 1e-9));
    }
}
