//! Pictures of slides: what the viewer shows of a region, thumbnails, and sheets of tiles.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageError, ImageFormat, Rgb, RgbImage, RgbaImage, imageops};

use histokin_core::durable;
use histokin_core::geometry::{Level0Rect, Stretch};
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::tiling::read_rect_for_view;

/// What the viewer shows of `rect` in `width` × `height` pixels: at 1:1 the slide's own pixels, else the
/// nearest finer level resampled. Empty glass and what lies outside the slide is white.
pub fn render(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    width: u32,
    height: u32,
) -> Result<RgbImage, SlideError> {
    read_rect_for_view(slide, rect, width, height)
}

/// The whole slide in square microns, at most `edge` pixels on its longer side.
pub fn thumbnail(slide: &dyn SlideSource, edge: u32) -> Result<RgbaImage, SlideError> {
    let info = slide.info();
    let (width, height) = Stretch::of(info.mpp).extent((info.width().into(), info.height().into()));
    let scale = f64::from(edge) / width.max(height);
    let side = |px: f64| (px * scale.min(1.0)).round().max(1.0) as u32;
    let picture = render(slide, &info.extent(), side(width), side(height))?;
    Ok(image::DynamicImage::ImageRgb8(picture).into_rgba8())
}

/// Tiles in rows of `columns`, the first framed in `frame`, on a light ground.
pub fn contact_sheet(tiles: &[RgbImage], columns: u32, frame: Rgb<u8>) -> RgbImage {
    const GAP: u32 = 8;
    let edge = tiles.iter().map(|tile| tile.width().max(tile.height())).max().unwrap_or(1);
    let columns = columns.clamp(1, (tiles.len() as u32).max(1));
    let rows = (tiles.len() as u32).div_ceil(columns);
    let step = edge + GAP;
    let mut sheet = RgbImage::from_pixel(columns * step + GAP, rows * step + GAP, Rgb([245, 245, 245]));
    for (place, tile) in (0u32..).zip(tiles) {
        let (x, y) = (GAP + place % columns * step, GAP + place / columns * step);
        if place == 0 {
            let border = RgbImage::from_pixel(edge + GAP, edge + GAP, frame);
            imageops::replace(&mut sheet, &border, i64::from(x - GAP / 2), i64::from(y - GAP / 2));
        }
        imageops::replace(&mut sheet, tile, i64::from(x), i64::from(y));
    }
    sheet
}

/// Of 100; tissue shows no artefacts at it.
const JPEG_QUALITY: u8 = 92;

/// Write a picture in the format of the path's ending (PNG, JPEG, TIFF, BMP or WebP), whole or not at all.
///
/// # Errors
/// When the ending names no such format, or the file cannot be written.
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
