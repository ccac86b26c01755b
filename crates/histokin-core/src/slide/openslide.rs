//! Slides read through OpenSlide.
//!
//! A failed read puts an OpenSlide handle into an error state that cannot be cleared: every later call on it
//! fails too, whatever it reads. Handles are therefore replaceable, see [`OpenSlideSource::with_handle`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use image::RgbaImage;
use openslide_rs::errors::OpenSlideError;
use openslide_rs::{Address, OpenSlide, Region, Size};

use super::calibration::{self, Stated, calibrate};
use super::{Level, Reader, SlideError, SlideInfo, SlideSource};
use super::{clip, identity, implausible_size, levels_of_sizes, one_line, transparent};
use crate::geometry::{Downsample, LevelRect, MicronsPerPixel};
use crate::memory::{Budget, Kind, MemoryCache};
use crate::number_format::of_program;

/// Size in bytes of OpenSlide's own cache of decoded tiles, per handle. It only has to keep neighbouring
/// regions from decoding shared tiles twice, since callers cache what they have read. Four rows of 256 px
/// tiles across the width of a screen are enough for that, however many slides are open.
const CACHE_BYTES: usize = 8 << 20;

/// Estimated memory of a handle in bytes: its cache, and the tile lists of its levels.
const HANDLE_BYTES: usize = CACHE_BYTES + (2 << 20);

/// A slide read through OpenSlide.
pub(super) struct OpenSlideSource {
    info: SlideInfo,
    /// The downsample of each level with which OpenSlide converts level-0 positions into positions on the
    /// level.
    own_downsamples: Vec<f64>,
    /// The handle that all reads share, under the key [`HANDLE`], unless its memory was needed for other
    /// data.
    shared: MemoryCache,
}

/// Key of the shared handle in the cache.
const HANDLE: u64 = 0;

/// Opens `path` if OpenSlide recognises the file; returns `None` if it does not.
///
/// # Errors
/// [`SlideError::Open`] when the file is recognised but damaged.
pub(super) fn open(
    path: &Path,
    user_mpp: Option<MicronsPerPixel>,
) -> Result<Option<OpenSlideSource>, SlideError> {
    let failed = |reason: String| SlideError::Open { path: path.to_owned(), reason };
    let handle = match open_handle(path) {
        Ok(handle) => handle,
        Err(OpenSlideError::UnsupportedFile(_)) => return Ok(None),
        Err(error) => return Err(failed(reason_of(&error))),
    };
    let own_downsamples: Vec<f64> = handle.all_level_downsamples().to_vec();
    let info = read_info(path, user_mpp, &handle).map_err(failed)?;
    let shared = MemoryCache::new(Budget::of_process(), Kind::Handle);
    shared.insert(HANDLE, HANDLE_BYTES, Arc::new(handle));
    Ok(Some(OpenSlideSource { info, own_downsamples, shared }))
}

impl SlideSource for OpenSlideSource {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    /// OpenSlide divides level-0 origins by its own downsample of the level, the mean of both axes; this is
    /// undone here. Where that downsample is not an integer, the returned region is off by up to half a
    /// level-0 pixel, because OpenSlide takes integer level-0 origins, and OpenSlide interpolates.
    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let failed =
            |reason: String| SlideError::Read { path: self.info.path.clone(), region: *region, reason };
        let mut canvas = transparent(region).map_err(failed)?;
        let levels = &self.info.levels;
        let level = levels.get(region.level as usize).zip(self.own_downsample(region.level as usize));
        let Some((level, own_downsample)) = level else {
            return Err(failed(format!("the slide has no level {}", region.level)));
        };
        // The OpenSlide binding does not accept negative origins, so only the part on the level is read.
        let Some(part) = clip(region, level.width, level.height) else {
            return Ok(canvas);
        };
        // A position on the level is also on level 0 or slightly beyond it; otherwise the cast saturates.
        let level0 = |px: i64| (px as f64 * own_downsample).round() as u32;
        let wanted = Region {
            level: part.level,
            address: Address { x: level0(part.x), y: level0(part.y) },
            size: Size { w: part.width, h: part.height },
        };
        let pixels = self.with_handle(|handle| handle.read_region(&wanted)).map_err(failed)?;
        let pixels = straight_rgba(wanted.size, pixels)
            .ok_or_else(|| failed("OpenSlide returned fewer pixels than requested".to_owned()))?;
        if part == *region {
            return Ok(pixels);
        }
        image::imageops::replace(&mut canvas, &pixels, part.x - region.x, part.y - region.y);
        Ok(canvas)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        if !self.info.associated.iter().any(|known| known == name) {
            return Err(self.info.no_such_associated(name));
        }
        let failed = |reason: String| SlideError::ReadAssociated {
            path: self.info.path.clone(),
            name: name.to_owned(),
            reason,
        };
        let (size, pixels) =
            self.with_handle(|handle| handle.read_associated_buffer(name)).map_err(failed)?;
        straight_rgba(size, pixels).ok_or_else(|| failed("its pixels are incomplete".to_owned()))
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        let failed = |reason: String| SlideError::Profile { path: self.info.path.clone(), reason };
        self.with_handle(OpenSlide::icc_profile).map_err(failed)
    }
}

