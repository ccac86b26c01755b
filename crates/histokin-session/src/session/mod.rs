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
mod former;
mod index;
mod job;
mod lasting;
mod messages;
mod opened;
pub(crate) mod query;
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
pub use event::{Event, Found};
pub use former::UnsavedElsewhere;
pub use index::IndexEvent;
pub use job::{
    ArchiveJob, ArchiveRequest, EmbedPlan, EmbedTarget, EmbeddingJob, EncoderJob, EvaluationJob, HistoryJob,
    IndexBuild, Job, LoadJob, OpenJob, PictureJob, PictureRequest, ScanJob, SearchRequest, TileRequest,
};
pub use messages::{Message, MessageCommand, MessageEvent, Remedy, Severity};
pub use opened::{Issued, OpenedProject, ProjectJob, ProjectNumber, Report};
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

use std::path::PathBuf;

use annotations::Annotations;
use archive::Archive;
use concepts::Concepts;
use evaluation::Evaluation;
use former::{FormerProject, FormerProjects, UnsavedElsewhere as Unsaved};
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
    /// Number of the project.
    number: ProjectNumber,
    formers: FormerProjects,
    requests: Requests,
}

/// Numbers of the user's requests to open paths. A later request for another project outdates earlier ones.
#[derive(Default)]
struct Requests {
    newest: u64,
    /// The one by which the project was opened.
    of_project: u64,
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
            number: ProjectNumber::default(),
            formers: FormerProjects::default(),
            requests: Requests::default(),
        }
    }

    /// The project that is open, as jobs are issued for it.
    pub fn opened(&self) -> OpenedProject {
        OpenedProject { number: self.number, claim: self.project.shared_claim() }
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

    /// Whether a report is taken for the project that is open: one of its jobs, or what was found at paths that the user
    /// has opened, unless another project was asked for after them.
    pub fn accepts(&self, report: &Report) -> bool {
        match &report.event {
            Event::Found(found) => found.request >= self.requests.of_project,
            _ => report.of == self.number,
        }
    }

    /// Takes in the report of a worker and returns the resulting jobs. What is reported of a project that was open before
    /// changes nothing of this one.
    pub fn receive(&mut self, Report { of, event }: Report) -> Vec<Job> {
        let jobs = match of == self.number {
            true => self.take_in(event),
            false => self.late_event(of, event),
        };
        let mut jobs = self.issue(jobs);
        jobs.extend(self.build_settled_index());
        jobs
    }

    /// Takes in an event of the project that is open, and returns the resulting jobs.
    pub fn absorb(&mut self, event: impl Into<Event>) -> Vec<Job> {
        self.receive(Report { of: self.number, event: event.into() })
    }

    fn take_in(&mut self, event: Event) -> Vec<Job> {
        match event {
            Event::Found(found) => self.found(*found),
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
        }
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

    /// Opens what was found at paths that the user has opened.
    fn found(&mut self, Found { request, project, slides, encoder }: Found) -> Vec<Job> {
        if request < self.requests.of_project {
            let root = project.map(|project| project.root().to_owned());
            for path in root.into_iter().chain(encoder).chain(slides.first().cloned()) {
                let text = format!(
                    "{}: was not opened, because another project was opened after it was asked for. Open it again if it \
                     belongs here",
                    path.display()
                );
                self.messages.note(text);
            }
            return Vec::new();
        }
        let mut jobs = Vec::new();
        if let Some(project) = project {
            self.requests.of_project = request;
            jobs = self.change_project(project);
        }
        if let Some(encoder) = encoder {
            jobs.extend(self.offer_encoder(encoder.to_string_lossy().into_owned()));
        }
        self.slides.add_later(&slides);
        jobs.extend(slides.into_iter().map(|path| Job::Open(OpenJob::OpenSlide { path, user_mpp: None })));
        jobs
    }

    /// Returns the job that finds what is at paths that the user has opened.
    fn find_paths(&mut self, paths: Vec<PathBuf>) -> Job {
        self.requests.newest += 1;
        Job::Open(OpenJob::FindPaths { request: self.requests.newest, paths })
    }

    /// Continues with another project; messages stay.
    fn change_project(&mut self, project: Project) -> Vec<Job> {
        let mut last = self.stop_training();
        last.extend(self.keep_unread_history());
        self.evaluation.stop();
        self.forget_trials();
        self.tell_what_is_not_added();
        let unsaved: Vec<Unsaved> = self.unsaved_of_this_project().collect();
        let slides = self.slides.list.iter();
        let left = FormerProject {
            number: self.number,
            root: self.project.root().to_owned(),
            names: slides.map(|state| (state.id().clone(), state.source.info().name())).collect(),
            importing: self.annotations.leave(),
        };
        let former = std::mem::replace(self, Session::new(project));
        self.number = former.number.next();
        (self.messages, self.formers, self.requests) = (former.messages, former.formers, former.requests);
        self.messages.leave_project();
        self.formers.add(left);
        unsaved.into_iter().for_each(|entry| self.unsaved_in_former(entry));
        self.query.continue_after(&former.query);
        let mut jobs = self.first_jobs();
        jobs.extend(last);
        jobs
    }

    fn save_project(&self) -> Job {
        Job::SaveProject(Box::new(self.project.clone()))
    }
}
