//! Queries: the current one and its answer, settings, the history, and a second encoder.

mod commands;
mod events;
mod examples;
pub(crate) mod history;
mod marks;
mod matches;
mod search;
mod second_encoder;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use commands::{HeatReference, MarkedTissue, MatchCommand, QueryCommand};
pub use events::QueryEvent;
pub use examples::PictureQuery;
pub use second_encoder::SecondEncoder;

use super::{Job, LoadJob, Session};
use histokin_core::descriptors::Recipe;
use histokin_core::query::{
    Answer, Judgement, KnownMasks, Patients, QueryHistory, QuerySettings, ShownExample, ShownMark,
    TilePosition,
};
use matches::{ClassificationChange, JudgementChange};

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
    /// What the user has said about tiles since, in the order in which it was said.
    pub marks: Vec<ShownMark>,
    /// For each mark, the share (0 to 1) of the 20 best matches before it that stayed among the best. Shorter than
    /// `marks` while suggestions are shown.
    pub stayed: Vec<f32>,
    /// The newest answer, perhaps for earlier settings or a smaller index.
    pub answer: Option<Arc<Answer>>,
    /// Why there is no answer.
    pub problem: Option<String>,
    /// Whether a newer answer is being computed.
    pub waiting: bool,
    /// Whether a tile of the query is being embedded, without which there is no answer.
    pub embeds_tile: bool,
    /// Index in the answer (0 is the best) of the match that was last shown.
    pub visited: Option<usize>,
    /// Indices in the answer of the matches chosen to be given a class.
    pub chosen: BTreeSet<usize>,
    /// Answer of the second encoder, if there is one.
    pub second_encoder: Option<Result<Answer, String>>,
    /// The answer before the last mark, until the next one arrives.
    settling: Option<Arc<Answer>>,
}

impl QueryState {
    fn new(positives: Vec<ShownExample>, negatives: Vec<ShownExample>) -> Self {
        Self {
            positives,
            negatives,
            marks: Vec::new(),
            stayed: Vec::new(),
            answer: None,
            problem: None,
            waiting: false,
            embeds_tile: false,
            visited: None,
            chosen: BTreeSet::new(),
            second_encoder: None,
            settling: None,
        }
    }

    /// Returns the tile or region that represents the query: its first example.
    pub fn target(&self) -> Option<&TilePosition> {
        self.positives.first()?.position.as_ref()
    }

    /// Returns all examples, with true for positive ones.
    pub fn examples(&self) -> impl Iterator<Item = (bool, &ShownExample)> {
        let positives = self.positives.iter().map(|example| (true, example));
        positives.chain(self.negatives.iter().map(|example| (false, example)))
    }

    /// Returns the number of marks with this judgement.
    pub fn marked(&self, judgement: Judgement) -> usize {
        self.marks.iter().filter(|mark| mark.judgement == judgement).count()
    }

    /// Keeps pointing at the matches that are visited and chosen where the next answer ranks them, as it does when more tiles
    /// have been embedded: what is judged has to be the tile that the user sees.
    fn follow_matches(&mut self, next: &Answer) {
        let before = self.answer.take();
        let tile_of =
            |rank: &usize| before.as_ref()?.matches.get(*rank).map(|found| (&found.slide, found.rect));
        let follow = |rank: &usize| {
            let tile = tile_of(rank)?;
            next.matches.iter().position(|found| (&found.slide, found.rect) == tile)
        };
        self.visited = self.visited.as_ref().and_then(follow);
        self.chosen = self.chosen.iter().filter_map(follow).collect();
    }

    fn list(&mut self, is_positive: bool) -> &mut Vec<ShownExample> {
        if is_positive { &mut self.positives } else { &mut self.negatives }
    }
}

/// The queries of a session.
pub(super) struct Queries {
    pub(super) current: Option<QueryState>,
    pub(super) settings: QuerySettings,
    pub(super) patients: Patients,
    /// Number of the current query; answers to older ones are ignored.
    pub(super) generation: u64,
    pub(super) history: QueryHistory,
    /// Whether the project's query history has been loaded.
    history_loaded: bool,
    /// Changes made by relevance judgements, for undo; the newest last.
    judged: Vec<JudgementChange>,
    /// Changes made by giving matches a class, for undo; the newest last.
    classified: Vec<Vec<ClassificationChange>>,
    /// Which tiles lie within annotations.
    masks: Arc<KnownMasks>,
    /// Recipes by which slides have been embedded.
    recipes: Vec<Recipe>,
    /// A second encoder with which queries are answered as well.
    pub(super) second_encoder: Option<SecondEncoder>,
}

