//! A project's folder: its settings, its questions and judgements.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::project(file));
