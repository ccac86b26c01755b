//! DICOM slides that OpenSlide refuses.

use proptest::prelude::*;

use super::super::super::dicom::made::MadeDicom;
use super::super::super::open_with_openslide;
use super::*;

/// Opens instances in a folder of their own.
fn opened_instances(instances: &[MadeDicom]) -> (tempfile::TempDir, Arc<dyn SlideSource>) {
    let folder = tempfile::tempdir().unwrap();
    for (number, made) in instances.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.dcm")), made.bytes()).unwrap();
    }
    let slide = open(&folder.path().join("0.dcm"), None).unwrap();
    (folder, slide)
}

fn texts(slide: &dyn SlideSource) -> Vec<String> {
    slide.info().warnings.iter().map(|warning| warning.text()).collect()
}

#[test]
fn of_several_focal_planes_the_middle_one_is_shown_and_told() {
    let (_single, wanted) = opened_instances(&[MadeDicom::default()]);
    for has_places in [false, true] {
        let organization = if has_places { "TILED_SPARSE" } else { "TILED_FULL" };
        let fine = MadeDicom { focal_planes: 3, has_places, organization, ..MadeDicom::default() };
        let coarse = MadeDicom {
            width: 65,
            height: 45,
            instance: "1.2.3.2",
            focal_planes: 3,
            has_places,
            organization,
            ..MadeDicom::default()
        };
        let label = MadeDicom {
            kind: r"ORIGINAL\PRIMARY\LABEL\NONE",
            instance: "1.2.3.3",
            width: 48,
            height: 48,
            ..MadeDicom::default()
        };
        let (folder, slide) = opened_instances(&[fine, coarse, label]);
        let info = slide.info();
        assert!(
            open_with_openslide(&folder.path().join("0.dcm"))
                .is_ok_and(|slide| slide.info().reader == Reader::Tiff)
        );
        assert_eq!((info.vendor.as_str(), info.levels.len()), ("dicom", 2));
        assert!(info.mpp.is_some_and(|mpp| (mpp.x() - 0.25).abs() < 1e-6), "{:?}", info.mpp);
        assert!(texts(slide.as_ref()).iter().any(|text| text.contains("3 focal planes")));
        assert!(whole(slide.as_ref(), 0) == whole(wanted.as_ref(), 0), "{organization}");
        assert_eq!(info.associated, ["label"]);
        assert_eq!(slide.associated("label").unwrap().dimensions(), (48, 48));
    }
}

#[test]
fn optical_paths_of_grey_values_are_channels() {
    let one = MadeDicom { grey_paths: 1, photometric: "MONOCHROME2", ..MadeDicom::default() };
    let (_folder, slide) = opened_instances(&[one]);
    assert!(slide.info().channels.is_empty());
    // The values use 14 bits.
    let shade = |x: u32, y: u32| (MadeDicom::grey(0, (x, y)) >> 6) as u8;
    let pixels = whole(slide.as_ref(), 0);
    for (x, y) in [(0, 0), (129, 0), (100, 89), (48, 48)] {
        assert!(pixels.get_pixel(x, y).0[0].abs_diff(shade(x, y)) <= 1, "{x}, {y}");
    }
    let two = MadeDicom { grey_paths: 2, photometric: "MONOCHROME2", ..MadeDicom::default() };
    let (_folder, slide) = opened_instances(&[two]);
    let names: Vec<&str> = slide.info().channels.iter().map(|channel| channel.shown.name.as_str()).collect();
    assert_eq!(names, ["dye 0", "dye 1"]);
    // In instances of their own they are the same.
    let separate = ["1.2.3.1", "1.2.3.2"].map(|instance| MadeDicom {
        grey_paths: 1,
        photometric: "MONOCHROME2",
        instance,
        ..MadeDicom::default()
    });
    let (_folder, slide) = opened_instances(&separate);
    assert_eq!(slide.info().channels.len(), 2);
    let sizes: Vec<(u32, u32)> =
        slide.info().levels.iter().map(|level| (level.width, level.height)).collect();
    assert_eq!(sizes, [(130, 90)]);
}

proptest! {
    #[test]
    fn damaged_instances_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        has_places in any::<bool>(),
        is_grey in any::<bool>(),
    ) {
        let made = MadeDicom {
            focal_planes: if is_grey { 1 } else { 3 },
            has_places: has_places && !is_grey,
            grey_paths: if is_grey { 2 } else { 0 },
            photometric: if is_grey { "MONOCHROME2" } else { "YBR_FULL_422" },
            ..MadeDicom::default()
        };
        let mut bytes = made.bytes();
        for (position, byte) in changes {
            let at = position.index(bytes.len().min(4000));
            bytes[at] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dcm");
        std::fs::write(&path, bytes).unwrap();
        // It must not panic.
        if let Ok(file) = super::super::dicom::read(&path)
            && let Ok(source) = super::super::TiffSource::open(&path, file, None, &super::super::super::OpenSettings::default())
        {
            let _ = source.read(&LevelRect { level: 0, x: 0, y: 0, width: 64, height: 64 });
        }
    }
}
