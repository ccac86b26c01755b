//! What tells a slide from others.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::slide_identity(file));
