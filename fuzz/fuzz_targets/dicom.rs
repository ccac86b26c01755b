//! The elements of a DICOM file that identify its series, describe its planes, and say where its tiles lie.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| histokin_fuzz::dicom(file));
