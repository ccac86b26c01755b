//! Import of descriptors from files of this or another program.

use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::raw::{RawFeatures, RawPositions};
use super::stated::{Attribute, Space, Stated};
use super::{InterchangeError, TileFeatures, h5_read};
use histokin_core::untrusted;
use histokin_encoder::weights;

/// Maximum size of a file, in bytes.
const MOST_BYTES: u64 = 16 << 30;

/// First bytes of HDF5. MATLAB writes 512 bytes of its own before them, other programs other powers of two.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Where the first bytes of HDF5 may be.
const HDF5_STARTS: [usize; 5] = [0, 512, 1024, 2048, 4096];
/// Number of bytes in which they are.
const LARGEST_START: u64 = 5 << 10;

/// What a file that is not supported says at its beginning or in its name, and what to do.
const OTHER_KINDS: [(&str, &str); 8] = [
    ("npy", "NPY holds features without positions"),
    ("npz", "NPZ is not read"),
    ("parquet", "Parquet is not read"),
    ("zarr", "Zarr is not read"),
    ("csv", "tables are not read as descriptors"),
    ("pkl", "pickles of Python objects are not read"),
    ("pickle", "pickles of Python objects are not read"),
    ("db", "stores of TIAToolbox are not read"),
];

/// What to do with a file of another kind.
const REMEDY: &str =
    "write features (tiles × numbers) and coords (tiles × 2, level-0 px) to an .h5 file with h5py";

/// Reads the descriptors of one slide from HDF5 (`.h5`, `.hdf5`; layouts of TRIDENT, CLAM and STAMP), `.safetensors`, or a
/// dictionary of tensors that PyTorch saved (`.pt`): `features` (tiles × width) and `coords` (tiles × 2). HDF5 is recognised
/// by its content, the others by their names. Attributes or header entries determine
/// the unit of the coordinates; without them, whole numbers are level-0 pixels of the tile's top-left corner,
/// and numbers of a floating-point type in `.safetensors` are µm of its centre. Tiles with NaN or infinite numbers are left
/// out and counted.
///
/// # Errors
/// [`InterchangeError::Io`]; [`InterchangeError::Malformed`] for an unsupported format or layout.
pub fn read_features(path: &Path) -> Result<TileFeatures, InterchangeError> {
    let wrong = |reason: String| InterchangeError::malformed(path, reason);
    let io = |source| InterchangeError::Io { path: path.to_owned(), source };
    let whole = || untrusted::read(path, MOST_BYTES).map_err(io);
    let mut start = Vec::new();
    untrusted::open(path).and_then(|file| file.take(LARGEST_START).read_to_end(&mut start)).map_err(io)?;
    if start.starts_with(b"version https://git-lfs") {
        return Err(wrong(
            "it is a Git LFS pointer and not the file itself; fetch that with `git lfs pull`".into(),
        ));
    }
    let is_hdf5 = HDF5_STARTS.iter().any(|at| start.get(*at..).is_some_and(|rest| rest.starts_with(HDF5)));
    let raw = match ending(path).as_str() {
        _ if is_hdf5 => h5_read::read(whole()?),
        "h5" | "hdf5" | "hdf" | "he5" => {
            Err("it is not a whole HDF5 file; copy or write it again".to_owned())
        }
        "safetensors" => of_safetensors(&whole()?, FloatPositions::CentersUm),
        "pt" | "pth" => return of_torch(path),
        other => {
            let kind = OTHER_KINDS.iter().find(|(known, _)| *known == other).map(|(_, kind)| *kind);
            let kind = kind.unwrap_or("it is not an .h5, .safetensors or .pt file");
            Err(format!("{kind}; {REMEDY}"))
        }
    };
    raw.and_then(RawFeatures::checked).map_err(wrong)
}

