//! Read-only projects: which commands are refused and which jobs are dropped.

use super::state::Severity;
use super::{AnnotationJob, Command, EvaluatorJob, HistoryJob, Job, Session, TrainingCommand, TrainingJob};

impl Session {
    /// Whether a command would write to a read-only project; if so, tells the user.
    pub(super) fn refuses(&mut self, command: &Command) -> bool {
        let refused = match command {
            Command::Judge { .. } | Command::UndoJudgement => "judgements cannot be kept",
            Command::ExportMatches | Command::ExportHeatMap { .. } | Command::WriteReport { .. } => {
                "no report can be written into it"
            }
            Command::ResumeEmbedding
            | Command::EmbedAgain(_)
            | Command::SetTissue(_)
            | Command::ChooseEncoder(_) => "no slides can be embedded",
            Command::Train(
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
        self.notify(Severity::Error, text, None);
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
    matches!(
        job,
        Job::SaveProject(_)
            | Job::History(HistoryJob::SaveHistory { .. })
            | Job::History(HistoryJob::ExportAnswer { .. })
            | Job::History(HistoryJob::ExportHeatMap { .. })
            | Job::Evaluate(EvaluatorJob::WriteReport { .. })
            | Job::Annotations(AnnotationJob::Save { .. })
            | Job::Train(TrainingJob::Train(_) | TrainingJob::Export { .. } | TrainingJob::Delete { .. })
    )
}
