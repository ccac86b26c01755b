//! AdamW on tensors, with a state that can be saved and restored, and the learning rate schedule.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use tch::{Kind, TchError, Tensor};

use histokin_encoder::weights::Tensors;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// AdamW (Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2) over named
/// parameters. Weight decay applies to kernels, not to biases or to the scale and shift of batch norms.
pub struct AdamW {
    parameters: BTreeMap<String, Tensor>,
    /// Running means of the gradient and of its square, for each parameter.
    moments: BTreeMap<String, (Tensor, Tensor)>,
    /// Number of steps taken.
    steps: u64,
    weight_decay: f64,
}

impl AdamW {
    /// Creates an optimiser with zero moments.
    ///
    /// # Errors
    /// Returns libtorch's error, for example if the device has too little memory.
    pub fn new(parameters: BTreeMap<String, Tensor>, weight_decay: f64) -> Result<Self, TchError> {
        let zeros = |(name, tensor): (&String, &Tensor)| {
            let tensor = tensor.f_detach()?;
            Ok((name.clone(), (tensor.f_zeros_like()?, tensor.f_zeros_like()?)))
        };
        let moments = parameters.iter().map(zeros).collect::<Result<_, TchError>>()?;
        Ok(Self { parameters, moments, steps: 0, weight_decay })
    }

    /// Sets all gradients to zero.
    pub fn zero_gradients(&mut self) {
        self.parameters.values_mut().for_each(Tensor::zero_grad);
    }

    /// Returns the Euclidean norm of all gradients together.
    ///
    /// # Errors
    /// Returns libtorch's error.
    pub fn gradient_norm(&self) -> Result<f64, TchError> {
        let _no_grad = tch::no_grad_guard();
        let squares = self
            .parameters
            .values()
            .map(Tensor::grad)
            .filter(Tensor::defined)
            .map(|gradient| gradient.f_to_kind(Kind::Double)?.f_square()?.f_sum(Kind::Double))
            .collect::<Result<Vec<_>, _>>()?;
        if squares.is_empty() {
            return Ok(0.0);
        }
        Ok(Tensor::f_stack(&squares, 0)?.f_sum(Kind::Double)?.f_double_value(&[])?.sqrt())
    }

    /// Takes one step along the gradients, which are first multiplied by `scale` (to clip them, or to undo
    /// the scaling of a 16-bit loss).
    ///
    /// # Errors
    /// Returns libtorch's error.
    pub fn step(&mut self, lr: f64, scale: f64) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        self.steps += 1;
        let steps = self.steps as i32;
        let (correction1, correction2) = (1.0 - BETA1.powi(steps), 1.0 - BETA2.powi(steps));
        for (name, parameter) in &mut self.parameters {
            let gradient = parameter.grad();
            let Some((mean, square)) = self.moments.get_mut(name).filter(|_| gradient.defined()) else {
                continue;
            };
            let gradient = gradient.f_mul_scalar(scale)?;
            let _ = mean.f_mul_scalar_(BETA1)?.f_add_(&gradient.f_mul_scalar(1.0 - BETA1)?)?;
            let _ = square.f_mul_scalar_(BETA2)?.f_add_(&gradient.f_square()?.f_mul_scalar_(1.0 - BETA2)?)?;
            let root = square.f_div_scalar(correction2)?.f_sqrt()?.f_add_scalar_(EPSILON)?;
            let update = mean.f_div(&root)?.f_mul_scalar_(lr / correction1)?;
            if parameter.dim() > 1 {
                let _ = parameter.f_mul_scalar_(1.0 - lr * self.weight_decay)?;
            }
            let _ = parameter.f_sub_(&update)?;
        }
        Ok(())
    }

    /// Returns the moments for a checkpoint; [`AdamW::steps`] is needed as well.
    pub fn state(&self) -> Tensors {
        let both = |(name, (mean, square)): (&String, &(Tensor, Tensor))| {
            [
                (format!("mean.{name}"), mean.shallow_clone()),
                (format!("square.{name}"), square.shallow_clone()),
            ]
        };
        self.moments.iter().flat_map(both).collect()
    }

    /// Number of steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Restores a saved state; returns false if it belongs to other parameters.
    ///
    /// # Errors
    /// Returns libtorch's error.
    pub fn restore(&mut self, state: &Tensors, steps: u64) -> Result<bool, TchError> {
        let _no_grad = tch::no_grad_guard();
        let current = self.state();
        let fits = current.len() == state.len()
            && current
                .iter()
                .all(|(name, tensor)| state.get(name).is_some_and(|other| other.size() == tensor.size()));
        if fits {
            for (name, mut tensor) in current {
                tensor.f_copy_(&state[&name])?;
            }
            self.steps = steps;
        }
        Ok(fits)
    }
}

/// Returns the learning rate at `step` (from 0): it rises linearly over `warmup` steps, then falls along half
/// a cosine to a hundredth of `highest` at `total`.
pub fn learning_rate(step: u64, warmup: u64, total: u64, highest: f64) -> f64 {
    const LOWEST: f64 = 0.01;
    if step < warmup {
        return highest * (step + 1) as f64 / warmup as f64;
    }
    let along = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
    highest * (LOWEST + (1.0 - LOWEST) * 0.5 * (1.0 + (PI * along.min(1.0)).cos()))
}

