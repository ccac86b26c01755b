//! Annotations of QuPath, ASAP and ImageScope in any encoding, plain and packed; what is read is written and read
//! again as the same, as GeoJSON and as XML.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::annotations(file));
