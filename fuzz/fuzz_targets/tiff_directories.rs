//! Where the tiles of a TIFF file lie.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin::fuzzing::tiff_directories(file));
