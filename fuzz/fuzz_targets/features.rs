//! Descriptors made elsewhere: HDF5 and safetensors.

#![no_main]

use histokin::geometry::MicronsPerPixel;
use histokin::interchange::read_features;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    for name in ["a.h5", "a.safetensors"] {
        histokin_fuzz::as_file(name, file, |path| {
            if let Ok(read) = read_features(path) {
                assert_eq!(read.values.len(), read.places.len() * read.width);
                assert!(read.values.iter().all(|value| value.is_finite()));
                for mpp in [None, Some(MicronsPerPixel::square(0.25).unwrap())] {
                    let _ = read.stated.tile_level0(None, mpp);
                }
                let _ = read.stated.size_problem([2220, 2967], 256);
            }
        });
    }
});
