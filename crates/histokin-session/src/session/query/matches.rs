//! Work with the matches of an answer: going to them, choosing, judging, giving them a class, exporting.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use uuid::Uuid;

use super::super::{HistoryJob, Job, Session, ViewTarget};
use super::HeatReference;
use histokin_core::annotation::{Annotation, AnnotationClass, Bounds, Edit, Shape};
use histokin_core::geometry::{Level0Point, Level0Rect};
use histokin_core::query::{
    self, Answer, Example, JudgedMatch, Judgement, Match, ShownExample, ShownMark, TilePosition, builder,
};
use histokin_core::slide::SlideId;

/// What a judgement or mark has changed, for undo.
pub(super) struct JudgementChange {
    /// The judged pair of query and match and its judgement before; `None` for a mark that judges no pair.
    pub(super) judged: Option<(TilePosition, TilePosition, Option<JudgedMatch>)>,
    /// The query's marks before, if they were changed and the query is still shown.
    pub(super) marks: Option<Vec<ShownMark>>,
}

/// What giving matches a class has changed on one slide, for undo.
pub(super) struct ClassificationChange {
    slide: SlideId,
    added: Vec<Uuid>,
    /// Annotations that existed before, in their previous state.
    before: Vec<Annotation>,
}

impl Session {
    pub(in crate::session) fn go_to_match(
        &mut self,
        rank: usize,
        from: Option<(SlideId, Level0Rect)>,
    ) -> Vec<Job> {
        let Some(query) = &mut self.query.current else { return Vec::new() };
        let Some(found) = query.answer.as_ref().and_then(|answer| answer.matches.get(rank)) else {
            return Vec::new();
        };
        query.visited = Some(rank);
        let target = ViewTarget { slide: found.slide.clone(), field: found.rect };
        if self.slide(&target.slide).is_none() {
            return self.go_to_archived(target);
        }
        self.view.remember(from);
        self.go_to(target)
    }

    /// Goes to an example of the query, if its slide is open.
    pub(in crate::session) fn go_to_example(
        &mut self,
        position: TilePosition,
        from: Option<(SlideId, Level0Rect)>,
    ) -> Vec<Job> {
        if self.slide(&position.slide).is_none() {
            return Vec::new();
        }
        self.view.remember(from);
        self.go_to(ViewTarget { slide: position.slide, field: position.rect })
    }

    /// Chooses a match, or removes it from the chosen ones.
    pub(in crate::session) fn choose_match(&mut self, rank: usize) -> Vec<Job> {
        if let Some(query) = &mut self.query.current
            && query.answer.as_ref().is_some_and(|answer| rank < answer.matches.len())
            && !query.chosen.remove(&rank)
        {
            query.chosen.insert(rank);
        }
        Vec::new()
    }

    /// Chooses exactly these matches.
    pub(in crate::session) fn choose_matches(&mut self, ranks: Vec<usize>) -> Vec<Job> {
        if let Some(query) = &mut self.query.current {
            let count = query.answer.as_ref().map_or(0, |answer| answer.matches.len());
            query.chosen = ranks.into_iter().filter(|rank| *rank < count).collect();
        }
        Vec::new()
    }

    /// Makes the chosen matches annotations of a class, one rectangle each. An existing annotation of the
    /// same shape is given the class instead.
    pub(in crate::session) fn classify_matches(&mut self, class: Option<AnnotationClass>) -> Vec<Job> {
        let Some(query) = &self.query.current else { return Vec::new() };
        let Some(answer) = &query.answer else { return Vec::new() };
        let mut by_slide: BTreeMap<SlideId, Vec<Match>> = BTreeMap::new();
        for found in query.chosen.iter().filter_map(|rank| answer.matches.get(*rank)) {
            by_slide.entry(found.slide.clone()).or_default().push(found.clone());
        }
        let mut jobs = Vec::new();
        let mut step = Vec::new();
        let mut count = 0;
        for (slide, matches) in by_slide {
            let known =
                self.annotations(&slide).map(|annotations| annotations.set().clone()).unwrap_or_default();
            let mut made = Vec::new();
            let mut change =
                ClassificationChange { slide: slide.clone(), added: Vec::new(), before: Vec::new() };
            for found in matches {
                let bounds = bounds(found.rect);
                let shape = Shape::Rectangle(bounds);
                let annotation = match known.touching(bounds).find(|one| *one.shape() == shape) {
                    Some(one) => {
                        change.before.push(one.as_ref().clone());
                        let mut one = one.as_ref().clone();
                        one.set_class(class.clone());
                        one
                    }
                    None => {
                        let mut one = Annotation::new(shape, class.clone());
                        one.measurements.push(("Distance".to_owned(), found.distance.into()));
                        change.added.push(one.id);
                        one
                    }
                };
                made.push(annotation);
            }
            let of_slide = made.len();
            let saved = self
                .edit_annotations(&slide, |history, set, _| history.apply(set, Edit::Add(made)).is_some());
            if !saved.is_empty() {
                count += of_slide;
                step.push(change);
                jobs.extend(saved);
            }
        }
        if step.is_empty() {
            return jobs;
        }
        let slides = step.len();
        self.query.classified.push(step);
        if let Some(query) = &mut self.query.current {
            query.chosen.clear();
        }
        let class = class.map_or_else(|| " without a class".to_owned(), |class| format!(": {}", class.name));
        let s = |count: usize| if count == 1 { "" } else { "s" };
        let text = format!(
            "{count} match{} on {slides} slide{} became annotations{class}.",
            if count == 1 { "" } else { "es" },
            s(slides)
        );
        self.messages.note(text);
        jobs
    }

