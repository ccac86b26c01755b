//! How sure a figure is: 95 % intervals by resampling whole slides.
//!
//! Tiles of one slide resemble each other, so they are no independent observations; slides are drawn with
//! replacement instead (the cluster bootstrap; Field and Welsh 2007, "Bootstrapping clustered data"), and the
//! interval reaches from the 2.5th to the 97.5th percentile of the figure over the draws.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How slides are drawn. The same draws are used for every encoder, so that differences are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resampling {
    pub draws: u32,
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { draws: 2000, seed: 0 }
    }
}

impl Resampling {
    /// The 95 % interval of `statistic`, which is told how often each of the `groups` was drawn and answers
    /// nothing where it is not defined. None when there are fewer than two groups (nothing can be said), or
    /// when half of the draws or more leave the statistic undefined.
    pub fn interval(
        &self,
        groups: usize,
        statistic: impl Fn(&[u32]) -> Option<f64> + Sync,
    ) -> Option<[f64; 2]> {
        if groups < 2 {
            return None;
        }
        let mut values: Vec<f64> = (0..self.draws)
            .into_par_iter()
            .filter_map(|draw| statistic(&self.counts(groups, draw)))
            .filter(|value| value.is_finite())
            .collect();
        if values.len() * 2 <= self.draws as usize {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some([percentile(&values, 2.5)?, percentile(&values, 97.5)?])
    }

    /// How often each group is drawn in one draw of as many groups as there are.
    fn counts(&self, groups: usize, draw: u32) -> Vec<u32> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(u64::from(draw));
        let mut counts = vec![0; groups];
        for _ in 0..groups {
            counts[random.random_range(0..groups)] += 1;
        }
        counts
    }
}

/// The `percent`th percentile of ascending numbers, linear between neighbours (as numpy's default). None of
/// none.
pub fn percentile(ascending: &[f64], percent: f64) -> Option<f64> {
    let last = ascending.len().checked_sub(1)?;
    let place = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let share = place - below as f64;
    Some(ascending[below] * (1.0 - share) + ascending[above] * share)
}

/// The median of numbers in any order. None of none.
pub fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    percentile(&numbers, 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_linear_between_neighbours() {
        let numbers = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(percentile(&numbers, 0.0), Some(1.0));
        assert_eq!(percentile(&numbers, 50.0), Some(3.0));
        assert_eq!(percentile(&numbers, 100.0), Some(8.0));
        assert!((percentile(&numbers, 97.5).unwrap() - 7.7).abs() < 1e-12);
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        // The mean of 100 groups 0..99: standard error 28.87 / 10.
        let resampling = Resampling { draws: 4000, seed: 3 };
        let mean = |counts: &[u32]| {
            let sum: f64 =
                counts.iter().enumerate().map(|(value, count)| value as f64 * f64::from(*count)).sum();
            Some(sum / 100.0)
        };
        let [low, high] = resampling.interval(100, mean).unwrap();
        assert!((low - (49.5 - 1.96 * 2.887)).abs() < 0.4, "{low}");
        assert!((high - (49.5 + 1.96 * 2.887)).abs() < 0.4, "{high}");
        assert_eq!(resampling.interval(100, mean), Some([low, high]), "the seed decides");
    }

    #[test]
    fn one_group_says_nothing_of_others() {
        assert_eq!(Resampling::default().interval(1, |_| Some(1.0)), None);
        assert_eq!(Resampling::default().interval(5, |_| None), None);
    }
}
