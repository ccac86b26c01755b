//! Parameters of networks as tensors of libtorch.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor, nn};

use super::{Array, differences};
use crate::{EncoderError, first_line};

/// Tensors by name; floating-point tensors are 32-bit regardless of the file's format.
pub type Tensors = BTreeMap<String, Tensor>;

/// Returns the tensors in the bytes of a safetensors file.
///
/// # Errors
/// [`EncoderError::File`] if `bytes` are not a complete safetensors file or a tensor has an unsupported type.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Tensors, EncoderError> {
    let damaged = |reason: String| EncoderError::File { path: path.to_owned(), reason };
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| damaged(format!("it is not a whole safetensors file ({error})")))?;
    let tensor = |(name, view): (&str, TensorView)| {
        let tensor = tensor_of(view.dtype(), view.shape(), view.data())
            .map_err(|reason| damaged(format!("tensor {name:?}: {reason}")))?;
        Ok((name.to_owned(), tensor))
    };
    file.iter().map(tensor).collect()
}

/// Returns a tensor from its bytes, in 32 bits where it holds floating-point numbers.
///
/// # Errors
/// A message if the numbers are of a type that no network has, or libtorch's.
pub(crate) fn tensor_of(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Tensor, String> {
    let kind = match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        other => return Err(format!("numbers of type {other:?} do not occur in a network")),
    };
    let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    let tensor = Tensor::f_from_data_size(bytes, &shape, kind).map_err(|error| first_line(&error))?;
    match kind {
        Kind::Double | Kind::Half | Kind::BFloat16 => {
            tensor.f_to_kind(Kind::Float).map_err(|error| first_line(&error))
        }
        _ => Ok(tensor),
    }
}

/// Copies `tensors` into the variables of `store`, after checking that all names and shapes agree. Tensors
/// without a variable are ignored if `expendable` returns true for their name. `path` is used in error
/// messages.
///
/// # Errors
/// [`EncoderError::Mismatch`] with a list of all differences in names or shapes; [`EncoderError::Torch`] if
/// copying fails.
pub fn fill(
    store: &nn::VarStore,
    tensors: &Tensors,
    path: &Path,
    expendable: impl Fn(&str) -> bool,
) -> Result<(), EncoderError> {
    fill_variables(&store.variables().into_iter().collect(), tensors, path, expendable)
}

/// Copies `tensors` into `variables`, as [`fill`] does into all of a store.
///
/// # Errors
/// As [`fill`].
pub(crate) fn fill_variables(
    variables: &Tensors,
    tensors: &Tensors,
    path: &Path,
    expendable: impl Fn(&str) -> bool,
) -> Result<(), EncoderError> {
    let shapes = |tensors: &BTreeMap<String, Tensor>| -> BTreeMap<String, Vec<i64>> {
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect()
    };
    if let Some(differences) = differences(&shapes(variables), &shapes(tensors), expendable, str::to_owned) {
        return Err(EncoderError::Mismatch { path: path.to_owned(), differences });
    }
    let _no_grad = tch::no_grad_guard();
    for (name, variable) in variables {
        let mut variable = variable.shallow_clone();
        variable.f_copy_(&tensors[name]).map_err(|error| EncoderError::torch("copying weights", &error))?;
    }
    Ok(())
}

/// Returns tensors as the bytes of a safetensors file with 32-bit numbers and the text metadata `header`.
/// `path` is used in error messages.
///
/// # Errors
/// [`EncoderError::Torch`] if a tensor cannot be copied from its device; [`EncoderError::File`] if
/// serialising fails.
pub fn serialise(
    tensors: &Tensors,
    header: Option<HashMap<String, String>>,
    path: &Path,
) -> Result<Vec<u8>, EncoderError> {
    let owned = |(name, tensor): (&String, &Tensor)| {
        let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        let mut values = vec![0.0_f32; tensor.numel()];
        let count = values.len();
        tensor.f_copy_data(&mut values, count)?;
        Ok((name.clone(), tensor.size().iter().map(|&extent| extent as usize).collect::<Vec<_>>(), values))
    };
    let copies: Vec<_> = tensors
        .iter()
        .map(owned)
        .collect::<Result<_, tch::TchError>>()
        .map_err(|error| EncoderError::torch("reading parameters", &error))?;
    let arrays =
        copies.iter().map(|(name, shape, values)| (name, Array { name, shape: shape.clone(), values }));
    safetensors::serialize(arrays, header)
        .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })
}

