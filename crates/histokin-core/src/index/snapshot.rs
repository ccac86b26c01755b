//! Immutable state of the whole index.

use std::sync::Arc;

use super::best::Best;
use super::brute_force::compare_all;
use super::cache::IndexCache;
use super::segment::Segment;
use super::{DescriptorStatistics, Neighbour, TileFilter};
use crate::descriptors::DescriptorSet;
use crate::slide::SlideId;

/// Minimum number of tiles of finished slides for a new segment; with fewer, comparing with all takes under 1
/// ms.
const SEAL_FROM: usize = 20_000;

/// A segment smaller than this many times the new tiles is merged with them into a new one, so that every
/// tile is indexed only a few times while a project grows.
const GROWTH: usize = 2;

/// All searchable descriptors, one set per slide, all of one recipe. Immutable: a change creates another
/// snapshot, which shares all unchanged parts.
pub struct Snapshot {
    sets: Vec<Arc<DescriptorSet>>,
    segments: Vec<IndexedSegment>,
    /// Indices of the sets that are in no segment.
    tail: Vec<u32>,
    statistics: Arc<DescriptorStatistics>,
}

/// A segment, and the indices of its sets in the snapshot; `None` for a set that has been removed.
#[derive(Clone)]
struct IndexedSegment {
    segment: Arc<Segment>,
    set_indices: Vec<Option<u32>>,
}

impl Snapshot {
    /// Returns an empty index.
    pub fn empty() -> Self {
        Self::with_segments(Vec::new(), &[])
    }

    /// Indexes `sets`, which have equal width. Segments of `previous` and then of `cache` are reused where
    /// possible.
    pub fn build(
        sets: Vec<Arc<DescriptorSet>>,
        previous: Option<&Snapshot>,
        cache: Option<&IndexCache>,
    ) -> Self {
        let mut segments = Self::reusable(&sets, previous, cache);
        Self::seal_fresh(&sets, &mut segments, cache);
        Self::with_segments(sets, &segments)
    }

    /// Indexes `sets` as [`Self::build`] does but seals no new segment, for use while more sets are about to
    /// be added.
    pub fn provisional(
        sets: Vec<Arc<DescriptorSet>>,
        previous: Option<&Snapshot>,
        cache: Option<&IndexCache>,
    ) -> Self {
        let segments = Self::reusable(&sets, previous, cache);
        Self::with_segments(sets, &segments)
    }

    /// Returns existing segments over some of `sets`.
    fn reusable(
        sets: &[Arc<DescriptorSet>],
        previous: Option<&Snapshot>,
        cache: Option<&IndexCache>,
    ) -> Vec<Arc<Segment>> {
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let earlier =
            previous.iter().flat_map(|snapshot| &snapshot.segments).map(|held| held.segment.clone());
        segments.extend(earlier.filter(|segment| {
            // A segment that mostly consists of removed slides costs more than it saves.
            let alive: usize = sets.iter().filter(|set| holds(segment, set)).map(|set| set.len()).sum();
            alive * 2 > segment.len()
        }));
        if let Some(cache) = cache {
            let open: Vec<_> = sets.iter().filter(|set| !is_held(&segments, set)).cloned().collect();
            for segment in cache.load(&open) {
                if !segment.sets().iter().any(|set| is_held(&segments, set)) {
                    segments.push(Arc::new(segment));
                }
            }
        }
        segments
    }

    /// Seals the finished sets that are in no segment, if they have enough tiles.
    fn seal_fresh(sets: &[Arc<DescriptorSet>], segments: &mut Vec<Arc<Segment>>, cache: Option<&IndexCache>) {
        let mut fresh: Vec<Arc<DescriptorSet>> =
            sets.iter().filter(|set| set.is_complete() && !is_held(segments, set)).cloned().collect();
        let count = |sets: &[Arc<DescriptorSet>]| sets.iter().map(|set| set.len()).sum::<usize>();
        if count(&fresh) >= SEAL_FROM {
            segments.sort_by_key(|segment| segment.len());
            while segments.first().is_some_and(|segment| segment.len() < GROWTH * count(&fresh)) {
                let absorbed = segments.remove(0);
                fresh.extend(sets.iter().filter(|set| holds(&absorbed, set)).cloned());
            }
            // In list order, so that the same slides always give the same files.
            let fresh: Vec<_> =
                sets.iter().filter(|set| fresh.iter().any(|one| Arc::ptr_eq(one, set))).cloned().collect();
            let built = Segment::build(&fresh).map(|segment| match cache {
                Some(cache) => cache.keep(segment),
                None => segment,
            });
            segments.extend(built.map(Arc::new));
        }
    }

