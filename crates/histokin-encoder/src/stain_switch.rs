//! The stain switch: the last number of a descriptor, which takes one of two values, by how dark the tile's nuclei are.
//!
//! Descriptors that tell tissues apart finely say little of where in a slide a tile lies: near and far tiles are about as
//! different. A switch says more, for tissue that is dense with nuclei stands in fields, and it costs the fine
//! distances next to nothing: it adds the same to all pairs of tiles that stand on different sides, and nothing to the
//! others, so that among a query's own side, where its nearest tiles are, the order stays as it is.

use super::fitting::{Fitted, LinearHead};
use super::{DescriptorBatch, EncoderError};
use histokin_core::two_class_threshold::TwoClassThreshold;

/// Half the distance between the two sides. Descriptors by prototypes are at most √2 apart, and most less than 0.4.
pub const HEIGHT: f32 = 0.7;

/// Distance from the threshold, in standard deviations of all tiles, at which the switch has gone tanh(1) = 76 % of
/// its way.
const SOFTNESS: f64 = 0.15;

/// Put the switch's row under those of a head that was fitted without it. `features` (one row a tile) end in the nuclear
/// stain, which the head does not know yet. The threshold is half way between the two centres into which the tiles fall by
/// 2-means of their stain.
///
/// # Errors
/// [`EncoderError::TooFewTiles`] when there are fewer than two tiles.
pub fn add_switch(fitted: Fitted, features: &DescriptorBatch) -> Result<Fitted, EncoderError> {
    let stain: Vec<f64> =
        features.rows().filter_map(|row| row.last()).map(|value| f64::from(*value)).collect();
    let [first, _, ..] = stain[..] else {
        return Err(EncoderError::TooFewTiles { tiles: stain.len(), outputs: 1 });
    };
    // Stain that never changes tells nothing; its switch stays between the sides.
    let slope = 1.0 / (SOFTNESS * deviation(&stain)).max(1e-6);
    let threshold = TwoClassThreshold::of(stain).map_or(first, |heaps| heaps.middle);

    let LinearHead { weight, mut bias, inputs, outputs } = fitted.head;
    let mut rows = Vec::with_capacity((outputs + 1) * (inputs + 1));
    for row in weight.chunks_exact(inputs) {
        rows.extend(row);
        rows.push(0.0);
    }
    rows.resize(rows.len() + inputs, 0.0);
    rows.push(slope as f32);
    bias.push((-slope * threshold) as f32);
    let head = LinearHead { weight: rows, bias, inputs: inputs + 1, outputs: outputs + 1 };
    Ok(Fitted { head, ..fitted })
}

fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 tiles with one feature of a network and their nuclear stain, of which a quarter is dense.
    fn tiles() -> DescriptorBatch {
        let values = (0..40).flat_map(|index| {
            let noise = 0.01 * (index as f32 * 0.7).sin();
            [index as f32, noise + if index % 4 == 0 { 1.2 } else { 0.6 }]
        });
        DescriptorBatch { values: values.collect(), width: 2 }
    }

    fn plain_head() -> Fitted {
        let head = LinearHead { weight: vec![2.0, -1.0], bias: vec![0.5, 0.25], inputs: 1, outputs: 2 };
        Fitted { head, explained: 1.0 }
    }

    #[test]
    fn each_kind_of_stain_stands_on_its_side_and_the_head_stays_as_it_was() {
        let tiles = tiles();
        let head = add_switch(plain_head(), &tiles).unwrap().head;
        assert_eq!((head.inputs, head.outputs), (2, 3));
        assert_eq!(head.weight[..5], [2.0, 0.0, -1.0, 0.0, 0.0]);
        assert_eq!(head.bias[..2], [0.5, 0.25]);
        for (index, row) in tiles.rows().enumerate() {
            let answer = head.weight[5] * row[1] + head.bias[2];
            let side = if index % 4 == 0 { 1.0 } else { -1.0 };
            assert!((answer.tanh() - side).abs() < 1e-3, "tile {index}: {answer}");
        }
    }

    #[test]
    fn stain_that_never_changes_gives_a_head_of_numbers() {
        let same = DescriptorBatch { values: [1.0, 0.3].repeat(5), width: 2 };
        let head = add_switch(plain_head(), &same).unwrap().head;
        assert!(head.weight.iter().chain(&head.bias).all(|value| value.is_finite()), "{head:?}");
    }

    #[test]
    fn one_tile_is_too_few() {
        let one = DescriptorBatch { values: vec![0.5; 2], width: 2 };
        assert!(matches!(add_switch(plain_head(), &one), Err(EncoderError::TooFewTiles { .. })));
    }
}
