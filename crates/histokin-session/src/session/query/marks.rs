//! Marks: what the user says about tiles while a query is shown, and how the answer settles.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::{Job, Session};
use super::matches::JudgementChange;
use super::{MarkedTissue, QueryState};
use histokin_core::query::{
    self, Answer, Example, JudgedMatch, Judgement, Mark, Order, Query, QuerySettings, ShownExample,
    ShownMark, TilePosition,
};

/// Number of best matches that are compared before and after a mark.
const COMPARED: usize = 20;

impl QueryState {
    /// Sets what the user said about a tile, or removes it; returns the marks before.
    pub(super) fn mark(&mut self, tile: ShownExample, judgement: Option<Judgement>) -> Vec<ShownMark> {
        let before = self.marks.clone();
        self.marks.retain(|mark| mark.shown.position != tile.position);
        self.marks.extend(judgement.map(|judgement| ShownMark { shown: tile, judgement }));
        self.marks_changed(before.len());
        before
    }

    /// Notes that there were `before` marks, and that the next answer is to be compared with the current one.
    pub(super) fn marks_changed(&mut self, before: usize) {
        self.stayed.truncate(self.marks.len().saturating_sub(1));
        self.settling = self.answer.clone().filter(|_| self.marks.len() > before);
        // The match in view moves to another rank or leaves the answer.
        self.visited = None;
        self.chosen.clear();
    }

    /// Returns the share of the best matches before the last mark that are still among the best; `None` unless
    /// `answer` is the first one after it.
    pub(super) fn settled(&mut self, answer: &Answer) -> Option<f32> {
        let before = self.settling.take()?;
        let is_marked = |tile: &TilePosition| {
            self.marks.iter().any(|mark| match &mark.shown.example {
                Example::Region { slide, region } => {
                    *slide == tile.slide && region.contains(tile.rect.center())
                }
                _ => mark.shown.position.as_ref() == Some(tile),
            })
        };
        let best = |answer: &Answer| -> HashSet<TilePosition> {
            let matches = answer.matches.iter();
            let positions =
                matches.map(|found| TilePosition { slide: found.slide.clone(), rect: found.rect });
            positions.filter(|position| !is_marked(position)).take(COMPARED).collect()
        };
        let (before, after) = (best(&before), best(answer));
        (!before.is_empty()).then(|| before.intersection(&after).count() as f32 / before.len() as f32)
    }

    /// Returns the query as it is searched with, apart from its settings.
    pub(super) fn with_settings(&self, settings: QuerySettings) -> Query {
        let examples = |list: &[ShownExample]| list.iter().map(|shown| shown.example.clone()).collect();
        let mark = |mark: &ShownMark| Mark { example: mark.shown.example.clone(), judgement: mark.judgement };
        Query {
            positives: examples(&self.positives),
            negatives: examples(&self.negatives),
            marks: self.marks.iter().map(mark).collect(),
            settings,
        }
    }
}

impl Session {
    /// Whether judging a match changes the ranking.
    pub(super) fn learns_from_marks(&self) -> bool {
        self.query.settings.rank_by.learns()
    }

    /// Compares a new answer with the one before the last mark.
    pub(in crate::session) fn note_settling(&mut self, answer: &Arc<Answer>) {
        let is_ranked = self.query.settings.order == Order::Best;
        if let Some(query) = &mut self.query.current {
            let stayed = query.settled(answer).filter(|_| is_ranked);
            query.stayed.extend(stayed);
        }
    }

    /// Marks tissue that is no match of the answer, such as what an annotation encloses.
    pub(super) fn mark_tissue(&mut self, tissue: MarkedTissue, judgement: Judgement) -> Vec<Job> {
        let built = match tissue {
            MarkedTissue::Tiles(tiles) => Ok(self.some_of(tiles)),
            MarkedTissue::Region { slide, region } => {
                Ok(vec![self.build(|builder| builder.region(&slide, region))])
            }
            MarkedTissue::Annotations { slide, ids } => {
                self.build(|builder| builder.annotations(&slide, &ids)).map_err(|error| error.to_string())
            }
        };
        let embedded = built.and_then(|examples| {
            let plain: Vec<Example> = examples.iter().map(|shown| shown.example.clone()).collect();
            query::tiles_of(self.index(), &plain).map(|_| examples).map_err(|error| error.to_string())
        });
        let examples = match embedded {
            Ok(examples) if examples.is_empty() => return Vec::new(),
            Ok(examples) => examples,
            Err(reason) => {
                self.messages.error(reason);
                return Vec::new();
            }
        };
        let Some(query) = &mut self.query.current else {
            if judgement == Judgement::Same {
                return self.ask(examples, Vec::new());
            }
            self.messages.note("Search for some tissue first, then mark what is different.");
            return Vec::new();
        };
        let before = query.marks.clone();
        query.marks.retain(|mark| !examples.contains(&mark.shown));
        query.marks.extend(examples.into_iter().map(|shown| ShownMark { shown, judgement }));
        query.marks_changed(before.len());
        self.query.judged.push(JudgementChange { judged: None, marks: Some(before) });
        self.examples_changed()
    }

    /// Removes one of the marks.
    pub(super) fn remove_mark(&mut self, number: usize) -> Vec<Job> {
        let Some(query) = &mut self.query.current else { return Vec::new() };
        if number >= query.marks.len() {
            return Vec::new();
        }
        let before = query.marks.len();
        let removed = query.marks.remove(number);
        query.marks_changed(before);
        let asked = query.answer.as_ref().map(|answer| answer.tiles.clone()).unwrap_or_default();
        self.retain_marks_for_undo(|mark| mark.shown != removed.shown);
        let is_judged = |judgement: &&JudgedMatch| {
            Some(&judgement.found) == removed.shown.position.as_ref()
                && asked.contains(&Some(judgement.query.clone()))
        };
        let judgements = self.query.history.judgements().iter().filter(is_judged);
        let pairs: Vec<_> = judgements.map(|one| (one.query.clone(), one.found.clone())).collect();
        pairs.iter().for_each(|(query, found)| _ = self.query.history.forget(query, found));
        self.examples_changed()
    }

    /// Keeps only the wanted marks among those that undoing a judgement brings back.
    pub(super) fn retain_marks_for_undo(&mut self, is_wanted: impl Fn(&ShownMark) -> bool) {
        let before = self.query.judged.iter_mut().filter_map(|judged| judged.marks.as_mut());
        before.for_each(|marks| marks.retain(&is_wanted));
    }

    /// Continues a query with marks, such as one that a concept was taught by.
    pub(in crate::session) fn ask_with_marks(
        &mut self,
        positives: Vec<ShownExample>,
        negatives: Vec<ShownExample>,
        marks: Vec<ShownMark>,
    ) -> Vec<Job> {
        self.query.current = Some(QueryState { marks, ..QueryState::new(positives, negatives) });
        self.query.judged.iter_mut().for_each(|judged| judged.marks = None);
        if let Some(past) = self.past_query() {
            self.query.history.note(past);
        }
        let mut jobs = self.search();
        jobs.extend(self.save_history());
        jobs
    }

    /// Returns an example with the part of a slide that is shown for it, if it is a tile of the index.
    pub(in crate::session) fn shown_example(&self, example: Example) -> ShownExample {
        let position = match &example {
            Example::Tile { slide, at } => self.index().set_index(slide).and_then(|set| {
                let set = &self.index().sets()[set as usize];
                Some(TilePosition { slide: slide.clone(), rect: set.rect(set.row_at(*at)?) })
            }),
            _ => None,
        };
        ShownExample { example, position }
    }
}
