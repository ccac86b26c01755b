//! Tiles and strips of a TIFF file, decoded.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::tiff_tile(file));
