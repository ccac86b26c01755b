//! Both kinds of segment against the comparison with every tile.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::descriptors::made::made_set;
use crate::descriptors::{EncoderId, Recipe};
use crate::geometry::MicronsPerPixel;
use crate::index::{Exclusion, IndexCache, RowMask, Snapshot};
use crate::stain::StainSetting;
use crate::tiling::TileSettings;

/// What descriptors look like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Noise,
    /// Of length 1, about equally spread along all axes around a mean.
    Unit,
    Clustered,
    /// Half of them equal, as blank tiles are.
    Repeated,
    /// One number in some of them is far away.
    Outliers,
    /// A third of them are zero vectors.
    Zeros,
    /// All of them equal.
    Equal,
    /// Of very small numbers.
    Small,
    /// Of very large numbers.
    Large,
}

const KINDS: [Kind; 9] = [
    Kind::Noise,
    Kind::Unit,
    Kind::Clustered,
    Kind::Repeated,
    Kind::Outliers,
    Kind::Zeros,
    Kind::Equal,
    Kind::Small,
    Kind::Large,
];

fn descriptors(kind: Kind, seed: u64, count: usize, width: usize) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut noise =
        |size: f32| -> Vec<f32> { (0..width).map(|_| size * random.random_range(-1.0f32..1.0)).collect() };
    let centres: Vec<Vec<f32>> = (0..15).map(|_| noise(3.0)).collect();
    let make = |number: usize| {
        let mut row = noise(1.0);
        match kind {
            Kind::Noise => {}
            Kind::Unit => {
                row.iter_mut().zip(&centres[0]).for_each(|(value, mean)| *value += 0.3 * mean);
                let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-3);
                row.iter_mut().for_each(|value| *value /= length);
            }
            Kind::Clustered => {
                row.iter_mut()
                    .zip(&centres[number % 15])
                    .for_each(|(value, centre)| *value = 0.2 * *value + centre);
            }
            Kind::Repeated if number.is_multiple_of(2) => row.fill(0.25),
            Kind::Outliers if number.is_multiple_of(50) => row[number % width] *= 1e4,
            Kind::Zeros if number.is_multiple_of(3) => row.fill(0.0),
            Kind::Equal => row.fill(0.25),
            Kind::Small => row.iter_mut().for_each(|value| *value *= 1e-12),
            Kind::Large => row.iter_mut().for_each(|value| *value *= 1e12),
            Kind::Repeated | Kind::Outliers | Kind::Zeros => {}
        }
        row
    };
    (0..count).map(make).collect()
}

fn set(slide: &str, rows: &[Vec<f32>]) -> Arc<DescriptorSet> {
    let recipe = Recipe {
        encoder_id: EncoderId("test".to_owned()),
        encoder_name: "test".to_owned(),
        tiles: TileSettings::default(),
        stain: StainSetting::None,
    };
    made_set(slide, recipe, rows[0].len(), rows)
}

/// A third of the rows, one row, and the rest.
fn split(rows: &[Vec<f32>]) -> Vec<Arc<DescriptorSet>> {
    let third = rows.len() / 3;
    vec![set("a", &rows[..third]), set("b", &rows[third..=third]), set("c", &rows[third + 1..])]
}

/// What marks ask for: the mean of some rows less half the mean of others, of length 1 unless it is 0.
fn taught(rows: &[Vec<f32>]) -> Vec<f32> {
    let weight = |number: usize| if number.is_multiple_of(2) { 1.0 } else { -0.5 };
    let mut direction = vec![0.0f32; rows[0].len()];
    for (number, row) in rows.iter().enumerate() {
        direction.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight(number) * value);
    }
    let length = direction.iter().map(|value| value * value).sum::<f32>().sqrt();
    let length = if length > 0.0 { length } else { 1.0 };
    direction.iter().map(|value| value / length).collect()
}

fn build(sets: &[Arc<DescriptorSet>], is_flat: bool) -> Arc<Segment> {
    let segment = Segment::build_by(sets, |_| is_flat).expect("finite numbers");
    segment.grow_trees();
    Arc::new(segment)
}

/// Filters of every kind, for the sets of [`split`].
fn filters(sets: &[Arc<DescriptorSet>]) -> Vec<TileFilter> {
    let every = |sets: &[Arc<DescriptorSet>], every: usize| -> Vec<Option<Arc<RowMask>>> {
        let mask =
            |set: &Arc<DescriptorSet>| RowMask::new((0..set.len()).map(|row| row % every == 0).collect());
        sets.iter().map(|set| Some(Arc::new(mask(set)))).collect()
    };
    let disc = Exclusion {
        set: 0,
        center: sets[0].rect(Row(3.min(sets[0].len() as u32 - 1))).center(),
        radius_um: 900.0,
        mpp: MicronsPerPixel::square(1.0).expect("a size"),
    };
    let all = TileFilter::default;
    vec![
        all(),
        TileFilter { sets: vec![false, true, true], ..all() },
        TileFilter { sets: vec![false, true, false], ..all() },
        TileFilter { rows: every(sets, 3), ..all() },
        TileFilter { rows: every(sets, 100), ..all() },
        TileFilter { without: vec![(2, every(sets, 2)[2].clone().expect("a mask"))], ..all() },
        TileFilter { excluded: vec![disc], ..all() },
        TileFilter { max_distance: 1.0, ..all() },
        TileFilter {
            negatives: vec![sets[2].descriptor(Row(7.min(sets[2].len() as u32 - 1))).to_vec()],
            ..all()
        },
    ]
}

