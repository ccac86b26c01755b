//! Searching for the current query, settings, and what becomes of answers.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexSet;

use super::super::{ArchiveProgress, Job, SearchRequest, Session, SlideState};
use super::MOST_MATCHES;
use histokin_core::geometry::Level0Rect;
use histokin_core::number_format::counted;
use histokin_core::query::{
    AnnotationFilter, AnnotationsBySlide, Answer, Example, PatientList, PatientNames, Patients, Query,
    QueryError, QuerySettings, ShownExample, TilePosition, builder,
};
use histokin_core::slide::{SlideId, names};

impl Session {
    pub(in crate::session) fn clear_query(&mut self) -> Vec<Job> {
        self.query.current = None;
        self.query.generation += 1;
        self.cancel_archive_search().into_iter().collect()
    }

    pub(super) fn set_query_settings(&mut self, settings: QuerySettings) -> Vec<Job> {
        self.query.settings = QuerySettings {
            count: settings.count.clamp(1, MOST_MATCHES),
            exclude_um: settings.exclude_um.clamp(0.0, 1e6),
            apart_um: settings.apart_um.clamp(0.0, 1e6),
            diversity: settings.diversity.clamp(0.0, 1.0),
            ..settings
        };
        self.search()
    }

    pub(super) fn set_patients(&mut self, patients: Patients) -> Vec<Job> {
        self.query.patients = patients;
        self.search()
    }

    /// Returns how patients are found: by the project's list, else by the file name.
    fn patient_names(&self) -> PatientNames {
        PatientNames::usual().with_list(self.project.patients())
    }

    /// Returns the patients of the open slides, as far as they are known.
    pub(in crate::session) fn patients_by_slide(&self) -> HashMap<SlideId, String> {
        let names = self.patient_names();
        let slides = self.slides.list.iter();
        slides.filter_map(|state| Some((state.id().clone(), names.of(&state.source.info().path)?))).collect()
    }

    /// Slides that may hold matches, if patients or chosen slides restrict them.
    fn slides_among(&self) -> Option<Vec<SlideId>> {
        let asked = self.query.current.as_ref().and_then(|query| query.positives.first()?.example.slide());
        let own = asked.and_then(|slide| self.slide(slide)).map(|state| state.source.info().path.as_path());
        let slides = self.slides.list.iter().map(|state| (state.id(), state.source.info().path.as_path()));
        let listed = self.query.settings.among.as_deref();
        builder::slides_among((self.query.patients, &self.patient_names()), own, slides, listed)
    }

    /// Takes in the list of patients by slide.
    pub(super) fn patients_read(&mut self, path: &Path, read: Result<PatientList, String>) -> Vec<Job> {
        match read {
            Ok(PatientList { patients, note }) => {
                let listed: HashSet<String> =
                    patients.iter().flat_map(|(name, _)| names::forms(name)).collect();
                let is_listed = |state: &&SlideState| {
                    let path = &state.source.info().path;
                    let own = [path.file_name(), path.file_stem()].into_iter().flatten();
                    own.map(|name| names::plain(&name.to_string_lossy())).any(|name| listed.contains(&name))
                };
                let found = self.slides.list.iter().filter(is_listed).count();
                let mut text = format!(
                    "{}: patient list read. It names {found} of {}.",
                    path.display(),
                    counted(self.slides.list.len() as u64, "open slide")
                );
                if let Some(note) = note {
                    text = format!("{text} {note}");
                }
                self.messages.note(text);
                self.project.set_patients(patients);
                let mut jobs = vec![self.save_project()];
                jobs.extend(self.search());
                jobs
            }
            Err(reason) => {
                self.messages.error(reason);
                Vec::new()
            }
        }
    }

    /// Annotations to which the settings refer.
    fn filter_annotations(&self) -> AnnotationsBySlide {
        if self.query.settings.annotation_filter == AnnotationFilter::Anywhere {
            AnnotationsBySlide::new()
        } else {
            self.annotations_by_slide()
        }
    }

    /// Annotations of all open slides.
    pub(super) fn annotations_by_slide(&self) -> AnnotationsBySlide {
        let of_slide = |id: &SlideId| Some((id.clone(), self.annotations(id)?.set().clone()));
        let sets: AnnotationsBySlide =
            self.slides.list.iter().filter_map(|state| of_slide(state.id())).collect();
        sets.with_masks(self.query.masks.clone())
    }

    /// Searches again if annotations decide which tiles may be matches.
    pub(in crate::session) fn search_if_annotations_filter(&mut self) -> Vec<Job> {
        if self.query.settings.annotation_filter == AnnotationFilter::Anywhere {
            Vec::new()
        } else {
            self.search()
        }
    }

    /// The current query as it is searched with.
    pub(in crate::session) fn current_query(&self) -> Option<Query> {
        let among = self.slides_among();
        let settings = QuerySettings { among, ..self.query.settings.clone() };
        Some(self.query.current.as_ref()?.with_settings(settings))
    }

