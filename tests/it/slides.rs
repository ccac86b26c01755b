//! Every kind of slide file opens, or fails with its reason in one line.

use std::path::Path;
use std::sync::Arc;

use histokin::geometry::{Level0Point, Level0Rect, LevelRect, MicronsPerPixel};
use histokin::pipeline::find_slides;
use histokin::slide::{self, MppSource, SlideSource};
use histokin::tiling::{TileGrid, TileIndex, TileSettings, read_tile};
use image::{Rgb, RgbImage, RgbaImage};

use crate::support::{asset, shared_data, write_pyramid};

fn region(level: u32, x: i64, y: i64, width: u32, height: u32) -> LevelRect {
    LevelRect { level, x, y, width, height }
}

fn open(path: &Path) -> Arc<dyn SlideSource> {
    slide::open(path, None).unwrap_or_else(|error| panic!("{error}"))
}

/// A colour that tells where it stands.
fn at(x: u32, y: u32) -> Rgb<u8> {
    Rgb([(x % 251) as u8, (y % 241) as u8, ((x / 251) * 16 + y / 241) as u8])
}

/// What comes of a file.
enum Outcome {
    /// Width, height, levels, vendor, mpp along x.
    Opens(u32, u32, usize, &'static str, Option<f64>),
    /// It opens, but its pixels cannot be read.
    OpensUnreadable,
    /// A part of the reason.
    Fails(&'static str),
}
use Outcome::{Fails, Opens, OpensUnreadable};

fn check(path: &Path, expected: &Outcome) {
    let shown = path.display();
    let slide = match (slide::open(path, None), expected) {
        (Err(error), Fails(reason)) => {
            let message = error.to_string();
            assert!(message.contains(reason), "{message}");
            assert!(message.starts_with(&path.display().to_string()), "the file is not named: {message}");
            assert!(!message.contains('\n'), "more than one line: {message}");
            println!("{message}");
            return;
        }
        (Err(error), _) => panic!("{error}"),
        (Ok(_), Fails(reason)) => panic!("{shown} opens, instead of failing with {reason:?}"),
        (Ok(slide), _) => slide,
    };
    let info = slide.info();
    let everything = region(0, 0, 0, info.width().min(600), info.height().min(600));
    match expected {
        Opens(width, height, levels, vendor, mpp) => {
            assert_eq!((info.width(), info.height()), (*width, *height), "{shown}");
            assert_eq!(info.levels.len(), *levels, "{shown}");
            assert_eq!(info.vendor, *vendor, "{shown}");
            assert_eq!(info.mpp.map(|mpp| mpp.x()), *mpp, "{shown}");
            let source = if mpp.is_some() { MppSource::Slide } else { MppSource::Unknown };
            assert_eq!(info.mpp_source, source, "{shown}");
            assert_eq!(info.id.0.len(), 64, "{shown}: {}", info.id);
            let pixels = slide.read(&everything).unwrap_or_else(|error| panic!("{error}"));
            assert!(pixels.pixels().any(|pixel| pixel.0[3] > 0), "{shown} is blank");
            for name in &info.associated {
                let picture = slide.associated(name).unwrap_or_else(|error| panic!("{error}"));
                assert!(picture.width() > 0 && picture.height() > 0, "{shown}: {name}");
            }
        }
        _ => {
            let message = slide.read(&everything).expect_err("its pixels are damaged").to_string();
            assert!(message.starts_with(&shown.to_string()) && !message.contains('\n'), "{message}");
            println!("{message}");
        }
    }
}

#[test]
fn a_mirax_file_without_its_folder_is_not_taken_for_a_small_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case 7.mrxs");
    image::RgbImage::new(90, 70).save_with_format(&path, image::ImageFormat::Jpeg).unwrap();
    let message = slide::open(&path, None).err().expect("it is refused").to_string();
    assert!(message.contains("folder “case 7”") && message.contains("case 7.mrxs"), "{message}");
}

#[test]
fn a_mirax_file_with_an_ending_in_capitals_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case 7.MRXS");
    image::RgbImage::new(90, 70).save_with_format(&path, image::ImageFormat::Jpeg).unwrap();
    std::fs::create_dir(folder.path().join("case 7")).unwrap();
    std::fs::write(folder.path().join("case 7/Slidedat.ini"), "[GENERAL]\r\n").unwrap();
    check(&path, &Fails("rename the file to “case 7.mrxs”"));
}

