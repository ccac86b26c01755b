//! The query history: loaded, extended, saved and repeated.

use std::path::{Path, PathBuf};

use super::super::{HistoryJob, Job, Session};
use super::PictureQuery;
use histokin_core::query::{Example, JudgedMatch, PastQuery, QueryHistory, ShownExample};

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

    /// Takes in the query history of the project in `root`.
    pub(super) fn history_loaded(&mut self, root: &Path, query_history: QueryHistory) -> Vec<Job> {
        // That of the project that was open before would be saved in this one.
        if root != self.project.root() {
            return Vec::new();
        }
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
