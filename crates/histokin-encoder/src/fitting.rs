//! Building a model without training: a principal component analysis of a backbone's features on tissue.

use std::path::{Path, PathBuf};

use tch::{Device, Kind, TchError, Tensor};

use super::backbones::BackboneKind;
use super::model::{MODEL_FILE, ModelFile};
use super::moments::Moments;
use super::weight_files::WeightFiles;
use super::weights::{self, Array};
use super::{DescriptorBatch, EncoderError, state_dict};

/// A linear map from pooled features to descriptors: `weight · features + bias`.
#[derive(Debug, Clone)]
pub struct LinearHead {
    /// `outputs × inputs`, row by row.
    pub weight: Vec<f32>,
    /// One value per output.
    pub bias: Vec<f32>,
    /// Number of pooled features.
    pub inputs: usize,
    /// Length of a descriptor.
    pub outputs: usize,
}

/// The result of a fit.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Head that computes the principal components.
    pub head: LinearHead,
    /// Share (0 to 1) of the features' variance that the principal components keep.
    pub explained: f64,
}

/// A principal component analysis of pooled features that come in parts.
#[derive(Debug)]
pub struct PcaFit {
    moments: Moments,
}

impl PcaFit {
    /// Creates a fit to tiles of `inputs` pooled features. It uses memory for two matrices of `inputs` × `inputs`
    /// numbers, whatever the number of tiles.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn new(inputs: usize) -> Result<Self, EncoderError> {
        Ok(Self { moments: Moments::new(inputs).map_err(failed)? })
    }

    /// Adds pooled features, one row per tile.
    ///
    /// # Errors
    /// [`EncoderError::Torch`] if libtorch fails.
    pub fn add(&mut self, features: &DescriptorBatch) -> Result<(), EncoderError> {
        self.moments.add(features).map_err(failed)
    }

    /// Returns the head that projects pooled features onto their first `outputs` principal components, centred.
    /// With `whiten`, every component is divided by its standard deviation, so all have equal weight in a
    /// distance; otherwise distances between descriptors equal those between features within the subspace of
    /// these components.
    ///
    /// # Errors
    /// [`EncoderError::TooFewTiles`] unless there are more tiles than outputs and at least as many features as
    /// outputs; [`EncoderError::Torch`] if libtorch fails.
    pub fn head(&self, outputs: usize, whiten: bool) -> Result<Fitted, EncoderError> {
        let Moments { tiles, inputs, .. } = self.moments;
        if tiles <= outputs || outputs > inputs {
            return Err(EncoderError::TooFewTiles { tiles, outputs });
        }
        decompose(&self.moments, outputs, whiten).map_err(failed)
    }
}

fn failed(error: TchError) -> EncoderError {
    EncoderError::torch("fitting a PCA", &error)
}

fn decompose(moments: &Moments, outputs: usize, whiten: bool) -> Result<Fitted, TchError> {
    let _no_grad = tch::no_grad_guard();
    let inputs = moments.inputs;
    let mean = moments.mean()?;
    // Eigenvalues are ascending: the components of largest variance come last.
    let (variances, components) = moments.covariance()?.f_linalg_eigh("L")?;
    let first = (inputs - outputs) as i64;
    let kept = variances.f_narrow(0, first, outputs as i64)?.f_flip([0])?.f_clamp_min(0.0)?;
    let rows = components.f_narrow(1, first, outputs as i64)?.f_transpose(0, 1)?.f_flip([0])?;
    let mut weight = with_signs(&rows)?;
    if whiten {
        // Without a lower bound, components of almost no variance would be amplified to noise.
        let floor = kept.f_max()?.f_mul_scalar(1e-6)?;
        let deviation = kept.f_maximum(&floor)?.f_sqrt()?.f_reshape([-1, 1])?;
        weight = weight.f_div(&deviation)?;
    }
    let bias = weight.f_matmul(&mean.f_transpose(0, 1)?)?.f_neg()?;
    let explained = kept.f_sum(Kind::Double)?.f_div(&variances.f_sum(Kind::Double)?)?.f_double_value(&[])?;
    let head = LinearHead { weight: numbers(&weight)?, bias: numbers(&bias)?, inputs, outputs };
    Ok(Fitted { head, explained })
}

/// Writes the weights of a `backbone` to a model's folder as 16-bit numbers, without head and classifier, and
/// returns the file's name relative to the folder. Several files are averaged: the mean of networks trained
/// from the same start with different seeds keeps what they have in common, and including the start reduces
/// forgetting (Wortsman et al. 2022, "Model soups" and "Robust fine-tuning of zero-shot models").
///
/// # Errors
/// [`EncoderError`] if the weights cannot be read, are of different networks, or the file cannot be written.
pub fn gather_weights(
    backbone: BackboneKind,
    files: &[PathBuf],
    folder: &Path,
) -> Result<PathBuf, EncoderError> {
    const NAME: &str = "backbone.safetensors";
    let torch = |error: TchError| EncoderError::torch("taking the mean of networks", &error);
    let share = 1.0 / files.len() as f64;
    let mut mean = weights::Tensors::new();
    for (index, file) in files.iter().enumerate() {
        let read = WeightFiles::read(file)?;
        let mut tensors = read.network(backbone, &state_dict::prefix_in_files(&read)?)?;
        tensors.retain(|name, tensor| tensor.is_floating_point() && backbone.is_own(name));
        let shapes = |tensors: &weights::Tensors| -> Vec<_> {
            tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect()
        };
        if index > 0 && shapes(&tensors) != shapes(&mean) {
            let differences = format!("its parameters are not those of {}", files[0].display());
            return Err(EncoderError::Mismatch { path: file.clone(), differences });
        }
        for (name, tensor) in tensors {
            let part = tensor.f_mul_scalar(share).map_err(torch)?;
            let sum = match mean.get(&name) {
                Some(sum) => sum.f_add(&part).map_err(torch)?,
                None => part,
            };
            mean.insert(name, sum);
        }
    }
    let path = folder.join(NAME);
    weights::write_whole(&path, &weights::halved(&mean, &path)?)?;
    Ok(NAME.into())
}

