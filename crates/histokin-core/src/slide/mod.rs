//! Slides, and the interface through which their pixels are read. [`open`] chooses the reader.

pub mod calibration;
pub mod channel;
pub mod colour_profile;
pub mod computed;
mod decoded_once;
pub mod dicom;
mod error;
mod flat_image;
mod identity;
pub mod isolated;
mod levels;
mod mirax;
pub mod names;
mod opening;
mod openslide;
mod orientation;
mod partial_jpeg;
mod picture_resolution;
pub mod pyramid;
mod raw_tiles;
mod reduced;
mod reconnecting;
mod scratch;
mod strips;
mod tile_grid;
#[cfg(any(test, feature = "test-support"))]
pub mod test_slide;
mod tiff;
mod unread;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use image::RgbaImage;
use serde::{Deserialize, Serialize};

use crate::geometry::{Downsample, Level0Rect, LevelRect, MicronsPerPixel};
use calibration::SlideWarning;
use channel::SlideChannel;

pub use error::SlideError;
pub use levels::{Level, levels_of_sizes};
pub use opening::{
    OpenSettings, first_file_of_ome_tiff, first_file_of_slide, open, open_with_channels, open_with_openslide,
    openslide_version,
};
pub use unread::folder_kind;

/// Source of one slide's pixels. Implementations allow reads from many threads at once.
pub trait SlideSource: Send + Sync {
    /// Returns the slide's metadata.
    fn info(&self) -> &SlideInfo;

    /// Decodes `region`, given in pixels of its level. The result has exactly the region's extent and is
    /// 8-bit sRGB as stored in the file, with straight alpha; pixels outside the slide or never scanned are
    /// transparent (0, 0, 0, 0).
    ///
    /// # Errors
    /// [`SlideError::Read`] when the file cannot deliver these pixels; other regions stay readable.
    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError>;

    /// Decodes `region`, given in pixels of its stored level, at 1/`factor` of its resolution. Each output
    /// pixel is approximately the mean of `factor` × `factor` pixels (of fewer at the right and bottom edges
    /// of the region). Readers may round differently from averaging the result of [`read`](Self::read), but
    /// always do so in the same way.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        reduced::read_in_parts(&|part| self.read(part), region, factor)
    }

    /// Levels computed where the file stores none over a wide range of resolutions, finest first. They are
    /// used for viewing and for the tissue mask; tiles to be embedded are read from stored levels.
    fn computed_levels(&self) -> &[Level] {
        &[]
    }

    /// Like [`read`](Self::read), but `region.level` is an index into the computed levels. The first read of
    /// a region may have to decode 64 times as many pixels of a stored level.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_computed(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let reason = "the slide has no computed levels".to_owned();
        Err(SlideError::Read { path: self.info().path.clone(), region: *region, reason })
    }

    /// Whether all computed levels have already been computed, so that reading them is fast.
    fn computed_is_cached(&self) -> bool {
        false
    }

    /// The further files that the slide consists of, such as the data files of a MIRAX slide. Reads do not notice when
    /// they are replaced; [`check`](Self::check) does.
    fn companions(&self) -> &[PathBuf] {
        &[]
    }

    /// Checks that the file is present and, with its companions, still holds this slide.
    ///
    /// # Errors
    /// [`SlideError::Unavailable`] with the reason if it does not.
    fn check(&self) -> Result<(), SlideError> {
        Ok(())
    }

    /// Decodes an associated image (`label`, `macro`, `thumbnail`, …).
    ///
    /// # Errors
    /// [`SlideError::NoSuchAssociated`] if the slide has no image of this name,
    /// [`SlideError::ReadAssociated`] if it cannot be decoded.
    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError>;

    /// Returns the ICC profile embedded in the file, as stored, or `None` if there is none.
    /// [`read`](Self::read) does not apply it.
    ///
    /// # Errors
    /// [`SlideError::Profile`] when there is one and it cannot be read.
    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        Ok(None)
    }
}

/// Slide ID: derived from the slide's content, so that it does not change when the file is moved or renamed.
/// See `slide/identity.rs` for the definition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlideId(pub String);