#[test]
fn a_folder_of_dicom_files_is_one_slide() {
    let Some(formats) = shared_data("formats/openslide-python") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("boxes_0.dcm", "IM000001"), ("boxes_1.dcm", "IM000002")] {
        std::fs::copy(formats.join(from), folder.path().join(to)).unwrap();
    }
    let first = folder.path().join("IM000001");
    let second = folder.path().join("IM000002");
    assert_eq!(find_slides(&[folder.path().to_owned()]), std::slice::from_ref(&first));
    assert_eq!(find_slides(&[second.clone(), first.clone()]), std::slice::from_ref(&first));
    let whole = open(folder.path());
    assert_eq!(whole.info().vendor, "dicom");
    assert_eq!(whole.info().id, open(&second).info().id);
}

#[test]
fn every_shared_format_opens_or_says_why_not() {
    let Some(folder) = shared_data("formats") else { return };
    let expected = [
        ("broken.svs", Fails("neither OpenSlide nor the image formats")),
        ("cmu-1-small-region.svs", Opens(2220, 2967, 1, "aperio", Some(0.499))),
        ("highdicom_sm_image.dcm", Opens(50, 50, 1, "dicom", Some(0.499))),
        ("kidney-48-5.tif", Opens(1493, 901, 1, "image", None)),
        ("tcga-cr-7395-01a-01-ts1.svs", Opens(4443, 3567, 2, "aperio", None)),
        ("openslide-python/boxes-no-icc.png", Opens(300, 250, 1, "image", None)),
        ("openslide-python/boxes.png", Opens(300, 250, 1, "image", None)),
        ("openslide-python/boxes.tiff", Opens(300, 250, 4, "generic-tiff", None)),
        ("openslide-python/boxes_0.dcm", Opens(16, 16, 1, "dicom", Some(0.499))),
        ("openslide-python/boxes_1.dcm", Opens(16, 16, 1, "dicom", Some(0.499))),
        ("openslide-python/small.svs", Opens(16, 16, 1, "aperio", Some(0.499))),
        ("openslide-python/unopenable.tiff", Fails("cannot be opened")),
        ("openslide-python/unreadable.svs", OpensUnreadable),
        ("openslide-python/😐.png", Opens(300, 250, 1, "image", None)),
        ("openslide-python/😐.svs", Opens(16, 16, 1, "aperio", Some(0.499))),
    ];
    for (name, outcome) in &expected {
        check(&folder.join(name), outcome);
    }
    let present = [folder.clone(), folder.join("openslide-python")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .filter(|entry| entry.as_ref().unwrap().path().is_file())
        .count();
    assert_eq!(present, expected.len(), "a file of {} is not in the table", folder.display());
}

#[test]
fn what_is_no_slide_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("empty.svs"), []).unwrap();
    std::fs::write(at("text.tif"), "a letter, not a slide").unwrap();
    std::fs::write(at("headless.png"), b"\x89PNG\r\n\x1a\nand then nothing of use").unwrap();
    RgbImage::new(64, 64).save(at("whole.png")).unwrap();
    let whole = std::fs::read(at("whole.png")).unwrap();
    std::fs::write(at("half.png"), &whole[..whole.len() / 2]).unwrap();
    // A header of 30,000 × 30,000 px; its checksum is the one of those bytes.
    let header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0\xe9\x45\x6f\xed";
    std::fs::write(at("huge.png"), [&header[..], b"\0\0\0\0IDAT\x35\xaf\x06\x1e"].concat()).unwrap();
    for (name, outcome) in [
        ("missing.svs", Fails("there is no such file")),
        ("", Fails("it is a folder")),
        ("empty.svs", Fails("the file is empty")),
        ("text.tif", Fails("neither OpenSlide nor the image formats")),
        ("headless.png", Fails("its header is damaged")),
        ("half.png", OpensUnreadable),
        ("huge.png", OpensUnreadable),
        ("whole.png", Opens(64, 64, 1, "image", None)),
    ] {
        check(&at(name), &outcome);
    }
}

