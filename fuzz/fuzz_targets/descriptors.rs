//! A descriptor file in a project.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::descriptors(file));
