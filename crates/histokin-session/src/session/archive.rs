//! The department's archive, as the window asks it: where it is, whether it answers, and the way to matches that
//! only it has.

use std::sync::Arc;

use image::RgbaImage;

use super::state::{Place, Severity, TilePicture, held};
use super::{ArchiveRequest, Job, OpenJob, SearchRequest, Session};
use histokin_core::geometry::Level0Rect;
use histokin_core::query::{Answer, PatientNames, Scope, TilePlace, USUAL_PATTERN};
use histokin_core::slide::{SlideId, SlideInfo};
use histokin_project::project::{ArchiveUrl, Password};

/// What has become of the question that was put to the archive.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ArchiveProgress {
    #[default]
    NotAsked,
    Searching,
    Answered,
    /// Why there are the project's own matches only.
    Failed(String),
}

/// The archive's answer and the project's in one ranking, and small pictures of matches.
pub struct ArchiveAnswer {
    pub answer: Answer,
    pub pictures: Vec<(TilePlace, RgbaImage)>,
}

impl Session {
    /// What has become of the question in hand at the archive.
    pub fn archive_progress(&self) -> &ArchiveProgress {
        &self.archive_progress
    }

    /// Use an archive from now on, or none. The address is kept with the project, the password for this run only.
    pub(super) fn set_archive(&mut self, url: Option<ArchiveUrl>, password: Option<Password>) -> Vec<Job> {
        let was_asked = self.query_settings.scope == Scope::Archive;
        match &url {
            Some(_) => self.query_settings.scope = Scope::Archive,
            None if was_asked => self.query_settings.scope = Scope::All,
            None => {}
        }
        self.project.set_archive(url);
        self.archive_password = password;
        let mut jobs = vec![Job::SaveProject(Box::new(self.project.clone()))];
        jobs.extend(self.search());
        jobs
    }

    /// What the archive is searching is not wanted any more.
    pub(super) fn leave_archive(&mut self) -> Option<Job> {
        let before = std::mem::take(&mut self.archive_progress);
        (before == ArchiveProgress::Searching).then_some(Job::LeaveArchive)
    }

    /// Put a question to the archive, too, if that is wanted.
    pub(super) fn search_archive(&mut self, search: &SearchRequest) -> Option<Job> {
        let leave = self.leave_archive();
        if self.query_settings.scope != Scope::Archive {
            return leave;
        }
        let Some(url) = self.project.archive().cloned() else {
            let text = "No archive is set up for this project".to_owned();
            self.archive_progress = ArchiveProgress::Failed(text);
            return leave;
        };
        let recipe = self.recipe()?;
        let slide = self.query.as_ref()?.positives.first()?.example.slide();
        let names = PatientNames::new(USUAL_PATTERN).ok();
        let own_patient =
            slide.and_then(|slide| self.slide(slide)).and_then(|state| names?.of(&state.source.info().path));
        self.archive_progress = ArchiveProgress::Searching;
        Some(Job::SearchArchive(Box::new(ArchiveRequest {
            search: search.clone(),
            url,
            password: self.archive_password.clone(),
            recipe,
            patients: self.patients,
            own_patient,
            former_ids: self.project.former_ids(),
        })))
    }

    /// The archive has answered, or why it has not.
    pub(super) fn archive_answered(
        &mut self,
        generation: u64,
        answer: Result<Box<ArchiveAnswer>, String>,
    ) -> Vec<Job> {
        if generation != self.generation {
            return Vec::new();
        }
        let Some(query) = &mut self.query else { return Vec::new() };
        match answer {
            Err(reason) => {
                self.archive_progress = ArchiveProgress::Failed(reason);
                Vec::new()
            }
            Ok(found) => {
                self.archive_progress = ArchiveProgress::Answered;
                query.waiting = false;
                query.problem = None;
                query.answer = Some(Arc::new(found.answer));
                for (tile, picture) in found.pictures {
                    let picture = TilePicture::Read(Arc::new(held(picture)));
                    self.tile_pictures.entry((tile.slide, tile.rect)).or_insert(picture);
                }
                self.read_pictures()
            }
        }
    }

    /// Go to a match on a slide that is not open: opened where it can be reached, else it is told where it lies.
    pub(super) fn go_to_archived(&mut self, place: Place) -> Vec<Job> {
        self.open_archived(place.slide, Some(place.field))
    }

    /// Show a slide of the archive: its best match, or all of it.
    pub(super) fn show_archived(&mut self, slide: SlideId) -> Vec<Job> {
        let answer = self.query.as_ref().and_then(|query| query.answer.as_ref());
        let best = answer.and_then(|answer| answer.matches.iter().position(|found| found.slide == slide));
        match best {
            Some(rank) => self.go_to_match(rank, None),
            None => self.open_archived(slide, None),
        }
    }

    fn open_archived(&mut self, id: SlideId, field: Option<Level0Rect>) -> Vec<Job> {
        let answer = self.query.as_ref().and_then(|query| query.answer.as_ref());
        let Some(slide) = answer.and_then(|answer| answer.from_archive(&id)) else {
            return Vec::new();
        };
        match (&slide.location, slide.is_reachable) {
            (Some(path), true) => {
                let path = path.clone();
                self.awaited = Some((id, field));
                vec![Job::Open(OpenJob::OpenSlide { path, user_mpp: None })]
            }
            _ => {
                let text = format!("{}: {}", slide.name, slide.location());
                self.tell(Severity::Note, text, None);
                Vec::new()
            }
        }
    }

    /// A slide has been opened: go to the match that it was opened for.
    pub(super) fn arrive(&mut self, info: &SlideInfo) -> Vec<Job> {
        let slide = info.id.clone();
        match self.awaited.take_if(|(awaited, _)| info.goes_by(awaited)) {
            Some((_, Some(field))) => self.travel(Place { slide, field }),
            Some((_, None)) => self.show(slide),
            None => Vec::new(),
        }
    }
}
