//! Actions on the query and its matches.

use egui::{Context, Event, ViewportCommand};
use uuid::Uuid;

use super::App;
use crate::geometry::Level0Point;
use crate::query::{Judgement, Order, pair};
use crate::session::{MarkedTissue, MatchCommand, PictureQuery, QueryCommand, ViewCommand};
use crate::slide::SlideId;
use crate::ui::actions::{self, AnnotationAction, SearchAction};
use crate::ui::file_dialog::Choose;
use crate::ui::heat_map::HeatSource;
use crate::ui::panels::concept_dialog::ConceptForm;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panes::Split;
use crate::ui::region_tool::RegionUse;
use crate::ui::settings::FindSimilar;
use crate::ui::slide_view::Tool;

impl App {
    pub(super) fn perform_search_action(&mut self, context: &Context, action: SearchAction) {
        match action {
            SearchAction::Back => {
                if !self.canvas.annotator.take_back_point() {
                    self.command(ViewCommand::Back);
                }
            }
            SearchAction::SetUpArchive => self.chrome.dialog = Some(Dialog::archive(self.session.project())),
            SearchAction::ToggleHeatMap => self.canvas.heat_map.toggle(HeatSource::Pointer),
            SearchAction::ToggleQueryHeatMap => self.canvas.heat_map.toggle(HeatSource::Query),
            SearchAction::ToggleClassMap => self.canvas.heat_map.toggle(HeatSource::AllConcepts),
            SearchAction::ToggleSuggestions => {
                let mut settings = self.session.query_settings().clone();
                settings.order = if settings.order == Order::Best { Order::ToMark } else { Order::Best };
                self.command(QueryCommand::SetSettings(settings));
            }
            SearchAction::SaveConcept => self.chrome.dialog = Some(Dialog::Concept(ConceptForm::default())),
            SearchAction::ToggleConcepts => {
                self.chrome.matches.concepts_open ^= true;
                self.chrome.matches_open |= self.chrome.matches.concepts_open;
            }
            SearchAction::ExportHeatMap => match self.canvas.heat_map.shown() {
                Some((reference, on)) => self.command(MatchCommand::ExportHeatMap { reference, on }),
                None => {
                    let map = actions::entry(SearchAction::ToggleHeatMap).named(context);
                    let hint = format!(
                        "Switch the heat map on first, with {map}, and move the pointer over embedded tissue. Instead of a class map, \
                         export its concepts."
                    );
                    self.notice(context, hint);
                }
            },
            SearchAction::Clear => {
                if self.chrome.dialog.take().is_none()
                    && !self.close_pages()
                    && !self.canvas.region_tool.deselect_tool()
                    && !self.canvas.annotator.escape()
                    && !self.deselect()
                {
                    self.command(QueryCommand::Clear);
                }
            }
            SearchAction::FindSimilar => match self.canvas.hovered.clone() {
                Some((slide, point)) => self.query_at(slide, point),
                None => {
                    let named = actions::entry(action).named(context);
                    self.notice(context, format!("Point at tissue on the slide, then use {named}."));
                }
            },
            SearchAction::DrawRegion(shape) => self.take_region_tool(context, shape, RegionUse::Search),
            SearchAction::ByAnnotations => self.query_annotations(context),
            SearchAction::BySlide => {
                if let Some(slide) = self.session.active().map(|slide| slide.id().clone()) {
                    self.chrome.matches_open = true;
                    self.command(QueryCommand::Slide(slide));
                }
            }
            SearchAction::ByPictureFile => self.choose_file(context, Choose::QueryPicture),
            // The content of the clipboard arrives as an event of a later frame.
            SearchAction::PastePicture => context.send_viewport_cmd(ViewportCommand::RequestPaste),
            SearchAction::ChoosePatients => self.choose_file(context, Choose::Patients),
            SearchAction::NextMatch | SearchAction::PreviousMatch => {
                self.step_match(action == SearchAction::NextMatch)
            }
            SearchAction::Compare => self.compare_with_query(context),
            SearchAction::Judge(judgement) => self.judge(context, judgement),
            SearchAction::MarkAnnotations(judgement) => self.mark_annotations(context, judgement),
            SearchAction::UndoJudgement => self.command(MatchCommand::UndoJudgement),
            SearchAction::ChooseMatch => match self.session.query().and_then(|query| query.visited) {
                Some(rank) => self.command(MatchCommand::Choose(rank)),
                None => self.notice_with(context, SearchAction::NextMatch, "Select a match after"),
            },
            SearchAction::ClassifyMatches => {
                if self.session.query().is_some_and(|query| !query.chosen.is_empty()) {
                    let class = self.session.annotation_class().cloned();
                    self.command(MatchCommand::Classify(class));
                } else {
                    self.notice_with(
                        context,
                        SearchAction::ChooseMatch,
                        "Select matches first, with their checkboxes or",
                    );
                }
            }
            SearchAction::UndoClassification => self.command(MatchCommand::UndoClassification),
            SearchAction::ExportMatches => self.command(MatchCommand::Export),
            SearchAction::ToggleHistory => {
                self.chrome.matches.history_open ^= true;
                self.chrome.matches_open |= self.chrome.matches.history_open;
            }
        }
    }

