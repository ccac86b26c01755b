//! Concepts: taught queries that are kept with the project under a name.

mod commands;

use std::sync::Arc;

pub use commands::{ConceptCommand, ConceptEvent, ConceptJob};

use super::{HistoryJob, Job, Session};
use histokin_core::concept::{Areas, Concept, PatientAreas};
use histokin_core::query::{ShownExample, ShownMark};

/// Where a concept is found.
#[derive(Debug, Clone, PartialEq)]
pub struct ConceptAreas {
    /// Name of the concept.
    pub name: String,
    /// Areas on the slides, the largest first.
    pub slides: Vec<Areas>,
    /// Areas in the patients, the largest first.
    pub patients: Vec<PatientAreas>,
}

/// The concepts of a session.
#[derive(Default)]
pub(super) struct Concepts {
    list: Vec<Arc<Concept>>,
    areas: Option<Result<ConceptAreas, String>>,
}

impl Session {
    /// The concepts of the project, by name.
    pub fn concepts(&self) -> &[Arc<Concept>] {
        &self.concepts.list
    }

    /// The concept of this name.
    pub fn concept(&self, name: &str) -> Option<&Arc<Concept>> {
        self.concepts.list.iter().find(|concept| concept.name == name)
    }

    /// Where the concept that was applied last is found, or why it could not be applied.
    pub fn concept_areas(&self) -> Option<&Result<ConceptAreas, String>> {
        self.concepts.areas.as_ref()
    }

    /// Returns the job that reads the project's concepts.
    pub(super) fn load_concepts(&self) -> Job {
        self.keep(ConceptJob::Load)
    }

    fn keep(&self, job: ConceptJob) -> Job {
        Job::History(HistoryJob::Concepts { store: self.project.concepts(), job: Box::new(job) })
    }

    pub(super) fn concept_command(&mut self, command: ConceptCommand) -> Vec<Job> {
        match command {
            ConceptCommand::Teach { name, class } => {
                let Some(query) = self.current_query() else { return Vec::new() };
                let index = self.index().clone();
                let mut jobs =
                    vec![self.keep(ConceptJob::Teach { name, class: class.clone(), index, query })];
                if self.project.add_classes([&class]) {
                    jobs.push(self.save_project());
                }
                jobs
            }
            ConceptCommand::Find(name) => self.find_concept(&name),
            ConceptCommand::GoOnTeaching(name) => self.go_on_teaching(&name),
            ConceptCommand::SetThreshold { name, distance } => {
                let Some(concept) = self.concept(&name) else { return Vec::new() };
                let concept = Concept { threshold: distance, ..Concept::clone(concept) };
                vec![self.keep(ConceptJob::Save(concept))]
            }
            ConceptCommand::Rename { name, to } => match self.concept(&name) {
                Some(concept) => vec![self.keep(ConceptJob::Rename { concept: Concept::clone(concept), to })],
                None => Vec::new(),
            },
            ConceptCommand::Remove(name) => {
                self.concepts.areas = None;
                vec![self.keep(ConceptJob::Remove(name))]
            }
            ConceptCommand::Apply(name) => {
                let Some(concept) = self.concept(&name).cloned() else { return Vec::new() };
                let (index, patients) = (self.index().clone(), self.patients_by_slide());
                vec![self.keep(ConceptJob::Apply { concept, index, patients })]
            }
            ConceptCommand::Export(name) => {
                let Some(concept) = self.concept(&name).cloned() else { return Vec::new() };
                let slides = self.slides.list.iter();
                let slides = slides.map(|state| (state.id().clone(), state.source.clone())).collect();
                vec![self.keep(ConceptJob::Export {
                    concept,
                    index: self.index().clone(),
                    patients: self.patients_by_slide(),
                    slides,
                    names: self.slide_stems(),
                    reports: self.project.root().join("reports"),
                })]
            }
        }
    }

    pub(super) fn concept_event(&mut self, event: ConceptEvent) {
        match event {
            ConceptEvent::Loaded(concepts) => {
                self.concepts.list = concepts.into_iter().map(Arc::new).collect();
                let is_gone = |areas: &ConceptAreas| self.concept(&areas.name).is_none();
                if self.concepts.areas.as_ref().is_some_and(|areas| areas.as_ref().is_ok_and(is_gone)) {
                    self.concepts.areas = None;
                }
            }
            ConceptEvent::Applied(areas) => self.concepts.areas = Some(areas),
        }
    }

    /// Searches for what a concept was taught.
    fn find_concept(&mut self, name: &str) -> Vec<Job> {
        let Some(concept) = self.concept(name) else { return Vec::new() };
        let examples = concept.query().positives.into_iter();
        let examples = examples.map(|example| ShownExample { example, position: None }).collect();
        self.ask_with_marks(examples, Vec::new(), Vec::new())
    }

    /// Shows the query by which a concept was taught, with all of its marks.
    fn go_on_teaching(&mut self, name: &str) -> Vec<Job> {
        let Some(concept) = self.concept(name) else { return Vec::new() };
        let query = concept.taught_by(self.index());
        let shown = |example| self.shown_example(example);
        let positives = query.positives.into_iter().map(shown).collect();
        let marks = query.marks.into_iter();
        let marks =
            marks.map(|mark| ShownMark { shown: shown(mark.example), judgement: mark.judgement }).collect();
        self.ask_with_marks(positives, Vec::new(), marks)
    }
}
