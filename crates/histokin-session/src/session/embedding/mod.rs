//! The encoder, and the embedding of all slides with it.

mod commands;
mod descriptors;
mod encoder;
mod events;
mod library;
mod offer;
mod tissue;
mod trials;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use commands::EmbeddingCommand;
pub use events::EmbeddingEvent;
pub use library::EncoderChange;
pub use offer::{EncoderChoice, EncoderOffer};
pub use trials::{PreviewRequest, PreviewState};

use super::{EmbedPlan, EmbeddingJob, Job, Remedy, Session, Severity, SlideState, TrialState};
use histokin_core::descriptors::{DescriptorSet, Recipe};
use histokin_core::slide::SlideId;
use histokin_encoder::EncoderSpec;
use histokin_project::project::ListedEncoder;

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

/// Progress of the embedding of one slide.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SlideProgress {
    /// Tiles embedded or found unreadable, including those of earlier runs.
    pub done: u32,
    /// Number of tissue tiles of the slide.
    pub total: u32,
    /// Those of `done` that could not be read.
    pub failed: u32,
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

/// State of the encoder.
#[derive(Default)]
pub enum EncoderState {
    /// Its specification has not been read yet.
    #[default]
    Unknown,
    /// Its specification is known.
    Known(Box<EncoderSpec>),
    /// A TorchScript module, in this file, which is a program that the user has not allowed to run yet.
    Untrusted(PathBuf),
    /// It cannot be used, for this reason; slides can still be viewed.
    Failed(String),
}

/// State of the embedding of all slides.
#[derive(Default)]
pub struct EmbeddingState {
    /// Paused by the user or by training.
    pub paused: bool,
    /// Stopped by the user; resuming continues where it was.
    pub cancelled: bool,
    /// Name of the device on which the encoder runs, once it is loaded.
    pub device: Option<String>,
    /// Current speed.
    pub tiles_per_second: f64,
    pub(super) encoder: EncoderState,
    choice: EncoderChoice,
    /// Whether the user has given the encoder that is looked at, so that a preview of it is wanted.
    is_given: bool,
    preview: PreviewState,
    comparison: Option<TrialState>,
    listed: Option<Vec<ListedEncoder>>,
    /// Finished sets of a new encoder, kept until all slides have one; the old sets are searched until then.
    incoming: BTreeMap<SlideId, Arc<DescriptorSet>>,
}

impl Session {
    /// State of the encoder.
    pub fn encoder(&self) -> &EncoderState {
        &self.embedding.encoder
    }

    /// State of the embedding of all slides.
    pub fn embedding(&self) -> &EmbeddingState {
        &self.embedding
    }

    /// Recipe of the descriptors, once the encoder is known.
    pub fn recipe(&self) -> Option<Recipe> {
        let EncoderState::Known(spec) = &self.embedding.encoder else { return None };
        Some(self.project.recipe(spec))
    }

    /// Sums the progress over all calibrated slides.
    pub fn total_progress(&self) -> SlideProgress {
        let progresses = self.slides.list.iter().filter_map(|slide| slide.status.progress());
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
        self.project.read_only().is_none() && self.slides.list.iter().any(waits)
    }

    pub(super) fn embedding_command(&mut self, command: EmbeddingCommand) -> Vec<Job> {
        match command {
            EmbeddingCommand::TrustEncoder(trusted) => self.trust_encoder(trusted),
            EmbeddingCommand::ChooseEncoder(name) => self.choose_encoder(name),
            EmbeddingCommand::ExamineEncoder(which) => self.examine_encoder(which),
            EmbeddingCommand::OfferEncoder(path) => self.offer_encoder(path),
            EmbeddingCommand::UseOfferedEncoder => self.use_offered_encoder(),
            EmbeddingCommand::DismissOffer => {
                self.forget_trials();
                self.embedding.choice = EncoderChoice::None;
                Vec::new()
            }
            EmbeddingCommand::ListEncoders => self.list_encoders(),
            EmbeddingCommand::ChangeEncoders(change) => self.change_encoders(change),
            EmbeddingCommand::Preview => self.preview_encoder(),
            EmbeddingCommand::StopPreview => {
                self.stop_preview();
                Vec::new()
            }
            EmbeddingCommand::Compare => self.compare_encoder(),
            EmbeddingCommand::StopComparison => {
                self.stop_comparison();
                Vec::new()
            }
            EmbeddingCommand::EmbedAllAgain => self.embed_all_again(),
            EmbeddingCommand::Pause => {
                self.embedding.paused = true;
                self.embed_plan()
            }
            EmbeddingCommand::Resume => {
                self.embedding.paused = false;
                self.embedding.cancelled = false;
                self.embed_plan()
            }
            EmbeddingCommand::Cancel => {
                self.embedding.cancelled = true;
                self.embed_plan()
            }
            EmbeddingCommand::SetTissue(settings) => self.set_tissue(settings),
            EmbeddingCommand::EmbedAgain(slide) => {
                self.messages.withdraw(&Remedy::EmbedAgain(slide.clone()));
                self.slides.set_status(&slide, SlideStatus::Checking);
                self.check_descriptors(&slide)
            }
        }
    }

