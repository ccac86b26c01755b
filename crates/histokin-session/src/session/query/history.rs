//! The query history: loaded, extended, saved and repeated.

use std::path::PathBuf;

use super::super::{HistoryJob, Job, Session};
use super::PictureQuery;
use histokin_core::query::{Example, PastQuery, QueryHistory, ShownExample};

impl Session {
    /// Repeats an earlier query.
    pub(super) fn repeat(&mut self, position: usize) -> Vec<Job> {
        let Some(past) = self.query.history.history().get(position).cloned() else { return Vec::new() };
        let again = self.image_to_embed_again(&past);
        self.query.settings = past.settings;
        match again {
            Some(file) => self.query_picture(PictureQuery::File(file)),
            None => self.ask_with_marks(past.positives, past.negatives, past.marks),
        }
    }

    /// Returns the file of a query by nothing but an image that was embedded by another recipe than the slides.
    fn image_to_embed_again(&self, past: &PastQuery) -> Option<PathBuf> {
        let [ShownExample { example, .. }] = past.positives.as_slice() else { return None };
        let Example::Descriptors { file: Some(file), recipe: Some(recipe), .. } = example else {
            return None;
        };
        let is_alone = past.negatives.is_empty() && past.marks.is_empty();
        let is_other = *recipe != self.searched_recipe()?.short_id();
        (is_alone && is_other).then(|| file.clone())
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

    /// Returns the job that adds queries and judgements to the saved history, if the project is left before that has been
    /// read.
    pub(in crate::session) fn keep_unread_history(&mut self) -> Option<Job> {
        let is_lost = !self.query.history_loaded && self.project.read_only().is_none();
        let added = Box::new(std::mem::take(&mut self.query.history));
        let (root, claim) = (self.project.root().to_owned(), self.project.shared_claim());
        (is_lost && !is_empty(&added)).then_some(Job::History(HistoryJob::AddToHistory {
            root,
            added,
            claim,
        }))
    }

    /// Takes in the project's query history.
    pub(super) fn history_loaded(&mut self, query_history: QueryHistory) -> Vec<Job> {
        // Queries made while it was being read stay the newest.
        let added = std::mem::replace(&mut self.query.history, query_history);
        self.query.history.rename_slides(&self.project.former_ids());
        self.query.history_loaded = true;
        let is_new = !is_empty(&added);
        add_newer(&mut self.query.history, &added);
        let mut jobs = self.read_pictures();
        jobs.extend(self.save_history().filter(|_| is_new));
        jobs
    }
}

fn is_empty(history: &QueryHistory) -> bool {
    history.history().is_empty() && history.judgements().is_empty()
}

/// Adds queries and judgements that were made later to a history.
pub(crate) fn add_newer(history: &mut QueryHistory, newer: &QueryHistory) {
    newer.history().iter().rev().for_each(|past| history.note(past.clone()));
    newer.judgements().iter().for_each(|judged| _ = history.judge(judged.clone()));
}
