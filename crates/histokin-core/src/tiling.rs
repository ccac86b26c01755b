//! The tile grid of a slide (size and positions of tiles in level-0 pixels), and reading of resampled
//! regions.

use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::geometry::{Downsample, Level0Point, Level0Rect, LevelRect, MicronsPerPixel};
use crate::slide::{Level, SlideError, SlideInfo, SlideSource};

/// How slides are cut into tiles: the encoder's input size and pixel size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TileSettings {
    /// Edge of a tile in pixels of the encoder's input.
    pub tile_px: u32,
    /// Pixel size of the encoder's input, in µm per pixel.
    pub mpp: f64,
}

impl Default for TileSettings {
    /// Returns 224 × 224 px at 1.0 µm/px (10×): tiles of 224 µm.
    fn default() -> Self {
        Self { tile_px: 224, mpp: 1.0 }
    }
}

/// Index of a tile in its grid, row by row from the top left, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TileIndex(pub u32);

/// A regular grid of non-overlapping tiles from the slide's top-left corner, square in µm. It contains only
/// tiles that lie completely on the slide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TileGrid {
    /// Edge of a tile in pixels of the encoder's input.
    pub tile_px: u32,
    /// Width of a tile in level-0 pixels.
    pub tile_level0: u32,
    /// Height of a tile in level-0 pixels; equals the width if the slide's pixels are square.
    pub tile_level0_y: u32,
    /// Pixel size at which tiles are read, in µm per pixel: that of the settings, or the slide's own where
    /// the slide is coarser.
    pub effective_mpp: f64,
    /// Number of tiles per row.
    pub columns: u32,
    /// Number of tiles per column.
    pub rows: u32,
}

impl TileSettings {
    /// Returns whether the settings are in range: 8 to 4096 pixels of a plausible size.
    pub fn is_plausible(&self) -> bool {
        (8..=4096).contains(&self.tile_px) && MicronsPerPixel::square(self.mpp).is_ok()
    }
}

impl TileGrid {
    /// Computes the grid of `slide`.
    ///
    /// # Errors
    /// [`SlideError::NotCalibrated`] if the slide's pixel size is unknown.
    pub fn new(slide: &SlideInfo, settings: TileSettings) -> Result<Self, SlideError> {
        let slide_mpp: MicronsPerPixel = slide.require_mpp()?;
        // Pixels that differ from squares by at most 1 % are treated as squares of the same area.
        let (across, down) = match slide_mpp.is_square() {
            true => (slide_mpp.mean(), slide_mpp.mean()),
            false => (slide_mpp.x(), slide_mpp.y()),
        };
        let effective_mpp = settings.mpp.max(across).max(down);
        let edge = |um: f64| (f64::from(settings.tile_px) * effective_mpp / um).round().max(1.0) as u32;
        let (tile_level0, tile_level0_y) = (edge(across), edge(down));
        Ok(Self {
            tile_px: settings.tile_px,
            tile_level0,
            tile_level0_y,
            effective_mpp,
            columns: slide.width() / tile_level0,
            rows: slide.height() / tile_level0_y,
        })
    }

    /// Returns whether the slide is coarser than the settings, so that tiles cover a larger area.
    pub fn is_coarser_than(&self, settings: TileSettings) -> bool {
        self.effective_mpp > settings.mpp * 1.01
    }

    /// Returns the number of tiles in the grid.
    pub fn len(&self) -> u32 {
        self.columns.saturating_mul(self.rows)
    }

    /// Returns whether the slide is smaller than a tile.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the rectangle that a tile covers, in level-0 pixels.
    pub fn rect(&self, tile: TileIndex) -> Level0Rect {
        let (row, column) = (tile.0 / self.columns, tile.0 % self.columns);
        Level0Rect::new(
            i64::from(column) * i64::from(self.tile_level0),
            i64::from(row) * i64::from(self.tile_level0_y),
            self.tile_level0,
            self.tile_level0_y,
        )
    }

