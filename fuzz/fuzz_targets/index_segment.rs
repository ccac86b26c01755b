//! A part of the index on the disk.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::index_segment(file));
