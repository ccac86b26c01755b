//! Jobs and events of the annotation worker.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use histokin_core::annotation::{
    AnnotationError, AnnotationFile, AnnotationSet, AnnotationStore, AreaCounts, ClassDensity, Detections,
    Edit, MeasuredRange,
};
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::slide::{SlideId, SlideInfo};

/// A job for the annotation worker.
#[derive(Clone)]
pub enum AnnotationJob {
    /// Reads the annotations that the project has of a slide.
    Load {
        /// Store to read from.
        store: AnnotationStore,
        /// Slide whose annotations are read.
        slide: SlideId,
    },
    /// Saves the annotations of a slide; of several waiting sets for one slide, only the newest is saved.
    Save {
        /// Store to save to.
        store: AnnotationStore,
        /// Slide of the annotations.
        slide: SlideId,
        /// All annotations of the slide.
        set: Arc<AnnotationSet>,
    },
    /// Reads annotations from a file. If they are many, they are also saved together with those of the slide.
    Import {
        /// Slide on which they are placed.
        info: Box<SlideInfo>,
        /// File to read.
        path: PathBuf,
        /// Its content, if it has been read and placed already.
        read: Option<Box<AnnotationFile>>,
        /// The annotations of the slide.
        set: Arc<AnnotationSet>,
        /// Store to save to.
        store: AnnotationStore,
        /// Stops reading and saving once it is true.
        stop: Arc<AtomicBool>,
    },
    /// Counts detections by class.
    Count {
        /// Slide of the detections.
        slide: SlideId,
        /// All annotations of the slide.
        set: Arc<AnnotationSet>,
        /// Width and height of level 0.
        size_px: (f64, f64),
        /// Spacing of the slide.
        mpp: Option<MicronsPerPixel>,
    },
    /// Writes annotations to a file.
    Export {
        /// Slide of the annotations.
        info: Box<SlideInfo>,
        /// Annotations to write.
        set: Arc<AnnotationSet>,
        /// File to write.
        path: PathBuf,
        /// Stops writing once it is true.
        stop: Arc<AtomicBool>,
    },
}

/// An annotation file that was read for a slide.
pub struct ReadFile {
    /// Its content.
    pub file: AnnotationFile,
    /// If the file or the slide has many detections: the annotations of the slide, and the edit that adds the file
    /// to them.
    pub edit: Option<(Arc<AnnotationSet>, Edit)>,
    /// Whether the annotations of the slide were saved together with those of the file.
    pub is_saved: bool,
    /// Whether the user has stopped the import, also after the file was read.
    pub stop: Arc<AtomicBool>,
}

/// What is known of many detections.
pub struct Counts {
    /// The annotations that were counted.
    pub set: Arc<AnnotationSet>,
    /// Counts by class: first on the whole slide, then within each annotation.
    pub areas: Vec<AreaCounts>,
    /// Ranges of the measurements of detections in compact form.
    pub measured: Vec<MeasuredRange>,
    /// Densities of detections in compact form: of all, then of each class.
    pub densities: Vec<ClassDensity>,
}

/// Work on a file that can take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileWork {
    /// It is being read.
    Reading,
    /// It is being written.
    Writing,
    /// What was read from it is being saved in the project.
    Saving,
}

/// Why a file was not read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileTrouble {
    /// The user stopped it.
    Stopped,
    /// It failed, for this reason.
    Failed(String),
}

impl From<AnnotationError> for FileTrouble {
    fn from(error: AnnotationError) -> Self {
        match error {
            AnnotationError::Stopped { .. } => Self::Stopped,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A report of the annotation worker.
pub enum AnnotationEvent {
    /// The project's annotations of a slide were read; after an error, nothing may be written over them.
    Loaded {
        /// Slide of the annotations.
        slide: SlideId,
        /// The annotations, or why they could not be read.
        loaded: Result<AnnotationSet, String>,
    },
    /// Annotations are being read or written.
    Progress {
        /// Slide of the annotations.
        slide: SlideId,
        /// What is done.
        work: FileWork,
        /// Share that is done, from 0 to 1.
        share: f32,
    },
    /// Detections were read from a file that is still being read: the project's or one that is imported.
    Part {
        /// Slide of the detections.
        slide: SlideId,
        /// The detections, in level-0 pixels.
        detections: Arc<Detections>,
    },
    /// The annotations of a slide were saved.
    Saved {
        /// Slide of the annotations.
        slide: SlideId,
    },
    /// The annotations of a slide could not be saved. Saving is retried; the previous file still exists.
    NotSaved {
        /// Slide of the annotations.
        slide: SlideId,
        /// Why they could not be saved.
        reason: String,
    },
    /// A file with annotations was read, or could not be.
    Imported {
        /// Slide that gets the annotations.
        slide: SlideId,
        /// File that was read.
        path: PathBuf,
        /// Its annotations, or why it could not be read.
        file: Result<Box<ReadFile>, FileTrouble>,
    },
    /// Detections were counted.
    Counted {
        /// Slide of the detections.
        slide: SlideId,
        /// The counts; `None` if they could not be made.
        counts: Option<Arc<Counts>>,
    },
    /// A file with annotations was written, or could not be.
    Exported {
        /// Slide of the annotations.
        slide: SlideId,
        /// File that was written.
        path: PathBuf,
        /// Number of annotations and notes for the user, or why the file could not be written.
        written: Result<(usize, Vec<String>), FileTrouble>,
    },
}
