//! Rows of a PNG, decompressed from its first one on.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::RgbaImage;
use png::{BitDepth, ColorType, Decoder, Reader, Transformations};

use super::super::reduced::shrink_into;
use super::super::{SlideInfo, one_line};

/// Why the rows of this PNG cannot be decoded one after the other.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    match open(path) {
        Err(reason) => Some(reason),
        Ok(reader) if reader.info().interlaced => Some("it is interlaced".to_owned()),
        Ok(reader) if reader.info().bit_depth == BitDepth::Sixteen => {
            Some("it has 16 bits for each colour".to_owned())
        }
        Ok(_) => None,
    }
}

fn open(path: &Path) -> Result<Reader<BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut decoder = Decoder::new(BufReader::new(file));
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.read_info().map_err(|error| one_line(&error.to_string()))
}

/// Calls `take` with each row from the first one on, as RGBA, for `count` rows.
fn each_row(info: &SlideInfo, count: u32, mut take: impl FnMut(u32, &[u8])) -> Result<(), String> {
    let mut reader = open(&info.path)?;
    let header = reader.info();
    if (header.width, header.height, header.interlaced) != (info.width(), info.height(), false) {
        return Err("the file was replaced since it was opened".to_owned());
    }
    let channels = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => 1,
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => 2,
        (ColorType::Rgb, BitDepth::Eight) => 3,
        (ColorType::Rgba, BitDepth::Eight) => 4,
        _ => return Err("its colours are of a rare kind".to_owned()),
    };
    let mut rgba = vec![0; info.width() as usize * 4];
    for number in 0..count {
        let row = reader.next_row().map_err(|error| one_line(&error.to_string()))?;
        let row = row.ok_or("the file is cut short; copy it again")?;
        for (pixel, from) in rgba.chunks_exact_mut(4).zip(row.data().chunks_exact(channels)) {
            let straight = match *from {
                [grey] => [grey, grey, grey, 255],
                [grey, alpha] => [grey, grey, grey, alpha],
                [r, g, b] => [r, g, b, 255],
                [r, g, b, alpha] => [r, g, b, alpha],
                _ => [0; 4],
            };
            // What is wholly transparent has no colour here, as with every other slide.
            pixel.copy_from_slice(if straight[3] == 0 { &[0; 4] } else { &straight });
        }
        take(number, &rgba);
    }
    Ok(())
}

/// `count` rows from `first` on.
pub(super) fn rows(info: &SlideInfo, first: u32, count: u32) -> Result<RgbaImage, String> {
    let mut rows = RgbaImage::new(info.width(), count);
    let row_bytes = info.width() as usize * 4;
    let samples = rows.as_flat_samples_mut().samples;
    each_row(info, first + count, |number, row| {
        if let Some(place) = number.checked_sub(first) {
            samples[place as usize * row_bytes..][..row_bytes].copy_from_slice(row);
        }
    })?;
    Ok(rows)
}

/// The whole picture, each pixel the mean of `factor` × `factor`.
pub(super) fn reduced(info: &SlideInfo, factor: u32) -> Result<RgbaImage, String> {
    let (width, height) = (info.width(), info.height());
    let mut reduced = RgbaImage::new(width.div_ceil(factor), height.div_ceil(factor));
    let mut band = Vec::with_capacity(width as usize * 4 * factor as usize);
    each_row(info, height, |number, row| {
        band.extend_from_slice(row);
        if (number + 1) % factor == 0 || number + 1 == height {
            let rows = (band.len() / row.len()) as u32;
            if let Some(picture) = RgbaImage::from_vec(width, rows, std::mem::take(&mut band)) {
                shrink_into(&picture, factor, &mut reduced, (0, number / factor));
                band = picture.into_vec();
                band.clear();
            }
        }
    })?;
    Ok(reduced)
}
