//! What the running program knows.

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

/// State of the whole program. Read it freely; it changes through [`Session::handle`] and
/// [`Session::absorb`] only.
pub struct Session {
    pub(super) project: Project,
    pub(super) training: TrainingState,
    /// In the order in which they are listed.
    pub(super) slides: Vec<SlideState>,
    pub(super) active: Option<SlideId>,
    pub(super) encoder: EncoderState,
    pub(super) embedding: EmbeddingState,
    /// Sets that can be searched, by slide.
    pub(super) sets: HashMap<SlideId, Arc<DescriptorSet>>,
    pub(super) index: Arc<Snapshot>,
    pub(super) index_building: bool,
    pub(super) index_stale: bool,
    /// Whether the newest build was of all slides.
    pub(super) index_settled: bool,
    /// Slides that are being opened.
    pub(super) opening: usize,
    pub(super) query: Option<QueryState>,
    pub(super) query_settings: QuerySettings,
    pub(super) patients: Patients,
    pub(super) archive_progress: ArchiveProgress,
    /// What was typed in this run.
    pub(super) archive_password: Option<Password>,
    /// What is shown of a slide once it has been opened: a field, or all of it.
    pub(super) awaited: Option<(SlideId, Option<Level0Rect>)>,
    pub(super) query_history: QueryHistory,
    /// Whether what the project has kept is in the book.
    pub(super) history_known: bool,
    /// What judgements have changed, the newest last.
    pub(super) judged: Vec<Judged>,
    /// Matches that were given classes, the newest last.
    pub(super) classified: Vec<Vec<Classified>>,
    /// The recipes by which slides have been described.
    pub(super) recipes: Vec<Recipe>,
    /// A second encoder that answers, too.
    pub(super) second_encoder: Option<SecondEncoder>,
    pub(super) generation: u64,
    pub(super) tile_pictures: HashMap<(SlideId, Level0Rect), TilePicture>,
    /// Pictures stored beside slides, by the slide and the picture's name, as far as they were asked for.
    pub(super) associated: HashMap<(SlideId, String), TilePicture>,
    /// Where the view goes next; the window takes it with [`Session::take_destination`].
    pub(super) destination: Option<Place>,
    /// Where the view was before each jump.
    pub(super) back: Vec<Place>,
    /// The part of the active slide that is in view.
    pub(super) field: Option<Level0Rect>,
    pub(super) annotations: Annotations,
    pub(super) evaluation: EvaluationState,
    /// How far the evaluation's tiles are from a question, by that question's generation.
    pub(super) distances: Option<(u64, Arc<[f32]>)>,
    pub(super) messages: Vec<Message>,
    pub(super) next_message: u64,
}

/// One slide on the list.
pub struct SlideState {
    pub source: Arc<dyn SlideSource>,
    pub thumbnail: Option<Arc<Reserved<RgbaImage>>>,
    pub tissue: Option<Arc<TissueMask>>,
    pub colours: Colours,
    pub profile: Profile,
    pub status: SlideStatus,
    /// Why it cannot be read at present; it is looked for, and goes on by itself when it is back.
    pub unavailable: Option<String>,
}

/// The colour profile that a slide embeds, which is read when it is asked for.
#[derive(Debug, Clone)]
pub enum Profile {
    Unknown,
    Reading,
    Known(Arc<ProfileTable>),
    /// The slide embeds none that can be used.
    None,
}

/// The colours of a slide's tissue, which are measured when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Colours {
    Unknown,
    Measuring,
    Known(LabStatistics),
    /// Too little tissue to speak of colours, or it could not be read.
    None,
}

/// How far a slide's embedding has come.
#[derive(Debug, Clone, PartialEq)]
pub enum SlideStatus {
    /// Descriptors of earlier runs are being looked for.
    Checking,
    /// Not calibrated: the user has to say how large its pixels are.
    NeedsMpp,
    Waiting(SlideProgress),
    Embedding(SlideProgress),
    /// All tissue tiles done.
    Embedded(SlideProgress),
    Failed(String),
}

/// The encoder, as far as it is known.
pub enum EncoderState {
    /// Not looked at yet.
    Unknown,
    Known(Box<EncoderSpec>),
    /// The TorchScript module in this file, a program that the user has not allowed to run yet.
    Untrusted(PathBuf),
    /// It cannot be used; slides can be viewed all the same.
    Failed(String),
}

/// The embedding of all slides together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingState {
    pub paused: bool,
    /// Stopped by the user; resuming goes on where it was.
    pub cancelled: bool,
    /// Name of the device on which the encoder runs, once it does.
    pub device: Option<String>,
    /// Speed of the running work.
    pub tiles_per_second: f64,
}

