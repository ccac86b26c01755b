//! Opens slides: chooses the reader of a file, and adds what all readers share.
//!
//! OpenSlide reads scanner formats, with direct decoding of tiled JPEGs where the result is identical; `tiff` reads all
//! other TIFF files, whose layouts and sample types OpenSlide does not support; `flat_image` reads plain pictures.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::calibration::SlideWarning;
use super::channel::ChannelDisplay;
use super::isolated::trust::{self, InUse};
use super::isolated::{IsolatedSource, Order};
use super::openslide::{self, OpenSlideSource};
use super::orientation::{self, Orientation};
use super::raw_tiles::{self, RawTileSource};
use super::reconnecting::{ReconnectingSource, Stamp};
use super::strips::StripCache;
use super::tiff::{self, Peculiarities, TiffFile, TiffSource, set};
use super::{
    Level, Reader, SlideError, SlideInfo, SlideSource, computed, dicom, flat_image, identity, mirax,
    one_line, unread,
};
use crate::geometry::{LevelRect, MicronsPerPixel};
use crate::untrusted;

/// Opens the slide or plain image at `path`. `user_mpp` overrides the pixel size stated in the file.
///
/// # Errors
/// [`SlideError::Missing`], [`SlideError::Open`] (recognised, but damaged) or [`SlideError::Unsupported`].
pub fn open(path: &Path, user_mpp: Option<MicronsPerPixel>) -> Result<Arc<dyn SlideSource>, SlideError> {
    open_with(path, &OpenSettings { user_mpp, ..OpenSettings::default() })
}

/// Like [`open`], but the channels of a fluorescence slide are shown as `channels` say, if there is one for each.
///
/// # Errors
/// As [`open`].
pub fn open_with_channels(
    path: &Path,
    user_mpp: Option<MicronsPerPixel>,
    channels: Vec<ChannelDisplay>,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    open_with(path, &OpenSettings { user_mpp, channels, ..OpenSettings::default() })
}

/// Returns the file that represents the slide to which `path` belongs, in lists: of a DICOM slide or an OME-TIFF of several files
/// the first one, of any other `path` itself.
pub fn first_file_of_slide(path: &Path) -> PathBuf {
    first_file_of_ome_tiff(path).unwrap_or_else(|| dicom::first_file_of_slide(path))
}

/// Returns the first file of the OME-TIFF to which `path` belongs; `None` if it is no part of one by its name (`*.ome.*`), or of
/// one that is in a single file.
pub fn first_file_of_ome_tiff(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    match name {
        _ if set::is_companion(path) => set::file_of_companion(path),
        name if name.contains(".ome.") => set::first_file(path),
        _ => None,
    }
}

/// How a slide is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenSettings {
    /// Pixel size given by the user, in µm; overrides the one in the file.
    pub user_mpp: Option<MicronsPerPixel>,
    /// Whether raw JPEG tiles may be decoded without OpenSlide.
    pub raw_tiles_allowed: bool,
    /// How channels are shown, one for each; empty for the default.
    pub channels: Vec<ChannelDisplay>,
}

impl Default for OpenSettings {
    fn default() -> Self {
        Self { user_mpp: None, raw_tiles_allowed: true, channels: Vec::new() }
    }
}

/// Version of the OpenSlide library, for display.
pub fn openslide_version() -> String {
    openslide::version()
}

/// Like [`open`], but reads all pixels through OpenSlide, which is slower. For comparisons.
///
/// # Errors
/// As [`open`].
pub fn open_with_openslide(path: &Path) -> Result<Arc<dyn SlideSource>, SlideError> {
    open_with(path, &OpenSettings { raw_tiles_allowed: false, ..OpenSettings::default() })
}

