//! What counts as tissue in this project, and which tiles are embedded because of it.

use std::sync::Arc;

use super::state::{Severity, SlideState, SlideStatus};
use super::{EmbedTarget, Job, ScanJob, Session, SlideProgress};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::tissue::TissueSettings;
use histokin_core::tissue::selection::{NoTiles, Surface};
use histokin_project::pipeline::TileSelection;

impl Session {
    /// What counts as tissue, and how much of it a tile needs.
    pub fn tissue_settings(&self) -> &TissueSettings {
        &self.project.settings().tissue
    }

    pub(super) fn find_tissue(&self, slide: Arc<dyn SlideSource>) -> Job {
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

    /// Whether a finished set holds other tiles than are selected now, so that the slide has to be gone through
    /// again.
    pub(super) fn is_selected_otherwise(&self, set: &DescriptorSet) -> bool {
        if self.project.read_only().is_some() || set.header.recipe.encoder_id.is_imported() {
            return false;
        }
        let is_other = |selection: TileSelection| selection.id() != set.header.selection;
        // An older program may have overlooked small tissue.
        let is_overlooked =
            set.header.tiles_tissue == 0 && set.header.program_version != env!("CARGO_PKG_VERSION");
        is_overlooked || self.selection(&set.header.slide_id).is_some_and(is_other)
    }

    /// Change the settings, and add and take away tiles accordingly.
    pub(super) fn set_tissue(&mut self, settings: TissueSettings) -> Vec<Job> {
        if let Some(problem) = settings.problem() {
            self.tell(Severity::Error, format!("The tissue settings were not changed: {problem}"), None);
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.project.settings_mut().tissue, settings.clone());
        let mut jobs = vec![Job::SaveProject(Box::new(self.project.clone()))];
        if !settings.same_mask(&before) {
            self.slides.iter_mut().for_each(|state| state.tissue = None);
            jobs.extend(self.slides.iter().map(|state| self.find_tissue(state.source.clone())));
        }
        let slides: Vec<SlideId> = self.slides.iter().map(|state| state.id().clone()).collect();
        slides.iter().for_each(|slide| self.select_again(slide));
        jobs.extend(self.embed_plan());
        jobs
    }

    /// The annotations of a slide are known, or have changed in a way that decides which tiles are embedded.
    pub(super) fn select_by_annotations(&mut self, slide: &SlideId) -> Vec<Job> {
        if self.tissue_settings().within.is_none() {
            return Vec::new();
        }
        self.select_again(slide);
        self.embed_plan()
    }

    /// Have a slide gone through again if other tiles of it are selected now than are embedded.
    fn select_again(&mut self, slide: &SlideId) {
        let is_other = self.sets.get(slide).is_some_and(|set| self.is_selected_otherwise(set));
        if let Some(state) = self.slides.iter_mut().find(|state| state.id() == slide)
            && is_other
            && matches!(state.status, SlideStatus::Embedded(_))
        {
            state.status = SlideStatus::Waiting(SlideProgress::default());
        }
    }

    /// Tell why a slide has no tile, and how to change that.
    pub(super) fn tell_no_tiles(&mut self, slide: &SlideId, why: &NoTiles) -> Vec<Job> {
        let name = self.slide(slide).map(|state| state.source.info().name()).unwrap_or_default();
        let text = format!("{name}: no tile to embed: {}.", why.advice(Surface::Window));
        self.tell(Severity::Note, text, None);
        Vec::new()
    }
}
