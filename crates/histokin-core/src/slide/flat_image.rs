//! Plain pictures (PNG, JPEG, TIFF, BMP, WebP) as slides with one level.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use image::{DynamicImage, ImageDecoder, ImageReader, RgbaImage};

use super::calibration::calibrate;
use super::decoded_once::DecodedOnce;
use super::strips::{self, StripPicture};
use super::{Level, Reader, SlideError, SlideInfo, SlideSource};
use super::{clip, identity, one_line, picture_resolution, transparent, unread};
use crate::geometry::{LevelRect, MicronsPerPixel};

/// Maximum number of pixels of a plain picture that is held in memory as a whole: 16,384 squared, 1 GiB.
const MAX_PIXELS: u64 = 1 << 28;

/// Number of pixels (256 MiB) above which a picture is read in strips if its format allows it.
const STRIPS_FROM: u64 = 1 << 26;

/// Bytes that the decoder may allocate: 8 per pixel, as needed for 16-bit RGBA.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8;

/// A plain picture, decoded as a whole on the first read.
pub(super) struct FlatImage {
    info: SlideInfo,
    /// The picture, under the key [`WHOLE`].
    decoded: DecodedOnce,
}

/// Key of the whole picture in the cache.
const WHOLE: u64 = 0;

/// Opens the picture at `path`, reading its header but not its pixels.
///
/// # Errors
/// [`SlideError::Unsupported`] when the file is in none of these formats, [`SlideError::Open`] when its
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
                    "neither OpenSlide nor the image formats recognise its content".to_owned()
                }),
            });
        }
    };
    let mut decoder = reader.into_decoder().map_err(|error| {
        failed(unread::odd_jpeg(path).unwrap_or_else(|| format!("its header is damaged: {error}")))
    })?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(failed("it contains no pixels".to_owned()));
    }
    let pixels = u64::from(width) * u64::from(height);
    let obstacle = if pixels > STRIPS_FROM { strips::obstacle(path, format, width, height) } else { None };
    if pixels > MAX_PIXELS
        && let Some(reason) = &obstacle
    {
        return Err(failed(format!(
            "this plain image of {width} × {height} px is too large, because {reason}; convert it to a \
             pyramidal tiled TIFF, for example with “vips tiffsave IN OUT.tif --tile --pyramid --compression \
             jpeg --bigtiff”"
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
        channels: Vec::new(),
        warnings: calibration.warnings,
    };
    if is_in_strips {
        return Ok(Arc::new(StripPicture::new(info, format)));
    }
    Ok(Arc::new(FlatImage { info, decoded: DecodedOnce::new() }))
}

/// Returns the EXIF orientation of the picture at `path`, from 1 to 8; 1 if it states none.
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
            return Err(failed("a plain image has only one level".to_owned()));
        }
        let pixels = self.decoded.get(WHOLE, failed, || decode(&self.info.path).map_err(failed))?;
        if pixels.dimensions() != (self.info.width(), self.info.height()) {
            return Err(failed("the file was replaced after it was opened".to_owned()));
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

/// Returns the ICC profile embedded in a picture, if there is one.
///
/// # Errors
/// [`SlideError::Profile`] when the header cannot be read.
pub(super) fn embedded_profile(path: &Path) -> Result<Option<Vec<u8>>, SlideError> {
    let failed = |reason: String| SlideError::Profile { path: path.to_owned(), reason: one_line(&reason) };
    let mut decoder =
        reader(path).map_err(failed)?.into_decoder().map_err(|error| failed(error.to_string()))?;
    decoder.icc_profile().map_err(|error| failed(error.to_string()))
}

fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>, String> {
    // The format is recognised by content only; `ImageReader::open` would trust the file extension.
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
    // Fully transparent pixels have no colour, as in all other slides.
    for pixel in pixels.pixels_mut().filter(|pixel| pixel.0[3] == 0) {
        pixel.0 = [0; 4];
    }
    Ok(pixels)
}

/// Scales up 16-bit pictures that use only the lower 10, 12 or 14 bits, as cameras write them; returns others
/// unchanged.
fn stretched(mut picture: DynamicImage) -> DynamicImage {
    let samples: &mut [u16] = match &mut picture {
        DynamicImage::ImageLuma16(picture) => picture,
        DynamicImage::ImageRgb16(picture) => picture,
        // Alpha uses the full range, or its range says nothing about that of the colours.
        _ => return picture,
    };
    let largest = samples.iter().copied().max().unwrap_or(0);
    let Some(bits) = [10, 12, 14].into_iter().find(|bits| u32::from(largest) < 1 << bits) else {
        return picture;
    };
    // The upper bits are repeated in the lower ones, so that the maximum becomes white.
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
                panic!("the result must have 16 bits");
            };
            assert_eq!((found.as_raw()[0], found.as_raw()[2]), (0, u16::MAX), "{bits} bits");
            assert!(found.as_raw()[1].abs_diff(u16::MAX / 2) < 64, "{bits} bits");
        }
    }
}
