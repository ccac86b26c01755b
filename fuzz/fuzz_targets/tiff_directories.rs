//! Where the tiles of a TIFF file lie.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::tiff_directories(file));
