//! The files of a network's weights: one file, or several parts that an index lists.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use serde::Deserialize;

use super::EncoderError;
use super::parameters::Parameter;
use super::weight_file::WeightFile;
use histokin_core::untrusted;

/// End of the name of an index of parts: `model.safetensors.index.json`.
pub const INDEX_ENDING: &str = ".index.json";

/// Maximum size of an index, in bytes.
const LARGEST_INDEX: u64 = 16 << 20;

/// Maximum number of parts.
const MOST_PARTS: usize = 1000;

/// All files of a network's weights.
#[derive(Debug)]
pub struct WeightFiles {
    path: PathBuf,
    files: Vec<WeightFile>,
    tensors: BTreeMap<String, TensorLocation>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct TensorLocation {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

/// The index of a network saved in several parts (Hugging Face).
#[derive(Debug, Deserialize)]
struct Index {
    /// File of each tensor, in the index's folder.
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// Opens the weights at `path`: a safetensors file, a file saved by PyTorch, an index of parts
    /// (`….index.json`), or one of the parts that an index beside it lists. Files of PyTorch are read into memory;
    /// of others only the headers are.
    ///
    /// # Errors
    /// [`EncoderError::WeightsMissing`] if there is no such file; [`EncoderError::File`] with the path of the
    /// file that is missing, damaged, incomplete or too large; [`EncoderError::Unpickled`] if a file of PyTorch
    /// cannot be converted.
    pub fn read(path: &Path) -> Result<Self, EncoderError> {
        match index_of(path) {
            Some(index) => Self::read_parts(&index),
            None => Ok(Self::of_files(path.to_owned(), vec![WeightFile::open(path)?])),
        }
    }

    fn read_parts(path: &Path) -> Result<Self, EncoderError> {
        let wrong = |reason: String| EncoderError::File { path: path.to_owned(), reason };
        let text = untrusted::read_text(path, LARGEST_INDEX).map_err(|error| wrong(error.to_string()))?;
        let index: Index = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("it is not an index of a network's parts ({error})")))?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        if names.is_empty() || names.len() > MOST_PARTS {
            return Err(wrong(format!("it lists {} parts; expected 1 to {MOST_PARTS}", names.len())));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut files = Vec::new();
        for name in names {
            if Path::new(name).file_name().is_none_or(|plain| plain != name.as_str()) {
                return Err(wrong(format!("it lists {name:?}, which is not a file beside it")));
            }
            let part = folder.join(name);
            let file = WeightFile::open(&part).map_err(|error| match error {
                EncoderError::WeightsMissing { path: part } => EncoderError::File {
                    path: part,
                    reason: format!("this part is missing; {} lists it", path.display()),
                },
                other => other,
            })?;
            files.push(file);
        }
        let read = Self::of_files(path.to_owned(), files);
        match index.weight_map.iter().find(|(name, _)| !read.tensors.contains_key(*name)) {
            Some((lost, part)) => Err(EncoderError::File {
                path: folder.join(part),
                reason: format!("it has no {lost}, which {} lists; download it again", path.display()),
            }),
            None => Ok(read),
        }
    }

    fn of_files(path: PathBuf, files: Vec<WeightFile>) -> Self {
        let mut tensors = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            for (name, info) in file.header().tensors() {
                let (begin, end) = info.data_offsets;
                let place = TensorLocation {
                    file: number,
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    bytes: begin..end,
                };
                tensors.insert(name, place);
            }
        }
        Self { path, files, tensors }
    }

    /// Returns the path of the file, or of the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passes the content of each file on in pieces, each after its length in bytes, in the order of their names.
    ///
    /// # Errors
    /// [`EncoderError::File`] if one cannot be read.
    pub fn pass_on(&self, mut to: impl FnMut(&[u8])) -> Result<(), EncoderError> {
        self.files.iter().try_for_each(|file| file.pass_on(&mut to))
    }

    /// Returns the SHA-256 of each file's content after its length, in the order of their names.
    ///
    /// # Errors
    /// [`EncoderError::File`] if one cannot be read.
    pub fn digests(&self) -> Result<Vec<String>, EncoderError> {
        self.files.iter().map(WeightFile::digest).collect()
    }

    /// Returns the SHA-256 of the file; `None` of several parts.
    ///
    /// # Errors
    /// [`EncoderError::File`] if it cannot be read.
    pub fn sha256(&self) -> Result<Option<String>, EncoderError> {
        match &self.files[..] {
            [one] => one.sha256().map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the names of all tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns the names and shapes of all tensors, in alphabetical order.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> + Clone {
        self.tensors.iter().map(|(name, place)| (name.as_str(), place.shape.as_slice()))
    }

    /// Returns the shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|place| place.shape.as_slice())
    }

    /// Returns a text that the first file's header holds under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        let texts = self.files.first()?.header().metadata().as_ref()?;
        texts.get(key).map(String::as_str)
    }

