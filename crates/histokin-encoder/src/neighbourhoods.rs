//! Fitting a model without training whose descriptors suppress differences between neighbouring tiles, and between views
//! of the same tile.

use tch::{Device, Kind, TchError, Tensor};

use super::fitting::{Fitted, LinearHead, numbers, with_signs};
use super::moments::{Moments, rows};
use super::{DescriptorBatch, EncoderError};

/// Tiles of one slide.
#[derive(Debug, Clone)]
pub struct SlideTiles {
    /// Pooled features, one row per tile.
    pub features: DescriptorBatch,
    /// Position of each tile's centre on the slide, in µm.
    pub middles_um: Vec<[f64; 2]>,
    /// Pooled features of varied views of the tiles, such as in other colours: for each number of a view, one row per
    /// tile. Empty if only neighbours are to be known.
    pub varied: Vec<DescriptorBatch>,
}

/// Settings of the fit: the extent of a neighbourhood and the shrinkage of its covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NeighbourhoodSettings {
    /// Length of a descriptor.
    pub width: usize,
    /// Distance between tile centres below which tiles are neighbours, in µm.
    pub within_um: f64,
    /// Share (0 to 1) of the covariance within neighbourhoods that is replaced by the same variance in all
    /// directions.
    pub shrinkage: f64,
}

impl NeighbourhoodSettings {
    /// Returns the default settings. Neighbours are less than 0.5 mm apart: mostly the same tissue, cut and
    /// stained alike.
    pub fn new(width: usize) -> Self {
        Self { width, within_um: 500.0, shrinkage: 0.1 }
    }
}

/// Fits a head that half-whitens pooled features by their covariance within neighbourhoods and keeps their
/// first principal components.
///
/// Neighbouring tiles mostly show the same tissue, so differences between them help least to distinguish
/// tissues. With `P` pairs of neighbours `i, j`, all of one slide each, and `F` features `x`, the covariance
/// within neighbourhoods is `W = Σ (xᵢ − xⱼ)(xᵢ − xⱼ)ᵀ / 2P`. It is shrunk towards equal variance,
/// `W' = (1 − s) W + s · (tr W / F) · I` with the `shrinkage` `s` (Ledoit and Wolf 2004, "A well-conditioned
/// estimator for large-dimensional covariance matrices"), and removed by half, `y = W'^(−1/4) (x − μ)`, where
/// `W'^(−1/2)` would remove it fully; `μ` is the mean of all tiles. The head's output is `Vᵀ y`, where the
/// columns of `V` are the first principal components of `y`. Its length carries little information, so
/// descriptors are scaled to length 1 ([`super::model::Preprocessing::l2_normalise`]).
///
/// If slides have varied views `xᵢᵛ` of their `N` tiles, what differs between views of a tile is removed as well, and
/// as much of it: with `V = Σ (xᵢᵛ − xᵢ)(xᵢᵛ − xᵢ)ᵀ / N`, `W + (tr W / tr V) · V` takes the place of `W`, and the power is
/// −1/2, since whitening fully is then better than by half (`docs/encoders-tried.md`).
///
/// The fit uses no labels and is deterministic. Slides are added one by one and need not stay in memory.
#[derive(Debug)]
pub struct NeighbourhoodFit {
    settings: NeighbourhoodSettings,
    moments: Moments,
    /// Sum over pairs of `(xᵢ − xⱼ)(xᵢ − xⱼ)ᵀ`, `[F, F]`.
    within: Tensor,
    pairs: usize,
    /// Sum over varied views of `(xᵢᵛ − xᵢ)(xᵢᵛ − xᵢ)ᵀ`, `[F, F]`.
    between_views: Tensor,
    views: usize,
}

