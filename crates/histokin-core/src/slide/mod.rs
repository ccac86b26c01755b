//! Slides: what they are, and the one door through which their pixels come.
//!
//! [`open`] chooses the reader: OpenSlide for the formats of scanners, with a shorter way to the pixels of tiled JPEGs
//! where that gives the same; `tiff` for all other TIFF files, whose layouts and samples OpenSlide does not know; else
//! a plain image.

pub mod calibration;
pub mod colour_profile;
pub mod computed;
pub mod dicom;
mod flat_image;
mod identity;
pub mod isolated;
mod levels;
mod mirax;
mod openslide;
mod orientation;
mod picture_resolution;
pub mod pyramid;
mod raw_tiles;
mod reduced;
mod reconnecting;
mod strips;
#[cfg(any(test, feature = "test-support"))]
pub mod test_slide;
mod tiff;
mod unread;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbaImage;
use serde::{Deserialize, Serialize};

use crate::geometry::{Downsample, Level0Rect, LevelRect, MicronsPerPixel};
use crate::untrusted;
use calibration::SlideWarning;
use isolated::trust::{self, InUse};
use isolated::{IsolatedSource, Order};
use openslide::OpenSlideSource;
use orientation::Orientation;
use raw_tiles::RawTileSource;
use reconnecting::{ReconnectingSource, Stamp};
use strips::StripCache;
use tiff::{TiffFile, TiffSource};

pub use levels::{Level, levels_of_sizes};

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

    /// Decode `region`, in pixels of its stored level, at 1/`factor` of its resolution: each pixel is about the mean of
    /// `factor` × `factor` (at the right and bottom edges of the region, of those that are in it). Readers may round
    /// otherwise than [`read`](Self::read) and averaging would, but the same way every time.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        reduced::read_in_parts(&|part| self.read(part), region, factor)
    }

    /// Levels computed where the file stores none over a wide range of resolutions, finest first. They are for looking
    /// and for the tissue mask; what is embedded is read from stored levels.
    fn computed_levels(&self) -> &[Level] {
        &[]
    }

    /// Like [`read`](Self::read), but `region.level` counts the computed levels. It may have to read 64 times as many
    /// pixels of a stored level, once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_computed(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let reason = "the slide has no computed levels".to_owned();
        Err(SlideError::Read { path: self.info().path.clone(), region: *region, reason })
    }

    /// Whether all of the computed levels has been computed already, so that reading it is quick.
    fn computed_is_kept(&self) -> bool {
        false
    }

    /// Look whether the file is there and still holds this slide.
    ///
    /// # Errors
    /// [`SlideError::Unavailable`] with the reason if not.
    fn check(&self) -> Result<(), SlideError> {
        Ok(())
    }

    /// Decode a picture stored beside the pyramid (`label`, `macro`, `thumbnail`, …).
    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError>;

    /// The ICC profile that the file embeds for its pixels, as stored, or `None` if it embeds none. Pixels
    /// are read without it.
    ///
    /// # Errors
    /// [`SlideError::Profile`] when there is one and it cannot be read.
    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        Ok(None)
    }
}

/// A slide's identity: derived from its content, so that it survives moving and renaming. `slide/identity.rs` has
/// the definition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlideId(pub String);

impl SlideId {
    /// The first 12 characters: enough for file names and for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// Whether files can be named after it: letters, digits, `-` and `_` alone. What a project from elsewhere
    /// calls its slides must not lead out of the project's folder.
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
    /// Written in the slide file.
    Slide,
    /// Given by the user.
    User,
    /// Known to nobody; nothing physical can be computed.
    Unknown,
}

/// What gives a slide's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// The file's own JPEG tiles, decoded here; what OpenSlide is needed for goes to it.
    RawTiles,
    OpenSlide,
    /// The tiles or strips of a TIFF file, of any layout and compression, decoded here.
    Tiff,
    /// A plain picture, held in memory as a whole.
    Picture,
    /// A large plain picture, decoded some rows at a time.
    Strips,
}

/// What is known of a slide without reading its pixels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlideInfo {
    pub id: SlideId,
    /// What earlier versions of the program called this slide, and perhaps others too.
    #[serde(default)]
    pub former_ids: Vec<SlideId>,
    #[serde(with = "crate::paths::whole")]
    pub path: PathBuf,
    /// OpenSlide's vendor name, or `image` for plain images.
    pub vendor: String,
    pub reader: Reader,
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
    /// What the user should know of the slide and may have to correct.
    #[serde(default)]
    pub warnings: Vec<SlideWarning>,
}

