//! Writing HDF5 as TRIDENT and CLAM do.

use std::path::Path;

use hdf5_pure::{AttrValue, FileBuilder};

use super::InterchangeError;
use histokin_core::descriptors::DescriptorSet;
use histokin_core::durable;
use histokin_core::geometry::MicronsPerPixel;

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
