//! Fitting a model without training whose descriptors contain a tile's similarity to each of a set of
//! prototypes.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, TchError, Tensor};

use super::fitting::{Fitted, LinearHead, numbers};
use super::moments::Moments;
use super::{DescriptorBatch, EncoderError};

/// Settings of the fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrototypeSettings {
    /// Number of prototypes, equal to the length of a descriptor.
    pub count: usize,
    /// Number of principal components in which tiles are compared with prototypes.
    pub components: usize,
    /// Weight of the nearest prototypes relative to others: 1 divided by the squared distance at which a
    /// membership falls to 1/e, in units of the tiles' mean squared distance from their mean.
    pub sharpness: f64,
    /// Seed of the random initial centres of k-means.
    pub seed: u64,
}

impl PrototypeSettings {
    /// Returns the default settings for this number of prototypes.
    pub fn new(count: usize) -> Self {
        Self { count, components: 64, sharpness: 1.0, seed: 0 }
    }
}

/// Number of k-means iterations; after these, hardly any tile changes its prototype.
const ROUNDS: usize = 20;

/// Largest number of features that are kept to find prototypes among, of all tiles together: half a GiB.
const MOST_KEPT: usize = 1 << 27;

/// Largest number of tiles that are kept; k-means takes several numbers for each of them and each prototype.
const MOST_TILES: usize = 100_000;

/// Fits a head that computes from pooled features the logarithms of a tile's similarity to each prototype, up to an
/// additive constant common to all prototypes. [`super::readout::HeadOutput::Memberships`] converts them to
/// memberships.
///
/// Features are centred, scaled to unit variance and projected onto their first principal components. Each
/// component is divided by the fourth root of its variance (half-whitening), and the result is scaled to a
/// mean squared length of 1, giving `y`. Prototypes `c` are the centres found by k-means, initialised as in
/// Arthur and Vassilvitskii (2007, "k-means++"). The similarity is `exp(−sharpness · ‖y − c‖²)`; its
/// logarithm without the `‖y‖²` term, which is the same for all prototypes, is linear in the features.
///
/// Slides are added one by one. All tiles count for the principal components; of more than 100,000, or than fit into
/// half a GiB, prototypes are found among a random sample (Vitter 1985, "Random sampling with a reservoir").
#[derive(Debug)]
pub struct PrototypeFit {
    settings: PrototypeSettings,
    moments: Moments,
    /// Features of the tiles among which prototypes are found, row by row.
    kept: Vec<f32>,
    /// Largest number of rows of `kept`.
    most: usize,
    random: ChaCha8Rng,
}

