//! What counts as tissue, on slides made up so that it is known, and on the one that ships.

use histokin::geometry::Level0Rect;
use histokin::slide;
use histokin::stain::LabStatistics;
use histokin::tissue::TissueMask;
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use rand::RngExt as _;
use rand::SeedableRng as _;

use crate::support::{asset, write_pyramid};

const GLASS: Rgb<u8> = Rgb([242, 241, 243]);
const STROMA: Rgb<u8> = Rgb([222, 160, 195]);

/// Pictures are drawn at the mask's own resolution.
const UM_PER_PX: f64 = 8.0;

/// A slide of 8 × 6 mm of slightly noisy glass that `draw` paints on.
fn glass(draw: impl Fn(&mut RgbImage)) -> RgbImage {
    let mut picture = RgbImage::from_pixel(1000, 750, GLASS);
    draw(&mut picture);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for pixel in picture.pixels_mut() {
        let noise = random.random_range(-1..=1);
        pixel.0 = pixel.0.map(|value| value.saturating_add_signed(noise));
    }
    picture
}

fn fill(picture: &mut RgbImage, rect: (u32, u32, u32, u32), colour: Rgb<u8>) {
    let (left, top, width, height) = rect;
    for y in top..top + height {
        for x in left..left + width {
            picture.put_pixel(x, y, colour);
        }
    }
}

/// Stroma with nuclei in it.
fn tissue(picture: &mut RgbImage, rect: (u32, u32, u32, u32)) {
    fill(picture, rect, STROMA);
    for y in (rect.1..rect.1 + rect.3).step_by(5) {
        for x in (rect.0..rect.0 + rect.2).step_by(7) {
            picture.put_pixel(x, y, Rgb([130, 90, 160]));
        }
    }
}

fn mask_of(picture: &RgbImage, um_per_px: Option<f64>) -> TissueMask {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    write_pyramid(&path, picture, 1, um_per_px);
    TissueMask::of(&*slide::open(&path, None).unwrap()).unwrap()
}

fn mask(picture: &RgbImage) -> TissueMask {
    mask_of(picture, Some(UM_PER_PX))
}

/// Share of a rectangle of the slide that is tissue.
fn share(mask: &TissueMask, (x, y, width, height): (u32, u32, u32, u32)) -> f64 {
    mask.fraction(&Level0Rect::new(x.into(), y.into(), width, height))
}

#[test]
fn an_empty_slide_has_no_tissue() {
    assert_eq!(mask(&glass(|_| ())).coverage(), 0.0);
    let mut noisy = RgbImage::from_pixel(1000, 750, GLASS);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(8);
    for value in noisy.iter_mut() {
        *value = value.saturating_add_signed(random.random_range(-6..=6));
    }
    assert_eq!(mask(&noisy).coverage(), 0.0, "a noisy camera");
    for grey in [0, 128, 255] {
        let plain = RgbImage::from_pixel(1000, 750, Rgb([grey; 3]));
        assert_eq!(mask(&plain).coverage(), 0.0, "grey {grey}");
    }
}

#[test]
fn tissue_is_found_where_it_lies() {
    let rect = (200, 150, 300, 250);
    let picture = glass(|picture| tissue(picture, rect));
    for found in [mask(&picture), mask_of(&picture, None)] {
        assert!(share(&found, rect) > 0.99);
        let whole = f64::from(rect.2 * rect.3) / f64::from(picture.width() * picture.height());
        assert!((found.coverage() - whole).abs() < 0.02, "{} instead of {whole}", found.coverage());
    }
}

#[test]
fn faint_stain_is_tissue_beside_strong_stain_and_alone() {
    let (strong, faint) = ((100, 100, 300, 400), (550, 100, 300, 400));
    for with_strong in [true, false] {
        let found = mask(&glass(|picture| {
            if with_strong {
                tissue(picture, strong);
            }
            fill(picture, faint, Rgb([238, 220, 234]));
        }));
        assert!(share(&found, faint) > 0.95, "with strong stain: {with_strong}: {}", share(&found, faint));
        assert!(share(&found, (0, 550, 1000, 150)) < 0.01);
    }
}

/// Fat cells of 100 µm, whose walls are barely darker than glass.
#[test]
fn fat_is_tissue() {
    let fat = (300, 200, 400, 300);
    let found = mask(&glass(|picture| {
        for y in 200..500 {
            for x in 300..700 {
                let shifted = if (y / 12) % 2 == 0 { x } else { x + 6 };
                if y % 12 == 0 || shifted % 12 == 0 {
                    picture.put_pixel(x, y, Rgb([234, 222, 233]));
                }
            }
        }
    }));
    assert!(share(&found, fat) > 0.95, "{}", share(&found, fat));
    assert!(share(&found, (0, 0, 1000, 150)) < 0.01);
}

