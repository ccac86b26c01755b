//! The question in hand: examples come and go, settings change, answers arrive, matches are judged.

use std::collections::HashSet;
use std::sync::Arc;

use super::state::{Place, Severity, TilePicture};
use super::{ArchiveProgress, DescribeRequest, Job, SearchRequest, Session};
use crate::geometry::{Level0Point, Level0Rect};
use crate::index::Snapshot;
use crate::query::{
    self, Answer, Example, Judgement, PastQuery, PatientNames, Patients, Query, QueryBook, QueryError,
    QuerySettings, Region, Scope, ShownExample, TilePlace, USUAL_PATTERN, Verdict,
};
use crate::slide::SlideId;
use crate::tiling::TileGrid;
use crate::tissue::TISSUE_FRACTION;

/// How many matches are shown unless the user chooses otherwise.
const DEFAULT_MATCHES: usize = 24;

/// Neighbours of the query tile within this distance are left out unless the user chooses otherwise: they
/// show the same spot, and their likeness says little.
const DEFAULT_EXCLUSION_UM: f64 = 500.0;

/// Most tiles that ask together when many were chosen at once.
const MOST_EXAMPLES: usize = 24;

/// Most matches that are shown.
const MOST_MATCHES: usize = 1000;

/// The question in hand and what is known of its answer.
pub struct QueryState {
    /// What is looked for; never empty.
    pub like: Vec<ShownExample>,
    /// What is not.
    pub unlike: Vec<ShownExample>,
    /// The newest answer, perhaps to this question with other settings, or while more is being embedded.
    pub answer: Option<Arc<Answer>>,
    /// Why there is no answer.
    pub problem: Option<String>,
    /// Whether a newer answer is on its way.
    pub waiting: bool,
    /// Place in the ranking of the match that was gone to, 0 being the best.
    pub visited: Option<usize>,
}

impl QueryState {
    fn new(like: Vec<ShownExample>, unlike: Vec<ShownExample>) -> Self {
        Self { like, unlike, answer: None, problem: None, waiting: false, visited: None }
    }

    /// The part of a slide that stands for the question: its first example.
    pub fn target(&self) -> Option<&TilePlace> {
        self.like.first()?.place.as_ref()
    }

    /// All examples, and whether each is of what is looked for.
    pub fn examples(&self) -> impl Iterator<Item = (bool, &ShownExample)> {
        let like = self.like.iter().map(|example| (true, example));
        like.chain(self.unlike.iter().map(|example| (false, example)))
    }

    fn list(&mut self, like: bool) -> &mut Vec<ShownExample> {
        if like { &mut self.like } else { &mut self.unlike }
    }
}

/// What a judgement has changed, to be taken back.
pub(super) struct Judged {
    query: TilePlace,
    found: TilePlace,
    before: Option<Judgement>,
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
    pub fn book(&self) -> &QueryBook {
        &self.book
    }

    /// Whether a judgement can be taken back.
    pub fn can_undo_judgement(&self) -> bool {
        !self.judged.is_empty()
    }

    /// All that can be searched at present.
    pub fn index(&self) -> &Arc<Snapshot> {
        &self.index
    }

    /// Look for tiles like the one under `point`.
    pub(super) fn query_at(&mut self, slide: SlideId, point: Level0Point) -> Vec<Job> {
        let Some(example) = self.tile_example(slide, point) else { return Vec::new() };
        self.ask(vec![example], Vec::new())
    }

    /// Look for tiles like any of `tiles`.
    pub(super) fn query_tiles(&mut self, mut tiles: Vec<TilePlace>) -> Vec<Job> {
        tiles.retain(|place| self.slide(&place.slide).is_some());
        let step = tiles.len().div_ceil(MOST_EXAMPLES).max(1);
        if step > 1 {
            let asking = tiles.len().div_ceil(step);
            let text = format!("{asking} of the {} tiles ask for all, picked evenly", tiles.len());
            self.tell(Severity::Note, text, None);
        }
        let example = |place: TilePlace| {
            let (slide, at) = (place.slide.clone(), place.rect.center());
            ShownExample { example: Example::Tile { slide, at }, place: Some(place) }
        };
        let examples: Vec<ShownExample> = tiles.into_iter().step_by(step).map(example).collect();
        if examples.is_empty() { Vec::new() } else { self.ask(examples, Vec::new()) }
    }

    /// Have the picture of a tile read that is neither known nor on its way.
    pub(super) fn read_tile_picture(&mut self, slide: SlideId, rect: Level0Rect) -> Vec<Job> {
        if self.tile_picture(&slide, &rect).is_some() {
            return Vec::new();
        }
        let Some(source) = self.slide(&slide).map(|state| state.source.clone()) else { return Vec::new() };
        self.tile_pictures.insert((slide, rect), TilePicture::Reading);
        vec![Job::ReadTilePicture { slide: source, rect }]
    }