/// Returns tensors as the bytes of a safetensors file with 16-bit numbers: half the size, accurate to three
/// digits. `path` is used in error messages.
///
/// # Errors
/// [`EncoderError::Torch`] if a tensor cannot be converted; [`EncoderError::File`] if serialising fails.
pub fn halved(tensors: &Tensors, path: &Path) -> Result<Vec<u8>, EncoderError> {
    let halves = |(name, tensor): (&String, &Tensor)| {
        let half =
            tensor.f_to_kind(Kind::Half)?.f_contiguous()?.f_reshape([-1])?.f_view_dtype(Kind::Uint8)?;
        let mut bytes = vec![0_u8; half.numel()];
        let count = bytes.len();
        half.f_copy_data(&mut bytes, count)?;
        let shape: Vec<usize> = tensor.size().iter().map(|&extent| extent as usize).collect();
        Ok((name.clone(), shape, bytes))
    };
    let copies: Vec<_> = tensors
        .iter()
        .map(halves)
        .collect::<Result<_, tch::TchError>>()
        .map_err(|error| EncoderError::torch("halving parameters", &error))?;
    let failed =
        |error: SafeTensorError| EncoderError::File { path: path.to_owned(), reason: error.to_string() };
    let views = copies
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F16, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    safetensors::serialize(views, None).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::BackboneKind;
    use crate::weights::{read_bytes, write};

    fn saved(
        store: &nn::VarStore,
        change: impl Fn(&mut Vec<(String, Tensor)>),
    ) -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let mut tensors: Vec<_> = store.variables().into_iter().collect();
        change(&mut tensors);
        let path = folder.path().join("weights.safetensors");
        Tensor::write_safetensors(&tensors, &path).unwrap();
        let bytes = read_bytes(&path).unwrap();
        (folder, bytes)
    }

    #[test]
    fn half_precision_files_are_read_as_full() {
        let store = nn::VarStore::new(Device::Cpu);
        let _ = store.root().var("weight", &[4, 3], nn::Init::Randn { mean: 0.0, stdev: 1.0 });
        let (folder, bytes) = saved(&store, |tensors| tensors[0].1 = tensors[0].1.to_kind(Kind::Half));
        let tensors = parse(folder.path(), &bytes).unwrap();
        assert_eq!(tensors["weight"].kind(), Kind::Float);
        fill(&store, &tensors, folder.path(), |_| false).unwrap();
        assert_eq!(store.variables()["weight"].kind(), Kind::Float);
    }

    #[test]
    fn halved_parameters_read_back_to_three_digits() {
        let store = nn::VarStore::new(Device::Cpu);
        let wide = store.root().var("wide", &[4, 3], nn::Init::Randn { mean: 0.0, stdev: 1.0 });
        let scalar = Tensor::from(0.3_f32);
        let mut tensors: Tensors = store.variables().into_iter().collect();
        tensors.insert("scalar".into(), scalar);
        let bytes = halved(&tensors, Path::new("half.safetensors")).unwrap();
        let back = parse(Path::new("half.safetensors"), &bytes).unwrap();
        assert_eq!(back.keys().collect::<Vec<_>>(), ["scalar", "wide"]);
        assert_eq!((back["wide"].size(), back["scalar"].dim()), (vec![4, 3], 0));
        let error = (&back["wide"] - &wide).abs().max().double_value(&[]);
        assert!(error > 0.0 && error < 1e-3 * wide.abs().max().double_value(&[]), "{error}");
    }

    #[test]
    fn every_difference_is_named_and_nothing_is_copied() {
        let store = nn::VarStore::new(Device::Cpu);
        let root = store.root();
        let _ = root.zeros("kept", &[2]);
        let _ = root.zeros("misshaped", &[3]);
        let _ = root.zeros("lost", &[1]);
        let (folder, bytes) = saved(&store, |tensors| {
            tensors.retain(|(name, _)| name != "lost");
            for (name, tensor) in tensors.iter_mut() {
                let extent = if name == "misshaped" { 5 } else { 2 };
                *tensor = Tensor::ones([extent], (Kind::Float, Device::Cpu));
            }
            tensors.push(("surplus".into(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
            tensors.push(("fc.bias".into(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
        });
        let tensors = parse(folder.path(), &bytes).unwrap();
        let error = fill(&store, &tensors, folder.path(), |name| name.starts_with("fc.")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("1 missing: lost"), "{text}");
        assert!(text.contains("1 of another shape: misshaped is [5], not [3]"), "{text}");
        assert!(text.contains("1 superfluous: surplus"), "{text}");
        assert_eq!(store.variables()["kept"].sum(Kind::Float).double_value(&[]), 0.0);
    }

    #[test]
    fn another_networks_weights_are_refused() {
        let given = nn::VarStore::new(Device::Cpu);
        BackboneKind::Resnet18.build(&given.root()).unwrap();
        let wanted = nn::VarStore::new(Device::Cpu);
        BackboneKind::Resnet34.build(&wanted.root()).unwrap();
        let tensors: Tensors = given.variables().into_iter().collect();
        let text = fill(&wanted, &tensors, Path::new("r18.safetensors"), |_| false).unwrap_err().to_string();
        assert!(text.contains("missing: layer1.2.bn1.bias"), "{text}");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let text = parse(Path::new("w.safetensors"), b"not safetensors").unwrap_err().to_string();
        assert!(text.contains("w.safetensors"), "{text}");
    }

    #[test]
    fn arrays_read_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("head.safetensors");
        let values = [1.5, -2.0, 3.25, 0.0, 5.0, 6.0];
        write(&path, vec![Array { name: "head.weight", shape: vec![2, 3], values: &values }]).unwrap();
        let bytes = read_bytes(&path).unwrap();
        let tensors = parse(&path, &bytes).unwrap();
        assert_eq!(tensors["head.weight"].size(), [2, 3]);
        assert_eq!(Vec::<f32>::try_from(tensors["head.weight"].flatten(0, 1)).unwrap(), values);
    }
}