    /// Returns a tensor of floating-point numbers, in 32 bits regardless of the file's format.
    ///
    /// # Errors
    /// [`EncoderError::File`] if there is no such tensor, or it holds other numbers.
    pub(crate) fn parameter(&self, name: &str) -> Result<Parameter, EncoderError> {
        self.read_as(name, Parameter::of_bytes)
    }

    /// Reads a tensor with `read`, which gets its type, shape and bytes.
    fn read_as<T>(
        &self,
        name: &str,
        read: impl FnOnce(Dtype, &[usize], &[u8]) -> Result<T, String>,
    ) -> Result<T, EncoderError> {
        let place = self.tensors.get(name).ok_or_else(|| EncoderError::File {
            path: self.path.clone(),
            reason: format!("it has no tensor {name:?}"),
        })?;
        let file = &self.files[place.file];
        let bytes = file.bytes(place.bytes.clone())?;
        read(place.dtype, &place.shape, &bytes).map_err(|reason| EncoderError::File {
            path: file.path().to_owned(),
            reason: format!("tensor {name:?}: {reason}"),
        })
    }
}

#[cfg(feature = "torch")]
impl WeightFiles {
    /// Returns a tensor; floating-point numbers are 32-bit regardless of the file's format.
    ///
    /// # Errors
    /// [`EncoderError::File`] if there is no such tensor, or its numbers are of a type that no network has.
    pub fn tensor(&self, name: &str) -> Result<tch::Tensor, EncoderError> {
        self.read_as(name, super::weights::tensor_of)
    }

    /// Returns the tensors whose names start with `prefix`, with the prefix removed: the parameters of the
    /// network `kind`, and any others with the same prefix.
    ///
    /// # Errors
    /// [`EncoderError::File`] if a parameter of the network has an unsupported type.
    pub fn network(
        &self,
        kind: super::backbones::BackboneKind,
        prefix: &str,
    ) -> Result<super::weights::Tensors, EncoderError> {
        let mut tensors = super::weights::Tensors::new();
        for name in self.names() {
            let Some(own) = name.strip_prefix(prefix) else { continue };
            match self.tensor(name) {
                Ok(tensor) => _ = tensors.insert(own.to_owned(), tensor),
                Err(error) if kind.is_own(own) => return Err(error),
                // Masks and counters that do not belong to the network.
                Err(_) => {}
            }
        }
        Ok(tensors)
    }
}

/// Returns the index that `path` is or, if it is one part of several, the index beside it.
fn index_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(INDEX_ENDING) {
        return Some(path.to_owned());
    }
    // Parts are named as model-00001-of-00003.safetensors.
    let (stem, extension) = name.rsplit_once('.')?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let index = path.with_file_name(format!("{stem}.{extension}{INDEX_ENDING}"));
    (is_number(number) && is_number(count) && index.is_file()).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn part(values: &[(&str, f32)]) -> Vec<u8> {
        let bytes: Vec<(&str, [u8; 4])> =
            values.iter().map(|(name, value)| (*name, value.to_le_bytes())).collect();
        let views =
            bytes.iter().map(|(name, bytes)| (*name, TensorView::new(Dtype::F32, vec![1], bytes).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    /// Writes a network of two parts with its index and returns the folder.
    fn parts() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("model-00001-of-00002.safetensors", &part(&[("a", 1.0), ("b", 2.0)]));
        write("model-00002-of-00002.safetensors", &part(&[("c", 3.0)]));
        let [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        let index = serde_json::json!({ "weight_map": { "a": first, "b": first, "c": second } });
        write("model.safetensors.index.json", index.to_string().as_bytes());
        folder
    }

    #[test]
    fn parts_are_read_as_one_from_the_index_or_from_any_part() {
        let folder = parts();
        for name in ["model.safetensors.index.json", "model-00002-of-00002.safetensors"] {
            let read = WeightFiles::read(&folder.path().join(name)).unwrap();
            assert_eq!(read.names().collect::<Vec<_>>(), ["a", "b", "c"]);
            assert_eq!(read.parameter("c").unwrap().values, [3.0]);
            assert_eq!(read.digests().unwrap().len(), 2);
        }
    }

    #[test]
    fn a_part_that_is_missing_cut_short_or_exchanged_is_named() {
        let folder = parts();
        let index = folder.path().join("model.safetensors.index.json");
        let second = folder.path().join("model-00002-of-00002.safetensors");
        let refusal = || WeightFiles::read(&index).unwrap_err().to_string();
        let whole = std::fs::read(&second).unwrap();
        std::fs::write(&second, &whole[..whole.len() - 1]).unwrap();
        assert!(refusal().contains("00002-of-00002") && refusal().contains("whole"), "{}", refusal());
        std::fs::write(&second, part(&[("d", 3.0)])).unwrap();
        assert!(refusal().contains("00002-of-00002") && refusal().contains("has no c"), "{}", refusal());
        std::fs::remove_file(&second).unwrap();
        assert!(refusal().contains("00002-of-00002") && refusal().contains("missing"), "{}", refusal());
        std::fs::write(&index, r#"{"weight_map": {"a": "../elsewhere.safetensors"}}"#).unwrap();
        assert!(refusal().contains("elsewhere"), "{}", refusal());
    }
}