    /// Number of the question as it was last put; another one is another question.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Look for tiles like those of a region.
    pub(super) fn query_region(&mut self, slide: SlideId, region: Region) -> Vec<Job> {
        let bounds = region.bounds();
        // Its picture is square, as those of tiles are.
        let edge = bounds.width.max(bounds.height);
        let center = bounds.center();
        let (x, y) = (center.x - f64::from(edge) / 2.0, center.y - f64::from(edge) / 2.0);
        let rect = Level0Rect::new(x as i64, y as i64, edge, edge);
        let place = Some(TilePlace { slide: slide.clone(), rect });
        let example = ShownExample { example: Example::Region { slide, region }, place };
        self.ask(vec![example], Vec::new())
    }

    /// Add the tile under `point` to the question, or make it one.
    pub(super) fn add_example(&mut self, slide: SlideId, point: Level0Point, like: bool) -> Vec<Job> {
        if self.query.is_none() {
            return if like { self.query_at(slide, point) } else { Vec::new() };
        }
        let Some(example) = self.tile_example(slide, point) else { return Vec::new() };
        if let Some(query) = &mut self.query {
            // A second click takes a tile away again, and a tile is either like the others or not.
            let was_there = query.list(like).iter().any(|known| known.place == example.place);
            query.list(!like).retain(|known| known.place != example.place);
            query.list(like).retain(|known| known.place != example.place);
            if !was_there {
                query.list(like).push(example);
            }
        }
        self.question_changed()
    }

    pub(super) fn remove_example(&mut self, like: bool, place: usize) -> Vec<Job> {
        if let Some(query) = &mut self.query
            && place < query.list(like).len()
        {
            query.list(like).remove(place);
        }
        self.question_changed()
    }

