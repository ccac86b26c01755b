//! A mark at a known level-0 position lies there on every level, in every view, however a writer rounds the sizes of
//! its levels; and pixels that are not square are drawn and cut into tiles in square microns.

use std::path::Path;
use std::sync::Arc;

use histokin::geometry::{Level0Rect, LevelRect};
use histokin::pipeline::{render, thumbnail};
use histokin::slide::pyramid::{DisplayPyramid, DisplayTile, SlideKey, TileKey};
use histokin::slide::{self, SlideSource};
use histokin::tiling::{TileGrid, TileSettings, read_tile};
use histokin::tissue::TissueMask;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::support::{Tiles, halved, over_white, write_levels};

const GLASS: Rgb<u8> = Rgb([243, 242, 244]);
const STAIN: Rgb<u8> = Rgb([170, 60, 150]);

/// Edge of a mark in level-0 pixels: 200 µm, which is tissue and still several pixels of the coarsest level.
const MARK: u32 = 400;

/// How a writer makes the next level.
#[derive(Debug, Clone, Copy)]
enum Writer {
    /// Means of 2 × 2 pixels, what is left over cut off: libvips; and Aperio in larger steps.
    CutOff,
    /// Means of 2 × 2 pixels, with a last pixel for what is left over.
    RoundedUp,
    /// The whole picture brought to half its size, rounded: Pillow, scikit-image.
    Resampled,
    /// Cut off, and padded to whole tiles: Philips.
    Padded,
}

fn next_level(level: &RgbImage, writer: Writer) -> RgbImage {
    let (width, height) = level.dimensions();
    match writer {
        Writer::CutOff | Writer::Padded => halved(level),
        Writer::RoundedUp => {
            let mut even = RgbImage::from_pixel(width.next_multiple_of(2), height.next_multiple_of(2), GLASS);
            imageops::replace(&mut even, level, 0, 0);
            halved(&even)
        }
        Writer::Resampled => {
            let half = |px: u32| (f64::from(px) / 2.0).round().max(1.0) as u32;
            imageops::resize(level, half(width), half(height), FilterType::Triangle)
        }
    }
}

/// Glass of `width` × `height` pixels with square marks around `centres`.
fn marked(width: u32, height: u32, centres: &[(u32, u32)], mark: (u32, u32)) -> RgbImage {
    let mut picture = RgbImage::from_pixel(width, height, GLASS);
    for (x, y) in centres {
        let square = RgbImage::from_pixel(mark.0, mark.1, STAIN);
        imageops::replace(
            &mut picture,
            &square,
            i64::from(*x) - i64::from(mark.0 / 2),
            i64::from(*y) - i64::from(mark.1 / 2),
        );
    }
    picture
}

fn is_stain(pixel: [u8; 3]) -> bool {
    pixel[1] < 150
}

/// The middle of the stained pixels of a picture that `place` puts between two level-0 positions; `place` gives the
/// level-0 position of a position in the picture.
fn middle_of_stain(
    picture: &RgbImage,
    place: impl Fn(f64, f64) -> (f64, f64),
    near: (u32, u32),
) -> Option<(f64, f64)> {
    let mut sum = (0.0, 0.0, 0.0);
    for (x, y, pixel) in picture.enumerate_pixels() {
        let at = place(f64::from(x) + 0.5, f64::from(y) + 0.5);
        // Marks are a thousand pixels apart.
        let is_near = (at.0 - f64::from(near.0)).abs() < 500.0 && (at.1 - f64::from(near.1)).abs() < 500.0;
        if is_near {
            // How much of the pixel is stain.
            let part = (f64::from(GLASS.0[1]) - f64::from(pixel.0[1])) / f64::from(GLASS.0[1] - STAIN.0[1]);
            let part = if part < 0.05 { 0.0 } else { part };
            sum = (sum.0 + part * at.0, sum.1 + part * at.1, sum.2 + part);
        }
    }
    (sum.2 > 0.0).then(|| (sum.0 / sum.2, sum.1 / sum.2))
}