    pub(super) fn embedding_event(&mut self, event: EmbeddingEvent) -> Vec<Job> {
        match event {
            EmbeddingEvent::EncodersListed(listed) => {
                self.embedding.listed = Some(listed);
                Vec::new()
            }
            EmbeddingEvent::EncodersChanged(change) => self.encoders_changed(change),
            EmbeddingEvent::PreviewProgress { which, share, doing } => {
                self.preview_goes_on(&which, share, doing);
                Vec::new()
            }
            EmbeddingEvent::Previewed { which, result } => self.previewed(&which, result),
            EmbeddingEvent::ComparisonProgress { which, share, doing } => {
                self.comparison_goes_on(&which, share, doing);
                Vec::new()
            }
            EmbeddingEvent::Compared { which, result } => {
                self.compared(&which, result);
                Vec::new()
            }
            // Of an encoder that the project used before.
            EmbeddingEvent::EncoderKnown { which, .. }
            | EmbeddingEvent::EncoderUntrusted { which, .. }
            | EmbeddingEvent::EncoderFailed { which, .. }
                if which != self.project.encoder_name() =>
            {
                Vec::new()
            }
            EmbeddingEvent::EncoderKnown { spec, .. } => {
                self.embedding.encoder = EncoderState::Known(spec);
                self.slides.ids().iter().flat_map(|id| self.check_descriptors(id)).collect()
            }
            EmbeddingEvent::EncoderExamined { which, found } => self.encoder_examined(&which, found),
            EmbeddingEvent::EncoderRuns { device } => {
                self.embedding.device = Some(device);
                Vec::new()
            }
            EmbeddingEvent::EncoderUntrusted { path, .. } => {
                self.embedding.encoder = EncoderState::Untrusted(path);
                Vec::new()
            }
            EmbeddingEvent::EncoderFailed { reason, .. } => {
                self.embedding.encoder = EncoderState::Failed(reason.clone());
                self.messages.error(reason);
                Vec::new()
            }
            EmbeddingEvent::Started { slide, progress } => {
                self.slides.set_status(&slide, SlideStatus::Embedding(progress));
                Vec::new()
            }
            EmbeddingEvent::Progress { slide, progress, tiles_per_second } => {
                self.embedding.tiles_per_second = tiles_per_second;
                self.slides.set_status(&slide, SlideStatus::Embedding(progress));
                Vec::new()
            }
            EmbeddingEvent::DescriptorsReady { set, finished } => self.descriptors_ready(set, finished),
            EmbeddingEvent::NoTiles { slide, why } => {
                self.report_no_tiles(&slide, &why);
                Vec::new()
            }
            EmbeddingEvent::Interrupted { slide } => {
                let progress = self.slide(&slide).and_then(|state| state.status.progress());
                self.slides.set_status(&slide, SlideStatus::Waiting(progress.unwrap_or_default()));
                Vec::new()
            }
            EmbeddingEvent::Failed { slide, reason } => {
                self.messages.add(Severity::Error, reason.clone(), Some(Remedy::EmbedAgain(slide.clone())));
                self.slides.set_status(&slide, SlideStatus::Failed(reason));
                self.change_over()
            }
            EmbeddingEvent::NoDescriptors { slide } => self.no_descriptors(&slide),
        }
    }

    /// Makes the plan of the embedder: the slide in view first, then the others in list order.
    pub(super) fn embed_plan(&self) -> Vec<Job> {
        let Some(recipe) = self.recipe() else { return Vec::new() };
        let waiting = |state: &&SlideState| {
            let is_left = matches!(state.status, SlideStatus::Waiting(_) | SlideStatus::Embedding(_));
            is_left && state.unavailable.is_none()
        };
        let mut targets: Vec<&SlideState> = self.slides.list.iter().filter(waiting).collect();
        targets.sort_by_key(|state| !self.view.shows(state.id()));
        let in_view = targets.first().is_some_and(|state| self.view.shows(state.id()));
        let encoder = self.project.encoder_name();
        vec![Job::Embedding(EmbeddingJob::Plan(EmbedPlan {
            recipe,
            encoder,
            store: self.project.descriptors(),
            targets: if self.embedding.cancelled || self.project.read_only().is_some() {
                Vec::new()
            } else {
                targets.into_iter().filter_map(|state| self.embed_target(state)).collect()
            },
            focus: self.view.field.filter(|_| in_view),
            paused: self.embedding.paused,
        }))]
    }
}
