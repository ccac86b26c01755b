//! Import of descriptors from files of this or another program.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::raw::{RawFeatures, RawPositions};
use super::stated::{Attribute, Space, Stated};
use super::{InterchangeError, TileFeatures, h5_read};
use histokin_core::untrusted;

/// Maximum size of a file, in bytes.
pub(super) const MOST_BYTES: u64 = 16 << 30;

/// Reads the descriptors of one slide from `.safetensors` or HDF5 (`.h5`, `.hdf5`; layouts of TRIDENT, CLAM
/// and STAMP): `features` (tiles × width) and `coords` (tiles × 2). Attributes or header entries determine
/// the unit of the coordinates; without them, whole numbers are level-0 pixels of the tile's top-left corner,
/// and fractional numbers in `.safetensors` are µm of its centre. Tiles with NaN or infinite numbers are left
/// out and counted.
///
/// # Errors
/// [`InterchangeError::Io`]; [`InterchangeError::Malformed`] for an unsupported format or layout.
pub fn read_features(path: &Path) -> Result<TileFeatures, InterchangeError> {
    match ending(path).as_str() {
        "safetensors" => read_safetensors(path),
        "h5" | "hdf5" => h5_read::read(path),
        _ => Err(InterchangeError::malformed(path, "not a .safetensors or .h5 file")),
    }
}

/// Returns the descriptor files at `path`: the file itself, or those in a folder, sorted by name.
///
/// # Errors
/// [`InterchangeError`] when the folder cannot be read or contains no descriptor files.
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
        return Err(InterchangeError::malformed(path, "the folder contains no .safetensors or .h5 files"));
    }
    Ok(files)
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn read_safetensors(path: &Path) -> Result<TileFeatures, InterchangeError> {
    let bytes = untrusted::read(path, MOST_BYTES)
        .map_err(|source| InterchangeError::Io { path: path.to_owned(), source })?;
    let wrong = |reason: String| InterchangeError::malformed(path, reason);
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    let tensor = |name: &str| file.tensor(name).map_err(|error| wrong(error.to_string()));
    let (features, coords) = (tensor("features")?, tensor("coords")?);
    let [_, width] = *features.shape() else {
        return Err(wrong(format!("features have the shape {:?}; expected tiles × width", features.shape())));
    };
    if coords.shape().get(1) != Some(&2) {
        return Err(wrong(format!("coords have the shape {:?}; expected tiles × 2", coords.shape())));
    }
    let entries = SafeTensors::read_metadata(&bytes)
        .ok()
        .and_then(|(_, metadata)| metadata.metadata().clone())
        .unwrap_or_default();
    let attributes = entries.into_iter().map(|(name, text)| (name, Attribute::Text(text))).collect();
    let stated = Stated::of(&[("the header", attributes)]).map_err(wrong)?;
    let (at, is_whole): (Vec<[f64; 2]>, _) = match coords.dtype() {
        Dtype::I64 => {
            let numbers: Vec<i64> = bytemuck::pod_collect_to_vec(coords.data());
            (numbers.chunks_exact(2).map(|pair| [pair[0] as f64, pair[1] as f64]).collect(), true)
        }
        Dtype::I32 => {
            let numbers: Vec<i32> = bytemuck::pod_collect_to_vec(coords.data());
            (numbers.chunks_exact(2).map(|pair| [pair[0].into(), pair[1].into()]).collect(), true)
        }
        _ => {
            let numbers =
                floats(&coords).ok_or_else(|| wrong(format!("coords are of type {:?}", coords.dtype())))?;
            (numbers.chunks_exact(2).map(|pair| [pair[0].into(), pair[1].into()]).collect(), false)
        }
    };
    let positions = match stated.space().map_err(wrong)? {
        Some(Space::Microns) => RawPositions::CornersUm(at),
        Some(Space::Pixels) => RawPositions::Corners(at),
        None if is_whole => RawPositions::Corners(at),
        None => RawPositions::CentersUm(at),
    };
    let values =
        floats(&features).ok_or_else(|| wrong(format!("features are of type {:?}", features.dtype())))?;
    RawFeatures { width, values, positions, stated }.checked().map_err(wrong)
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

/// Converts a half-precision number (IEEE 754 binary16).
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
