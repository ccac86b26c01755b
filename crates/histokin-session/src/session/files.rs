//! Files that have moved, and the pictures that files carry beside their slide.

use std::path::PathBuf;

use super::state::{Remedy, Severity, SlideStatus, TilePicture};
use super::{Job, OpenJob, ScanJob, Session};
use histokin_core::slide::SlideId;

impl Session {
    /// A slide of the project that is not where it was is looked for; any other missing file is told.
    pub(super) fn slide_missing(&mut self, path: PathBuf, reason: String) -> Vec<Job> {
        let entry = self.project.slides().iter().find(|entry| self.project.slide_path(entry) == path);
        let Some(entry) = entry else {
            self.tell(Severity::Error, reason, Some(Remedy::OpenAgain(path)));
            return Vec::new();
        };
        let (slide, user_mpp) = (entry.id.clone(), entry.user_mpp);
        // Folders are renamed and slides filed elsewhere: where others lie, around the project, and below
        // what is left of the old path.
        let others = self.slides.iter().filter_map(|state| state.source.info().path.parent());
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

    /// A slide has been opened: what was said of its file at the place of before no longer holds.
    pub(super) fn no_longer_missing(&mut self, slide: &SlideId) {
        let entry = self.project.slides().iter().find(|entry| entry.id == *slide);
        let Some(before) = entry.map(|entry| self.project.slide_path(entry)) else { return };
        self.withdraw(&Remedy::OpenAgain(before));
    }

    /// A slide cannot be read any more: it is looked for, and others are embedded meanwhile.
    pub(super) fn slide_unavailable(&mut self, slide: &SlideId, reason: String) -> Vec<Job> {
        let Some(state) = self.slide_mut(slide).filter(|state| state.unavailable.is_none()) else {
            return Vec::new();
        };
        state.unavailable = Some(reason.clone());
        if let SlideStatus::Embedding(progress) = state.status {
            state.status = SlideStatus::Waiting(progress);
        }
        let source = state.source.clone();
        let remedy = Remedy::OpenAgain(source.info().path.clone());
        self.tell(Severity::Error, reason, Some(remedy));
        let mut jobs = vec![Job::AwaitSlide(source)];
        jobs.extend(self.embed_plan());
        jobs
    }

    /// A slide can be read again: what could not be done meanwhile is done now.
    pub(super) fn slide_back(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(state) = self.slide_mut(slide).filter(|state| state.unavailable.is_some()) else {
            return Vec::new();
        };
        state.unavailable = None;
        let source = state.source.clone();
        let mut jobs = Vec::new();
        if state.thumbnail.is_none() {
            jobs.push(Job::Scan(ScanJob::MakeThumbnail(source.clone())));
        }
        if state.tissue.is_none() {
            jobs.push(self.find_tissue(source.clone()));
        }
        self.withdraw(&Remedy::OpenAgain(source.info().path.clone()));
        let text = format!("{} can be read again.", source.info().name());
        self.tell(Severity::Note, text, None);
        jobs.extend(self.embed_plan());
        jobs
    }

    pub(super) fn read_associated(&mut self, slide: &SlideId, name: String) -> Vec<Job> {
        let key = (slide.clone(), name);
        let Some(state) = self.slide(slide) else { return Vec::new() };
        if self.associated.contains_key(&key) {
            return Vec::new();
        }
        let job = Job::Scan(ScanJob::ReadAssociated { slide: state.source.clone(), name: key.1.clone() });
        self.associated.insert(key, TilePicture::Reading);
        vec![job]
    }
}
