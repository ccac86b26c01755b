//! The question in hand: examples come and go, settings change, answers arrive, matches are judged.

mod asking;
mod second_encoder;
mod matches;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexSet;

use super::state::TilePicture;
use super::{ArchiveProgress, HistoryJob, Job, PictureJob, SearchRequest, Session};
use histokin_core::geometry::Level0Rect;
use histokin_core::index::Snapshot;
use histokin_core::query::{
    Answer, Example, Judgement, Marked, Marks, PastQuery, PatientNames, Patients, Query, QueryError,
    QueryHistory, QuerySettings, ShownExample, TilePlace, builder,
};
use histokin_core::slide::SlideId;

pub use asking::PictureQuery;
pub(super) use matches::{Classified, Judged};
pub use second_encoder::SecondEncoder;

/// How many matches are shown unless the user chooses otherwise.
const DEFAULT_MATCHES: usize = 24;

/// Neighbours of the query tile within this distance are left out unless the user chooses otherwise: they
/// show the same spot, and their likeness says little.
const DEFAULT_EXCLUSION_UM: f64 = 500.0;

/// Most matches that are shown.
const MOST_MATCHES: usize = 1000;

/// The question in hand and what is known of its answer.
pub struct QueryState {
    /// What is looked for; never empty.
    pub positives: Vec<ShownExample>,
    /// What is not.
    pub negatives: Vec<ShownExample>,
    /// The newest answer, perhaps to this question with other settings, or while more is being embedded.
    pub answer: Option<Arc<Answer>>,
    /// Why there is no answer.
    pub problem: Option<String>,
    /// Whether a newer answer is on its way.
    pub waiting: bool,
    /// Place in the ranking of the match that was gone to, 0 being the best.
    pub visited: Option<usize>,
    /// Places in the ranking of the matches that were chosen, to be given a class.
    pub chosen: BTreeSet<usize>,
    /// What the second encoder answers, where there is one.
    pub second_encoder: Option<Result<Answer, String>>,
}

impl QueryState {
    fn new(positives: Vec<ShownExample>, negatives: Vec<ShownExample>) -> Self {
        Self {
            positives,
            negatives,
            answer: None,
            problem: None,
            waiting: false,
            visited: None,
            chosen: BTreeSet::new(),
            second_encoder: None,
        }
    }

    /// The part of a slide that stands for the question: its first example.
    pub fn target(&self) -> Option<&TilePlace> {
        self.positives.first()?.place.as_ref()
    }

    /// All examples, and whether each is of what is looked for.
    pub fn examples(&self) -> impl Iterator<Item = (bool, &ShownExample)> {
        let positives = self.positives.iter().map(|example| (true, example));
        positives.chain(self.negatives.iter().map(|example| (false, example)))
    }

    fn list(&mut self, is_positive: bool) -> &mut Vec<ShownExample> {
        if is_positive { &mut self.positives } else { &mut self.negatives }
    }
}

/// How questions are answered unless the user chooses otherwise.
pub(super) fn default_settings() -> QuerySettings {
    QuerySettings { count: DEFAULT_MATCHES, exclude_um: DEFAULT_EXCLUSION_UM, ..QuerySettings::default() }
}

impl Session {
    /// The question in hand.
    pub fn query(&self) -> Option<&QueryState> {
        self.query.as_ref()
    }

    /// How questions are answered.
    pub fn query_settings(&self) -> &QuerySettings {
        &self.query_settings
    }

    /// Which patients' slides may hold matches.
    pub fn patients(&self) -> Patients {
        self.patients
    }

    /// What was said of matches, and the questions asked before.
    pub fn query_history(&self) -> &QueryHistory {
        &self.query_history
    }

    /// Whether the classes that matches were given can be taken back.
    pub fn can_undo_classification(&self) -> bool {
        !self.classified.is_empty()
    }

    /// Whether a judgement can be taken back.
    pub fn can_undo_judgement(&self) -> bool {
        !self.judged.is_empty()
    }

    /// Number of the question as it was last put; another one is another question.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All that can be searched at present.
    pub fn index(&self) -> &Arc<Snapshot> {
        &self.index
    }

    pub(super) fn clear_query(&mut self) -> Vec<Job> {
        self.query = None;
        self.generation += 1;
        self.leave_archive().into_iter().collect()
    }

    /// Ask a question of before again.
    pub(super) fn recall(&mut self, place: usize) -> Vec<Job> {
        let Some(past) = self.query_history.history().get(place).cloned() else { return Vec::new() };
        self.query_settings = past.settings;
        self.ask(past.positives, past.negatives)
    }

