//! Switches: numbers of a descriptor that take one of two values, by the tile's stain.
//!
//! Descriptors that tell tissues apart finely say little of where in a slide a tile lies: near and far tiles are about as
//! different. A switch changes that and costs the fine distances nothing, for it adds the same to all pairs of tiles that
//! stand on different sides of it, and nothing to the others: among the tiles of a query's own side, which are the
//! nearest, the order stays as it is.

use super::fitting::{Fitted, LinearHead};
use super::{DescriptorBatch, EncoderError, stain_features};

/// One switch: tiles are compared by the sum of some stain features, each in units of its standard deviation.
#[derive(Debug)]
struct Switch {
    features: &'static [usize],
    /// Half the distance between its two sides, where prototypes are at most √2 apart.
    height: f32,
}

/// Dense blue nuclei against pink and pale tissue; and tissue that has anything blue in it against tissue that has not, of
/// which there are coherent fields (muscle, fat, necrosis, blood).
const SWITCHES: [Switch; 2] = [
    Switch { features: &[stain_features::DENSE_RED, stain_features::RED_SHARE], height: 0.35 },
    Switch { features: &[stain_features::DENSE_SHARE], height: 1.4 },
];

/// Distance from the threshold, in standard deviations of all tiles, at which a switch has gone tanh(1) = 76 % of its way.
const SOFTNESS: f64 = 0.15;

/// How many switches there are.
pub const COUNT: usize = SWITCHES.len();

/// Heights of the switches, as a model's description has them.
pub fn heights() -> Vec<f32> {
    SWITCHES.iter().map(|switch| switch.height).collect()
}

/// Put a row for each switch under the rows of a fitted head that knows the other features only. `features` (one row a
/// tile) end in the stain features. A switch's threshold is half way between the two centres into which the tiles fall
/// by 2-means, here found exactly.
///
/// # Errors
/// [`EncoderError::TooFewTiles`] when there are fewer than two tiles.
pub fn add_switches(fitted: Fitted, features: &DescriptorBatch) -> Result<Fitted, EncoderError> {
    let tiles = features.rows().len();
    if tiles < 2 {
        return Err(EncoderError::TooFewTiles { tiles, outputs: COUNT });
    }
    let LinearHead { weight, mut bias, inputs, outputs } = fitted.head;
    let width = inputs + stain_features::COUNT;
    debug_assert_eq!(width, features.width, "the head was fitted on what stands before the stain features");
    let mut rows: Vec<f32> = Vec::with_capacity((outputs + COUNT) * width);
    for row in weight.chunks_exact(inputs) {
        rows.extend(row);
        rows.extend([0.0; stain_features::COUNT]);
    }
    for switch in &SWITCHES {
        let columns = switch.features.iter().map(|feature| Column::of(features, inputs + feature));
        let columns: Vec<Column> = columns.collect();
        let mut sums: Vec<f64> =
            (0..tiles).map(|tile| columns.iter().map(|column| column.scaled(tile)).sum()).collect();
        let slope = 1.0 / (SOFTNESS * deviation(&sums)).max(1e-6);
        sums.sort_unstable_by(f64::total_cmp);
        let threshold = two_means(&sums);
        let mut row = vec![0.0; width];
        for (feature, column) in switch.features.iter().zip(&columns) {
            row[inputs + feature] = (slope / column.deviation) as f32;
        }
        let means: f64 = columns.iter().map(|column| column.mean / column.deviation).sum();
        rows.extend(row);
        bias.push((-slope * (threshold + means)) as f32);
    }
    let head = LinearHead { weight: rows, bias, inputs: width, outputs: outputs + COUNT };
    Ok(Fitted { head, ..fitted })
}

/// One feature of all tiles.
struct Column {
    values: Vec<f64>,
    mean: f64,
    deviation: f64,
}

impl Column {
    fn of(features: &DescriptorBatch, index: usize) -> Self {
        let values: Vec<f64> = features.rows().map(|row| f64::from(row[index])).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        // A feature that never changes tells nothing, and stays small.
        Self { mean, deviation: deviation(&values).max(1e-6), values }
    }

    fn scaled(&self, tile: usize) -> f64 {
        (self.values[tile] - self.mean) / self.deviation
    }
}

fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// Half way between the two centres of ascending `values` whose squared distances from the nearer one have the least
/// sum: of all splits the one whose centres explain most (Otsu 1979, "A threshold selection method from gray-level
/// histograms", equation 14).
fn two_means(values: &[f64]) -> f64 {
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
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 tiles with one feature of a network, and stain features of two kinds of tissue, three to one.
    fn tiles() -> DescriptorBatch {
        let values = (0..40).flat_map(|index| {
            let noise = 0.01 * (index as f32 * 0.7).sin();
            let stain = if index % 4 == 0 { [0.4, 1.2, 0.5] } else { [0.2, 0.6, 0.3] };
            [index as f32].into_iter().chain(stain.map(|value| value + noise))
        });
        DescriptorBatch { values: values.collect(), width: 4 }
    }

    fn plain_head() -> Fitted {
        let head = LinearHead { weight: vec![2.0, -1.0], bias: vec![0.5, 0.25], inputs: 1, outputs: 2 };
        Fitted { head, explained: 1.0 }
    }

    #[test]
    fn each_kind_of_stain_stands_on_its_side_and_the_head_stays_as_it_was() {
        let tiles = tiles();
        let head = add_switches(plain_head(), &tiles).unwrap().head;
        assert_eq!((head.inputs, head.outputs), (4, 4));
        assert_eq!(
            (&head.weight[..4], &head.weight[4..8]),
            (&[2.0, 0.0, 0.0, 0.0][..], &[-1.0, 0.0, 0.0, 0.0][..])
        );
        assert_eq!(head.bias[..2], [0.5, 0.25]);
        for (index, row) in tiles.rows().enumerate() {
            for (weights, bias) in head.weight.chunks(4).zip(&head.bias).skip(2) {
                let answer: f32 = weights.iter().zip(row).map(|(w, x)| w * x).sum::<f32>() + bias;
                let side = if index % 4 == 0 { 1.0 } else { -1.0 };
                assert!((answer.tanh() - side).abs() < 1e-3, "tile {index}: {answer}");
            }
        }
    }

    #[test]
    fn the_threshold_is_that_of_the_best_two_centres() {
        assert_eq!(two_means(&[0.0, 1.0, 10.0, 11.0, 12.0]), (0.5 + 11.0) / 2.0);
        assert_eq!(two_means(&[3.0, 3.0]), 3.0);
    }

    #[test]
    fn stain_that_never_changes_gives_a_head_of_numbers() {
        let same = DescriptorBatch { values: [1.0, 0.3, 0.3, 0.3].repeat(5), width: 4 };
        let head = add_switches(plain_head(), &same).unwrap().head;
        assert!(head.weight.iter().chain(&head.bias).all(|value| value.is_finite()), "{head:?}");
    }

    #[test]
    fn one_tile_is_too_few() {
        let one = DescriptorBatch { values: vec![0.5; 4], width: 4 };
        assert!(matches!(add_switches(plain_head(), &one), Err(EncoderError::TooFewTiles { .. })));
    }
}
