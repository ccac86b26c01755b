//! What tells a slide from others.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin::fuzzing::slide_identity(file));