impl NeighbourhoodFit {
    /// Creates a fit to tiles of `inputs` pooled features. It uses memory for a few matrices of `inputs` ×
    /// `inputs` numbers, whatever the number of tiles.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn new(inputs: usize, settings: NeighbourhoodSettings) -> Result<Self, EncoderError> {
        let columns = inputs as i64;
        let zeros = || Tensor::f_zeros([columns, columns], (Kind::Double, Device::Cpu)).map_err(failed);
        Ok(Self {
            settings,
            moments: Moments::new(inputs).map_err(failed)?,
            within: zeros()?,
            pairs: 0,
            between_views: zeros()?,
            views: 0,
        })
    }

    /// Adds the tiles of a slide.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn add(&mut self, slide: &SlideTiles) -> Result<(), EncoderError> {
        let pairs = neighbours(&slide.middles_um, self.settings.within_um);
        self.pairs += pairs.len();
        self.moments.add(&slide.features).map_err(failed)?;
        let sum = differences(&slide.features, &pairs).map_err(failed)?;
        self.within = self.within.f_add(&sum).map_err(failed)?;
        for varied in &slide.varied {
            self.views += varied.rows().len();
            let sum = changes(&slide.features, varied).map_err(failed)?;
            self.between_views = self.between_views.f_add(&sum).map_err(failed)?;
        }
        Ok(())
    }

    /// Returns the head.
    ///
    /// # Errors
    /// [`EncoderError::TooFewTiles`] if there are not more tiles than values in a descriptor;
    /// [`EncoderError::NoNeighbours`] if no tile has a neighbour.
    pub fn head(&self) -> Result<Fitted, EncoderError> {
        let outputs = self.settings.width;
        let Moments { tiles, inputs, .. } = self.moments;
        if tiles <= outputs || outputs > inputs {
            return Err(EncoderError::TooFewTiles { tiles, outputs });
        }
        if self.pairs == 0 {
            return Err(EncoderError::NoNeighbours { within_um: self.settings.within_um });
        }
        self.decompose().map_err(failed)
    }

    fn decompose(&self) -> Result<Fitted, TchError> {
        let _no_grad = tch::no_grad_guard();
        let inputs = self.moments.inputs;
        let mut unwanted = self.within.f_div_scalar(2.0 * self.pairs as f64)?;
        let mut power = -0.25;
        if self.views > 0 {
            power = -0.5;
            let [of_pairs, of_views] = [trace(&unwanted)?, trace(&self.between_views)?];
            // Views that all look the same to the network have nothing to take out.
            if of_views > 0.0 {
                unwanted = unwanted.f_add(&self.between_views.f_mul_scalar(of_pairs / of_views)?)?;
            }
        }
        let map = whitening(&unwanted, self.settings.shrinkage, power)?;
        // The map is symmetric.
        let covariance = map.f_matmul(&self.moments.covariance()?)?.f_matmul(&map)?;
        // Eigenvalues are ascending: the components of largest variance come last.
        let (variances, components) = covariance.f_linalg_eigh("L")?;
        let (columns, outputs) = (inputs as i64, self.settings.width as i64);
        let kept = variances.f_narrow(0, columns - outputs, outputs)?;
        let components =
            components.f_narrow(1, columns - outputs, outputs)?.f_transpose(0, 1)?.f_flip([0])?;
        let weight = with_signs(&components)?.f_matmul(&map)?;
        let bias = weight.f_matmul(&self.moments.mean()?.f_transpose(0, 1)?)?.f_neg()?;
        let explained =
            kept.f_sum(Kind::Double)?.f_div(&variances.f_sum(Kind::Double)?)?.f_double_value(&[])?;
        let head = LinearHead {
            weight: numbers(&weight)?,
            bias: numbers(&bias)?,
            inputs,
            outputs: self.settings.width,
        };
        Ok(Fitted { head, explained })
    }
}

fn failed(error: TchError) -> EncoderError {
    EncoderError::torch("whitening within neighbourhoods", &error)
}

/// Returns the pairs of points closer to each other than `limit`, each pair once.
fn neighbours(points: &[[f64; 2]], limit: f64) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[a][0].total_cmp(&points[b][0]));
    let mut pairs = Vec::new();
    for (place, &one) in order.iter().enumerate() {
        let nearby =
            order[place + 1..].iter().take_while(|&&other| points[other][0] - points[one][0] < limit);
        pairs.extend(nearby.map(|&other| (one, other)).filter(|&(one, other)| {
            let [x, y] = [0, 1].map(|axis| points[one][axis] - points[other][axis]);
            x.hypot(y) < limit
        }));
    }
    pairs
}

