//! All state of the running program, with neither threads nor screen.
//!
//! What the user does arrives as a [`Command`], what the workers find out as an [`Event`]; both change the
//! [`Session`] and answer with the [`Job`]s that now have to be done. Nothing else changes it.

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
