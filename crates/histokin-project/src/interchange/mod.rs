//! Import and export of descriptors in formats of other programs: HDF5 of TRIDENT, CLAM and STAMP, NPY,
//! Parquet, safetensors; export of similarity maps as a TIFF pyramid.

mod h5;
mod h5_read;
mod import;
mod map_tiff;
mod npy;
mod parquet;
mod raw;
mod read;
mod similarity_maps;
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
pub use similarity_maps::{WrittenMap, write_maps};
pub use stated::Stated;
pub use steps::most_frequent_step;

/// Descriptors of one slide as read from a file of any program.
#[derive(Debug, Clone, PartialEq)]
pub struct TileFeatures {
    /// Number of values in a descriptor.
    pub width: usize,
    /// Values of all descriptors, `positions.len() × width`, all finite.
    pub values: Vec<f32>,
    /// Position of each tile.
    pub positions: TilePositions,
    /// Statements of the file about its tiles.
    pub stated: Stated,
    /// Numbers of tiles in the file that were left out.
    pub left_out: LeftOut,
}

/// Numbers of unusable tiles in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Tiles whose descriptor contains NaN or an infinity.
    pub not_finite: usize,
    /// Tiles whose position is NaN or infinite.
    pub no_position: usize,
}

/// Positions of tiles, in the coordinates of their file.
#[derive(Debug, Clone, PartialEq)]
pub enum TilePositions {
    /// Centres in µm from the slide's top-left corner.
    CentersUm(Vec<[f64; 2]>),
    /// Top-left corners in µm from the slide's top-left corner.
    CornersUm(Vec<[f64; 2]>),
    /// Top-left corners in level-0 pixels.
    Corners(Vec<[i64; 2]>),
}

impl TilePositions {
    /// Returns the number of tiles.
    pub fn len(&self) -> usize {
        match self {
            Self::CentersUm(positions) | Self::CornersUm(positions) => positions.len(),
            Self::Corners(corners) => corners.len(),
        }
    }

    /// Returns whether there are no tiles.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Error of importing or exporting a file of descriptors. Messages name the file and the reason.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}{}", path.display(), durable::hint(source))]
    Io {
        /// File or folder that the operation failed on.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The content of a file is not in a supported layout.
    #[error("{}: cannot be read as descriptors: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Description of the problem.
        reason: String,
    },
    /// The descriptors cannot be represented in the file format.
    #[error("{}: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Description of the problem.
        reason: String,
    },
    /// The content of a file contradicts itself or the slide.
    #[error("{}: {reason}", path.display())]
    DoesNotFit {
        /// The file.
        path: PathBuf,
        /// Description of the contradiction.
        reason: String,
    },
}

impl InterchangeError {
    fn malformed(path: &Path, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}
