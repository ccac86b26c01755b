//! Descriptors of the slides: looked up, searched, or kept until all slides have those of a new encoder.

use std::sync::Arc;

use super::super::{Job, LoadJob, Session};
use super::{SlideProgress, SlideStatus};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::slide::{SlideId, SlideInfo, SlideSource};
use histokin_core::tiling::TileGrid;

impl Session {
    /// Requests the descriptors of earlier runs for a slide.
    pub(in crate::session) fn check_descriptors(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(recipe) = self.recipe() else { return Vec::new() };
        let store = self.project.descriptors();
        match self.slides.get_mut(slide) {
            Some(state) if state.source.info().mpp.is_none() => {
                state.status = SlideStatus::NeedsMpp;
                Vec::new()
            }
            Some(_) => vec![Job::Load(LoadJob::LoadDescriptors { store, slide: slide.clone(), recipe })],
            None => Vec::new(),
        }
    }

    pub(in crate::session) fn no_descriptors(&mut self, slide: &SlideId) -> Vec<Job> {
        let imported = self.recipe().filter(|recipe| recipe.encoder_id.is_imported());
        if let Some(state) = self.slides.get_mut(slide) {
            state.status = match imported {
                Some(recipe) => SlideStatus::Failed(format!(
                    "no features of {} were imported for this slide",
                    recipe.encoder_name
                )),
                None => SlideStatus::Waiting(SlideProgress::default()),
            };
        }
        self.embed_plan()
    }

    pub(in crate::session) fn descriptors_ready(
        &mut self,
        set: Arc<DescriptorSet>,
        finished: bool,
    ) -> Vec<Job> {
        let slide = set.header.slide_id.clone();
        let Some(state) = self.slide(&slide) else { return Vec::new() };
        if self.recipe().as_ref() != Some(&set.header.recipe) {
            return Vec::new();
        }
        if !has_tiles_of(&set, state.source.info()) {
            // From an earlier calibration: the slide is embedded again.
            return if finished { self.no_descriptors(&slide) } else { Vec::new() };
        }
        if finished && self.is_selected_otherwise(&set) {
            // Searchable until the currently selected tiles are embedded.
            let jobs = self.take_set(set, false);
            return jobs.into_iter().chain(self.no_descriptors(&slide)).collect();
        }
        if finished {
            let done = set.len() as u32 + set.tiles_failed;
            let progress = SlideProgress { done, total: done, failed: set.tiles_failed };
            self.slides.set_status(&slide, SlideStatus::Embedded(progress));
            if set.tiles_failed > 0 {
                let name = self.slides.name(&slide);
                let text = format!(
                    "{name}: {} of {done} tissue tiles could not be read and cannot be found by similarity",
                    set.tiles_failed
                );
                self.messages.error(text);
            }
        }
        self.take_set(set, finished)
    }

    /// Makes a set searchable.
    fn take_set(&mut self, set: Arc<DescriptorSet>, finished: bool) -> Vec<Job> {
        if self.index.has_other_recipe(&set.header.recipe) {
            return self.keep_incoming(set, finished);
        }
        self.index.insert(set);
        self.index_if_stale()
    }

    /// Removes the descriptors of a slide whose calibration has changed, since they belong to other tiles.
    pub(in crate::session) fn drop_other_tiles(&mut self, source: &Arc<dyn SlideSource>) {
        let slide = &source.info().id;
        if self.index.set(slide).is_some_and(|set| !has_tiles_of(set, source.info())) {
            self.index.remove(slide);
        }
    }

    /// Keeps a set of a new encoder aside until all slides have one.
    fn keep_incoming(&mut self, set: Arc<DescriptorSet>, finished: bool) -> Vec<Job> {
        if finished {
            self.embedding.incoming.insert(set.header.slide_id.clone(), set);
        }
        self.change_over()
    }

    /// Switches to the new encoder's sets once no slide is still to be embedded.
    pub(super) fn change_over(&mut self) -> Vec<Job> {
        let is_open = |status: &SlideStatus| {
            matches!(status, SlideStatus::Checking | SlideStatus::Waiting(_) | SlideStatus::Embedding(_))
        };
        if self.embedding.incoming.is_empty() || self.slides.list.iter().any(|slide| is_open(&slide.status)) {
            return Vec::new();
        }
        self.index.replace_all(std::mem::take(&mut self.embedding.incoming));
        // Answers of the old encoder cannot be compared with answers of the new one.
        let mut jobs = self.clear_query();
        jobs.extend(self.index_if_stale());
        jobs
    }
}

/// Whether a set belongs to the current tiles of the slide.
fn has_tiles_of(set: &DescriptorSet, info: &SlideInfo) -> bool {
    TileGrid::new(info, set.header.recipe.tiles).is_ok_and(|grid| grid == set.header.tile_grid())
}