impl OpenSlideSource {
    /// The downsample with which OpenSlide positions regions on a level.
    pub(super) fn own_downsample(&self, level: usize) -> Option<f64> {
        self.own_downsamples.get(level).copied()
    }

    /// Runs `read` on the shared handle and, if that fails, once more on a new one.
    ///
    /// A handle may fail because of a read in another thread. The second attempt therefore uses a separate
    /// handle, which becomes the shared one only if it succeeds. A region that is really damaged thus cannot
    /// disturb the second attempts of other threads, and does not leave a broken handle behind.
    fn with_handle<T>(&self, read: impl Fn(&OpenSlide) -> Result<T, OpenSlideError>) -> Result<T, String> {
        if let Some(handle) = self.shared.get::<OpenSlide>(HANDLE) {
            match read(&handle) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    tracing::debug!(path = %self.info.path.display(), %error, "reopening a failed handle");
                    self.shared.remove_entry(HANDLE, &handle);
                }
            }
        }
        let fresh = open_handle(&self.info.path).map_err(|error| reason_of(&error))?;
        let value = read(&fresh).map_err(|error| reason_of(&error))?;
        if self.shared.get::<OpenSlide>(HANDLE).is_none() {
            self.shared.insert(HANDLE, HANDLE_BYTES, Arc::new(fresh));
        }
        Ok(value)
    }
}

/// Version of the OpenSlide library, for display.
pub(super) fn version() -> String {
    OpenSlide::version().unwrap_or_else(|_| "(unknown version)".to_owned())
}

/// Returns OpenSlide's `quickhash-1` of the file, if OpenSlide can read it.
pub(super) fn quickhash(path: &Path) -> Option<String> {
    open_handle(path).ok()?.property_value(QUICKHASH).ok()
}

/// Name of the property with the `quickhash-1`.
pub(super) const QUICKHASH: &str = "openslide.quickhash-1";

fn open_handle(path: &Path) -> Result<OpenSlide, OpenSlideError> {
    OpenSlide::new_with_cache(path, CACHE_BYTES)
}

/// Returns the message of an error, in one line.
fn reason_of(error: &OpenSlideError) -> String {
    match error {
        OpenSlideError::LibraryError(message) => explained(one_line(message)),
        OpenSlideError::UnsupportedFile(_) | OpenSlideError::MissingFile(_) => {
            "the file was removed or replaced after it was opened".to_owned()
        }
        other => one_line(&other.to_string()),
    }
}

/// Adds what a message of OpenSlide about a DICOM file means, and what to do.
fn explained(message: String) -> String {
    let meanings = [
        (
            "TotalPixelMatrixFocalPlanes",
            "the slide has several focal planes, which are stored in a way that cannot be read; export it with one from its own program",
        ),
        (
            "Unsupported transfer syntax",
            "its pixels are compressed in a way that OpenSlide cannot read; convert it to JPEG or JPEG 2000",
        ),
        (
            "No pyramid levels found",
            "this is a label, an overview or another part of a slide; copy the files with its levels into the same folder",
        ),
    ];
    match meanings.iter().find(|(part, _)| message.contains(part)) {
        Some((_, meaning)) => format!("{meaning} ({message})"),
        None => message,
    }
}