#[test]
fn pictures_of_other_kinds_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    for (head, name) in [(&b"GIF89a and more"[..], "GIF"), (b"\0\0\0\x20ftypavif and more", "AVIF")] {
        std::fs::write(&path, head).unwrap();
        check(&path, &Fails(name));
    }
}

#[test]
fn the_slide_that_ships_tells_all_it_knows() {
    let slide = open(&asset("slides/CMU-1-Small-Region.svs"));
    let info = slide.info();
    assert_eq!(info.mpp, Some(MicronsPerPixel::square(0.499).unwrap()));
    assert_eq!(info.objective_power, Some(20.0));
    assert_eq!(info.associated, ["label", "macro", "thumbnail"]);
    assert_eq!(info.properties["aperio.AppMag"], "20");
    assert_eq!(info.name(), "CMU-1-Small-Region.svs");
    let label = slide.associated("label").unwrap();
    assert!(label.width() > 100 && label.pixels().all(|pixel| pixel.0[3] == 255));
    let message = slide.associated("lable").unwrap_err().to_string();
    assert!(message.contains("label, macro, thumbnail"), "{message}");
}

#[test]
fn the_users_pixel_size_wins_and_nonsense_is_refused() {
    let path = asset("slides/CMU-1-Small-Region.svs");
    let slide = slide::open(&path, Some(MicronsPerPixel::square(0.25).unwrap())).unwrap();
    assert_eq!(slide.info().mpp, Some(MicronsPerPixel::square(0.25).unwrap()));
    assert_eq!(slide.info().mpp_source, MppSource::User);
    for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e7] {
        assert!(MicronsPerPixel::square(nonsense).is_err(), "{nonsense} µm is taken");
    }
}

/// Resolutions that picture editors write are no pixel sizes.
#[test]
fn a_stated_pixel_size_counts_only_if_a_scanner_can_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    for (stated, believed) in
        [(Some(0.25), true), (Some(8.0), true), (Some(352.8), false), (Some(84.7), false), (None, false)]
    {
        write_pyramid(&path, &RgbImage::from_fn(300, 300, at), 1, stated);
        let slide = open(&path);
        assert_eq!(slide.info().mpp.is_some(), believed, "{stated:?}: {:?}", slide.info().mpp);
        if let Some((mpp, stated)) = slide.info().mpp.zip(stated) {
            assert!((mpp.x() - stated).abs() < 1e-6 * stated, "{mpp:?} instead of {stated}");
        }
    }
}

#[test]
fn pictures_state_their_pixel_size_in_their_own_ways() {
    let folder = tempfile::tempdir().unwrap();
    let png = folder.path().join("picture.png");
    let tiff = folder.path().join("picture.tif");
    for (um, believed) in [(0.5, true), (264.6, false)] {
        let mut encoder = png::Encoder::new(std::fs::File::create(&png).unwrap(), 2, 2);
        encoder.set_color(png::ColorType::Rgb);
        let per_metre = (1e6_f64 / um).round() as u32;
        encoder.set_pixel_dims(Some(png::PixelDimensions {
            xppu: per_metre,
            yppu: per_metre,
            unit: png::Unit::Meter,
        }));
        encoder.write_header().unwrap().write_image_data(&[100; 12]).unwrap();

        let mut encoder = tiff::encoder::TiffEncoder::new(std::fs::File::create(&tiff).unwrap()).unwrap();
        let mut image = encoder.new_image::<tiff::encoder::colortype::RGB8>(2, 2).unwrap();
        let per_inch = tiff::encoder::Rational { n: (25_400.0 / um).round() as u32, d: 1 };
        image.resolution(tiff::tags::ResolutionUnit::Inch, per_inch);
        image.write_data(&[100; 12]).unwrap();

        for path in [&png, &tiff] {
            let found = open(path).info().mpp;
            let near = |found: MicronsPerPixel| (found.mean() - um).abs() < 1e-3 * um;
            assert_eq!(found.is_some_and(near), believed, "{}: {found:?} for {um}", path.display());
            assert_eq!(found.is_some(), believed);
        }
    }
}

