//! The errors in opening and reading slides.

use std::path::PathBuf;

use super::SlideId;
use crate::geometry::LevelRect;

/// An error in opening or reading a slide. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SlideError {
    /// The file does not exist.
    #[error("{}: there is no such file; check the path or whether its drive is connected", path.display())]
    Missing {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file was recognised but cannot be opened, for example because it is damaged.
    #[error("{}: cannot be opened: {reason}", path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// Cause, in one line.
        reason: String,
    },
    /// No reader recognises the file.
    #[error(
        "{}: not a slide or image that histokin can read ({reason}); \
         formats: those of OpenSlide (SVS, NDPI, SCN, MRXS, BIF, VMS, CZI, DICOM, tiled TIFF) and PNG, JPEG, TIFF, BMP, WebP",
        path.display()
    )]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// Cause, in one line.
        reason: String,
    },
    /// A region cannot be read.
    #[error(
        "{}: level {} at x {}, y {} ({} × {} px) cannot be read: {reason}",
        path.display(), region.level, region.x, region.y, region.width, region.height
    )]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The region that was to be read.
        region: LevelRect,
        /// Cause, in one line.
        reason: String,
    },
    /// The file was removed or changed after it was opened; it may become readable again.
    #[error("{}: {reason}", path.display())]
    Unavailable {
        /// Path of the file.
        path: PathBuf,
        /// Cause, in one line.
        reason: String,
    },
    /// The file holds a different slide from the one in the project.
    #[error(
        "{}: this is not the slide that the project lists under this path ({}…); open it in the project or \
         embed it to add it as a new slide, or restore the original file",
        path.display(), id.short()
    )]
    Replaced {
        /// Path of the file.
        path: PathBuf,
        /// ID of the slide in the project.
        id: SlideId,
    },
    /// An associated image cannot be read.
    #[error("{}: the associated image {name:?} cannot be read: {reason}", path.display())]
    ReadAssociated {
        /// Path of the file.
        path: PathBuf,
        /// Name of the associated image.
        name: String,
        /// Cause, in one line.
        reason: String,
    },
    /// The embedded colour profile cannot be used.
    #[error("{}: its colour profile cannot be used: {reason}", path.display())]
    Profile {
        /// Path of the file.
        path: PathBuf,
        /// Cause, in one line.
        reason: String,
    },
    /// The slide has no associated image of this name.
    #[error("{}: has no associated image {name:?}; it has: {available}", path.display())]
    NoSuchAssociated {
        /// Path of the file.
        path: PathBuf,
        /// Name that was requested.
        name: String,
        /// Names that exist, separated by commas, or `none`.
        available: String,
    },
    /// The pixel size is unknown, and the operation needs it.
    #[error(
        "{}: the slide does not state its pixel size; give it with --slide-mpp (µm per pixel) \
         or with “Set pixel size…” in the window",
        path.display()
    )]
    NotCalibrated {
        /// Path of the file.
        path: PathBuf,
    },
}

impl SlideError {
    /// Whether the slide may become readable again later, for example when its drive is reconnected.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
