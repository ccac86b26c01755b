//! A descriptor file in a project.

#![no_main]

use histokin::descriptors::{DescriptorHeader, DescriptorStore, Recipe, Row};
use histokin::encoder::EncoderId;
use histokin::slide::SlideId;
use histokin::stain::StainSetting;
use histokin::tiling::TileSettings;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let slide = SlideId("a".repeat(8));
    let recipe = Recipe {
        encoder_id: EncoderId("test".to_owned()),
        encoder_name: "test".to_owned(),
        tiles: TileSettings::default(),
        stain: StainSetting::None,
    };
    histokin_fuzz::in_folder(|folder| {
        let store = DescriptorStore::new(folder);
        std::fs::write(store.path(&slide, &recipe), file).expect("memory");
        if let Ok(Some(set)) = store.open(&slide, &recipe) {
            for row in (0..set.len() as u32).map(Row) {
                assert_eq!(set.descriptor(row).len(), set.width());
                let _ = set.row_at(set.rect(row).center());
            }
            let _: &DescriptorHeader = &set.header;
        }
    });
});
