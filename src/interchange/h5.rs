//! HDF5 as TRIDENT and CLAM write and read it.

use std::path::Path;

use hdf5_pure::{AttrValue, DType, Dataset, File, FileBuilder};

use super::read::{MOST_BYTES, from_half};
use super::{InterchangeError, Places, TileFeatures};
use crate::descriptors::DescriptorSet;
use crate::geometry::MicronsPerPixel;
use crate::{durable, intake};

/// Whose names are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `features` f32, `coords` i64, with the attributes of TRIDENT's feature files.
    Trident,
    /// `features` f32, `coords` i32, without attributes.
    Clam,
}

/// Write the descriptors of one slide, as file `<name>.h5` would be by TRIDENT or CLAM. `size` are width and
/// height of level 0. No path of this machine goes into the file.
///
/// # Errors
/// [`InterchangeError`], also for tiles that are not square in level-0 pixels, for which these formats have no
/// place; a file that was there before stays as it was.
pub fn write_h5(
    path: &Path,
    layout: Layout,
    set: &DescriptorSet,
    name: &str,
    mpp: MicronsPerPixel,
    size: [u32; 2],
) -> Result<(), InterchangeError> {
    let unwritable = |error: hdf5_pure::Error| InterchangeError::Unwritable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    if let Some(height) = set.header.tile_level0_y {
        return Err(InterchangeError::Unwritable {
            path: path.to_owned(),
            reason: format!(
                "the slide's pixels are not square, so its tiles are {} × {height} level-0 pixels large, and HDF5 of \
                 TRIDENT and CLAM knows one patch size for both axes; export it as npy, parquet or safetensors",
                set.header.tile_level0
            ),
        });
    }
    let shape = |columns: usize| [set.len() as u64, columns as u64];
    let mut file = FileBuilder::new();
    let features = file.create_dataset("features");
    features.with_f32_data(set.features()).with_shape(&shape(set.width()));
    if layout == Layout::Trident {
        features
            .set_attr("name", AttrValue::VarLenString(name.to_owned()))
            .set_attr("savetodir", AttrValue::VarLenString(".".to_owned()))
            .set_attr("encoder", AttrValue::VarLenString(set.header.recipe.encoder_name.clone()));
    }
    let coords = file.create_dataset("coords");
    match layout {
        Layout::Trident => {
            coords.with_i64_data(bytemuck::cast_slice(set.coords())).with_shape(&shape(2));
            let tile_px = set.header.recipe.tiles.tile_px;
            let magnification = |mpp: f64| AttrValue::I64((10.0 / mpp).round().max(1.0) as i64);
            let whole = |number: u32| AttrValue::I64(number.into());
            coords
                .set_attr("patch_size", whole(tile_px))
                .set_attr("patch_size_level0", whole(set.header.tile_level0))
                .set_attr("level0_magnification", magnification(mpp.mean()))
                .set_attr("target_magnification", magnification(set.header.effective_mpp))
                .set_attr("overlap", AttrValue::I64(0))
                .set_attr("name", AttrValue::VarLenString(name.to_owned()))
                .set_attr("savetodir", AttrValue::VarLenString(".".to_owned()))
                .set_attr("level0_width", whole(size[0]))
                .set_attr("level0_height", whole(size[1]));
        }
        Layout::Clam => {
            let corners: Vec<i32> = set.coords().iter().flatten().map(|place| *place as i32).collect();
            coords.with_i32_data(&corners).with_shape(&shape(2));
        }
    }
    let bytes = file.finish().map_err(unwritable)?;
    durable::write(path, &bytes).map_err(|source| InterchangeError::Io { path: path.to_owned(), source })
}

/// Read a file of features of TRIDENT or CLAM.
pub(super) fn read(path: &Path) -> Result<TileFeatures, InterchangeError> {
    let wrong = |reason: String| InterchangeError::malformed(path, reason);
    let bytes = intake::read(path, MOST_BYTES)
        .map_err(|source| InterchangeError::Io { path: path.to_owned(), source })?;
    // Gzip may be at work within; and a dataset may claim any size without a byte behind it.
    let most = intake::most_unpacked(bytes.len() as u64).max(bytes.len() as u64);
    let file = File::from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
    let dataset = |name: &str| file.dataset(name).map_err(|error| wrong(format!("dataset {name}: {error}")));
    let (features, coords) = (dataset("features")?, dataset("coords")?);
    let shape = |dataset: &Dataset| dataset.shape().map_err(|error| wrong(error.to_string()));
    // TRIDENT's slide encoders and some writers of CLAM put one more axis in front.
    let width = match *shape(&features)? {
        [_, width] | [1, _, width] => width as usize,
        ref other => {
            return Err(wrong(format!("features have the shape {other:?}; tiles × width is wanted")));
        }
    };
    match *shape(&coords)? {
        [_, 2] | [1, _, 2] => {}
        ref other => return Err(wrong(format!("coords have the shape {other:?}; tiles × 2 is wanted"))),
    }
    for claimed in [shape(&features)?, shape(&coords)?] {
        let numbers = claimed.iter().try_fold(1_u64, |numbers, extent| numbers.checked_mul(*extent));
        if numbers.and_then(|numbers| numbers.checked_mul(4)).is_none_or(|bytes| bytes > most) {
            return Err(wrong(format!("a shape of {claimed:?} is far more than such a file can hold")));
        }
    }
    let values = floats(&features).map_err(|error| wrong(format!("features: {error}")))?;
    let attributes = coords.attrs().map_err(|error| wrong(error.to_string()))?;
    let number = |name: &str| attributes.get(name)?.as_i64().and_then(|number| u32::try_from(number).ok());
    let tile_px = number("patch_size").filter(|edge| *edge > 0);
    let edge = number("patch_size_level0").or(tile_px).filter(|edge| *edge > 0);
    let encoder =
        features.attrs().ok().and_then(|attributes| Some(attributes.get("encoder")?.as_str()?.to_owned()));
    let is_whole =
        !matches!(coords.dtype().map_err(|error| wrong(error.to_string()))?, DType::F32 | DType::F64);
    let places = if is_whole {
        let numbers = coords.read_i64().map_err(|error| wrong(format!("coords: {error}")))?;
        Places::Corners {
            corners: numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect(),
            tile_level0: edge,
            mpp: None,
        }
    } else {
        let numbers = coords.read_f64().map_err(|error| wrong(format!("coords: {error}")))?;
        Places::CentersUm(numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
    };
    Ok(TileFeatures { width, values, places, encoder, tile_px })
}

fn floats(dataset: &Dataset) -> Result<Vec<f32>, hdf5_pure::Error> {
    match dataset.dtype()? {
        // Half precision is a type of its own; its numbers are two bytes each.
        DType::Other(_) => {
            let bytes = dataset.read_raw()?;
            Ok(bytes.chunks_exact(2).map(|pair| from_half(u16::from_le_bytes([pair[0], pair[1]]))).collect())
        }
        _ => dataset.read_f32(),
    }
}
