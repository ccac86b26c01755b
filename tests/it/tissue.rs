//! What counts as tissue, on slides made up so that it is known, and on the one that ships.

use histokin::geometry::Level0Rect;
use histokin::pipeline::TileSelection;
use histokin::slide;
use histokin::stain::LabStatistics;
use histokin::tiling::{TileGrid, TileSettings};
use histokin::tissue::{Detection, TissueMask, TissueSettings};
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

/// How many tiles of 224 µm are embedded of a picture.
fn tiles(picture: &RgbImage, settings: &TissueSettings) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    write_pyramid(&path, picture, 1, Some(UM_PER_PX));
    let slide = slide::open(&path, None).unwrap();
    let found = TissueMask::find(&*slide, settings).unwrap();
    let grid = TileGrid::new(slide.info(), TileSettings { tile_px: 28, mpp: UM_PER_PX }).unwrap();
    TileSelection::new(settings.clone(), None).tiles(&found, &grid).len()
}

/// Paint where `is_in` holds, with nuclei.
fn shape(picture: &mut RgbImage, colour: Rgb<u8>, is_in: impl Fn(f64, f64) -> bool) {
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        if is_in(x.into(), y.into()) {
            *pixel = if x % 5 == 0 && y % 4 == 0 { Rgb([130, 90, 160]) } else { colour };
        }
    }
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
        ("violet", [90, 40, 150]),
        ("orange", [235, 120, 30]),
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
    assert!(share(&found, (800, 2000, 700, 800)) > 0.99);
    assert!(share(&found, (0, 1400, 450, 1500)) < 0.05);
    let colours = LabStatistics::of_slide(&*slide).unwrap().unwrap();
    assert!((40.0..75.0).contains(&colours.mean[0]), "{colours:?}");
    assert!(colours.mean[1] > 10.0 && colours.mean[2] < 5.0, "purple: {colours:?}");
}

/// A biopsy of 140 × 120 µm, and cores 100 µm wide.
#[test]
fn small_biopsies_and_needle_cores_give_tiles() {
    let usual = TissueSettings::default();
    let biopsy = glass(|picture| {
        shape(picture, STROMA, |x, y| ((x - 512.0) / 8.75).powi(2) + ((y - 373.0) / 7.5).powi(2) < 1.0);
    });
    assert!((1..=4).contains(&tiles(&biopsy, &usual)), "{}", tiles(&biopsy, &usual));
    let asked = TissueSettings { tile_share: Some(0.5), ..usual.clone() };
    assert_eq!(tiles(&biopsy, &asked), 0, "half of a tile is more than there is");
    let larger = TissueSettings { smallest_piece_um2: 20_000.0, ..usual.clone() };
    assert_eq!(tiles(&biopsy, &larger), 0);
    let core = glass(|picture| {
        shape(picture, STROMA, |x, y| (100.0..900.0).contains(&x) && (y - 0.2 * x - 200.0).abs() < 6.25);
    });
    // 6.5 mm long: a tile is 224 µm.
    assert!((24..=50).contains(&tiles(&core, &usual)), "{}", tiles(&core, &usual));
}

#[test]
fn large_tissue_gives_the_same_tiles_as_ever() {
    let picture = glass(|picture| tissue(picture, (112, 112, 28 * 6, 28 * 4)));
    assert_eq!(tiles(&picture, &TissueSettings::default()), 24);
}

#[test]
fn pale_and_small_immunohistochemistry_is_tissue() {
    let (blue, brown, strong) = (Rgb([220, 225, 237]), Rgb([150, 110, 80]), (600, 300, 200, 200));
    let picture = glass(|picture| {
        fill(picture, strong, Rgb([110, 65, 40]));
        fill(picture, (100, 100, 18, 18), blue);
        fill(picture, (300, 100, 18, 18), brown);
        fill(picture, (100, 300, 250, 250), Rgb([226, 230, 240]));
    });
    let found = mask(&picture);
    for rect in [strong, (100, 100, 18, 18), (300, 100, 18, 18), (100, 300, 250, 250)] {
        assert!(share(&found, rect) > 0.7, "{rect:?}: {}", share(&found, rect));
    }
}

/// The edge of a cover slip with coloured fringes, and the dark rim of an air bubble.
#[test]
fn lines_and_their_fringes_are_no_tissue() {
    let flesh = (100, 200, 250, 250);
    let found = mask(&glass(|picture| {
        tissue(picture, flesh);
        fill(picture, (597, 0, 4, 750), Rgb([255, 226, 190]));
        fill(picture, (601, 0, 4, 750), Rgb([70, 70, 75]));
        fill(picture, (605, 0, 4, 750), Rgb([200, 216, 250]));
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let away = ((f64::from(x) - 800.0).powi(2) + (f64::from(y) - 400.0).powi(2)).sqrt() - 120.0;
            let shade = 1.0 - 0.75 * (-(away / 1.5).powi(2)).exp();
            let [r, g, b] = pixel.0.map(|value| f64::from(value) * shade);
            pixel.0 = [r as u8, g as u8, (b * 0.5 * (1.0 + shade)).max(b * 0.9) as u8];
        }
    }));
    assert!(share(&found, flesh) > 0.99);
    assert!(share(&found, (500, 0, 500, 750)) < 0.001, "{}", share(&found, (500, 0, 500, 750)));
}

#[test]
fn without_detection_everything_on_the_glass_is_embedded_and_nothing_else() {
    let off = TissueSettings { detection: Detection::Off, ..TissueSettings::default() };
    let smear = glass(|picture| {
        // One cell a tile, in 6 × 5 tiles.
        for y in (0..5).map(|row| row * 28 + 150) {
            for x in (0..6).map(|column| column * 28 + 300) {
                fill(picture, (x, y, 2, 2), Rgb([120, 90, 170]));
            }
        }
        fill(picture, (0, 0, 140, 750), Rgb([0; 3]));
        fill(picture, (860, 0, 140, 750), Rgb([255; 3]));
    });
    assert_eq!(tiles(&smear, &off), 30);
    assert_eq!(tiles(&smear, &TissueSettings::default()), 0);
    assert_eq!(tiles(&glass(|_| ()), &off), 0, "plain glass");
}