/// Returns the components (one per row) with signs chosen so that the entry of largest magnitude is positive.
/// The signs are otherwise arbitrary; fixing them makes fits reproducible.
pub(super) fn with_signs(components: &Tensor) -> Result<Tensor, TchError> {
    let largest = components.f_abs()?.f_argmax(1, true)?;
    components.f_mul(&components.f_gather(1, &largest, false)?.f_sign()?)
}

pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0.0; tensor.numel()];
    let count = values.len();
    tensor.f_copy_data(&mut values, count)?;
    Ok(values)
}

/// Writes a model's folder: the head, the model card, and last the description (`model.toml`), which makes
/// the folder a model. An existing card is kept, since users may have edited it.
///
/// # Errors
/// [`EncoderError::File`] with the path that cannot be written.
pub fn write_model(
    folder: &Path,
    file: &ModelFile,
    head: &LinearHead,
    card: &str,
) -> Result<(), EncoderError> {
    let failed = |reason: String| EncoderError::File { path: folder.to_owned(), reason };
    std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    if let Some(name) = &file.head {
        let weight =
            Array { name: "head.weight", shape: vec![head.outputs, head.inputs], values: &head.weight };
        let bias = Array { name: "head.bias", shape: vec![head.outputs], values: &head.bias };
        weights::write(&folder.join(name), vec![weight, bias])?;
    }
    let card_path = folder.join("card.md");
    if !card_path.exists() {
        weights::write_whole(&card_path, card.as_bytes())?;
    }
    let text = toml::to_string(file).map_err(|error| failed(error.to_string()))?;
    weights::write_whole(&folder.join(MODEL_FILE), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns points around (1, 2, 3) with amplitudes of 3, 1 and 0.01 along three axes.
    fn cloud() -> DescriptorBatch {
        let values = (0..400).flat_map(|index| {
            let angle = index as f32 * 0.37;
            let (a, b, c) = (3.0 * angle.sin(), (angle * 1.7).cos(), 0.01 * (angle * 2.9).sin());
            [1.0 + 0.6 * a - 0.8 * b, 2.0 + 0.8 * a + 0.6 * b, 3.0 + c]
        });
        DescriptorBatch { values: values.collect(), width: 3 }
    }

    fn fit_pca_head(cloud: &DescriptorBatch, outputs: usize, whiten: bool) -> Result<Fitted, EncoderError> {
        let mut fit = PcaFit::new(cloud.width)?;
        fit.add(cloud)?;
        fit.head(outputs, whiten)
    }

    fn project(head: &LinearHead, row: &[f32]) -> Vec<f64> {
        let dot = |weights: &[f32]| weights.iter().zip(row).map(|(w, x)| f64::from(w * x)).sum::<f64>();
        head.weight.chunks(head.inputs).zip(&head.bias).map(|(w, b)| dot(w) + f64::from(*b)).collect()
    }

    #[test]
    fn the_first_component_points_along_the_widest_axis() {
        let pca = fit_pca_head(&cloud(), 2, false).unwrap();
        let axis = &pca.head.weight[..3];
        assert!((axis[0] - 0.6).abs() < 0.02 && (axis[1] - 0.8).abs() < 0.02, "{axis:?}");
        assert!(pca.explained > 0.999 && pca.explained < 1.0, "{}", pca.explained);
    }

    #[test]
    fn projections_are_centred_and_whitened_ones_have_unit_variance() {
        let cloud = cloud();
        let pca = fit_pca_head(&cloud, 2, true).unwrap();
        let rows: Vec<_> = cloud.rows().map(|row| project(&pca.head, row)).collect();
        for axis in 0..2 {
            let mean = rows.iter().map(|row| row[axis]).sum::<f64>() / 400.0;
            let variance = rows.iter().map(|row| (row[axis] - mean).powi(2)).sum::<f64>() / 399.0;
            assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
        }
    }

    #[test]
    fn gathered_weights_are_the_mean_without_heads() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, values: &[f32]| {
            let path = folder.path().join(name);
            let array = |name| Array { name, shape: vec![values.len()], values };
            weights::write(&path, vec![array("tiny.kernel"), array("head.bias"), array("classifier.bias")])
                .unwrap();
            path
        };
        let [a, b, longer] =
            [file("a", &[1.0, 2.0]), file("b", &[3.0, -2.0]), file("longer", &[1.0, 1.0, 1.0])];
        let gather = |files: &[PathBuf]| gather_weights(BackboneKind::Tiny, files, folder.path());
        let name = gather(&[a.clone(), b]).unwrap();
        let path = folder.path().join(name);
        let mean = weights::parse(&path, &weights::read_bytes(&path).unwrap()).unwrap();
        assert_eq!(mean.keys().collect::<Vec<_>>(), ["tiny.kernel"]);
        assert_eq!(Vec::<f32>::try_from(&mean["tiny.kernel"]).unwrap(), [2.0, 0.0]);
        let error = gather(&[a, longer]).unwrap_err().to_string();
        assert!(error.contains("longer") && error.contains("its parameters are not those of"), "{error}");
    }

    #[test]
    fn too_few_tiles_are_refused() {
        let few = DescriptorBatch { values: vec![0.0; 12], width: 3 };
        assert!(matches!(fit_pca_head(&few, 4, false), Err(EncoderError::TooFewTiles { .. })));
        assert!(fit_pca_head(&few, 3, false).is_ok());
    }
}
