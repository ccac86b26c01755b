//! The query history: loaded, extended, saved and repeated.

use super::super::{HistoryJob, Job, Session};
use histokin_core::query::{JudgedMatch, PastQuery, QueryHistory};

impl Session {
    /// Repeats an earlier query.
    pub(super) fn repeat(&mut self, position: usize) -> Vec<Job> {
        let Some(past) = self.query.history.history().get(position).cloned() else { return Vec::new() };
        self.query.settings = past.settings;
        self.ask_with_marks(past.positives, past.negatives, past.marks)
    }

    /// The current query as an entry of the history.
    pub(super) fn past_query(&self) -> Option<PastQuery> {
        let query = self.query.current.as_ref()?;
        let (positives, negatives) = (query.positives.clone(), query.negatives.clone());
        let marks = query.marks.clone();
        Some(PastQuery { positives, negatives, marks, settings: self.query.settings.clone() })
    }

    /// Saves the query history, once the saved one has been loaded.
    pub(super) fn save_history(&self) -> Option<Job> {
        let (root, query_history) = (self.project.root().to_owned(), Box::new(self.query.history.clone()));
        self.query.history_loaded.then_some(Job::History(HistoryJob::SaveHistory { root, query_history }))
    }

    /// Takes in the query history of the project.
    pub(super) fn history_loaded(&mut self, query_history: QueryHistory) -> Vec<Job> {
        // Queries made while it was being read stay the newest.
        let asked: Vec<PastQuery> = self.query.history.history().to_vec();
        let judged: Vec<JudgedMatch> = self.query.history.judgements().to_vec();
        self.query.history = query_history;
        self.query.history.rename_slides(&self.project.former_ids());
        self.query.history_loaded = true;
        let is_new = !asked.is_empty() || !judged.is_empty();
        asked.into_iter().rev().for_each(|past| self.query.history.note(past));
        judged.into_iter().for_each(|judgement| _ = self.query.history.judge(judgement));
        let mut jobs = self.read_pictures();
        jobs.extend(self.save_history().filter(|_| is_new));
        jobs
    }
}
