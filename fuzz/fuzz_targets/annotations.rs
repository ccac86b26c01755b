//! Annotations of QuPath, ASAP and ImageScope in any encoding, plain and packed; what is read is written and read
//! again as the same, as GeoJSON and as XML.

#![no_main]

use std::path::Path;

use histokin::annotation::{AnnotationSet, read_bytes, write_asap, write_geojson};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(read) = read_bytes(file, Path::new("a.geojson")) {
        let written = write_geojson(&read.set, None);
        let again = read_bytes(written.as_bytes(), Path::new("b.geojson")).expect("what is written can be read");
        assert_eq!(again.set.len(), read.set.len());
        let parents = |set: &AnnotationSet| set.iter().filter(|one| one.parent.is_some()).count();
        assert_eq!(parents(&again.set), parents(&read.set));
        read.set.iter().take(8).for_each(|one| _ = one.shape().area_px2());
        let (xml, _) = write_asap(&read.set);
        read_bytes(xml.as_bytes(), Path::new("c.xml")).expect("the XML that is written can be read");
    }
});