fn open_with(path: &Path, settings: &OpenSettings) -> Result<Arc<dyn SlideSource>, SlideError> {
    let failed = |reason: String| SlideError::Open { path: path.to_owned(), reason };
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => SlideError::Missing { path: path.to_owned() },
        _ => failed(error.to_string()),
    })?;
    if metadata.is_dir() {
        return match dicom::slides_in(path).as_slice() {
            [slide] => open_with(&slide[0], settings),
            [] => match dicom::slide_below(path) {
                Some(first) => open_with(&first, settings),
                None => Err(SlideError::Unsupported { path: path.to_owned(), reason: unread::folder(path) }),
            },
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
        return Err(failed("the file is empty; copy it again from its source".to_owned()));
    }
    untrusted::open(path).map_err(|error| failed(error.to_string()))?;
    if set::is_companion(path) {
        return match set::file_of_companion(path) {
            Some(first) => open_with(&first, settings),
            None => Err(failed(
                "it describes an OME-TIFF none of whose files lies beside it; put them into one folder, under the names that it \
                 states"
                    .to_owned(),
            )),
        };
    }
    if let Some(reason) = unread::kept_elsewhere(path) {
        return Err(SlideError::Unsupported { path: path.to_owned(), reason });
    }
    let (owned, settings) = (path.to_owned(), settings.clone());
    let companions = identity::companions(path);
    if let Some((program, limits)) = trust::decoder_for(path) {
        let order = Order { program, path: owned, settings, limits };
        let open = move || Ok(Arc::new(IsolatedSource::open(order.clone())?) as Arc<dyn SlideSource>);
        let steady = ReconnectingSource::new(Box::new(open), Stamp::of(&metadata), companions, None)?;
        return Ok(with_caches(steady, metadata.len()));
    }
    let in_use = InUse::new(path);
    let open = move || open_reader(&owned, &settings);
    let steady = ReconnectingSource::new(Box::new(open), Stamp::of(&metadata), companions, Some(in_use))?;
    Ok(with_caches(steady, metadata.len()))
}

/// Adds the caches of strips and computed levels. They belong to the process that requests pixels, not to the
/// one that decodes them.
fn with_caches(slide: ReconnectingSource, file_size: u64) -> Arc<dyn SlideSource> {
    let mut slide: Arc<dyn SlideSource> = Arc::new(slide);
    if slide.info().reader == Reader::Strips {
        slide = Arc::new(StripCache::new(slide));
    }
    computed::complete(slide, file_size)
}

/// Opens the reader for a file, without the handling of files that change later.
pub(super) fn open_reader(path: &Path, settings: &OpenSettings) -> Result<Arc<dyn SlideSource>, SlideError> {
    let OpenSettings { user_mpp, raw_tiles_allowed, .. } = *settings;
    let (tiff, damage) = match TiffFile::read(path) {
        Ok(tiff) => (tiff, None),
        Err(reason) => {
            tracing::debug!(path = %path.display(), reason, "its directories are not read");
            (None, Some(reason))
        }
    };
    if dicom::is_in_several_folders(path)
        && let Some(slide) = open_dicom(path, settings)
    {
        return slide;
    }
    match (openslide::open(path, user_mpp), tiff) {
        (Ok(Some(slide)), Some(tiff)) => open_tiff_slide(slide, tiff, settings),
        (Ok(Some(slide)), None) => Ok(through_openslide(slide, raw_tiles_allowed)),
        (Err(error), Some(tiff)) if tiff.is_scanners() => Err(error),
        (Err(error), None) => open_dicom(path, settings).unwrap_or(Err(error)),
        (_, Some(tiff)) => open_tiff(path, tiff, settings),
        (Ok(None), None) => match mirax::why_unrecognised(path) {
            Some(reason) => Err(SlideError::Open { path: path.to_owned(), reason }),
            None => open_picture(path, user_mpp).map_err(|error| match damage {
                Some(reason) => SlideError::Open {
                    path: path.to_owned(),
                    reason: format!("it is a TIFF whose beginning is damaged, or that was cut off: {reason}; copy it again"),
                },
                None => error,
            }),
        },
    }
}

/// A slide that OpenSlide recognises, read through OpenSlide or directly where that is faster and gives the
/// same pixels.
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

