//! Concepts: taught queries that are kept with the project under a name.

mod commands;

use std::sync::Arc;

pub use commands::{ConceptCommand, ConceptEvent, ConceptJob};

use super::{HistoryJob, Job, Session};
use histokin_core::annotation::AnnotationClass;
use histokin_core::concept::{Areas, Concept, PatientAreas};
use histokin_core::query::{ShownExample, ShownMark};
use histokin_project::pipeline::Slides;

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

/// Why a concept was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplied {
    /// Name of the concept.
    pub name: String,
    /// The reason.
    pub reason: String,
}

/// The concepts of a session.
#[derive(Default)]
pub(super) struct Concepts {
    list: Vec<Arc<Concept>>,
    areas: Option<Result<ConceptAreas, NotApplied>>,
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

    /// Returns the concept that the current query looks for, whose marks are kept when the query is saved.
    pub fn asked_concept(&self) -> Option<&Arc<Concept>> {
        let query = self.current_query()?;
        let concepts = || self.concepts.list.iter();
        let has_direction =
            |concept: &&Arc<Concept>| query.positives.iter().any(|example| concept.is_direction(example));
        // A concept of that name may have taken the place of one that was renamed.
        concepts().find(has_direction).or_else(|| concepts().find(|concept| concept.is_asked_by(&query)))
    }

    /// Where the concept that was applied last is found, or why it could not be applied.
    pub fn concept_areas(&self) -> Option<&Result<ConceptAreas, NotApplied>> {
        self.concepts.areas.as_ref()
    }

    /// Returns the job that reads the project's concepts.
    pub(super) fn load_concepts(&self) -> Job {
        self.keep(ConceptJob::Load)
    }

    fn keep(&self, job: ConceptJob) -> Job {
        Job::History(HistoryJob::Concepts { store: self.project.concepts(), job: Box::new(job) })
    }

    /// Returns the jobs of keeping a concept whose class the project may not have yet.
    fn keep_with_class(&mut self, job: ConceptJob, class: &AnnotationClass) -> Vec<Job> {
        let mut jobs = vec![self.keep(job)];
        if self.project.add_classes([class]) {
            jobs.push(self.save_project());
        }
        jobs
    }

    pub(super) fn concept_command(&mut self, command: ConceptCommand) -> Vec<Job> {
        match command {
            ConceptCommand::Teach { name, class } => {
                let Some(query) = self.current_query() else { return Vec::new() };
                let known = self.asked_concept().cloned();
                let (index, patients) = (self.index().clone(), self.patients_by_slide());
                let teach = ConceptJob::Teach { name, class: class.clone(), index, query, known, patients };
                self.keep_with_class(teach, &class)
            }
            ConceptCommand::Find(name) => self.find_concept(&name),
            ConceptCommand::GoOnTeaching(name) => self.go_on_teaching(&name),
            ConceptCommand::SetThreshold { name, distance } => {
                vec![self.keep(ConceptJob::SetThreshold { name, distance })]
            }
            ConceptCommand::Change { name, to, class } => {
                let change = ConceptJob::Change { name, to, class: class.clone() };
                self.keep_with_class(change, &class)
            }
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
                vec![self.keep(ConceptJob::Export {
                    concept,
                    index: self.index().clone(),
                    patients: self.patients_by_slide(),
                    slides: self.open_sources(),
                    names: self.slide_stems(),
                    reports: self.project.root().join("reports"),
                })]
            }
            ConceptCommand::ExportClassMap => {
                let concepts = self.mapped_concepts();
                if concepts.is_empty() {
                    self.messages.error(
                        "No concept has both a threshold and the encoder of the embedded slides, so that there is no \
                         class map: mark more tiles, or set a threshold.",
                    );
                    return Vec::new();
                }
                vec![self.keep(ConceptJob::ExportClassMap {
                    concepts,
                    index: self.index().clone(),
                    slides: self.open_sources(),
                    names: self.slide_stems(),
                    reports: self.project.root().join("reports"),
                })]
            }
        }
    }

    /// The concepts that the class map shows: those of the embedded slides' encoder that have a threshold.
    pub fn mapped_concepts(&self) -> Vec<Arc<Concept>> {
        let Some(set) = self.index().sets().first() else { return Vec::new() };
        let applies = |one: &&Arc<Concept>| one.threshold_for(&set.header.recipe).is_ok();
        self.concepts.list.iter().filter(applies).cloned().collect()
    }

    fn open_sources(&self) -> Slides {
        self.slides.list.iter().map(|state| (state.id().clone(), state.source.clone())).collect()
    }

    pub(super) fn concept_event(&mut self, event: ConceptEvent) {
        match event {
            ConceptEvent::Loaded(concepts) => {
                let before = std::mem::take(&mut self.concepts.list);
                self.concepts.list = concepts.into_iter().map(Arc::new).collect();
                // Areas are those of the concept with the threshold that it had.
                let areas = self.concepts.areas.take();
                self.concepts.areas = areas.filter(|areas| {
                    let applied = |concept: &&Arc<Concept>| {
                        areas.as_ref().is_ok_and(|areas| areas.name == concept.name)
                    };
                    let before = before.iter().find(applied);
                    before.is_some() && before == self.concepts.list.iter().find(applied)
                });
                self.follow_taught(&before);
            }
            ConceptEvent::Failed(error) => {
                let text = error.naming(|slide| self.slides.name(slide));
                self.messages.error(text);
            }
            ConceptEvent::Applied(areas) => self.concepts.areas = Some(areas),
        }
    }

    /// Makes a query that looks for one of the concepts `before` look for what that has been taught since. Otherwise
    /// it would not be known any more whose marks the query's are to be added to.
    fn follow_taught(&mut self, before: &[Arc<Concept>]) {
        let Some(query) = &mut self.query.current else { return };
        for known in before {
            let Some(now) = self.concepts.list.iter().find(|now| now.name == known.name) else { continue };
            for shown in query.positives.iter_mut().filter(|shown| known.is_direction(&shown.example)) {
                shown.example = now.example();
            }
        }
    }

    /// Searches for what a concept was taught.
    fn find_concept(&mut self, name: &str) -> Vec<Job> {
        let Some(concept) = self.concept(name) else { return Vec::new() };
        let recipe = self.index().sets().first().map(|set| &set.header.recipe);
        // Distances to the descriptors of another encoder mean nothing.
        if let Some(Err(error)) = recipe.map(|recipe| concept.require(recipe)) {
            self.messages.error(error.to_string());
            return Vec::new();
        }
        let example = ShownExample { example: concept.example(), position: None };
        self.ask_with_marks(vec![example], Vec::new(), Vec::new())
    }

    /// Shows the query by which a concept was taught, with all of its marks.
    fn go_on_teaching(&mut self, name: &str) -> Vec<Job> {
        let Some(concept) = self.concept(name) else { return Vec::new() };
        let query = concept.taught_by(self.index());
        if query.positives.is_empty() {
            let text = format!(
                "None of the tiles that {name:?} was taught with can be used here: add their slides to the project and \
                 embed them, or teach it again"
            );
            self.messages.error(text);
            return Vec::new();
        }
        let shown = |example| self.shown_example(example);
        let positives = query.positives.into_iter().map(shown).collect();
        let marks = query.marks.into_iter();
        let marks =
            marks.map(|mark| ShownMark { shown: shown(mark.example), judgement: mark.judgement }).collect();
        self.ask_with_marks(positives, Vec::new(), marks)
    }
}
