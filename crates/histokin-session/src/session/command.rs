//! Commands: what the user does, by subject.

use super::annotations::AnnotationCommand;
use super::archive::ArchiveCommand;
use super::concepts::ConceptCommand;
use super::embedding::EmbeddingCommand;
use super::evaluation::EvaluationCommand;
use super::messages::MessageCommand;
use super::query::{MatchCommand, QueryCommand};
use super::slides::SlideCommand;
use super::training::TrainingCommand;
use super::view::ViewCommand;

enum_of_subjects! {
    /// One action of the user.
    #[derive(Debug, Clone, PartialEq)]
    pub enum Command {
        /// Opens, closes and calibrates slides, and reads their pictures.
        Slides(SlideCommand),
        /// Moves the view.
        View(ViewCommand),
        /// Changes the encoder, and what is embedded.
        Embedding(EmbeddingCommand),
        /// Searches for similar tissue, and changes the query.
        Query(QueryCommand),
        /// Judges, chooses and exports the matches of an answer.
        Matches(MatchCommand),
        /// Teaches and uses concepts.
        Concepts(ConceptCommand),
        /// Sets up and uses the archive.
        Archive(ArchiveCommand),
        /// Draws, changes, imports or exports annotations.
        Annotations(AnnotationCommand),
        /// Evaluates encoders.
        Evaluation(EvaluationCommand),
        /// Trains encoders.
        Training(TrainingCommand),
        /// Shows or dismisses messages.
        Messages(MessageCommand),
    }
}
