//! The pyramid as it is drawn: a slide's stored levels, with halved ones where steps are missing, cut into
//! display tiles of [`DISPLAY_TILE_PX`] pixels.
//!
//! Slides have between one and about twelve levels, in steps of 2, 3 or 4. For drawing, each level should be
//! about half as fine as the previous one, down to a last level that is a single tile. Missing levels are
//! made from the next finer display level by averaging 2 × 2 pixels. Level 0 always consists of the slide's
//! unmodified pixels. This module is independent of the screen and of threads.

use std::sync::Arc;

use image::{Rgba, RgbaImage};

use super::{Level, SlideError, SlideInfo, SlideSource};
use crate::geometry::{Downsample, Level0Rect, LevelRect};

/// Edge of a display tile in pixels of its level; tiles at the right and bottom edges keep their true extent.
pub const DISPLAY_TILE_PX: u32 = 512;

/// Edge of the cell that one sample represents in a [preview](DisplayPyramid::preview), in pixels of the root
/// tile.
const PREVIEW_CELL_PX: u32 = 16;
/// Edge of a sample in pixels: small, so that few samples lie on more than one stored tile.
const PREVIEW_SAMPLE_PX: u32 = 8;

/// Number of stored tiles from which one tile of a computed level is made.
const COMPUTED_FROM_TILES: u64 = 64;

/// Number of an open slide, assigned when it is opened and unique while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlideKey(pub u32);

/// Identifies one display tile of one open slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileKey {
    /// The slide.
    pub slide: SlideKey,
    /// Index of the display level; 0 holds the slide's own finest pixels.
    pub level: u32,
    /// Column of the tile on its level, from 0 at the left.
    pub column: u32,
    /// Row of the tile on its level, from 0 at the top.
    pub row: u32,
}

/// Where the pixels of a display level come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LevelOrigin {
    /// Stored in the file as this level.
    Stored(u32),
    /// Computed by the source as this level, see [`SlideSource::computed_levels`].
    Computed(u32),
    /// The next finer display level, halved.
    Halved,
}

/// One level of a [`DisplayPyramid`].
#[derive(Debug, Clone, Copy)]
pub struct DisplayLevel {
    /// Width in pixels of this level.
    pub width: u32,
    /// Height in pixels of this level.
    pub height: u32,
    /// Level-0 pixels that one pixel of this level spans, along each axis.
    pub downsample: Downsample,
    origin: LevelOrigin,
}

impl DisplayLevel {
    /// Number of columns of display tiles.
    pub fn columns(&self) -> u32 {
        self.width.div_ceil(DISPLAY_TILE_PX)
    }

    /// Number of rows of display tiles.
    pub fn rows(&self) -> u32 {
        self.height.div_ceil(DISPLAY_TILE_PX)
    }
}

/// A part of a display tile that could not be read from the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The level-0 pixels that are missing.
    pub rect: Level0Rect,
    /// Error message, for display.
    pub reason: String,
    /// Whether the whole slide is unavailable at present and may become readable later.
    pub is_unavailable: bool,
}

/// Pixels of one display tile: 8-bit sRGB with straight alpha, transparent where nothing was scanned.
#[derive(Debug, Clone)]
pub struct DisplayTile {
    /// Empty (0 × 0) if no part of the tile could be read.
    pub pixels: RgbaImage,
    /// Parts that could not be read; empty for a complete tile.
    pub gaps: Vec<Gap>,
}

impl DisplayTile {
    /// Memory used by the pixels, in bytes.
    pub fn bytes(&self) -> usize {
        self.pixels.as_raw().len()
    }
}

/// A slide divided into display levels and display tiles.
pub struct DisplayPyramid {
    key: SlideKey,
    source: Arc<dyn SlideSource>,
    levels: Vec<DisplayLevel>,
}

impl DisplayPyramid {
    /// Builds the display levels of `source`, which is identified by `key` in the keys of tiles.
    pub fn new(key: SlideKey, source: Arc<dyn SlideSource>) -> Self {
        let levels = display_levels(source.info(), source.computed_levels());
        Self { key, source, levels }
    }

