//! Reading descriptors that another program made, or this one.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{InterchangeError, Places, TileFeatures, h5};
use crate::intake;

/// The most that a file may hold, in bytes.
pub(super) const MOST_BYTES: u64 = 16 << 30;

/// Read the descriptors of one slide from `.safetensors` or HDF5 (`.h5`, `.hdf5`; TRIDENT's and CLAM's
/// layouts): `features` (tiles × width) and `coords` (tiles × 2). Whole numbers are level-0 pixels of the
/// tile's top-left corner, others µm of its centre.
///
/// # Errors
/// [`InterchangeError`] with the file and what is wrong with it.
pub fn read_features(path: &Path) -> Result<TileFeatures, InterchangeError> {
    let features = match ending(path).as_str() {
        "safetensors" => read_safetensors(path)?,
        "h5" | "hdf5" => h5::read(path)?,
        _ => return Err(InterchangeError::malformed(path, "name a .safetensors or an .h5 file")),
    };
    if features.width == 0 || features.values.len() != features.places.len() * features.width {
        let reason = format!("{} numbers for {} tiles", features.values.len(), features.places.len());
        return Err(InterchangeError::malformed(path, reason));
    }
    if let Some(reason) = features.places.problem() {
        return Err(InterchangeError::malformed(path, reason));
    }
    match features.values.iter().position(|value| !value.is_finite()) {
        Some(place) => {
            let tile = place / features.width;
            Err(InterchangeError::malformed(
                path,
                format!("the descriptor of tile {tile} holds NaN or an infinity"),
            ))
        }
        None => Ok(features),
    }
}

/// The files of descriptors that `path` means: itself, or those of a folder in the order of their names.
///
/// # Errors
/// [`InterchangeError`] when the folder cannot be read or holds none.
pub fn feature_files(path: &Path) -> Result<Vec<PathBuf>, InterchangeError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries =
        std::fs::read_dir(path).map_err(|source| InterchangeError::Io { path: path.to_owned(), source })?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| matches!(ending(path).as_str(), "safetensors" | "h5" | "hdf5"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(InterchangeError::malformed(path, "the folder holds no .safetensors and no .h5 file"));
    }
    Ok(files)
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn read_safetensors(path: &Path) -> Result<TileFeatures, InterchangeError> {
    let bytes = intake::read(path, MOST_BYTES)
        .map_err(|source| InterchangeError::Io { path: path.to_owned(), source })?;
    let wrong = |reason: String| InterchangeError::malformed(path, reason);
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    let tensor = |name: &str| file.tensor(name).map_err(|error| wrong(error.to_string()));
    let (features, coords) = (tensor("features")?, tensor("coords")?);
    let [_, width] = *features.shape() else {
        return Err(wrong(format!(
            "features have the shape {:?}; tiles × width is wanted",
            features.shape()
        )));
    };
    if coords.shape().get(1) != Some(&2) {
        return Err(wrong(format!("coords have the shape {:?}; tiles × 2 is wanted", coords.shape())));
    }
    let entries = SafeTensors::read_metadata(&bytes)
        .ok()
        .and_then(|(_, metadata)| metadata.metadata().clone())
        .unwrap_or_default();
    let number = |name: &str| entries.get(name).and_then(|text| text.parse::<f64>().ok());
    let places = match coords.dtype() {
        Dtype::I64 | Dtype::I32 => {
            let numbers: Vec<i64> = if coords.dtype() == Dtype::I64 {
                bytemuck::pod_collect_to_vec(coords.data())
            } else {
                bytemuck::pod_collect_to_vec::<u8, i32>(coords.data()).into_iter().map(i64::from).collect()
            };
            let tile_level0 = number("patch_size_level0");
            let mpp = match (number("mpp"), number("tile_px"), tile_level0) {
                (Some(mpp), Some(px), Some(level0)) => Some(mpp * px / level0),
                _ => None,
            };
            Places::Corners {
                corners: numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect(),
                tile_level0: tile_level0.map(|edge| edge as u32),
                mpp,
            }
        }
        _ => {
            let numbers =
                floats(&coords).ok_or_else(|| wrong(format!("coords are of type {:?}", coords.dtype())))?;
            Places::CentersUm(numbers.chunks_exact(2).map(|pair| [pair[0].into(), pair[1].into()]).collect())
        }
    };
    let values =
        floats(&features).ok_or_else(|| wrong(format!("features are of type {:?}", features.dtype())))?;
    let tile_px = entries.get("tile_px").and_then(|text| text.parse().ok());
    Ok(TileFeatures { width, values, places, encoder: entries.get("encoder_name").cloned(), tile_px })
}

fn floats(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    match tensor.dtype() {
        Dtype::F32 => Some(bytemuck::pod_collect_to_vec(tensor.data())),
        Dtype::F64 => Some(
            bytemuck::pod_collect_to_vec::<u8, f64>(tensor.data())
                .iter()
                .map(|value| *value as f32)
                .collect(),
        ),
        Dtype::F16 => Some(
            bytemuck::pod_collect_to_vec::<u8, u16>(tensor.data())
                .iter()
                .map(|bits| from_half(*bits))
                .collect(),
        ),
        _ => None,
    }
}

/// A number of half precision (IEEE 754 binary16).
pub(super) fn from_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff) / 1024.0;
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2.0_f32.powi(-14),
        0x1f if fraction == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        exponent => sign * (1.0 + fraction) * 2.0_f32.powi(i32::from(exponent) - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_understood() {
        let known = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x7bff, 65504.0),
        ];
        for (bits, value) in known {
            assert_eq!(from_half(bits), value);
        }
        assert!(from_half(0x7c00).is_infinite() && from_half(0x7e00).is_nan());
    }
}
