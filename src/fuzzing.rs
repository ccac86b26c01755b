//! Entry points for the fuzz targets in `fuzz/` to parsers that are otherwise private. Built by `cargo fuzz`
//! only.

use std::io::Cursor;
use std::path::Path;

use crate::{encoder, index, slide};

/// Parses the directories of a TIFF file.
pub fn tiff_directories(file: &[u8]) {
    slide::fuzz_tiff_directories(Cursor::new(file));
}

/// Derives a slide ID from the structure of a TIFF file or the elements of a DICOM file.
pub fn slide_identity(file: &[u8]) {
    slide::fuzz_identity(file);
}

/// Decodes one JPEG tile of 256 × 256 pixels.
pub fn jpeg_tile(tile: &[u8]) {
    slide::fuzz_jpeg_tile(tile);
}

/// Parses the elements of a DICOM file that identify its series.
pub fn dicom(file: &[u8]) {
    slide::fuzz_dicom(file);
}

/// Decodes tiles and strips of a TIFF file, with any compression and sample format.
pub fn tiff_tile(file: &[u8]) {
    slide::fuzz_tiff_tile(file);
}

/// Reads weights as saved by Python's torch.
pub fn pickled_weights(file: &[u8]) {
    let _ = encoder::weights::from_torch(Path::new("weights.pth"), file);
}

/// Parses a segment file of an index.
pub fn index_segment(file: &[u8]) {
    index::fuzz_layout(file);
}