    /// Number of the slide.
    pub fn key(&self) -> SlideKey {
        self.key
    }

    /// Source of the slide's pixels.
    pub fn source(&self) -> &Arc<dyn SlideSource> {
        &self.source
    }

    /// Display levels, finest first, each about half as fine as the previous one; the last one is a single
    /// tile.
    pub fn levels(&self) -> &[DisplayLevel] {
        &self.levels
    }

    /// The single tile that shows the whole slide.
    pub fn root(&self) -> TileKey {
        TileKey { slide: self.key, level: self.levels.len() as u32 - 1, column: 0, row: 0 }
    }

    /// Returns the coarsest level that still has at least as many pixels as the screen, at `zooms` screen
    /// pixels per level-0 pixel across and down. A tolerance of 1 % allows for rounded level sizes.
    pub fn level_for_zooms(&self, zooms: (f64, f64)) -> u32 {
        // For pixels that are not square on the screen, the mean of both axes counts, so that no more tiles
        // are needed than for square ones.
        let fine_enough = |level: &DisplayLevel| {
            let (across, down) = (level.downsample.x * zooms.0, level.downsample.y * zooms.1);
            (if zooms.0 == zooms.1 { across.max(down) } else { (across * down).sqrt() }) <= 1.01
        };
        self.levels.iter().rposition(fine_enough).unwrap_or(0) as u32
    }

    /// Number of stored tiles that have to be decoded for one tile of `level`.
    pub fn tiles_decoded_for(&self, level: u32) -> u64 {
        let finer = self.levels[..=level as usize].iter().rev();
        let halvings = finer.take_while(|level| level.origin == LevelOrigin::Halved).count();
        let halved_from = &self.levels[level as usize - halvings];
        let each = match halved_from.origin {
            LevelOrigin::Computed(_) if !self.source.computed_is_cached() => COMPUTED_FROM_TILES,
            _ => 1,
        };
        4u64.saturating_pow(halvings as u32).saturating_mul(each)
    }

    /// Extent (width, height) of a tile in pixels of its level.
    fn tile_extent(&self, tile: TileKey) -> (u32, u32) {
        let level = &self.levels[tile.level as usize];
        let extent =
            |index: u32, whole: u32| whole.saturating_sub(index * DISPLAY_TILE_PX).min(DISPLAY_TILE_PX);
        (extent(tile.column, level.width), extent(tile.row, level.height))
    }

    /// Start and end of a tile on level 0, across and down, in level-0 pixels. Levels with rounded sizes end
    /// slightly before or beyond the edge of the slide: their last tiles are taken to end exactly at the
    /// edge. A level that is short by more than one of its pixels is not stretched.
    pub fn tile_span(&self, tile: TileKey) -> ((f64, f64), (f64, f64)) {
        let level = &self.levels[tile.level as usize];
        let span = |index: u32, count: u32, size: u32, downsample: f64, whole: u32| {
            let edge = f64::from(DISPLAY_TILE_PX) * downsample;
            let (start, whole) = (f64::from(index) * edge, f64::from(whole));
            if index + 1 < count {
                return (start, start + edge);
            }
            let reached = f64::from(size) * downsample;
            (start, if reached + downsample > whole { whole } else { reached })
        };
        let whole = &self.levels[0];
        let Downsample { x, y } = level.downsample;
        (
            span(tile.column, level.columns(), level.width, x, whole.width),
            span(tile.row, level.rows(), level.height, y, whole.height),
        )
    }

    /// The level-0 pixels that a tile shows, rounded outwards.
    pub fn tile_rect(&self, tile: TileKey) -> Level0Rect {
        let (across, down) = self.tile_span(tile);
        let whole = |(start, end): (f64, f64)| (start.floor(), (end.ceil() - start.floor()).max(1.0) as u32);
        let ((x, width), (y, height)) = (whole(across), whole(down));
        Level0Rect::new(x as i64, y as i64, width, height)
    }

