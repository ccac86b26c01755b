//! Plain pictures that are too large to be held in memory: JPEG and PNG, decoded some rows at a time.
//!
//! Neither format allows random access: decoding some rows requires decompressing all rows above them.
//! [`StripPicture`] does the decoding. [`StripCache`] wraps it; it requests strips as wide as the picture and
//! caches them in memory, and requests the whole picture at 1/8 in one pass.

mod jpeg;
mod png;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{ImageFormat, RgbaImage};

use super::decoded_once::DecodedOnce;
use super::flat_image::embedded_profile;
use super::reduced::read_in_parts;
use super::{SlideError, SlideInfo, SlideSource, clip, transparent};
use crate::geometry::LevelRect;

/// Maximum number of pixels of a picture that is read in strips: at 1/8 it still fits into memory.
const MAX_PIXELS: u64 = 1 << 32;

/// Maximum number of pixels in a row.
const MAX_WIDTH: u32 = 1 << 20;

/// Approximate number of pixels of a strip: 128 MiB.
const STRIP_PIXELS: u32 = 1 << 25;

/// The reduction at which the whole picture is cached.
const EIGHTH: u32 = 8;

/// Returns the reason why a picture of this size cannot be read in strips; `None` if it can.
pub(super) fn obstacle(path: &Path, format: ImageFormat, width: u32, height: u32) -> Option<String> {
    if u64::from(width) * u64::from(height) > MAX_PIXELS || width > MAX_WIDTH {
        return Some("it exceeds 4 Gpx or a width of 1,048,576 px".to_owned());
    }
    match format {
        ImageFormat::Jpeg => jpeg::obstacle(path),
        ImageFormat::Png => png::obstacle(path),
        _ => Some("images of this format are held in memory as a whole".to_owned()),
    }
}

/// A picture of which any rows can be decoded, at the cost of decoding all rows above them.
pub(super) struct StripPicture {
    info: SlideInfo,
    format: ImageFormat,
}

impl StripPicture {
    /// Requires that [`obstacle`] is `None` for the picture.
    pub fn new(info: SlideInfo, format: ImageFormat) -> Self {
        Self { info, format }
    }

    fn rows(&self, first: u32, count: u32) -> Result<RgbaImage, String> {
        match self.format {
            ImageFormat::Jpeg => jpeg::rows(&self.info, first, count),
            _ => png::rows(&self.info, first, count),
        }
    }
}

impl SlideSource for StripPicture {
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
        if let Some(part) = clip(region, self.info.width(), self.info.height()) {
            let rows = self.rows(part.y as u32, part.height).map_err(failed)?;
            let found = image::imageops::crop_imm(&rows, part.x as u32, 0, part.width, part.height);
            image::imageops::replace(&mut canvas, &*found, part.x - region.x, part.y - region.y);
        }
        Ok(canvas)
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        let failed =
            |reason: String| SlideError::Read { path: self.info.path.clone(), region: *region, reason };
        if factor != EIGHTH || *region != whole(&self.info) {
            return read_in_parts(&|part| self.read(part), region, factor);
        }
        match self.format {
            ImageFormat::Jpeg => jpeg::eighth(&self.info).map_err(failed),
            _ => png::reduced(&self.info, EIGHTH).map_err(failed),
        }
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        Err(self.info.no_such_associated(name))
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        embedded_profile(&self.info.path)
    }
}

/// The rectangle that covers all of level 0.
fn whole(info: &SlideInfo) -> LevelRect {
    LevelRect { level: 0, x: 0, y: 0, width: info.width(), height: info.height() }
}

/// Caches the strips of a [`StripPicture`], which may be decoded in another process.
pub(super) struct StripCache {
    inner: Arc<dyn SlideSource>,
    /// Number of rows of a strip.
    rows: u32,
    /// Strips by their number, and the picture at 1/8 under the key [`REDUCED`].
    decoded: DecodedOnce,
}

/// Key of the picture at 1/8 in the cache.
const REDUCED: u64 = u64::MAX;

impl StripCache {
    /// Wraps `inner`, a picture that is decoded in strips.
    pub fn new(inner: Arc<dyn SlideSource>) -> Self {
        // A multiple of 16: libjpeg-turbo decodes blocks of up to 16 rows.
        let rows = (STRIP_PIXELS / inner.info().width().max(1)).max(16) / 16 * 16;
        Self { inner, rows, decoded: DecodedOnce::new() }
    }
}

impl SlideSource for StripCache {
    fn info(&self) -> &SlideInfo {
        self.inner.info()
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let failed =
            |reason: String| SlideError::Read { path: self.info().path.clone(), region: *region, reason };
        if region.level > 0 {
            return Err(failed("a plain image has only one level".to_owned()));
        }
        let mut canvas = transparent(region).map_err(failed)?;
        let (width, height) = (self.info().width(), self.info().height());
        let Some(part) = clip(region, width, height) else { return Ok(canvas) };
        let (top, bottom) = (part.y as u32, part.y as u32 + part.height);
        for number in top / self.rows..bottom.div_ceil(self.rows) {
            let y = number * self.rows;
            let rows = self.rows.min(height - y);
            let strip = LevelRect { level: 0, x: 0, y: y.into(), width, height: rows };
            let pixels = self.decoded.get(number.into(), failed, || self.inner.read(&strip))?;
            let (first, last) = (top.max(y), bottom.min(y + rows));
            let found =
                image::imageops::crop_imm(&*pixels, part.x as u32, first - y, part.width, last - first);
            image::imageops::replace(&mut canvas, &*found, part.x - region.x, i64::from(first) - region.y);
        }
        Ok(canvas)
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        let whole = whole(self.info());
        let is_aligned =
            [region.x, region.y].iter().all(|start| *start >= 0 && start % i64::from(EIGHTH) == 0);
        let is_inside = clip(region, whole.width, whole.height).as_ref() == Some(region);
        if factor != EIGHTH || !is_aligned || !is_inside {
            return read_in_parts(&|part| self.read(part), region, factor);
        }
        let failed =
            |reason: String| SlideError::Read { path: self.info().path.clone(), region: *region, reason };
        let reduced = self.decoded.get(REDUCED, failed, || self.inner.read_reduced(&whole, EIGHTH))?;
        let (x, y) = (region.x as u32 / EIGHTH, region.y as u32 / EIGHTH);
        let (width, height) = (region.width.div_ceil(EIGHTH), region.height.div_ceil(EIGHTH));
        Ok(image::imageops::crop_imm(&*reduced, x, y, width, height).to_image())
    }