fn read_info(
    path: &Path,
    user_mpp: Option<MicronsPerPixel>,
    handle: &OpenSlide,
) -> Result<SlideInfo, String> {
    let text = |error: OpenSlideError| reason_of(&error);
    let sizes: Vec<(u32, u32)> = handle.all_level_dimensions().iter().map(|size| (size.w, size.h)).collect();
    if sizes.is_empty() || sizes.iter().any(|(width, height)| *width == 0 || *height == 0) {
        return Err("it contains no pixels".to_owned());
    }
    let properties: BTreeMap<String, String> = handle
        .property_names()
        .map_err(text)?
        .into_iter()
        .filter_map(|name| handle.property_value(&name).ok().map(|value| (name, value)))
        .collect();
    let levels = levels_of(&sizes, handle.all_level_downsamples(), &properties);
    if let Some(reason) = implausible_levels(&levels, &properties) {
        return Err(reason);
    }
    let (stated, objective_power) = stated(&properties);
    let calibration = calibrate(user_mpp, &stated, objective_power);
    let id = identity::of(path).map_err(|error| error.to_string())?;
    let former_ids = identity::former(path, &properties).map_err(|error| error.to_string())?;
    Ok(SlideInfo {
        id,
        former_ids,
        path: path.to_owned(),
        vendor: properties.get("openslide.vendor").cloned().unwrap_or_else(|| "unknown".to_owned()),
        reader: Reader::OpenSlide,
        levels,
        mpp: calibration.mpp,
        mpp_source: calibration.source,
        objective_power,
        associated: handle.associated_image_names().map_err(text)?,
        properties,
        channels: Vec::new(),
        warnings: calibration.warnings,
    })
}

/// Returns the levels of these sizes; `stated` are OpenSlide's downsamples.
///
/// For some formats OpenSlide knows the downsample (MIRAX, Philips, Sakura, Ventana, Zeiss), and it applies
/// to both axes. For all others it returns the mean of both axes' quotients of sizes (`openslide_open` in
/// `openslide.c`), which is correct for neither axis.
fn levels_of(sizes: &[(u32, u32)], stated: &[f64], properties: &BTreeMap<String, String>) -> Vec<Level> {
    let tile = |level: usize| {
        Some((tile_edge(properties, level, "width")?, tile_edge(properties, level, "height")?))
    };
    let derived = levels_of_sizes(sizes, |level| {
        let (width, height) = tile(level)?;
        Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
    });
    let (width, height) = sizes[0];
    let choose = |(level, &stated): (Level, &f64)| {
        let quotient = |finest: u32, size: u32| f64::from(finest) / f64::from(size);
        let mean = (quotient(height, level.height) + quotient(width, level.width)) / 2.0;
        let is_derived = (stated / mean - 1.0).abs() < 1e-9;
        if is_derived || !(stated.is_finite() && stated >= 1.0) {
            return level;
        }
        Level::with_downsample(level.width, level.height, Downsample::square(stated))
    };
    derived.into_iter().zip(stated).map(choose).collect()
}

/// Width or height of a level's tiles, as reported by OpenSlide.
fn tile_edge(properties: &BTreeMap<String, String>, level: usize, axis: &str) -> Option<u64> {
    properties.get(&format!("openslide.level[{level}].tile-{axis}"))?.parse().ok()
}

/// Returns the pixel sizes stated in the properties, most trusted first, and the power of the objective.
///
/// The binding returns `mpp` as f32 and the objective power as an integer; the text of the properties has all
/// digits.
fn stated(properties: &BTreeMap<String, String>) -> (Vec<Stated>, Option<f64>) {
    let text = |name: &str| properties.get(name).map(String::as_str);
    let both =
        |x: &str, y: &str, read: fn(&str) -> Option<f64>| text(x).and_then(read).zip(text(y).and_then(read));
    // For generic TIFF, OpenSlide computes `openslide.mpp-x` from the resolution tags.
    let is_plain_tiff = text("openslide.vendor") == Some("generic-tiff");
    // The tags are those of the first image, which in other formats may be a label.
    let are_of_level_0 = is_plain_tiff || text("openslide.vendor") == Some("aperio");
    let unit = match text("tiff.ResolutionUnit") {
        Some("inch") => Some(2),
        Some("centimeter") => Some(3),
        _ => None,
    };
    let per_unit = both("tiff.XResolution", "tiff.YResolution", of_program);
    let description = text("tiff.ImageDescription").or(text("openslide.comment"));
    let (mut of_tiff, aperio_power) =
        calibration::tiff(description, per_unit, unit.filter(|_| are_of_level_0));
    let own = both("openslide.mpp-x", "openslide.mpp-y", calibration::length_in_um);
    let own = own.filter(|_| !is_plain_tiff).map(|(x, y)| Stated::pixel_size(x, y));
    let mut stated: Vec<Stated> = own.into_iter().collect();
    stated.append(&mut of_tiff);
    let power = text("openslide.objective-power").and_then(calibration::objective_power).or(aperio_power);
    // Where a format has a field of its own, a resolution is believed only if it fits the objective.
    stated.retain(|stated| is_plain_tiff || !stated.is_unfit_resolution(power));
    (stated, power)
}

/// Maximum number of pixels of a tile: 1 GiB. OpenSlide allocates whole tiles, and aborts the process if it
/// cannot.
const MAX_TILE_PIXELS: u64 = 1 << 28;

