//! Reading of state dicts saved by PyTorch (`.pth`) without Python or PyTorch. The values are plain bytes;
//! the pickle with their names and shapes is read by an unpickler that supports tensors only.
//!
//! Both containers are supported: the zip archive of PyTorch 1.6 and later (`data.pkl` with `data/0`,
//! `data/1`, …; `torch/serialization.py`, `_save`), and the older stream of pickles followed by the storages
//! (`_legacy_save`). No code in the file is ever executed.

mod pickle;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;

use safetensors::tensor::{Dtype, View};

use super::EncoderError;
use super::state_dict::holds_network;
use histokin_core::untrusted;
use pickle::{Id, Pickle, TensorRef, Value};

/// Maximum size of the pickle of names and shapes, in bytes; published networks have less than 1 MiB.
const LARGEST_PICKLE: u64 = 64 << 20;

/// Pickled magic number at the start of the older container.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Maximum nesting depth of dictionaries that are searched.
const DEEPEST: usize = 6;

/// Converts the tensors in a `.pth` file to the bytes of a safetensors file, the only format that other code
/// has to support. In a training checkpoint, the `state_dict` or `model` is used, and the prefix `module.` of
/// networks trained on several devices is removed. If these contain no known network, all dictionaries of the
/// file are searched, and tensors are named by their path within the dictionaries.
///
/// # Errors
/// [`EncoderError::Unpickled`] with the unsupported content, and how to convert the file.
pub fn to_safetensors(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, EncoderError> {
    read(bytes).map_err(|reason| EncoderError::Unpickled { path: path.to_owned(), reason })
}

fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let tensors = if bytes.starts_with(b"PK\x03\x04") { read_archive(bytes)? } else { read_legacy(bytes)? };
    if tensors.is_empty() {
        return Err("it holds no tensors".into());
    }
    safetensors::serialize(tensors, None).map_err(|error| error.to_string())
}

/// Returns whether the file at `path` is a PyTorch state dict or checkpoint and not a TorchScript module.
/// Reads only the archive's directory.
pub(super) fn is_state_dict(path: &Path) -> bool {
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    let mut start = [0; 14];
    if file.read_exact(&mut start).is_ok() && start[..4] == [0x80, 0x02, 0x8a, 0x0a] {
        return start[4..] == LEGACY_MAGIC;
    }
    let Ok(archive) = zip::ZipArchive::new(file) else { return false };
    let mut names = archive.file_names();
    let is_pickled = |name: &str| name == "data.pkl" || name.ends_with("/data.pkl");
    let is_module = |name: &str| name.ends_with("/constants.pkl") || name.contains("/code/");
    names.any(is_pickled) && !archive.file_names().any(is_module)
}

fn read_archive(bytes: &[u8]) -> Result<BTreeMap<String, Plain>, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| format!("its zip archive is damaged ({error})"))?;
    let pickle_name = archive
        .file_names()
        .find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .map(str::to_owned)
        .ok_or("its zip archive has no data.pkl")?;
    let folder = pickle_name.trim_end_matches("data.pkl").to_owned();
    if archive.file_names().any(|name| name == format!("{folder}constants.pkl")) {
        return Err("it is a TorchScript module; give it the ending .pt".into());
    }
    let order = archive.file_names().any(|name| name == format!("{folder}byteorder"));
    if order && entry(&mut archive, &format!("{folder}byteorder"), 16)? != b"little" {
        return Err("its numbers are big-endian".into());
    }
    let pickled = entry(&mut archive, &pickle_name, LARGEST_PICKLE)?;
    let (pickle, root) = Pickle::read(&mut pickled.as_slice())?;
    let mut storages = HashMap::new();
    // Entries of a malicious archive may overlap or expand without end, so their total size is limited.
    let mut left = (bytes.len() as u64).max(untrusted::max_unpacked(bytes.len() as u64));
    for key in pickle.storage_sizes().into_keys() {
        let data = entry(&mut archive, &format!("{folder}data/{key}"), left)?;
        left -= data.len() as u64;
        storages.insert(key, Cow::Owned(data));
    }
    collect(&pickle, root, bytes.len(), &storages)
}