    /// Creates a snapshot of `sets` with existing segments.
    pub fn with_segments(sets: Vec<Arc<DescriptorSet>>, segments: &[Arc<Segment>]) -> Self {
        let set_index = |set: &Arc<DescriptorSet>| {
            (0u32..).zip(&sets).find(|(_, other)| Arc::ptr_eq(set, other)).map(|(set_index, _)| set_index)
        };
        let held: Vec<IndexedSegment> = segments
            .iter()
            .map(|segment| IndexedSegment {
                segment: segment.clone(),
                set_indices: segment.sets().iter().map(set_index).collect(),
            })
            .collect();
        let in_segments =
            |set_index: &u32| held.iter().any(|held| held.set_indices.contains(&Some(*set_index)));
        let tail = (0..sets.len() as u32).filter(|set_index| !in_segments(set_index)).collect();
        let statistics = Arc::new(DescriptorStatistics::of_sets(&sets));
        Self { sets, segments: held, tail, statistics }
    }

    /// Returns a snapshot without one slide, without reindexing.
    pub fn without(&self, slide: &SlideId) -> Self {
        self.only(|set| set.header.slide_id != *slide)
    }

    /// Returns a snapshot with only the sets for which `stays` is true, without reindexing.
    pub fn only(&self, stays: impl Fn(&Arc<DescriptorSet>) -> bool) -> Self {
        let sets = self.sets.iter().filter(|set| stays(set)).cloned().collect();
        let segments: Vec<_> = self.segments.iter().map(|held| held.segment.clone()).collect();
        Self::with_segments(sets, &segments)
    }

    /// Returns a snapshot with additional sets, which are searched completely; for a few candidates from
    /// elsewhere. Its statistics remain those of this snapshot, so that a taught query has the same direction in both.
    pub fn with_more(&self, more: impl IntoIterator<Item = Arc<DescriptorSet>>) -> Self {
        let sets = self.sets.iter().cloned().chain(more).collect();
        let segments: Vec<_> = self.segments.iter().map(|held| held.segment.clone()).collect();
        Self { statistics: self.statistics.clone(), ..Self::with_segments(sets, &segments) }
    }

    /// Returns the statistics of all tiles, from an even sample.
    pub fn statistics(&self) -> &DescriptorStatistics {
        &self.statistics
    }

    /// Returns the descriptor sets, one per slide.
    pub fn sets(&self) -> &[Arc<DescriptorSet>] {
        &self.sets
    }

    /// Returns the index of a slide's set.
    pub fn set_index(&self, slide: &SlideId) -> Option<u32> {
        (0..).zip(&self.sets).find(|(_, set)| set.header.slide_id == *slide).map(|(set_index, _)| set_index)
    }

    /// Builds the missing trees, which are those of segments that were just built or mapped. Searches do not
    /// have to wait for this; they are faster afterwards.
    pub fn grow_trees(&self) {
        self.segments().for_each(Segment::grow_trees);
    }

    /// Returns the sealed segments.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|held| &*held.segment)
    }

    /// Returns the number of searchable tiles.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.len()).sum()
    }

    /// Returns whether there are no tiles to search.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of tiles that `filter` accepts, apart from their positions and distances.
    pub fn len_within(&self, filter: &TileFilter) -> usize {
        (0u32..).zip(&self.sets).map(|(set_index, set)| filter.count_within(set_index, set.len())).sum()
    }

    /// Returns the `count` tiles nearest to `query` that `filter` accepts, nearest first; equal distances by
    /// slide and position. Always exact. Empty when the width of the query differs from that of the
    /// descriptors, or when the query contains non-finite numbers.
    pub fn nearest(&self, query: &[f32], filter: &TileFilter, count: usize) -> Vec<Neighbour> {
        let fits = self.sets.iter().all(|set| set.width() == query.len());
        if count == 0 || !fits || !query.iter().all(|value| value.is_finite()) {
            return Vec::new();
        }
        let tail = self.tail.iter().map(|set_index| (&*self.sets[*set_index as usize], *set_index));
        let mut best = compare_all(tail, query, filter, Best::new(count, filter.max_distance));
        for held in &self.segments {
            best = held.segment.search(query, &held.set_indices, filter, best);
        }
        best.into_sorted()
    }
}

fn is_held(segments: &[Arc<Segment>], set: &Arc<DescriptorSet>) -> bool {
    segments.iter().any(|segment| holds(segment, set))
}

fn holds(segment: &Segment, set: &Arc<DescriptorSet>) -> bool {
    segment.sets().iter().any(|held| Arc::ptr_eq(held, set))
}