impl SlideId {
    /// Returns the first 12 characters, for file names and messages.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// Whether the ID is safe to use as a file name: 1 to 128 letters, digits, `-` and `_` only. An ID read
    /// from a foreign project must not point outside the project's folder.
    pub fn is_plain(&self) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=128).contains(&self.0.len()) && self.0.bytes().all(is_plain)
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
    /// Stated in the slide file.
    Slide,
    /// Given by the user.
    User,
    /// Unknown; no physical size can be computed.
    Unknown,
}

/// What decodes a slide's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// The JPEG tiles of the file, decoded directly; falls back to OpenSlide where that is not possible.
    RawTiles,
    /// OpenSlide.
    OpenSlide,
    /// The tiles or strips of a TIFF file, of any layout and compression, decoded directly.
    Tiff,
    /// A plain picture, held in memory as a whole.
    Picture,
    /// A large plain picture, decoded some rows at a time.
    Strips,
}

/// Metadata of a slide, available without reading its pixels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlideInfo {
    /// Slide ID.
    pub id: SlideId,
    /// IDs that earlier versions of the program gave this slide; several slides may share one.
    #[serde(default)]
    pub former_ids: Vec<SlideId>,
    /// Path of the slide's file.
    #[serde(with = "crate::paths::whole")]
    pub path: PathBuf,
    /// OpenSlide's vendor name, `ome-tiff` or `qptiff`, or `image` for plain images.
    pub vendor: String,
    /// What decodes the slide.
    pub reader: Reader,
    /// Stored levels, finest first; never empty.
    pub levels: Vec<Level>,
    /// Size of a level-0 pixel in µm; `None` if the slide is not calibrated.
    pub mpp: Option<MicronsPerPixel>,
    /// Where `mpp` comes from.
    pub mpp_source: MppSource,
    /// Nominal magnification of the objective, such as 20 or 40.
    pub objective_power: Option<f64>,
    /// Names of the associated images.
    pub associated: Vec<String>,
    /// Every property of the file, as stated in it.
    pub properties: BTreeMap<String, String>,
    /// The channels of a fluorescence slide that is shown as their sum; empty for any other slide.
    #[serde(default)]
    pub channels: Vec<SlideChannel>,
    /// Warnings about the slide that the user should see and may have to act on.
    #[serde(default)]
    pub warnings: Vec<SlideWarning>,
}

impl SlideInfo {
    /// Whether `id` is the slide's ID or one that earlier versions of the program gave it.
    pub fn has_id(&self, id: &SlideId) -> bool {
        self.id == *id || self.former_ids.contains(id)
    }

    /// Width of level 0 in pixels.
    pub fn width(&self) -> u32 {
        self.levels[0].width
    }

    /// Height of level 0 in pixels.
    pub fn height(&self) -> u32 {
        self.levels[0].height
    }

    /// Returns the rectangle that covers all of level 0.
    pub fn extent(&self) -> Level0Rect {
        Level0Rect::new(0, 0, self.width(), self.height())
    }

    /// Returns the index of the coarsest level that is at least as fine as `wanted` along both axes, with a
    /// tolerance of 1 % because scanners round level sizes.
    pub fn best_level_for(&self, wanted: Downsample) -> u32 {
        self.levels.iter().rposition(|level| level.is_fine_enough(wanted)).unwrap_or(0) as u32
    }

    /// Whether this is a slide of fluorescence: the sum of channels, light on black.
    pub fn is_fluorescence(&self) -> bool {
        !self.channels.is_empty()
    }

    /// Value of all three colours where nothing was scanned, as it is shown: white as glass, or black in fluorescence.
    pub fn unscanned_value(&self) -> u8 {
        if self.is_fluorescence() { 0 } else { 255 }
    }

    /// File name without its folder, for display.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Returns the size of a level-0 pixel in µm.
    ///
    /// # Errors
    /// [`SlideError::NotCalibrated`] if it is unknown.
    pub fn require_mpp(&self) -> Result<MicronsPerPixel, SlideError> {
        self.mpp.ok_or_else(|| SlideError::NotCalibrated { path: self.path.clone() })
    }

    fn no_such_associated(&self, name: &str) -> SlideError {
        let available = match self.associated.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        SlideError::NoSuchAssociated { path: self.path.clone(), name: name.to_owned(), available }
    }

