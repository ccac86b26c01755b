//! The state of the running program.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use image::RgbaImage;

use super::query::{Classified, Judged, QueryState, SecondEncoder, default_settings};
use super::{Annotations, ArchiveProgress, EvaluationState, SlideProgress, TrainingState};
use histokin_core::descriptors::{DescriptorSet, Recipe};
use histokin_core::geometry::Level0Rect;
use histokin_core::index::Snapshot;
use histokin_core::memory::{Budget, Reserved};
use histokin_core::query::{Patients, QueryHistory, QuerySettings};
use histokin_core::slide::colour_profile::ProfileTable;
use histokin_core::slide::{SlideId, SlideSource};
use histokin_core::stain::{LabNormaliser, LabStatistics};
use histokin_core::tissue::TissueMask;
use histokin_encoder::EncoderSpec;
use histokin_project::project::{Password, Project};

/// State of the whole program. It can be read freely and is changed only through [`Session::handle`] and
/// [`Session::absorb`].
pub struct Session {
    pub(super) project: Project,
    pub(super) training: TrainingState,
    /// In list order.
    pub(super) slides: Vec<SlideState>,
    pub(super) active: Option<SlideId>,
    pub(super) encoder: EncoderState,
    pub(super) embedding: EmbeddingState,
    /// Searchable descriptors, by slide.
    pub(super) sets: HashMap<SlideId, Arc<DescriptorSet>>,
    pub(super) index: Arc<Snapshot>,
    pub(super) index_building: bool,
    pub(super) index_stale: bool,
    /// Whether the newest build included all slides.
    pub(super) index_settled: bool,
    /// Number of slides that are being opened.
    pub(super) opening: usize,
    pub(super) query: Option<QueryState>,
    pub(super) query_settings: QuerySettings,
    pub(super) patients: Patients,
    pub(super) archive_progress: ArchiveProgress,
    /// Password typed in this run.
    pub(super) archive_password: Option<Password>,
    /// What to show of a slide once it has been opened: a part, or the whole slide.
    pub(super) awaited: Option<(SlideId, Option<Level0Rect>)>,
    pub(super) query_history: QueryHistory,
    /// Whether the project's query history has been loaded.
    pub(super) history_known: bool,
    /// Changes made by relevance judgements, for undo; the newest last.
    pub(super) judged: Vec<Judged>,
    /// Changes made by giving matches a class, for undo; the newest last.
    pub(super) classified: Vec<Vec<Classified>>,
    /// Recipes by which slides have been embedded.
    pub(super) recipes: Vec<Recipe>,
    /// A second encoder with which queries are answered as well.
    pub(super) second_encoder: Option<SecondEncoder>,
    pub(super) generation: u64,
    pub(super) tile_pictures: HashMap<(SlideId, Level0Rect), TilePicture>,
    /// Associated images, by slide and name, as far as they were requested.
    pub(super) associated: HashMap<(SlideId, String), TilePicture>,
    /// Where the view goes next; the window takes it with [`Session::take_destination`].
    pub(super) destination: Option<Place>,
    /// Views before each jump.
    pub(super) back: Vec<Place>,
    /// Part of the active slide that is in view.
    pub(super) field: Option<Level0Rect>,
    pub(super) annotations: Annotations,
    pub(super) evaluation: EvaluationState,
    /// Distances of the evaluation's tiles from a query, with the number of that query.
    pub(super) distances: Option<(u64, Arc<[f32]>)>,
    pub(super) messages: Vec<Message>,
    pub(super) next_message: u64,
}

/// One slide of the list.
pub struct SlideState {
    /// The open slide.
    pub source: Arc<dyn SlideSource>,
    /// Its thumbnail, once made.
    pub thumbnail: Option<Arc<Reserved<RgbaImage>>>,
    /// Its tissue mask, once computed.
    pub tissue: Option<Arc<TissueMask>>,
    /// Colours of its tissue.
    pub colours: Colours,
    /// Its embedded colour profile.
    pub profile: Profile,
    /// State of its embedding.
    pub status: SlideStatus,
    /// Why it cannot be read at present. It is checked regularly, and work on it resumes once it can be read.
    pub unavailable: Option<String>,
}

/// The embedded colour profile of a slide, which is read on request.
#[derive(Debug, Clone)]
pub enum Profile {
    /// Not requested yet.
    Unknown,
    /// Being read.
    Reading,
    /// The profile.
    Known(Arc<ProfileTable>),
    /// The slide embeds no usable profile.
    None,
}

