//! Reading and writing network parameters as safetensors.

#[cfg(feature = "torch")]
mod tensors;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use super::{EncoderError, pth, stop};
use histokin_core::{durable, untrusted};

#[cfg(feature = "torch")]
pub use tensors::{Tensors, fill, halved, parse, serialise};
#[cfg(feature = "torch")]
pub(super) use tensors::{fill_variables, tensor_of};

/// Maximum size of a weights file, in bytes: enough for several billion parameters.
pub const MOST_BYTES: u64 = 16 << 30;

/// Reads a weights file and returns it as the bytes of a safetensors file. Files saved by PyTorch are
/// recognised by their extension (`.pth`, `.ckpt`) or first bytes, and converted.
///
/// # Errors
/// [`EncoderError::WeightsMissing`] if there is no such file, [`EncoderError::File`] if it cannot be read or
/// is too large, or an error of the conversion such as [`EncoderError::Unpickled`].
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, EncoderError> {
    let read = untrusted::read_while(path, MOST_BYTES, &|| !stop::is_requested());
    let bytes = read.map_err(|error| match error.kind() {
        std::io::ErrorKind::Interrupted if stop::is_requested() => {
            EncoderError::Stopped { path: path.to_owned() }
        }
        std::io::ErrorKind::NotFound => EncoderError::WeightsMissing { path: path.to_owned() },
        _ => EncoderError::File { path: path.to_owned(), reason: error.to_string() },
    })?;
    if is_of_torch(path, &bytes) {
        return pth::to_safetensors(path, &bytes);
    }
    Ok(bytes)
}

/// Returns whether a file was saved by PyTorch, by its extension (`.pth`, `.ckpt`) or first bytes.
pub(super) fn is_of_torch(path: &Path, start: &[u8]) -> bool {
    /// First bytes of PyTorch's formats: a zip archive, and the pickled magic number of the older format.
    const OF_TORCH: [&[u8]; 2] = [b"PK\x03\x04", &[0x80, 0x02, 0x8a, 0x0a]];
    let is_named_so = path.extension().is_some_and(|extension| extension == "pth" || extension == "ckpt");
    is_named_so || OF_TORCH.iter().any(|first| start.starts_with(first))
}

/// Returns the header of a safetensors file: the tensors' names and shapes, and the text metadata.
///
/// # Errors
/// [`EncoderError::File`] if `bytes` are not a complete safetensors file.
pub fn header_of(path: &Path, bytes: &[u8]) -> Result<Metadata, EncoderError> {
    Ok(header_and_length(path, bytes)?.1)
}

/// Returns the header of a safetensors file and its length in bytes.
///
/// # Errors
/// As [`header_of`].
pub(super) fn header_and_length(path: &Path, bytes: &[u8]) -> Result<(usize, Metadata), EncoderError> {
    SafeTensors::read_metadata(bytes).map_err(|error| EncoderError::File {
        path: path.to_owned(),
        reason: format!("it is not a whole safetensors file ({error}); download it again"),
    })
}

/// Returns how the parameters in a file differ in names or shapes from those `expected` of a network, or `None`
/// if they are the same. A parameter that is not expected is no difference if `expendable` returns true for it.
/// `called` tells how the file calls a parameter.
pub(super) fn differences<T: PartialEq + Debug>(
    expected: &BTreeMap<String, Vec<T>>,
    found: &BTreeMap<String, Vec<T>>,
    expendable: impl Fn(&str) -> bool,
    called: impl Fn(&str) -> String,
) -> Option<String> {
    let listed = |kind: &str, names: Vec<String>| match names.len() {
        0 => None,
        count => {
            let more = if count > 3 { ", …" } else { "" };
            Some(format!("{count} {kind}: {}{more}", names[..count.min(3)].join(", ")))
        }
    };
    let missing =
        expected.keys().filter(|&name| !found.contains_key(name)).map(|name| called(name)).collect();
    let misshaped = expected.iter().filter_map(|(name, shape)| {
        let other = found.get(name)?;
        (other != shape).then(|| format!("{} is {other:?}, not {shape:?}", called(name)))
    });
    let superfluous = found.keys().filter(|name| !expected.contains_key(*name) && !expendable(name));
    let all = [
        listed("missing", missing),
        listed("of another shape", misshaped.collect()),
        listed("superfluous", superfluous.map(|name| called(name)).collect()),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// A named matrix or vector of 32-bit numbers, in row-major order.
pub struct Array<'a> {
    /// Name of the tensor in the file.
    pub name: &'a str,
    /// Extent along each dimension.
    pub shape: Vec<usize>,
    /// Values in row-major order; as many as the product of `shape`.
    pub values: &'a [f32],
}

impl safetensors::View for Array<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(bytemuck::cast_slice(self.values))
    }
    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

/// Writes arrays to a safetensors file, durably: the file appears under its name only when complete.
///
/// # Errors
/// [`EncoderError::File`] if the file cannot be serialised or written.
pub fn write(path: &Path, arrays: Vec<Array>) -> Result<(), EncoderError> {
    let named = arrays.into_iter().map(|array| (array.name, array));
    let bytes = safetensors::serialize(named, None)
        .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })?;
    write_whole(path, &bytes)
}

/// Writes a file durably: either completely or not at all.
///
/// # Errors
/// [`EncoderError::File`] if the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), EncoderError> {
    durable::write(path, bytes)
        .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })
}
