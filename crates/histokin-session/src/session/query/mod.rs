//! The current query: its examples and settings, the answer, and work with the matches.

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

/// Number of matches that are shown by default.
const DEFAULT_MATCHES: usize = 24;

/// Radius around the query tile, in µm, within which tiles are left out by default: they show the same
/// tissue, and their similarity says little.
const DEFAULT_EXCLUSION_UM: f64 = 500.0;

/// Largest number of matches that can be shown.
const MOST_MATCHES: usize = 1000;

/// The current query and its answer.
pub struct QueryState {
    /// Positive examples; never empty.
    pub positives: Vec<ShownExample>,
    /// Negative examples.
    pub negatives: Vec<ShownExample>,
    /// The newest answer, perhaps for earlier settings or a smaller index.
    pub answer: Option<Arc<Answer>>,
    /// Why there is no answer.
    pub problem: Option<String>,
    /// Whether a newer answer is being computed.
    pub waiting: bool,
    /// Index in the answer (0 is the best) of the match that was last shown.
    pub visited: Option<usize>,
    /// Indices in the answer of the matches chosen to be given a class.
    pub chosen: BTreeSet<usize>,
    /// Answer of the second encoder, if there is one.
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

    /// Returns the tile or region that represents the query: its first example.
    pub fn target(&self) -> Option<&TilePlace> {
        self.positives.first()?.place.as_ref()
    }

    /// Returns all examples, with true for positive ones.
    pub fn examples(&self) -> impl Iterator<Item = (bool, &ShownExample)> {
        let positives = self.positives.iter().map(|example| (true, example));
        positives.chain(self.negatives.iter().map(|example| (false, example)))
    }

    fn list(&mut self, is_positive: bool) -> &mut Vec<ShownExample> {
        if is_positive { &mut self.positives } else { &mut self.negatives }
    }
}

/// Query settings used by default.
pub(super) fn default_settings() -> QuerySettings {
    QuerySettings { count: DEFAULT_MATCHES, exclude_um: DEFAULT_EXCLUSION_UM, ..QuerySettings::default() }
}

impl Session {
    /// The current query.
    pub fn query(&self) -> Option<&QueryState> {
        self.query.as_ref()
    }

    /// Current query settings.
    pub fn query_settings(&self) -> &QuerySettings {
        &self.query_settings
    }

    /// Which patients' slides may hold matches.
    pub fn patients(&self) -> Patients {
        self.patients
    }

    /// Earlier queries and relevance judgements.
    pub fn query_history(&self) -> &QueryHistory {
        &self.query_history
    }

    /// Whether giving matches a class can be undone.
    pub fn can_undo_classification(&self) -> bool {
        !self.classified.is_empty()
    }

    /// Whether a judgement can be undone.
    pub fn can_undo_judgement(&self) -> bool {
        !self.judged.is_empty()
    }

    /// Number of the current query; it changes with every search.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Index of all searchable descriptors.
    pub fn index(&self) -> &Arc<Snapshot> {
        &self.index
    }

    pub(super) fn clear_query(&mut self) -> Vec<Job> {
        self.query = None;
        self.generation += 1;
        self.leave_archive().into_iter().collect()
    }

    /// Repeats an earlier query.
    pub(super) fn recall(&mut self, position: usize) -> Vec<Job> {
        let Some(past) = self.query_history.history().get(position).cloned() else { return Vec::new() };
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

    /// Saves the query history, once the saved one has been loaded.
    pub(super) fn save_history(&self) -> Option<Job> {
        let (root, query_history) = (self.project.root().to_owned(), Box::new(self.query_history.clone()));
        self.history_known.then_some(Job::History(HistoryJob::SaveHistory { root, query_history }))
    }

    /// Returns how patients are found: by the project's list, else by the file name.
    fn patient_names(&self) -> PatientNames {
        PatientNames::usual().with_list(self.project.patients())
    }

    /// Slides that may hold matches, if patients or chosen slides restrict them.
    fn slides_among(&self) -> Option<Vec<SlideId>> {
        let asked = self.query.as_ref().and_then(|query| query.positives.first()?.example.slide());
        let own = asked.and_then(|slide| self.slide(slide)).map(|state| state.source.info().path.as_path());
        let slides = self.slides.iter().map(|state| (state.id(), state.source.info().path.as_path()));
        let listed = self.query_settings.among.as_deref();
        builder::slides_among((self.patients, &self.patient_names()), own, slides, listed)
    }

    /// Takes in the list of patients by slide.
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
                let text = format!("{}: patients read; open slides in the list: {found}.", path.display());
                self.notify(super::state::Severity::Note, text, None);
                self.project.set_patients(list);
                let mut jobs = vec![Job::SaveProject(Box::new(self.project.clone()))];
                jobs.extend(self.search());
                jobs
            }
            Err(reason) => {
                self.notify(super::state::Severity::Error, reason, None);
                Vec::new()
            }
        }
    }

    /// Annotations to which the settings refer.
    fn marks(&self) -> Marks {
        if self.query_settings.marked == Marked::Anywhere { Marks::new() } else { self.all_marks() }
    }

    /// Annotations of all open slides.
    fn all_marks(&self) -> Marks {
        let of_slide = |id: &SlideId| Some((id.clone(), self.annotations(id)?.set().clone()));
        self.slides.iter().filter_map(|state| of_slide(state.id())).collect()
    }

    /// Searches again if annotations decide which tiles may be matches.
    pub(super) fn search_if_marked(&mut self) -> Vec<Job> {
        if self.query_settings.marked == Marked::Anywhere { Vec::new() } else { self.search() }
    }

    /// Searches the newest index for the current query.
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
            // The archive was faster, and its answer includes these matches.
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

    /// Requests the thumbnails that the lists show and drops all others: lists are short, and tiles are read
    /// again quickly.
    pub(super) fn read_pictures(&mut self) -> Vec<Job> {
        // In the order in which they are seen.
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
        // Pictures are not part of a slide but of a file of their own.
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

    /// Requests the thumbnail of a tile, unless that was done already.
    pub(super) fn read_tile_picture(&mut self, slide: SlideId, rect: Level0Rect) -> Vec<Job> {
        if self.tile_picture(&slide, &rect).is_some() {
            return Vec::new();
        }
        let Some(source) = self.slide(&slide).map(|state| state.source.clone()) else { return Vec::new() };
        self.tile_pictures.insert((slide, rect), TilePicture::Reading);
        vec![Job::Picture(PictureJob::ReadTilePicture { slide: source, rect })]
    }

    /// Takes in the query history of the project.
    pub(super) fn history_loaded(&mut self, query_history: QueryHistory) -> Vec<Job> {
        // Queries made while it was being read stay the newest.
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

    /// Removes everything on a slide that was closed from the query and its answer.
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