fn check(sets: &[Arc<DescriptorSet>], index: &Snapshot, queries: &[Vec<f32>], counts: &[usize], what: &str) {
    let positions: Vec<u32> = (0..sets.len() as u32).collect();
    for (number, filter) in filters(sets).iter().enumerate() {
        for query in queries {
            for count in counts {
                let expected = brute_force::nearest(sets, &positions, query, filter, *count);
                assert_eq!(
                    index.nearest(query, filter, *count),
                    expected,
                    "{what}, filter {number}, {count}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn layers_and_trees_find_the_same_as_brute_force(
        kind in prop::sample::select(KINDS.to_vec()),
        seed in any::<u64>(),
        count in prop_oneof![3usize..70, 30usize..5000],
        width in prop::sample::select(vec![1usize, 31, 62, 105, 128, 200]),
        wanted in 1usize..40,
        is_flat in any::<bool>(),
    ) {
        let rows = descriptors(kind, seed, count, width);
        let sets = split(&rows);
        let index = Snapshot::with_segments(sets.clone(), &[build(&sets, is_flat)]);
        let own = rows[seed as usize % count].clone();
        let near = own.iter().map(|value| value * 1.05 + 0.01).collect();
        let marked = taught(&rows[..count.min(6)]);
        let opposite = marked.iter().map(|value| -value).collect();
        let far = own.iter().map(|value| value * 1e3 - 70.0).collect();
        let queries = [own, near, marked, opposite, far, vec![0.0; width]];
        check(&sets, &index, &queries, &[wanted], &format!("{kind:?}, flat: {is_flat}"));
    }
}

#[test]
fn layers_of_many_tiles_are_searched_exactly() {
    // Enough for seeds, for several threads, and for pieces that span slides.
    for kind in KINDS {
        let rows = descriptors(kind, 3, 40_001, 128);
        let sets = split(&rows);
        let index = Snapshot::with_segments(sets.clone(), &[build(&sets, true)]);
        let far = vec![50.0; 128];
        check(&sets, &index, &[rows[70].clone(), rows[39_999].clone(), far], &[20], &format!("{kind:?}"));
        let filter = TileFilter::default();
        for count in [1, 700, 39_000, 50_000] {
            let expected = brute_force::nearest(&sets, &[0, 1, 2], &rows[5], &filter, count);
            assert_eq!(index.nearest(&rows[5], &filter, count), expected, "{kind:?}, {count}");
        }
    }
}

#[test]
fn removed_and_additional_slides_are_heeded() {
    let rows = descriptors(Kind::Unit, 5, 9000, 64);
    let sets = split(&rows);
    for is_flat in [false, true] {
        let whole = Snapshot::with_segments(sets[..2].to_vec(), &[build(&sets, is_flat)]);
        check(
            &[sets[0].clone(), sets[1].clone(), sets[2].clone()],
            &whole.with_more([sets[2].clone()]),
            &[rows[8].clone()],
            &[20],
            "one slide anew",
        );
        let without = Snapshot::with_segments(sets[1..].to_vec(), &[build(&sets, is_flat)]);
        let filter = TileFilter::default();
        let expected = brute_force::nearest(&sets[1..], &[0, 1], &rows[8], &filter, 20);
        assert_eq!(without.nearest(&rows[8], &filter, 20), expected);
    }
}

#[test]
fn data_decides_between_layers_and_trees() {
    let is_flat = |kind, width| {
        let segment = Segment::build(&split(&descriptors(kind, 1, 20_000, width))).expect("finite numbers");
        segment.scale.is_some()
    };
    assert!(is_flat(Kind::Noise, 128) && is_flat(Kind::Unit, 128));
    assert!(!is_flat(Kind::Noise, 3));
}

#[test]
fn layers_survive_being_stored_and_files_of_earlier_versions_are_rebuilt() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = crate::descriptors::DescriptorStore::new(folder.path());
    let rows = descriptors(Kind::Unit, 2, 24_000, 128);
    let saved = |set: Arc<DescriptorSet>| {
        store.save(&set).expect("room");
        Arc::new(store.open(&set.header.slide_id, &set.header.recipe).expect("whole").expect("there"))
    };
    let sets: Vec<_> = split(&rows).into_iter().map(saved).collect();
    let cache = IndexCache::new(folder.path().join("index"));
    let built = Snapshot::build(sets.clone(), None, Some(&cache));
    let is_mapped =
        |index: &Snapshot| index.segments().all(|segment| segment.is_mapped() && segment.scale.is_some());
    assert!(built.segments().count() == 1 && is_mapped(&built), "flat, and stored");
    assert!(built.segments().all(|segment| segment.index_bytes() < 65 * segment.len()));
    check(&sets, &built, &[rows[9].clone()], &[20], "stored");

    let files = || -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder.path().join("index")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let path = files().remove(0);
    let mut bytes = std::fs::read(&path).expect("the file");
    bytes[7] = b'3';
    let body = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..body]).to_le_bytes();
    bytes[body..].copy_from_slice(&crc);
    std::fs::write(&path, &bytes).expect("room");
    assert!(cache.load(&sets).is_empty() && files().is_empty(), "of another version, and removed");
    let rebuilt = Snapshot::build(sets.clone(), None, Some(&cache));
    assert!(is_mapped(&rebuilt) && files() == [path]);
    check(&sets, &rebuilt, &[rows[9].clone()], &[20], "rebuilt");
}
