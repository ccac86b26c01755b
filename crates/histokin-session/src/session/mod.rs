//! All state of the running program, without threads or screen.
//!
//! User actions arrive as a [`Command`], results of the workers as an [`Event`]. Both change the [`Session`]
//! and return the [`Job`]s to be done next. Nothing else changes the session.
//!
//! State, commands, events and transitions are divided by subject, each in its own module; [`Session`] holds the parts
//! and passes commands and events on.

/// Defines an enum of the commands or events of all subjects. Those of a single subject can be passed on as they are,
/// by [`From`].
macro_rules! enum_of_subjects {
    ($(#[$about:meta])* pub enum $whole:ident { $($(#[$doc:meta])* $variant:ident($part:ty),)* }) => {
        $(#[$about])*
        pub enum $whole {
            $($(#[$doc])* $variant($part),)*
        }

        $(impl From<$part> for $whole {
            fn from(part: $part) -> Self {
                Self::$variant(part)
            }
        })*
    };
}

mod annotations;
mod archive;
mod command;
mod concepts;
mod embedding;
mod evaluation;
mod event;
mod index;
mod job;
mod messages;
mod query;
mod read_only;
mod slides;
mod training;
mod view;

pub use annotations::{
    AnnotationCommand, AnnotationEvent, AnnotationJob, Counts, FileTrouble, FileWork, ReadFile,
    SlideAnnotations,
};
pub use archive::{ArchiveAnswer, ArchiveCommand, ArchiveProgress};
pub use command::Command;
pub use concepts::{ConceptAreas, ConceptCommand, ConceptEvent, ConceptJob, NotApplied};
pub use embedding::{
    EmbeddingCommand, EmbeddingEvent, EmbeddingState, EncoderChange, EncoderChoice, EncoderOffer,
    EncoderState, PreviewRequest, PreviewState, SlideProgress, SlideStatus,
};
pub use evaluation::{EvaluateRequest, EvaluationCommand, EvaluationEvent, EvaluationState};
pub use event::Event;
pub use index::IndexEvent;
pub use job::{
    ArchiveJob, ArchiveRequest, EmbedPlan, EmbedTarget, EmbeddingJob, EncoderJob, EvaluationJob, HistoryJob,
    IndexBuild, Job, LoadJob, OpenJob, PictureJob, PictureRequest, ScanJob, SearchRequest, TileRequest,
};
pub use messages::{Message, MessageCommand, MessageEvent, Remedy, Severity};
pub use query::{
    HeatReference, MarkedTissue, MatchCommand, PictureQuery, QueryCommand, QueryEvent, QueryState,
    SecondEncoder,
};
pub use slides::{Colours, Profile, SlideCommand, SlideEvent, SlideState, TilePicture};
pub use training::{
    PairLimits, PlannedRun, Preview, RunView, RunningState, TrainingCommand, TrainingEnd, TrainingEvent,
    TrainingJob, TrainingPlan, TrainingState, TrainingTarget, TrialRequest, TrialState, TrialSubject,
};
pub use view::{ViewCommand, ViewTarget};

use annotations::Annotations;
use archive::Archive;
use concepts::Concepts;
use evaluation::Evaluation;
use histokin_project::project::Project;
use index::SearchIndex;
use messages::Messages;
use query::Queries;
use slides::SlideList;
use view::View;

/// State of the whole program. It can be read freely and is changed only through [`Session::handle`] and
/// [`Session::absorb`].
pub struct Session {
    project: Project,
    slides: SlideList,
    view: View,
    embedding: EmbeddingState,
    index: SearchIndex,
    query: Queries,
    concepts: Concepts,
    archive: Archive,
    annotations: Annotations,
    evaluation: Evaluation,
    training: TrainingState,
    messages: Messages,
}

impl Session {
    /// Creates a session on `project`, with no slide open yet.
    pub fn new(project: Project) -> Self {
        Self {
            project,
            slides: SlideList::default(),
            view: View::default(),
            embedding: EmbeddingState::default(),
            index: SearchIndex::default(),
            query: Queries::default(),
            concepts: Concepts::default(),
            archive: Archive::default(),
            annotations: Annotations::default(),
            evaluation: Evaluation::default(),
            training: TrainingState::default(),
            messages: Messages::default(),
        }
    }

    /// The project that is open.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Returns the first jobs of a session: read the encoder's specification and the query history, open the
    /// project's slides.
    pub fn start(&mut self) -> Vec<Job> {
        let jobs = self.first_jobs();
        self.issue(jobs)
    }

    /// Executes a command of the user and returns the resulting jobs.
    pub fn handle(&mut self, command: impl Into<Command>) -> Vec<Job> {
        let command = command.into();
        if self.refuses(&command) {
            return Vec::new();
        }
        let jobs = match command {
            Command::Slides(command) => self.slide_command(command),
            Command::View(command) => self.view_command(command),
            Command::Embedding(command) => self.embedding_command(command),
            Command::Query(command) => self.query_command(command),
            Command::Matches(command) => self.match_command(command),
            Command::Concepts(command) => self.concept_command(command),
            Command::Archive(command) => self.archive_command(command),
            Command::Annotations(command) => self.annotation_command(command),
            Command::Evaluation(command) => self.evaluation_command(command),
            Command::Training(command) => self.training_command(command),
            Command::Messages(command) => {
                self.messages.handle(command);
                Vec::new()
            }
        };
        self.issue(jobs)
    }

    /// Takes in a worker's event and returns the resulting jobs.
    pub fn absorb(&mut self, event: impl Into<Event>) -> Vec<Job> {
        let jobs = match event.into() {
            Event::ProjectOpened(project) => self.change_project(*project),
            Event::Slides(event) => self.slide_event(event),
            Event::Embedding(event) => self.embedding_event(event),
            Event::Index(event) => self.index_event(event),
            Event::Query(event) => self.query_event(event),
            Event::Concepts(event) => {
                self.concept_event(event);
                Vec::new()
            }
            Event::Annotations(event) => self.annotation_event(event),
            Event::Evaluation(event) => {
                self.evaluation_event(event);
                Vec::new()
            }
            Event::Training(event) => self.training_event(event),
            Event::Messages(event) => {
                self.messages.absorb(event);
                Vec::new()
            }
        };
        let mut jobs = self.issue(jobs);
        jobs.extend(self.build_settled_index());
        jobs
    }

    /// Filters and counts jobs before they go to the workers.
    fn issue(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let jobs = self.allowed(jobs);
        self.slides.count_opening(&jobs);
        jobs
    }

    fn first_jobs(&mut self) -> Vec<Job> {
        if let Some(before) = self.project.left_by() {
            let text = format!(
                "histokin was not closed properly when this project was last open, {before}. Everything was recovered except for the last few seconds."
            );
            self.messages.note(text);
        }
        self.offer_default_encoder();
        let which = self.project.encoder_name();
        let mut jobs = vec![
            Job::Open(OpenJob::ReadEncoderSpec(which)),
            Job::History(HistoryJob::LoadHistory(self.project.root().to_owned())),
            self.load_concepts(),
        ];
        jobs.extend(self.project.slides().iter().map(|entry| {
            Job::Open(OpenJob::OpenSlide { path: self.project.slide_path(entry), user_mpp: entry.user_mpp })
        }));
        jobs
    }

    /// Continues with another project; messages stay.
    fn change_project(&mut self, project: Project) -> Vec<Job> {
        let left = self.stop_training();
        self.evaluation.stop();
        self.forget_trials();
        let former = std::mem::replace(self, Session::new(project));
        self.messages = former.messages;
        self.query.continue_after(&former.query);
        self.annotations.continue_after(former.annotations);
        let mut jobs = self.first_jobs();
        jobs.extend(left);
        jobs
    }

    fn save_project(&self) -> Job {
        Job::SaveProject(Box::new(self.project.clone()))
    }
}
