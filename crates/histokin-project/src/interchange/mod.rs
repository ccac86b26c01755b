//! Descriptors in the formats of other programs: HDF5 of TRIDENT, CLAM and STAMP, NPY, Parquet,
//! safetensors; maps of slides as a TIFF pyramid.

mod h5;
mod h5_read;
mod import;
mod map_tiff;
mod npy;
mod parquet;
mod raw;
mod read;
mod stated;
mod steps;

use std::path::{Path, PathBuf};

pub use h5::{Layout, write_h5};
use histokin_core::durable;
pub use import::{Imported, PlacedFeatures, encoder_of, place};
pub use map_tiff::{GridValues, write_map_tiff};
pub use npy::write_npy;
pub use parquet::write_parquet;
pub use read::{feature_files, read_features};
pub use stated::Stated;
pub use steps::most_frequent_step;

/// Descriptors of one slide, wherever they were made.
#[derive(Debug, Clone, PartialEq)]
pub struct TileFeatures {
    /// Numbers in a descriptor.
    pub width: usize,
    /// `places.len() × width`, all finite.
    pub values: Vec<f32>,
    pub places: Places,
    /// What the file states about its tiles.
    pub stated: Stated,
    /// Tiles of the file that are not among these.
    pub left_out: LeftOut,
}

/// Tiles of a file that cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Those whose descriptor holds NaN or an infinity.
    pub not_finite: usize,
    /// Those whose place is NaN or infinite.
    pub no_place: usize,
}

/// Where the tiles lie, as their file tells it.
#[derive(Debug, Clone, PartialEq)]
pub enum Places {
    /// Centres in µm from the slide's top-left corner.
    CentersUm(Vec<[f64; 2]>),
    /// Top-left corners in µm from the slide's top-left corner.
    CornersUm(Vec<[f64; 2]>),
    /// Top-left corners in level-0 pixels.
    Corners(Vec<[i64; 2]>),
}

impl Places {
    /// Number of tiles.
    pub fn len(&self) -> usize {
        match self {
            Self::CentersUm(places) | Self::CornersUm(places) => places.len(),
            Self::Corners(corners) => corners.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
