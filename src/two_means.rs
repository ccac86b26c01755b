//! The two heaps into which numbers on a line fall.

/// Two heaps, found exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoMeans {
    /// Half way between the heaps' centres.
    pub middle: f64,
    /// Share (0 to 1) of the numbers' variance that their heaps' centres account for: 1 when there are but two values,
    /// 0.75 when the numbers are spread evenly, 0.64 when they are normally distributed.
    pub share: f64,
}

impl TwoMeans {
    /// Of the numbers' splits the one whose two centres account for most variance, which is also the one with the least
    /// sum of squared distances from the nearer centre (Otsu 1979, "A threshold selection method from gray-level
    /// histograms", equations 12 to 15). `None` of fewer than two numbers.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let (count, total) = (values.len() as f64, values.iter().sum::<f64>());
        let (mut sum, mut best) = (0.0, (f64::MIN, values[0]));
        for (index, value) in values[..values.len() - 1].iter().enumerate() {
            sum += value;
            let below = (index + 1) as f64;
            let (low, high) = (sum / below, (total - sum) / (count - below));
            let between = below * (count - below) * (high - low).powi(2);
            if between > best.0 {
                best = (between, (low + high) / 2.0);
            }
        }
        let mean = total / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let share = if squares > 0.0 { best.0 / count / squares } else { 0.0 };
        Some(Self { middle: best.1, share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between_the_best_two_centres() {
        let found = TwoMeans::of(vec![10.0, 1.0, 12.0, 0.0, 11.0]).unwrap();
        assert_eq!(found.middle, (0.5 + 11.0) / 2.0);
        // Squares about the mean: 134.8; about the two centres: 0.5 + 2.
        assert!((found.share - (1.0 - 2.5 / 134.8)).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn two_values_account_for_all_and_an_even_spread_for_three_quarters() {
        assert_eq!(TwoMeans::of(vec![3.0, 7.0, 7.0]).unwrap().share, 1.0);
        let even = TwoMeans::of((0..1000).map(f64::from).collect()).unwrap();
        assert!((even.share - 0.75).abs() < 1e-3 && (even.middle - 499.5).abs() < 1.0, "{even:?}");
    }

    #[test]
    fn one_value_has_no_share_and_one_number_no_heaps() {
        assert_eq!(TwoMeans::of(vec![3.0, 3.0]), Some(TwoMeans { middle: 3.0, share: 0.0 }));
        assert_eq!(TwoMeans::of(vec![3.0]), None);
    }
}