    /// Decodes one tile. The finer tiles of which a halved tile is made are requested through `finer`, so
    /// that the caller can cache them. If `finer` returns `None`, decoding is abandoned and `None` is
    /// returned.
    pub fn decode(
        &self,
        tile: TileKey,
        finer: &mut dyn FnMut(TileKey) -> Option<Arc<DisplayTile>>,
    ) -> Option<DisplayTile> {
        match self.levels[tile.level as usize].origin {
            LevelOrigin::Stored(stored) => {
                Some(self.read_level(tile, stored, &|region| self.source.read(region)))
            }
            LevelOrigin::Computed(computed) => {
                Some(self.read_level(tile, computed, &|region| self.source.read_computed(region)))
            }
            LevelOrigin::Halved => self.halve(tile, finer),
        }
    }

    /// Returns a coarse preview of the whole slide, made from small samples, for when its root tile takes
    /// long to decode. It has the extent of the root tile; parts that could not be read are transparent.
    /// Returns `None` as soon as `is_wanted` returns false.
    pub fn preview(&self, is_wanted: &dyn Fn() -> bool) -> Option<DisplayTile> {
        let (width, height) = self.tile_extent(self.root());
        let (columns, rows) = (width.div_ceil(PREVIEW_CELL_PX), height.div_ceil(PREVIEW_CELL_PX));
        let (stored, level) = self.levels.iter().rev().find_map(|level| match level.origin {
            LevelOrigin::Stored(index) => Some((level, index)),
            LevelOrigin::Computed(_) | LevelOrigin::Halved => None,
        })?;
        let mut cells = RgbaImage::new(columns, rows);
        for row in 0..rows {
            if !is_wanted() {
                return None;
            }
            for column in 0..columns {
                let start = |index: u32, cells: u32, whole: u32| {
                    let middle = (f64::from(index) + 0.5) / f64::from(cells) * f64::from(whole);
                    middle as i64 - i64::from(PREVIEW_SAMPLE_PX / 2)
                };
                let region = LevelRect {
                    level,
                    x: start(column, columns, stored.width),
                    y: start(row, rows, stored.height),
                    width: PREVIEW_SAMPLE_PX,
                    height: PREVIEW_SAMPLE_PX,
                };
                if let Ok(sample) = self.source.read(&region) {
                    cells.put_pixel(column, row, Rgba(mean(&sample)));
                }
            }
        }
        let pixels = image::imageops::resize(&cells, width, height, image::imageops::FilterType::Triangle);
        Some(DisplayTile { pixels, gaps: Vec::new() })
    }

    fn read_level(
        &self,
        tile: TileKey,
        level: u32,
        read: &dyn Fn(&LevelRect) -> Result<RgbaImage, SlideError>,
    ) -> DisplayTile {
        let (width, height) = self.tile_extent(tile);
        let start = |index: u32| i64::from(index * DISPLAY_TILE_PX);
        let region = LevelRect { level, x: start(tile.column), y: start(tile.row), width, height };
        match read(&region) {
            Ok(pixels) => DisplayTile { pixels, gaps: Vec::new() },
            Err(error) => DisplayTile {
                pixels: RgbaImage::new(0, 0),
                gaps: vec![Gap {
                    rect: self.tile_rect(tile),
                    reason: error.to_string(),
                    is_unavailable: error.is_unavailable(),
                }],
            },
        }
    }

    fn halve(
        &self,
        tile: TileKey,
        finer: &mut dyn FnMut(TileKey) -> Option<Arc<DisplayTile>>,
    ) -> Option<DisplayTile> {
        let (width, height) = self.tile_extent(tile);
        let finer_level = &self.levels[tile.level as usize - 1];
        let mut whole = DisplayTile { pixels: RgbaImage::new(width, height), gaps: Vec::new() };
        let mut readable = 0;
        for (down, across) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (column, row) = (tile.column * 2 + across, tile.row * 2 + down);
            if column >= finer_level.columns() || row >= finer_level.rows() {
                continue;
            }
            let quarter = finer(TileKey { slide: self.key, level: tile.level - 1, column, row })?;
            whole.gaps.extend_from_slice(&quarter.gaps);
            if !quarter.pixels.is_empty() {
                let half = DISPLAY_TILE_PX / 2;
                halve_into(&quarter.pixels, &mut whole.pixels, across * half, down * half);
                readable += 1;
            }
        }
        if readable == 0 {
            whole.pixels = RgbaImage::new(0, 0);
        }
        Some(whole)
    }
}