#[test]
fn lumina_and_clefts_wider_than_a_tile_are_no_tissue() {
    let lumen = (350, 300, 100, 60);
    let found = mask(&glass(|picture| {
        tissue(picture, (200, 150, 400, 350));
        fill(picture, lumen, GLASS);
    }));
    assert!(share(&found, (360, 310, 80, 40)) < 0.05);
    assert!(share(&found, (200, 150, 400, 100)) > 0.99);
}

#[test]
fn pens_of_every_colour_are_no_tissue() {
    let flesh = (600, 300, 250, 250);
    for (name, ink) in [
        ("blue", [40, 60, 170]),
        ("green", [30, 120, 70]),
        ("red", [200, 35, 45]),
        ("black", [25, 25, 30]),
        ("worn black", [90, 92, 96]),
    ] {
        // A line across the glass, and one over the tissue's corner.
        let strokes = [(100, 60, 700, 40), (560, 250, 90, 90)];
        let found = mask(&glass(|picture| {
            tissue(picture, flesh);
            for stroke in strokes {
                fill(picture, stroke, Rgb(ink));
            }
        }));
        for stroke in strokes {
            assert!(share(&found, stroke) < 0.02, "{name} pen: {}", share(&found, stroke));
        }
        assert!(share(&found, (680, 380, 160, 160)) > 0.99, "tissue beside {name} pen");
    }
}

#[test]
fn black_borders_and_dust_are_no_tissue() {
    let flesh = (400, 300, 200, 200);
    let found = mask(&glass(|picture| {
        tissue(picture, flesh);
        fill(picture, (0, 0, 1000, 50), Rgb([0; 3]));
        fill(picture, (0, 0, 60, 750), Rgb([8, 6, 10]));
        // A hair, a scratch, and grains of stain.
        fill(picture, (700, 100, 3, 600), Rgb([120, 118, 122]));
        fill(picture, (100, 650, 500, 1), Rgb([215, 214, 216]));
        for x in (100..900).step_by(90) {
            fill(picture, (x, 200, 4, 4), Rgb([120, 60, 130]));
        }
    }));
    assert!(share(&found, flesh) > 0.99);
    let whole = f64::from(flesh.2 * flesh.3) / 750_000.0;
    assert!((found.coverage() - whole).abs() < 0.01, "{} instead of {whole}", found.coverage());
}

#[test]
fn a_tinted_lamp_is_not_stain() {
    let flesh = (400, 300, 200, 200);
    let mut picture = glass(|picture| tissue(picture, flesh));
    for pixel in picture.pixels_mut() {
        pixel.0[2] = (f64::from(pixel.0[2]) * 0.88) as u8;
    }
    let found = mask(&picture);
    assert!(share(&found, flesh) > 0.99);
    assert!(share(&found, (0, 0, 1000, 250)) < 0.01);
}

#[test]
fn what_was_never_scanned_is_no_tissue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.png");
    let flesh = (500, 100, 300, 300);
    let opaque = glass(|picture| tissue(picture, flesh));
    let picture = RgbaImage::from_fn(1000, 750, |x, y| {
        let [r, g, b] = opaque.get_pixel(x, y).0;
        if x < 400 { Rgba([180, 40, 120, 0]) } else { Rgba([r, g, b, 255]) }
    });
    picture.save(&path).unwrap();
    let found = TissueMask::of(&*slide::open(&path, None).unwrap()).unwrap();
    assert!(share(&found, (0, 0, 400, 750)) < 0.01);
    assert!(share(&found, flesh) > 0.99);
}

#[test]
fn the_slide_that_ships_has_its_tissue_and_its_colours() {
    let slide = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    let found = TissueMask::of(&*slide).unwrap();
    // Skin in the middle, glass to the left, below the thread of tissue there.
    assert!(share(&found, (700, 2000, 800, 800)) > 0.99);
    assert!(share(&found, (0, 1400, 450, 1500)) < 0.05);
    let colours = LabStatistics::of_slide(&*slide, &found).unwrap().unwrap();
    assert!((40.0..75.0).contains(&colours.mean[0]), "{colours:?}");
    assert!(colours.mean[1] > 10.0 && colours.mean[2] < 5.0, "purple: {colours:?}");
}
