//! Reads whole files through [`TiffSource`] and compares the pixels with known ones.

mod damage;
mod dicom;
mod layout;
mod set;

use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::Arc;

use image::{Rgb, RgbImage, RgbaImage, imageops};

use super::super::channel::ChannelDisplay;
use super::super::{Reader, SlideError, SlideSource, open, open_with_channels};
use super::directory::Tiff;
use super::made::{self, MadePage, MadeTiff, file_of, jpeg, tiff_bytes};
use super::page;
use super::raster::{Raster, most_chunks};
use crate::geometry::LevelRect;

const SIZE: (u32, u32) = (50, 40);
const TILE: u32 = 32;

/// An image in which every colour depends on its position.
fn picture((width, height): (u32, u32)) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 5) as u8, (y * 6) as u8, (x * y) as u8]))
}

/// The bytes of each tile of `picture`, with the samples that `samples` returns for a pixel.
fn tiles(picture: &RgbImage, samples: impl Fn(Rgb<u8>) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut tiles = Vec::new();
    for top in (0..picture.height()).step_by(TILE as usize) {
        for left in (0..picture.width()).step_by(TILE as usize) {
            let positions = (0..TILE * TILE).map(|at| (left + at % TILE, top + at / TILE));
            let pixel = |(x, y)| picture.get_pixel_checked(x, y).copied().unwrap_or(Rgb([0; 3]));
            tiles.push(positions.flat_map(|position| samples(pixel(position))).collect());
        }
    }
    tiles
}

fn rgb(pixel: Rgb<u8>) -> Vec<u8> {
    pixel.0.to_vec()
}

fn page(chunks: Vec<Vec<u8>>) -> MadePage {
    MadePage::new(SIZE, Some(TILE), chunks).of_samples(&[8, 8, 8], 2)
}

struct Opened {
    slide: Result<Arc<dyn SlideSource>, SlideError>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn opened(bytes: &[u8]) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    std::fs::write(&path, bytes).unwrap();
    Opened { slide: open(&path, None), path, _folder: folder }
}

fn slide(opened: &Opened) -> &dyn SlideSource {
    match &opened.slide {
        Ok(slide) => slide.as_ref(),
        Err(error) => panic!("{error}"),
    }
}

fn whole(slide: &dyn SlideSource, level: u32) -> RgbaImage {
    let Some(size) = slide.info().levels.get(level as usize) else { panic!("no level {level}") };
    slide.read(&LevelRect { level, x: 0, y: 0, width: size.width, height: size.height }).unwrap()
}

fn as_rgba(picture: &RgbImage) -> RgbaImage {
    image::DynamicImage::from(picture.clone()).into_rgba8()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Horizontal differences of rows of `TILE` pixels of three bytes.
fn differences(tile: &[u8]) -> Vec<u8> {
    let row = |row: &[u8]| -> Vec<u8> {
        (0..row.len()).map(|at| if at < 3 { row[at] } else { row[at].wrapping_sub(row[at - 3]) }).collect()
    };
    tile.chunks(TILE as usize * 3).flat_map(row).collect()
}

#[test]
fn every_lossless_compression_gives_the_pixels_that_were_stored() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let webp = |tile: &[u8]| {
        let mut stream = Vec::new();
        let encoder = image_webp::WebPEncoder::new(&mut stream);
        encoder.encode(tile, TILE, TILE, image_webp::ColorType::Rgb8).unwrap();
        stream
    };
    let lzw = |tile: &[u8]| {
        weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(tile).unwrap()
    };
    let all: [(u64, u64, Pack); 7] = [
        (1, 1, |tile| tile.to_vec()),
        (5, 1, lzw),
        (5, 2, |tile| {
            weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
                .encode(&differences(tile))
                .unwrap()
        }),
        (8, 1, zlib),
        (32946, 2, |tile| zlib(&differences(tile))),
        (50000, 1, |tile| zstd::bulk::compress(tile, 1).unwrap()),
        (50001, 1, webp),
    ];
    let picture = picture(SIZE);
    for (compression, predictor, pack) in all {
        for (is_big_endian, is_big) in [(false, false), (true, false), (false, true), (true, true)] {
            let chunks = tiles(&picture, rgb).iter().map(|tile| pack(tile)).collect();
            let made = page(chunks).with(259, 3, &[compression]).with(317, 3, &[predictor]);
            let opened = opened(&file_of(&[made], is_big_endian, is_big));
            let slide = slide(&opened);
            assert_eq!(slide.info().reader, Reader::Tiff, "{compression}");
            assert!(whole(slide, 0) == as_rgba(&picture), "{compression} with predictor {predictor}");
        }
    }
}

