//! The index of all searchable descriptors, and when it is built.

use std::collections::HashMap;
use std::sync::Arc;

use super::{IndexBuild, Job, Session, SlideStatus};
use histokin_core::descriptors::{DescriptorSet, Recipe};
use histokin_core::index::Snapshot;
use histokin_core::slide::SlideId;

/// A report of the worker that builds the index.
pub enum IndexEvent {
    /// A new index of all current descriptors was built.
    Built(Arc<Snapshot>),
    /// Building the index failed; the previous index stays in use.
    Failed,
}

/// The index, and the descriptors of which it is made.
pub(super) struct SearchIndex {
    /// Searchable descriptors, by slide.
    sets: HashMap<SlideId, Arc<DescriptorSet>>,
    snapshot: Arc<Snapshot>,
    building: bool,
    /// Whether the sets have changed since the newest build was started.
    stale: bool,
    /// Whether the newest build included all slides.
    settled: bool,
}

impl Default for SearchIndex {
    fn default() -> Self {
        Self {
            sets: HashMap::new(),
            snapshot: Arc::new(Snapshot::empty()),
            building: false,
            stale: false,
            settled: false,
        }
    }
}

impl SearchIndex {
    /// Adds or replaces the descriptors of a slide; they can be found after the next build.
    pub(super) fn insert(&mut self, set: Arc<DescriptorSet>) {
        self.sets.insert(set.header.slide_id.clone(), set);
        self.stale = true;
    }

    /// Replaces all descriptors.
    pub(super) fn replace_all(&mut self, sets: impl IntoIterator<Item = (SlideId, Arc<DescriptorSet>)>) {
        self.sets = sets.into_iter().collect();
        self.stale = true;
    }

    /// Removes the descriptors of a slide. They are not found any more, even while a build is running.
    pub(super) fn remove(&mut self, slide: &SlideId) {
        self.sets.remove(slide);
        self.snapshot = Arc::new(self.snapshot.without(slide));
        self.stale = true;
    }

    /// Whether nothing can be searched.
    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The searchable descriptors of a slide.
    pub(super) fn set(&self, slide: &SlideId) -> Option<&Arc<DescriptorSet>> {
        self.sets.get(slide)
    }

    /// Whether the sets that are searched now have another recipe than `recipe`.
    pub(super) fn has_other_recipe(&self, recipe: &Recipe) -> bool {
        self.sets.values().any(|set| set.header.recipe != *recipe)
    }

    /// Removes the sets from a new index that were removed or replaced while it was being built.
    fn without_outdated(&self, index: Arc<Snapshot>) -> Arc<Snapshot> {
        let is_current = |set: &Arc<DescriptorSet>| {
            let now = self.sets.get(&set.header.slide_id);
            now.is_some_and(|now| now.header.same_work(&set.header))
        };
        if index.sets().iter().all(is_current) { index } else { Arc::new(index.only(is_current)) }
    }
}

impl Session {
    /// Index of all searchable descriptors.
    pub fn index(&self) -> &Arc<Snapshot> {
        &self.index.snapshot
    }

    /// Recipe of the descriptors that are searched. While all slides are embedded again with another encoder, that is
    /// still the former one.
    pub(super) fn searched_recipe(&self) -> Option<Recipe> {
        let searched = self.index().sets().first().map(|set| set.header.recipe.clone());
        searched.or_else(|| self.recipe())
    }

    /// Whether descriptors computed by `recipe` can be compared with those that are searched.
    pub(super) fn searches_with(&self, recipe: &Recipe) -> bool {
        self.searched_recipe().is_none_or(|searched| searched.short_id() == recipe.short_id())
    }

    /// Number of tiles that can be found at present.
    pub fn searchable_tiles(&self) -> usize {
        self.index.snapshot.len()
    }

    pub(super) fn index_event(&mut self, event: IndexEvent) -> Vec<Job> {
        self.index.building = false;
        match event {
            IndexEvent::Built(snapshot) => {
                self.index.snapshot = self.index.without_outdated(snapshot);
                let mut jobs = self.search();
                jobs.extend(self.index_if_stale());
                jobs
            }
            IndexEvent::Failed => Vec::new(),
        }
    }

    /// Whether all slides have been opened or could not be, and their descriptors have been looked up. Before
    /// that, the index is assembled from cached segments, and nothing is built that the next slide would
    /// change.
    fn is_settled(&self) -> bool {
        !self.slides.is_opening()
            && !self.slides.list.iter().any(|slide| slide.status == SlideStatus::Checking)
    }

    /// Starts an index build if the index is stale. Only one build runs at a time; changes during a build
    /// wait for the next.
    pub(super) fn index_if_stale(&mut self) -> Vec<Job> {
        if !self.index.stale || self.index.building {
            return Vec::new();
        }
        self.index.stale = false;
        self.index.building = true;
        self.index.settled = self.is_settled();
        let listed = self.slides.list.iter().filter_map(|slide| self.index.sets.get(slide.id()).cloned());
        let (sets, cache) = (listed.collect(), self.project.index_cache());
        vec![Job::BuildIndex(IndexBuild { sets, cache, settled: self.index.settled })]
    }

    /// Builds the index once more when all slides have been opened, if the newest build lacked some.
    pub(super) fn build_settled_index(&mut self) -> Vec<Job> {
        if !self.is_settled() || self.index.settled || self.index.sets.is_empty() {
            return Vec::new();
        }
        self.index.stale = true;
        self.index_if_stale()
    }
}