    /// Undoes the last classification of matches, on all slides.
    pub(in crate::session) fn undo_classification(&mut self) -> Vec<Job> {
        let Some(step) = self.query.classified.pop() else { return Vec::new() };
        let mut jobs = Vec::new();
        for ClassificationChange { slide, added, before } in step {
            jobs.extend(self.edit_annotations(&slide, |history, set, _| {
                let removed = history.apply(set, Edit::Remove(added)).is_some();
                let restored = !before.is_empty() && history.apply(set, Edit::Add(before)).is_some();
                removed || restored
            }));
        }
        jobs
    }

    /// Sets or removes the relevance judgement of a match.
    pub(in crate::session) fn judge(&mut self, rank: usize, judgement: Option<Judgement>) -> Vec<Job> {
        let recipe = self.searched_recipe();
        let encoder = recipe.as_ref().map(|recipe| recipe.encoder_id.0.clone()).unwrap_or_default();
        let answer = self.query.current.as_ref().and_then(|query| query.answer.as_ref());
        let Some((answer, found)) = answer.and_then(|answer| Some((answer, answer.matches.get(rank)?)))
        else {
            return Vec::new();
        };
        let (pair, distance) = (query::pair(answer, found), found.distance);
        let tile = TilePosition { slide: found.slide.clone(), rect: found.rect };
        // A match in the archive only has no other descriptor here.
        let archived =
            answer.archive.as_ref().and_then(|part| Some(part.tiles.get(&tile)?.descriptor.clone()));
        let archived = archived.filter(|descriptor| !descriptor.is_empty());
        // The match of an example that lies on no slide, such as a concept, can be marked, but makes no pair of tiles.
        let judged = pair.map(|(query, found)| {
            let before = match judgement {
                Some(judgement) => {
                    let (query, found) = (query.clone(), found.clone());
                    self.query.history.judge(JudgedMatch { query, found, judgement, distance, encoder })
                }
                None => self.query.history.forget(&query, &found),
            };
            (query, found, before)
        });
        let mut change = JudgementChange { judged, marks: None };
        if !self.learns_from_marks() {
            self.query.judged.extend(change.judged.is_some().then_some(change));
            return self.save_history().into_iter().collect();
        }
        let shown = match archived {
            Some(descriptor) if self.index().set_index(&tile.slide).is_none() => {
                let (name, position) = (tile.slide.short().to_owned(), Some(tile.clone()));
                let descriptors = vec![descriptor.to_vec()];
                let recipe = recipe.map(|recipe| recipe.short_id());
                let example = Example::Descriptors { name, position, descriptors, recipe, file: None };
                ShownExample { example, position: Some(tile) }
            }
            _ => builder::tile_example(&tile.slide, tile.rect),
        };
        change.marks = self.query.current.as_mut().map(|query| query.mark(shown, judgement));
        self.query.judged.push(change);
        self.examples_changed()
    }

    pub(in crate::session) fn undo_judgement(&mut self) -> Vec<Job> {
        let Some(JudgementChange { judged, marks }) = self.query.judged.pop() else { return Vec::new() };
        match judged {
            Some((_, _, Some(before))) => _ = self.query.history.judge(before),
            Some((query, found, None)) => _ = self.query.history.forget(&query, &found),
            None => {}
        }
        let (Some(marks), Some(query)) = (marks, &mut self.query.current) else {
            return self.save_history().into_iter().collect();
        };
        let count = query.marks.len();
        query.marks = marks;
        query.marks_changed(count);
        self.examples_changed()
    }

    pub(in crate::session) fn export_matches(&mut self) -> Vec<Job> {
        let Some(answer) = self.query.current.as_ref().and_then(|query| query.answer.clone()) else {
            return Vec::new();
        };
        let slides =
            self.slides.list.iter().map(|state| (state.id().clone(), state.shown().clone())).collect();
        let (answer, query_history) =
            (Box::new(Answer::clone(&answer)), Box::new(self.query.history.clone()));
        let reports = self.project.root().join("reports");
        vec![Job::History(HistoryJob::ExportAnswer { answer, query_history, slides, reports })]
    }

    pub(in crate::session) fn export_heat_map(
        &mut self,
        reference: &HeatReference,
        on: &[SlideId],
    ) -> Vec<Job> {
        let index = self.index().clone();
        let descriptor = match reference {
            HeatReference::Point(point) => Some(point.clone()),
            HeatReference::Tile(tile) => index.set_index(&tile.slide).and_then(|set| {
                let set = &index.sets()[set as usize];
                Some(set.descriptor(set.row_at(tile.rect.center())?).into())
            }),
        };
        // The slide may have been removed from the list meanwhile.
        let Some(descriptor) = descriptor else { return Vec::new() };
        let shown = on.iter().filter_map(|slide| index.set_index(slide)).collect();
        let (names, reports) = (self.slide_stems(), self.project.root().join("reports"));
        vec![Job::History(HistoryJob::ExportHeatMap { index, descriptor, shown, names, reports })]
    }
}

impl Session {
    /// Returns the file names of the open slides, without their endings.
    pub(in crate::session) fn slide_stems(&self) -> HashMap<SlideId, String> {
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let slides = self.slides.list.iter();
        slides.map(|state| (state.id().clone(), stem(&state.source.info().path))).collect()
    }
}

fn bounds(rect: Level0Rect) -> Bounds {
    let corner = |x: i64, y: i64| Level0Point::new(x as f64, y as f64);
    Bounds::between(corner(rect.x, rect.y), corner(rect.right(), rect.bottom()))
}
