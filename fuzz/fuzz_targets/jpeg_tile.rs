//! A JPEG tile of a slide, put together with shared tables and decoded.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::jpeg_tile(file));