/// Reads one file of the archive, of at most `largest` bytes. PyTorch does not compress, but reads archives that were packed
/// again.
fn entry(archive: &mut zip::ZipArchive<Cursor<&[u8]>>, name: &str, largest: u64) -> Result<Vec<u8>, String> {
    let file = archive.by_name(name).map_err(|error| format!("{name} in it: {error}"))?;
    let mut data = Vec::new();
    let read = file.take(largest.saturating_add(1)).read_to_end(&mut data);
    read.map_err(|error| format!("{name} in it is damaged ({error})"))?;
    match data.len() as u64 <= largest {
        true => Ok(data),
        false => Err(format!("{name} in it is larger than plausible")),
    }
}

fn read_legacy(bytes: &[u8]) -> Result<BTreeMap<String, Plain>, String> {
    let rest = &mut { bytes };
    let unknown = || "it is neither a zip archive nor a stream of pickles that torch wrote".to_owned();
    let (magic, root) = Pickle::read(rest).map_err(|_| unknown())?;
    if !matches!(magic.value(root), Value::Long(digits) if digits == &LEGACY_MAGIC) {
        return Err(unknown());
    }
    let (version, root) = Pickle::read(rest)?;
    if !matches!(version.value(root), Value::Int(1001)) {
        return Err("its version of torch's old format is not known".into());
    }
    let (system, root) = Pickle::read(rest)?;
    if let Some(order) = system.entry(root, "little_endian")
        && matches!(system.value(order), Value::Bool(false))
    {
        return Err("its numbers are big-endian".into());
    }
    let (pickle, root) = Pickle::read(rest)?;
    let (keys, listed) = Pickle::read(rest)?;
    let Value::List(listed) = keys.value(listed) else { return Err(unknown()) };
    let sizes = pickle.storage_sizes();
    let mut storages = HashMap::new();
    for key in listed {
        let Value::Text(key) = keys.value(*key) else { return Err(unknown()) };
        let item = *sizes.get(key).ok_or_else(unknown)?;
        let (count, data) = rest.split_first_chunk::<8>().ok_or("it ends too early")?;
        let length =
            usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(item));
        let (storage, after) = length
            .filter(|length| *length <= data.len())
            .map(|length| data.split_at(length))
            .ok_or("it ends too early")?;
        storages.insert(key.clone(), Cow::Borrowed(storage));
        *rest = after;
    }
    collect(&pickle, root, bytes.len(), &storages)
}

/// Returns the tensors under `root`, copied from their storages.
fn collect(
    pickle: &Pickle,
    root: Id,
    file_length: usize,
    storages: &HashMap<String, Cow<'_, [u8]>>,
) -> Result<BTreeMap<String, Plain>, String> {
    let state = ["state_dict", "model", "model_state_dict"]
        .into_iter()
        .filter_map(|name| pickle.entry(root, name))
        .find(|inner| matches!(pickle.value(*inner), Value::Dict(_)))
        .unwrap_or(root);
    let holds_network = |found: &BTreeMap<String, &TensorRef>| {
        holds_network(found.iter().map(|(name, tensor)| (name.as_str(), tensor.size.as_slice())))
    };
    let mut found: BTreeMap<String, &TensorRef> = Listing::of(pickle, state, 1)
        .into_iter()
        .map(|(name, tensor)| (name.trim_start_matches("module.").to_owned(), tensor))
        .collect();
    if !holds_network(&found) {
        let all = Listing::of(pickle, root, DEEPEST);
        if found.is_empty() || holds_network(&all) {
            found = all;
        }
    }
    if found.is_empty()
        && let Some(foreign_object) = pickle.foreign_object()
    {
        return Err(format!(
            "it holds the Python object {foreign_object}, where only plain tensors are read"
        ));
    }
    if found.is_empty() && !matches!(pickle.value(root), Value::Dict(_)) {
        return Err("it holds no dictionary of tensors".into());
    }
    let mut tensors = BTreeMap::new();
    // A malicious file could refer to one storage many times; regular files have few shared tensors.
    let mut budget = file_length.saturating_mul(2);
    for (name, tensor) in found {
        let Value::Storage(lies_in) = pickle.value(tensor.storage) else {
            return Err(format!("{name} lies in no storage"));
        };
        let storage =
            storages.get(&lies_in.key).ok_or_else(|| format!("the numbers of {name} are missing"))?;
        let plain = gather(tensor, lies_in.dtype, storage).map_err(|reason| format!("{name}: {reason}"))?;
        budget = budget
            .checked_sub(plain.data.len())
            .ok_or("its tensors claim more numbers than the file holds")?;
        tensors.insert(name, plain);
    }
    Ok(tensors)
}