    fn question_changed(&mut self) -> Vec<Job> {
        if self.query.as_ref().is_some_and(|query| query.like.is_empty()) {
            return self.clear_query();
        }
        if let Some(past) = self.past_query() {
            self.book.renew(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_book());
        jobs
    }

    pub(super) fn clear_query(&mut self) -> Vec<Job> {
        self.query = None;
        self.archive_progress = ArchiveProgress::NotAsked;
        self.generation += 1;
        Vec::new()
    }

    /// Ask a question of before again.
    pub(super) fn recall(&mut self, place: usize) -> Vec<Job> {
        let Some(past) = self.book.history().get(place).cloned() else { return Vec::new() };
        self.query_settings = past.settings;
        self.ask(past.like, past.unlike)
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

    fn tile_example(&mut self, slide: SlideId, point: Level0Point) -> Option<ShownExample> {
        let info = self.slide(&slide)?.source.info();
        let set = self.index.place(&slide).map(|place| &self.index.sets()[place as usize]);
        let embedded = set.and_then(|set| Some(set.rect(set.row_at(point)?)));
        let tiles = self.recipe().map_or(self.project.settings().tiles, |recipe| recipe.tiles);
        let rect = match TileGrid::new(info, tiles) {
            _ if embedded.is_some() => embedded?,
            Ok(grid) => grid.tile_at(point).map(|tile| grid.rect(tile))?,
            Err(error) => {
                self.tell(Severity::Error, error.to_string(), None);
                return None;
            }
        };
        let example = Example::Tile { slide: slide.clone(), at: rect.center() };
        Some(ShownExample { example, place: Some(TilePlace { slide, rect }) })
    }

    /// Ask a new question.
    fn ask(&mut self, like: Vec<ShownExample>, unlike: Vec<ShownExample>) -> Vec<Job> {
        self.query = Some(QueryState::new(like, unlike));
        if let Some(past) = self.past_query() {
            self.book.note(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_book());
        jobs
    }

    /// The question in hand as the history has it.
    fn past_query(&self) -> Option<PastQuery> {
        let query = self.query.as_ref()?;
        let (like, unlike) = (query.like.clone(), query.unlike.clone());
        Some(PastQuery { like, unlike, settings: self.query_settings.clone() })
    }

    /// Keep the book, once it is known what it held.
    fn save_book(&self) -> Option<Job> {
        let (root, book) = (self.project.root().to_owned(), Box::new(self.book.clone()));
        self.book_known.then_some(Job::SaveBook { root, book })
    }

    /// Slides that may hold matches, where patients decide.
    fn of_patients(&self) -> Option<Vec<SlideId>> {
        let slide = self.query.as_ref()?.like.first()?.example.slide()?;
        let own = &self.slide(slide)?.source.info().path;
        if self.patients == Patients::Any {
            return None;
        }
        let names = PatientNames::new(USUAL_PATTERN).ok()?;
        let accepted =
            self.slides.iter().filter(|state| self.patients.accept(&names, own, &state.source.info().path));
        Some(accepted.map(|state| state.id().clone()).collect())
    }

    /// Put the question in hand to the newest index.
    pub(super) fn search(&mut self) -> Vec<Job> {
        let among = self.of_patients().or_else(|| self.query_settings.among.clone());
        let settings = QuerySettings { among, ..self.query_settings.clone() };
        let Some(query) = &mut self.query else { return Vec::new() };
        self.generation += 1;
        query.waiting = true;
        let examples = |list: &[ShownExample]| list.iter().map(|shown| shown.example.clone()).collect();
        let query = Query { like: examples(&query.like), unlike: examples(&query.unlike), settings };
        let search = SearchRequest { generation: self.generation, index: self.index.clone(), query };
        let mut jobs: Vec<Job> = self.search_archive(&search).into_iter().collect();
        jobs.push(Job::Search(search));
        jobs
    }

    pub(super) fn answered(&mut self, generation: u64, answer: Result<Answer, QueryError>) -> Vec<Job> {
        if generation != self.generation {
            return Vec::new();
        }
        let Some(query) = &mut self.query else { return Vec::new() };
        query.waiting = false;
        let mut jobs = Vec::new();
        match answer {
            // The archive was quicker, and its answer holds these matches, too.
            Ok(_) if self.archive_progress == ArchiveProgress::Answered => {}
            Ok(answer) => {
                query.problem = None;
                query.answer = Some(Arc::new(answer));
            }
            Err(problem) => {
                query.answer = None;
                query.problem = Some(problem.to_string());
                jobs.extend(self.describe_missing(&problem));
            }
        }
        jobs.extend(self.read_pictures());
        jobs
    }

    /// Have the pictures read that the lists show, and drop the others: lists are short, and tiles are quickly
    /// read again.
    pub(super) fn read_pictures(&mut self) -> Vec<Job> {
        let mut wanted: HashSet<(SlideId, Level0Rect)> = HashSet::new();
        if let Some(query) = &self.query {
            let examples = query.examples().filter_map(|(_, shown)| shown.place.as_ref());
            wanted.extend(examples.map(|place| (place.slide.clone(), place.rect)));
            let matches = query.answer.iter().flat_map(|answer| answer.matches.iter().take(MOST_MATCHES));
            wanted.extend(matches.map(|found| (found.slide.clone(), found.rect)));
        }
        let past = self.book.history().iter().filter_map(|past| past.like.first()?.place.as_ref());
        wanted.extend(past.map(|place| (place.slide.clone(), place.rect)));
        self.tile_pictures.retain(|key, _| wanted.contains(key));
        let mut jobs = Vec::new();
        for (slide, rect) in wanted {
            let source = self.slide(&slide).map(|state| state.source.clone());
            if let Some(source) = source.filter(|_| self.tile_picture(&slide, &rect).is_none()) {
                jobs.push(Job::ReadTilePicture { slide: source, rect });
                self.tile_pictures.insert((slide, rect), TilePicture::Reading);
            }
        }
        jobs
    }

    /// A tile that is not among the embedded ones is described on the spot, where it is tissue.
    fn describe_missing(&mut self, problem: &QueryError) -> Option<Job> {
        let (QueryError::NotEmbedded(id) | QueryError::NoTileThere { slide: id, .. }) = problem else {
            return None;
        };
        let recipe = self.recipe()?;
        let state = self.slide(id)?;
        let (slide, tissue) = (state.source.clone(), state.tissue.clone());
        let place = self.query.as_ref()?.examples().find_map(|(_, shown)| match &shown.example {
            Example::Tile { slide, at } if slide == id && !self.is_embedded(slide, *at) => {
                shown.place.clone()
            }
            _ => None,
        })?;
        if self.index.is_empty() && self.query_settings.scope != Scope::Archive
            || tissue.as_ref().is_some_and(|tissue| tissue.fraction(&place.rect) < TISSUE_FRACTION)
        {
            return None;
        }
        let query = self.query.as_mut()?;
        query.waiting = true;
        query.problem = Some("This tile is not embedded yet: it is being described on the spot.".to_owned());
        let encoder = self.project.encoder_name();
        Some(Job::Describe(DescribeRequest { slide, tissue, rects: vec![place.rect], recipe, encoder }))
    }

    fn is_embedded(&self, slide: &SlideId, at: Level0Point) -> bool {
        let place = self.index.place(slide);
        place.is_some_and(|place| self.index.sets()[place as usize].row_at(at).is_some())
    }

    /// Descriptors that were asked for have come.
    pub(super) fn described(
        &mut self,
        slide: &SlideId,
        rects: &[Level0Rect],
        descriptors: Result<Vec<Vec<f32>>, String>,
    ) -> Vec<Job> {
        let Some(query) = &mut self.query else { return Vec::new() };
        let descriptors = match descriptors {
            Ok(descriptors) => descriptors,
            Err(reason) => {
                query.waiting = false;
                query.problem = Some(reason);
                return Vec::new();
            }
        };
        for (rect, descriptor) in rects.iter().zip(descriptors) {
            let place = TilePlace { slide: slide.clone(), rect: *rect };
            let name = slide.short().to_owned();
            for shown in query.like.iter_mut().chain(&mut query.unlike) {
                if shown.place.as_ref() == Some(&place) && matches!(shown.example, Example::Tile { .. }) {
                    let (place, descriptors) = (Some(place.clone()), vec![descriptor.clone()]);
                    shown.example = Example::Described { name: name.clone(), place, descriptors };
                }
            }
        }
        self.search()
    }

    /// Say of a match what it is, or take that back.
    pub(super) fn judge(&mut self, rank: usize, verdict: Option<Verdict>) -> Vec<Job> {
        let encoder = self.recipe().map(|recipe| recipe.encoder_id.0).unwrap_or_default();
        let answer = self.query.as_ref().and_then(|query| query.answer.as_ref());
        let Some((answer, found)) = answer.and_then(|answer| Some((answer, answer.matches.get(rank)?)))
        else {
            return Vec::new();
        };
        let Some((query, place)) = query::pair(answer, found) else { return Vec::new() };
        let distance = found.distance;
        let before = match verdict {
            Some(verdict) => {
                let (query, found) = (query.clone(), place.clone());
                self.book.judge(Judgement { query, found, verdict, distance, encoder })
            }
            None => self.book.forget(&query, &place),
        };
        self.judged.push(Judged { query, found: place, before });
        self.save_book().into_iter().collect()
    }

    pub(super) fn undo_judgement(&mut self) -> Vec<Job> {
        let Some(Judged { query, found, before }) = self.judged.pop() else { return Vec::new() };
        match before {
            Some(before) => _ = self.book.judge(before),
            None => _ = self.book.forget(&query, &found),
        }
        self.save_book().into_iter().collect()
    }

    pub(super) fn export_matches(&mut self) -> Vec<Job> {
        let Some(answer) = self.query.as_ref().and_then(|query| query.answer.clone()) else {
            return Vec::new();
        };
        let slides = self.slides.iter().map(|state| (state.id().clone(), state.source.clone())).collect();
        let reports = self.project.root().join("reports");
        vec![Job::ExportAnswer { answer: Box::new(Answer::clone(&answer)), slides, reports }]
    }

    /// What the project has kept of its queries.
    pub(super) fn book_loaded(&mut self, book: QueryBook) -> Vec<Job> {
        // Questions that were asked while it was being read stay on top.
        let asked: Vec<PastQuery> = self.book.history().to_vec();
        let judged: Vec<Judgement> = self.book.judgements().to_vec();
        self.book = book;
        self.book_known = true;
        let is_new = !asked.is_empty() || !judged.is_empty();
        asked.into_iter().rev().for_each(|past| self.book.note(past));
        judged.into_iter().for_each(|judgement| _ = self.book.judge(judgement));
        let mut jobs = self.read_pictures();
        jobs.extend(self.save_book().filter(|_| is_new));
        jobs
    }

    /// Drop what lies on a slide that is gone.
    pub(super) fn forget_slide_in_query(&mut self, slide: &SlideId) {
        if let Some(query) = &mut self.query {
            let stays = |shown: &ShownExample| shown.example.slide() != Some(slide);
            query.like.retain(stays);
            query.unlike.retain(stays);
        }
        if self.query.as_ref().is_some_and(|query| query.like.is_empty()) {
            self.clear_query();
        }
    }

    pub(super) fn go_to_match(&mut self, rank: usize, from: Option<(SlideId, Level0Rect)>) -> Vec<Job> {
        let Some(query) = &mut self.query else { return Vec::new() };
        let Some(found) = query.answer.as_ref().and_then(|answer| answer.matches.get(rank)) else {
            return Vec::new();
        };
        query.visited = Some(rank);
        let place = Place { slide: found.slide.clone(), field: found.rect };
        if self.slide(&place.slide).is_none() {
            return self.go_to_archived(place);
        }
        if let Some((slide, field)) = from {
            self.back.push(Place { slide, field });
        }
        self.travel(place)
    }

    /// Go to the query itself.
    pub(super) fn go_to_example(
        &mut self,
        place: TilePlace,
        from: Option<(SlideId, Level0Rect)>,
    ) -> Vec<Job> {
        if let Some((slide, field)) = from {
            self.back.push(Place { slide, field });
        }
        self.travel(Place { slide: place.slide, field: place.rect })
    }
}