    /// Returns the tile at a level-0 position; `None` outside the grid.
    pub fn tile_at(&self, point: Level0Point) -> Option<TileIndex> {
        if self.is_empty() || point.x < 0.0 || point.y < 0.0 {
            return None;
        }
        let column = (point.x / f64::from(self.tile_level0)) as u32;
        let row = (point.y / f64::from(self.tile_level0_y)) as u32;
        (column < self.columns && row < self.rows).then(|| TileIndex(row * self.columns + column))
    }

    /// Returns all tiles of the grid, row by row.
    pub fn tiles(&self) -> impl Iterator<Item = TileIndex> + use<> {
        (0..self.len()).map(TileIndex)
    }
}

/// Reads the region `rect`, resampled to `out_px` × `out_px` pixels, from the coarsest stored level that is
/// fine enough. Transparent parts become white, the colour of empty glass.
///
/// # Errors
/// [`SlideError::Read`] if the pixels cannot be read.
pub fn read_tile(slide: &dyn SlideSource, rect: &Level0Rect, out_px: u32) -> Result<RgbImage, SlideError> {
    read_rect(slide, rect, out_px, out_px)
}

/// Reads a tile as [`read_tile`] does, but to be looked at: transparent parts are shown as the window shows them
/// ([`SlideInfo::unscanned_value`]).
///
/// # Errors
/// As for [`read_tile`].
pub fn read_tile_as_shown(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    out_px: u32,
) -> Result<RgbImage, SlideError> {
    let ground = slide.info().unscanned_value();
    read_rect_in_parts(slide, rect, (out_px, out_px), ground, PIXELS_AT_ONCE)
}

/// Offset, in pixels of the level, up to which a region is not resampled: a sixteenth of a pixel is not
/// visible, and resampling reduces sharpness.
const NEGLIGIBLE_PX: f64 = 1.0 / 16.0;

/// Reads the region `rect`, resampled to `width` × `height` pixels, as [`read_tile`] does for squares.
///
/// Where `rect` does not lie on whole pixels of the level, the resampling window is placed at subpixel
/// precision, so that nothing is shifted or stretched.
///
/// # Errors
/// [`SlideError::Read`] if the pixels cannot be read.
pub fn read_rect(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    width: u32,
    height: u32,
) -> Result<RgbImage, SlideError> {
    read_rect_in_parts(slide, rect, (width, height), WHITE, PIXELS_AT_ONCE)
}

/// Reads a region like [`read_rect`], but also from computed levels: for the tissue mask and the colours of the slide.
/// Tiles to embed are read by [`read_tile`].
///
/// # Errors
/// As for [`read_rect`].
pub fn read_rect_for_view(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    width: u32,
    height: u32,
) -> Result<RgbImage, SlideError> {
    read_over(slide, rect, (width, height), WHITE)
}

/// Reads a region like [`read_rect_for_view`], but to be looked at: transparent parts are shown as the window shows them
/// ([`SlideInfo::unscanned_value`]).
///
/// # Errors
/// As for [`read_rect`].
pub fn read_rect_as_shown(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    width: u32,
    height: u32,
) -> Result<RgbImage, SlideError> {
    read_over(slide, rect, (width, height), slide.info().unscanned_value())
}

fn read_over(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    size: (u32, u32),
    ground: u8,
) -> Result<RgbImage, SlideError> {
    match best_computed_level(slide, reduction(rect, size.0, size.1)) {
        Some((index, level)) => {
            let read = |part: &LevelRect| slide.read_computed(part);
            read_from_level(&read, (index, level), rect, size, ground, PIXELS_AT_ONCE)
        }
        None => read_rect_in_parts(slide, rect, size, ground, PIXELS_AT_ONCE),
    }
}

/// Returns the coarsest computed level that is fine enough, if it is coarser than the best stored level.
fn best_computed_level(slide: &dyn SlideSource, wanted: Downsample) -> Option<(u32, Level)> {
    let info = slide.info();
    let stored = info.levels[info.best_level_for(wanted) as usize].downsample;
    let fits = |level: &Level| {
        level.is_fine_enough(wanted) && level.downsample.x > stored.x && level.downsample.y > stored.y
    };
    let index = slide.computed_levels().iter().rposition(fits)?;
    Some((index as u32, slide.computed_levels()[index]))
}

