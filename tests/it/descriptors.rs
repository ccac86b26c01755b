//! Descriptor files: whole, checked, and never silently wrong.

use std::fs;

use histokin::descriptors::{
    DescriptorError, DescriptorHeader, DescriptorSet, DescriptorStore, JournalRecord, Row,
};
use histokin::geometry::Level0Point;
use histokin::interchange::{Layout, write_h5};
use histokin::tiling::{TileGrid, TileIndex};

use crate::made;

#[test]
fn a_set_comes_back_as_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let rows: Vec<Vec<f32>> = (0..250).map(|n| vec![n as f32, -1.5, 0.25]).collect();
    let set = made::set("a", 3, &rows);
    store.save(&set).unwrap();
    let back = store.open(&set.header.slide_id, &set.header.recipe).unwrap().unwrap();
    assert_eq!(back.header, set.header);
    assert_eq!(back.features(), set.features());
    assert_eq!(back.coords(), set.coords());
    let rect = back.rect(Row(137));
    assert_eq!(back.row_at(rect.center()), Some(Row(137)));
}

#[test]
fn tiles_of_pixels_that_are_not_square_keep_both_edges() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let square = made::set("a", 1, &[]).header.clone();
    assert!(!serde_json::to_string(&square).unwrap().contains("tile_level0_y"), "as files were before");
    let grid = TileGrid {
        tile_px: 224,
        tile_level0: 448,
        tile_level0_y: 896,
        effective_mpp: 1.0,
        columns: 3,
        rows: 2,
    };
    let header = DescriptorHeader::new(square.slide_id, square.recipe, 1, &grid, 6);
    let rows: Vec<(TileIndex, &[f32])> = (0..6).map(|tile| (TileIndex(tile), &[1.0_f32][..])).collect();
    let path = store.save(&DescriptorSet::from_rows(header.clone(), &rows, 0)).unwrap();
    let back = store.open(&header.slide_id, &header.recipe).unwrap().unwrap();
    assert_eq!((back.header.tile_grid(), &back.header), (grid, &header));
    let mpp = back.header.level0_mpp();
    assert_eq!((mpp.x(), mpp.y()), (0.5, 0.25));
    for row in (0..6).map(Row) {
        let rect = back.rect(row);
        assert_eq!((rect.width, rect.height), (448, 896));
        assert_eq!(back.row_at(rect.center()), Some(row));
    }
    assert_eq!(back.row_at(Level0Point::new(447.0, 895.0)), Some(Row(0)));
    assert_eq!(back.row_at(Level0Point::new(-1e300, -1e300)), None, "as a damaged concept may ask");
    assert_eq!(back.row_at(Level0Point::new(448.0, 896.0)), Some(Row(4)));
    // Other programs are not told one edge for both.
    let bytes = fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("patch_height_level0") && !text.contains("patch_size_level0"));
    let refused = write_h5(&folder.path().join("a.h5"), Layout::Trident, &back, "a", mpp, [1344, 1792]);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("448 × 896") && message.contains("parquet"), "{message}");
    assert!(!folder.path().join("a.h5").exists());
}

#[test]
fn an_empty_slide_is_a_set_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path());
    let set = made::set("a", 3, &[]);
    store.save(&set).unwrap();
    assert!(store.open(&set.header.slide_id, &set.header.recipe).unwrap().unwrap().is_empty());
}

#[test]
fn a_slide_smaller_than_a_tile_is_a_set_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path());
    let header = DescriptorHeader { grid: [0, 0], ..made::set("a", 3, &[]).header.clone() };
    let set = DescriptorSet::from_rows(header, &[], 0);
    store.save(&set).unwrap();
    let back = store.open(&set.header.slide_id, &set.header.recipe).unwrap().unwrap();
    assert!(back.is_empty() && back.header == set.header);
}

#[test]
fn every_flipped_byte_is_noticed_and_the_file_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path());
    let set = made::set("a", 3, &[vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]]);
    let path = store.save(&set).unwrap();
    let good = fs::read(&path).unwrap();
    for place in (8..good.len()).step_by(7).chain([0, good.len() - 1]) {
        let mut bad = good.clone();
        bad[place] ^= 0x41;
        fs::write(&path, &bad).unwrap();
        match store.open(&set.header.slide_id, &set.header.recipe) {
            Err(DescriptorError::Damaged { aside, .. }) => {
                assert!(!path.exists());
                assert_eq!(fs::read(&aside).unwrap(), bad, "what was set aside is what was found");
            }
            // A flip inside of a text that nothing depends on, such as the program's version.
            Ok(Some(read)) => assert_eq!(read.features(), set.features()),
            other => panic!("byte {place}: {:?}", other.map(|set| set.map(|set| set.len()))),
        }
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path());
    let set = made::set("a", 2, &[vec![1.0, f32::NAN]]);
    assert!(matches!(store.save(&set), Err(DescriptorError::Unstorable { .. })));
    assert!(!store.path(&set.header.slide_id, &set.header.recipe).exists());
}

#[test]
fn a_journal_survives_a_torn_end_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path());
    let header = made::set("a", 2, &[]).header.clone();
    let records: Vec<JournalRecord> = (0..5)
        .map(|tile| JournalRecord {
            tile: TileIndex(tile),
            descriptor: (tile != 2).then(|| vec![tile as f32, 0.5]),
        })
        .collect();
    let mut journal = store.journal(&header).unwrap();
    journal.append(&records).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    let record_len = 4 + 4 + 2 * 4 + 4;
    let start = whole.len() - 5 * record_len;
    for cut in start..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = store.journal(&header).unwrap();
        let left = (cut - start) / record_len;
        assert_eq!(journal.earlier, records[..left], "cut after {cut} bytes");
        // What is appended after a torn record is found again.
        journal.append(&records[4..]).unwrap();
        drop(journal);
        assert_eq!(store.journal(&header).unwrap().earlier.last(), Some(&records[4]));
    }
}

#[test]
fn what_is_discarded_of_a_slide_is_gone_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path());
    let [one, other] = ["a", "b"].map(|slide| made::set(slide, 2, &[vec![1.0, 2.0], vec![3.0, 4.0]]));
    for set in [&one, &other] {
        store.save(set).unwrap();
        store.save_unselected(set).unwrap();
    }
    let (slide, recipe) = (&one.header.slide_id, &one.header.recipe);
    store.clone().read_only().discard(slide, recipe).unwrap_err();
    assert_eq!(store.headers().count(), 2);
    store.discard(slide, recipe).unwrap();
    assert!(store.open(slide, recipe).unwrap().is_none() && store.open_unselected(slide, recipe).is_none());
    assert!(store.open(&other.header.slide_id, recipe).unwrap().is_some());
    store.discard(slide, recipe).unwrap();
}
