//! Weights as Python's torch saves them, in both of its containers.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::pickled_weights(file));