    pub(super) fn set_query_settings(&mut self, settings: QuerySettings) -> Vec<Job> {
        self.query_settings = QuerySettings {
            count: settings.count.clamp(1, MOST_MATCHES),
            exclude_um: settings.exclude_um.clamp(0.0, 1e6),
            apart_um: settings.apart_um.clamp(0.0, 1e6),
            diversity: settings.diversity.clamp(0.0, 1.0),
            ..settings
        };
        self.search()
    }

    pub(super) fn set_patients(&mut self, patients: Patients) -> Vec<Job> {
        self.patients = patients;
        self.search()
    }

    /// Keep the book, once it is known what it held.
    pub(super) fn save_history(&self) -> Option<Job> {
        let (root, query_history) = (self.project.root().to_owned(), Box::new(self.query_history.clone()));
        self.history_known.then_some(Job::History(HistoryJob::SaveHistory { root, query_history }))
    }

    /// Patients by the names of slides, where a list told them, else by the names of their files.
    fn patient_names(&self) -> PatientNames {
        PatientNames::usual().with_list(self.project.patients())
    }

    /// Slides that may hold matches, where patients decide or slides are chosen.
    fn slides_among(&self) -> Option<Vec<SlideId>> {
        let asked = self.query.as_ref().and_then(|query| query.positives.first()?.example.slide());
        let own = asked.and_then(|slide| self.slide(slide)).map(|state| state.source.info().path.as_path());
        let slides = self.slides.iter().map(|state| (state.id(), state.source.info().path.as_path()));
        let listed = self.query_settings.among.as_deref();
        builder::slides_among((self.patients, &self.patient_names()), own, slides, listed)
    }

    /// Take over which patient each slide is of.
    pub(super) fn patients_read(
        &mut self,
        path: &std::path::Path,
        read: Result<Vec<(String, String)>, String>,
    ) -> Vec<Job> {
        match read {
            Ok(list) => {
                let known = |name: &str| {
                    self.slides.iter().any(|state| {
                        let path = &state.source.info().path;
                        path.file_name().is_some_and(|file| file == name)
                            || path.file_stem().is_some_and(|stem| stem == name)
                    })
                };
                let found = list.iter().filter(|(slide, _)| known(slide)).count();
                let text = format!("{}: the patients of {found} open slides are known.", path.display());
                self.tell(super::state::Severity::Note, text, None);
                self.project.set_patients(list);
                let mut jobs = vec![Job::SaveProject(Box::new(self.project.clone()))];
                jobs.extend(self.search());
                jobs
            }
            Err(reason) => {
                self.tell(super::state::Severity::Error, reason, None);
                Vec::new()
            }
        }
    }

    /// The annotations that settings speak of.
    fn marks(&self) -> Marks {
        if self.query_settings.marked == Marked::Anywhere { Marks::new() } else { self.all_marks() }
    }

    /// The annotations of all open slides.
    fn all_marks(&self) -> Marks {
        let of_slide = |id: &SlideId| Some((id.clone(), self.annotations(id)?.set().clone()));
        self.slides.iter().filter_map(|state| of_slide(state.id())).collect()
    }

    /// Whether annotations decide which tiles may be matches, so that changing them asks anew.
    pub(super) fn search_if_marked(&mut self) -> Vec<Job> {
        if self.query_settings.marked == Marked::Anywhere { Vec::new() } else { self.search() }
    }

    /// Put the question in hand to the newest index.
    pub(super) fn search(&mut self) -> Vec<Job> {
        let among = self.slides_among();
        let settings = QuerySettings { among, ..self.query_settings.clone() };
        let marks = self.marks();
        let second_encoder =
            self.second_encoder.as_ref().and_then(|second_encoder| second_encoder.index.clone());
        let Some(query) = &mut self.query else { return Vec::new() };
        self.generation += 1;
        query.waiting = true;
        let examples = |list: &[ShownExample]| list.iter().map(|shown| shown.example.clone()).collect();
        let query =
            Query { positives: examples(&query.positives), negatives: examples(&query.negatives), settings };
        let (generation, index) = (self.generation, self.index.clone());
        let search = SearchRequest { generation, index, query, marks, second_encoder };
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
        if generation != self.generation {
            return Vec::new();
        }
        let Some(query) = &mut self.query else { return Vec::new() };
        query.waiting = false;
        query.second_encoder = second_encoder.map(|answer| answer.map_err(|problem| problem.to_string()));
        let mut jobs = Vec::new();
        match answer {
            // The archive was quicker, and its answer holds these matches, too.
            Ok(_) if self.archive_progress == ArchiveProgress::Answered => {}
            Ok(answer) => {
                query.problem = None;
                let is_other = |before: &Arc<Answer>| before.matches != answer.matches;
                if query.answer.as_ref().is_none_or(is_other) {
                    query.chosen.clear();
                    query.visited = query.visited.filter(|rank| *rank < answer.matches.len());
                }
                query.answer = Some(Arc::new(answer));
            }
            Err(problem) => {
                query.answer = None;
                query.chosen.clear();
                query.problem = Some(problem.to_string());
                jobs.extend(self.embed_missing_tile(&problem));
            }
        }
        jobs.extend(self.read_pictures());
        jobs
    }