/// Colours of a slide's tissue, which are measured on request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Colours {
    /// Not requested yet.
    Unknown,
    /// Being measured.
    Measuring,
    /// The colour statistics.
    Known(LabStatistics),
    /// The slide has too little tissue, or could not be read.
    None,
}

/// State of a slide's embedding.
#[derive(Debug, Clone, PartialEq)]
pub enum SlideStatus {
    /// Descriptors of earlier runs are being looked up.
    Checking,
    /// Not calibrated: the user has to enter the pixel size.
    NeedsMpp,
    /// Waits to be embedded, or to be continued.
    Waiting(SlideProgress),
    /// Being embedded.
    Embedding(SlideProgress),
    /// All tissue tiles are done.
    Embedded(SlideProgress),
    /// Could not be embedded, for this reason.
    Failed(String),
}

/// State of the encoder.
pub enum EncoderState {
    /// Its specification has not been read yet.
    Unknown,
    /// Its specification is known.
    Known(Box<EncoderSpec>),
    /// A TorchScript module, in this file, which is a program that the user has not allowed to run yet.
    Untrusted(PathBuf),
    /// It cannot be used, for this reason; slides can still be viewed.
    Failed(String),
}

/// State of the embedding of all slides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingState {
    /// Paused by the user or by training.
    pub paused: bool,
    /// Stopped by the user; resuming continues where it was.
    pub cancelled: bool,
    /// Name of the device on which the encoder runs, once it is loaded.
    pub device: Option<String>,
    /// Current speed.
    pub tiles_per_second: f64,
}

/// Pixels of a tile or of an associated image, for lists and panels.
pub enum TilePicture {
    /// Being read.
    Reading,
    /// The pixels.
    Read(Arc<Reserved<RgbaImage>>),
    /// Could not be read, for this reason.
    Failed(String),
}

/// Wraps a picture with a reservation of its bytes in the memory budget.
pub(super) fn reserved(picture: RgbaImage) -> Reserved<RgbaImage> {
    Reserved::new(Budget::of_process(), picture.as_raw().len(), picture)
}

impl From<Result<RgbaImage, String>> for TilePicture {
    fn from(picture: Result<RgbaImage, String>) -> Self {
        match picture {
            Ok(picture) => Self::Read(Arc::new(reserved(picture))),
            Err(reason) => Self::Failed(reason),
        }
    }
}

/// A part of a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The slide.
    pub slide: SlideId,
    /// The part, in level-0 pixels.
    pub field: Level0Rect,
}

/// Severity of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Information.
    Note,
    /// An error.
    Error,
}

/// A message to the user; stays until it is dismissed or withdrawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Number by which it is dismissed; unique within a session.
    pub id: u64,
    /// Severity of the message.
    pub severity: Severity,
    /// Text as shown.
    pub text: String,
    /// What the user can do about it, if anything.
    pub remedy: Option<Remedy>,
}

/// What the user can do about an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Remedy {
    /// Open the file again, or choose its new path.
    OpenAgain(PathBuf),
    /// Retry saving a slide's annotations, or export them.
    SaveAnnotations(SlideId),
    /// Embed a slide again.
    EmbedAgain(SlideId),
    /// Change to the default encoder, or stay with the project's, which is named.
    NewerEncoder(String),
    /// Copy a report of an error in the program.
    Report(String),
}

impl Session {
    /// Creates a session on `project`, with no slide open yet.
    pub fn new(project: Project) -> Self {
        Self {
            project,
            training: TrainingState::default(),
            slides: Vec::new(),
            active: None,
            encoder: EncoderState::Unknown,
            embedding: EmbeddingState::default(),
            sets: HashMap::new(),
            index: Arc::new(Snapshot::empty()),
            index_building: false,
            index_stale: false,
            index_settled: false,
            opening: 0,
            query: None,
            query_settings: default_settings(),
            patients: Patients::Any,
            archive_progress: ArchiveProgress::NotAsked,
            archive_password: None,
            awaited: None,
            query_history: QueryHistory::default(),
            history_known: false,
            judged: Vec::new(),
            classified: Vec::new(),
            recipes: Vec::new(),
            second_encoder: None,
            generation: 0,
            tile_pictures: HashMap::new(),
            associated: HashMap::new(),
            destination: None,
            back: Vec::new(),
            field: None,
            annotations: Annotations::default(),
            evaluation: EvaluationState::None,
            distances: None,
            messages: Vec::new(),
            next_message: 0,
        }
    }

