//! Images of slides: rendered regions, thumbnails, and contact sheets of tiles.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageError, ImageFormat, Rgb, RgbImage, RgbaImage, imageops};

use histokin_core::durable;
use histokin_core::geometry::{Level0Rect, Stretch};
use histokin_core::slide::{SlideError, SlideInfo, SlideSource};
use histokin_core::tiling::read_rect_as_shown;

/// Renders `rect` as the viewer shows it, at `width` × `height` pixels: unchanged pixels at 1:1, else
/// resampled from the nearest finer level. Empty glass and the area outside the slide are white, or black in fluorescence.
///
/// # Errors
/// When the slide cannot be read.
pub fn render(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    width: u32,
    height: u32,
) -> Result<RgbImage, SlideError> {
    read_rect_as_shown(slide, rect, width, height)
}

/// Renders the whole slide with square pixels (in µm), at most `edge` pixels on its longer side.
///
/// # Errors
/// When the slide cannot be read.
pub fn thumbnail(slide: &dyn SlideSource, edge: u32) -> Result<RgbaImage, SlideError> {
    let (width, height) = thumbnail_size(slide.info(), edge);
    let picture = render(slide, &slide.info().extent(), width, height)?;
    Ok(image::DynamicImage::ImageRgb8(picture).into_rgba8())
}

/// Width and height in pixels of the [`thumbnail`] of a slide.
pub(super) fn thumbnail_size(info: &SlideInfo, edge: u32) -> (u32, u32) {
    let (width, height) = Stretch::of(info.mpp).extent((info.width().into(), info.height().into()));
    let scale = f64::from(edge) / width.max(height);
    let side = |px: f64| (px * scale.min(1.0)).round().max(1.0) as u32;
    (side(width), side(height))
}

/// Returns an image of tiles in rows of `columns` on a light background, the first with a frame of the colour
/// `frame`.
pub fn contact_sheet(tiles: &[RgbImage], columns: u32, frame: Rgb<u8>) -> RgbImage {
    const GAP: u32 = 8;
    let edge = tiles.iter().map(|tile| tile.width().max(tile.height())).max().unwrap_or(1);
    let columns = columns.clamp(1, (tiles.len() as u32).max(1));
    let rows = (tiles.len() as u32).div_ceil(columns);
    let step = edge + GAP;
    let mut sheet = RgbImage::from_pixel(columns * step + GAP, rows * step + GAP, Rgb([245, 245, 245]));
    for (index, tile) in (0u32..).zip(tiles) {
        let (x, y) = (GAP + index % columns * step, GAP + index / columns * step);
        if index == 0 {
            let border = RgbImage::from_pixel(edge + GAP, edge + GAP, frame);
            imageops::replace(&mut sheet, &border, i64::from(x - GAP / 2), i64::from(y - GAP / 2));
        }
        imageops::replace(&mut sheet, tile, i64::from(x), i64::from(y));
    }
    sheet
}

/// JPEG quality (1 to 100) at which tissue shows no artefacts.
const JPEG_QUALITY: u8 = 92;

/// Writes an image (durable write) in the format of the path's extension: PNG, JPEG, TIFF, BMP or WebP.
///
/// # Errors
/// When the extension is not one of these, or the file cannot be written.
pub fn write_picture(picture: &RgbImage, path: &Path) -> Result<(), ImageError> {
    let format = ImageFormat::from_path(path)?;
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => {
            JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(picture)?;
        }
        _ => DynamicImage::ImageRgb8(picture.clone()).write_to(&mut bytes, format)?,
    }
    Ok(durable::write(path, bytes.get_ref())?)
}
