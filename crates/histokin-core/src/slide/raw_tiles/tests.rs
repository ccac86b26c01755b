use std::path::PathBuf;

use proptest::prelude::*;

use super::super::dicom::made::{MadeDicom, Table};
use super::super::tiff::made::{MadeTiff, tiff_bytes};
use super::super::{open, open_with_openslide};
use super::read::EIGHTH;
use super::*;

fn written(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("slide.tif");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn region(level: u32, x: i64, y: i64, width: u32, height: u32) -> LevelRect {
    LevelRect { level, x, y, width, height }
}

#[test]
fn every_region_equals_openslides() {
    let folder = tempfile::tempdir().unwrap();
    for is_big in [false, true] {
        let path = written(&folder, &tiff_bytes(&MadeTiff { is_big, ..MadeTiff::default() }));
        let (raw, openslide) = (open(&path, None).unwrap(), open_with_openslide(&path).unwrap());
        assert_eq!((raw.info().reader, openslide.info().reader), (Reader::RawTiles, Reader::OpenSlide));
        assert_eq!(raw.info().id, openslide.info().id);
        assert_eq!(raw.info().properties, openslide.info().properties);
        for level in 0..2 {
            for (x, y, width, height) in [
                (0, 0, 130, 90),
                (-5, -9, 200, 150),
                (47, 47, 2, 2),
                (48, 48, 48, 41),
                (60, 3, 1, 80),
                (300, 0, 4, 4),
            ] {
                let region = region(level, x, y, width, height);
                assert!(raw.read(&region).unwrap() == openslide.read(&region).unwrap(), "{region:?}");
            }
        }
    }
}

#[test]
fn dicom_levels_equal_openslides() {
    for table in [Table::None, Table::Basic, Table::Extended] {
        let folder = tempfile::tempdir().unwrap();
        let level_0 = MadeDicom { table, ..MadeDicom::default() };
        let level_1 = MadeDicom { width: 65, height: 45, instance: "1.2.3.2", ..MadeDicom::default() };
        let label =
            MadeDicom { kind: r"ORIGINAL\PRIMARY\LABEL\NONE", instance: "1.2.3.3", ..MadeDicom::default() };
        for (name, made) in [("b", level_1), ("c", label), ("a", level_0)] {
            std::fs::write(folder.path().join(name), made.bytes()).unwrap();
        }
        let (raw, openslide) =
            (open(folder.path(), None).unwrap(), open_with_openslide(folder.path()).unwrap());
        assert_eq!((raw.info().reader, openslide.info().reader), (Reader::RawTiles, Reader::OpenSlide));
        assert_eq!((raw.info().levels.len(), &raw.info().id), (2, &openslide.info().id));
        for level in 0..2 {
            for (x, y, width, height) in
                [(0, 0, 130, 90), (-5, -9, 200, 150), (47, 47, 2, 2), (48, 48, 48, 41)]
            {
                let region = region(level, x, y, width, height);
                assert!(
                    raw.read(&region).unwrap() == openslide.read(&region).unwrap(),
                    "{table:?} {region:?}"
                );
            }
        }
    }
}

#[test]
fn dicom_tiles_in_several_parts_are_read_through_openslide() {
    let folder = tempfile::tempdir().unwrap();
    let divided = MadeDicom { is_divided: true, table: Table::Basic, ..MadeDicom::default() };
    std::fs::write(folder.path().join("a"), divided.bytes()).unwrap();
    let slide = open(folder.path(), None).unwrap();
    assert_eq!(slide.info().reader, Reader::OpenSlide);
    assert!(slide.read(&region(0, 0, 0, 130, 90)).is_ok());
}

#[test]
fn parts_of_tiles_equal_openslides() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(
        &folder,
        &tiff_bytes(&MadeTiff { width: 700, height: 500, tile: 256, ..MadeTiff::default() }),
    );
    let (raw, openslide) = (open(&path, None).unwrap(), open_with_openslide(&path).unwrap());
    for (x, y, width, height) in
        [(30, 40, 50, 60), (400, 10, 100, 200), (20, 300, 200, 100), (600, 450, 99, 49), (10, 60, 90, 50)]
    {
        let region = region(0, x, y, width, height);
        assert!(raw.read(&region).unwrap() == openslide.read(&region).unwrap(), "{region:?}");
    }
}

#[test]
fn an_eighth_is_about_the_mean_of_the_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &tiff_bytes(&MadeTiff::default()));
    let slide = super::super::openslide::open(&path, None).unwrap().expect("OpenSlide reads it");
    let levels = prove(&slide).unwrap();
    // Whole tiles, up to the slide's edge except for incomplete pixels.
    for (width, height) in [(96, 48), (128, 88)] {
        let region = region(0, 0, 0, width, height);
        let fast = levels.read_reduced(&region, EIGHTH).unwrap();
        let slow = read_in_parts(&|part| slide.read(part), &region, EIGHTH).unwrap();
        assert_eq!(fast.dimensions(), slow.dimensions());
        let apart = fast.as_raw().iter().zip(slow.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        let mean = apart.sum::<f64>() / fast.as_raw().len() as f64;
        assert!(mean < 4.0, "{mean} grey levels apart");
    }
    // Parts of tiles are read at full resolution.
    assert!(levels.read_reduced(&region(0, 8, 0, 88, 48), EIGHTH).is_err());
    assert!(levels.read_reduced(&region(0, 0, 0, 96, 48), 4).is_err());
}

#[test]
fn a_file_that_was_replaced_is_not_read_with_the_old_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &tiff_bytes(&MadeTiff::default()));
    let slide = open(&path, None).unwrap();
    let all = region(0, 0, 0, 130, 90);
    let before = slide.read(&all).unwrap();
    let mut other = tiff_bytes(&MadeTiff::default());
    other.extend_from_slice(b"more");
    std::fs::write(&path, &other).unwrap();
    // A file with different content is a different slide, even if the pixels happen to be equal.
    assert!(slide.read(&all).is_err_and(|error| error.is_unavailable()));
    std::fs::write(&path, b"something else").unwrap();
    // OpenSlide may still return the old pixels from its cache.
    assert!(slide.read(&all).is_err() || slide.read(&all).unwrap() == before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A damaged slide never shows different pixels from OpenSlide's, and whatever OpenSlide can read can
    /// be read. Some tiles that OpenSlide refuses because of damage elsewhere in the file can be decoded.
    #[test]
    fn damage_never_shows_other_pixels_than_openslides(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = tiff_bytes(&MadeTiff::default());
        for (position, byte) in changes {
            let at = position.index(bytes.len());
            bytes[at] = byte;
        }
        let path = written(&folder, &bytes);
        if let (Ok(ours), Ok(theirs)) = (open(&path, None), open_with_openslide(&path))
        {
            for (x, y) in [(0, 0), (48, 0), (96, 0), (0, 48), (48, 48), (96, 48)] {
                let tile = region(0, x, y, 48, 48);
                match (ours.read(&tile), theirs.read(&tile)) {
                    (Ok(a), Ok(b)) => prop_assert!(a == b, "{tile:?}, {:?}", ours.info().reader),
                    (Err(error), Ok(_)) => prop_assert!(false, "{tile:?}, {:?}: {error}", ours.info().reader),
                    (_, Err(_)) => {}
                }
            }
        }
    }
}