impl PrototypeFit {
    /// Creates a fit to tiles of `inputs` pooled features.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn new(inputs: usize, settings: PrototypeSettings) -> Result<Self, EncoderError> {
        Ok(Self {
            settings,
            moments: Moments::new(inputs).map_err(failed)?,
            kept: Vec::new(),
            most: (MOST_KEPT / inputs.max(1)).min(MOST_TILES),
            // Not that of k-means, which does not depend on the number of tiles.
            random: ChaCha8Rng::seed_from_u64(settings.seed ^ 0x5eed),
        })
    }

    /// Adds pooled features, one row per tile.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn add(&mut self, features: &DescriptorBatch) -> Result<(), EncoderError> {
        let width = features.width;
        for (index, row) in features.rows().enumerate() {
            if self.kept.len() < self.most * width {
                self.kept.extend(row);
                continue;
            }
            let place = self.random.random_range(0..=self.moments.tiles + index);
            if place < self.most {
                self.kept[place * width..][..width].copy_from_slice(row);
            }
        }
        self.moments.add(features).map_err(failed)
    }

    /// Returns the head.
    ///
    /// # Errors
    /// [`EncoderError::TooFewTiles`] unless there are more tiles than prototypes and more tiles than components.
    pub fn head(&self) -> Result<Fitted, EncoderError> {
        let Moments { tiles, inputs, .. } = self.moments;
        let PrototypeSettings { count, components, .. } = self.settings;
        let components = components.min(inputs);
        if tiles <= count.max(components) || components == 0 || count == 0 {
            return Err(EncoderError::TooFewTiles { tiles, outputs: count.max(components) });
        }
        self.fit(components).map_err(failed)
    }

    fn fit(&self, components: usize) -> Result<Fitted, TchError> {
        let _no_grad = tch::no_grad_guard();
        let (inputs, settings) = (self.moments.inputs, &self.settings);
        let mean = self.moments.mean()?;
        let covariance = self.moments.covariance()?;
        let tiles = self.moments.tiles as f64;
        // The lower bound keeps constant channels, which carry no information, small.
        let variances = covariance.f_diagonal(0, 0, 1)?.f_mul_scalar((tiles - 1.0) / tiles)?;
        let deviation = variances.f_clamp_min(0.0)?.f_sqrt()?.f_clamp_min(1e-6)?.f_reshape([1, -1])?;
        let covariance = covariance.f_div(&deviation)?.f_div(&deviation.f_transpose(0, 1)?)?;
        // Eigenvalues are ascending: the components of largest variance come last.
        let (variances, vectors) = covariance.f_linalg_eigh("L")?;
        let first = (inputs - components) as i64;
        let kept = variances.f_narrow(0, first, components as i64)?.f_clamp_min(1e-9)?;
        let explained =
            kept.f_sum(Kind::Double)?.f_div(&variances.f_sum(Kind::Double)?)?.f_double_value(&[])?;
        let map = vectors.f_narrow(1, first, components as i64)?.f_div(&kept.f_pow_tensor_scalar(0.25)?)?;
        let y = self.projected(&mean, &deviation, &map)?;
        let rows = y.size()[0] as f64;
        let length = (y.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? / rows).sqrt().max(1e-12);
        let (y, map) = (y.f_div_scalar(length)?, map.f_div_scalar(length)?);

        let centres = k_means(&y, settings.count, settings.seed)?;
        // −s‖y − c‖² = 2s c·y − s‖c‖² − s‖y‖², with y = map · (x − mean) / deviation.
        let weight = centres
            .f_matmul(&map.f_transpose(0, 1)?)?
            .f_mul_scalar(2.0 * settings.sharpness)?
            .f_div(&deviation)?;
        let lengths = square_lengths(&centres)?.f_mul_scalar(settings.sharpness)?;
        let bias = weight.f_matmul(&mean.f_transpose(0, 1)?)?.f_add(&lengths)?.f_neg()?;
        let head =
            LinearHead { weight: numbers(&weight)?, bias: numbers(&bias)?, inputs, outputs: settings.count };
        Ok(Fitted { head, explained })
    }

    /// Computes `map · (x − mean) / deviation` of the tiles that are kept, a part of them at a time.
    fn projected(&self, mean: &Tensor, deviation: &Tensor, map: &Tensor) -> Result<Tensor, TchError> {
        /// Number of tiles at a time.
        const PART: usize = 4096;
        let inputs = self.moments.inputs;
        let parts = self.kept.chunks(PART * inputs).map(|part| {
            let rows = Tensor::f_from_slice(part)?.f_reshape([-1, inputs as i64])?.f_to_kind(Kind::Double)?;
            rows.f_sub(mean)?.f_div(deviation)?.f_matmul(map)
        });
        Tensor::f_cat(&parts.collect::<Result<Vec<_>, TchError>>()?, 0)
    }
}

fn failed(error: TchError) -> EncoderError {
    EncoderError::torch("fitting prototypes", &error)
}

/// Computes the squared length of each row, `[N, 1]`.
fn square_lengths(rows: &Tensor) -> Result<Tensor, TchError> {
    rows.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, None)
}

/// Computes the squared distances between the rows of `points` `[N, D]` and those of `centres` `[K, D]`:
/// `[N, K]`.
fn square_distances(points: &Tensor, centres: &Tensor) -> Result<Tensor, TchError> {
    let products = points.f_matmul(&centres.f_transpose(0, 1)?)?.f_mul_scalar(2.0)?;
    let sums = square_lengths(points)?.f_add(&square_lengths(centres)?.f_transpose(0, 1)?)?;
    sums.f_sub(&products)?.f_clamp_min(0.0)
}

