//! Search in the department's archive: its address, the progress of a query, and opening slides of matches
//! that only the archive has.

use std::sync::Arc;

use image::RgbaImage;

use super::slides::reserved;
use super::{ArchiveJob, ArchiveRequest, Job, OpenJob, SearchRequest, Session, TilePicture, ViewTarget};
use histokin_core::geometry::Level0Rect;
use histokin_core::query::{Answer, DEFAULT_PATTERN, PatientNames, Scope, TilePosition};
use histokin_core::slide::SlideId;
use histokin_project::project::{ArchiveUrl, Password};

/// A command on the archive.
#[derive(Debug, Clone, PartialEq)]
pub enum ArchiveCommand {
    /// Sets the archive to search as well, or none. The password is kept for this run only.
    Set {
        /// Address of the archive; `None` for no archive.
        url: Option<ArchiveUrl>,
        /// Password as typed by the user.
        password: Option<Password>,
    },
    /// Shows a slide of the answer that is not open: opens it if the archive knows its location and that can
    /// be reached, else reports the location.
    ShowSlide(SlideId),
}

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
    pub pictures: Vec<(TilePosition, RgbaImage)>,
}

/// The archive, as far as this session uses it.
#[derive(Default)]
pub(super) struct Archive {
    pub(super) progress: ArchiveProgress,
    /// Password typed in this run.
    password: Option<Password>,
}

impl Session {
    /// Progress of the current query in the archive.
    pub fn archive_progress(&self) -> &ArchiveProgress {
        &self.archive.progress
    }

    pub(super) fn archive_command(&mut self, command: ArchiveCommand) -> Vec<Job> {
        match command {
            ArchiveCommand::Set { url, password } => self.set_archive(url, password),
            ArchiveCommand::ShowSlide(slide) => self.show_archived(slide),
        }
    }

    /// Sets the archive to search, or none. The address is saved with the project; the password is kept for
    /// this run only.
    fn set_archive(&mut self, url: Option<ArchiveUrl>, password: Option<Password>) -> Vec<Job> {
        let was_asked = self.query.settings.scope == Scope::Archive;
        match &url {
            Some(_) => self.query.settings.scope = Scope::Archive,
            None if was_asked => self.query.settings.scope = Scope::All,
            None => {}
        }
        self.project.set_archive(url);
        self.archive.password = password;
        let mut jobs = vec![self.save_project()];
        jobs.extend(self.search());
        jobs
    }

    /// Cancels the archive search, if one is running.
    pub(super) fn cancel_archive_search(&mut self) -> Option<Job> {
        let before = std::mem::take(&mut self.archive.progress);
        (before == ArchiveProgress::Searching).then_some(Job::Archive(ArchiveJob::Cancel))
    }

    /// Searches the archive too, if the scope includes it.
    pub(super) fn search_archive(&mut self, search: &SearchRequest) -> Option<Job> {
        let leave = self.cancel_archive_search();
        if self.query.settings.scope != Scope::Archive {
            return leave;
        }
        let Some(url) = self.project.archive().cloned() else {
            let text = "No archive is set up for this project".to_owned();
            self.archive.progress = ArchiveProgress::Failed(text);
            return leave;
        };
        let recipe = self.searched_recipe()?;
        let slide = self.query.current.as_ref()?.positives.first()?.example.slide();
        let names = PatientNames::new(DEFAULT_PATTERN).ok();
        let own_patient =
            slide.and_then(|slide| self.slide(slide)).and_then(|state| names?.of(&state.source.info().path));
        self.archive.progress = ArchiveProgress::Searching;
        Some(Job::Archive(ArchiveJob::Search(Box::new(ArchiveRequest {
            search: search.clone(),
            url,
            password: self.archive.password.clone(),
            recipe,
            patients: self.query.patients,
            own_patient,
            former_ids: self.project.former_ids(),
        }))))
    }

    /// Takes in the archive's answer, or the reason of its failure.
    pub(super) fn archive_answered(
        &mut self,
        generation: u64,
        answer: Result<Box<ArchiveAnswer>, String>,
    ) -> Vec<Job> {
        if generation != self.query.generation {
            return Vec::new();
        }
        let Some(query) = &mut self.query.current else { return Vec::new() };
        match answer {
            Err(reason) => {
                self.archive.progress = ArchiveProgress::Failed(reason);
                // If the project has answered, that is the whole answer.
                if let Some(answer) = query.answer.clone().filter(|_| !query.waiting) {
                    self.note_settling(&answer);
                }
                Vec::new()
            }
            Ok(found) => {
                self.archive.progress = ArchiveProgress::Answered;
                query.waiting = false;
                self.show_answer(found.answer);
                for (tile, picture) in found.pictures {
                    let picture = TilePicture::Read(Arc::new(reserved(picture)));
                    self.slides.tile_pictures.entry((tile.slide, tile.rect)).or_insert(picture);
                }
                self.read_pictures()
            }
        }
    }

    /// Goes to a match on a slide that is not open: opens the slide if it can be reached, else reports where
    /// it is.
    pub(super) fn go_to_archived(&mut self, target: ViewTarget) -> Vec<Job> {
        self.open_archived(target.slide, Some(target.field))
    }

    /// Shows a slide of the archive: its best match, or the whole slide.
    fn show_archived(&mut self, slide: SlideId) -> Vec<Job> {
        let answer = self.query.current.as_ref().and_then(|query| query.answer.as_ref());
        let best = answer.and_then(|answer| answer.matches.iter().position(|found| found.slide == slide));
        match best {
            Some(rank) => self.go_to_match(rank, None),
            None => self.open_archived(slide, None),
        }
    }

    fn open_archived(&mut self, id: SlideId, field: Option<Level0Rect>) -> Vec<Job> {
        let answer = self.query.current.as_ref().and_then(|query| query.answer.as_ref());
        let Some(slide) = answer.and_then(|answer| answer.from_archive(&id)) else {
            return Vec::new();
        };
        match (&slide.location, slide.is_reachable) {
            (Some(path), true) => {
                let path = path.clone();
                self.view.awaited = Some((id, field));
                vec![Job::Open(OpenJob::OpenSlide { path, user_mpp: None })]
            }
            _ => {
                let text = format!("{}: {}", slide.name, slide.location());
                self.messages.note(text);
                Vec::new()
            }
        }
    }
}