    /// Have the pictures read that the lists show, and drop the others: lists are short, and tiles are quickly
    /// read again.
    pub(super) fn read_pictures(&mut self) -> Vec<Job> {
        // In the order in which they are looked at.
        let mut wanted: IndexSet<(SlideId, Level0Rect)> = IndexSet::new();
        if let Some(query) = &self.query {
            let examples = query.examples().filter_map(|(_, shown)| shown.place.as_ref());
            wanted.extend(examples.map(|place| (place.slide.clone(), place.rect)));
            let second_encoder = query.second_encoder.iter().flatten();
            let answers = query.answer.as_deref().into_iter().chain(second_encoder);
            let matches = answers.flat_map(|answer| answer.matches.iter().take(MOST_MATCHES));
            wanted.extend(matches.map(|found| (found.slide.clone(), found.rect)));
        }
        let past = || self.query_history.history().iter().filter_map(|past| past.positives.first());
        let places = past().filter_map(|shown| shown.place.as_ref());
        wanted.extend(places.map(|place| (place.slide.clone(), place.rect)));
        // Pictures lie on no slide, but in a file of their own.
        let asked = self.query.iter().flat_map(|query| query.examples()).map(|(_, shown)| shown);
        let files: Vec<(TilePlace, PathBuf)> = asked
            .chain(past())
            .filter_map(|shown| match &shown.example {
                Example::Descriptors { file: Some(file), .. } => Some((shown.place.clone()?, file.clone())),
                _ => None,
            })
            .collect();
        self.tile_pictures.retain(|key, _| wanted.contains(key));
        let mut jobs = Vec::new();
        for (slide, rect) in wanted {
            let source = self.slide(&slide).map(|state| state.source.clone());
            if let Some(source) = source.filter(|_| self.tile_picture(&slide, &rect).is_none()) {
                jobs.push(Job::Picture(PictureJob::ReadTilePicture { slide: source, rect }));
                self.tile_pictures.insert((slide, rect), TilePicture::Reading);
            }
        }
        for (place, file) in files {
            if self.tile_picture(&place.slide, &place.rect).is_none() {
                self.tile_pictures.insert((place.slide.clone(), place.rect), TilePicture::Reading);
                jobs.push(Job::Picture(PictureJob::ReadQueryPicture { place, file }));
            }
        }
        jobs
    }

    /// Have the picture of a tile read that is neither known nor on its way.
    pub(super) fn read_tile_picture(&mut self, slide: SlideId, rect: Level0Rect) -> Vec<Job> {
        if self.tile_picture(&slide, &rect).is_some() {
            return Vec::new();
        }
        let Some(source) = self.slide(&slide).map(|state| state.source.clone()) else { return Vec::new() };
        self.tile_pictures.insert((slide, rect), TilePicture::Reading);
        vec![Job::Picture(PictureJob::ReadTilePicture { slide: source, rect })]
    }

    /// What the project has kept of its queries.
    pub(super) fn history_loaded(&mut self, query_history: QueryHistory) -> Vec<Job> {
        // Questions that were asked while it was being read stay on top.
        let asked: Vec<PastQuery> = self.query_history.history().to_vec();
        let judged: Vec<Judgement> = self.query_history.judgements().to_vec();
        self.query_history = query_history;
        self.query_history.rename_slides(&self.project.former_ids());
        self.history_known = true;
        let is_new = !asked.is_empty() || !judged.is_empty();
        asked.into_iter().rev().for_each(|past| self.query_history.note(past));
        judged.into_iter().for_each(|judgement| _ = self.query_history.judge(judgement));
        let mut jobs = self.read_pictures();
        jobs.extend(self.save_history().filter(|_| is_new));
        jobs
    }

    /// Drop what lies on a slide that is gone.
    pub(super) fn forget_slide_in_query(&mut self, slide: &SlideId) {
        if let Some(query) = &mut self.query {
            let stays = |shown: &ShownExample| shown.example.slide() != Some(slide);
            query.positives.retain(stays);
            query.negatives.retain(stays);
            let answer = query.answer.as_mut().map(Arc::make_mut);
            for answer in answer.into_iter().chain(query.second_encoder.iter_mut().flatten()) {
                answer.matches.retain(|found| found.slide != *slide);
                answer.slides.retain(|rank| rank.slide != *slide);
            }
            query.chosen.clear();
            query.visited = None;
        }
        if self.query.as_ref().is_some_and(|query| query.positives.is_empty()) {
            self.clear_query();
        }
    }
}