#[test]
fn regions_of_tiles_and_of_strips_are_parts_of_the_whole() {
    let picture = picture(SIZE);
    let all: Vec<u8> = picture.as_raw().clone();
    let in_strips = MadePage::new(SIZE, None, all.chunks(50 * 3 * 7).map(<[u8]>::to_vec).collect())
        .of_samples(&[8, 8, 8], 2)
        .with(278, 3, &[7]);
    for made in [page(tiles(&picture, rgb)), in_strips] {
        let opened = opened(&file_of(&[made], false, false));
        let slide = slide(&opened);
        let all = whole(slide, 0);
        assert!(all == as_rgba(&picture));
        for (x, y, width, height) in
            [(0, 0, 1, 1), (31, 6, 3, 9), (-4, -2, 60, 50), (49, 39, 5, 5), (80, 0, 3, 3)]
        {
            let region = slide.read(&LevelRect { level: 0, x, y, width, height }).unwrap();
            for (at_x, at_y, pixel) in region.enumerate_pixels() {
                let (x, y) = (x + i64::from(at_x), y + i64::from(at_y));
                let inside = (0..50).contains(&x) && (0..40).contains(&y);
                let wanted = if inside { all.get_pixel(x as u32, y as u32).0 } else { [0; 4] };
                assert_eq!(pixel.0, wanted, "{x}, {y}");
            }
        }
    }
}

#[test]
fn a_last_strip_may_be_stored_with_all_its_rows() {
    let picture = picture(SIZE);
    let row = 50 * 3;
    let mut padded = picture.as_raw().clone();
    padded.resize(row * 42, 9);
    let lzw = |strip: &[u8]| {
        weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(strip).unwrap()
    };
    type Pack = fn(&[u8]) -> Vec<u8>;
    let all: [(u64, Pack); 4] = [
        (1, |strip| strip.to_vec()),
        (5, lzw),
        (8, zlib),
        (50000, |strip| zstd::bulk::compress(strip, 1).unwrap()),
    ];
    for (compression, pack) in all {
        let made = MadePage::new(SIZE, None, padded.chunks(row * 7).map(pack).collect())
            .of_samples(&[8, 8, 8], 2)
            .with(278, 3, &[7])
            .with(259, 3, &[compression]);
        let opened = opened(&file_of(&[made], false, false));
        assert!(whole(slide(&opened), 0) == as_rgba(&picture), "{compression}");
    }
}

#[test]
fn long_uncompressed_strips_are_read_in_parts() {
    let size = (1500, 1000);
    let picture = picture(size);
    let made = MadePage::new(size, None, vec![picture.as_raw().clone()]).of_samples(&[8, 8, 8], 2);
    let file = file_of(&[made], false, false);
    let (mut tiff, first) = Tiff::begin(Cursor::new(&file)).unwrap();
    let pages = page::pages(&mut tiff, first).unwrap();
    let raster = Raster::of(&pages[0], &mut tiff, &mut most_chunks(file.len() as u64)).unwrap();
    assert!(raster.grid.tiles() > 3 && raster.grid.tile_height < 300, "{} parts", raster.grid.tiles());
    assert!(whole(slide(&opened(&file)), 0) == as_rgba(&picture));
}

