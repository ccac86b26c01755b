//! Entry points for fuzzing.

use std::io::{Cursor, Read, Seek};

use turbojpeg::ScalingFactor;

use super::codec::Shape;
use super::colours::Rendering;
use super::directory::Tiff;
use super::jpeg::{Components, TileJpegs, TilePart};
use super::raster::{Raster, most_chunks};
use super::set::Images;
use super::{layout, page};

/// Reads the directories of a file and determines the layout of the slide.
pub fn fuzz_tiff_directories(file: impl Read + Seek) {
    let Ok((mut tiff, first)) = Tiff::begin(file) else { return };
    let Ok(pages) = page::pages(&mut tiff, first) else { return };
    let images = Images::alone(pages);
    let Ok(layout) = layout::layout(&images) else { return };
    let mut left = most_chunks(tiff.size);
    for plane in layout.levels.iter().flatten() {
        let _ = Raster::of(plane.page, &mut tiff, &mut left);
    }
}

/// Decodes the first tiles or strips of each image of a file.
pub fn fuzz_tiff_tile(file: &[u8]) {
    const MAX_TILES: usize = 4;
    let Ok((mut tiff, first)) = Tiff::begin(Cursor::new(file)) else { return };
    let Ok(pages) = page::pages(&mut tiff, first) else { return };
    let mut left = most_chunks(tiff.size);
    for page in pages.iter().filter(|page| page.area() < 1 << 22) {
        let Ok(raster) = Raster::of(page, &mut tiff, &mut left) else { continue };
        let rendering = Rendering::of(page, raster.packing(), raster.gives_rgb(), None);
        for chunk in 0..raster.grid.tiles().min(MAX_TILES) {
            if let (Ok(Some(samples)), Ok(rendering)) =
                (raster.read(&mut Cursor::new(file), chunk), &rendering)
            {
                let pixels = raster.grid.tile_width as usize * raster.rows_of(chunk) as usize;
                assert_eq!(rendering.rgba(&samples).len(), pixels * 4);
            }
        }
    }
}

/// Decodes one JPEG tile of 256 × 256 pixels, and a part of it.
pub fn fuzz_jpeg_tile(tile: &[u8]) {
    const EDGE: u32 = 256;
    const PART: TilePart = TilePart { x: 50, y: 90, width: 100, height: 60 };
    for components in
        [Components::Rgb, Components::YCbCr, Components::Grey, Components::Four, Components::Ycck]
    {
        let Ok(jpegs) = TileJpegs::new(components, &[]) else { continue };
        let mut pixels = vec![0; (EDGE * EDGE * 4) as usize];
        let _ = jpegs.decode(tile, (EDGE, EDGE), ScalingFactor::ONE, &mut pixels, EDGE as usize * 4);
        let mut part = vec![0; (PART.width * PART.height * 4) as usize];
        if jpegs.decode_part(tile, (EDGE, EDGE), PART, &mut part, PART.width as usize * 4).is_ok() {
            assert!(part.chunks_exact(4).all(|pixel| pixel[3] == 255));
        }
        let shape = Shape { width: EDGE, height: EDGE, most_rows: EDGE, shown: (EDGE / 2, EDGE), samples: 3 };
        let _ = jpegs.samples(tile, shape);
        let _ = jpegs.showing_damaged().samples(tile, shape);
    }
}