/// Factor by which a loss is multiplied so that 16-bit gradients neither vanish nor overflow; adapted during
/// training (Micikevicius et al. 2018, "Mixed precision training", section 3.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale {
    /// The factor.
    pub factor: f64,
    /// Steps since the last overflow.
    steps_since_overflow: u32,
}

impl LossScale {
    /// For 32-bit gradients: no scaling.
    pub const NONE: Self = Self { factor: 1.0, steps_since_overflow: 0 };
    /// Initial value for 16-bit gradients.
    pub const HALF: Self = Self { factor: 32_768.0, steps_since_overflow: 0 };

    /// Returns the scale of a checkpoint with this factor.
    pub fn resumed(factor: f64) -> Self {
        Self { factor, steps_since_overflow: 0 }
    }

    /// Returns the scale after a step: an overflow halves the factor (and the step is skipped); many steps
    /// without one double it.
    pub fn after(self, overflowed: bool) -> Self {
        const DOUBLED_AFTER: u32 = 1000;
        match (overflowed, self.steps_since_overflow) {
            (true, _) => Self { factor: self.factor / 2.0, steps_since_overflow: 0 },
            (false, steps_since_overflow) if steps_since_overflow + 1 >= DOUBLED_AFTER => {
                Self { factor: self.factor * 2.0, steps_since_overflow: 0 }
            }
            (false, steps_since_overflow) => Self { steps_since_overflow: steps_since_overflow + 1, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(values: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).reshape(shape).set_requires_grad(true)
    }

    fn named(tensor: &Tensor) -> BTreeMap<String, Tensor> {
        BTreeMap::from([("w".to_owned(), tensor.shallow_clone())])
    }

    /// Algorithm 2 written out for one number.
    #[test]
    fn steps_follow_the_formula() {
        for (shape, decay) in [([1, 1].as_slice(), 0.1), (&[1], 0.0)] {
            let tensor = parameter(&[2.0], shape);
            let mut optimiser = AdamW::new(named(&tensor), 0.1).unwrap();
            let (mut x, mut m, mut v) = (2.0_f64, 0.0, 0.0);
            for step in 1..=5 {
                optimiser.zero_gradients();
                (&tensor * &tensor * 3.0).sum(Kind::Float).backward();
                let lr = 0.05 * f64::from(step);
                optimiser.step(lr, 0.5).unwrap();
                let gradient = 0.5 * 6.0 * x;
                m = 0.9 * m + 0.1 * gradient;
                v = 0.999 * v + 0.001 * gradient * gradient;
                let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(step)), v / (1.0 - 0.999_f64.powi(step)));
                x = x * (1.0 - lr * decay) - lr * m_hat / (v_hat.sqrt() + 1e-8);
                let found = tensor.detach().flatten(0, -1).double_value(&[0]);
                assert!((found - x).abs() < 1e-4, "step {step}: {found} instead of {x}");
            }
        }
    }

    #[test]
    fn a_restored_state_goes_on_alike() {
        let run = |from: Option<(&Tensors, u64, &Tensor)>, steps: u64| {
            let tensor = parameter(&[1.0, -2.0, 0.5, 3.0], &[2, 2]);
            let mut optimiser = AdamW::new(named(&tensor), 0.01).unwrap();
            if let Some((state, taken, values)) = from {
                tch::no_grad(|| tensor.shallow_clone().copy_(values));
                assert!(optimiser.restore(state, taken).unwrap());
            }
            for _ in 0..steps {
                optimiser.zero_gradients();
                tensor.square().sum(Kind::Float).backward();
                optimiser.step(0.1, 1.0).unwrap();
            }
            let state: Tensors =
                optimiser.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
            (tensor.detach().copy(), state, optimiser.steps())
        };
        let (whole, ..) = run(None, 10);
        let (half, state, taken) = run(None, 4);
        let (continued, ..) = run(Some((&state, taken, &half)), 6);
        assert_eq!(whole, continued);
        let mut other = AdamW::new(named(&parameter(&[1.0], &[1])), 0.0).unwrap();
        assert!(!other.restore(&state, taken).unwrap());
    }

    #[test]
    fn the_norm_is_that_of_all_gradients_together() {
        let tensor = parameter(&[3.0, 4.0], &[2]);
        let optimiser = AdamW::new(named(&tensor), 0.0).unwrap();
        assert_eq!(optimiser.gradient_norm().unwrap(), 0.0);
        (tensor.square().sum(Kind::Float) / 2.0).backward();
        assert!((optimiser.gradient_norm().unwrap() - 5.0).abs() < 1e-6);
    }

    #[test]
    fn the_rate_rises_then_falls() {
        let rate = |step| learning_rate(step, 10, 110, 2.0);
        assert_eq!(rate(0), 0.2);
        assert_eq!(rate(9), 2.0);
        assert_eq!(rate(10), 2.0);
        assert!((rate(60) - 1.01).abs() < 1e-9 && (rate(110) - 0.02).abs() < 1e-9);
        assert!((10..110).all(|step| rate(step + 1) < rate(step)));
        assert!(learning_rate(5, 0, 5, 1.0).is_finite() && learning_rate(0, 9, 5, 1.0) < 1.0);
    }

    #[test]
    fn the_scale_shrinks_on_overflow_and_grows_when_calm() {
        let mut scale = LossScale::HALF.after(true);
        assert_eq!(scale.factor, 16_384.0);
        for _ in 0..1000 {
            scale = scale.after(false);
        }
        assert_eq!(scale.factor, 32_768.0);
    }
}
