//! Tiles decoded without OpenSlide equal OpenSlide's, on every slide there is.

use std::path::{Path, PathBuf};

use histokin::geometry::LevelRect;
use histokin::slide::{self, Reader};

use crate::support::{asset, shared_data};

/// Tiles of level 0 that are compared on slides with more.
const TILES_COMPARED: u32 = 150;

fn slides_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_slide = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "tif" || ending == "svs");
    let mut slides: Vec<PathBuf> = entries.filter(is_slide).collect();
    slides.sort();
    assert!(!slides.is_empty(), "no slide in {}", folder.display());
    slides
}

/// Compare level 0 with OpenSlide's in regions that lie across the file's own tiles.
fn compare_level_0(path: &Path) {
    let shown = path.display();
    let (ours, theirs) = (slide::open(path, None).unwrap(), slide::open_with_openslide(path).unwrap());
    assert_eq!(ours.info().reader, Reader::RawTiles, "{shown}");
    assert_eq!(ours.info().id, theirs.info().id, "{shown}");
    const EDGE: u32 = 300;
    let (columns, rows) = (ours.info().width().div_ceil(EDGE), ours.info().height().div_ceil(EDGE));
    let step = (columns * rows / TILES_COMPARED).max(1);
    let mut colours = std::collections::HashSet::new();
    for number in (0..columns * rows).step_by(step as usize) {
        let (x, y) = (number % columns * EDGE, number / columns * EDGE);
        let region = LevelRect { level: 0, x: x.into(), y: y.into(), width: EDGE, height: EDGE };
        let pixels = ours.read(&region).unwrap();
        assert!(pixels == theirs.read(&region).unwrap(), "{shown} at {x}, {y}");
        colours.extend(pixels.pixels().step_by(97).copied());
    }
    assert!(colours.len() > 100, "{shown} is no picture of tissue");
}

/// Lower levels are the file's own pixels, which OpenSlide shifts by parts of a pixel: the mean difference
/// stays small, and would not if the place were wrong.
fn compare_lower_levels(path: &Path) {
    let (ours, theirs) = (slide::open(path, None).unwrap(), slide::open_with_openslide(path).unwrap());
    for (index, level) in ours.info().levels.iter().enumerate().skip(1) {
        let (width, height) = (level.width.min(700), level.height.min(700));
        let (x, y) = (i64::from((level.width - width) / 2), i64::from((level.height - height) / 2));
        let region = LevelRect { level: index as u32, x, y, width, height };
        let (a, b) = (ours.read(&region).unwrap(), theirs.read(&region).unwrap());
        let inner = |x: u32, y: u32| x > 1 && y > 1 && x + 2 < width && y + 2 < height;
        let sums = a
            .enumerate_pixels()
            .zip(b.pixels())
            .filter(|((x, y, _), _)| inner(*x, *y))
            .map(|((_, _, a), b)| (0..3).map(|c| u64::from(a.0[c].abs_diff(b.0[c]))).sum::<u64>());
        let mean = sums.sum::<u64>() as f64 / f64::from(width * height * 3);
        println!(
            "{} level {index}, 1 : {:.4}: {mean:.3} grey levels",
            path.display(),
            level.downsample.mean()
        );
        let whole = ours.info().extent();
        let is_divided =
            whole.width % level.width == 0 && whole.width / level.width * level.height == whole.height;
        if is_divided {
            assert_eq!(mean, 0.0, "{} level {index}", path.display());
        }
        assert!(mean < 4.0, "{} level {index}: {mean}", path.display());
    }
}

#[test]
fn the_slides_that_ship_are_read_as_openslide_reads_them() {
    for path in slides_in(&asset("slides")) {
        compare_level_0(&path);
        compare_lower_levels(&path);
    }
}

#[test]
fn the_shared_slides_are_read_as_openslide_reads_them() {
    for folder in ["wsi", "wsi_1um"] {
        let Some(folder) = shared_data(folder) else { return };
        for path in slides_in(&folder) {
            compare_level_0(&path);
            compare_lower_levels(&path);
        }
    }
}

#[test]
fn what_is_not_plain_jpeg_tiles_stays_with_openslide() {
    let Some(folder) = shared_data("formats") else { return };
    for (name, reader) in [
        ("cmu-1-small-region.svs", Reader::RawTiles),
        ("tcga-cr-7395-01a-01-ts1.svs", Reader::OpenSlide),
        ("highdicom_sm_image.dcm", Reader::OpenSlide),
        ("openslide-python/boxes.tiff", Reader::Tiff),
        ("openslide-python/small.svs", Reader::RawTiles),
        ("openslide-python/unreadable.svs", Reader::OpenSlide),
        ("kidney-48-5.tif", Reader::Tiff),
    ] {
        assert_eq!(slide::open(&folder.join(name), None).unwrap().info().reader, reader, "{name}");
    }
}

/// A file cut short opens and shows what is left, or says why not; what is gone is an error, never blank.
#[test]
fn cut_files_are_refused_where_they_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.svs");
    let whole = std::fs::read(asset("slides/CMU-1-Small-Region.svs")).unwrap();
    let original = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    for share in [0.02, 0.3, 0.6, 0.9, 0.999] {
        std::fs::write(&path, &whole[..(whole.len() as f64 * share) as usize]).unwrap();
        let Ok(cut) = slide::open(&path, None) else { continue };
        if cut.info().reader == Reader::Picture {
            continue; // OpenSlide no longer knows it as a slide; another decoder shows what is left.
        }
        for (x, y) in [(0, 0), (960, 960), (1680, 2640)] {
            let region = LevelRect { level: 0, x, y, width: 240, height: 240 };
            match cut.read(&region) {
                Ok(pixels) => assert!(pixels == original.read(&region).unwrap(), "{share}: {x}, {y}"),
                Err(error) => assert!(error.to_string().contains("cut.svs"), "{error}"),
            }
        }
    }
}

/// Bytes of one tile overwritten: that tile is an error with its reason, its neighbours are as before.
#[test]
fn one_damaged_tile_is_an_error_and_its_neighbours_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.svs");
    let sound = asset("slides/CMU-1-Small-Region.svs");
    let mut bytes = std::fs::read(&sound).unwrap();
    // Tiles come one after the other; each begins with a start-of-image marker and tables are elsewhere.
    let starts: Vec<usize> =
        bytes.windows(3).enumerate().filter(|(_, w)| *w == [0xff, 0xd8, 0xff]).map(|(at, _)| at).collect();
    let damaged = starts[47];
    bytes[damaged..damaged + 40].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let (slide, original) = (slide::open(&path, None).unwrap(), slide::open(&sound, None).unwrap());
    let tile = |number: i64| LevelRect {
        level: 0,
        x: number % 10 * 240,
        y: number / 10 * 240,
        width: 240,
        height: 240,
    };
    let failed: Vec<i64> = (0..130).filter(|number| slide.read(&tile(*number)).is_err()).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    for neighbour in [failed[0] - 1, failed[0] + 1] {
        assert!(slide.read(&tile(neighbour)).unwrap() == original.read(&tile(neighbour)).unwrap());
    }
}