/// Maximum number of dictionary entries that are examined; dictionaries can be shared or contain themselves.
const MOST_ENTRIES: usize = 1 << 18;

/// Maximum length of a tensor's name including its path.
const LONGEST_NAME: usize = 512;

/// List of the tensors in nested dictionaries, by path.
struct Listing<'a> {
    pickle: &'a Pickle,
    found: BTreeMap<String, &'a TensorRef>,
    entries: usize,
}

impl<'a> Listing<'a> {
    fn of(pickle: &'a Pickle, dict: Id, depth: usize) -> BTreeMap<String, &'a TensorRef> {
        let mut listing = Self { pickle, found: BTreeMap::new(), entries: 0 };
        listing.add(dict, "", depth);
        listing.found
    }

    fn add(&mut self, dict: Id, way: &str, depth: usize) {
        let Value::Dict(entries) = self.pickle.value(dict) else { return };
        for (name, value) in entries {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return;
            }
            let Value::Text(name) = self.pickle.value(*name) else { continue };
            if way.len() + name.len() > LONGEST_NAME {
                continue;
            }
            match self.pickle.value(*value) {
                Value::Tensor(tensor) => _ = self.found.insert(format!("{way}{name}"), tensor),
                // The optimiser's state contains no network.
                Value::Dict(_) if depth > 1 && !name.contains("optim") => {
                    self.add(*value, &format!("{way}{name}."), depth - 1);
                }
                _ => {}
            }
        }
    }
}

/// Copies a tensor's values to row-major order, resolving offset and strides.
fn gather(tensor: &TensorRef, dtype: Dtype, storage: &[u8]) -> Result<Plain, String> {
    let item = dtype.bitsize() / 8;
    let beyond = || "its numbers lie outside their storage".to_owned();
    let shape = &tensor.size;
    if shape.len() != tensor.stride.len() || shape.len() > 16 {
        return Err("its shape and strides do not belong together".into());
    }
    let count = shape
        .iter()
        .try_fold(1_usize, |count, extent| count.checked_mul(*extent))
        .filter(|count| *count <= storage.len() / item)
        .ok_or_else(beyond)?;
    let mut data = Vec::with_capacity(count * item);
    let mut place = vec![0_usize; shape.len()];
    for _ in 0..count {
        let index = place
            .iter()
            .zip(&tensor.stride)
            .try_fold(tensor.offset, |at, (place, stride)| at.checked_add(place.checked_mul(*stride)?))
            .and_then(|index| index.checked_mul(item))
            .ok_or_else(beyond)?;
        let number = index.checked_add(item).and_then(|end| storage.get(index..end)).ok_or_else(beyond)?;
        data.extend_from_slice(number);
        for (place, extent) in place.iter_mut().zip(shape).rev() {
            *place += 1;
            if *place < *extent {
                break;
            }
            *place = 0;
        }
    }
    Ok(Plain { dtype, shape: shape.clone(), data })
}

/// A tensor in the form required by safetensors.
struct Plain {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for Plain {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;
    use std::io::Write;

    /// A pickle as written by PyTorch, assembled instruction by instruction.
    #[derive(Default)]
    struct Script(Vec<u8>);

    impl Script {
        fn raw(mut self, bytes: &[u8]) -> Self {
            self.0.extend_from_slice(bytes);
            self
        }

        fn text(self, text: &str) -> Self {
            self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
        }

        fn int(self, number: i32) -> Self {
            self.raw(b"J").raw(&number.to_le_bytes())
        }

        fn tuple(self, numbers: &[i32]) -> Self {
            numbers.iter().fold(self.raw(b"("), |script, number| script.int(*number)).raw(b"t")
        }

        /// Adds `_rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`.
        fn tensor(self, storage: &str, key: &str, offset: i32, size: &[i32], stride: &[i32]) -> Self {
            self.raw(b"ctorch._utils\n_rebuild_tensor_v2\n((")
                .text("storage")
                .raw(format!("ctorch\n{storage}\n").as_bytes())
                .text(key)
                .text("cpu")
                .int(99)
                .raw(b"tQ")
                .int(offset)
                .tuple(size)
                .tuple(stride)
                .raw(b"\x89ccollections\nOrderedDict\n)RtR")
        }

        fn dict(self) -> Self {
            self.raw(b"\x80\x02ccollections\nOrderedDict\n)R(")
        }