    /// Sets the pixel size given by the user, replacing the one from the file if there is one, and drops the
    /// warnings about it.
    pub fn set_user_mpp(&mut self, mpp: MicronsPerPixel) {
        self.mpp = Some(mpp);
        self.mpp_source = MppSource::User;
        self.warnings.retain(|warning| !warning.concerns_pixel_size());
    }

    /// A pixel size to suggest to the user where the file states none or a doubtful one: the value that the
    /// file probably means, otherwise 10 / magnification µm.
    pub fn suggested_mpp(&self) -> Option<MicronsPerPixel> {
        let intended = self.warnings.iter().find_map(SlideWarning::suggested_mpp);
        let usual = self.objective_power.filter(|_| self.mpp.is_none());
        intended.or_else(|| MicronsPerPixel::square(10.0 / usual?).ok())
    }
}

/// Returns the same slide under `id`, the ID by which a project lists it.
pub fn with_id(source: Arc<dyn SlideSource>, id: &SlideId) -> Arc<dyn SlideSource> {
    if source.info().id == *id {
        return source;
    }
    let info = SlideInfo { id: id.clone(), ..source.info().clone() };
    Arc::new(KnownAs { source, info })
}

struct KnownAs {
    source: Arc<dyn SlideSource>,
    info: SlideInfo,
}

impl SlideSource for KnownAs {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.source.read(region)
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        self.source.read_reduced(region, factor)
    }

    fn computed_levels(&self) -> &[Level] {
        self.source.computed_levels()
    }

    fn read_computed(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.source.read_computed(region)
    }

    fn computed_is_cached(&self) -> bool {
        self.source.computed_is_cached()
    }

    fn companions(&self) -> &[PathBuf] {
        self.source.companions()
    }

    fn check(&self) -> Result<(), SlideError> {
        self.source.check()
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.source.associated(name)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        self.source.icc_profile()
    }
}

/// Maximum number of pixels of level 0: 512 Gpx. A double slide of 76 × 52 mm at 0.1 µm has 395 Gpx. Only
/// damaged files claim more, and scanning one would take hours.
const MAX_PIXELS: u64 = 1 << 39;

/// Returns the reason why a slide of this size is rejected, if it is.
fn implausible_size(width: u32, height: u32) -> Option<String> {
    (u64::from(width) * u64::from(height) > MAX_PIXELS)
        .then(|| format!("its stated {width} × {height} px exceed any slide; it is damaged or not a slide"))
}

#[cfg(feature = "test-support")]
pub use dicom::fuzz_dicom;
#[cfg(feature = "test-support")]
pub use identity::fuzz as fuzz_identity;
#[cfg(feature = "test-support")]
pub use tiff::fuzzed::{fuzz_jpeg_tile, fuzz_tiff_directories, fuzz_tiff_tile};

/// Maximum number of pixels of one read: 1 GiB of RGBA.
const MAX_REGION_PIXELS: u64 = 1 << 28;

/// Returns a transparent canvas for `region`, or the reason why it cannot be created.
fn transparent(region: &LevelRect) -> Result<RgbaImage, String> {
    if u64::from(region.width) * u64::from(region.height) > MAX_REGION_PIXELS {
        return Err("the region is too large to be read at once; read it in parts".to_owned());
    }
    Ok(RgbaImage::new(region.width, region.height))
}

/// Returns the part of `region` that lies on its level, which has `width` × `height` pixels.
fn clip(region: &LevelRect, width: u32, height: u32) -> Option<LevelRect> {
    let (width, height) = (i64::from(width), i64::from(height));
    let left = region.x.clamp(0, width);
    let top = region.y.clamp(0, height);
    let right = region.x.saturating_add(i64::from(region.width)).clamp(0, width);
    let bottom = region.y.saturating_add(i64::from(region.height)).clamp(0, height);
    (left < right && top < bottom).then(|| LevelRect {
        level: region.level,
        x: left,
        y: top,
        width: (right - left) as u32,
        height: (bottom - top) as u32,
    })
}

/// Turns a library's message into one line without a final full stop.
fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}
