//! The similarity index: exact nearest neighbours of a descriptor among all embedded tiles.
//!
//! A [`Snapshot`] is immutable and shared as an `Arc`; while embedding goes on it is replaced as a whole.
//! Large finished parts are searched through a k-d tree ([`kd_tree`]), the rest by comparing with every
//! descriptor ([`brute_force`], which is also the oracle in the tests). Both are exact.

pub mod brute_force;
pub mod kd_tree;

use std::cmp::Ordering;
use std::sync::Arc;

use crate::descriptors::{DescriptorSet, Row};
use crate::geometry::{Level0Point, MicronsPerPixel};
use kd_tree::KdTreeIndex;

/// From this many descriptors on a tree is worth building; below, comparing with all takes under 1 ms.
const TREE_FROM: usize = 20_000;

/// A tile in a snapshot: the place of its slide's set, and its row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileRef {
    pub set: u32,
    pub row: Row,
}

/// A tile and its Euclidean distance to the query, in descriptor units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    pub tile: TileRef,
    pub distance: f32,
}

impl Neighbour {
    /// The order of every answer: nearest first, and equal distances by slide and position, so that
    /// answers repeat.
    fn rank(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.tile.cmp(&other.tile))
    }
}

/// Which tiles may be in an answer.
#[derive(Debug, Clone, Default)]
pub struct TileFilter {
    /// For each set of the snapshot whether its tiles count; sets beyond the end count.
    pub sets: Vec<bool>,
    /// A tile and its surroundings that do not.
    pub excluded: Option<Exclusion>,
}

/// A disc on one slide.
#[derive(Debug, Clone, Copy)]
pub struct Exclusion {
    pub set: u32,
    pub center: Level0Point,
    /// Tiles whose centre is at this distance or nearer are left out; 0 leaves out just the tile itself.
    pub radius_um: f64,
    pub mpp: MicronsPerPixel,
}

impl TileFilter {
    fn accepts(&self, set: &DescriptorSet, tile: TileRef) -> bool {
        if !self.accepts_set(tile.set) {
            return false;
        }
        match &self.excluded {
            Some(disc) if disc.set == tile.set => {
                disc.mpp.distance_um(disc.center, set.rect(tile.row).center()) > disc.radius_um
            }
            _ => true,
        }
    }

    fn accepts_set(&self, set: u32) -> bool {
        self.sets.get(set as usize).copied().unwrap_or(true)
    }
}

/// All descriptors that can be searched at one moment, one set a slide, all of one recipe.
pub struct Snapshot {
    sets: Vec<Arc<DescriptorSet>>,
    /// A tree over some of the sets.
    tree: Option<Arc<KdTreeIndex>>,
    /// Places of the sets that the tree does not hold.
    tail: Vec<u32>,
}

impl Snapshot {
    /// An index that holds nothing.
    pub fn empty() -> Self {
        Self { sets: Vec::new(), tree: None, tail: Vec::new() }
    }

    /// Index `sets`. The tree of `previous` is kept while it still holds most of what there is.
    pub fn build(sets: Vec<Arc<DescriptorSet>>, previous: Option<&Snapshot>) -> Self {
        let total: usize = sets.iter().map(|set| set.len()).sum();
        let kept = previous
            .and_then(|snapshot| snapshot.tree.clone())
            .filter(|tree| tree.sets().all(|set| sets.iter().any(|other| Arc::ptr_eq(set, other))))
            .filter(|tree| total - tree.len() < TREE_FROM.max(tree.len() / 4));
        let tree =
            kept.or_else(|| (total >= TREE_FROM).then(|| KdTreeIndex::build(&sets)).flatten().map(Arc::new));
        let in_tree =
            |set: &Arc<DescriptorSet>| tree.iter().any(|t| t.sets().any(|held| Arc::ptr_eq(held, set)));
        let tail = (0u32..).zip(&sets).filter(|(_, set)| !in_tree(set)).map(|(place, _)| place).collect();
        Self { sets, tree, tail }
    }

    pub fn sets(&self) -> &[Arc<DescriptorSet>] {
        &self.sets
    }

    /// Number of tiles that can be found.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `count` tiles nearest to `query` that `filter` accepts, nearest first. Always exact. Empty when
    /// the query has another width than the descriptors.
    pub fn nearest(&self, query: &[f32], filter: &TileFilter, count: usize) -> Vec<Neighbour> {
        if count == 0 || self.sets.iter().any(|set| set.width() != query.len()) {
            return Vec::new();
        }
        let mut found = brute_force::nearest(&self.sets, &self.tail, query, filter, count);
        if let Some(tree) = &self.tree {
            // The tree knows its sets by its own order; answers speak of the snapshot's.
            let places: Vec<u32> = tree
                .sets()
                .map(|held| {
                    self.sets.iter().position(|set| Arc::ptr_eq(set, held)).unwrap_or(usize::MAX) as u32
                })
                .collect();
            found.extend(tree.nearest(query, &places, filter, count));
            found.sort_by(Neighbour::rank);
            found.truncate(count);
        }
        found
    }
}

/// Squared Euclidean distance of two descriptors of equal width. Eight running sums let the compiler use
/// vector instructions, and keep the rounding error below that of one long sum.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a_lanes, b_lanes) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in a_lanes.zip(b_lanes) {
        for lane in 0..8 {
            let difference = x[lane] - y[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum::<f32>() + rest
}
