//! Annotations of QuPath and ASAP, plain and packed; what is read is written and read again as the same.

#![no_main]

use std::path::Path;

use histokin::annotation::{read_bytes, write_asap, write_geojson};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(read) = read_bytes(file, Path::new("a.geojson")) {
        let written = write_geojson(&read.set, None);
        let again = read_bytes(written.as_bytes(), Path::new("b.geojson")).expect("what is written can be read");
        assert_eq!(again.set.len(), read.set.len());
        let _ = write_asap(&read.set);
    }
});