#[test]
fn samples_of_all_kinds_become_the_picture_that_they_mean() {
    let picture = picture(SIZE);
    let grey: RgbaImage = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let shade = picture.get_pixel(x, y)[0];
        image::Rgba([shade, shade, shade, 255])
    });
    let shade = |pixel: Rgb<u8>| pixel[0];
    let word = |number: u16| number.to_le_bytes().to_vec();
    let made = |bits: &[u64], photometric, chunks| {
        MadePage::new(SIZE, Some(TILE), chunks).of_samples(bits, photometric)
    };
    let cases: Vec<(&str, MadePage, &RgbaImage)> = vec![
        ("grey", made(&[8], 1, tiles(&picture, |p| vec![shade(p)])), &grey),
        ("white is zero", made(&[8], 0, tiles(&picture, |p| vec![255 - shade(p)])), &grey),
        ("16 bits", made(&[16], 1, tiles(&picture, |p| word(u16::from(shade(p)) * 257))), &grey),
        ("12 bits in 16", made(&[16], 1, tiles(&picture, |p| word(u16::from(shade(p)) * 16))), &grey),
        (
            "12 bits, stated",
            made(&[16], 1, tiles(&picture, |p| word(u16::from(shade(p)) * 16))).with(281, 3, &[4095]),
            &grey,
        ),
        (
            "floats to 1",
            made(&[32], 1, tiles(&picture, |p| (f32::from(shade(p)) / 255.0).to_le_bytes().to_vec())).with(
                339,
                3,
                &[3],
            ),
            &grey,
        ),
        (
            "floats to 255",
            made(&[64], 1, tiles(&picture, |p| f64::from(shade(p)).to_le_bytes().to_vec())).with(
                339,
                3,
                &[3],
            ),
            &grey,
        ),
        ("bits count once", made(&[8, 8, 8], 2, tiles(&picture, rgb)).with(258, 3, &[8]), &as_rgba(&picture)),
        (
            "an extra sample",
            made(&[8; 4], 2, tiles(&picture, |p| [p.0.as_slice(), &[7]].concat())).with(338, 3, &[0]),
            &as_rgba(&picture),
        ),
        (
            "alpha",
            made(&[8; 4], 2, tiles(&picture, |p| [p.0.as_slice(), &[255]].concat())).with(338, 3, &[2]),
            &as_rgba(&picture),
        ),
        (
            "grey and alpha",
            made(&[8; 2], 1, tiles(&picture, |p| vec![shade(p), 255])).with(338, 3, &[2]),
            &grey,
        ),
        (
            "inks",
            made(&[8; 4], 5, tiles(&picture, |p| vec![255 - p[0], 255 - p[1], 255 - p[2], 0])),
            &as_rgba(&picture),
        ),
    ]
    .into_iter()
    .map(|(name, page, wanted)| (name, page, Box::leak(Box::new(wanted.clone())) as &RgbaImage))
    .collect();
    for (name, made, wanted) in cases {
        let opened = opened(&file_of(&[made], false, false));
        let pixels = whole(slide(&opened), 0);
        assert!(
            pixels == *wanted,
            "{name}: {:?} for {:?}",
            pixels.get_pixel(20, 20),
            wanted.get_pixel(20, 20)
        );
    }
}

#[test]
fn planes_of_their_own_are_put_together() {
    let picture = picture(SIZE);
    let planes = (0..3).flat_map(|sample| tiles(&picture, move |pixel| vec![pixel[sample]])).collect();
    let opened = opened(&file_of(&[page(planes).with(284, 3, &[2])], false, false));
    assert!(whole(slide(&opened), 0) == as_rgba(&picture));
}

#[test]
fn missing_tiles_are_blank_and_the_others_are_as_stored() {
    let picture = picture(SIZE);
    let raw = tiles(&picture, rgb);
    let mut tile = RgbImage::new(TILE, TILE);
    image::imageops::replace(&mut tile, &picture, 0, 0);
    let jpegs = vec![jpeg(&tile); 4];
    for (compression, mut chunks) in [(1, raw), (7, jpegs)] {
        chunks[1].clear();
        let made =
            page(chunks).with(259, 3, &[compression]).with(262, 3, &[if compression == 7 { 6 } else { 2 }]);
        let opened = opened(&file_of(&[made], false, false));
        let pixels = whole(slide(&opened), 0);
        for (x, y, pixel) in pixels.enumerate_pixels() {
            assert_eq!(pixel[3], if x >= TILE && y < TILE { 0 } else { 255 }, "{compression} at {x}, {y}");
        }
    }
}

#[test]
fn a_missing_tile_of_a_pyramid_leaves_its_other_tiles_as_openslide_reads_them() {
    let made = |missing| tiff_bytes(&MadeTiff { missing, ..MadeTiff::default() });
    let (without, with) = (opened(&made(Some(4))), opened(&made(None)));
    assert_eq!(slide(&without).info().reader, Reader::Tiff);
    let through_openslide = super::super::open_with_openslide(&with.path).unwrap();
    let (found, wanted) = (whole(slide(&without), 0), whole(through_openslide.as_ref(), 0));
    for ((x, y, found), wanted) in found.enumerate_pixels().zip(wanted.pixels()) {
        let is_missing = (48..96).contains(&x) && y >= 48;
        assert_eq!(found.0, if is_missing { [0; 4] } else { wanted.0 }, "{x}, {y}");
    }
}