/// Returns the downsample of the level that [`read_rect_for_view`] reads for the downsample `wanted`.
pub fn level_read_for_view(slide: &dyn SlideSource, wanted: Downsample) -> Downsample {
    let info = slide.info();
    let stored = info.levels[info.best_level_for(wanted) as usize].downsample;
    best_computed_level(slide, wanted).map_or(stored, |(_, level)| level.downsample)
}

fn reduction(rect: &Level0Rect, width: u32, height: u32) -> Downsample {
    let along = |level0: u32, out: u32| f64::from(level0) / f64::from(out);
    Downsample { x: along(rect.width, width), y: along(rect.height, height) }
}

/// Maximum number of pixels that are read as one region: 256 MiB of RGBA. Larger regions, such as a whole
/// slide that has only one level and does not fit into memory, are read and reduced in parts.
const PIXELS_AT_ONCE: u64 = 1 << 26;

fn read_rect_in_parts(
    slide: &dyn SlideSource,
    rect: &Level0Rect,
    size: (u32, u32),
    ground: u8,
    pixels_at_once: u64,
) -> Result<RgbImage, SlideError> {
    let index = slide.info().best_level_for(reduction(rect, size.0, size.1));
    let level = slide.info().levels[index as usize];
    read_from_level(&|part| slide.read(part), (index, level), rect, size, ground, pixels_at_once)
}

type ReadRegion<'a> = &'a dyn Fn(&LevelRect) -> Result<image::RgbaImage, SlideError>;

/// Reads the region `rect` from a given level, resampled to `width` × `height` pixels. Transparent parts get the value
/// `ground`.
fn read_from_level(
    read: ReadRegion<'_>,
    (level, stored): (u32, Level),
    rect: &Level0Rect,
    (width, height): (u32, u32),
    ground: u8,
    pixels_at_once: u64,
) -> Result<RgbImage, SlideError> {
    let wanted = reduction(rect, width, height);
    let across = Span::new(rect.x, rect.width, stored.downsample.x, stored.width, width);
    let down = Span::new(rect.y, rect.height, stored.downsample.y, stored.height, height);
    let region =
        LevelRect { level, x: across.start, y: down.start, width: across.length, height: down.length };
    let is_exact = across.is_exact && down.is_exact;
    // At least two pixels per output pixel are kept for the resampling filter.
    let kept = (wanted.x / stored.downsample.x).min(wanted.y / stored.downsample.y);
    let factor = (kept / 2.0).floor().max(1.0);
    let is_in_parts = u64::from(region.width) * u64::from(region.height) > pixels_at_once && factor > 1.0;
    let (opaque, factor) = if is_in_parts && !is_exact {
        (read_reduced(read, &region, factor as u32, ground)?, factor)
    } else {
        (over(&read(&region)?, ground), 1.0)
    };
    if is_exact {
        return Ok(opaque);
    }
    let [left, top, wide, high] = [across.offset, down.offset, across.size, down.size].map(|px| px / factor);
    // Where the window ends at the last pixel, rounding may put its end a trifle beyond.
    let within = |start: f64, length: f64, whole: u32| length.min(f64::from(whole) - start);
    let (wide, high) = (within(left, wide, opaque.width()), within(top, high, opaque.height()));
    Ok(resample(&opaque, width, height, fir::ResizeOptions::new().crop(left, top, wide, high)))
}

