//! Opening, calibrating and closing slides.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::{Job, LoadJob, OpenJob, Session, SlideStatus};
use super::{Colours, Profile, SlideState};
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::number_format::counted;
use histokin_core::slide::{SlideId, SlideInfo, SlideSource};

/// Whether a path names a table, and so a patient list, judged by its extension.
fn is_patient_list(path: &Path) -> bool {
    let is = |ending: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending));
    is("csv") || is("tsv")
}

impl Session {
    pub(super) fn open(&mut self, paths: Vec<PathBuf>) -> Vec<Job> {
        let (lists, paths): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.into_iter().partition(|path| is_patient_list(path));
        let (others, mut jobs) = self.import_dropped(paths);
        jobs.extend(lists.into_iter().map(|path| Job::Load(LoadJob::ReadPatients(path))));
        if !others.is_empty() {
            jobs.push(self.find_paths(others));
        }
        jobs
    }

    /// Adds an opened slide; `there` is the slide at the other path under which the project lists it, if any.
    pub(super) fn slide_opened(
        &mut self,
        source: Arc<dyn SlideSource>,
        there: Option<&SlideInfo>,
    ) -> Vec<Job> {
        let info = source.info();
        let id = info.id.clone();
        // A slide that was calibrated before keeps the user's pixel size, whatever path it is opened from.
        if let Some(mpp) = self.project.user_mpp_of(info)
            && info.mpp != Some(mpp)
            && there.is_none_or(|there| there.id == id)
        {
            return vec![Job::Open(OpenJob::OpenSlide { path: info.path.clone(), user_mpp: Some(mpp) })];
        }
        self.no_longer_missing(&id);
        self.slides.adding.remove(&info.path);
        let mut jobs = self.list(info, there);
        jobs.push(self.save_project());
        let fresh = SlideState {
            source: source.clone(),
            with_channels: None,
            guessed_stain: None,
            thumbnail: None,
            tissue: None,
            tissue_read: 0.0,
            colours: Colours::Unknown,
            profile: Profile::Unknown,
            status: SlideStatus::Checking,
            unavailable: None,
        };
        self.drop_other_tiles(&source);
        match self.slides.get_mut(&id) {
            // Opened again: the pixels are the same, but path or calibration may have changed.
            Some(known) => {
                let (thumbnail, guessed_stain) = (known.thumbnail.take(), known.guessed_stain);
                *known = SlideState { thumbnail, guessed_stain, ..fresh };
            }
            None => self.slides.list.push(fresh),
        }
        if self.view.active.is_none() {
            self.view.active = Some(id.clone());
        }
        jobs.extend(self.load_annotations(&id));
        match self.open_with_channels(&source) {
            Some(job) => jobs.push(job),
            None => jobs.push(self.read_thumbnail(source.clone())),
        }
        // Queries of the history may have examples on this slide.
        jobs.extend(self.read_pictures());
        jobs.push(self.find_tissue(source.clone()));
        jobs.extend(self.check_descriptors(&id));
        jobs.extend(self.go_to_awaited(source.info()));
        if !source.companions().is_empty() {
            jobs.push(Job::WatchSlide(source));
        }
        jobs
    }

    /// Adds a slide to the project's list, and updates everything that refers to one of its former IDs.
    fn list(&mut self, info: &SlideInfo, there: Option<&SlideInfo>) -> Vec<Job> {
        let shared_before = self.project.shared_ids().len();
        let normalised_before = self.normalisation();
        for note in self.project.add_slide(info, there) {
            self.messages.note(note);
        }
        self.query.history.rename_slides(&self.project.former_ids());
        // Descriptors that could belong to either of two slides are used for neither.
        let shared = self.project.shared_ids().get(shared_before..).unwrap_or_default().to_vec();
        let owners: Vec<SlideId> = shared.iter().map(|id| self.project.current_id(id)).collect();
        let mut jobs = self.embed_again_unless_normalised_as(normalised_before);
        for owner in owners {
            self.index.remove(&owner);
            self.slides.set_status(&owner, SlideStatus::Checking);
            jobs.extend(self.check_descriptors(&owner));
        }
        // A slide whose file was replaced by this one is no longer listed.
        let is_listed = |id: &SlideId| self.project.slides().iter().any(|entry| entry.id == *id);
        let gone: Vec<SlideId> = self.slides.ids().into_iter().filter(|id| !is_listed(id)).collect();
        jobs.extend(gone.iter().flat_map(|id| self.remove(id)));
        jobs
    }

    pub(super) fn remove(&mut self, slide: &SlideId) -> Vec<Job> {
        self.slides.list.retain(|state| state.id() != slide);
        self.slides.associated.retain(|(owner, _), _| owner != slide);
        let normalised_before = self.normalisation();
        self.project.remove_slide(slide);
        self.view.forget(slide, self.slides.list.first().map(|state| state.id().clone()));
        self.forget_slide_in_query(slide);
        self.index.remove(slide);
        let mut jobs = vec![self.save_project()];
        jobs.extend(self.embed_again_unless_normalised_as(normalised_before));
        jobs.extend(self.embed_plan());
        jobs.extend(self.search());
        jobs.extend(self.index_if_stale());
        jobs
    }

    pub(super) fn set_mpp(&mut self, slide: &SlideId, mpp: MicronsPerPixel) -> Vec<Job> {
        let Some(path) = self.slide(slide).map(|state| state.source.info().path.clone()) else {
            return Vec::new();
        };
        self.project.set_user_mpp(slide, mpp);
        vec![self.save_project(), Job::Open(OpenJob::OpenSlide { path, user_mpp: Some(mpp) })]
    }

    /// Tells which files that the user has opened are not in the project yet, since it is left.
    pub(in crate::session) fn tell_what_is_not_added(&mut self) {
        let listed: HashSet<PathBuf> =
            self.project.slides().iter().map(|entry| self.project.slide_path(entry)).collect();
        let mut left = self.slides.adding.iter().filter(|path| !listed.contains(*path));
        let Some(first) = left.next() else { return };
        let others = match left.count() {
            0 => String::new(),
            count => format!(" and {} more", counted(count as u64, "file")),
        };
        let text = format!(
            "{}{others}: not added to {}, because another project was opened before they were read. Open that project \
             again and add them there.",
            first.display(),
            self.project.root().display()
        );
        self.messages.note(text);
    }
}