        fn end(self) -> Vec<u8> {
            self.raw(b"u.").0
        }
    }

    fn numbers(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn archive(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
        packed(pickle, storages, zip::CompressionMethod::Stored)
    }

    fn packed(pickle: &[u8], storages: &[(&str, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
        let mut file = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored = zip::write::FileOptions::default().compression_method(method);
        file.start_file("archive/data.pkl", stored).unwrap();
        file.write_all(pickle).unwrap();
        for (key, data) in storages {
            file.start_file(format!("archive/data/{key}"), stored).unwrap();
            file.write_all(data).unwrap();
        }
        file.finish().unwrap().into_inner()
    }

    fn found(bytes: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let converted = to_safetensors(Path::new("w.pth"), bytes).unwrap();
        let file = SafeTensors::deserialize(&converted).unwrap();
        let read = |(name, view): (&str, safetensors::tensor::TensorView)| {
            let words = view.data().as_chunks::<4>().0;
            let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            (name.to_owned(), (view.shape().to_vec(), values))
        };
        file.iter().map(read).collect()
    }

    fn refusal(bytes: &[u8]) -> String {
        to_safetensors(Path::new("w.pth"), bytes).unwrap_err().to_string()
    }

    fn two_tensors() -> Vec<u8> {
        Script::default()
            .dict()
            .text("module.a")
            .tensor("FloatStorage", "0", 1, &[2, 2], &[1, 2])
            .text("b")
            .tensor("FloatStorage", "7", 0, &[3], &[1])
            .end()
    }

    fn expected() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        // `a` starts at the second value and is in column-major order.
        let a = ("a".to_owned(), (vec![2, 2], vec![1.0, 3.0, 2.0, 4.0]));
        BTreeMap::from([a, ("b".to_owned(), (vec![3], vec![7.0, 8.0, 9.0]))])
    }

    #[test]
    fn an_archive_is_read_with_its_offsets_and_strides() {
        let storages = [("0", numbers(&[0.0, 1.0, 2.0, 3.0, 4.0])), ("7", numbers(&[7.0, 8.0, 9.0]))];
        assert_eq!(found(&archive(&two_tensors(), &storages)), expected());
    }

    #[test]
    fn an_archive_that_was_packed_again_is_read() {
        let storages = [("0", numbers(&[0.0, 1.0, 2.0, 3.0, 4.0])), ("7", numbers(&[7.0, 8.0, 9.0]))];
        let deflated = packed(&two_tensors(), &storages, zip::CompressionMethod::Deflated);
        assert_eq!(found(&deflated), expected());
        let zeros = [("0", vec![0; 200 << 20]), ("7", numbers(&[7.0, 8.0, 9.0]))];
        let bomb = packed(&two_tensors(), &zeros, zip::CompressionMethod::Deflated);
        assert!(refusal(&bomb).contains("larger than plausible"));
    }

    /// Python 2 writes text as bytes, and ordered dictionaries as lists of pairs.
    #[test]
    fn files_of_python_2_are_read() {
        let pickle = Script::default()
            .raw(b"\x80\x02ccollections\nOrderedDict\n](](U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storage")
            .raw(b"ctorch\nFloatStorage\nU\x010U\x03cpuK\x01NtQK\x00(K\x01t(K\x01t\x89ccollections\nOrderedDict\n]\x85RtRee\x85R.")
            .0;
        let tensors = found(&archive(&pickle, &[("0", numbers(&[5.0]))]));
        assert_eq!(tensors, BTreeMap::from([("w".to_owned(), (vec![1], vec![5.0]))]));
        // Copies of one list are counted.
        let list = Script::default().raw(b"\x80\x02](").raw(b"NN\x86q\x00").0;
        let many = (0..1000).fold(Script(list), |script, _| script.raw(b"h\x00")).raw(b"eq\x01").0;
        let copies =
            (0..2000).fold(Script(many), |script, _| script.raw(b"ccollections\nOrderedDict\nh\x01\x85R"));
        assert!(refusal(&archive(&copies.raw(b".").0, &[])).contains("more values"));
    }

    /// Python's newer protocols have instructions for sets, long bytes and objects with keywords.
    #[test]
    fn instructions_of_newer_protocols_are_passed_over() {
        let pickle = Script::default()
            .raw(b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}(\x8c\x04tags\x8f(\x8c\x01a\x8c\x01b\x90")
            .raw(b"\x8c\x04seen(K\x01K\x02\x91\x8c\x05state\x8e\x03\x00\x00\x00\x00\x00\x00\x00abc")
            .raw(b"\x8c\x05hyperccustom\nThing\n)}\x92\x8d\x05\x00\x00\x00\x00\x00\x00\x00model")
            .raw(b"cmunch\nMunch\n)\x81(\x8c\x01w")
            .tensor("FloatStorage", "0", 0, &[1], &[1])
            .raw(b"uu.")
            .0;
        let tensors = found(&archive(&pickle, &[("0", numbers(&[5.0]))]));
        assert_eq!(tensors, BTreeMap::from([("w".to_owned(), (vec![1], vec![5.0]))]));
    }

    #[test]
    fn the_older_stream_is_read_too() {
        let mut bytes = b"\x80\x02\x8a\x0a".to_vec();
        bytes.extend(LEGACY_MAGIC);
        bytes.extend(b".\x80\x02M\xe9\x03.\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
        bytes.extend(two_tensors());
        bytes.extend(Script::default().raw(b"\x80\x02](").text("7").text("0").raw(b"e.").0);
        for values in [&[7.0, 8.0, 9.0][..], &[0.0, 1.0, 2.0, 3.0, 4.0]] {
            bytes.extend((values.len() as u64).to_le_bytes());
            bytes.extend(numbers(values));
        }
        assert_eq!(found(&bytes), expected());
        let text = refusal(&bytes[..bytes.len() - 3]);
        assert!(text.contains("ends too early") && text.contains("save_file"), "{text}");
    }

    #[test]
    fn a_checkpoints_state_dict_is_looked_into() {
        let inner =
            Script::default().raw(b"}(").text("w").tensor("FloatStorage", "0", 0, &[1], &[1]).raw(b"u").0;
        let outer =
            Script::default().raw(b"\x80\x02}(").text("epoch").int(3).text("state_dict").raw(&inner).end();
        let tensors = found(&archive(&outer, &[("0", numbers(&[5.0]))]));
        assert_eq!(tensors, BTreeMap::from([("w".to_owned(), (vec![1], vec![5.0]))]));
    }

    #[test]
    fn a_network_is_found_in_dictionaries_of_any_name() {
        let anchor = "layer1.0.conv1.weight";
        let tensor =
            |script: Script, name: &str| script.text(name).tensor("FloatStorage", "0", 0, &[1], &[1]);
        let inner = tensor(Script::default().raw(b"}("), anchor).raw(b"u").0;
        let teacher = Script::default().raw(b"}(").text("module.backbone").raw(&inner).raw(b"u").0;
        let moment = tensor(Script::default().raw(b"}("), anchor).raw(b"u").0;
        // A separate tensor next to the network, and moments of the optimiser.
        let pickle = tensor(Script::default().raw(b"\x80\x02}("), "loss")
            .text("optimizer")
            .raw(&moment)
            .text("teacher")
            .raw(&teacher)
            .end();
        let tensors = found(&archive(&pickle, &[("0", numbers(&[5.0]))]));
        let name = format!("teacher.module.backbone.{anchor}");
        assert_eq!(tensors.into_keys().collect::<Vec<_>>(), ["loss".to_owned(), name]);
    }

    #[test]
    fn objects_beside_the_tensors_are_passed_over() {
        let pickle = Script::default()
            .raw(b"\x80\x02}(")
            .text("args")
            .raw(b"cargparse\nNamespace\n)\x81}(")
            .text("lr")
            .raw(b"G\x00\x00\x00\x00\x00\x00\x00\x00ub")
            .text("best")
            .raw(b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n")
            .raw(b"U\x02f8\x85RU\x08\x00\x00\x00\x00\x00\x00\x00\x00tR")
            .text("w")
            .tensor("FloatStorage", "0", 0, &[1], &[1])
            .end();
        let tensors = found(&archive(&pickle, &[("0", numbers(&[5.0]))]));
        assert_eq!(tensors, BTreeMap::from([("w".to_owned(), (vec![1], vec![5.0]))]));
    }

    #[test]
    fn a_dictionary_within_itself_ends() {
        let itself = (0..100).fold(Script::default().raw(b"\x80\x02}q\x00("), |script, index| {
            script.text(&format!("d{index}")).raw(b"h\x00")
        });
        assert!(refusal(&archive(&itself.end(), &[])).contains("no tensors"));
    }

    #[test]
    fn modules_and_state_dicts_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.pt");
        std::fs::write(&path, archive(&two_tensors(), &[])).unwrap();
        assert!(is_state_dict(&path));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(!is_state_dict(&root.join("../../tests/fixtures/encoder/tiny.pt")));
        std::fs::write(&path, b"neither").unwrap();
        assert!(!is_state_dict(&path));
    }

    #[test]
    fn nothing_is_ever_called() {
        let hostile = Script::default().raw(b"\x80\x02cposix\nsystem\n").text("touch owned").raw(b"\x85R.").0;
        let text = refusal(&archive(&hostile, &[]));
        assert!(text.contains("posix.system") && text.contains("plain tensors"), "{text}");
    }

    /// A small file must not cause large memory use through repeated references.
    #[test]
    fn nothing_grows_by_repetition() {
        let parameter = b"ctorch._utils\n_rebuild_parameter\nh\x00\x85R";
        let long = "x".repeat(1 << 20);
        let mut copies = Script::default().raw(b"\x80\x02").text(&long).raw(b"q\x00");
        for _ in 0..10_000 {
            copies = copies.raw(parameter);
        }
        assert!(refusal(&archive(&copies.raw(b".").0, &[])).contains("damaged"));
        let values = Script::default().raw(b"\x80\x02").raw(&vec![b'N'; 2 << 20]).raw(b".").0;
        assert!(refusal(&archive(&values, &[])).contains("more values"));
        let instructions = Script::default().raw(b"\x80\x02N").raw(&vec![0x94; 17 << 20]).raw(b".").0;
        assert!(refusal(&archive(&instructions, &[])).contains("longer"));
        let key = "k".repeat(65);
        let pickle = Script::default().dict().text("w").tensor("FloatStorage", &key, 0, &[1], &[1]).end();
        assert!(refusal(&archive(&pickle, &[])).contains("not a storage"));
    }

    #[test]
    fn a_parameter_is_its_tensor() {
        let tensor = Script::default().tensor("FloatStorage", "0", 0, &[1], &[1]).0;
        let pickle = Script::default()
            .dict()
            .text("w")
            .raw(b"ctorch._utils\n_rebuild_parameter\n(")
            .raw(&tensor)
            .raw(b"\x89ccollections\nOrderedDict\n)RtR")
            .end();
        let tensors = found(&archive(&pickle, &[("0", numbers(&[5.0]))]));
        assert_eq!(tensors, BTreeMap::from([("w".to_owned(), (vec![1], vec![5.0]))]));
    }

    #[test]
    fn claims_beyond_the_file_are_refused() {
        let claims = [
            (0, vec![4], vec![1]),
            (3, vec![1], vec![1]),
            (0, vec![i32::MAX; 4], vec![0; 4]),
            (0, vec![2, 2], vec![1]),
            (i32::MAX, vec![2], vec![i32::MAX]),
        ];
        for (offset, size, stride) in claims {
            let pickle =
                Script::default().dict().text("w").tensor("FloatStorage", "0", offset, &size, &stride).end();
            let text = refusal(&archive(&pickle, &[("0", numbers(&[1.0, 2.0, 3.0]))]));
            assert!(text.contains("w: "), "{text}");
        }
        let many = (0..40).fold(Script::default().dict(), |script, index| {
            script.text(&format!("w{index}")).tensor("FloatStorage", "0", 0, &[4096], &[1])
        });
        let text = refusal(&archive(&many.end(), &[("0", numbers(&vec![1.0; 4096]))]));
        assert!(text.contains("more numbers than the file holds"), "{text}");
    }

    #[test]
    fn deep_and_torn_pickles_end_in_words() {
        let deep = Script::default().raw(b"\x80\x02)").raw(&vec![0x85; 2_000_000]).raw(b".").0;
        assert!(refusal(&archive(&deep, &[])).contains("of any network"));
        let whole = two_tensors();
        for length in 0..whole.len() {
            refusal(&archive(&whole[..length], &[("0", numbers(&[0.0; 5])), ("7", numbers(&[0.0; 3]))]));
        }
        assert!(refusal(b"\x80\x02}.").contains("neither a zip archive"));
        assert!(refusal(b"PK\x03\x04 and then nothing").contains("damaged"));
    }
}