/// Assert that every mark is found to `tolerance` level-0 pixels.
fn assert_marks(
    what: &str,
    picture: &RgbImage,
    place: impl Fn(f64, f64) -> (f64, f64) + Copy,
    centres: &[(u32, u32)],
    tolerance: f64,
) {
    for centre in centres {
        let found = middle_of_stain(picture, place, *centre);
        let (x, y) = found.unwrap_or_else(|| panic!("{what}: nothing at {centre:?}"));
        let (dx, dy) = (x - f64::from(centre.0), y - f64::from(centre.1));
        assert!(
            dx.abs() <= tolerance && dy.abs() <= tolerance,
            "{what}: the mark at {centre:?} is {dx:.1}, {dy:.1} level-0 px beside its place ({tolerance:.1} allowed)"
        );
    }
}

fn decode(pyramid: &DisplayPyramid, tile: TileKey) -> DisplayTile {
    pyramid.decode(tile, &mut |finer| Some(Arc::new(decode(pyramid, finer)))).expect("it is not abandoned")
}

/// Every view of a slide shows its marks where they are, to 2 pixels of the level drawn.
fn assert_all_views(what: &str, slide: &Arc<dyn SlideSource>, centres: &[(u32, u32)]) {
    let info = slide.info();
    for (number, level) in (0..).zip(&info.levels) {
        let region = LevelRect { level: number, x: 0, y: 0, width: level.width, height: level.height };
        let picture = over_white(&slide.read(&region).unwrap());
        let place = |x: f64, y: f64| (x * level.downsample.x, y * level.downsample.y);
        let tolerance = 2.0 * level.downsample.x.min(level.downsample.y);
        assert_marks(&format!("{what}, level {number}"), &picture, place, centres, tolerance);
    }
    let pyramid = DisplayPyramid::new(SlideKey(0), slide.clone());
    for (number, level) in (0..).zip(pyramid.levels()) {
        for centre in centres {
            // As the canvas draws tiles: their texels over their span.
            let mut found = (0.0, 0.0, 0.0);
            for row in 0..level.rows() {
                for column in 0..level.columns() {
                    let tile = TileKey { slide: SlideKey(0), level: number, column, row };
                    let (across, down) = pyramid.tile_span(tile);
                    let is_far = |(start, end): (f64, f64), at: u32| {
                        end < f64::from(at) - 600.0 || start > f64::from(at) + 600.0
                    };
                    if is_far(across, centre.0) || is_far(down, centre.1) {
                        continue;
                    }
                    let picture = over_white(&decode(&pyramid, tile).pixels);
                    let texels = |(start, end): (f64, f64), px: u32, scale: f64| {
                        f64::from(px).min((end - start) / scale)
                    };
                    let wide = texels(across, picture.width(), level.downsample.x);
                    let high = texels(down, picture.height(), level.downsample.y);
                    for (x, y, _) in picture.enumerate_pixels().filter(|(_, _, pixel)| is_stain(pixel.0)) {
                        let along = |at: u32, texels: f64, (start, end): (f64, f64)| {
                            start + (f64::from(at) + 0.5) / texels * (end - start)
                        };
                        let at = (along(x, wide, across), along(y, high, down));
                        let is_near = (at.0 - f64::from(centre.0)).abs() < 500.0
                            && (at.1 - f64::from(centre.1)).abs() < 500.0;
                        if is_near {
                            found = (found.0 + at.0, found.1 + at.1, found.2 + 1.0);
                        }
                    }
                }
            }
            assert!(found.2 > 0.0, "{what}, display level {number}: nothing at {centre:?}");
            let (dx, dy) = (found.0 / found.2 - f64::from(centre.0), found.1 / found.2 - f64::from(centre.1));
            let tolerance = 2.0 * level.downsample.mean();
            assert!(
                dx.abs() <= tolerance && dy.abs() <= tolerance,
                "{what}, display level {number}: the mark at {centre:?} is {dx:.1}, {dy:.1} px beside its place"
            );
        }
    }
    let whole = |picture: &RgbImage| {
        let scale = (
            f64::from(info.width()) / f64::from(picture.width()),
            f64::from(info.height()) / f64::from(picture.height()),
        );
        move |x: f64, y: f64| (x * scale.0, y * scale.1)
    };
    for reduction in [1.7, 4.0, 13.0, 40.0, 64.0] {
        let side = |px: u32| (f64::from(px) / reduction).round().max(1.0) as u32;
        let picture =
            render(slide.as_ref(), &info.extent(), side(info.width()), side(info.height())).unwrap();
        let shown = format!("{what}, rendered at 1:{reduction}");
        assert_marks(&shown, &picture, whole(&picture), centres, 2.0 * reduction);
    }
    let small = over_white(&thumbnail(slide.as_ref(), 512).unwrap());
    let reduction = f64::from(info.width().max(info.height())) / 512.0;
    assert_marks(&format!("{what}, thumbnail"), &small, whole(&small), centres, 2.0 * reduction);
    let tissue = TissueMask::of(slide.as_ref()).unwrap();
    let shown = RgbImage::from_fn(tissue.mask.width(), tissue.mask.height(), |x, y| {
        if tissue.mask.get_pixel(x, y).0[0] > 0 { STAIN } else { GLASS }
    });
    let scale = tissue.scale;
    let place = |x: f64, y: f64| (x * scale.0, y * scale.1);
    assert_marks(&format!("{what}, tissue mask"), &shown, place, centres, 2.0 * scale.0.max(scale.1));
}

