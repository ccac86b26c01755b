//! Searching for similar tissue, stepping through matches, and judging them.

use egui::{Context, Event, ViewportCommand};

use super::App;
use crate::geometry::Level0Point;
use crate::query::{Verdict, pair};
use crate::session::{Command, PictureQuery};
use crate::slide::SlideId;
use crate::ui::actions::Action;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panes::Split;
use crate::ui::region_tool::RegionUse;

impl App {
    /// Performs an action that concerns the query or its matches. Returns `false` for any other action.
    pub(super) fn perform_query_action(&mut self, context: &Context, action: Action) -> bool {
        match action {
            Action::FindSimilar => match self.hovered.clone() {
                Some((slide, point)) => self.query_at(slide, point),
                None => self.notice(context, "Move the pointer over the slide, then press S."),
            },
            Action::SelectRegion(shape) => self.take_region_tool(context, shape, RegionUse::Question),
            Action::QueryAnnotations => self.query_annotations(context),
            Action::QuerySlide => {
                if let Some(slide) = self.session.active().map(|slide| slide.id().clone()) {
                    self.chrome.matches_open = true;
                    self.command(Command::QuerySlide(slide));
                }
            }
            Action::ChooseQueryPicture => self.choose_file(context, Choose::QueryPicture),
            // The content of the clipboard arrives as an event of a later frame.
            Action::PasteQuery => context.send_viewport_cmd(ViewportCommand::RequestPaste),
            Action::ChoosePatients => self.choose_file(context, Choose::Patients),
            Action::NextMatch | Action::PreviousMatch => self.step_match(action == Action::NextMatch),
            Action::CompareWithQuery => self.compare_with_query(context),
            Action::Judge(verdict) => self.judge(context, verdict),
            Action::UndoJudgement => self.command(Command::UndoJudgement),
            Action::ChooseMatch => match self.session.query().and_then(|query| query.visited) {
                Some(rank) => self.command(Command::ChooseMatch(rank)),
                None => self.notice(context, "Go to a match first (N), then choose it."),
            },
            Action::ClassifyMatches => {
                if self.session.query().is_some_and(|query| !query.chosen.is_empty()) {
                    let class = self.session.annotation_class().cloned();
                    self.command(Command::ClassifyMatches(class));
                } else {
                    self.notice(context, "Choose matches first: with their checkboxes, or with Shift+Y.");
                }
            }
            Action::UndoClassification => self.command(Command::UndoClassification),
            Action::ExportMatches => self.command(Command::ExportMatches),
            Action::ToggleHistory => self.chrome.matches.history_open ^= true,
            _ => return false,
        }
        true
    }

    fn query_at(&mut self, slide: SlideId, point: Level0Point) {
        let Some(state) = self.session.slide(&slide) else { return };
        if state.source.info().mpp.is_none() {
            self.chrome.dialog = Some(Dialog::calibrate(state.source.info()));
            return;
        }
        self.chrome.matches_open = true;
        self.command(Command::QueryAt { slide, point });
    }

    /// Searches with the selected annotations.
    fn query_annotations(&mut self, context: &Context) {
        let ids = self.selection().map(|annotations| annotations.selection().to_vec());
        let slide = self.session.active().map(|slide| slide.id().clone());
        match (slide, ids) {
            (Some(slide), Some(ids)) => {
                self.chrome.matches_open = true;
                self.command(Command::QueryAnnotations { slide, ids });
            }
            _ => self.notice(context, "Select an annotation first (V), then search for similar tissue."),
        }
    }

    /// Uses a pasted picture as the query.
    pub(super) fn take_over_paste(&mut self, context: &Context) {
        let picture = context.input(|input| {
            input.events.iter().find_map(|event| match event {
                Event::PasteImage(image) => Some(image.clone()),
                _ => None,
            })
        });
        let Some(image) = picture.filter(|_| self.chrome.dialog.is_none()) else { return };
        let [width, height] = image.size.map(|side| side as u32);
        let pixels = image.pixels.iter().flat_map(|pixel| {
            // Transparent pixels become white, like empty glass.
            let [r, g, b, a] = pixel.to_array();
            [r, g, b].map(|channel| channel.saturating_add(255 - a))
        });
        if let Some(pixels) = image::RgbImage::from_raw(width, height, pixels.collect()) {
            self.chrome.matches_open = true;
            self.notice(context, "Embedding the pasted picture.");
            self.command(Command::QueryPicture(PictureQuery::Pixels(pixels)));
        }
    }

    /// A click searches for tissue similar to the tile; with Shift it adds the tile to the query as a
    /// positive example, with Ctrl as a negative one.
    pub(super) fn clicked(&mut self, modifiers: egui::Modifiers, slide: SlideId, point: Level0Point) {
        if (modifiers.shift || modifiers.command) && self.session.query().is_some() {
            self.command(Command::AddExample { slide, point, is_positive: !modifiers.command });
        } else {
            self.query_at(slide, point);
        }
    }

    /// Records a relevance judgement of the visited match; the same judgement again removes it.
    fn judge(&mut self, context: &Context, verdict: Verdict) {
        let query = self.session.query();
        let visited = query.and_then(|query| Some((query.answer.as_ref()?, query.visited?)));
        let Some((answer, rank)) = visited else {
            self.notice(context, "Go to a match first (N), then judge it.");
            return;
        };
        let pair = answer.matches.get(rank).and_then(|found| pair(answer, found));
        let known = pair.and_then(|(query, found)| self.session.query_history().verdict(&query, &found));
        let verdict = (known != Some(verdict)).then_some(verdict);
        self.command(Command::Judge { rank, verdict });
    }

    fn step_match(&mut self, forward: bool) {
        let Some(query) = self.session.query() else { return };
        let count = query.answer.as_ref().map_or(0, |answer| answer.matches.len());
        let next = match (query.visited, forward) {
            (None, _) => 0,
            (Some(rank), true) => rank + 1,
            (Some(rank), false) => rank.saturating_sub(1),
        };
        if next < count {
            self.go_to_match(next);
        }
    }

    /// Goes to the match at index `rank` of the answer, and remembers the current view.
    pub(super) fn go_to_match(&mut self, rank: usize) {
        let from = self.place();
        self.command(Command::GoToMatch { rank, from });
    }

    /// Shows the query and the visited match, or the best one, side by side and linked; or returns to one
    /// pane.
    fn compare_with_query(&mut self, context: &Context) {
        if self.panes.is_comparing() {
            let shown = self.panes.slides().nth(1).cloned();
            self.panes.divide(Split::ONE, &self.session, &self.renderer, &self.loader);
            if let Some(slide) = shown {
                self.panes.show(&slide);
                self.command(Command::Show(slide));
            }
            return;
        }
        let Some(query) = self.session.query() else { return };
        let (target, rank) = (query.target().cloned(), query.visited.unwrap_or(0));
        let Some(target) = target.filter(|target| self.session.slide(&target.slide).is_some()) else {
            self.notice(context, "The query is not on an open slide.");
            return;
        };
        self.panes.divide(Split::ALL[1], &self.session, &self.renderer, &self.loader);
        self.panes.compare_with(&target.slide, target.rect);
        self.go_to_match(rank);
    }
}
