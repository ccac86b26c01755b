//! Descriptors in the formats of other programs: TRIDENT's and CLAM's HDF5, NPY, Parquet,
//! safetensors; maps of slides as a TIFF pyramid.

mod h5;
mod import;
mod map_tiff;
mod npy;
mod parquet;
mod read;

use std::path::{Path, PathBuf};

use crate::durable;
use crate::geometry::MicronsPerPixel;

pub use h5::{Layout, write_h5};
pub(crate) use import::spacing;
pub use import::{Imported, PlacedFeatures, encoder_of, place};
pub use map_tiff::{GridValues, write_map_tiff};
pub use npy::write_npy;
pub use parquet::write_parquet;
pub use read::{feature_files, read_features};

/// Descriptors of one slide, wherever they were made.
#[derive(Debug, Clone, PartialEq)]
pub struct TileFeatures {
    /// Numbers in a descriptor.
    pub width: usize,
    /// `places.len() × width`, all finite.
    pub values: Vec<f32>,
    pub places: Places,
    /// What the file says that made them.
    pub encoder: Option<String>,
    /// Edge of a tile in the pixels that the encoder saw, where the file tells it.
    pub tile_px: Option<u32>,
}

/// Where the tiles lie, as their file tells it.
#[derive(Debug, Clone, PartialEq)]
pub enum Places {
    /// Centres in µm from the slide's top-left corner.
    CentersUm(Vec<[f64; 2]>),
    /// Top-left corners in level-0 pixels.
    Corners {
        corners: Vec<[i64; 2]>,
        /// Edge of a tile in level-0 pixels.
        tile_level0: Option<u32>,
        /// µm per level-0 pixel.
        mpp: Option<f64>,
    },
}

impl Places {
    /// Number of tiles.
    pub fn len(&self) -> usize {
        match self {
            Self::CentersUm(centers) => centers.len(),
            Self::Corners { corners, .. } => corners.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What tiles of no slide have.
    fn problem(&self) -> Option<&'static str> {
        /// Pixels and µm beyond this lie on no slide.
        const FARTHEST: f64 = 1e9;
        let is_near = |place: f64| place.abs() <= FARTHEST;
        match self {
            Self::CentersUm(centers) => (!centers.iter().flatten().all(|place| is_near(*place)))
                .then_some("a tile lies farther away than any slide reaches"),
            Self::Corners { corners, tile_level0, mpp } => {
                if !corners.iter().flatten().all(|place| is_near(*place as f64)) {
                    Some("a tile lies farther away than any slide reaches")
                } else if tile_level0.is_some_and(|edge| !(1..=1 << 20).contains(&edge)) {
                    Some("its tiles have no possible size")
                } else if mpp.is_some_and(|mpp| !MicronsPerPixel::square(mpp).is_plausible()) {
                    Some("its pixels have no possible size")
                } else {
                    None
                }
            }
        }
    }
}

/// What can go wrong with a file of descriptors. Every message names the file and the reason.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    #[error("{}: {source}{}", path.display(), durable::hint(source))]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: cannot be read as descriptors: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("{}: {reason}", path.display())]
    Unwritable { path: PathBuf, reason: String },
    #[error("{}: {reason}", path.display())]
    DoesNotFit { path: PathBuf, reason: String },
}

impl InterchangeError {
    fn malformed(path: &Path, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}