/// The levels of `picture` as a writer makes them: `step` halvings from one to the next.
fn pyramid(picture: RgbImage, writer: Writer, levels: usize, step: usize) -> Vec<RgbImage> {
    let mut pyramid = vec![picture];
    while pyramid.len() < levels {
        let mut level = pyramid[pyramid.len() - 1].clone();
        for _ in 0..step {
            level = next_level(&level, writer);
        }
        pyramid.push(level);
    }
    if let Writer::Padded = writer {
        const TILE: u32 = crate::support::TILE;
        for level in &mut pyramid {
            let size = (level.width().next_multiple_of(TILE), level.height().next_multiple_of(TILE));
            let mut padded = RgbImage::from_pixel(size.0, size.1, GLASS);
            imageops::replace(&mut padded, level, 0, 0);
            *level = padded;
        }
    }
    pyramid
}

fn check(folder: &Path, writer: Writer, size: (u32, u32), step: usize, kind: Tiles) {
    let (width, height) = size;
    let along = |long: u32| (1..=long / 2000).map(|at| at * 2000 - 700).collect::<Vec<_>>();
    let centres: Vec<(u32, u32)> = match width > height {
        true => along(width).into_iter().map(|x| (x, height / 2)).collect(),
        false => along(height).into_iter().map(|y| (width / 2, y)).collect(),
    };
    // Padded to whole tiles, coarser levels would be of one size.
    let count = if matches!(writer, Writer::Padded) { 5 } else { 1 + 6 / step };
    let levels = pyramid(marked(width, height, &centres, (MARK, MARK)), writer, count, step);
    let path = folder.join("marks.tif");
    write_levels(&path, &levels, Some([0.5, 0.5]), kind);
    let what = format!("{writer:?} {width} × {height}, steps of {}, {kind:?}", 1 << step);
    let slide = slide::open(&path, None).unwrap();
    assert_eq!(slide.info().levels.len(), levels.len(), "{what}");
    assert_all_views(&what, &slide, &centres);
}

#[test]
fn marks_stay_in_place_on_long_thin_slides_whose_sizes_were_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), Writer::CutOff, (9983, 703), 1, Tiles::Uncompressed);
    check(folder.path(), Writer::CutOff, (9983, 703), 2, Tiles::Jpeg);
    check(folder.path(), Writer::CutOff, (703, 8011), 1, Tiles::Jpeg);
}

#[test]
fn marks_stay_in_place_where_sizes_were_rounded_up() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), Writer::RoundedUp, (9983, 703), 1, Tiles::Uncompressed);
    check(folder.path(), Writer::RoundedUp, (705, 6017), 2, Tiles::Jpeg);
}

#[test]
fn marks_stay_in_place_where_levels_were_resampled() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), Writer::Resampled, (9983, 703), 1, Tiles::Uncompressed);
    check(folder.path(), Writer::Resampled, (701, 6017), 1, Tiles::Jpeg);
}

#[test]
fn marks_stay_in_place_where_levels_were_padded_to_whole_tiles() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), Writer::Padded, (6144, 768), 1, Tiles::Uncompressed);
}