/// Returns the descriptor files at `path`: the file itself, or those in a folder, sorted by name. Files of PyTorch (`.pt`)
/// count where there are no others, since CLAM writes some without positions beside those with them.
///
/// # Errors
/// [`InterchangeError`] when the folder cannot be read or contains no descriptor files.
pub fn feature_files(path: &Path) -> Result<Vec<PathBuf>, InterchangeError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries =
        std::fs::read_dir(path).map_err(|source| InterchangeError::Io { path: path.to_owned(), source })?;
    // macOS keeps metadata of files on foreign disks in hidden files with the same extension.
    let is_hidden =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    files.sort();
    let (wanted, others): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .partition(|path| matches!(ending(path).as_str(), "safetensors" | "h5" | "hdf5" | "hdf" | "he5"));
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let of_torch: Vec<PathBuf> = others.into_iter().filter(|path| ending(path) == "pt").collect();
    match of_torch.is_empty() {
        true => {
            Err(InterchangeError::malformed(path, "the folder contains no .h5, .safetensors or .pt files"))
        }
        false => Ok(of_torch),
    }
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Reads a dictionary of tensors that PyTorch saved. CLAM's `.pt` files hold one tensor of features alone.
fn of_torch(path: &Path) -> Result<TileFeatures, InterchangeError> {
    let wrong = |reason: String| InterchangeError::malformed(path, reason);
    let bytes = weights::read_bytes(path).map_err(|error| {
        wrong(format!(
            "{error}. Features without positions, as in CLAM's pt_files, cannot be shown on a slide: import the .h5 files \
             of the same run (h5_files)"
        ))
    })?;
    of_safetensors(&bytes, FloatPositions::Corners).and_then(RawFeatures::checked).map_err(wrong)
}

/// What positions in floating-point numbers are where the file does not say it.
enum FloatPositions {
    /// µm of the tile's centre, as this program writes them.
    CentersUm,
    /// Level-0 pixels of the tile's top-left corner, which have to be whole.
    Corners,
}

fn of_safetensors(bytes: &[u8], floats_are: FloatPositions) -> Result<RawFeatures, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let find = |known: &[&'static str]| known.iter().find_map(|name| Some((*name, file.tensor(name).ok()?)));
    let (Some((features_name, features)), Some((coords_name, coords))) =
        (find(&h5_read::FEATURES), find(&h5_read::COORDS))
    else {
        let mut names: Vec<String> = file.iter().map(|(name, _)| name.to_owned()).collect();
        names.sort_unstable();
        names.truncate(8);
        return Err(format!(
            "expected a tensor features (or feats, embeddings) of tiles × numbers beside a tensor coords (or \
             coordinates) of tiles × 2; the file holds {}",
            names.join(", ")
        ));
    };
    let ([tiles, width] | [1, tiles, width]) = *features.shape() else {
        return Err(format!(
            "{features_name} have the shape {:?}; expected tiles × numbers",
            features.shape()
        ));
    };
    let ([count, 2] | [1, count, 2]) = *coords.shape() else {
        return Err(format!("{coords_name} have the shape {:?}; expected tiles × 2", coords.shape()));
    };
    if count != tiles {
        return Err(format!("{tiles} tiles in {features_name}, {count} in {coords_name}"));
    }
    let entries = SafeTensors::read_metadata(bytes)
        .ok()
        .and_then(|(_, metadata)| metadata.metadata().clone())
        .unwrap_or_default();
    let attributes = entries.into_iter().map(|(name, text)| (name, Attribute::Text(text))).collect();
    let stated = Stated::of(&[("the header", attributes)])?;
    let (numbers, is_integer) = match integers(&coords) {
        Some(numbers) => (numbers, true),
        None => {
            let numbers =
                floats(&coords).ok_or_else(|| format!("{coords_name} are of type {:?}", coords.dtype()))?;
            (numbers.into_iter().map(f64::from).collect(), false)
        }
    };
    let at: Vec<[f64; 2]> = numbers.as_chunks::<2>().0.to_vec();
    let is_whole = || at.iter().flatten().all(|place| !place.is_finite() || place.fract() == 0.0);
    let positions = match (stated.space()?, floats_are) {
        (Some(Space::Microns), _) => RawPositions::CornersUm(at),
        (Some(Space::Pixels), _) => RawPositions::Corners(at),
        (None, _) if is_integer => RawPositions::Corners(at),
        (None, FloatPositions::CentersUm) => RawPositions::CentersUm(at),
        (None, FloatPositions::Corners) if is_whole() => RawPositions::Corners(at),
        (None, FloatPositions::Corners) => {
            return Err(format!("{coords_name} holds fractional numbers; expected level-0 pixels"));
        }
    };
    let values =
        floats(&features).ok_or_else(|| format!("{features_name} are of type {:?}", features.dtype()))?;
    Ok(RawFeatures { width, values, positions, stated })
}