impl Default for Queries {
    fn default() -> Self {
        Self {
            current: None,
            settings: QuerySettings {
                count: DEFAULT_MATCHES,
                exclude_um: DEFAULT_EXCLUSION_UM,
                ..QuerySettings::default()
            },
            patients: Patients::Any,
            generation: 0,
            history: QueryHistory::default(),
            history_loaded: false,
            judged: Vec::new(),
            classified: Vec::new(),
            masks: Arc::default(),
            recipes: Vec::new(),
            second_encoder: None,
        }
    }
}

impl Queries {
    /// Continues the numbers of another project's queries: by its number, a query is known to be another one.
    pub(super) fn continue_after(&mut self, former: &Self) {
        self.generation = former.generation + 1;
    }
}

impl Session {
    /// The current query.
    pub fn query(&self) -> Option<&QueryState> {
        self.query.current.as_ref()
    }

    /// Current query settings.
    pub fn query_settings(&self) -> &QuerySettings {
        &self.query.settings
    }

    /// Which patients' slides may hold matches.
    pub fn patients(&self) -> Patients {
        self.query.patients
    }

    /// Earlier queries and relevance judgements.
    pub fn query_history(&self) -> &QueryHistory {
        &self.query.history
    }

    /// Whether giving matches a class can be undone.
    pub fn can_undo_classification(&self) -> bool {
        !self.query.classified.is_empty()
    }

    /// Whether a judgement can be undone.
    pub fn can_undo_judgement(&self) -> bool {
        !self.query.judged.is_empty()
    }

    /// Number of the current query; it changes with every search.
    pub fn generation(&self) -> u64 {
        self.query.generation
    }

    pub(super) fn query_command(&mut self, command: QueryCommand) -> Vec<Job> {
        match command {
            QueryCommand::At { slide, point } => self.query_at(slide, point),
            QueryCommand::Region { slide, region } => self.query_region(&slide, region),
            QueryCommand::Tiles(tiles) => self.query_tiles(tiles),
            QueryCommand::Annotations { slide, ids } => self.query_annotations(&slide, &ids),
            QueryCommand::Class(name) => self.query_class(&name),
            QueryCommand::Slide(slide) => self.query_slide(&slide),
            QueryCommand::Picture(picture) => self.query_picture(picture),
            QueryCommand::AddExample { slide, point, is_positive } => {
                self.add_example(slide, point, is_positive)
            }
            QueryCommand::RemoveExample { is_positive, index } => self.remove_example(is_positive, index),
            QueryCommand::Mark { tissue, judgement } => self.mark_tissue(tissue, judgement),
            QueryCommand::RemoveMark(number) => self.remove_mark(number),
            QueryCommand::GoToExample { position, from } => self.go_to_example(position, from),
            QueryCommand::SetSettings(settings) => self.set_query_settings(settings),
            QueryCommand::SetPatients(patients) => self.set_patients(patients),
            QueryCommand::ReadPatients(path) => vec![Job::Load(LoadJob::ReadPatients(path))],
            QueryCommand::ListRecipes => self.list_recipes(),
            QueryCommand::CompareWith(recipe) => self.compare_with(recipe),
            QueryCommand::Repeat(position) => self.repeat(position),
            QueryCommand::Clear => self.clear_query(),
        }
    }

    pub(super) fn match_command(&mut self, command: MatchCommand) -> Vec<Job> {
        match command {
            MatchCommand::GoTo { rank, from } => self.go_to_match(rank, from),
            MatchCommand::Judge { rank, judgement } => self.judge(rank, judgement),
            MatchCommand::UndoJudgement => self.undo_judgement(),
            MatchCommand::Choose(rank) => self.choose_match(rank),
            MatchCommand::ChooseExactly(ranks) => self.choose_matches(ranks),
            MatchCommand::Classify(class) => self.classify_matches(class),
            MatchCommand::UndoClassification => self.undo_classification(),
            MatchCommand::Export => self.export_matches(),
            MatchCommand::ExportHeatMap { reference, on } => self.export_heat_map(&reference, &on),
        }
    }

    pub(super) fn query_event(&mut self, event: QueryEvent) -> Vec<Job> {
        match event {
            QueryEvent::Answered { generation, answer, second_encoder } => {
                self.answered(generation, answer, second_encoder)
            }
            QueryEvent::ArchiveAnswered { generation, answer } => self.archive_answered(generation, answer),
            QueryEvent::PictureEmbedded(embedded) => self.picture_embedded(embedded.map(|shown| *shown)),
            QueryEvent::TilesEmbedded { slide, rects, recipe, descriptors } => {
                self.tiles_embedded(&slide, &rects, &recipe, descriptors)
            }
            QueryEvent::PatientsRead { path, patients } => self.patients_read(&path, patients),
            QueryEvent::RecipesFound(recipes) => {
                self.query.recipes = recipes;
                Vec::new()
            }
            QueryEvent::SecondEncoderOpened { recipe, index } => self.second_encoder_opened(&recipe, index),
            QueryEvent::HistoryLoaded { query_history } => self.history_loaded(*query_history),
        }
    }
}
