//! Performs the user's requests of a frame, and the actions of the table.

mod annotations;
mod embedding;
mod search;
mod slides;
mod view;
mod window;

use egui::Context;

use super::{App, Requests};
use crate::geometry::Level0Rect;
use crate::session::{Command, MatchCommand, MessageCommand, QueryCommand, ViewCommand};
use crate::slide::SlideId;
use crate::ui::actions::Action;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::region_tool::{RegionShape, RegionUse};
use crate::ui::waker;

impl App {
    /// Executes all requests of this frame.
    pub(super) fn execute(&mut self, context: &Context, requests: Requests) {
        for command in requests.commands {
            match command {
                Command::Matches(MatchCommand::GoTo { rank, .. }) => self.go_to_match(rank),
                Command::Query(QueryCommand::GoToExample { position, .. }) => {
                    let from = self.current_view();
                    self.command(QueryCommand::GoToExample { position, from });
                }
                Command::View(ViewCommand::Show(slide)) => {
                    self.close_pages();
                    self.canvas.panes.show(&slide);
                    self.command(ViewCommand::Show(slide));
                }
                Command::View(ViewCommand::GoToTile { slide, rect, .. }) => {
                    let from = self.current_view();
                    self.command(ViewCommand::GoToTile { slide, rect, from });
                }
                other => self.command(other),
            }
        }
        for action in requests.actions {
            self.perform(context, action);
        }
        if let Some(source) = requests.heat {
            self.canvas.heat_map.toggle(source);
        }
        if let Some(settings) = requests.settings {
            self.set_settings(settings);
        }
        if let Some(dialog) = requests.dialog {
            self.chrome.dialog = Some(dialog);
        }
        for request in requests.saves {
            self.export(context, request);
        }
        for picture in requests.pictures {
            self.picture_of_tile(context, picture);
        }
        if let Some(notice) = requests.notice {
            self.notice(context, notice);
        }
    }

    /// Performs one action, or says what it needs.
    pub(super) fn perform(&mut self, context: &Context, action: Action) {
        if let Some(obstacle) = action.obstacle(&self.session) {
            self.notice(context, obstacle);
            return;
        }
        match action {
            Action::Slides(action) => self.perform_slide_action(context, action),
            Action::View(action) => self.perform_view_action(context, action),
            Action::Annotations(action) => self.perform_annotation_action(context, action),
            Action::Search(action) => self.perform_search_action(context, action),
            Action::Embedding(action) => self.perform_embedding_action(context, action),
            Action::Window(action) => self.perform_window_action(context, action),
        }
    }

    /// Selects or deselects the region tool.
    pub(super) fn take_region_tool(&mut self, context: &Context, shape: RegionShape, purpose: RegionUse) {
        if self.session.active().is_none() {
            return;
        }
        self.canvas.annotator.deselect_tool();
        self.canvas.region_tool.toggle(shape, purpose);
        if self.canvas.region_tool.shape.is_some() {
            let hint = match purpose {
                RegionUse::Search => {
                    "Draw around the tissue to search for; let go with Shift to mark it as the same tissue, with Ctrl as \
                     different. Esc cancels."
                }
                RegionUse::Picture => "Draw a rectangle around the region to save; Esc cancels.",
            };
            self.notice(context, hint);
        }
    }

    /// Shows the slide instead of the report or the page of encoders. Returns `false` if it was shown already.
    pub(super) fn close_pages(&mut self) -> bool {
        let chrome = &mut self.chrome;
        std::mem::take(&mut chrome.report_open) | std::mem::take(&mut chrome.encoders_open)
    }

    /// Opens a file dialog of the system.
    pub(super) fn choose_file(&mut self, context: &Context, choose: Choose) {
        if let Err(error) = self.files.dialog.open(choose, waker(context)) {
            self.command(MessageCommand::Report(format!("the dialog could not be opened: {error}")));
        }
    }

    fn toggle_dialog_for_slide(&mut self, dialog: impl FnOnce(SlideId) -> Dialog) {
        let id = self.session.active().map(|slide| slide.id().clone());
        self.chrome.dialog = if self.chrome.dialog.is_some() { None } else { id.map(dialog) };
    }

    /// The current slide and view, to return to later.
    pub(super) fn current_view(&self) -> Option<(SlideId, Level0Rect)> {
        Some((self.session.active()?.id().clone(), self.canvas.panes.view().field()?))
    }
}
