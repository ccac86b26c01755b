//! Slides: what they are, and the one door through which their pixels come.
//!
//! [`open`] chooses the reader: OpenSlide for everything it recognises, else a plain image.

mod flat_image;
mod openslide;
pub mod pyramid;
#[cfg(test)]
pub(crate) mod test_slide;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbaImage;
use serde::{Deserialize, Serialize};

use crate::geometry::{Downsample, Level0Rect, LevelRect, MicronsPerPixel};

/// Pixels of one slide. Implementations may be read from many threads at once.
pub trait SlideSource: Send + Sync {
    fn info(&self) -> &SlideInfo;

    /// Decode `region`, in pixels of its level. The result has exactly the region's extent, 8-bit sRGB
    /// as stored in the file, with straight alpha; what lies outside the slide or was never scanned is
    /// transparent (0, 0, 0, 0).
    ///
    /// # Errors
    /// [`SlideError::Read`] when the file cannot deliver these pixels; other regions stay readable.
    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError>;

    /// Decode a picture stored beside the pyramid (`label`, `macro`, `thumbnail`, …).
    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError>;
}

/// A slide's identity: derived from its content, so that it survives moving and renaming.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlideId(pub String);

impl SlideId {
    /// The first 12 characters: enough for file names and for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for SlideId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the pixel size comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MppSource {
    /// Written in the slide file.
    Slide,
    /// Given by the user.
    User,
    /// Known to nobody; nothing physical can be computed.
    Unknown,
}

/// One stored level of the pyramid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Level {
    pub width: u32,
    pub height: u32,
    pub downsample: Downsample,
}

/// What is known of a slide without reading its pixels.
#[derive(Debug, Clone)]
pub struct SlideInfo {
    pub id: SlideId,
    pub path: PathBuf,
    /// OpenSlide's vendor name, or `image` for plain images.
    pub vendor: String,
    /// Finest first; never empty.
    pub levels: Vec<Level>,
    pub mpp: Option<MicronsPerPixel>,
    pub mpp_source: MppSource,
    /// Nominal magnification of the objective, such as 20 or 40.
    pub objective_power: Option<f64>,
    /// Names of the pictures stored beside the pyramid.
    pub associated: Vec<String>,
    /// Every property of the file, as it states them.
    pub properties: BTreeMap<String, String>,
}

impl SlideInfo {
    /// Width of level 0 in pixels.
    pub fn width(&self) -> u32 {
        self.levels[0].width
    }

    /// Height of level 0 in pixels.
    pub fn height(&self) -> u32 {
        self.levels[0].height
    }

    /// The whole of level 0.
    pub fn extent(&self) -> Level0Rect {
        Level0Rect::new(0, 0, self.width(), self.height())
    }

    /// The coarsest level that is still at least as fine as `wanted`, with a tolerance of 1 % since
    /// scanners round their level sizes.
    pub fn best_level_for(&self, wanted: Downsample) -> u32 {
        let fine_enough = |level: &Level| level.downsample.0 <= wanted.0 * 1.01;
        self.levels.iter().rposition(fine_enough).unwrap_or(0) as u32
    }

    /// File name without its folder, for people.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The pixel size, or an error that says how to give one.
    pub fn require_mpp(&self) -> Result<MicronsPerPixel, SlideError> {
        self.mpp.ok_or_else(|| SlideError::NotCalibrated { path: self.path.clone() })
    }

    /// Put the user's pixel size in place of the slide's own or of none.
    pub fn set_user_mpp(&mut self, mpp: MicronsPerPixel) {
        self.mpp = Some(mpp);
        self.mpp_source = MppSource::User;
    }
}

/// What can go wrong with a slide. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SlideError {
    #[error("{}: there is no such file; check the path or whether its drive is connected", path.display())]
    Missing { path: PathBuf },
    #[error("{}: cannot be opened: {reason}", path.display())]
    Open { path: PathBuf, reason: String },
    #[error(
        "{}: not a slide or image that histokin can read ({reason}); \
         formats: those of OpenSlide (SVS, NDPI, SCN, MRXS, BIF, VMS, CZI, DICOM, tiled TIFF) and PNG, JPEG, TIFF, BMP, WebP",
        path.display()
    )]
    Unsupported { path: PathBuf, reason: String },
    #[error(
        "{}: level {} at x {}, y {} ({} × {} px) cannot be read: {reason}",
        path.display(), region.level, region.x, region.y, region.width, region.height
    )]
    Read { path: PathBuf, region: LevelRect, reason: String },
    #[error("{}: has no picture named {name:?}; it has: {available}", path.display())]
    NoSuchAssociated { path: PathBuf, name: String, available: String },
    #[error(
        "{}: the slide does not say how large its pixels are; give it with --slide-mpp (µm per pixel), \
         or in the slide's panel",
        path.display()
    )]
    NotCalibrated { path: PathBuf },
}

/// Open the slide or plain image at `path`. `user_mpp` overrides what the file says of its pixel size.
///
/// # Errors
/// [`SlideError::Missing`], [`SlideError::Open`] (recognised, but damaged) or [`SlideError::Unsupported`].
pub fn open(path: &Path, user_mpp: Option<MicronsPerPixel>) -> Result<Arc<dyn SlideSource>, SlideError> {
    todo!()
}
