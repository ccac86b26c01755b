//! The index against its oracle.

use std::sync::Arc;

use histokin::descriptors::{DescriptorSet, Row};
use histokin::geometry::MicronsPerPixel;
use histokin::index::kd_tree::KdTreeIndex;
use histokin::index::{Exclusion, Snapshot, TileFilter, brute_force};
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tree_equals_brute_force(
        seed in any::<u64>(),
        count in 30usize..3000,
        width in prop::sample::select(vec![16usize, 128]),
        flatness in prop::sample::select(vec![0.3f32, 0.7, 1.0]),
        k in 1usize..40,
        exclude_um in prop::sample::select(vec![0.0, 600.0]),
        only_set in prop::option::of(0u32..3),
    ) {
        let rows = descriptors(seed, count, width, flatness);
        let sets = split(&rows, width);
        let tree = KdTreeIndex::build(&sets).expect("these descriptors are wide enough for a tree");
        let filter = TileFilter {
            sets: (0..3).map(|set| only_set.is_none_or(|only| only == set)).collect(),
            excluded: Some(Exclusion {
                set: 0,
                center: sets[0].rect(Row(3)).center(),
                radius_um: exclude_um,
                mpp: MicronsPerPixel::square(1.0),
            }),
        };
        let query = sets[0].descriptor(Row(3));
        let expected = brute_force::nearest(&sets, &[0, 1, 2], query, &filter, k);
        prop_assert_eq!(tree.nearest(query, &[0, 1, 2], &filter, k), expected);
    }
}

#[test]
fn a_snapshot_searches_tree_and_tail_as_one() {
    let rows = descriptors(7, 24_000, 16, 0.6);
    let sealed = split(&rows, 16);
    let first = Snapshot::build(sealed.clone(), None);
    let mut sets = sealed;
    sets.insert(1, made::set("d", 16, &descriptors(8, 500, 16, 0.6)));
    let second = Snapshot::build(sets.clone(), Some(&first));
    assert_eq!(second.len(), 24_500);
    for row in [0, 17, 499] {
        let query = sets[1].descriptor(Row(row));
        let filter = TileFilter::default();
        let expected = brute_force::nearest(&sets, &[0, 1, 2, 3], query, &filter, 25);
        assert_eq!(second.nearest(query, &filter, 25), expected);
        assert_eq!(expected[0].distance, 0.0);
    }
}

#[test]
fn a_query_of_another_width_finds_nothing() {
    let index = Snapshot::build(vec![made::set("a", 16, &descriptors(1, 50, 16, 0.5))], None);
    assert!(index.nearest(&[0.0; 12], &TileFilter::default(), 5).is_empty());
}