/// Returns the numbers of a tensor of integers; `None` of another one.
fn integers(tensor: &TensorView<'_>) -> Option<Vec<f64>> {
    fn all<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(bytes: &[u8], of: impl Fn(T) -> f64) -> Vec<f64> {
        bytemuck::pod_collect_to_vec::<u8, T>(bytes).into_iter().map(of).collect()
    }
    let bytes = tensor.data();
    Some(match tensor.dtype() {
        Dtype::I64 => all(bytes, |number: i64| number as f64),
        Dtype::U64 => all(bytes, |number: u64| number as f64),
        Dtype::I32 => all(bytes, |number: i32| number.into()),
        Dtype::U32 => all(bytes, |number: u32| number.into()),
        Dtype::I16 => all(bytes, |number: i16| number.into()),
        Dtype::U16 => all(bytes, |number: u16| number.into()),
        _ => return None,
    })
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
        // The upper half of a 32-bit number.
        Dtype::BF16 => Some(
            bytemuck::pod_collect_to_vec::<u8, u16>(tensor.data())
                .iter()
                .map(|bits| f32::from_bits(u32::from(*bits) << 16))
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

    fn tensors(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn tensors_of_other_programs_have_other_names_types_and_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let halves: Vec<u8> =
            [0x3f80_u16, 0x4000, 0xc000, 0].iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let corners: Vec<u8> = [0_i16, 0, 256, 512].iter().flat_map(|number| number.to_le_bytes()).collect();
        let write = |corners: (Dtype, &[usize], &[u8])| {
            let features = ("tile_embeds", Dtype::BF16, &[1, 2, 2][..], &halves[..]);
            std::fs::write(&path, tensors(&[features, ("coordinates", corners.0, corners.1, corners.2)]))
                .unwrap();
            read_features(&path)
        };
        let read = write((Dtype::I16, &[1, 2, 2], &corners)).unwrap();
        assert_eq!((read.width, read.values), (2, vec![1.0, 2.0, -2.0, 0.0]));
        assert_eq!(read.positions, super::super::TilePositions::Corners(vec![[0, 0], [256, 512]]));
        let three = [&corners[..], &corners[..4]].concat();
        let text = write((Dtype::I16, &[3, 2], &three)).unwrap_err().to_string();
        assert!(text.contains("2 tiles in tile_embeds, 3 in coordinates"), "{text}");
        std::fs::write(&path, tensors(&[("x", Dtype::BF16, &[4], &halves)])).unwrap();
        let text = read_features(&path).unwrap_err().to_string();
        assert!(text.contains("the file holds x"), "{text}");
    }

    /// A file of PyTorch in its older format, with a dictionary of two tensors.
    fn of_old_torch(coords: [i64; 4]) -> Vec<u8> {
        let tensor = |name: &str, storage: &str, key: &str| {
            let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
            [
                text(name),
                b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
                text("storage"),
                format!("ctorch\n{storage}\n").into_bytes(),
                text(key),
                text("cpu"),
                b"K\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89}tR".to_vec(),
            ]
            .concat()
        };
        let four = 4_u64.to_le_bytes();
        [
            b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02}(".to_vec(),
            tensor("feats", "FloatStorage", "0"),
            tensor("coords", "LongStorage", "1"),
            b"u.\x80\x02](X\x01\x00\x00\x000X\x01\x00\x00\x001e.".to_vec(),
            four.to_vec(),
            [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|number| number.to_le_bytes()).collect(),
            four.to_vec(),
            coords.iter().flat_map(|number| number.to_le_bytes()).collect(),
        ]
        .concat()
    }

    #[test]
    fn dictionaries_of_tensors_that_torch_saved_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pt");
        std::fs::write(&path, of_old_torch([0, 0, 256, 512])).unwrap();
        let read = read_features(&path).unwrap();
        assert_eq!((read.width, read.values), (2, vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(read.positions, super::super::TilePositions::Corners(vec![[0, 0], [256, 512]]));
    }

    #[test]
    fn files_of_other_kinds_are_refused_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content, words) in [
            ("a.npy", &b"\x93NUMPY"[..], "without positions"),
            ("a.h5", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            ("b.h5", b"not HDF5", "not a whole HDF5 file"),
            ("a.parquet", b"PAR1", "h5py"),
            ("a.txt", b"", "not an .h5, .safetensors or .pt file"),
            ("a.pt", b"PK\x03\x04", "h5_files"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let text = read_features(&path).unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
        }
        std::fs::write(folder.path().join("._b.h5"), "Mac OS X").unwrap();
        let files = |folder: &Path| -> Vec<String> {
            let files = feature_files(folder).unwrap();
            files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(files(folder.path()), ["a.h5", "b.h5"]);
        for name in ["a.h5", "b.h5"] {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        assert_eq!(files(folder.path()), ["a.pt"]);
    }

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