/// A tiled TIFF that OpenSlide reads, and a striped one that it does not.
#[test]
fn doubtful_pixel_sizes_are_told_and_imagejs_unit_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    write_pyramid(&path, &RgbImage::from_fn(300, 300, at), 1, Some(0.025));
    let slide = open(&path);
    let [warning] = &slide.info().warnings[..] else { panic!("{:?}", slide.info().warnings) };
    assert_eq!(warning.suggested_mpp(), Some(MicronsPerPixel::square(0.25).unwrap()));
    let wire = serde_json::to_string(slide.info()).unwrap();
    let back: histokin::slide::SlideInfo = serde_json::from_str(&wire).unwrap();
    assert_eq!(back.warnings, slide.info().warnings);
    let given = slide::open(&path, Some(MicronsPerPixel::square(0.025).unwrap())).unwrap();
    assert_eq!(given.info().warnings, []);

    let mut encoder = tiff::encoder::TiffEncoder::new(std::fs::File::create(&path).unwrap()).unwrap();
    let mut image = encoder.new_image::<tiff::encoder::colortype::RGB8>(2, 2).unwrap();
    let per_nm = tiff::encoder::Rational { n: 1, d: 250 };
    image.resolution(tiff::tags::ResolutionUnit::None, per_nm);
    let description = "ImageJ=1.54f\nimages=1\nunit=nm\n";
    image.encoder().write_tag(tiff::tags::Tag::ImageDescription, description).unwrap();
    image.write_data(&[100; 12]).unwrap();
    assert_eq!(open(&path).info().mpp, Some(MicronsPerPixel::square(0.25).unwrap()));
}

#[test]
fn regions_over_the_edges_are_transparent_where_the_slide_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let picture = RgbImage::from_fn(700, 500, at);
    let (tiled, flat) = (folder.path().join("tiled.tif"), folder.path().join("flat.png"));
    write_pyramid(&tiled, &picture, 1, Some(0.5));
    picture.save(&flat).unwrap();
    for slide in [open(&tiled), open(&flat)] {
        for (x, y, width, height) in [
            (0, 0, 700, 500),
            (250, 250, 20, 20),
            (-30, -40, 100, 100),
            (650, 470, 100, 60),
            (-50, -50, 900, 700),
            (700, 0, 10, 10),
            (-10, 100, 10, 10),
            (i64::MIN, i64::MAX, 5, 5),
            (i64::MAX - 2, 0, 5, 5),
        ] {
            let pixels = slide.read(&region(0, x, y, width, height)).unwrap();
            let expected = RgbaImage::from_fn(width, height, |i, j| {
                let (x, y) = (x.saturating_add(i64::from(i)), y.saturating_add(i64::from(j)));
                match (u32::try_from(x), u32::try_from(y)) {
                    (Ok(x), Ok(y)) if x < 700 && y < 500 => {
                        let [r, g, b] = at(x, y).0;
                        image::Rgba([r, g, b, 255])
                    }
                    _ => image::Rgba([0; 4]),
                }
            });
            assert!(pixels == expected, "{} at {x}, {y}", slide.info().vendor);
        }
        assert!(slide.read(&region(7, 0, 0, 1, 1)).is_err(), "there is no level 7");
        assert!(slide.read(&region(0, 0, 0, u32::MAX, u32::MAX)).is_err(), "nobody has such memory");
    }
}