impl SlideInfo {
    /// Whether `id` is the slide's, or one that earlier versions of the program gave it.
    pub fn goes_by(&self, id: &SlideId) -> bool {
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

    /// The whole of level 0.
    pub fn extent(&self) -> Level0Rect {
        Level0Rect::new(0, 0, self.width(), self.height())
    }

    /// The coarsest level that is still at least as fine as `wanted` along both axes, with a tolerance of 1 %
    /// since scanners round their level sizes.
    pub fn best_level_for(&self, wanted: Downsample) -> u32 {
        self.levels.iter().rposition(|level| level.is_fine_enough(wanted)).unwrap_or(0) as u32
    }

    /// File name without its folder, for people.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The pixel size, or an error that says how to give one.
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

    /// Put the user's pixel size in place of the slide's own or of none.
    pub fn set_user_mpp(&mut self, mpp: MicronsPerPixel) {
        self.mpp = Some(mpp);
        self.mpp_source = MppSource::User;
        self.warnings.retain(|warning| !warning.concerns_pixel_size());
    }

    /// A pixel size to offer to the user where the file states none or a doubtful one: what the file probably means,
    /// else the one that the objective usually gives.
    pub fn suggested_mpp(&self) -> Option<MicronsPerPixel> {
        let meant = self.warnings.iter().find_map(SlideWarning::suggested_mpp);
        let usual = self.objective_power.filter(|_| self.mpp.is_none());
        meant.or_else(|| usual.map(|power| MicronsPerPixel::square(10.0 / power)))
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
    /// The file has gone or changed since it was opened; it may come back.
    #[error("{}: {reason}", path.display())]
    Unavailable { path: PathBuf, reason: String },
    #[error(
        "{}: another slide than the one that the project knows by this path ({}…); open it in the project, or embed \
         it, to take it in as a new one, or put the former file back",
        path.display(), id.short()
    )]
    Replaced { path: PathBuf, id: SlideId },
    #[error("{}: the picture {name:?} beside the slide cannot be read: {reason}", path.display())]
    ReadAssociated { path: PathBuf, name: String, reason: String },
    #[error("{}: its colour profile cannot be used: {reason}", path.display())]
    Profile { path: PathBuf, reason: String },
    #[error("{}: has no picture named {name:?}; it has: {available}", path.display())]
    NoSuchAssociated { path: PathBuf, name: String, available: String },
    #[error(
        "{}: the slide does not say how large its pixels are; give it with --slide-mpp (µm per pixel), \
         or in the slide's panel",
        path.display()
    )]
    NotCalibrated { path: PathBuf },
}

