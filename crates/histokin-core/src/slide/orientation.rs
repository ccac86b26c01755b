//! Slides whose rows and columns are stored in a different order from the displayed one (TIFF tag
//! Orientation, with the same values in EXIF).

use std::sync::Arc;

use image::{RgbaImage, imageops};

use super::reduced::read_in_parts;
use super::{SlideError, SlideInfo, SlideSource};
use crate::geometry::LevelRect;

/// Name of the property that holds the stored orientation.
pub(super) const PROPERTY: &str = "histokin.orientation";

/// How stored rows and columns map to the upright image, as TIFF's value from 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orientation(u8);

impl Orientation {
    /// Returns the orientation for a value from 2 to 8; `None` for upright images and invalid values.
    pub fn turned(number: u64) -> Option<Self> {
        (2..=8).contains(&number).then_some(Self(number as u8))
    }

    /// Whether stored rows are columns of the upright image.
    fn swaps_axes(self) -> bool {
        self.0 >= 5
    }

    /// Returns the stored region that holds the pixels of `region` of the upright image, on a level that is
    /// stored as `width` × `height` pixels.
    fn stored(self, region: &LevelRect, (width, height): (u32, u32)) -> LevelRect {
        let (x, y) = (region.x, region.y);
        let (w, h) =
            if self.swaps_axes() { (region.height, region.width) } else { (region.width, region.height) };
        let from_right = |start: i64, length: u32| {
            i64::from(width).saturating_sub(start).saturating_sub(i64::from(length))
        };
        let from_bottom = |start: i64, length: u32| {
            i64::from(height).saturating_sub(start).saturating_sub(i64::from(length))
        };
        let (x, y) = match self.0 {
            2 => (from_right(x, w), y),
            3 => (from_right(x, w), from_bottom(y, h)),
            4 => (x, from_bottom(y, h)),
            5 => (y, x),
            6 => (y, from_bottom(x, h)),
            7 => (from_right(y, w), from_bottom(x, h)),
            8 => (from_right(y, w), x),
            _ => (x, y),
        };
        LevelRect { level: region.level, x, y, width: w, height: h }
    }

    /// Turns stored pixels upright.
    fn upright(self, mut pixels: RgbaImage) -> RgbaImage {
        match self.0 {
            2 => imageops::flip_horizontal_in_place(&mut pixels),
            3 => imageops::rotate180_in_place(&mut pixels),
            4 => imageops::flip_vertical_in_place(&mut pixels),
            5 => {
                pixels = imageops::rotate90(&pixels);
                imageops::flip_horizontal_in_place(&mut pixels);
            }
            6 => pixels = imageops::rotate90(&pixels),
            7 => {
                pixels = imageops::rotate270(&pixels);
                imageops::flip_horizontal_in_place(&mut pixels);
            }
            8 => pixels = imageops::rotate270(&pixels),
            _ => {}
        }
        pixels
    }
}

/// Returns `source`, whose pixels are stored in `orientation`, turned upright.
pub(super) fn upright(
    source: Arc<dyn SlideSource>,
    orientation: Option<Orientation>,
) -> Arc<dyn SlideSource> {
    match orientation {
        Some(orientation) => Arc::new(Upright::new(source, orientation)),
        None => source,
    }
}

struct Upright {
    source: Arc<dyn SlideSource>,
    orientation: Orientation,
    info: SlideInfo,
}

impl Upright {
    fn new(source: Arc<dyn SlideSource>, orientation: Orientation) -> Self {
        let mut info = source.info().clone();
        info.properties.insert(PROPERTY.to_owned(), orientation.0.to_string());
        if orientation.swaps_axes() {
            for level in &mut info.levels {
                std::mem::swap(&mut level.width, &mut level.height);
                std::mem::swap(&mut level.downsample.x, &mut level.downsample.y);
            }
            // A pixel size given by the user already refers to the displayed axes.
            if info.mpp_source == super::MppSource::Slide {
                info.mpp = info.mpp.map(|mpp| mpp.transposed());
            }
        }
        Self { source, orientation, info }
    }
}

impl SlideSource for Upright {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let level = self.source.info().levels.get(region.level as usize);
        let size = level.map_or((0, 0), |level| (level.width, level.height));
        match self.source.read(&self.orientation.stored(region, size)) {
            Ok(pixels) => Ok(self.orientation.upright(pixels)),
            Err(SlideError::Read { path, reason, .. }) => {
                Err(SlideError::Read { path, region: *region, reason })
            }
            Err(error) => Err(error),
        }
    }

    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        let level = self.source.info().levels.get(region.level as usize);
        let size = level.map_or((0, 0), |level| (level.width, level.height));
        // Blocks are counted from the left and top of the region; partial blocks would be on a different side
        // in stored order.
        if !region.width.is_multiple_of(factor) || !region.height.is_multiple_of(factor) {
            return read_in_parts(&|part| self.read(part), region, factor);
        }
        match self.source.read_reduced(&self.orientation.stored(region, size), factor) {
            Ok(pixels) => Ok(self.orientation.upright(pixels)),
            Err(SlideError::Read { path, reason, .. }) => {
                Err(SlideError::Read { path, region: *region, reason })
            }
            Err(error) => Err(error),
        }
    }

    fn check(&self) -> Result<(), SlideError> {
        self.source.check()
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.source.associated(name)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        self.source.icc_profile()
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_slide::TestSlide;
    use super::*;
    use proptest::prelude::*;

    /// Turns an image by the `image` crate's implementation of EXIF 2.3, table 6, which is independent of
    /// [`Orientation::stored`].
    fn whole(number: u8, stored: RgbaImage) -> RgbaImage {
        let mut picture = image::DynamicImage::from(stored);
        picture.apply_orientation(image::metadata::Orientation::from_exif(number).expect("1 to 8"));
        picture.into_rgba8()
    }

    proptest! {
        #[test]
        fn regions_of_every_orientation_are_those_of_the_upright_picture(
            number in 1_u8..=8, x in -10_i64..50, y in -10_i64..50, width in 1_u32..40, height in 1_u32..40,
        ) {
            let slide = TestSlide::new(37, 23);
            let expected = whole(number, slide.pixels());
            let slide = upright(Arc::new(slide), Orientation::turned(number.into()));
            prop_assert_eq!((slide.info().width(), slide.info().height()), expected.dimensions());
            let read = slide.read(&LevelRect { level: 0, x, y, width, height }).unwrap();
            prop_assert_eq!(read.dimensions(), (width, height));
            for (at_x, at_y, pixel) in read.enumerate_pixels() {
                let (at_x, at_y) = (x + i64::from(at_x), y + i64::from(at_y));
                let inside = at_x >= 0 && at_y >= 0 && at_x < i64::from(expected.width()) && at_y < i64::from(expected.height());
                let wanted = if inside { *expected.get_pixel(at_x as u32, at_y as u32) } else { image::Rgba([0; 4]) };
                prop_assert_eq!(*pixel, wanted);
            }
        }
    }

    #[test]
    fn what_means_nothing_is_upright() {
        for number in [0, 1, 9, 65_535] {
            assert_eq!(Orientation::turned(number), None);
        }
    }
}
