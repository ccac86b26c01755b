//! Rows of a JPEG file.

use std::path::Path;

use image::RgbaImage;

use super::super::SlideInfo;
use super::super::partial_jpeg::{Failure, MAX_COEFFICIENT_BYTES, Part, PartialDecoder};
use crate::untrusted;

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// Returns the reason why parts of this JPEG cannot be decoded, if there is one.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    match read(path).and_then(|stream| PartialDecoder::new()?.header(&stream)) {
        Err(reason) => Some(reason),
        Ok(header) if !header.has_rgb => Some("its colours are CMYK".to_owned()),
        Ok(header) if !header.has_parts => Some("its JPEG variant is not supported".to_owned()),
        Ok(header) if header.coefficients > MAX_COEFFICIENT_BYTES => {
            Some("it is a progressive JPEG, which has to be held in memory as a whole".to_owned())
        }
        Ok(_) => None,
    }
}

/// Decodes `count` rows from row `first`; all must lie within the picture.
pub(super) fn rows(info: &SlideInfo, first: u32, count: u32) -> Result<RgbaImage, String> {
    let mut rows = RgbaImage::new(info.width(), count);
    decode(info, Part::Region { x: 0, y: first, width: info.width(), height: count }, &mut rows)?;
    Ok(rows)
}

/// Decodes the whole picture at 1/8 of its width and height, rounded up.
pub(super) fn eighth(info: &SlideInfo) -> Result<RgbaImage, String> {
    let mut picture = RgbaImage::new(info.width().div_ceil(8), info.height().div_ceil(8));
    decode(info, Part::Eighth, &mut picture)?;
    Ok(picture)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    untrusted::read(path, MAX_FILE_BYTES).map_err(|error| error.to_string())
}

fn decode(info: &SlideInfo, part: Part, picture: &mut RgbaImage) -> Result<(), String> {
    let stream = read(&info.path)?;
    let mut decoder = PartialDecoder::new()?;
    let header = decoder.header(&stream)?;
    if (header.width, header.height) != (info.width(), info.height()) {
        return Err("the file was replaced after it was opened".to_owned());
    }
    let pitch = picture.width() as usize * 4;
    match decoder.decode(&stream, part, picture.as_flat_samples_mut().samples, pitch) {
        Ok(()) => Ok(()),
        // Extraneous bytes between the parts of a file are common; missing ones would leave grey areas.
        Err(Failure { is_warning: true, message }) if message.contains("xtraneous bytes") => Ok(()),
        Err(failure) => Err(failure.message),
    }
}