impl SlideError {
    /// Whether the slide may be read again later, without anything being done.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// The same slide under another id: the one that a project knows it by.
pub fn known_as(source: Arc<dyn SlideSource>, id: &SlideId) -> Arc<dyn SlideSource> {
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

    fn computed_is_kept(&self) -> bool {
        self.source.computed_is_kept()
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

/// Open the slide or plain image at `path`. `user_mpp` overrides what the file says of its pixel size.
///
/// # Errors
/// [`SlideError::Missing`], [`SlideError::Open`] (recognised, but damaged) or [`SlideError::Unsupported`].
pub fn open(path: &Path, user_mpp: Option<MicronsPerPixel>) -> Result<Arc<dyn SlideSource>, SlideError> {
    open_with(path, user_mpp, true)
}

/// Version of OpenSlide, for people.
pub fn openslide_version() -> String {
    openslide::version()
}

/// Like [`open`], but all pixels come through OpenSlide, which is slower: to compare with.
///
/// # Errors
/// As [`open`].
pub fn open_with_openslide(path: &Path) -> Result<Arc<dyn SlideSource>, SlideError> {
    open_with(path, None, false)
}

fn open_with(
    path: &Path,
    user_mpp: Option<MicronsPerPixel>,
    raw_tiles_allowed: bool,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    let failed = |reason: String| SlideError::Open { path: path.to_owned(), reason };
    if let Some(mpp) = user_mpp.filter(|mpp| !mpp.is_plausible()) {
        return Err(failed(format!(
            "{} × {} µm is no pixel size of a microscope; give one between 0.001 and 1000 µm",
            mpp.x, mpp.y
        )));
    }
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => SlideError::Missing { path: path.to_owned() },
        _ => failed(error.to_string()),
    })?;
    if metadata.is_dir() {
        return match dicom::slides_in(path).as_slice() {
            [slide] => open_with(&slide[0], user_mpp, raw_tiles_allowed),
            [] => Err(SlideError::Unsupported {
                path: path.to_owned(),
                reason: "it is a folder; name a file in it".to_owned(),
            }),
            several => Err(failed(format!(
                "it is a folder with {} DICOM slides; name one of them, such as {}",
                several.len(),
                several[0][0].display()
            ))),
        };
    }
    if !metadata.is_file() {
        let reason = "it is a pipe or a device; name a file".to_owned();
        return Err(SlideError::Unsupported { path: path.to_owned(), reason });
    }
    if metadata.len() == 0 {
        return Err(failed("the file is empty; copy it again from where it came".to_owned()));
    }
    untrusted::open(path).map_err(|error| failed(error.to_string()))?;
    let owned = path.to_owned();
    if let Some((program, limits)) = trust::decoder_for(path) {
        let order = Order { program, path: owned, user_mpp, raw_tiles_allowed, limits };
        let open = move || Ok(Arc::new(IsolatedSource::open(order.clone())?) as Arc<dyn SlideSource>);
        let steady = ReconnectingSource::new(Box::new(open), Stamp::of(&metadata), None)?;
        return Ok(with_caches(steady, metadata.len()));
    }
    let in_use = InUse::new(path);
    let open = move || open_reader(&owned, user_mpp, raw_tiles_allowed);
    let steady = ReconnectingSource::new(Box::new(open), Stamp::of(&metadata), Some(in_use))?;
    Ok(with_caches(steady, metadata.len()))
}

/// What has to be kept to read the slide quickly, in the process that asks for its pixels.
fn with_caches(slide: ReconnectingSource, file_size: u64) -> Arc<dyn SlideSource> {
    let mut slide: Arc<dyn SlideSource> = Arc::new(slide);
    if slide.info().reader == Reader::Strips {
        slide = Arc::new(StripCache::new(slide));
    }
    computed::complete(slide, file_size)
}

/// The reader for a file, without regard to what may become of the file.
fn open_reader(
    path: &Path,
    user_mpp: Option<MicronsPerPixel>,
    raw_tiles_allowed: bool,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    let tiff = TiffFile::read(path).unwrap_or_else(|reason| {
        tracing::debug!(path = %path.display(), reason, "its directories are not read");
        None
    });
    match (openslide::open(path, user_mpp), tiff) {
        (Ok(Some(slide)), Some(tiff)) => open_tiff_slide(slide, tiff, user_mpp, raw_tiles_allowed),
        (Ok(Some(slide)), None) => Ok(through_openslide(slide, raw_tiles_allowed)),
        (Err(error), Some(tiff)) if tiff.is_scanners() => Err(error),
        (Err(error), None) => Err(error),
        (_, Some(tiff)) => open_tiff(path, tiff, user_mpp),
        (Ok(None), None) => match mirax::why_unrecognised(path) {
            Some(reason) => Err(SlideError::Open { path: path.to_owned(), reason }),
            None => open_picture(path, user_mpp),
        },
    }
}

/// A slide that OpenSlide recognises, by OpenSlide or by what is quicker and gives the same.
fn through_openslide(slide: OpenSlideSource, raw_tiles_allowed: bool) -> Arc<dyn SlideSource> {
    if !raw_tiles_allowed {
        return Arc::new(slide);
    }
    match raw_tiles::prove(&slide) {
        Ok(levels) => Arc::new(RawTileSource::new(slide, levels)),
        Err(reason) => {
            tracing::debug!(path = %slide.info().path.display(), reason, "read through OpenSlide");
            Arc::new(slide)
        }
    }
}

/// A TIFF file that OpenSlide recognises. The formats of scanners are OpenSlide's; what it calls generic, it reads as
/// one pyramid of upright 8-bit pictures, whatever the file says.
fn open_tiff_slide(
    slide: OpenSlideSource,
    mut tiff: TiffFile,
    user_mpp: Option<MicronsPerPixel>,
    raw_tiles_allowed: bool,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    let info = slide.info().clone();
    let orientation = Orientation::turned(tiff.orientation());
    let is_generic = info.vendor == GENERIC_TIFF;
    let sizes: Vec<(u32, u32)> = info.levels.iter().map(|level| (level.width, level.height)).collect();
    // OpenSlide turns every tile by itself.
    let is_turned = orientation.is_some() && [GENERIC_TIFF, "aperio"].contains(&info.vendor.as_str());
    let is_openslides = !is_generic || (tiff.suits_openslide(&sizes) && !tiff.misses_tiles());
    // Asked to compare with it, OpenSlide reads what it can read at all.
    let is_to_compare = !raw_tiles_allowed && !tiff.has_own_layout();
    if !is_turned && (is_openslides || is_to_compare) {
        return Ok(through_openslide(slide, raw_tiles_allowed));
    }
    let has_own_layout = tiff.has_own_layout();
    match TiffSource::open(&info.path, tiff, Some(&info), user_mpp) {
        Ok(source) => Ok(orientation::upright(Arc::new(source), orientation)),
        Err(refusal) if is_turned || has_own_layout => {
            Err(SlideError::Open { path: info.path, reason: one_line(&refusal.text()) })
        }
        Err(refusal) => {
            tracing::debug!(path = %info.path.display(), reason = refusal.text(), "read through OpenSlide");
            Ok(through_openslide(slide, raw_tiles_allowed))
        }
    }
}

/// OpenSlide's name for tiled TIFF files of no scanner's format.
const GENERIC_TIFF: &str = "generic-tiff";

/// A TIFF file that OpenSlide does not recognise.
fn open_tiff(
    path: &Path,
    tiff: TiffFile,
    user_mpp: Option<MicronsPerPixel>,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    let orientation = Orientation::turned(tiff.orientation());
    let is_fax = FAX.contains(&tiff.compression());
    match TiffSource::open(path, tiff, None, user_mpp) {
        Ok(source) => Ok(orientation::upright(Arc::new(source), orientation)),
        // `image` decodes bilevel pictures of this kind as a whole.
        Err(_) if is_fax => Ok(orientation::upright(flat_image::open(path, user_mpp)?, orientation)),
        Err(refusal) => Err(SlideError::Open { path: path.to_owned(), reason: one_line(&refusal.text()) }),
    }
}

/// TIFF's compressions of fax machines.
const FAX: [u64; 2] = [3, 4];

/// A plain picture, upright.
fn open_picture(path: &Path, user_mpp: Option<MicronsPerPixel>) -> Result<Arc<dyn SlideSource>, SlideError> {
    let picture = flat_image::open(path, user_mpp)?;
    Ok(orientation::upright(picture, Orientation::turned(flat_image::orientation(path).into())))
}

/// Most pixels of level 0: 512 Gpx. The glass of a double slide, 76 × 52 mm at 0.1 µm, has 395 Gpx; more are
/// claimed by damaged files, and would be looked through for hours.
const MOST_PIXELS: u64 = 1 << 39;

/// Why a slide of this size is not believed.
fn implausible_size(width: u32, height: u32) -> Option<String> {
    (u64::from(width) * u64::from(height) > MOST_PIXELS).then(|| {
        format!("it claims {width} × {height} px, more than a whole slide has; it is damaged or no slide")
    })
}

#[cfg(fuzzing)]
pub use dicom::fuzz_dicom;
#[cfg(fuzzing)]
pub use identity::fuzz as fuzz_identity;
#[cfg(fuzzing)]
pub use tiff::fuzzed::{fuzz_jpeg_tile, fuzz_tiff_directories, fuzz_tiff_tile};

/// Pixels that one read may ask for: 1 GiB of RGBA.
const MAX_REGION_PIXELS: u64 = 1 << 28;

/// An empty canvas for `region`, or why there cannot be one.
fn transparent(region: &LevelRect) -> Result<RgbaImage, String> {
    if u64::from(region.width) * u64::from(region.height) > MAX_REGION_PIXELS {
        return Err("the region is too large to be read at once; read it in parts".to_owned());
    }
    Ok(RgbaImage::new(region.width, region.height))
}

/// The part of `region` that lies on its level, which is `width` × `height` pixels large.
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

/// A foreign library's message as one line that does not end in a full stop.
fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}