    /// Searches with the tile at a position.
    pub(in crate::ui::app) fn query_at(&mut self, slide: SlideId, point: Level0Point) {
        let Some(state) = self.session.slide(&slide) else { return };
        if state.source.info().mpp.is_none() {
            self.chrome.dialog = Some(Dialog::calibrate(state.source.info()));
            return;
        }
        self.chrome.matches_open = true;
        self.command(QueryCommand::At { slide, point });
    }

    /// Searches with the selected annotations.
    fn query_annotations(&mut self, context: &Context) {
        match self.selected_annotations() {
            Some((slide, ids)) => {
                self.chrome.matches_open = true;
                self.command(QueryCommand::Annotations { slide, ids });
            }
            None => self.notice_with(
                context,
                AnnotationAction::Tool(Tool::Select),
                "Select an annotation first, with",
            ),
        }
    }

    /// Marks the tissue within the selected annotations.
    fn mark_annotations(&mut self, context: &Context, judgement: Judgement) {
        match self.selected_annotations() {
            Some((slide, ids)) => {
                self.chrome.matches_open = true;
                let tissue = MarkedTissue::Annotations { slide, ids };
                self.command(QueryCommand::Mark { tissue, judgement });
            }
            None => self.notice_with(
                context,
                AnnotationAction::Tool(Tool::Select),
                "Select an annotation whose tissue to mark first, with",
            ),
        }
    }

    /// The active slide and its selected annotations.
    fn selected_annotations(&self) -> Option<(SlideId, Vec<Uuid>)> {
        let ids = self.selection()?.selection().to_vec();
        Some((self.session.active()?.id().clone(), ids))
    }

    /// Uses a pasted picture as the query.
    pub(in crate::ui::app) fn use_pasted_picture(&mut self, context: &Context) {
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
            self.notice(context, "Embedding the pasted image.");
            self.command(QueryCommand::Picture(PictureQuery::Pixels(pixels)));
        }
    }

    /// A click searches for tissue similar to the tile, unless the user wants to search in another way. With
    /// Shift it adds the tile to the query as a positive example, with Ctrl as a negative one.
    pub(in crate::ui::app) fn clicked(
        &mut self,
        modifiers: egui::Modifiers,
        slide: SlideId,
        point: Level0Point,
    ) {
        if (modifiers.shift || modifiers.command) && self.session.query().is_some() {
            self.command(QueryCommand::AddExample { slide, point, is_positive: !modifiers.command });
        } else if self.window_state.settings.find_similar == FindSimilar::Click {
            self.query_at(slide, point);
            self.explain_click();
        }
    }

    /// Records a relevance judgement of the visited match; the same judgement again removes it.
    fn judge(&mut self, context: &Context, judgement: Judgement) {
        let query = self.session.query();
        let visited = query.and_then(|query| Some((query.answer.as_ref()?, query.visited?)));
        let Some((answer, rank)) = visited else {
            self.notice_with(context, SearchAction::NextMatch, "Judge a match after");
            return;
        };
        let pair = answer.matches.get(rank).and_then(|found| pair(answer, found));
        let known = pair.and_then(|(query, found)| self.session.query_history().judgement(&query, &found));
        let judgement = (known != Some(judgement)).then_some(judgement);
        self.command(MatchCommand::Judge { rank, judgement });
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
    pub(in crate::ui::app) fn go_to_match(&mut self, rank: usize) {
        let from = self.current_view();
        self.command(MatchCommand::GoTo { rank, from });
    }

    /// Shows the query and the visited match, or the best one, side by side and linked; or returns to one
    /// pane.
    fn compare_with_query(&mut self, context: &Context) {
        if self.canvas.panes.is_comparing() {
            let shown = self.canvas.panes.slides().nth(1).cloned();
            self.canvas.panes.divide(Split::ONE, &self.session, &self.canvas.renderer, &self.canvas.loader);
            if let Some(slide) = shown {
                self.canvas.panes.show(&slide);
                self.command(ViewCommand::Show(slide));
            }
            return;
        }
        let Some(query) = self.session.query() else {
            self.notice(context, "Search for some tissue first.");
            return;
        };
        let (target, rank) = (query.target().cloned(), query.visited.unwrap_or(0));
        let Some(target) = target.filter(|target| self.session.slide(&target.slide).is_some()) else {
            self.notice(context, "The query is not on an open slide.");
            return;
        };
        if query.answer.as_ref().is_none_or(|answer| answer.matches.is_empty()) {
            self.notice(context, "There is no match to compare with the query.");
            return;
        }
        self.canvas.panes.divide(Split::ALL[1], &self.session, &self.canvas.renderer, &self.canvas.loader);
        self.canvas.panes.compare_with(&target.slide, target.rect);
        self.go_to_match(rank);
    }
}
