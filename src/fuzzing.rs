//! Doors for `fuzz/` to parsers that nobody else outside calls. Built by `cargo fuzz` only.

use std::io::Cursor;
use std::path::Path;

use crate::{encoder, index, slide};

/// The directories of a TIFF file.
pub fn tiff_directories(file: &[u8]) {
    slide::fuzz_tiff_directories(Cursor::new(file));
}

/// What tells a slide from others: the structure of a TIFF file, the elements of a DICOM file.
pub fn slide_identity(file: &[u8]) {
    slide::fuzz_identity(file);
}

/// One JPEG tile of 256 × 256 pixels.
pub fn jpeg_tile(tile: &[u8]) {
    slide::fuzz_jpeg_tile(tile);
}

/// The elements of a DICOM file that identify its series.
pub fn dicom(file: &[u8]) {
    slide::fuzz_dicom(file);
}

/// Tiles and strips of a TIFF file, of whatever compression and samples it says.
pub fn tiff_tile(file: &[u8]) {
    slide::fuzz_tiff_tile(file);
}

/// Weights as Python's torch saves them.
pub fn pickled_weights(file: &[u8]) {
    let _ = encoder::weights::from_torch(Path::new("weights.pth"), file);
}

/// A part of an index.
pub fn index_segment(file: &[u8]) {
    index::fuzz_layout(file);
}
