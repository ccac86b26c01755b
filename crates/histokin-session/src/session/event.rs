//! Events: what the workers report, by subject.

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

enum_of_subjects! {
    /// A report of a worker.
    pub enum Event {
        /// A folder turned out to be a project and was opened; the session lists its slides.
        ProjectOpened(Box<Project>),
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
