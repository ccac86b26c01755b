//! Splitting numbers into two classes by an optimal threshold (Otsu).

/// The exact split of numbers into two classes that maximises the between-class variance, which also
/// minimises the sum of squared distances to the nearer class mean (Otsu 1979, "A threshold selection method
/// from gray-level histograms", equations 12 to 15).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoClassThreshold {
    /// The largest number of the lower class.
    pub last_below: f64,
    /// Midpoint between the means of the two classes.
    pub middle: f64,
    /// Between-class variance as a share (0 to 1) of the total variance: 1 when there are only two values,
    /// 0.75 for a uniform distribution, 0.64 for a normal distribution.
    pub share: f64,
}

impl TwoClassThreshold {
    /// Splits single numbers. Returns `None` unless at least two of them differ.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        Self::of_counts(values.iter().map(|value| (*value, 1.0)))
    }

    /// Splits ascending values, each given with its number of occurrences. Returns `None` unless at least two
    /// different values occur.
    pub fn of_counts(ascending: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Self> {
        let (mut count, mut total) = (0.0, 0.0);
        for (value, times) in ascending.clone() {
            count += times;
            total += value * times;
        }
        let squares: f64 =
            ascending.clone().map(|(value, times)| times * (value - total / count).powi(2)).sum();
        let (mut below, mut sum) = (0.0, 0.0);
        let (mut found, mut most) = (None, 0.0);
        for (value, times) in ascending {
            below += times;
            sum += value * times;
            let above = count - below;
            if below == 0.0 || above == 0.0 {
                continue;
            }
            let (low, high) = (sum / below, (total - sum) / above);
            let between = below * above * (high - low).powi(2);
            if between > most {
                most = between;
                let share = between / count / squares;
                found = Some(Self { last_below: value, middle: (low + high) / 2.0, share });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between_the_best_two_centres() {
        let found = TwoClassThreshold::of(vec![10.0, 1.0, 12.0, 0.0, 11.0]).unwrap();
        assert_eq!(found.middle, (0.5 + 11.0) / 2.0);
        // Sum of squares about the mean: 134.8; about the two class means: 0.5 + 2.
        assert!((found.share - (1.0 - 2.5 / 134.8)).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn two_values_account_for_all_and_an_even_spread_for_three_quarters() {
        assert_eq!(TwoClassThreshold::of(vec![3.0, 7.0, 7.0]).unwrap().share, 1.0);
        let even = TwoClassThreshold::of((0..1000).map(f64::from).collect()).unwrap();
        assert!((even.share - 0.75).abs() < 1e-3 && (even.middle - 499.5).abs() < 1.0, "{even:?}");
    }

    #[test]
    fn one_value_has_no_clusters_however_often_it_occurs() {
        assert_eq!(TwoClassThreshold::of(vec![3.0, 3.0]), None);
        assert_eq!(TwoClassThreshold::of(Vec::new()), None);
    }

    #[test]
    fn counts_are_numbers_that_occur_often() {
        let counted =
            TwoClassThreshold::of_counts([(0.0, 2.0), (1.0, 0.0), (2.0, 1.0), (9.0, 3.0)].into_iter())
                .unwrap();
        assert_eq!(counted, TwoClassThreshold::of(vec![0.0, 0.0, 2.0, 9.0, 9.0, 9.0]).unwrap());
        assert_eq!(counted.last_below, 2.0);
    }
}
