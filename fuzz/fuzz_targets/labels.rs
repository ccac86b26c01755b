//! Labels: tables and drawn ones.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::labels(file));