/// The pixels of one tile, or of a picture beside the slide, for lists and panels.
pub enum TilePicture {
    Reading,
    Read(Arc<Reserved<RgbaImage>>),
    Failed(String),
}

/// A picture with its bytes taken from the memory budget.
pub(super) fn held(picture: RgbaImage) -> Reserved<RgbaImage> {
    Reserved::new(Budget::of_process(), picture.as_raw().len(), picture)
}

impl From<Result<RgbaImage, String>> for TilePicture {
    fn from(picture: Result<RgbaImage, String>) -> Self {
        match picture {
            Ok(picture) => Self::Read(Arc::new(held(picture))),
            Err(reason) => Self::Failed(reason),
        }
    }
}

/// A part of a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub slide: SlideId,
    pub field: Level0Rect,
}

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Note,
    Error,
}

/// Something the user is told; stays until it is dismissed.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: u64,
    pub severity: Severity,
    pub text: String,
    pub remedy: Option<Remedy>,
}

/// What the user can do about something that went wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Remedy {
    /// Open the file again, or one that lies elsewhere.
    OpenAgain(PathBuf),
    /// Try to save a slide's annotations again, or save them elsewhere.
    SaveAnnotations(SlideId),
    /// Embed a slide again.
    EmbedAgain(SlideId),
    /// Change to the default encoder, or stay with this one of the project's.
    NewerEncoder(String),
    /// Pass on a report of an error in the program.
    Report(String),
}

impl Session {
    /// A session on `project`, with no slide open yet.
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

    pub fn training(&self) -> &TrainingState {
        &self.training
    }

    pub fn project(&self) -> &Project {
        &self.project
    }

    pub fn slides(&self) -> &[SlideState] {
        &self.slides
    }

    pub fn slide(&self, id: &SlideId) -> Option<&SlideState> {
        self.slides.iter().find(|slide| slide.id() == id)
    }

    /// The slide in view.
    pub fn active(&self) -> Option<&SlideState> {
        self.slide(self.active.as_ref()?)
    }

    pub fn encoder(&self) -> &EncoderState {
        &self.encoder
    }

    pub fn embedding(&self) -> &EmbeddingState {
        &self.embedding
    }

    /// What gives a slide's colours the encoder's reference, as tiles are normalised for encoders that were made on
    /// normalised ones; `None` while either is unknown.
    pub fn normaliser(&self, slide: &SlideId) -> Option<LabNormaliser> {
        let EncoderState::Known(spec) = &self.encoder else { return None };
        let Colours::Known(own) = self.slide(slide)?.colours else { return None };
        Some(LabNormaliser::new(own, spec.stain_reference))
    }

    /// Progress over all calibrated slides together.
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

    /// Tiles that can be found at present.
    pub fn searchable_tiles(&self) -> usize {
        self.index.len()
    }

    pub fn tile_picture(&self, slide: &SlideId, rect: &Level0Rect) -> Option<&TilePicture> {
        self.tile_pictures.get(&(slide.clone(), *rect))
    }

    /// A picture stored beside a slide (`label`, `macro`, …), once it was asked for.
    pub fn associated(&self, slide: &SlideId, name: &str) -> Option<&TilePicture> {
        self.associated.get(&(slide.clone(), name.to_owned()))
    }

    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub fn can_go_back(&self) -> bool {
        !self.back.is_empty()
    }

    /// Where the view is to go, once.
    pub fn take_destination(&mut self) -> Option<Place> {
        self.destination.take()
    }

    /// All that decides descriptors, once the encoder is known.
    pub fn recipe(&self) -> Option<Recipe> {
        let EncoderState::Known(spec) = &self.encoder else { return None };
        Some(self.project.recipe(spec))
    }

    pub(super) fn slide_mut(&mut self, id: &SlideId) -> Option<&mut SlideState> {
        self.slides.iter_mut().find(|slide| slide.id() == id)
    }

    pub(super) fn tell(&mut self, severity: Severity, text: String, remedy: Option<Remedy>) {
        // The same trouble again and again is told once.
        if self.messages.iter().any(|message| message.text == text) {
            return;
        }
        self.messages.push(Message { id: self.next_message, severity, text, remedy });
        self.next_message += 1;
    }
}

impl SlideState {
    pub fn id(&self) -> &SlideId {
        &self.source.info().id
    }
}

impl SlideStatus {
    /// Tiles done and to do, where that is known.
    pub fn progress(&self) -> Option<SlideProgress> {
        match self {
            Self::Waiting(progress) | Self::Embedding(progress) | Self::Embedded(progress) => Some(*progress),
            _ => None,
        }
    }
}
