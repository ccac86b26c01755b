//! Interpolation along an axis as a linear map: the numbers that libtorch's upsampling multiplies with.
//!
//! An image is interpolated by one such map for its rows and one for its columns.

/// Returns the weights `[outputs, inputs]`, row by row, of bicubic interpolation without antialiasing (libtorch's
/// `upsample_bicubic2d` with `align_corners` false): four numbers around each place, those beyond the edge being the
/// edge's. `scale` is the distance of two outputs, in inputs.
pub(crate) fn bicubic(inputs: usize, outputs: usize, scale: f64) -> Vec<f32> {
    const A: f64 = -0.75;
    let mut weights = vec![0.0; outputs * inputs];
    for (output, row) in weights.chunks_exact_mut(inputs).enumerate() {
        let place = (output as f64 + 0.5) * scale - 0.5;
        for tap in -1..=2 {
            let index = place.floor() + f64::from(tap);
            let nearest = index.clamp(0.0, inputs as f64 - 1.0) as usize;
            row[nearest] += cubic(place - index, A) as f32;
        }
    }
    weights
}

/// The function by which antialiased interpolation weighs numbers at a distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Bilinear.
    Triangle,
    /// Bicubic.
    Cubic,
}

impl Kernel {
    /// Returns the distance at which the weight becomes 0.
    fn support(self) -> f64 {
        match self {
            Self::Triangle => 1.0,
            Self::Cubic => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        match self {
            Self::Triangle => (1.0 - distance.abs()).max(0.0),
            Self::Cubic => cubic(distance, -0.5),
        }
    }
}

/// Returns the weights `[outputs, inputs]`, row by row, of antialiased interpolation (libtorch's
/// `_upsample_bilinear2d_aa` and `_upsample_bicubic2d_aa`): where the axis is made shorter, the kernel is as much
/// wider.
pub(crate) fn antialiased(inputs: usize, outputs: usize, kernel: Kernel) -> Vec<f32> {
    let scale = inputs as f64 / outputs as f64;
    let stretch = scale.max(1.0);
    let reach = kernel.support() * stretch;
    let mut weights = vec![0.0; outputs * inputs];
    for (output, row) in weights.chunks_exact_mut(inputs).enumerate() {
        let centre = scale * (output as f64 + 0.5);
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(inputs);
        let weight = |index: usize| kernel.weight((index as f64 - centre + 0.5) / stretch);
        let sum: f64 = (first..end).map(weight).sum();
        for (index, number) in row.iter_mut().enumerate().take(end).skip(first) {
            *number = (weight(index) / sum) as f32;
        }
    }
    weights
}

/// Cubic convolution (Keys 1981, "Cubic convolution interpolation for digital image processing").
fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Interpolates the plane `[height, width, channels]` by the weights of its rows and columns:
/// `[rows, columns, channels]`.
pub(crate) fn plane(
    values: &[f32],
    [height, width, channels]: [usize; 3],
    of_rows: &[f32],
    of_columns: &[f32],
) -> Vec<f32> {
    // Adds the parts of `from`, each as long as `into`, times their weights.
    let mix = |weights: &[f32], from: &[f32], into: &mut [f32]| {
        let parts = from.chunks_exact(into.len());
        for (weight, part) in weights.iter().zip(parts).filter(|(weight, _)| **weight != 0.0) {
            into.iter_mut().zip(part).for_each(|(sum, value)| *sum += weight * value);
        }
    };
    let columns = of_columns.len() / width;
    let mut across = vec![0.0; height * columns * channels];
    for (row, into) in values.chunks_exact(width * channels).zip(across.chunks_exact_mut(columns * channels))
    {
        for (weights, into) in of_columns.chunks_exact(width).zip(into.chunks_exact_mut(channels)) {
            mix(weights, row, into);
        }
    }
    let line = columns * channels;
    let mut down = vec![0.0; of_rows.len() / height * line];
    for (weights, into) in of_rows.chunks_exact(height).zip(down.chunks_exact_mut(line)) {
        mix(weights, &across, into);
    }
    down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_each_output_sum_to_one() {
        for (inputs, outputs) in [(16, 7), (7, 16), (5, 5), (37, 16)] {
            let all = [
                bicubic(inputs, outputs, inputs as f64 / outputs as f64),
                antialiased(inputs, outputs, Kernel::Triangle),
                antialiased(inputs, outputs, Kernel::Cubic),
            ];
            for row in all.iter().flat_map(|weights| weights.chunks_exact(inputs)) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{inputs} → {outputs}: {row:?}");
            }
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let identity: Vec<f32> = (0..16).map(|index| if index % 5 == 0 { 1.0 } else { 0.0 }).collect();
        assert_eq!(bicubic(4, 4, 1.0), identity);
        assert_eq!(antialiased(4, 4, Kernel::Cubic), identity);
        assert_eq!(antialiased(4, 4, Kernel::Triangle), identity);
    }

    #[cfg(feature = "torch")]
    #[test]
    fn planes_are_those_of_libtorch() {
        use tch::{Device, Kind, Tensor};
        tch::manual_seed(5);
        for ([height, width], [rows, columns]) in [([6, 9], [4, 13]), ([16, 16], [7, 7]), ([5, 5], [8, 6])] {
            let image = Tensor::randn([1, 3, height, width], (Kind::Float, Device::Cpu));
            let size = [rows, columns];
            let offset = |outputs: i64, inputs: i64| (outputs as f64 + 0.1) / inputs as f64;
            let [down, across] = [offset(rows, height), offset(columns, width)];
            let [h, w, r, c] = [height, width, rows, columns].map(|extent| extent as usize);
            let ratio = |inputs: usize, outputs: usize| inputs as f64 / outputs as f64;
            let compared = [
                (
                    image.upsample_bicubic2d(size, false, None, None),
                    [bicubic(h, r, ratio(h, r)), bicubic(w, c, ratio(w, c))],
                ),
                (
                    image.upsample_bicubic2d(size, false, down, across),
                    [bicubic(h, r, 1.0 / down), bicubic(w, c, 1.0 / across)],
                ),
                (
                    image.internal_upsample_bicubic2d_aa(size, false, None, None),
                    [antialiased(h, r, Kernel::Cubic), antialiased(w, c, Kernel::Cubic)],
                ),
                (
                    image.internal_upsample_bilinear2d_aa(size, false, None, None),
                    [antialiased(h, r, Kernel::Triangle), antialiased(w, c, Kernel::Triangle)],
                ),
            ];
            let plain =
                Vec::<f32>::try_from(image.permute([0, 2, 3, 1]).contiguous().flatten(0, -1)).unwrap();
            for (number, (expected, [of_rows, of_columns])) in compared.into_iter().enumerate() {
                let expected =
                    Vec::<f32>::try_from(expected.permute([0, 2, 3, 1]).contiguous().flatten(0, -1)).unwrap();
                let found = plane(&plain, [h, w, 3], &of_rows, &of_columns);
                let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(found.len() == expected.len() && worst < 1e-5, "{number}: {worst}");
            }
        }
    }
}
