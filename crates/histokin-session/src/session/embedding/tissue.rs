//! Tissue settings of the project, and the selection of tiles that follows from them.

use std::sync::Arc;

use super::super::{EmbedTarget, Job, ScanJob, Session, SlideState};
use super::{SlideProgress, SlideStatus};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::tissue::TissueSettings;
use histokin_core::tissue::selection::{NoTiles, Surface};
use histokin_project::pipeline::TileSelection;

impl Session {
    /// Settings that decide what counts as tissue and how much of it a tile needs.
    pub fn tissue_settings(&self) -> &TissueSettings {
        &self.project.settings().tissue
    }

    pub(in crate::session) fn find_tissue(&self, slide: Arc<dyn SlideSource>) -> Job {
        Job::Scan(ScanJob::FindTissue { slide, settings: self.tissue_settings().clone() })
    }

    /// Which tiles of a slide are embedded; `None` while that depends on annotations that are not loaded yet.
    pub(super) fn selection(&self, slide: &SlideId) -> Option<TileSelection> {
        let settings = self.tissue_settings().clone();
        if settings.within.is_none() {
            return Some(TileSelection::new(settings, None));
        }
        let annotations = self.annotations(slide).filter(|annotations| annotations.is_loaded())?;
        Some(TileSelection::new(settings, Some(annotations.set())))
    }

    pub(super) fn embed_target(&self, state: &SlideState) -> Option<EmbedTarget> {
        let selection = self.selection(state.id())?;
        Some(EmbedTarget { slide: state.source.clone(), tissue: state.tissue.clone(), selection })
    }

    /// Whether a finished set has other tiles than the current selection, so that the slide has to be
    /// processed again.
    pub(super) fn is_selected_otherwise(&self, set: &DescriptorSet) -> bool {
        if self.project.read_only().is_some() || set.header.recipe.encoder_id.is_imported() {
            return false;
        }
        let is_other = |selection: TileSelection| selection.id() != set.header.selection;
        // An older version may have missed small pieces of tissue.
        let is_overlooked =
            set.header.tiles_tissue == 0 && set.header.program_version != env!("CARGO_PKG_VERSION");
        is_overlooked || self.selection(&set.header.slide_id).is_some_and(is_other)
    }

    /// Changes the settings; tiles are added and removed accordingly.
    pub(super) fn set_tissue(&mut self, settings: TissueSettings) -> Vec<Job> {
        if let Some(problem) = settings.problem() {
            self.messages.error(format!("The tissue settings were not changed: {problem}"));
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.project.settings_mut().tissue, settings.clone());
        let mut jobs = vec![self.save_project()];
        if !settings.same_mask(&before) {
            self.slides.list.iter_mut().for_each(|state| state.tissue = None);
            jobs.extend(self.slides.list.iter().map(|state| self.find_tissue(state.source.clone())));
        }
        self.slides.ids().iter().for_each(|slide| self.select_again(slide));
        jobs.extend(self.embed_plan());
        jobs
    }

    /// Updates the selection of tiles after annotations were loaded or changed, if it depends on them.
    pub(in crate::session) fn select_by_annotations(&mut self, slide: &SlideId) -> Vec<Job> {
        if self.tissue_settings().within.is_none() {
            return Vec::new();
        }
        self.select_again(slide);
        self.embed_plan()
    }

    /// Queues a slide for embedding again if its selection differs from the tiles that are embedded.
    fn select_again(&mut self, slide: &SlideId) {
        let is_other = self.index.set(slide).is_some_and(|set| self.is_selected_otherwise(set));
        if let Some(state) = self.slides.get_mut(slide)
            && is_other
            && matches!(state.status, SlideStatus::Embedded(_))
        {
            state.status = SlideStatus::Waiting(SlideProgress::default());
        }
    }

    /// Tells the user why a slide has no tile and how to change that.
    pub(super) fn report_no_tiles(&mut self, slide: &SlideId, why: &NoTiles) {
        let name = self.slides.name(slide);
        let text = format!("{name}: no tiles to embed: {}.", why.advice(Surface::Window));
        self.messages.note(text);
    }
}
