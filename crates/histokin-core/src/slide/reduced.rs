//! Regions at a fraction of their level's resolution: each pixel the mean of a square of pixels.

use image::{Rgba, RgbaImage};

use super::SlideError;
use crate::geometry::LevelRect;

/// Edge of the parts in which a region is read, about, in pixels of the level.
const PART_PX: u32 = 1024;

/// Read `region` part by part with `read`, each pixel of the result being the mean of `factor` × `factor` (fewer at the right and
/// bottom edges).
///
/// # Errors
/// Those of `read`.
pub(super) fn read_in_parts(
    read: &dyn Fn(&LevelRect) -> Result<RgbaImage, SlideError>,
    region: &LevelRect,
    factor: u32,
) -> Result<RgbaImage, SlideError> {
    let edge = factor * (PART_PX / factor).max(1);
    let mut reduced = RgbaImage::new(region.width.div_ceil(factor), region.height.div_ceil(factor));
    for top in (0..region.height).step_by(edge as usize) {
        for left in (0..region.width).step_by(edge as usize) {
            let part = LevelRect {
                level: region.level,
                x: region.x.saturating_add(left.into()),
                y: region.y.saturating_add(top.into()),
                width: edge.min(region.width - left),
                height: edge.min(region.height - top),
            };
            shrink_into(&read(&part)?, factor, &mut reduced, (left / factor, top / factor));
        }
    }
    Ok(reduced)
}

/// The mean of each `factor` × `factor` pixels of `picture`, put into `reduced` from (`left`, `top`) on. Colours weigh
/// as much as they are opaque.
pub(super) fn shrink_into(
    picture: &RgbaImage,
    factor: u32,
    reduced: &mut RgbaImage,
    (left, top): (u32, u32),
) {
    let columns = picture.width().div_ceil(factor);
    let mut sums = vec![[0_u64; 5]; columns as usize];
    let row_bytes = picture.width() as usize * 4;
    if row_bytes == 0 {
        return;
    }
    for (row, rows) in picture.as_raw().chunks(row_bytes * factor as usize).enumerate() {
        sums.fill([0; 5]);
        for line in rows.chunks_exact(row_bytes) {
            for (block, sum) in line.chunks(factor as usize * 4).zip(&mut sums) {
                for [r, g, b, alpha] in block.as_chunks::<4>().0 {
                    let weight = u64::from(*alpha);
                    sum[0] += u64::from(*r) * weight;
                    sum[1] += u64::from(*g) * weight;
                    sum[2] += u64::from(*b) * weight;
                    sum[3] += weight;
                    sum[4] += 1;
                }
            }
        }
        for (column, sum) in sums.iter().enumerate() {
            reduced.put_pixel(left + column as u32, top + row as u32, Rgba(mean(*sum)));
        }
    }
}

/// From the sums of red, green and blue, weighted by alpha, of alpha, and of pixels.
fn mean([r, g, b, alpha, pixels]: [u64; 5]) -> [u8; 4] {
    if alpha == 0 {
        return [0; 4];
    }
    let channel = |sum: u64| ((sum + alpha / 2) / alpha) as u8;
    [channel(r), channel(g), channel(b), ((alpha + pixels / 2) / pixels) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slide::SlideSource;
    use crate::slide::test_slide::TestSlide;

    #[test]
    fn parts_make_the_same_as_the_whole() {
        let slide = TestSlide::new(2100, 1300);
        let region = LevelRect { level: 0, x: 0, y: 0, width: 2100, height: 1300 };
        let reduced = read_in_parts(&|part| slide.read(part), &region, 8).unwrap();
        assert_eq!(reduced.dimensions(), (263, 163));
        let pixels = slide.pixels();
        for (x, y) in [(0, 0), (128, 5), (131, 130), (262, 162)] {
            let block = image::imageops::crop_imm(
                &pixels,
                x * 8,
                y * 8,
                (2100 - x * 8).min(8),
                (1300 - y * 8).min(8),
            );
            let (mut sum, mut count) = (0_u64, 0);
            for pixel in block.to_image().pixels() {
                (sum, count) = (sum + u64::from(pixel.0[2]), count + 1);
            }
            assert_eq!(u64::from(reduced.get_pixel(x, y).0[2]), (sum + count / 2) / count, "{x}, {y}");
        }
    }

    #[test]
    fn transparent_pixels_lend_no_colour() {
        let mut picture = RgbaImage::from_pixel(4, 4, Rgba([200, 100, 0, 255]));
        (0..4).for_each(|x| (0..2).for_each(|y| picture.put_pixel(x, y, Rgba([0; 4]))));
        let mut reduced = RgbaImage::new(1, 1);
        shrink_into(&picture, 4, &mut reduced, (0, 0));
        assert_eq!(reduced.get_pixel(0, 0).0, [200, 100, 0, 128]);
    }
}