/// Reads `region` in parts; each pixel of the result is the mean of `factor` × `factor` pixels.
fn read_reduced(
    read: ReadRegion<'_>,
    region: &LevelRect,
    factor: u32,
    ground: u8,
) -> Result<RgbImage, SlideError> {
    let edge = factor * (1024 / factor).max(1);
    let mut reduced = RgbImage::new(region.width.div_ceil(factor), region.height.div_ceil(factor));
    for top in (0..region.height).step_by(edge as usize) {
        for left in (0..region.width).step_by(edge as usize) {
            let part = LevelRect {
                level: region.level,
                x: region.x + i64::from(left),
                y: region.y + i64::from(top),
                width: edge.min(region.width - left),
                height: edge.min(region.height - top),
            };
            let picture = over(&read(&part)?, ground);
            for y in 0..part.height.div_ceil(factor) {
                for x in 0..part.width.div_ceil(factor) {
                    let (wide, high) =
                        (factor.min(part.width - x * factor), factor.min(part.height - y * factor));
                    let pixels = image::imageops::crop_imm(&picture, x * factor, y * factor, wide, high);
                    let mut sums = [0_u64; 3];
                    for (_, _, pixel) in image::GenericImageView::pixels(&*pixels) {
                        (0..3).for_each(|channel| sums[channel] += u64::from(pixel.0[channel]));
                    }
                    let count = u64::from(wide * high);
                    let mean = sums.map(|sum| ((sum + count / 2) / count) as u8);
                    reduced.put_pixel(left / factor + x, top / factor + y, image::Rgb(mean));
                }
            }
        }
    }
    Ok(reduced)
}

/// One axis of a region: the whole pixels of the level to read, and the resampling window within them.
struct Span {
    start: i64,
    length: u32,
    /// Start of the window, in pixels from `start`.
    offset: f64,
    /// Length of the window in pixels.
    size: f64,
    /// Whether the pixels are used as read, without resampling.
    is_exact: bool,
}

impl Span {
    /// Computes the span; `stored` is the level's extent along this axis, `out` the number of output pixels.
    fn new(level0_start: i64, level0_length: u32, downsample: f64, stored: u32, out: u32) -> Self {
        let start = level0_start as f64 / downsample;
        let size = f64::from(level0_length) / downsample;
        let end = start + size;
        let off_grid = (start - start.round()).abs().max((size - f64::from(out)).abs());
        if off_grid <= NEGLIGIBLE_PX {
            return Self { start: start.round() as i64, length: out, offset: 0.0, size, is_exact: true };
        }
        // The filter needs three output pixels beyond the window, but never beyond the slide's edge, where it
        // would blend in a colour that is not on the slide.
        let margin = 3.0 * (size / f64::from(out)).max(1.0);
        let first = (start - margin).floor().max(start.floor().min(0.0));
        let last = (end + margin).ceil().min(end.ceil().max(f64::from(stored)));
        Self {
            start: first as i64,
            length: (last - first) as u32,
            offset: start - first,
            size,
            is_exact: false,
        }
    }
}

/// Value of all three colours of empty glass.
const WHITE: u8 = 255;

/// Blends a picture with straight alpha over the grey of the value `ground`.
fn over(picture: &image::RgbaImage, ground: u8) -> RgbImage {
    let ground = u32::from(ground);
    let mut opaque = RgbImage::new(picture.width(), picture.height());
    for (out, pixel) in opaque.pixels_mut().zip(picture.pixels()) {
        let [r, g, b, alpha] = pixel.0.map(u32::from);
        let blend = |channel: u32| ((channel * alpha + ground * (255 - alpha) + 127) / 255) as u8;
        out.0 = [blend(r), blend(g), blend(b)];
    }
    opaque
}