/// 0.5 × 0.25 µm: a disc of 300 µm, which is 600 × 1200 pixels.
fn slide_of_long_pixels(path: &Path) -> Arc<dyn SlideSource> {
    let picture = RgbImage::from_fn(2048, 3072, |x, y| {
        let (dx, dy) = ((f64::from(x) - 900.0) * 0.5, (f64::from(y) - 1500.0) * 0.25);
        if dx.hypot(dy) < 150.0 { STAIN } else { GLASS }
    });
    write_levels(path, &pyramid(picture, Writer::CutOff, 4, 1), Some([0.5, 0.25]), Tiles::Jpeg);
    slide::open(path, None).unwrap()
}

/// Width and height of what is stained.
fn extent_of_stain(picture: &RgbImage) -> (f64, f64) {
    let stained = || picture.enumerate_pixels().filter(|(_, _, pixel)| is_stain(pixel.0));
    let extent = |along: fn((u32, u32, &Rgb<u8>)) -> u32| {
        let least = stained().map(along).min().expect("something is stained");
        f64::from(stained().map(along).max().expect("something is stained") - least + 1)
    };
    (extent(|(x, _, _)| x), extent(|(_, y, _)| y))
}

#[test]
fn pixels_that_are_not_square_are_cut_into_square_microns() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide_of_long_pixels(&folder.path().join("long.tif"));
    let mpp = slide.info().mpp.expect("the file says it");
    assert!((mpp.x() - 0.5).abs() < 1e-6 && (mpp.y() - 0.25).abs() < 1e-6, "{mpp:?}");
    let small = over_white(&thumbnail(slide.as_ref(), 512).unwrap());
    assert_eq!(small.dimensions(), (512, 384), "1024 × 768 µm");
    let (wide, high) = extent_of_stain(&small);
    assert!((wide - 150.0).abs() <= 2.0 && (high - 150.0).abs() <= 2.0, "{wide} × {high}");

    let tissue = TissueMask::of(slide.as_ref()).unwrap();
    assert_eq!(tissue.scale, (16.0, 32.0), "8 µm both ways");
    assert_eq!(tissue.mask.dimensions(), (128, 96));

    let grid = TileGrid::new(slide.info(), TileSettings::default()).unwrap();
    assert_eq!((grid.tile_level0, grid.tile_level0_y, grid.columns, grid.rows), (448, 896, 4, 3));
    // 400 × 400 µm around the disc.
    let rect = Level0Rect::new(900 - 400, 1500 - 800, 800, 1600);
    let (wide, high) = extent_of_stain(&read_tile(slide.as_ref(), &rect, 400).unwrap());
    assert!((wide - 300.0).abs() <= 2.0 && (high - 300.0).abs() <= 2.0, "{wide} × {high}");
}

#[cfg(feature = "gui")]
#[test]
fn pixels_that_are_not_square_are_drawn_in_square_microns_however_they_are_turned() {
    use histokin::geometry::Stretch;
    use histokin::ui::{Appearance, Camera, OffscreenPicture, OffscreenRenderer};

    let folder = tempfile::tempdir().unwrap();
    let slide = slide_of_long_pixels(&folder.path().join("long.tif"));
    let stretch = Stretch::of(slide.info().mpp);
    let pyramid = DisplayPyramid::new(SlideKey(0), slide);
    let mut painter = OffscreenRenderer::headless().unwrap();
    for degrees in [0.0, 33.0, 90.0, 200.0_f64] {
        for size in [1600, 400, 100] {
            let camera = Camera {
                stretch,
                rotation: degrees.to_radians(),
                ..Camera::upright(histokin::geometry::Level0Point::new(900.0, 1500.0))
            };
            let still = OffscreenPicture {
                pyramid: &pyramid,
                camera,
                // 400 µm.
                span: (1600.0, 1600.0),
                size: (size, size),
                shading: Appearance::default().shading(None, &histokin::stain::SlideStain::default()),
                profile: None,
                marks: &[],
                annotations: None,
            };
            let picture = painter.draw(&still).unwrap();
            let (wide, high) = extent_of_stain(&picture);
            let disc = f64::from(size) * 0.75;
            assert!(
                (wide - disc).abs() <= 3.0 && (high - disc).abs() <= 3.0,
                "{degrees}° in {size} px: {wide} × {high} instead of {disc}"
            );
        }
    }
}
