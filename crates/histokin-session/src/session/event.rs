//! Events: what the workers report, by subject.

use std::path::PathBuf;

use super::annotations::AnnotationEvent;
use super::concepts::ConceptEvent;
use super::embedding::EmbeddingEvent;
use super::evaluation::EvaluationEvent;
use super::index::IndexEvent;
use super::messages::MessageEvent;
use super::query::QueryEvent;
use super::slides::SlideEvent;
use super::training::TrainingEvent;
use histokin_project::project::Project;

/// What was found at paths that the user has opened.
#[derive(Default)]
pub struct Found {
    /// Number of the request; later ones have larger numbers.
    pub request: u64,
    /// A project, which has been opened: the last one if there are several.
    pub project: Option<Project>,
    /// Slide files; they are added to that project, else to the one that is open.
    pub slides: Vec<PathBuf>,
    /// An encoder's file or folder: the last one if there are several.
    pub encoder: Option<PathBuf>,
}

enum_of_subjects! {
    /// A report of a worker.
    pub enum Event {
        /// What was found at paths that the user has opened.
        Found(Box<Found>),
        /// Slides were opened, read or lost.
        Slides(SlideEvent),
        /// Progress of the encoder and of embedding.
        Embedding(EmbeddingEvent),
        /// The index was built.
        Index(IndexEvent),
        /// Answers to queries, and what queries are made of.
        Query(QueryEvent),
        /// Concepts were read or applied.
        Concepts(ConceptEvent),
        /// Annotations were read or written.
        Annotations(AnnotationEvent),
        /// Progress and results of the evaluation.
        Evaluation(EvaluationEvent),
        /// Progress and results of training.
        Training(TrainingEvent),
        /// Messages to the user.
        Messages(MessageEvent),
    }
}
