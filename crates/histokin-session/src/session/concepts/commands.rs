//! Commands on concepts, the jobs that they need, and what the worker reports.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{ConceptAreas, NotApplied};
use histokin_core::annotation::AnnotationClass;
use histokin_core::concept::{Concept, ConceptError};
use histokin_core::index::Snapshot;
use histokin_core::query::Query;
use histokin_core::slide::SlideId;
use histokin_project::pipeline::Slides;

/// A command on the project's concepts. Concepts are given by name.
#[derive(Debug, Clone, PartialEq)]
pub enum ConceptCommand {
    /// Keeps the current query as a concept, in place of one of the same name.
    Teach {
        /// Name of the concept.
        name: String,
        /// Class of what it finds.
        class: AnnotationClass,
    },
    /// Searches for what a concept was taught.
    Find(String),
    /// Shows the query that a concept was taught by, with its marks.
    GoOnTeaching(String),
    /// Sets the threshold of a concept, or removes it.
    SetThreshold {
        /// Name of the concept.
        name: String,
        /// Largest distance of a tile that belongs to it.
        distance: Option<f32>,
    },
    /// Gives a concept another name, another class or both.
    Change {
        /// Name of the concept.
        name: String,
        /// Its name from now on.
        to: String,
        /// Its class from now on.
        class: AnnotationClass,
    },
    /// Removes a concept.
    Remove(String),
    /// Computes the area of a concept on each slide and in each patient.
    Apply(String),
    /// Writes areas, regions and similarity maps of a concept to the project's reports.
    Export(String),
    /// Writes areas and regions of all concepts that have a threshold to the project's reports: to which of them each
    /// tile belongs.
    ExportClassMap,
}

/// A report of the worker that keeps concepts.
pub enum ConceptEvent {
    /// The concepts of the project were read, at the start or after a change.
    Loaded(Vec<Concept>),
    /// A concept was not taught, changed or removed.
    Failed(ConceptError),
    /// A concept was applied, or could not be.
    Applied(Result<ConceptAreas, NotApplied>),
}

/// A job of the worker that keeps concepts.
pub enum ConceptJob {
    /// Reads all concepts.
    Load,
    /// Teaches a concept by a query and saves it.
    Teach {
        /// Name of the concept.
        name: String,
        /// Class of what it finds.
        class: AnnotationClass,
        /// Index with the tiles of the query.
        index: Arc<Snapshot>,
        /// The query.
        query: Query,
        /// The concept that the query looks for, if any: its marks stay.
        known: Option<Arc<Concept>>,
        /// Patients of the slides, as far as they are known.
        patients: HashMap<SlideId, String>,
    },
    /// Sets the threshold of a concept, or removes it.
    SetThreshold {
        /// Name of the concept.
        name: String,
        /// Largest distance of a tile that belongs to it.
        distance: Option<f32>,
    },
    /// Saves a concept with another name, another class or both.
    Change {
        /// Name of the concept.
        name: String,
        /// Its name from now on.
        to: String,
        /// Its class from now on.
        class: AnnotationClass,
    },
    /// Removes the concept of this name.
    Remove(String),
    /// Computes areas.
    Apply {
        /// The concept.
        concept: Arc<Concept>,
        /// Index with the tiles of all slides.
        index: Arc<Snapshot>,
        /// Patients of the slides, as far as they are known.
        patients: HashMap<SlideId, String>,
    },
    /// Writes areas, regions and similarity maps to a new folder below `reports`.
    Export {
        /// The concept.
        concept: Arc<Concept>,
        /// Index with the tiles of all slides.
        index: Arc<Snapshot>,
        /// Patients of the slides, as far as they are known.
        patients: HashMap<SlideId, String>,
        /// Open slides.
        slides: Slides,
        /// Names of the slides.
        names: HashMap<SlideId, String>,
        /// Folder of the project's reports.
        reports: PathBuf,
    },
    /// Writes a class map to a new folder below `reports`.
    ExportClassMap {
        /// Concepts that apply to the index and have a threshold.
        concepts: Vec<Arc<Concept>>,
        /// Index with the tiles of all slides.
        index: Arc<Snapshot>,
        /// Open slides.
        slides: Slides,
        /// Names of the slides.
        names: HashMap<SlideId, String>,
        /// Folder of the project's reports.
        reports: PathBuf,
    },
}

impl ConceptJob {
    /// Whether the job writes into the project.
    pub(in crate::session) fn writes(&self) -> bool {
        !matches!(self, Self::Load | Self::Apply { .. })
    }
}