/// Resamples the window of `picture` with a Lanczos filter whose support scales with the reduction, to avoid
/// aliasing.
fn resample(picture: &RgbImage, width: u32, height: u32, window: fir::ResizeOptions) -> RgbImage {
    let mut resized = RgbImage::new(width, height);
    let options = window.resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Lanczos3));
    // With the type of the pixels, without which code for all types is compiled: a quarter of what this crate makes.
    let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw())
        .expect("three bytes a pixel");
    let mut target =
        TypedImage::<U8x3>::from_buffer(width, height, &mut resized).expect("three bytes a pixel");
    fir::Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .expect("the window lies inside the source");
    resized
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::slide::{Level, MppSource, SlideId};

    #[test]
    fn a_window_up_to_the_edge_of_a_level_lies_within_it() {
        let read = |part: &LevelRect| Ok(image::RgbaImage::new(part.width, part.height));
        for (width, height) in (97..700).zip((71..500).cycle()) {
            let downsample = Downsample { x: 3000.0 / f64::from(width), y: 2200.0 / f64::from(height) };
            let level = Level::with_downsample(width, height, downsample);
            for (wide, high) in [(748, 548), (736, 544), (333, 777)] {
                let rect = Level0Rect::new(3000 - i64::from(wide), 2200 - i64::from(high), wide, high);
                let picture = read_from_level(&read, (1, level), &rect, (wide / 4, high / 4), 255, u64::MAX);
                assert_eq!(picture.unwrap().dimensions(), (wide / 4, high / 4));
            }
        }
    }

    fn slide(width: u32, height: u32, um_per_px: Option<f64>) -> SlideInfo {
        SlideInfo {
            id: SlideId("of no file".to_owned()),
            former_ids: Vec::new(),
            path: "slide.svs".into(),
            vendor: "none".to_owned(),
            reader: crate::slide::Reader::OpenSlide,
            levels: vec![Level::finest(width, height)],
            mpp: um_per_px.map(|um| MicronsPerPixel::square(um).unwrap()),
            mpp_source: MppSource::Unknown,
            objective_power: None,
            associated: Vec::new(),
            properties: BTreeMap::new(),
            channels: Vec::new(),
            warnings: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn a_tile_is_found_under_every_point_of_it(
            width in 1_u32..5000,
            height in 1_u32..5000,
            um_per_px in 0.1..3.0_f64,
            tile_px in 32_u32..512,
            (u, v) in (0.0..1.0_f64, 0.0..1.0_f64),
        ) {
            let settings = TileSettings { tile_px, mpp: 1.0 };
            let grid = TileGrid::new(&slide(width, height, Some(um_per_px)), settings).unwrap();
            for tile in grid.tiles() {
                let rect = grid.rect(tile);
                prop_assert_eq!(grid.tile_at(rect.center()), Some(tile));
                let inside = Level0Point::new(
                    rect.x as f64 + u * f64::from(rect.width),
                    rect.y as f64 + v * f64::from(rect.height),
                );
                prop_assert_eq!(grid.tile_at(inside), Some(tile));
            }
            // At the right and at the bottom, less than a tile of the slide is not covered.
            let (right, bottom) = (grid.columns * grid.tile_level0, grid.rows * grid.tile_level0);
            prop_assert!(right <= width && width - right < grid.tile_level0);
            prop_assert!(bottom <= height && height - bottom < grid.tile_level0);
            let beyond = Level0Point::new(f64::from(right), f64::from(bottom));
            prop_assert_eq!(grid.tile_at(beyond), None);
        }
    }

    #[test]
    fn a_coarser_slide_is_read_at_its_own_resolution_and_says_so() {
        let settings = TileSettings::default();
        let fine = TileGrid::new(&slide(10_000, 10_000, Some(0.25)), settings).unwrap();
        assert_eq!((fine.tile_level0, fine.effective_mpp), (896, 1.0));
        assert!(!fine.is_coarser_than(settings));
        let coarse = TileGrid::new(&slide(10_000, 10_000, Some(2.0)), settings).unwrap();
        assert_eq!((coarse.tile_level0, coarse.effective_mpp), (224, 2.0));
        assert!(coarse.is_coarser_than(settings));
    }

    #[test]
    fn tiles_of_pixels_that_are_not_square_are_square_in_microns() {
        let mut info = slide(2048, 3072, None);
        info.mpp = Some(MicronsPerPixel::new(0.5, 0.25).unwrap());
        let grid = TileGrid::new(&info, TileSettings::default()).unwrap();
        assert_eq!((grid.tile_level0, grid.tile_level0_y, grid.effective_mpp), (448, 896, 1.0));
        assert_eq!((grid.columns, grid.rows), (4, 3));
        let last = grid.rect(TileIndex(11));
        assert_eq!(last, Level0Rect::new(3 * 448, 2 * 896, 448, 896));
        assert_eq!(grid.tile_at(last.center()), Some(TileIndex(11)));
        // Never finer than the coarser axis.
        let finest = TileGrid::new(&info, TileSettings { tile_px: 224, mpp: 0.25 }).unwrap();
        assert_eq!((finest.tile_level0, finest.tile_level0_y, finest.effective_mpp), (224, 448, 0.5));
        info.mpp = Some(MicronsPerPixel::new(0.242534722, 0.242647059).unwrap());
        let nearly = TileGrid::new(&info, TileSettings::default()).unwrap();
        assert_eq!(nearly.tile_level0, nearly.tile_level0_y);
    }

    #[test]
    fn without_a_pixel_size_there_is_no_grid() {
        let refused = TileGrid::new(&slide(1000, 1000, None), TileSettings::default());
        assert!(matches!(refused, Err(SlideError::NotCalibrated { .. })));
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("slide.svs") && message.contains("--slide-mpp"), "{message}");
    }

    #[test]
    fn a_slide_smaller_than_a_tile_has_none() {
        let grid = TileGrid::new(&slide(100, 100, Some(1.0)), TileSettings::default()).unwrap();
        assert!(grid.is_empty());
        assert_eq!(grid.tile_at(Level0Point::new(50.0, 50.0)), None);
    }

    /// A region that is read in parts matches the same region read at once.
    #[test]
    fn parts_make_the_same_picture() {
        let slide = crate::slide::test_slide::TestSlide::new(3000, 2200);
        for rect in [Level0Rect::new(0, 0, 3000, 2200), Level0Rect::new(-100, 37, 2901, 2500)] {
            let (width, height) = (rect.width / 24, rect.height / 24);
            let whole = read_rect(&slide, &rect, width, height).unwrap();
            let parts = read_rect_in_parts(&slide, &rect, (width, height), WHITE, 1).unwrap();
            assert_eq!(whole.dimensions(), parts.dimensions());
            let apart = whole.as_raw().iter().zip(parts.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b)));
            let mean = apart.sum::<u64>() as f64 / whole.as_raw().len() as f64;
            assert!(mean < 3.0, "{rect:?}: {mean} grey levels apart");
        }
    }

    /// Light of a fluorescence slide lies on black, also where nothing was scanned; what is embedded does not change.
    #[test]
    fn what_was_not_scanned_is_shown_as_glass_or_in_fluorescence_as_black() {
        use crate::slide::channel::{ChannelDisplay, SlideChannel};
        use crate::slide::test_slide::TestSlide;
        let shown =
            ChannelDisplay { name: "DAPI".into(), colour: [0, 0, 255], visible: true, window: [0.0, 900.0] };
        let channel = SlideChannel { automatic: shown.clone(), shown, values: [0.0, 1000.0] };
        let fluorescence = TestSlide::new(640, 480).with_channels(vec![channel]);
        let outside = Level0Rect::new(-600, -600, 512, 512);
        for (slide, value) in [(TestSlide::new(640, 480), 255), (fluorescence, 0)] {
            let is_all = |picture: RgbImage, value: u8| picture.as_raw().iter().all(|found| *found == value);
            for edge in [512, 100] {
                assert!(is_all(read_rect_as_shown(&slide, &outside, edge, edge).unwrap(), value));
                assert!(is_all(read_tile_as_shown(&slide, &outside, edge).unwrap(), value));
                assert!(is_all(read_tile(&slide, &outside, edge).unwrap(), 255), "as it is embedded");
            }
            let (size, ground) = ((20, 20), slide.info().unscanned_value());
            assert!(
                is_all(read_rect_in_parts(&slide, &outside, size, ground, 1).unwrap(), value),
                "in parts"
            );
        }
    }
}