#[test]
fn resolutions_of_every_type_are_read_and_are_per_inch_unless_stated() {
    let bits = |number: f64| u64::from((number as f32).to_bits());
    for (kind, value) in [
        (5, vec![101_600, 1]),
        (10, vec![203_200, 2]),
        (11, vec![bits(101_600.0)]),
        (12, vec![101_600_f64.to_bits()]),
    ] {
        for is_big_endian in [false, true] {
            let made = page(tiles(&picture(SIZE), rgb)).with(282, kind, &value).with(283, kind, &value);
            let opened = opened(&file_of(&[made], is_big_endian, false));
            let mpp = slide(&opened).info().mpp.map(|mpp| (mpp.x(), mpp.y()));
            assert_eq!(mpp, Some((0.25, 0.25)), "type {kind}");
        }
    }
}

#[test]
fn turned_images_are_upright_whatever_stores_them() {
    let upright = picture(SIZE);
    for orientation in 1..=8_u8 {
        // The image is stored with the orientation that is the inverse of the one in the tag.
        let undo = match orientation {
            6 => 8,
            8 => 6,
            other => other,
        };
        let mut stored = image::DynamicImage::from(upright.clone());
        stored.apply_orientation(image::metadata::Orientation::from_exif(undo).unwrap());
        let stored = stored.into_rgb8();
        let size = stored.dimensions();
        let tiled = MadePage::new(size, Some(TILE), tiles(&stored, rgb));
        let strip = MadePage::new(size, None, vec![stored.as_raw().clone()]);
        for made in [tiled, strip] {
            let made = made
                .of_samples(&[8, 8, 8], 2)
                .with(274, 3, &[orientation.into()])
                .with(282, 5, &[20_000, 1])
                .with(283, 5, &[40_000, 1])
                .with(296, 3, &[3]);
            let opened = opened(&file_of(&[made], false, false));
            let slide = slide(&opened);
            assert!(whole(slide, 0) == as_rgba(&upright), "{orientation}");
            let mpp = slide.info().mpp.unwrap();
            assert_eq!((mpp.x(), mpp.y()), if orientation < 5 { (0.5, 0.25) } else { (0.25, 0.5) });
        }
    }
}

#[test]
fn three_samples_without_a_stated_meaning_are_colours() {
    let picture = picture(SIZE);
    for tile in [Some(TILE), None] {
        let chunks = if tile.is_some() { tiles(&picture, rgb) } else { vec![picture.as_raw().clone()] };
        let mut made = MadePage::new(SIZE, tile, chunks).of_samples(&[8, 8, 8], 2);
        made.tags.retain(|(tag, _, _)| *tag != 262);
        let opened = opened(&file_of(&[made], false, false));
        assert!(whole(slide(&opened), 0) == as_rgba(&picture));
    }
}

#[test]
fn tiles_without_what_lies_outside_the_image_are_read() {
    let picture = made::picture(50, 40);
    let part = |at: u32| imageops::crop_imm(&picture, at % 2 * TILE, at / 2 * TILE, TILE, TILE).to_image();
    let webp = |tile: &RgbImage| {
        let mut stream = Vec::new();
        let encoder = image_webp::WebPEncoder::new(&mut stream);
        encoder.encode(tile, tile.width(), tile.height(), image_webp::ColorType::Rgb8).unwrap();
        stream
    };
    type Pack<'a> = &'a dyn Fn(&RgbImage) -> Vec<u8>;
    let pack: [(u64, u64, Pack); 2] = [(50001, 2, &webp), (7, 6, &jpeg)];
    for (compression, photometric, pack) in pack {
        let made = page((0..4).map(|at| pack(&part(at))).collect()).with(259, 3, &[compression]).with(
            262,
            3,
            &[photometric],
        );
        let opened = opened(&file_of(&[made], false, false));
        assert_eq!(slide(&opened).info().reader, Reader::Tiff);
        assert!(apart(&whole(slide(&opened), 0), &picture) < 24, "{compression}");
    }
}

/// Largest difference of a colour between pixels and a picture.
fn apart(pixels: &RgbaImage, picture: &RgbImage) -> u8 {
    assert_eq!(pixels.dimensions(), picture.dimensions());
    let of =
        |(found, wanted): (&image::Rgba<u8>, &Rgb<u8>)| (0..3).map(|at| found[at].abs_diff(wanted[at])).max();
    pixels.pixels().zip(picture.pixels()).filter_map(of).max().unwrap_or(0)
}

