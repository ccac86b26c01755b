//! Commands on annotations.

use std::path::PathBuf;

use uuid::Uuid;

use histokin_core::annotation::{AnnotationClass, DetectionColours, Edit};
use histokin_core::query::TilePosition;
use histokin_core::slide::SlideId;

/// A user action on annotations.
#[derive(Debug, Clone, PartialEq)]
pub enum AnnotationCommand {
    /// Applies an edit to the annotations of a slide.
    Edit {
        /// Slide whose annotations are edited.
        slide: SlideId,
        /// Edit to apply.
        edit: Edit,
    },
    /// Undoes the last edit of a slide's annotations.
    Undo(SlideId),
    /// Redoes the last undone edit of a slide's annotations.
    Redo(SlideId),
    /// Selects exactly these annotations.
    Select {
        /// Slide of the annotations.
        slide: SlideId,
        /// Annotations to select; empty to select none.
        ids: Vec<Uuid>,
    },
    /// Shows or hides annotations without changing them.
    Show {
        /// Slide of the annotations.
        slide: SlideId,
        /// Annotations to show or hide.
        ids: Vec<Uuid>,
        /// True to show them, false to hide them.
        shown: bool,
    },
    /// Sets how detections are coloured, without changing them.
    ColourDetections {
        /// Slide of the detections.
        slide: SlideId,
        /// How they are coloured.
        by: DetectionColours,
    },
    /// Counts the detections of a slide by class.
    Count(SlideId),
    /// Brings an annotation into view and selects it.
    GoTo {
        /// Slide of the annotation.
        slide: SlideId,
        /// Annotation to go to.
        id: Uuid,
    },
    /// Sets the class of annotations drawn from now on; `None` for no class.
    ChooseClass(Option<AnnotationClass>),
    /// Adds a class to the project.
    AddClass(AnnotationClass),
    /// Renames or recolours a class of the project and of all annotations that have it.
    ChangeClass {
        /// Current name of the class.
        name: String,
        /// New name and colour.
        to: AnnotationClass,
    },
    /// Removes a class from the project's list; annotations that have it keep it.
    RemoveClass(String),
    /// Adds the annotations of a file to a slide.
    Import {
        /// Slide that gets the annotations.
        slide: SlideId,
        /// File to read.
        path: PathBuf,
    },
    /// Stops reading the files that are being added to a slide, and writing its annotations to files.
    StopFile(SlideId),
    /// Writes all annotations of a slide to a file; the file name decides the format.
    Export {
        /// Slide whose annotations are written.
        slide: SlideId,
        /// File to write.
        path: PathBuf,
    },
    /// Retries saving annotations that could not be saved.
    SaveAgain(SlideId),
    /// Annotates tiles with a class: one annotation on each slide, around all of them.
    AnnotateTiles {
        /// Tiles to annotate.
        tiles: Vec<TilePosition>,
        /// Class of the new annotations.
        class: AnnotationClass,
    },
}
