//! All state of the running program, without threads or screen.
//!
//! User actions arrive as a [`Command`], results of the workers as an [`Event`]. Both change the [`Session`]
//! and return the [`Job`]s to be done next. Nothing else changes the session.

mod annotate;
mod archive;
mod command;
mod encoder_choice;
mod evaluation;
mod event;
mod files;
mod job;
mod query;
mod read_only;
mod state;
mod tissue;
mod training;
mod update;
mod work;

pub use annotate::{Annotate, AnnotationEvent, AnnotationJob, Annotations, SlideAnnotations};
pub use archive::{ArchiveAnswer, ArchiveProgress};
pub use command::Command;
pub use evaluation::{EvaluateRequest, EvaluationState};
pub use event::{Event, SlideProgress};
pub use job::{
    ArchiveRequest, EmbedPlan, EmbedTarget, EvaluatorJob, HistoryJob, Job, LoadJob, OpenJob, PictureJob,
    PictureRequest, ScanJob, SearchRequest, TileRequest,
};
pub use query::{PictureQuery, QueryState, SecondEncoder};
pub use state::{
    Colours, EmbeddingState, EncoderState, Message, Place, Profile, Remedy, Session, Severity, SlideState,
    SlideStatus, TilePicture,
};
pub use training::{
    Pace, PairLimits, PlannedRun, Preview, RunView, RunningState, TrainingCommand, TrainingEnd,
    TrainingEvent, TrainingJob, TrainingPlan, TrainingState, TrainingTarget,
};
