//! The order of the user's changes to annotations and of judgements, so that undo takes back the latest one.

use crate::session::{AnnotationCommand, Command, MatchCommand, QueryCommand};

/// Number of changes whose order is kept.
const MOST: usize = 1000;

/// Something that can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// An edit of annotations.
    Annotations,
    /// A judgement of a match, or a mark.
    Judgement,
}

/// The changes, the latest last.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    /// The latest change that was not taken back.
    pub(super) fn latest(&self) -> Option<Change> {
        self.0.last().copied()
    }

    /// Notes what a command changes or takes back.
    pub(super) fn note(&mut self, command: &Command) {
        match command {
            Command::Matches(MatchCommand::UndoJudgement) => self.take_back(Change::Judgement),
            Command::Annotations(AnnotationCommand::Undo(_)) => self.take_back(Change::Annotations),
            Command::Matches(MatchCommand::Judge { .. }) | Command::Query(QueryCommand::Mark { .. }) => {
                self.add(Change::Judgement)
            }
            Command::Matches(MatchCommand::Classify(_))
            | Command::Annotations(
                AnnotationCommand::Edit { .. }
                | AnnotationCommand::Redo(_)
                | AnnotationCommand::ChangeClass { .. }
                | AnnotationCommand::AnnotateTiles { .. },
            ) => self.add(Change::Annotations),
            _ => {}
        }
    }

    fn add(&mut self, change: Change) {
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(change);
    }

    fn take_back(&mut self, change: Change) {
        if let Some(at) = self.0.iter().rposition(|one| *one == change) {
            self.0.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Judgement;
    use crate::slide::SlideId;

    #[test]
    fn what_was_changed_last_is_taken_back_first() {
        let slide = || SlideId("a".to_owned());
        let judge = || MatchCommand::Judge { rank: 0, judgement: Some(Judgement::Same) }.into();
        let edit = || AnnotationCommand::AnnotateTiles {
            tiles: Vec::new(),
            class: crate::annotation::AnnotationClass::named("Tumour"),
        };
        let mut changes = Changes::default();
        assert_eq!(changes.latest(), None);
        let commands: [Command; 4] = [edit().into(), judge(), edit().into(), judge()];
        commands.iter().for_each(|command| changes.note(command));
        let mut order = Vec::new();
        while let Some(latest) = changes.latest() {
            order.push(latest);
            changes.note(&match latest {
                Change::Judgement => MatchCommand::UndoJudgement.into(),
                Change::Annotations => AnnotationCommand::Undo(slide()).into(),
            });
        }
        let [annotations, judgement] = [Change::Annotations, Change::Judgement];
        assert_eq!(order, [judgement, annotations, judgement, annotations]);
        changes.note(&AnnotationCommand::Redo(slide()).into());
        assert_eq!(changes.latest(), Some(Change::Annotations));
    }
}
