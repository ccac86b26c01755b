//! The whole index at one moment.

use std::sync::Arc;

use super::best::Best;
use super::brute_force::compare_all;
use super::cache::IndexCache;
use super::segment::Segment;
use super::{Neighbour, TileFilter};
use crate::descriptors::DescriptorSet;
use crate::slide::SlideId;

/// From this many tiles of finished slides on a segment is worth building; below, comparing with all takes
/// under 1 ms.
const SEAL_FROM: usize = 20_000;

/// A segment is built anew together with what has come since when it is smaller than this many times that, so
/// that every tile is indexed only a few times while an archive grows.
const GROWTH: usize = 2;

/// All descriptors that can be searched at one moment, one set a slide, all of one recipe. Immutable: a change
/// makes another snapshot, which shares all that stays.
pub struct Snapshot {
    sets: Vec<Arc<DescriptorSet>>,
    segments: Vec<Held>,
    /// Places of the sets that no segment holds.
    tail: Vec<u32>,
}

/// A segment, and where its sets stand in the snapshot; a set that stands nowhere is gone.
#[derive(Clone)]
struct Held {
    segment: Arc<Segment>,
    places: Vec<Option<u32>>,
}

impl Snapshot {
    /// An index that holds nothing.
    pub fn empty() -> Self {
        Self::with_segments(Vec::new(), &[])
    }

    /// Index `sets`, which are of equal width. Segments of `previous`, and then those that `cache` has kept, are
    /// used as far as they go.
    pub fn build(
        sets: Vec<Arc<DescriptorSet>>,
        previous: Option<&Snapshot>,
        cache: Option<&IndexCache>,
    ) -> Self {
        let mut segments = Self::at_hand(&sets, previous, cache);
        Self::seal_fresh(&sets, &mut segments, cache);
        Self::with_segments(sets, &segments)
    }

    /// The same, but nothing new is sealed: for a moment when more sets are about to come.
    pub fn provisional(
        sets: Vec<Arc<DescriptorSet>>,
        previous: Option<&Snapshot>,
        cache: Option<&IndexCache>,
    ) -> Self {
        let segments = Self::at_hand(&sets, previous, cache);
        Self::with_segments(sets, &segments)
    }

    /// Segments over some of `sets` that are there already.
    fn at_hand(
        sets: &[Arc<DescriptorSet>],
        previous: Option<&Snapshot>,
        cache: Option<&IndexCache>,
    ) -> Vec<Arc<Segment>> {
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let earlier =
            previous.iter().flat_map(|snapshot| &snapshot.segments).map(|held| held.segment.clone());
        segments.extend(earlier.filter(|segment| {
            // One that is mostly of slides that are gone costs more than it saves.
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

    /// Seal the finished sets that no segment holds, where they are many enough.
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
            // In the order of the list, so that the same archive gives the same files.
            let fresh: Vec<_> =
                sets.iter().filter(|set| fresh.iter().any(|one| Arc::ptr_eq(one, set))).cloned().collect();
            let built = Segment::build(&fresh).map(|segment| match cache {
                Some(cache) => cache.keep(segment),
                None => segment,
            });
            segments.extend(built.map(Arc::new));
        }
    }

    /// A snapshot of `sets` with segments that there are already.
    pub fn with_segments(sets: Vec<Arc<DescriptorSet>>, segments: &[Arc<Segment>]) -> Self {
        let place = |set: &Arc<DescriptorSet>| {
            (0u32..).zip(&sets).find(|(_, other)| Arc::ptr_eq(set, other)).map(|(place, _)| place)
        };
        let held: Vec<Held> = segments
            .iter()
            .map(|segment| Held {
                segment: segment.clone(),
                places: segment.sets().iter().map(place).collect(),
            })
            .collect();
        let in_segments = |place: &u32| held.iter().any(|held| held.places.contains(&Some(*place)));
        let tail = (0..sets.len() as u32).filter(|place| !in_segments(place)).collect();
        Self { sets, segments: held, tail }
    }

    /// The same without one slide, at once.
    pub fn without(&self, slide: &SlideId) -> Self {
        self.only(|set| set.header.slide_id != *slide)
    }

    /// The same with nothing but the sets that `stays` keeps, at once.
    pub fn only(&self, stays: impl Fn(&Arc<DescriptorSet>) -> bool) -> Self {
        let sets = self.sets.iter().filter(|set| stays(set)).cloned().collect();
        let segments: Vec<_> = self.segments.iter().map(|held| held.segment.clone()).collect();
        Self::with_segments(sets, &segments)
    }

    /// The same with further sets, which are compared completely: a few candidates from elsewhere.
    pub fn with_more(&self, more: impl IntoIterator<Item = Arc<DescriptorSet>>) -> Self {
        let sets = self.sets.iter().cloned().chain(more).collect();
        let segments: Vec<_> = self.segments.iter().map(|held| held.segment.clone()).collect();
        Self::with_segments(sets, &segments)
    }

    pub fn sets(&self) -> &[Arc<DescriptorSet>] {
        &self.sets
    }

    /// Place of a slide's set.
    pub fn place(&self, slide: &SlideId) -> Option<u32> {
        (0..).zip(&self.sets).find(|(_, set)| set.header.slide_id == *slide).map(|(place, _)| place)
    }

    /// Grow the trees that are not there yet: those of segments that were just built or mapped. Searches need not
    /// wait for it; they are quicker afterwards.
    pub fn grow_trees(&self) {
        self.segments().for_each(Segment::grow_tree);
    }

    /// The sealed segments.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|held| &*held.segment)
    }

    /// Number of tiles that can be found.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tiles that `filter` lets a search look at, whatever their distance.
    pub fn len_within(&self, filter: &TileFilter) -> usize {
        (0u32..).zip(&self.sets).map(|(place, set)| filter.count_within(place, set.len())).sum()
    }

    /// The `count` tiles nearest to `query` that `filter` accepts, nearest first; equal distances by slide and
    /// position. Always exact. Empty when the query has another width than the descriptors, or numbers that are
    /// not finite.
    pub fn nearest(&self, query: &[f32], filter: &TileFilter, count: usize) -> Vec<Neighbour> {
        let fits = self.sets.iter().all(|set| set.width() == query.len());
        if count == 0 || !fits || !query.iter().all(|value| value.is_finite()) {
            return Vec::new();
        }
        let tail = self.tail.iter().map(|place| (&*self.sets[*place as usize], *place));
        let mut best = compare_all(tail, query, filter, Best::new(count, filter.max_distance));
        for held in &self.segments {
            best = held.segment.search(query, &held.places, filter, best);
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