#[test]
fn a_slide_keeps_its_identity_when_it_moves() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here.tif"), folder.path().join("there"));
    RgbImage::from_fn(30, 30, at).save(&here).unwrap();
    let id = open(&here).info().id.clone();
    std::fs::rename(&here, &there).unwrap();
    assert_eq!(open(&there).info().id, id);
    RgbImage::from_fn(30, 30, |x, y| at(y, x)).save(&here).unwrap();
    assert_ne!(open(&here).info().id, id);
}

/// A damaged tile is an error every time, and never spoils the rest of the slide.
#[test]
fn a_damaged_tile_leaves_the_others_readable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.tif");
    let slide = {
        // Two levels, as OpenSlide takes its fingerprint from the coarsest.
        write_pyramid(&path, &RgbImage::from_fn(512, 512, at), 2, Some(0.5));
        // The four tiles come first, after the 8 bytes of the header. The last one's offset is let point
        // beyond the end of the file.
        let mut bytes = std::fs::read(&path).unwrap();
        let offsets: Vec<u8> =
            (0..4).flat_map(|tile: u32| (8 + tile * 256 * 256 * 3).to_le_bytes()).collect();
        let found = bytes.windows(16).position(|window| window == offsets).unwrap();
        bytes[found + 12..found + 16].copy_from_slice(&u32::MAX.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        open(&path)
    };
    let good = region(0, 0, 0, 256, 256);
    let bad = region(0, 300, 300, 100, 100);
    let good_pixels = slide.read(&good).unwrap();
    for _ in 0..3 {
        let message = slide.read(&bad).expect_err("the tile is damaged").to_string();
        assert!(message.contains("damaged.tif") && message.contains("x 300, y 300"), "{message}");
        assert!(slide.read(&good).unwrap() == good_pixels);
    }
    // With many at once: nobody's good region fails because of another's bad one.
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (slide, good_pixels) = (&slide, &good_pixels);
            scope.spawn(move || {
                for round in 0..25 {
                    if (thread + round) % 2 == 0 {
                        assert!(slide.read(&bad).is_err());
                    } else {
                        assert!(slide.read(&good).unwrap() == *good_pixels);
                    }
                }
            });
        }
    });
}

#[test]
fn a_slide_that_disappears_and_comes_back_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("slide.svs"), folder.path().join("away.svs"));
    std::fs::copy(asset("slides/CMU-1-Small-Region.svs"), &path).unwrap();
    let slide = open(&path);
    let before = slide.read(&region(0, 500, 500, 64, 64)).unwrap();
    std::fs::rename(&path, &away).unwrap();
    let message = slide.read(&region(0, 1500, 1500, 64, 64)).unwrap_err().to_string();
    assert!(message.contains("no longer there"), "{message}");
    std::fs::rename(&away, &path).unwrap();
    assert!(slide.read(&region(0, 500, 500, 64, 64)).unwrap() == before);
}

#[test]
fn lower_levels_show_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pyramid.tif");
    // 1025 halves to 512: a downsample that is no integer.
    let smooth = RgbImage::from_fn(1025, 771, |x, y| Rgb([(x / 5) as u8, (y / 4) as u8, 128]));
    write_pyramid(&path, &smooth, 3, Some(0.25));
    let slide = open(&path);
    assert_eq!(slide.info().levels.len(), 3);
    for level in 1..3 {
        let pixels = slide.read(&region(level, 40, 30, 64, 64)).unwrap();
        let downsample = slide.info().levels[level as usize].downsample;
        for (x, y, pixel) in pixels.enumerate_pixels() {
            let red = (f64::from(40 + x) + 0.5) * downsample.x / 5.0;
            let green = (f64::from(30 + y) + 0.5) * downsample.y / 4.0;
            assert!((f64::from(pixel.0[0]) - red).abs() < 1.5, "level {level}: {} at {x}", pixel.0[0]);
            assert!((f64::from(pixel.0[1]) - green).abs() < 1.5, "level {level}: {} at {y}", pixel.0[1]);
        }
    }
}

