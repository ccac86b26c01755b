//! A project that is open for reading only: what the user may not do there, and what is not done.

use super::state::Severity;
use super::{AnnotationJob, Command, EvaluatorJob, HistoryJob, Job, Session, TrainingCommand, TrainingJob};

impl Session {
    /// Whether the user asks for something that would be written into a project that is read-only; the user is
    /// told then.
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

    /// Tell that something cannot be done here because nothing is written; false where writing is allowed.
    pub(super) fn refuse(&mut self, what: &str) -> bool {
        let Some(why) = self.project.read_only() else { return false };
        let text = format!("This project is open for reading only: {what}, because {why}.");
        self.tell(Severity::Error, text, None);
        true
    }

    /// Of `jobs`, those that are done in this project: none that writes into it while it is read-only. What they
    /// would have kept is known until the window closes.
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