/// Largest ratio between the aspect ratios of a level and of level 0, in either direction.
const MAX_DISTORTION: f64 = 1.5;

/// Shortest side in pixels for which the aspect ratio is checked; on shorter sides, rounding distorts it too
/// much.
const MIN_SIDE: u32 = 16;

/// Returns the reason why the levels are rejected, if they are: values that no scanner writes and that would
/// lead to long waits or exhausted memory.
fn implausible_levels(levels: &[Level], properties: &BTreeMap<String, String>) -> Option<String> {
    let whole = levels.first()?;
    if let Some(reason) = implausible_size(whole.width, whole.height) {
        return Some(reason);
    }
    let shape = |level: &Level| f64::from(level.width) / f64::from(level.height);
    for (number, level) in levels.iter().enumerate() {
        let edge = |axis: &str| tile_edge(properties, number, axis);
        if let (Some(width), Some(height)) = (edge("width"), edge("height"))
            && width.saturating_mul(height) > MAX_TILE_PIXELS
        {
            return Some(format!("its level {number} states tiles of {width} × {height} px; it is damaged"));
        }
        if is_padded(level, whole, (edge("width"), edge("height"))) {
            continue;
        }
        let distortion = shape(level) / shape(whole);
        if level.width.min(level.height) >= MIN_SIDE
            && !(1.0 / MAX_DISTORTION..=MAX_DISTORTION).contains(&distortion)
        {
            return Some(format!("its levels 0 and {number} differ in aspect ratio; it is damaged"));
        }
    }
    None
}

/// Whether a level has the aspect ratio of level 0 except for padding of less than a tile on each side.
fn is_padded(level: &Level, whole: &Level, tile: (Option<u64>, Option<u64>)) -> bool {
    let Downsample { x, y } = level.downsample;
    let is_side = |size: u32, tile: Option<u64>, whole: u32| {
        let reaches = |px: f64| px * x >= f64::from(whole);
        reaches(size.into()) && tile.is_some_and(|tile| !reaches(f64::from(size) - tile as f64))
    };
    x == y && is_side(level.width, tile.0, whole.width) && is_side(level.height, tile.1, whole.height)
}

/// Converts OpenSlide's pixels (one native-endian 32-bit ARGB word each, premultiplied) into straight RGBA.
fn straight_rgba(size: Size, mut pixels: Vec<u8>) -> Option<RgbaImage> {
    for run in pixels.as_chunks_mut::<4>().0.chunks_mut(256) {
        // Most pixels of a slide are opaque, and then only the byte order has to be changed.
        let all_alpha = run.iter().fold(u32::MAX, |all, pixel| all & u32::from_ne_bytes(*pixel));
        if all_alpha >> 24 == 255 {
            run.iter_mut().for_each(|pixel| *pixel = u32::from_ne_bytes(*pixel).rotate_left(8).to_be_bytes());
        } else {
            run.iter_mut().for_each(|pixel| *pixel = straight_pixel(*pixel));
        }
    }
    RgbaImage::from_vec(size.w, size.h, pixels)
}

fn straight_pixel(pixel: [u8; 4]) -> [u8; 4] {
    let [alpha, red, green, blue] = u32::from_ne_bytes(pixel).to_be_bytes();
    if alpha == 0 {
        return [0; 4];
    }
    let straight = |channel: u8| {
        let rounded = (u32::from(channel) * 255 + u32::from(alpha) / 2) / u32::from(alpha);
        rounded.min(255) as u8
    };
    [straight(red), straight(green), straight(blue), alpha]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_cannot_understand_is_explained() {
        let found = explained("Reading a.dcm: Attribute TotalPixelMatrixFocalPlanes value 2 != 1".to_owned());
        assert!(found.contains("several focal planes") && found.ends_with("value 2 != 1)"), "{found}");
        assert_eq!(explained("it is damaged".to_owned()), "it is damaged");
    }

    #[test]
    fn premultiplied_words_become_straight_bytes() {
        let words: [u32; 3] = [0xff01_0203, 0x0000_0000, 0x8040_2000];
        let bytes = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let picture = straight_rgba(Size { w: 3, h: 1 }, bytes).unwrap();
        assert_eq!(picture.as_raw(), &[1, 2, 3, 255, 0, 0, 0, 0, 128, 64, 0, 128]);
        let opaque = 0xff01_0203_u32.to_ne_bytes().repeat(300);
        let picture = straight_rgba(Size { w: 300, h: 1 }, opaque).unwrap();
        assert!(picture.pixels().all(|pixel| pixel.0 == [1, 2, 3, 255]));
    }
}
