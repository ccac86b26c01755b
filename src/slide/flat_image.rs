//! Plain pictures (PNG, JPEG, TIFF, BMP, WebP) as slides of one level.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbaImage};

use super::calibration::calibrate;
use super::{Level, Reader, SlideError, SlideInfo, SlideSource};
use super::{clip, content_id, one_line, picture_resolution, transparent};
use crate::geometry::{Downsample, LevelRect, MicronsPerPixel};
use crate::memory::{Budget, Kind, Shelf};

/// Pixels that a plain picture may have, as it is held in memory as a whole: 16,384 squared, 1 GiB.
const MAX_PIXELS: u64 = 1 << 28;

/// Bytes that the decoder may use on the way: 8 a pixel, as 16-bit RGBA takes them.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8;

pub(super) struct FlatImage {
    info: SlideInfo,
    /// Where the decoded picture lies, at [`WHOLE`], until memory is needed for others.
    shelf: Shelf,
    /// Why it cannot be decoded, once that was tried. Locked while decoding, so that it is done once.
    problem: Mutex<Option<String>>,
}

const WHOLE: u64 = 0;

/// Open the picture at `path`; its header is read, its pixels are not.
///
/// # Errors
/// [`SlideError::Unsupported`] when the file is none of these pictures, [`SlideError::Open`] when its
/// header is damaged or it is too large to be held in memory.
pub(super) fn open(path: &Path, user_mpp: Option<MicronsPerPixel>) -> Result<FlatImage, SlideError> {
    let failed = |reason: String| SlideError::Open { path: path.to_owned(), reason: one_line(&reason) };
    let reader = reader(path).map_err(failed)?;
    let format = match reader.format() {
        Some(format) if format.reading_enabled() => format,
        _ => {
            return Err(SlideError::Unsupported {
                path: path.to_owned(),
                reason: "neither OpenSlide nor the picture formats recognise its content".to_owned(),
            });
        }
    };
    let mut decoder =
        reader.into_decoder().map_err(|error| failed(format!("its header is damaged: {error}")))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(failed("it holds no pixels".to_owned()));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(failed(format!(
            "{width} × {height} px are too many for a plain picture, which is held in memory as a whole; \
             convert it to a pyramidal tiled TIFF"
        )));
    }
    let id = content_id(path).map_err(|error| failed(error.to_string()))?;
    let (stated, objective_power) = picture_resolution::stated(path, format, Some(&mut decoder));
    let calibration = calibrate(user_mpp, &stated, objective_power);
    let format_name = format.extensions_str().first().copied().unwrap_or("image");
    Ok(FlatImage {
        info: SlideInfo {
            id,
            path: path.to_owned(),
            vendor: "image".to_owned(),
            reader: Reader::Picture,
            levels: vec![Level { width, height, downsample: Downsample(1.0) }],
            mpp: calibration.mpp,
            mpp_source: calibration.source,
            objective_power,
            associated: Vec::new(),
            properties: BTreeMap::from([("image.format".to_owned(), format_name.to_owned())]),
            warnings: calibration.warnings,
        },
        shelf: Shelf::new(Budget::of_process(), Kind::Shown),
        problem: Mutex::new(None),
    })
}

impl SlideSource for FlatImage {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let failed =
            |reason: String| SlideError::Read { path: self.info.path.clone(), region: *region, reason };
        let mut canvas = transparent(region).map_err(failed)?;
        if region.level > 0 {
            return Err(failed("a plain picture has one level only".to_owned()));
        }
        let pixels = self.pixels().map_err(failed)?;
        if pixels.dimensions() != (self.info.width(), self.info.height()) {
            return Err(failed("the file was replaced since it was opened".to_owned()));
        }
        if let Some(part) = clip(region, pixels.width(), pixels.height()) {
            let found =
                image::imageops::crop_imm(&*pixels, part.x as u32, part.y as u32, part.width, part.height);
            image::imageops::replace(&mut canvas, &*found, part.x - region.x, part.y - region.y);
        }
        Ok(canvas)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        Err(self.info.no_such_associated(name))
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        let failed = |reason: &dyn std::fmt::Display| SlideError::Profile {
            path: self.info.path.clone(),
            reason: one_line(&reason.to_string()),
        };
        let mut decoder = reader(&self.info.path)
            .map_err(|error| failed(&error))?
            .into_decoder()
            .map_err(|error| failed(&error))?;
        decoder.icc_profile().map_err(|error| failed(&error))
    }
}

impl FlatImage {
    /// The whole picture, decoded unless it still lies on the shelf.
    fn pixels(&self) -> Result<Arc<RgbaImage>, String> {
        if let Some(pixels) = self.shelf.get(WHOLE) {
            return Ok(pixels);
        }
        // Nothing panics in between that would leave a wrong reason.
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &*problem {
            return Err(reason.clone());
        }
        if let Some(pixels) = self.shelf.get(WHOLE) {
            return Ok(pixels);
        }
        let pixels = Arc::new(decode(&self.info.path).inspect_err(|reason| *problem = Some(reason.clone()))?);
        self.shelf.keep(WHOLE, pixels.as_raw().len(), pixels.clone());
        Ok(pixels)
    }
}

fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>, String> {
    // By content alone: `ImageReader::open` would believe the name's ending.
    let open = || ImageReader::new(BufReader::new(File::open(path)?)).with_guessed_format();
    let mut reader = open().map_err(|error: std::io::Error| error.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn decode(path: &Path) -> Result<RgbaImage, String> {
    let decoded = reader(path)?.decode().map_err(|error| one_line(&error.to_string()))?;
    let mut pixels = DynamicImage::into_rgba8(decoded);
    // What is wholly transparent has no colour here, as with every other slide.
    for pixel in pixels.pixels_mut().filter(|pixel| pixel.0[3] == 0) {
        pixel.0 = [0; 4];
    }
    Ok(pixels)
}