/// Computes `Σ (xᵢ − xⱼ)(xᵢ − xⱼ)ᵀ` over pairs of rows, `[F, F]`.
fn differences(features: &DescriptorBatch, pairs: &[(usize, usize)]) -> Result<Tensor, TchError> {
    /// Number of pairs processed at a time, which limits memory use for large slides.
    const PART: usize = 8192;
    let x = rows(features)?;
    let columns = features.width as i64;
    let mut sum = Tensor::f_zeros([columns, columns], (Kind::Double, Device::Cpu))?;
    for part in pairs.chunks(PART) {
        let side = |of: fn(&(usize, usize)) -> usize| {
            let indices: Vec<i64> = part.iter().map(|pair| of(pair) as i64).collect();
            x.f_index_select(0, &Tensor::f_from_slice(&indices)?)
        };
        let difference = side(|pair| pair.0)?.f_sub(&side(|pair| pair.1)?)?;
        sum = sum.f_add(&difference.f_transpose(0, 1)?.f_matmul(&difference)?)?;
    }
    Ok(sum)
}

/// Computes `Σ (xᵢᵛ − xᵢ)(xᵢᵛ − xᵢ)ᵀ` over the rows `x` of plain tiles and `xᵛ` of a varied view of each, `[F, F]`.
fn changes(plain: &DescriptorBatch, varied: &DescriptorBatch) -> Result<Tensor, TchError> {
    let change = rows(varied)?.f_sub(&rows(plain)?)?;
    change.f_transpose(0, 1)?.f_matmul(&change)
}

fn trace(matrix: &Tensor) -> Result<f64, TchError> {
    matrix.f_trace()?.f_double_value(&[])
}

