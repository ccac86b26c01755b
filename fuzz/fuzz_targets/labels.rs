//! Labels: tables and drawn ones.

#![no_main]

use histokin::evaluation::labels::read_labels;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    for name in ["a.csv", "a.xml", "a.geojson"] {
        histokin_fuzz::as_file(name, file, |path| {
            let _ = read_labels(path, &|_| None);
        });
    }
});
