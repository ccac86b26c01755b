//! Read-only projects: which commands are refused and which jobs are dropped.

use super::opened::ProjectJob;
use super::{
    Command, ConceptCommand, EmbeddingCommand, EvaluationCommand, Job, MatchCommand, Session, TrainingCommand,
};

impl Session {
    /// Whether a command would write to a read-only project; if so, tells the user.
    pub(super) fn refuses(&mut self, command: &Command) -> bool {
        let refused = match command {
            Command::Matches(MatchCommand::Judge { .. } | MatchCommand::UndoJudgement) => {
                "judgements cannot be kept"
            }
            Command::Concepts(
                ConceptCommand::Teach { .. }
                | ConceptCommand::SetThreshold { .. }
                | ConceptCommand::Change { .. }
                | ConceptCommand::Remove(_)
                | ConceptCommand::Export(_)
                | ConceptCommand::ExportClassMap,
            ) => "no concept can be kept or exported",
            Command::Matches(MatchCommand::Export | MatchCommand::ExportHeatMap { .. })
            | Command::Evaluation(EvaluationCommand::WriteReport { .. }) => {
                "no report can be written into it"
            }
            Command::Embedding(
                EmbeddingCommand::Resume
                | EmbeddingCommand::EmbedAgain(_)
                | EmbeddingCommand::EmbedAllAgain
                | EmbeddingCommand::SetTissue(_)
                | EmbeddingCommand::ChooseEncoder(_)
                | EmbeddingCommand::UseOfferedEncoder,
            ) => "no slides can be embedded",
            Command::Training(
                TrainingCommand::Start { .. }
                | TrainingCommand::Continue { .. }
                | TrainingCommand::UseEncoder(_)
                | TrainingCommand::Export(_)
                | TrainingCommand::Delete(_),
            ) => "no encoder can be trained or changed",
            _ => return false,
        };
        self.refuse(refused)
    }

    /// Reports that something cannot be done in a read-only project; returns false if writing is allowed.
    pub(super) fn refuse(&mut self, what: &str) -> bool {
        let Some(why) = self.project.read_only() else { return false };
        let text = format!("This project is read-only: {what}, because {why}.");
        self.messages.error(text);
        true
    }

    /// Drops jobs that would write to a read-only project. Their results stay in memory until the window
    /// closes.
    pub(super) fn allowed(&self, jobs: Vec<Job>) -> Vec<Job> {
        if self.project.read_only().is_none() {
            return jobs;
        }
        jobs.into_iter().filter(|job| !writes_into_project(job)).collect()
    }
}

fn writes_into_project(job: &Job) -> bool {
    match job {
        Job::SaveProject(_) => true,
        Job::Load(job) => job.writes(),
        Job::History(job) => job.writes(),
        Job::Evaluation(job) => job.writes(),
        Job::Annotations(job) => job.writes(),
        Job::Training(job) => job.writes(),
        // The plan of a read-only project is empty.
        Job::Embedding(_)
        | Job::Open(_)
        | Job::Encoders(_)
        | Job::Scan(_)
        | Job::Picture(_)
        | Job::AwaitSlide(_)
        | Job::WatchSlide(_)
        | Job::BuildIndex(_)
        | Job::Search(_)
        | Job::Archive(_) => false,
    }
}