    /// Searches the newest index for the current query.
    pub(in crate::session) fn search(&mut self) -> Vec<Job> {
        let Some(query) = self.current_query() else { return Vec::new() };
        let annotations = self.filter_annotations();
        let second_encoder = self.query.second_encoder.as_ref().and_then(|encoder| encoder.index.clone());
        let Some(state) = &mut self.query.current else { return Vec::new() };
        self.query.generation += 1;
        state.waiting = true;
        let (generation, index) = (self.query.generation, self.index().clone());
        let search = SearchRequest { generation, index, query, annotations, second_encoder };
        let mut jobs: Vec<Job> = self.search_archive(&search).into_iter().collect();
        jobs.push(Job::Search(search));
        jobs
    }

    pub(super) fn answered(
        &mut self,
        generation: u64,
        answer: Result<Answer, QueryError>,
        second_encoder: Option<Result<Answer, QueryError>>,
    ) -> Vec<Job> {
        if generation != self.query.generation {
            return Vec::new();
        }
        let in_words = |problem: &QueryError| problem.naming(|slide| self.slides.name(slide));
        let second_encoder = second_encoder.map(|answer| answer.map_err(|problem| in_words(&problem)));
        let problem_text = answer.as_ref().err().map(in_words);
        let Some(query) = &mut self.query.current else { return Vec::new() };
        (query.waiting, query.embeds_tile) = (false, false);
        query.second_encoder = second_encoder;
        let mut jobs = Vec::new();
        match answer {
            // The archive was faster, and its answer includes these matches.
            Ok(_) if self.archive.progress == ArchiveProgress::Answered => {}
            Ok(answer) => self.show_answer(answer),
            Err(problem) => {
                query.answer = None;
                query.chosen.clear();
                query.problem = problem_text;
                jobs.extend(self.embed_missing_tile(&problem));
            }
        }
        jobs.extend(self.read_pictures());
        jobs
    }

    /// Shows a new answer to the current query.
    pub(in crate::session) fn show_answer(&mut self, answer: Answer) {
        let Some(query) = &mut self.query.current else { return };
        query.problem = None;
        query.follow_matches(&answer);
        let answer = Arc::new(answer);
        query.answer = Some(answer.clone());
        // Until the archive has answered, its matches are missing.
        if self.archive.progress != ArchiveProgress::Searching {
            self.note_settling(&answer);
        }
    }

    /// Requests the thumbnails of the examples and matches that are listed.
    pub(in crate::session) fn read_pictures(&mut self) -> Vec<Job> {
        // In the order in which they are seen.
        let mut wanted: IndexSet<(SlideId, Level0Rect)> = IndexSet::new();
        if let Some(query) = &self.query.current {
            let marked = query.marks.iter().map(|mark| &mark.shown);
            let examples = query.examples().map(|(_, shown)| shown).chain(marked);
            let examples = examples.filter_map(|shown| shown.position.as_ref());
            wanted.extend(examples.map(|position| (position.slide.clone(), position.rect)));
            let second_encoder = query.second_encoder.iter().flatten();
            let answers = query.answer.as_deref().into_iter().chain(second_encoder);
            let matches = answers.flat_map(|answer| answer.matches.iter().take(MOST_MATCHES));
            wanted.extend(matches.map(|found| (found.slide.clone(), found.rect)));
        }
        let past = || self.query.history.history().iter().filter_map(|past| past.positives.first());
        let positions = past().filter_map(|shown| shown.position.as_ref());
        wanted.extend(positions.map(|position| (position.slide.clone(), position.rect)));
        // Pictures are not part of a slide but of a file of their own.
        let asked = self.query.current.iter().flat_map(|query| query.examples()).map(|(_, shown)| shown);
        let files: Vec<(TilePosition, PathBuf)> = asked
            .chain(past())
            .filter_map(|shown| match &shown.example {
                Example::Descriptors { file: Some(file), .. } => {
                    Some((shown.position.clone()?, file.clone()))
                }
                _ => None,
            })
            .collect();
        self.show_pictures(wanted, files)
    }

    /// Removes everything on a slide that was closed from the query and its answer.
    pub(in crate::session) fn forget_slide_in_query(&mut self, slide: &SlideId) {
        if let Some(query) = &mut self.query.current {
            let stays = |shown: &ShownExample| shown.example.slide() != Some(slide);
            query.positives.retain(stays);
            query.negatives.retain(stays);
            query.marks.retain(|mark| stays(&mark.shown));
            query.stayed.truncate(query.marks.len());
            let answer = query.answer.as_mut().map(Arc::make_mut);
            for answer in answer.into_iter().chain(query.second_encoder.iter_mut().flatten()) {
                answer.matches.retain(|found| found.slide != *slide);
                answer.slides.retain(|rank| rank.slide != *slide);
            }
            query.chosen.clear();
            query.visited = None;
        }
        self.retain_marks_for_undo(|mark| mark.shown.example.slide() != Some(slide));
        if self.query.current.as_ref().is_some_and(|query| query.positives.is_empty()) {
            self.clear_query();
        }
        let second_encoder = self.query.second_encoder.as_mut();
        if let Some(index) = second_encoder.and_then(|encoder| encoder.index.as_mut()) {
            *index = Arc::new(index.without(slide));
        }
    }
}
