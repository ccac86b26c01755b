//! Descriptors made elsewhere: HDF5 and safetensors.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::features(file));
