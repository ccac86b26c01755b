//! The index against its oracle.

use std::sync::Arc;

use histokin::descriptors::{DescriptorSet, DescriptorStore, Row};
use histokin::geometry::MicronsPerPixel;
use histokin::index::segment::Segment;
use histokin::index::{
    Exclusion, IndexCache, Neighbour, RowMask, Snapshot, TileFilter, TileRef, brute_force,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::made;

/// Clustered descriptors whose variance decays from axis to axis, as encoders' do; `flatness` 1 is noise.
/// Every tenth is repeated, as blank tiles are.
fn descriptors(seed: u64, count: usize, width: usize, flatness: f32) -> Vec<Vec<f32>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let centres: Vec<Vec<f32>> =
        (0..20).map(|_| (0..width).map(|_| random.random_range(-3.0f32..3.0)).collect()).collect();
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for number in 0..count {
        if number % 10 == 9 {
            rows.push(rows[number / 2].clone());
            continue;
        }
        let centre = &centres[random.random_range(0..centres.len())];
        let scale = |axis: usize| flatness.powf(axis as f32 / 8.0);
        rows.push(
            (0..width).map(|axis| (centre[axis] + random.random_range(-1.0f32..1.0)) * scale(axis)).collect(),
        );
    }
    rows
}

fn split(rows: &[Vec<f32>], width: usize) -> Vec<Arc<DescriptorSet>> {
    let third = rows.len() / 3;
    vec![
        made::set("a", width, &rows[..third]),
        made::set("b", width, &rows[third..third + 1]),
        made::set("c", width, &rows[third + 1..]),
    ]
}

/// What the index has to answer, in the plainest words: every tile, sorted.
fn expected(
    sets: &[Arc<DescriptorSet>],
    query: &[f32],
    filter: &TileFilter,
    count: usize,
) -> Vec<(TileRef, f32)> {
    let distance = |a: &[f32], b: &[f32]| histokin::index::squared_distance(a, b).sqrt();
    let mut all = Vec::new();
    for (set_index, set) in (0u32..).zip(sets) {
        for row in (0..set.len() as u32).map(Row) {
            let far = distance(query, set.descriptor(row));
            let center = set.rect(row).center();
            let excluded = filter.excluded.iter().any(|disc| {
                disc.set == set_index && disc.mpp.distance_um(disc.center, center) <= disc.radius_um
            });
            let negatives = filter.negatives.iter().any(|other| distance(other, set.descriptor(row)) <= far);
            let own = filter.without.iter().any(|(own, rows)| *own == set_index && rows.contains(row));
            let listed = filter.sets.get(set_index as usize).copied().unwrap_or(true);
            let listed = listed && filter.mask(set_index).is_none_or(|mask| mask.contains(row));
            if listed && !excluded && !own && !negatives && far <= filter.max_distance {
                all.push((TileRef { set: set_index, row }, far));
            }
        }
    }
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    all.truncate(count);
    all
}

fn plain(found: Vec<Neighbour>) -> Vec<(TileRef, f32)> {
    found.into_iter().map(|neighbour| (neighbour.tile, neighbour.distance)).collect()
}

