//! The elements of a DICOM file that identify its series, and where its tiles lie.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::dicom(file));