    /// State of training.
    pub fn training(&self) -> &TrainingState {
        &self.training
    }

    /// The project that is open.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// All open slides, in list order.
    pub fn slides(&self) -> &[SlideState] {
        &self.slides
    }

    /// Returns an open slide by its ID.
    pub fn slide(&self, id: &SlideId) -> Option<&SlideState> {
        self.slides.iter().find(|slide| slide.id() == id)
    }

    /// Returns the slide in view.
    pub fn active(&self) -> Option<&SlideState> {
        self.slide(self.active.as_ref()?)
    }

    /// State of the encoder.
    pub fn encoder(&self) -> &EncoderState {
        &self.encoder
    }

    /// State of the embedding of all slides.
    pub fn embedding(&self) -> &EmbeddingState {
        &self.embedding
    }

    /// Returns the normaliser that matches a slide's colours to the encoder's reference, as tiles are normalised for
    /// encoders that were fitted on normalised tiles; `None` until both are known.
    pub fn normaliser(&self, slide: &SlideId) -> Option<LabNormaliser> {
        let EncoderState::Known(spec) = &self.encoder else { return None };
        let Colours::Known(slide_colours) = self.slide(slide)?.colours else { return None };
        Some(LabNormaliser::new(slide_colours, spec.stain_reference))
    }

    /// Sums the progress over all calibrated slides.
    pub fn total_progress(&self) -> SlideProgress {
        let progresses = self.slides.iter().filter_map(|slide| slide.status.progress());
        progresses.fold(SlideProgress::default(), |sum, one| SlideProgress {
            done: sum.done + one.done,
            total: sum.total + one.total,
            failed: sum.failed + one.failed,
        })
    }

    /// Whether any slide still has tiles to embed.
    pub fn is_embedding_left(&self) -> bool {
        let waits =
            |slide: &SlideState| matches!(slide.status, SlideStatus::Waiting(_) | SlideStatus::Embedding(_));
        self.project.read_only().is_none() && self.slides.iter().any(waits)
    }

    /// Number of tiles that can be found at present.
    pub fn searchable_tiles(&self) -> usize {
        self.index.len()
    }

    /// Returns the thumbnail of a tile, if it was requested.
    pub fn tile_picture(&self, slide: &SlideId, rect: &Level0Rect) -> Option<&TilePicture> {
        self.tile_pictures.get(&(slide.clone(), *rect))
    }

    /// Returns an associated image of a slide (`label`, `macro`, …), if it was requested.
    pub fn associated(&self, slide: &SlideId, name: &str) -> Option<&TilePicture> {
        self.associated.get(&(slide.clone(), name.to_owned()))
    }

    /// Messages that have not been dismissed, the oldest first.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether there is a view to return to with [`Command::Back`](super::Command::Back).
    pub fn can_go_back(&self) -> bool {
        !self.back.is_empty()
    }

    /// Takes the position to which the view has to move, if any.
    pub fn take_destination(&mut self) -> Option<Place> {
        self.destination.take()
    }

    /// Recipe of the descriptors, once the encoder is known.
    pub fn recipe(&self) -> Option<Recipe> {
        let EncoderState::Known(spec) = &self.encoder else { return None };
        Some(self.project.recipe(spec))
    }

    pub(super) fn slide_mut(&mut self, id: &SlideId) -> Option<&mut SlideState> {
        self.slides.iter_mut().find(|slide| slide.id() == id)
    }

    pub(super) fn notify(&mut self, severity: Severity, text: String, remedy: Option<Remedy>) {
        // A repeated message is shown once.
        if self.messages.iter().any(|message| message.text == text) {
            return;
        }
        self.messages.push(Message { id: self.next_message, severity, text, remedy });
        self.next_message += 1;
    }
}

impl SlideState {
    /// ID of the slide.
    pub fn id(&self) -> &SlideId {
        &self.source.info().id
    }
}

impl SlideStatus {
    /// Number of tiles done and in total, if known.
    pub fn progress(&self) -> Option<SlideProgress> {
        match self {
            Self::Waiting(progress) | Self::Embedding(progress) | Self::Embedded(progress) => Some(*progress),
            _ => None,
        }
    }
}