/// A snapshot with one segment over all sets, however few tiles they have.
fn sealed(sets: &[Arc<DescriptorSet>]) -> Snapshot {
    let index = Snapshot::with_segments(
        sets.to_vec(),
        &[Arc::new(Segment::build(sets).expect("these can be indexed"))],
    );
    index.grow_trees();
    index
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_way_of_searching_gives_the_same_tiles(
        seed in any::<u64>(),
        count in 30usize..6000,
        width in prop::sample::select(vec![1usize, 12, 16, 40, 128]),
        flatness in prop::sample::select(vec![0.3f32, 0.7, 1.0]),
        k in 1usize..40,
        exclude_um in prop::sample::select(vec![0.0, 600.0]),
        only_set in prop::option::of(0u32..3),
        max_distance in prop::sample::select(vec![f32::INFINITY, 2.0, 0.0]),
        negatives in prop::collection::vec(0u32..10, 0..3),
        masked in prop::option::of(prop::sample::select(vec![2u32, 9, 500])),
        without in prop::option::of(1u32..4),
        of_index in any::<bool>(),
    ) {
        let rows = descriptors(seed, count, width, flatness);
        let sets = split(&rows, width);
        let filter = TileFilter {
            sets: (0..3).map(|set| only_set.is_none_or(|only| only == set)).collect(),
            rows: sets
                .iter()
                .map(|set| {
                    let every = masked?;
                    Some(Arc::new(RowMask::new((0..set.len() as u32).map(|row| row % every == 1).collect())))
                })
                .collect(),
            without: without
                .map(|every| (1, (0..sets[1].len() as u32).map(|row| row % every == 0).collect()))
                .map(|(set, rows)| (set, Arc::new(RowMask::new(rows))))
                .into_iter()
                .collect(),
            excluded: vec![Exclusion {
                set: 0,
                center: sets[0].rect(Row(3)).center(),
                radius_um: exclude_um,
                mpp: MicronsPerPixel::square(1.0).unwrap(),
            }],
            max_distance,
            negatives: negatives.iter().map(|row| sets[2].descriptor(Row(*row)).to_vec()).collect(),
        };
        let own = sets[0].descriptor(Row(3)).to_vec();
        let query = if of_index { own } else { own.iter().map(|value| value * 1.1 + 0.05).collect() };
        let expected = expected(&sets, &query, &filter, k);
        prop_assert_eq!(&plain(brute_force::nearest(&sets, &[0, 1, 2], &query, &filter, k)), &expected);
        prop_assert_eq!(&plain(sealed(&sets).nearest(&query, &filter, k)), &expected);
        // Half sealed, half not.
        let segment = Arc::new(Segment::build(&sets[1..]).expect("these can be indexed"));
        let mixed = Snapshot::with_segments(sets.clone(), &[segment]);
        prop_assert_eq!(&plain(mixed.nearest(&query, &filter, k)), &expected, "before its tree has grown");
        mixed.grow_trees();
        prop_assert_eq!(&plain(mixed.nearest(&query, &filter, k)), &expected);
    }
}

