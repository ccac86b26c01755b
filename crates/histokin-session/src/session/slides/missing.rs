//! Files that have moved or become unavailable.

use std::path::PathBuf;

use super::super::{Job, OpenJob, Remedy, Session, Severity, SlideStatus};
use histokin_core::slide::SlideId;

impl Session {
    /// Searches for a missing slide of the project; reports any other missing file.
    pub(super) fn slide_missing(&mut self, path: PathBuf, reason: String) -> Vec<Job> {
        let entry = self.project.slides().iter().find(|entry| self.project.slide_path(entry) == path);
        let Some(entry) = entry else {
            self.messages.add(Severity::Error, reason, Some(Remedy::OpenAgain(path)));
            return Vec::new();
        };
        let (slide, user_mpp) = (entry.id.clone(), entry.user_mpp);
        // Folders get renamed and slides moved: search where other slides are, around the project, and below
        // what is left of the old path.
        let others = self.slides.list.iter().filter_map(|state| state.source.info().path.parent());
        let around = self.project.root().parent();
        let above = path.parent().and_then(|folder| folder.parent());
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in others.chain(around).chain(above) {
            if !folders.iter().any(|known| known == folder) {
                folders.push(folder.to_owned());
            }
        }
        vec![Job::Open(OpenJob::FindMoved { slide, path, user_mpp, folders })]
    }

    /// Withdraws messages about a slide's old path, since the slide has been opened.
    pub(super) fn no_longer_missing(&mut self, slide: &SlideId) {
        let entry = self.project.slides().iter().find(|entry| entry.id == *slide);
        let Some(before) = entry.map(|entry| self.project.slide_path(entry)) else { return };
        self.messages.withdraw(&Remedy::OpenAgain(before));
    }

    /// Marks a slide as unavailable and has it watched; other slides are embedded meanwhile.
    pub(super) fn slide_unavailable(&mut self, slide: &SlideId, reason: String) -> Vec<Job> {
        let Some(state) = self.slides.get_mut(slide).filter(|state| state.unavailable.is_none()) else {
            return Vec::new();
        };
        state.unavailable = Some(reason.clone());
        if let SlideStatus::Embedding(progress) = state.status {
            state.status = SlideStatus::Waiting(progress);
        }
        let source = state.source.clone();
        let remedy = Remedy::OpenAgain(source.info().path.clone());
        self.messages.add(Severity::Error, reason, Some(remedy));
        let mut jobs = vec![Job::AwaitSlide(source)];
        jobs.extend(self.embed_plan());
        jobs
    }

    /// Resumes work on a slide that can be read again.
    pub(super) fn slide_back(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(state) = self.slides.get_mut(slide).filter(|state| state.unavailable.is_some()) else {
            return Vec::new();
        };
        state.unavailable = None;
        let (source, shown) = (state.source.clone(), state.shown().clone());
        let mut jobs = Vec::new();
        let (has_thumbnail, has_tissue) = (state.thumbnail.is_some(), state.tissue.is_some());
        if !has_thumbnail {
            jobs.push(self.read_thumbnail(shown));
        }
        if !has_tissue {
            jobs.push(self.find_tissue(source.clone()));
        }
        self.messages.withdraw(&Remedy::OpenAgain(source.info().path.clone()));
        let text = format!("{} can be read again.", source.info().name());
        self.messages.note(text);
        jobs.extend(self.embed_plan());
        jobs
    }
}