/// Computes `((1 − s) W + s · (tr W / F) · I)` to a negative `power`.
fn whitening(unwanted: &Tensor, shrinkage: f64, power: f64) -> Result<Tensor, TchError> {
    let inputs = unwanted.size()[0];
    let mean = trace(unwanted)? / inputs as f64;
    let equal = Tensor::f_eye(inputs, (Kind::Double, Device::Cpu))?.f_mul_scalar(shrinkage * mean)?;
    let (variances, directions) =
        unwanted.f_mul_scalar(1.0 - shrinkage)?.f_add(&equal)?.f_linalg_eigh("L")?;
    // The lower bound avoids division by zero if all neighbours are identical.
    let roots = variances.f_clamp_min(f64::MIN_POSITIVE.sqrt())?.f_pow_tensor_scalar(power)?;
    directions.f_mul(&roots)?.f_matmul(&directions.f_transpose(0, 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns two slides, each a row of tiles 200 µm apart. The first feature represents the tissue and
    /// changes by 5 every ten tiles; the second and third are noise that changes from tile to tile, by 4 and
    /// by 0.1.
    fn slides() -> Vec<SlideTiles> {
        let tile = |slide: usize, index: usize| {
            let tissue = if (index / 10 + slide).is_multiple_of(2) { 5.0 } else { -5.0 };
            let sign = |of: usize| if (index >> of).is_multiple_of(2) { 1.0 } else { -1.0 };
            [1.0 + tissue, 2.0 + 4.0 * sign(0), 3.0 + 0.1 * sign(1)]
        };
        let slide = |number| SlideTiles {
            features: DescriptorBatch {
                values: (0..80).flat_map(|index| tile(number, index)).collect(),
                width: 3,
            },
            middles_um: (0..80).map(|index| [200.0 * index as f64, 0.0]).collect(),
            varied: Vec::new(),
        };
        vec![slide(0), slide(1)]
    }

    fn fit_neighbourhood_head(
        slides: &[SlideTiles],
        settings: &NeighbourhoodSettings,
    ) -> Result<Fitted, EncoderError> {
        let mut fit = NeighbourhoodFit::new(3, *settings)?;
        for slide in slides {
            fit.add(slide)?;
        }
        fit.head()
    }

    fn settings(width: usize) -> NeighbourhoodSettings {
        NeighbourhoodSettings { within_um: 300.0, ..NeighbourhoodSettings::new(width) }
    }

    #[test]
    fn the_head_is_the_formula_s() {
        let slides = slides();
        let head = fit_neighbourhood_head(&slides, &settings(3)).unwrap().head;
        // Of 158 pairs of neighbours 14 change the tissue; all change the second feature by 8; half, the
        // third by 0.2.
        let within = [14.0 * 100.0, 158.0 * 64.0, 78.0 * 0.04].map(|sum: f64| sum / (2.0 * 158.0));
        let mean = within.iter().sum::<f64>() / 3.0;
        let scale = within.map(|variance| (0.9 * variance + 0.1 * mean).powf(-0.25));
        // The features are almost uncorrelated, so the components are the features themselves, the tissue
        // first.
        for (row, feature) in [(0, 0), (1, 1), (2, 2)] {
            let found = f64::from(head.weight[row * 3 + feature]);
            assert!((found / scale[feature] - 1.0).abs() < 0.02, "{row}: {:?}, {scale:?}", head.weight);
        }
        assert!(scale[0] > scale[1], "the tissue weighs more than what changes within it");
    }

    /// Adds two varied views to the tiles of `slides`, which change the third feature by 3 and −3.
    fn with_views(mut slides: Vec<SlideTiles>) -> Vec<SlideTiles> {
        for slide in &mut slides {
            slide.varied = [3.0, -3.0]
                .map(|change| {
                    let values = slide.features.rows().flat_map(|row| [row[0], row[1], row[2] + change]);
                    DescriptorBatch { values: values.collect(), width: 3 }
                })
                .into();
        }
        slides
    }

    #[test]
    fn what_differs_between_views_counts_less_and_as_much_as_between_neighbours() {
        let head = fit_neighbourhood_head(&with_views(slides()), &settings(3)).unwrap().head;
        let mut unwanted = [14.0 * 100.0, 158.0 * 64.0, 78.0 * 0.04].map(|sum: f64| sum / (2.0 * 158.0));
        // Views change the third feature alone, by as much as neighbours differ in all three.
        unwanted[2] += unwanted.iter().sum::<f64>();
        let mean = unwanted.iter().sum::<f64>() / 3.0;
        let scale = unwanted.map(|variance| (0.9 * variance + 0.1 * mean).powf(-0.5));
        for (row, feature) in [(0, 0), (1, 1), (2, 2)] {
            let found = f64::from(head.weight[row * 3 + feature]);
            assert!((found / scale[feature] - 1.0).abs() < 0.02, "{row}: {:?}, {scale:?}", head.weight);
        }
        let mut still = with_views(slides());
        for slide in &mut still {
            slide.varied.fill(slide.features.clone());
        }
        let head = fit_neighbourhood_head(&still, &settings(3)).unwrap().head;
        assert!(head.weight.iter().all(|weight| weight.is_finite()), "views that change nothing");
    }

    #[test]
    fn answers_are_centred_and_the_first_tells_the_tissue() {
        let slides = slides();
        let head = fit_neighbourhood_head(&slides, &settings(1)).unwrap().head;
        let answers: Vec<f32> = slides
            .iter()
            .flat_map(|slide| slide.features.rows())
            .map(|row| head.weight.iter().zip(row).map(|(w, x)| w * x).sum::<f32>() + head.bias[0])
            .collect();
        assert!(answers.iter().sum::<f32>().abs() < 1e-2);
        let is_first = |index: usize| (index % 80 / 10 + index / 80).is_multiple_of(2);
        assert!(answers.iter().enumerate().all(|(index, answer)| (*answer > 0.0) == is_first(index)));
    }

    #[test]
    fn neighbours_are_pairs_nearer_than_the_limit_each_once() {
        let points = [[0.0, 0.0], [300.0, 400.0], [0.0, 499.0], [1000.0, 0.0], [1000.0, 1.0]];
        let mut found: Vec<_> =
            neighbours(&points, 500.0).into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        found.sort_unstable();
        assert_eq!(found, [(0, 2), (1, 2), (3, 4)]);
    }

    #[test]
    fn tiles_without_neighbours_and_too_few_tiles_are_refused() {
        let mut slides = slides();
        assert!(matches!(
            fit_neighbourhood_head(&slides, &settings(4)),
            Err(EncoderError::TooFewTiles { .. })
        ));
        slides.iter_mut().flat_map(|slide| &mut slide.middles_um).for_each(|middle| middle[0] *= 2.0);
        assert!(matches!(
            fit_neighbourhood_head(&slides, &settings(2)),
            Err(EncoderError::NoNeighbours { .. })
        ));
    }
}