#[test]
fn jpegs_that_say_what_their_colours_are_are_believed() {
    let (picture, wide) = (made::picture(50, 40), made::picture(64, 64));
    let tile = |at: u32| imageops::crop_imm(&wide, at % 2 * TILE, at / 2 * TILE, TILE, TILE).to_image();
    // JFIF knows YCbCr only, and is what a tag of RGB contradicts.
    for photometric in [6, 2] {
        let tiled = page((0..4).map(|at| jpeg(&tile(at))).collect());
        let strip = MadePage::new(SIZE, None, vec![jpeg(&picture)]);
        for made in [tiled, strip] {
            let made = made.of_samples(&[8, 8, 8], photometric).with(259, 3, &[7]);
            let opened = opened(&file_of(&[made], false, false));
            assert!(apart(&whole(slide(&opened), 0), &picture) < 24, "{photometric}");
        }
    }
}

#[test]
fn jpegs_of_four_components_are_inks() {
    let picture = made::picture(SIZE.0, SIZE.1);
    let inks: Vec<u8> = picture.pixels().flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 0]).collect();
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    compressor.set_subsamp(turbojpeg::Subsamp::None).unwrap();
    compressor.set_quality(95).unwrap();
    let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
    let format = turbojpeg::PixelFormat::CMYK;
    let image = turbojpeg::Image { pixels: inks.as_slice(), width, pitch: width * 4, height, format };
    let stream = compressor.compress_to_vec(image).unwrap();
    let made = MadePage::new(SIZE, None, vec![stream]).of_samples(&[8; 4], 5).with(259, 3, &[7]);
    let opened = opened(&file_of(&[made], false, false));
    assert!(apart(&whole(slide(&opened), 0), &picture) < 24);
}

#[test]
fn what_is_not_read_is_refused_by_name_with_what_to_do() {
    let made = || page(vec![vec![0; 3072]; 4]);
    for (made, part) in [
        (made().with(259, 3, &[34887]), "compressed with LERC"),
        (made().with(259, 3, &[34925]), "compressed with LZMA"),
        (made().with(259, 3, &[50002]), "compressed with JPEG XL"),
        (made().with(259, 3, &[65_000]), "a method of number 65000"),
        (made().with(262, 3, &[32803]), "a camera's raw sensor data"),
        (made().with(258, 3, &[8, 16, 8]), "different bit depths"),
        (made().with(339, 3, &[6, 6, 6]), "complex or mixed numbers"),
    ] {
        // In strips, so that OpenSlide does not recognise the file.
        let mut made = made;
        made.tags.retain(|(tag, _, _)| !matches!(tag, 322 | 323));
        let opened = opened(&file_of(&[made.with(278, 3, &[10])], false, false));
        let message = opened.slide.as_ref().err().expect(part).to_string();
        assert!(message.contains(part) && message.contains("vips tiffsave"), "{message}");
        assert!(
            message.starts_with(&opened.path.display().to_string()) && !message.contains('\n'),
            "{message}"
        );
    }
}

#[test]
fn both_byte_orders_and_both_sizes_of_offsets_are_read() {
    for is_big_endian in [false, true] {
        for is_big in [false, true] {
            let made = MadeTiff { is_big_endian, is_big, ..MadeTiff::default() };
            let file = tiff_bytes(&made);
            let (mut tiff, first) = Tiff::begin(Cursor::new(&file)).unwrap();
            let pages = page::pages(&mut tiff, first).unwrap();
            assert_eq!(pages.len(), 3);
            let raster = Raster::of(&pages[0], &mut tiff, &mut most_chunks(file.len() as u64)).unwrap();
            assert_eq!(
                (raster.grid.width, raster.grid.height, raster.grid.columns(), raster.grid.tiles()),
                (made.width, made.height, 3, 6)
            );
            for tile in 0..6 {
                assert_eq!(raster.stream(&mut Cursor::new(&file), tile).unwrap()[..2], [0xff, 0xd8]);
            }
        }
    }
}

#[test]
fn reduced_regions_of_strips_are_those_of_the_pixels() {
    let size = (530, 1100);
    let picture = picture(size);
    let strips: Vec<Vec<u8>> = picture.as_raw().chunks(530 * 3 * 48).map(zlib).collect();
    let page =
        MadePage::new(size, None, strips).of_samples(&[8, 8, 8], 2).with(259, 3, &[8]).with(278, 4, &[48]);
    let opened = opened(&file_of(&[page], false, false));
    let slide = slide(&opened);
    let pixels = as_rgba(&picture);
    for (x, y, width, height) in
        [(0, 0, 530, 1100), (8, 504, 400, 24), (256, 1000, 274, 100), (0, 1096, 8, 4)]
    {
        let region = LevelRect { level: 0, x, y, width, height };
        let cut = |part: &LevelRect| {
            Ok(image::imageops::crop_imm(&pixels, part.x as u32, part.y as u32, part.width, part.height)
                .to_image())
        };
        let expected = super::super::reduced::read_in_parts(&cut, &region, 8).unwrap();
        assert!(slide.read_reduced(&region, 8).unwrap() == expected, "{region:?}");
    }
}