/// Returns the mean colour of an image, weighted by alpha.
fn mean(picture: &RgbaImage) -> [u8; 4] {
    let mut sums = [0_u64; 4];
    for pixel in picture.pixels() {
        let alpha = u64::from(pixel.0[3]);
        (0..3).for_each(|channel| sums[channel] += u64::from(pixel.0[channel]) * alpha);
        sums[3] += alpha;
    }
    let count = u64::from(picture.width() * picture.height()).max(1);
    let channel = |sum: u64| (sum / sums[3].max(1)) as u8;
    [channel(sums[0]), channel(sums[1]), channel(sums[2]), (sums[3] / count) as u8]
}

/// Combines stored and `computed` levels, inserting halved ones where a step is wider than about 3, and after
/// the last one until everything fits into one tile.
fn display_levels(info: &SlideInfo, computed: &[Level]) -> Vec<DisplayLevel> {
    let numbered = |levels: &[Level], origin: fn(u32) -> LevelOrigin| -> Vec<(Level, LevelOrigin)> {
        levels.iter().zip(0..).map(|(level, index)| (*level, origin(index))).collect()
    };
    let mut known = numbered(&info.levels, LevelOrigin::Stored);
    known.extend(numbered(computed, LevelOrigin::Computed));
    known.sort_by(|(a, _), (b, _)| a.downsample.mean().total_cmp(&b.downsample.mean()));
    let mut levels: Vec<DisplayLevel> = Vec::new();
    for (level, origin) in known {
        while let Some(last) = levels.last()
            && last.downsample.mean() * 2.0 < level.downsample.mean() * 0.6
        {
            levels.push(halved(last));
        }
        // The part of a padded level beyond the slide's edge does not belong to the slide.
        let on_slide = |size: u32, whole: u32, downsample: f64| {
            size.min((f64::from(whole) / downsample).ceil().max(1.0) as u32)
        };
        let width = on_slide(level.width, info.width(), level.downsample.x);
        let height = on_slide(level.height, info.height(), level.downsample.y);
        levels.push(DisplayLevel { width, height, downsample: level.downsample, origin });
        if width.max(height) <= DISPLAY_TILE_PX {
            break;
        }
    }
    while let Some(last) = levels.last()
        && last.width.max(last.height) > DISPLAY_TILE_PX
    {
        levels.push(halved(last));
    }
    levels
}

fn halved(finer: &DisplayLevel) -> DisplayLevel {
    DisplayLevel {
        width: finer.width.div_ceil(2),
        height: finer.height.div_ceil(2),
        downsample: Downsample { x: finer.downsample.x * 2.0, y: finer.downsample.y * 2.0 },
        origin: LevelOrigin::Halved,
    }
}

/// Averages 2 × 2 pixels of `fine` into `coarse`, starting at (`left`, `top`). At an odd right or bottom edge
/// only the existing pixels are averaged.
fn halve_into(fine: &RgbaImage, coarse: &mut RgbaImage, left: u32, top: u32) {
    let (width, height) = fine.dimensions();
    let stride = width as usize * 4;
    let source = fine.as_raw();
    for y in 0..height.div_ceil(2).min(coarse.height() - top) {
        let upper = 2 * y as usize * stride;
        let lower = if 2 * y + 1 < height { upper + stride } else { upper };
        for x in 0..width.div_ceil(2).min(coarse.width() - left) {
            let first = 2 * x as usize * 4;
            let second = if 2 * x + 1 < width { first + 4 } else { first };
            let four = [upper + first, upper + second, lower + first, lower + second]
                .map(|at| [source[at], source[at + 1], source[at + 2], source[at + 3]]);
            coarse.put_pixel(left + x, top + y, Rgba(average(four)));
        }
    }
}

