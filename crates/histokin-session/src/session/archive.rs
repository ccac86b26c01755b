//! Search in the department's archive: its address, the progress of a query, and opening slides of matches
//! that only the archive has.

use std::sync::Arc;

use image::RgbaImage;

use super::state::{Place, Severity, TilePicture, reserved};
use super::{ArchiveRequest, Job, OpenJob, SearchRequest, Session};
use histokin_core::geometry::Level0Rect;
use histokin_core::query::{Answer, DEFAULT_PATTERN, PatientNames, Scope, TilePlace};
use histokin_core::slide::{SlideId, SlideInfo};
use histokin_project::project::{ArchiveUrl, Password};

/// Progress of the current query in the archive.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ArchiveProgress {
    /// The archive is not part of the search.
    #[default]
    NotAsked,
    /// The archive is searching.
    Searching,
    /// The archive has answered.
    Answered,
    /// The archive search failed, for this reason; only the project's own matches are shown.
    Failed(String),
}

/// The merged answer of archive and project, with thumbnails of matches.
pub struct ArchiveAnswer {
    /// Matches of the archive and the project in one ranking.
    pub answer: Answer,
    /// Thumbnails of matches, as the archive has them.
    pub pictures: Vec<(TilePlace, RgbaImage)>,
}

impl Session {
    /// Progress of the current query in the archive.
    pub fn archive_progress(&self) -> &ArchiveProgress {
        &self.archive_progress
    }

    /// Sets the archive to search, or none. The address is saved with the project; the password is kept for
    /// this run only.
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

    /// Cancels the archive search, if one is running.
    pub(super) fn leave_archive(&mut self) -> Option<Job> {
        let before = std::mem::take(&mut self.archive_progress);
        (before == ArchiveProgress::Searching).then_some(Job::CancelArchiveSearch)
    }

    /// Searches the archive too, if the scope includes it.
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
        let names = PatientNames::new(DEFAULT_PATTERN).ok();
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

    /// Takes in the archive's answer, or the reason of its failure.
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
                    let picture = TilePicture::Read(Arc::new(reserved(picture)));
                    self.tile_pictures.entry((tile.slide, tile.rect)).or_insert(picture);
                }
                self.read_pictures()
            }
        }
    }

    /// Goes to a match on a slide that is not open: opens the slide if it can be reached, else reports where
    /// it is.
    pub(super) fn go_to_archived(&mut self, place: Place) -> Vec<Job> {
        self.open_archived(place.slide, Some(place.field))
    }

    /// Shows a slide of the archive: its best match, or the whole slide.
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
                self.notify(Severity::Note, text, None);
                Vec::new()
            }
        }
    }

    /// Goes to the match for which a slide was opened, once the slide is open.
    pub(super) fn arrive(&mut self, info: &SlideInfo) -> Vec<Job> {
        let slide = info.id.clone();
        match self.awaited.take_if(|(awaited, _)| info.has_id(awaited)) {
            Some((_, Some(field))) => self.go_to(Place { slide, field }),
            Some((_, None)) => self.show(slide),
            None => Vec::new(),
        }
    }
}
