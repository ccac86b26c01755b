//! Plain pictures (PNG, JPEG, TIFF, BMP, WebP) as slides of one level.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use image::{DynamicImage, ImageDecoder, ImageReader, RgbaImage};

use super::calibration::calibrate;
use super::strips::{self, StripPicture};
use super::{Level, Reader, SlideError, SlideInfo, SlideSource};
use super::{clip, identity, one_line, picture_resolution, transparent, unread};
use crate::geometry::{LevelRect, MicronsPerPixel};
use crate::memory::{Budget, Kind, MemoryCache};

/// Pixels that a plain picture may have, as it is held in memory as a whole: 16,384 squared, 1 GiB.
const MAX_PIXELS: u64 = 1 << 28;

/// Pixels from which a picture is read in strips where its format allows it: 256 MiB.
const STRIPS_FROM: u64 = 1 << 26;

/// Bytes that the decoder may use on the way: 8 a pixel, as 16-bit RGBA takes them.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8;

pub(super) struct FlatImage {
    info: SlideInfo,
    /// Where the decoded picture lies, at [`WHOLE`], until memory is needed for others.
    memory_cache: MemoryCache,
    /// Why it cannot be decoded, once that was tried. Locked while decoding, so that it is done once.
    problem: Mutex<Option<String>>,
}

const WHOLE: u64 = 0;

/// Open the picture at `path`; its header is read, its pixels are not.
///
/// # Errors
/// [`SlideError::Unsupported`] when the file is none of these pictures, [`SlideError::Open`] when its
/// header is damaged or it is too large to be held in memory.
pub(super) fn open(
    path: &Path,
    user_mpp: Option<MicronsPerPixel>,
) -> Result<Arc<dyn SlideSource>, SlideError> {
    let failed = |reason: String| SlideError::Open { path: path.to_owned(), reason: one_line(&reason) };
    let reader = reader(path).map_err(failed)?;
    let format = match reader.format() {
        Some(format) if format.reading_enabled() => format,
        _ => {
            return Err(SlideError::Unsupported {
                path: path.to_owned(),
                reason: unread::named(path).unwrap_or_else(|| {
                    "neither OpenSlide nor the picture formats recognise its content".to_owned()
                }),
            });
        }
    };
    let mut decoder =
        reader.into_decoder().map_err(|error| failed(format!("its header is damaged: {error}")))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(failed("it holds no pixels".to_owned()));
    }
    let pixels = u64::from(width) * u64::from(height);
    let obstacle = if pixels > STRIPS_FROM { strips::obstacle(path, format, width, height) } else { None };
    if pixels > MAX_PIXELS
        && let Some(reason) = &obstacle
    {
        return Err(failed(format!(
            "{width} × {height} px are too many for this plain picture, as {reason}; convert it to a pyramidal tiled \
             TIFF, for example with “vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg --bigtiff”"
        )));
    }
    let is_in_strips = pixels > STRIPS_FROM && obstacle.is_none();
    let (stated, objective_power) = picture_resolution::stated(path, format, Some(&mut decoder));
    let calibration = calibrate(user_mpp, &stated, objective_power);
    let format_name = format.extensions_str().first().copied().unwrap_or("image");
    let properties = BTreeMap::from([("image.format".to_owned(), format_name.to_owned())]);
    let info = SlideInfo {
        id: identity::of(path).map_err(|error| failed(error.to_string()))?,
        former_ids: identity::former(path, &properties).map_err(|error| failed(error.to_string()))?,
        path: path.to_owned(),
        vendor: "image".to_owned(),
        reader: if is_in_strips { Reader::Strips } else { Reader::Picture },
        levels: vec![Level::finest(width, height)],
        mpp: calibration.mpp,
        mpp_source: calibration.source,
        objective_power,
        associated: Vec::new(),
        properties,
        warnings: calibration.warnings,
    };
    if is_in_strips {
        return Ok(Arc::new(StripPicture::new(info, format)));
    }
    let memory_cache = MemoryCache::new(Budget::of_process(), Kind::Shown);
    Ok(Arc::new(FlatImage { info, memory_cache, problem: Mutex::new(None) }))
}

/// EXIF's orientation of the picture at `path`, from 1 to 8; 1 if it states none.
pub(super) fn orientation(path: &Path) -> u8 {
    let decoder = reader(path).ok().and_then(|reader| reader.into_decoder().ok());
    decoder.and_then(|mut decoder| decoder.orientation().ok()).map_or(1, |orientation| orientation.to_exif())
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
        embedded_profile(&self.info.path)
    }
}

/// The ICC profile in a picture's header.
///
/// # Errors
/// [`SlideError::Profile`] when the header cannot be read.
pub(super) fn embedded_profile(path: &Path) -> Result<Option<Vec<u8>>, SlideError> {
    let failed = |reason: String| SlideError::Profile { path: path.to_owned(), reason: one_line(&reason) };
    let mut decoder =
        reader(path).map_err(failed)?.into_decoder().map_err(|error| failed(error.to_string()))?;
    decoder.icc_profile().map_err(|error| failed(error.to_string()))
}

impl FlatImage {
    /// The whole picture, decoded unless it still lies on the shelf.
    fn pixels(&self) -> Result<Arc<RgbaImage>, String> {
        if let Some(pixels) = self.memory_cache.get(WHOLE) {
            return Ok(pixels);
        }
        // Nothing panics in between that would leave a wrong reason.
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &*problem {
            return Err(reason.clone());
        }
        if let Some(pixels) = self.memory_cache.get(WHOLE) {
            return Ok(pixels);
        }
        let pixels = Arc::new(decode(&self.info.path).inspect_err(|reason| *problem = Some(reason.clone()))?);
        self.memory_cache.keep(WHOLE, pixels.as_raw().len(), pixels.clone());
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
    let mut pixels = stretched(decoded).into_rgba8();
    // What is wholly transparent has no colour here, as with every other slide.
    for pixel in pixels.pixels_mut().filter(|pixel| pixel.0[3] == 0) {
        pixel.0 = [0; 4];
    }
    Ok(pixels)
}

/// A picture of 16 bits of which only the lower 10, 12 or 14 are used, as cameras write them, with those made use of;
/// others as they are.
fn stretched(mut picture: DynamicImage) -> DynamicImage {
    let samples: &mut [u16] = match &mut picture {
        DynamicImage::ImageLuma16(picture) => picture,
        DynamicImage::ImageRgb16(picture) => picture,
        // Alpha uses all bits or says nothing of the colours.
        _ => return picture,
    };
    let largest = samples.iter().copied().max().unwrap_or(0);
    let Some(bits) = [10, 12, 14].into_iter().find(|bits| u32::from(largest) < 1 << bits) else {
        return picture;
    };
    // The upper bits are repeated below, so that white becomes white.
    samples.iter_mut().for_each(|sample| *sample = *sample << (16 - bits) | *sample >> (2 * bits - 16));
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_that_a_camera_uses_are_stretched() {
        for (bits, white) in [(10, 1023), (12, 4095), (14, 16383), (16, 65535_u16)] {
            let values = vec![0, white / 2, white, 700];
            let picture = image::ImageBuffer::from_vec(4, 1, values).unwrap();
            let DynamicImage::ImageLuma16(found) = stretched(DynamicImage::ImageLuma16(picture)) else {
                panic!("16 bits stay 16 bits");
            };
            assert_eq!((found.as_raw()[0], found.as_raw()[2]), (0, u16::MAX), "{bits} bits");
            assert!(found.as_raw()[1].abs_diff(u16::MAX / 2) < 64, "{bits} bits");
        }
    }
}