/// Finds `count` cluster centres of the rows of `points`.
fn k_means(points: &Tensor, count: usize, seed: u64) -> Result<Tensor, TchError> {
    let tiles = points.size()[0];
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = vec![random.random_range(0..tiles)];
    let mut nearest = square_distances(points, &points.f_narrow(0, chosen[0], 1)?)?;
    while chosen.len() < count {
        let mut weights = vec![0.0_f64; tiles as usize];
        nearest.f_contiguous()?.f_copy_data(&mut weights, tiles as usize)?;
        let sum: f64 = weights.iter().sum();
        let mut left = random.random_range(0.0..1.0) * sum;
        let next = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        let next = next.map_or(tiles - 1, |index| index as i64);
        chosen.push(next);
        nearest = nearest.f_minimum(&square_distances(points, &points.f_narrow(0, next, 1)?)?)?;
    }
    let mut centres = points.f_index_select(0, &Tensor::f_from_slice(&chosen)?)?;
    let ones = Tensor::f_ones([tiles, 1], (Kind::Double, Device::Cpu))?;
    for _ in 0..ROUNDS {
        let nearest = square_distances(points, &centres)?.f_argmin(1, false)?;
        let sums = centres.f_zeros_like()?.f_index_add(0, &nearest, points)?;
        let counts = Tensor::f_zeros([count as i64, 1], (Kind::Double, Device::Cpu))?
            .f_index_add(0, &nearest, &ones)?;
        // A centre without points keeps its position.
        let moved = sums.f_div(&counts.f_clamp_min(1.0)?)?;
        centres = moved.f_where_self(&counts.f_gt(0.0)?, &centres)?;
    }
    Ok(centres)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns three clusters of thirty points around the corners of a triangle; the third coordinate is
    /// constant.
    fn clusters() -> DescriptorBatch {
        let values = (0..90).flat_map(|index| {
            let [x, y] = [[0.0, 0.0], [10.0, 0.0], [5.0, 9.0]][index % 3];
            let angle = index as f32 * 0.7;
            [x + 0.5 * angle.sin(), y + 0.5 * (1.3 * angle).cos(), 4.0]
        });
        DescriptorBatch { values: values.collect(), width: 3 }
    }

    fn fit_prototype_head(
        features: &DescriptorBatch,
        settings: &PrototypeSettings,
    ) -> Result<Fitted, EncoderError> {
        let mut fit = PrototypeFit::new(features.width, *settings)?;
        fit.add(features)?;
        fit.head()
    }

    fn memberships(head: &LinearHead, row: &[f32]) -> Vec<f64> {
        let dot = |weights: &[f32]| weights.iter().zip(row).map(|(w, x)| f64::from(w * x)).sum::<f64>();
        let answer: Vec<f64> = head
            .weight
            .chunks(head.inputs)
            .zip(&head.bias)
            .map(|(weights, bias)| (dot(weights) + f64::from(*bias)).exp())
            .collect();
        let sum: f64 = answer.iter().sum();
        answer.into_iter().map(|value| value / sum).collect()
    }

    fn settings(sharpness: f64) -> PrototypeSettings {
        PrototypeSettings { count: 3, components: 2, sharpness, seed: 3 }
    }

    #[test]
    fn each_cluster_has_its_prototype() {
        let clusters = clusters();
        let fitted = fit_prototype_head(&clusters, &settings(5.0)).unwrap();
        let owner = |row: &[f32]| {
            let members = memberships(&fitted.head, row);
            (0..3)
                .max_by(|a, b| members[*a].total_cmp(&members[*b]))
                .map(|best| (best, members[best]))
                .unwrap()
        };
        let rows: Vec<&[f32]> = clusters.rows().collect();
        let owners: Vec<(usize, f64)> = rows.iter().map(|row| owner(row)).collect();
        for (index, (best, share)) in owners.iter().enumerate() {
            assert_eq!(*best, owners[index % 3].0);
            assert!(*share > 0.95, "{share}");
        }
        assert!(owners[0].0 != owners[1].0 && owners[1].0 != owners[2].0 && owners[0].0 != owners[2].0);
    }

    #[test]
    fn sharpness_weighs_the_nearest_up_and_a_seed_decides() {
        let clusters = clusters();
        let row = clusters.rows().next().unwrap();
        let largest = |sharpness| {
            let fitted = fit_prototype_head(&clusters, &settings(sharpness)).unwrap();
            memberships(&fitted.head, row).into_iter().fold(0.0, f64::max)
        };
        assert!(largest(0.1) < largest(1.0) && largest(1.0) < largest(5.0));
        let weights = || fit_prototype_head(&clusters, &settings(1.0)).unwrap().head.weight;
        assert_eq!(weights(), weights());
    }

    #[test]
    fn of_many_tiles_prototypes_are_those_of_a_sample() {
        let clusters = clusters();
        let mut fit = PrototypeFit { most: 30, ..PrototypeFit::new(3, settings(5.0)).unwrap() };
        for part in clusters.values.chunks(27) {
            fit.add(&DescriptorBatch { values: part.to_vec(), width: 3 }).unwrap();
        }
        assert_eq!(fit.kept.len(), 30 * 3);
        assert!(
            fit.kept.chunks(3).filter(|row| clusters.rows().take(30).any(|first| first == *row)).count() < 25
        );
        let head = fit.head().unwrap().head;
        for row in clusters.rows() {
            let largest = memberships(&head, row).into_iter().fold(0.0, f64::max);
            assert!(largest > 0.9, "{largest}");
        }
    }

    #[test]
    fn too_few_tiles_are_refused() {
        let few = DescriptorBatch { values: vec![0.5; 9], width: 3 };
        assert!(matches!(fit_prototype_head(&few, &settings(1.0)), Err(EncoderError::TooFewTiles { .. })));
    }
}