/// Waves of colour across the slide tell where a tile's pixels come from.
#[test]
fn tiles_are_neither_shifted_nor_stretched() {
    // At a level-0 position, pixel centres lying at halves.
    let wave = |position: f64| 128.0 + 100.0 * (position * std::f64::consts::TAU / 200.0).sin();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waves.tif");
    let waves = RgbImage::from_fn(1500, 900, |x, y| {
        Rgb([wave(f64::from(x) + 0.5).round() as u8, wave(f64::from(y) + 0.5).round() as u8, 100])
    });
    write_pyramid(&path, &waves, 3, Some(0.3));
    let slide = open(&path);
    // Whole and broken reductions, on and off the pixels of the level, in the middle and at the edge.
    for (x, y, edge, out) in [
        (40, 40, 300, 300),
        (101, 57, 448, 224),
        (333, 222, 449, 224),
        (7, 11, 747, 224),
        (251, 3, 896, 224),
        (0, 0, 747, 224),
        (1500 - 747, 900 - 747, 747, 224),
    ] {
        let tile = read_tile(&*slide, &Level0Rect::new(x, y, edge, edge), out).unwrap();
        let scale = f64::from(edge) / f64::from(out);
        let mut worst = [0.0_f64; 2];
        for (i, j, pixel) in tile.enumerate_pixels() {
            let expected = [x as f64 + (f64::from(i) + 0.5) * scale, y as f64 + (f64::from(j) + 0.5) * scale];
            for axis in 0..2 {
                worst[axis] = worst[axis].max((f64::from(pixel.0[axis]) - wave(expected[axis])).abs());
            }
        }
        println!("{edge} → {out} px at {x}, {y}: {worst:.2?} grey levels off");
        // Where the waves are steepest a level-0 pixel makes 3.1 grey levels.
        assert!(worst[0] < 2.5 && worst[1] < 2.5, "{edge} → {out} px at {x}, {y}: {worst:?}");
    }
}

#[test]
fn grid_tiles_are_read_where_the_grid_says() {
    let slide = open(&asset("slides/CMU-1-Small-Region.svs"));
    let grid = TileGrid::new(slide.info(), TileSettings::default()).unwrap();
    assert_eq!((grid.tile_level0, grid.columns, grid.rows), (449, 4, 6));
    let last = TileIndex(grid.len() - 1);
    assert_eq!(grid.tile_at(grid.rect(last).center()), Some(last));
    assert_eq!(grid.tile_at(Level0Point::new(2200.0, 100.0)), None);
    let tile = read_tile(&*slide, &grid.rect(last), grid.tile_px).unwrap();
    assert_eq!(tile.dimensions(), (224, 224));
}

#[test]
fn the_second_demonstration_slide_is_a_turned_part_of_the_first() {
    let original = open(&asset("slides/CMU-1-Small-Region.svs"));
    let cut = open(&asset("slides/CMU-1-Small-Region-rotated-cut.tif"));
    assert!(cut.info().levels.len() > 1);
    assert_ne!(cut.info().id, original.info().id);
    let mpp = cut.info().mpp.expect("its resolution tags say it");
    assert!((mpp.x() - 0.499).abs() < 1e-4 && (mpp.y() - 0.499).abs() < 1e-4, "{mpp:?}");
    // A square of the original, and where it lies once turned clockwise.
    let square = original.read(&region(0, 380 + 400, 1180 + 500, 200, 200)).unwrap();
    let turned = cut.read(&region(0, 1780 - 500 - 200, 400, 200, 200)).unwrap();
    let expected = image::imageops::rotate90(&square);
    let differences = expected.as_raw().iter().zip(turned.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b)));
    let mean = differences.sum::<u64>() as f64 / expected.as_raw().len() as f64;
    assert!(mean < 6.0, "{mean} grey levels apart");
}
