//! The journal beside a project's annotations, whatever its checksums.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::journal(file));