/// What happens to an archive.
#[derive(Debug, Clone)]
enum Change {
    Insert(u64, usize),
    /// By its place, however many there are.
    Remove(usize),
    EmbedAnew(usize, u64),
    /// Seal all slides whose bit is set that no segment holds.
    Seal(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<u64>(), 20usize..600).prop_map(|(seed, count)| Change::Insert(seed, count)),
        any::<usize>().prop_map(Change::Remove),
        (any::<usize>(), any::<u64>()).prop_map(|(set_index, seed)| Change::EmbedAnew(set_index, seed)),
        any::<u8>().prop_map(Change::Seal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_to_an_archive_answers_are_those_of_what_is_left(
        changes in prop::collection::vec(change(), 1..16),
        k in 1usize..30,
    ) {
        const WIDTH: usize = 14;
        const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut sets = vec![made::set("x", WIDTH, &descriptors(1, 300, WIDTH, 0.6))];
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let filter = TileFilter::default();
        for (step, change) in changes.into_iter().enumerate() {
            match change {
                Change::Insert(seed, count) => {
                    let rows = descriptors(seed, count, WIDTH, 0.6);
                    sets.insert(seed as usize % (sets.len() + 1), made::set(NAMES[step % 8], WIDTH, &rows));
                }
                Change::Remove(set_index) if sets.len() > 1 => _ = sets.remove(set_index % sets.len()),
                Change::Remove(_) => {}
                Change::EmbedAnew(set_index, seed) => {
                    let set_index = set_index % sets.len();
                    sets[set_index] = made::set("x", WIDTH, &descriptors(seed, sets[set_index].len(), WIDTH, 0.6));
                }
                Change::Seal(bits) => {
                    let is_free = |set: &Arc<DescriptorSet>| {
                        !segments.iter().any(|held| held.sets().iter().any(|one| Arc::ptr_eq(one, set)))
                    };
                    let chosen = sets.iter().enumerate().filter(|(set_index, _)| bits >> (set_index % 8) & 1 == 1);
                    let free: Vec<_> = chosen.map(|(_, set)| set.clone()).filter(is_free).collect();
                    segments.extend(Segment::build(&free).map(Arc::new));
                }
            }
            let index = Snapshot::with_segments(sets.clone(), &segments);
            if step % 2 == 0 {
                index.grow_trees();
            }
            let query = sets[step % sets.len()].descriptor(Row(step as u32 % 15)).to_vec();
            prop_assert_eq!(plain(index.nearest(&query, &filter, k)), expected(&sets, &query, &filter, k));
        }
    }
}

#[test]
fn flat_data_and_masses_of_equal_tiles_are_searched_exactly() {
    let flat = descriptors(3, 30_000, 24, 1.0);
    let mut blank = descriptors(4, 30_000, 24, 0.5);
    blank[1000..25_000].fill(vec![0.25; 24]);
    for rows in [flat, blank] {
        let sets = split(&rows, 24);
        let index = sealed(&sets);
        for row in [0, 5000] {
            let query = sets[2].descriptor(Row(row));
            let filter = TileFilter::default();
            assert_eq!(plain(index.nearest(query, &filter, 20)), expected(&sets, query, &filter, 20));
            let elsewhere = TileFilter { sets: vec![false, true, true], ..TileFilter::default() };
            assert_eq!(plain(index.nearest(query, &elsewhere, 20)), expected(&sets, query, &elsewhere, 20));
        }
    }
}

#[test]
fn a_segment_of_several_trees_is_searched_exactly() {
    const WIDTH: usize = 8;
    let rows = descriptors(3, 60_000, WIDTH, 0.5);
    let sets = split(&rows, WIDTH);
    let segment = Segment::build(&sets).expect("these can be indexed").with_tiles_per_tree(20_000);
    let index = Snapshot::with_segments(sets.clone(), &[Arc::new(segment)]);
    index.grow_trees();
    let every_third = RowMask::new((0..sets[2].len()).map(|row| row % 3 == 0).collect());
    let filters = [
        TileFilter::default(),
        TileFilter { rows: vec![None, None, Some(Arc::new(every_third))], ..TileFilter::default() },
        TileFilter { max_distance: 0.05, ..TileFilter::default() },
    ];
    // Tiles from the first tree to the last, one that has a twin, and a place where there are none.
    let mut queries: Vec<Vec<f32>> =
        [0, 15_000, 29_999, 44_449, 59_999].into_iter().map(|row| rows[row].clone()).collect();
    queries.push(vec![2.0; WIDTH]);
    for (query, filter) in queries.iter().flat_map(|query| filters.iter().map(move |filter| (query, filter)))
    {
        for count in [1, 20, 500] {
            let found = index.nearest(query, filter, count);
            assert_eq!(found, brute_force::nearest(&sets, &[0, 1, 2], query, filter, count));
        }
    }
}

#[test]
fn slides_come_and_go_and_answers_follow() {
    let rows = descriptors(7, 24_000, 16, 0.6);
    let mut sets = split(&rows, 16);
    let first = Snapshot::build(sets.clone(), None, None);
    assert_eq!(first.segments().map(Segment::len).collect::<Vec<_>>(), [24_000]);
    sets.insert(1, made::set("d", 16, &descriptors(8, 500, 16, 0.6)));
    let second = Snapshot::build(sets.clone(), Some(&first), None);
    assert_eq!(second.len(), 24_500);
    assert_eq!(second.segments().count(), 1, "a few tiles more are no reason to build");
    sets.push(made::set("e", 16, &descriptors(9, 21_000, 16, 0.6)));
    let third = Snapshot::build(sets.clone(), Some(&second), None);
    assert_eq!(third.segments().map(Segment::len).collect::<Vec<_>>(), [45_500], "built together");
    let fourth = third.without(&sets[0].header.slide_id);
    assert_eq!(fourth.len(), 45_500 - 8000);
    let filter = TileFilter::default();
    for (index, sets) in [(&second, &sets[..4]), (&third, &sets[..]), (&fourth, &sets[1..])] {
        for row in [0, 17, 499] {
            let query = sets[1].descriptor(Row(row % sets[1].len() as u32));
            assert_eq!(plain(index.nearest(query, &filter, 25)), expected(sets, query, &filter, 25));
        }
    }
    let rest = Snapshot::build(sets[..1].to_vec(), Some(&third), None);
    assert_eq!(rest.segments().count(), 0, "a segment of slides that are gone is dropped");
}

#[test]
fn queries_and_tiles_without_meaning_find_nothing_and_break_nothing() {
    let sets = vec![made::set("a", 16, &descriptors(1, 50, 16, 0.5))];
    let index = Snapshot::build(sets, None, None);
    let filter = TileFilter::default();
    assert!(index.nearest(&[0.0; 12], &filter, 5).is_empty(), "of another width");
    assert!(index.nearest(&[f32::NAN; 16], &filter, 5).is_empty());
    assert!(index.nearest(&[0.0; 16], &filter, 0).is_empty());
    assert_eq!(index.nearest(&[0.0; 16], &filter, 500).len(), 50, "as many as there are");
    assert!(Snapshot::empty().nearest(&[0.0; 16], &filter, 5).is_empty());

    let mut rows = descriptors(2, 25_000, 16, 0.5);
    rows[77][3] = f32::INFINITY;
    rows[78][4] = f32::NAN;
    let sets = vec![made::set("b", 16, &rows)];
    assert!(Segment::build(&sets).is_none(), "refused at the door");
    let index = Snapshot::build(sets.clone(), None, None);
    let query = sets[0].descriptor(Row(5));
    let found = index.nearest(query, &filter, 25_000);
    assert_eq!(found.len(), 24_999, "NaN is nowhere, and infinity is far");
    assert!(found[..20].iter().all(|neighbour| neighbour.distance.is_finite()));
}

/// Finished sets in a store, as the program has them.
fn stored(folder: &std::path::Path, names: &[&str], tiles: usize) -> Vec<Arc<DescriptorSet>> {
    let store = DescriptorStore::new(folder.join("descriptors"));
    let stored = |(number, name): (u64, &&str)| {
        let set = made::set(name, 16, &descriptors(number, tiles, 16, 0.6));
        store.save(&set).unwrap();
        Arc::new(store.open(&set.header.slide_id, &set.header.recipe).unwrap().unwrap())
    };
    (0..).zip(names).map(stored).collect()
}

#[test]
fn the_index_is_kept_mapped_and_dropped_when_it_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let cache = IndexCache::new(folder.path().join("index"));
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(folder.path().join("index"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        files
    };
    let sets = stored(folder.path(), &["a", "b"], 12_000);
    let built = Snapshot::build(sets.clone(), None, Some(&cache));
    assert!(built.segments().all(Segment::is_mapped));
    let bytes: usize = built.segments().map(Segment::index_bytes).sum();
    assert!(bytes <= 120 * built.len(), "{} bytes a tile", bytes / built.len());
    let kept = files();
    assert_eq!(kept.len(), 1);
    assert!(cache.check().is_empty());

    // Another start: the same sets, opened anew, in another order.
    let reopened: Vec<_> = stored(folder.path(), &["a", "b"], 12_000).into_iter().rev().collect();
    let mapped = cache.load(&reopened);
    assert_eq!((mapped.len(), mapped[0].len()), (1, 24_000));
    let again = Snapshot::build(reopened.clone(), None, Some(&cache));
    assert_eq!(again.segments().count(), 1);
    let (query, filter) = (reopened[0].descriptor(Row(100)), TileFilter::default());
    assert_eq!(plain(again.nearest(query, &filter, 20)), expected(&reopened, query, &filter, 20));
    assert!(cache.load(&reopened[..1]).is_empty(), "not without one of its slides");
    let early = Snapshot::provisional(reopened[..1].to_vec(), None, Some(&cache));
    assert_eq!(early.segments().count(), 0, "nothing is built while slides are still coming");
    assert_eq!(files(), kept);

    // Any damage is found, whatever it hits.
    let whole = std::fs::read(&kept[0]).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for round in 0..60 {
        let mut damaged = whole.clone();
        match round % 3 {
            0 => damaged.truncate(random.random_range(0..whole.len())),
            1 => damaged[random.random_range(0..400)] ^= 1 << random.random_range(0..8),
            _ => damaged[random.random_range(0..whole.len())] ^= 1 << random.random_range(0..8),
        }
        std::fs::write(&kept[0], &damaged).unwrap();
        assert_eq!(cache.check().len(), 1);
        assert!(cache.load(&reopened).is_empty(), "round {round}");
        std::fs::write(&kept[0], &whole).unwrap();
    }
    std::fs::write(&kept[0], &whole[..whole.len() / 2]).unwrap();
    let mended = Snapshot::build(reopened.clone(), None, Some(&cache));
    mended.grow_trees();
    assert_eq!(plain(mended.nearest(query, &filter, 20)), expected(&reopened, query, &filter, 20));
    assert!(cache.check().is_empty());

    // A re-embedded slide makes another segment, and the old one goes.
    let mut changed = stored(folder.path(), &["a", "b"], 12_000);
    changed[1] = stored(folder.path(), &["c", "b"], 13_000).remove(1);
    let newer = Snapshot::build(changed.clone(), None, Some(&cache));
    assert_eq!(newer.segments().map(Segment::len).collect::<Vec<_>>(), [25_000]);
    assert_eq!(files().len(), 1);
    assert_ne!(files(), kept);
}