/// Opens a TIFF file that OpenSlide recognises. Scanner formats are left to OpenSlide; files that it calls
/// generic, it reads as one pyramid of upright 8-bit images, whatever the file states.
fn open_tiff_slide(
    slide: OpenSlideSource,
    mut tiff: TiffFile,
    settings: &OpenSettings,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    let raw_tiles_allowed = settings.raw_tiles_allowed;
    let info = slide.info().clone();
    let orientation = Orientation::turned(tiff.orientation());
    let is_generic = info.vendor == GENERIC_TIFF;
    let sizes: Vec<(u32, u32)> = info.levels.iter().map(|level| (level.width, level.height)).collect();
    // OpenSlide applies the orientation to each tile separately, which is wrong.
    let is_simple = [GENERIC_TIFF, "aperio"].contains(&info.vendor.as_str());
    let is_turned = orientation.is_some() && is_simple;
    let odd = if is_simple { tiff.peculiarities() } else { Peculiarities::default() };
    let is_usual = !is_generic || tiff.suits_openslide(&sizes) && !odd.misses_tiles && !odd.has_cut_tiles;
    let is_for_openslide = is_usual && !odd.has_other_colours;
    // For comparison with OpenSlide, everything that it can read is read through it.
    let is_to_compare = !raw_tiles_allowed && !tiff.has_own_layout();
    if !is_turned && (is_to_compare || is_for_openslide && !(is_simple && raw_tiles_allowed)) {
        return Ok(through_openslide(slide, raw_tiles_allowed));
    }
    let has_own_layout = tiff.has_own_layout();
    let is_readable = tiff.is_readable_by_openslide();
    match TiffSource::open(&info.path, tiff, Some(&info), settings) {
        // OpenSlide takes images for levels without a look at them.
        Ok(source) if !is_turned && is_for_openslide && !shows_other_images(&info, source.info()) => {
            match raw_tiles::prove(&slide) {
                Ok(levels) => Ok(Arc::new(RawTileSource::new(slide, levels))),
                // It reads less than this program, such as no tables of JPEG without an end.
                Err(_) if is_generic && is_unreadable(&slide) => Ok(Arc::new(source)),
                Err(reason) => {
                    tracing::debug!(path = %info.path.display(), reason, "read through OpenSlide");
                    Ok(Arc::new(slide))
                }
            }
        }
        Ok(source) => Ok(orientation::upright(Arc::new(source), orientation)),
        Err(refusal) if is_turned || has_own_layout || !is_readable => {
            Err(SlideError::Open { path: info.path, reason: one_line(&refusal.text()) })
        }
        Err(refusal) => {
            tracing::debug!(path = %info.path.display(), reason = refusal.text(), "read through OpenSlide");
            Ok(through_openslide(slide, raw_tiles_allowed))
        }
    }
}

/// Whether OpenSlide cannot read the middle of a slide.
fn is_unreadable(slide: &OpenSlideSource) -> bool {
    let (x, y) = (i64::from(slide.info().width() / 2), i64::from(slide.info().height() / 2));
    slide.read(&LevelRect { level: 0, x, y, width: 1, height: 1 }).is_err()
}

/// Whether a level by OpenSlide, of a slide `theirs`, is missing in `ours`, whose levels were compared by their pixels, or lies
/// elsewhere. Aperio's levels lie where their sizes say.
fn shows_other_images(theirs: &SlideInfo, ours: &SlideInfo) -> bool {
    if theirs.vendor == GENERIC_TIFF {
        return ours.levels != theirs.levels;
    }
    let is_level =
        |level: &Level| ours.levels.iter().any(|one| (one.width, one.height) == (level.width, level.height));
    !theirs.levels.iter().all(is_level)
}

/// OpenSlide's vendor name for tiled TIFF files in no scanner format.
const GENERIC_TIFF: &str = "generic-tiff";

/// Opens a TIFF file that OpenSlide does not recognise.
fn open_tiff(
    path: &Path,
    tiff: TiffFile,
    settings: &OpenSettings,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    let orientation = Orientation::turned(tiff.orientation());
    let is_fax = tiff.compression() == FAX;
    match TiffSource::open(path, tiff, None, settings) {
        Ok(mut source) => {
            if let Some(text) = unread::may_be_elsewhere(path) {
                source.add_warning(SlideWarning::Shown { text });
            }
            Ok(orientation::upright(Arc::new(source), orientation))
        }
        // The `image` crate decodes bilevel images with this compression as a whole.
        Err(_) if is_fax => Ok(orientation::upright(flat_image::open(path, settings.user_mpp)?, orientation)),
        Err(refusal) => Err(SlideError::Open { path: path.to_owned(), reason: one_line(&refusal.text()) }),
    }
}

/// Opens a DICOM slide without OpenSlide; `None` if this program cannot show it either.
fn open_dicom(path: &Path, settings: &OpenSettings) -> Option<Result<Arc<dyn SlideSource>, SlideError>> {
    let opened = tiff::dicom::read(path).and_then(|files| TiffSource::open(path, files, None, settings));
    let source = opened.inspect_err(|refusal| {
        tracing::debug!(path = %path.display(), reason = refusal.text(), "not read as DICOM");
    });
    Some(Ok(Arc::new(source.ok()?) as Arc<dyn SlideSource>))
}

/// Value of TIFF's Compression tag for CCITT Group 4.
const FAX: u64 = 4;

/// Opens a plain picture, turned upright.
fn open_picture(path: &Path, user_mpp: Option<MicronsPerPixel>) -> Result<Arc<dyn SlideSource>, SlideError> {
    let picture = flat_image::open(path, user_mpp)?;
    Ok(orientation::upright(picture, Orientation::turned(flat_image::orientation(path).into())))
}