    fn companions(&self) -> &[PathBuf] {
        self.inner.companions()
    }

    fn check(&self) -> Result<(), SlideError> {
        self.inner.check()
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.inner.associated(name)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        self.inner.icc_profile()
    }
}

#[cfg(test)]
mod tests {
    use super::super::flat_image;
    use super::*;

    fn picture() -> image::RgbImage {
        image::RgbImage::from_fn(203, 131, |x, y| {
            image::Rgb([(x * 255 / 203) as u8, (y * 255 / 131) as u8, ((x / 9 + y / 7) % 2 * 120) as u8])
        })
    }

    /// The picture in this file in strips of 16 rows, and held as a whole.
    fn both(path: &Path, format: ImageFormat) -> (StripCache, Arc<dyn SlideSource>) {
        let flat = flat_image::open(path, None).unwrap();
        assert_eq!(obstacle(path, format, 203, 131), None);
        let mut strips = StripCache::new(Arc::new(StripPicture::new(flat.info().clone(), format)));
        strips.rows = 16;
        (strips, flat)
    }

    fn assert_near(found: &RgbaImage, expected: &RgbaImage, tolerance: u8) {
        assert_eq!(found.dimensions(), expected.dimensions());
        let apart = found.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b));
        let worst = apart.max().unwrap_or(0);
        assert!(worst <= tolerance, "{worst} grey levels apart");
    }

    #[test]
    fn strips_show_what_the_whole_picture_shows() {
        let folder = tempfile::tempdir().unwrap();
        // Two JPEG decoders round differently at sharp edges.
        for (name, format, tolerance) in [("a.png", ImageFormat::Png, 0), ("a.jpg", ImageFormat::Jpeg, 12)] {
            let path = folder.path().join(name);
            picture().save(&path).unwrap();
            let (strips, flat) = both(&path, format);
            for (x, y, width, height) in
                [(0, 0, 203, 131), (10, 10, 40, 3), (190, 100, 40, 60), (-5, -5, 300, 20), (0, 200, 5, 5)]
            {
                let region = LevelRect { level: 0, x, y, width, height };
                assert_near(&strips.read(&region).unwrap(), &flat.read(&region).unwrap(), tolerance);
            }
            // Incomplete blocks of 8 × 8 at the right and bottom edges are padded in a JPEG.
            let region = LevelRect { level: 0, x: 16, y: 8, width: 184, height: 120 };
            let reduced = strips.read_reduced(&region, 8).unwrap();
            assert_near(&reduced, &flat.read_reduced(&region, 8).unwrap(), tolerance);
        }
    }

    #[test]
    fn grey_and_transparent_pictures_are_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let whole = image::DynamicImage::ImageRgb8(picture());
        let clear = image::RgbaImage::from_fn(203, 131, |x, y| {
            image::Rgba([x as u8, y as u8, 9, if x < 90 { 0 } else { 200 }])
        });
        let kinds = [
            image::DynamicImage::ImageLuma8(whole.to_luma8()),
            image::DynamicImage::ImageLumaA8(image::DynamicImage::ImageRgba8(clear.clone()).to_luma_alpha8()),
            image::DynamicImage::ImageRgba8(clear),
        ];
        let all = LevelRect { level: 0, x: 0, y: 0, width: 203, height: 131 };
        for kind in kinds {
            kind.save(&path).unwrap();
            let (strips, flat) = both(&path, ImageFormat::Png);
            assert_near(&strips.read(&all).unwrap(), &flat.read(&all).unwrap(), 0);
        }
        let path = folder.path().join("grey.jpg");
        whole.to_luma8().save(&path).unwrap();
        let (strips, flat) = both(&path, ImageFormat::Jpeg);
        assert_near(&strips.read(&all).unwrap(), &flat.read(&all).unwrap(), 3);
    }

    #[test]
    fn a_picture_that_is_cut_short_is_an_error_each_time() {
        let folder = tempfile::tempdir().unwrap();
        for (name, format) in [("a.png", ImageFormat::Png), ("a.jpg", ImageFormat::Jpeg)] {
            let path = folder.path().join(name);
            picture().save(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
            let (strips, _) = both(&path, format);
            let bottom = LevelRect { level: 0, x: 0, y: 120, width: 20, height: 11 };
            for _ in 0..2 {
                let message = strips.read(&bottom).unwrap_err().to_string();
                assert!(message.contains(name) && !message.contains('\n'), "{message}");
            }
        }
    }
}