/// Returns the mean of four pixels with straight alpha; colours are weighted by alpha.
fn average(four: [[u8; 4]; 4]) -> [u8; 4] {
    let sum_alpha: u32 = four.iter().map(|pixel| u32::from(pixel[3])).sum();
    if sum_alpha == 0 {
        return [0; 4];
    }
    let channel = |index: usize| {
        let weighted: u32 = four.iter().map(|pixel| u32::from(pixel[index]) * u32::from(pixel[3])).sum();
        ((weighted + sum_alpha / 2) / sum_alpha) as u8
    };
    [channel(0), channel(1), channel(2), ((sum_alpha + 2) / 4) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slide::test_slide::TestSlide;

    /// Red increases to the right and green downwards.
    struct SmoothSlide(TestSlide);

    impl SlideSource for SmoothSlide {
        fn info(&self) -> &SlideInfo {
            self.0.info()
        }

        fn read(&self, region: &LevelRect) -> Result<RgbaImage, crate::slide::SlideError> {
            let shade = |at: i64, whole: u32| (at * 250 / i64::from(whole)) as u8;
            Ok(RgbaImage::from_fn(region.width, region.height, |x, y| {
                let (x, y) = (region.x + i64::from(x), region.y + i64::from(y));
                Rgba([shade(x, self.info().width()), shade(y, self.info().height()), 90, 255])
            }))
        }

        fn associated(&self, name: &str) -> Result<RgbaImage, crate::slide::SlideError> {
            self.0.associated(name)
        }
    }

    fn decode_all(pyramid: &DisplayPyramid, tile: TileKey) -> DisplayTile {
        pyramid
            .decode(tile, &mut |finer| Some(Arc::new(decode_all(pyramid, finer))))
            .expect("never abandoned")
    }

    fn pyramid(slide: TestSlide) -> DisplayPyramid {
        DisplayPyramid::new(SlideKey(1), Arc::new(slide))
    }

    #[test]
    fn one_stored_level_is_halved_down_to_a_single_tile() {
        let pyramid = pyramid(TestSlide::new(3001, 1100));
        let sizes: Vec<_> = pyramid.levels().iter().map(|level| (level.width, level.height)).collect();
        assert_eq!(sizes, [(3001, 1100), (1501, 550), (751, 275), (376, 138)]);
        assert_eq!(pyramid.root().level, 3);
        assert_eq!(pyramid.tiles_decoded_for(0), 1);
        assert_eq!(pyramid.tiles_decoded_for(3), 64);
    }

    #[test]
    fn wide_steps_are_filled_and_stored_levels_kept() {
        let pyramid = pyramid(TestSlide::new(8192, 8192).with_levels(&[1.0, 4.0, 16.0]));
        let downsamples: Vec<_> = pyramid.levels().iter().map(|level| level.downsample.mean()).collect();
        assert_eq!(downsamples, [1.0, 2.0, 4.0, 8.0, 16.0]);
        assert_eq!(pyramid.tiles_decoded_for(3), 4);
        assert_eq!(pyramid.tiles_decoded_for(4), 1);
        for (zoom, level) in [(7.0, 0), (1.0, 0), (0.6, 0), (0.5, 1), (0.26, 1), (0.2, 2), (0.001, 4)] {
            assert_eq!(pyramid.level_for_zooms((zoom, zoom)), level, "at zoom {zoom}");
        }
    }

    #[test]
    fn level_0_is_the_slides_own_pixels_with_true_edges() {
        let slide = TestSlide::new(700, 530);
        let expected = slide.pixels();
        let pyramid = pyramid(slide);
        let tile = TileKey { slide: SlideKey(1), level: 0, column: 1, row: 1 };
        let decoded = decode_all(&pyramid, tile);
        assert_eq!(decoded.pixels.dimensions(), (188, 18));
        for (x, y, pixel) in decoded.pixels.enumerate_pixels() {
            assert_eq!(pixel, expected.get_pixel(512 + x, 512 + y));
        }
    }

    #[test]
    fn halving_averages_across_tile_borders_and_at_odd_edges() {
        let slide = TestSlide::new(1025, 515);
        let fine = slide.pixels();
        let pyramid = pyramid(slide);
        let tile = TileKey { slide: SlideKey(1), level: 1, column: 1, row: 0 };
        let decoded = decode_all(&pyramid, tile).pixels;
        assert_eq!(decoded.dimensions(), (1, 258));
        let mean = |a: u8, b: u8| ((u32::from(a) * 2 + u32::from(b) * 2 + 2) / 4) as u8;
        let (above, below) = (fine.get_pixel(1024, 4), fine.get_pixel(1024, 5));
        assert_eq!(decoded.get_pixel(0, 2)[0], mean(above[0], below[0]));
        assert_eq!(decoded.get_pixel(0, 257), fine.get_pixel(1024, 514));
    }

    #[test]
    fn transparent_pixels_lend_no_colour() {
        let opaque = [200, 100, 50, 255];
        let empty = [0, 0, 0, 0];
        assert_eq!(average([opaque, empty, empty, empty]), [200, 100, 50, 64]);
        assert_eq!(average([empty; 4]), [0; 4]);
    }

    #[test]
    fn what_cannot_be_read_is_a_gap_with_its_reason_and_the_rest_is_shown() {
        let pyramid = pyramid(TestSlide::new(1000, 400).with_unreadable(600, 100));
        let tile = decode_all(&pyramid, pyramid.root());
        assert_eq!(tile.gaps.len(), 1);
        assert_eq!(tile.gaps[0].rect, Level0Rect::new(512, 0, 488, 400));
        assert!(tile.gaps[0].reason.contains("test damage"), "{}", tile.gaps[0].reason);
        assert_eq!(tile.pixels.get_pixel(10, 10)[3], 255);
        assert_eq!(tile.pixels.get_pixel(400, 10)[3], 0);
        let damaged = TileKey { slide: SlideKey(1), level: 0, column: 1, row: 0 };
        assert!(decode_all(&pyramid, damaged).pixels.is_empty());
    }

    #[test]
    fn a_preview_is_like_the_root_but_coarse() {
        let slide = SmoothSlide(TestSlide::new(9000, 6000));
        let pyramid = DisplayPyramid::new(SlideKey(1), Arc::new(slide));
        let preview = pyramid.preview(&|| true).expect("it is wanted").pixels;
        let root = decode_all(&pyramid, pyramid.root()).pixels;
        assert_eq!(preview.dimensions(), root.dimensions());
        // A cell spans 16 of 282 pixels and the same fraction of 250 grey levels.
        for (preview, root) in preview.pixels().zip(root.pixels()) {
            assert!((0..4).all(|channel| preview.0[channel].abs_diff(root.0[channel]) <= 20));
        }
        assert!(pyramid.preview(&|| false).is_none());
    }

    #[test]
    fn abandoned_work_gives_no_tile() {
        let pyramid = pyramid(TestSlide::new(3000, 3000));
        assert!(pyramid.decode(pyramid.root(), &mut |_| None).is_none());
    }

    #[test]
    fn tiles_of_every_level_cover_the_slide_whatever_its_size_was_rounded_to() {
        let pyramid = pyramid(TestSlide::new(5000, 3333).with_levels(&[1.0, 2.5, 16.0]));
        assert!(pyramid.levels().len() > 3);
        for (index, level) in pyramid.levels().iter().enumerate() {
            let tile = |column, row| TileKey { slide: SlideKey(1), level: index as u32, column, row };
            let mut reached = (0.0, 0.0);
            for column in 0..level.columns() {
                let ((start, end), _) = pyramid.tile_span(tile(column, 0));
                assert_eq!(start, reached.0);
                reached.0 = end;
            }
            for row in 0..level.rows() {
                let (_, (start, end)) = pyramid.tile_span(tile(0, row));
                assert_eq!(start, reached.1);
                reached.1 = end;
            }
            assert_eq!(reached, (5000.0, 3333.0), "level {index}");
        }
    }
}