#[test]
fn channels_are_shown_as_the_user_has_set_them() {
    let lit = |value: fn(u32) -> u16| {
        let mask = RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| {
            let [low, high] = value(x).to_le_bytes();
            Rgb([low, high, 0])
        });
        let chunks = tiles(&mask, |pixel| pixel.0[..2].to_vec());
        MadePage::new(SIZE, Some(TILE), chunks).of_samples(&[16], 1)
    };
    let description = "ImageJ=1.53\nimages=2\nchannels=2\nhyperstack=true\n";
    let pages = [lit(|x| 20 * x as u16).described(description), lit(|x| if x < 25 { 0 } else { 800 })];
    let opened = opened(&file_of(&pages, false, false));
    let automatic = slide(&opened).info().channels.clone();
    assert_eq!(automatic.len(), 2);
    assert_eq!(automatic[1].values, [0.0, 800.0]);

    let mut set: Vec<ChannelDisplay> = automatic.iter().map(|channel| channel.shown.clone()).collect();
    set[0] =
        ChannelDisplay { name: "nuclei".into(), colour: [255, 0, 0], visible: true, window: [0.0, 1000.0] };
    set[1].visible = false;
    let again = open_with_channels(&opened.path, None, set.clone()).unwrap();
    let pixels = whole(again.as_ref(), 0);
    for (x, red) in [(0, 0), (25, 128), (49, 250)] {
        assert_eq!(pixels.get_pixel(x, 5).0, [red, 0, 0, 255], "{x}");
    }
    let info = again.info();
    assert_eq!(info.id, slide(&opened).info().id, "it is the same slide");
    assert!(info.channels.iter().map(|channel| &channel.shown).eq(&set));
    assert!(info.channels.iter().zip(&automatic).all(|(now, before)| now.automatic == before.automatic));
    assert!(info.warnings.iter().all(|warning| !warning.text().contains("channels")), "nothing is automatic");

    // What does not fit the slide is left aside.
    let unfit = open_with_channels(&opened.path, None, set[..1].to_vec()).unwrap();
    assert_eq!(unfit.info().channels, automatic);
}

#[test]
fn of_many_channels_the_first_are_shown_and_all_can_be() {
    let page = |value: u16| {
        let [low, high] = value.to_le_bytes();
        // Black at the left, so that there is a window.
        let mask =
            RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| if x < 25 { Rgb([0; 3]) } else { Rgb([low, high, 0]) });
        let chunks = tiles(&mask, |pixel| pixel.0[..2].to_vec());
        MadePage::new(SIZE, Some(TILE), chunks).of_samples(&[16], 1)
    };
    let description = "ImageJ=1.53\nimages=11\nchannels=11\nhyperstack=true\n";
    let pages: Vec<MadePage> = (1..=11)
        .map(|channel| page(100 * channel))
        .enumerate()
        .map(|(index, page)| match index {
            0 => page.described(description),
            _ => page,
        })
        .collect();
    let opened = opened(&file_of(&pages, false, false));
    let slide = slide(&opened);
    let channels = slide.info().channels.clone();
    let visible: Vec<bool> = channels.iter().map(|channel| channel.shown.visible).collect();
    assert_eq!(visible, [[true; 8].as_slice(), &[false; 3]].concat());
    let notes: Vec<String> = slide.info().warnings.iter().map(|warning| warning.text()).collect();
    assert!(notes.iter().any(|note| note.starts_with("the first 8 of its 11 channels")), "{notes:?}");

    // The last one alone.
    let mut set: Vec<ChannelDisplay> = channels.iter().map(|channel| channel.shown.clone()).collect();
    for (index, channel) in set.iter_mut().enumerate() {
        *channel = ChannelDisplay {
            colour: [0, 255, 0],
            visible: index == 10,
            window: [0.0, 1100.0],
            ..channel.clone()
        };
    }
    let last = open_with_channels(&opened.path, None, set).unwrap();
    assert_eq!(whole(last.as_ref(), 0).get_pixel(40, 5).0, [0, 255, 0, 255]);
    assert_eq!(last.info().channels[10].values, [0.0, 1100.0]);
}
