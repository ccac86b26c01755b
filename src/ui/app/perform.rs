//! Performs the actions of the table.

use egui::Context;

use super::{App, Asked};
use crate::geometry::Level0Rect;
use crate::session::{Annotate, Command};
use crate::slide::SlideId;
use crate::ui::actions::Action;
use crate::ui::diagnostics;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panels::save_view::SaveRequest;
use crate::ui::panes::Split;
use crate::ui::region_tool::{RegionShape, RegionUse};
use crate::ui::slide_view::Mirror;
use crate::ui::waker;

impl App {
    /// Executes all requests of this frame.
    pub(super) fn carry_out(&mut self, context: &Context, asked: Asked) {
        for command in asked.commands {
            match command {
                Command::GoToMatch { rank, .. } => self.go_to_match(rank),
                Command::GoToExample { place, .. } => {
                    let from = self.place();
                    self.command(Command::GoToExample { place, from });
                }
                Command::Show(slide) => {
                    self.panes.show(&slide);
                    self.command(Command::Show(slide));
                }
                Command::GoToTile { slide, rect, .. } => {
                    let from = self.place();
                    self.chrome.report_open = false;
                    self.command(Command::GoToTile { slide, rect, from });
                }
                other => self.command(other),
            }
        }
        for action in asked.actions {
            self.perform(context, action);
        }
        for request in asked.saves {
            self.export(context, request);
        }
    }

    /// Performs one action.
    pub(super) fn perform(&mut self, context: &Context, action: Action) {
        if self.perform_query_action(context, action) {
            return;
        }
        match action {
            Action::OpenFiles => self.choose_file(context, Choose::Files),
            Action::OpenFolder => self.choose_file(context, Choose::Folder),
            Action::ChoosePicture => self.choose_file(context, Choose::Picture),
            Action::OpenPath => self.chrome.dialog = Some(Dialog::open_path()),
            Action::OpenRecent => self.chrome.dialog = Some(Dialog::recent(&self.remembered.recent)),
            Action::NextSlide => self.show_neighbour(1),
            Action::PreviousSlide => self.show_neighbour(-1),
            Action::SlideProperties => self.toggle_dialog_for_slide(Dialog::properties),
            Action::Calibrate => {
                let is_open = matches!(self.chrome.dialog, Some(Dialog::Calibrate { .. }));
                let slide = self.session.active().filter(|_| !is_open);
                self.chrome.dialog = slide.map(|slide| Dialog::calibrate(slide.source.info()));
            }
            Action::Quit => context.send_viewport_cmd(egui::ViewportCommand::Close),
            Action::Fit => self.panes.view_mut().fit(),
            Action::ZoomIn => self.panes.view_mut().zoom_by(2.0),
            Action::ZoomOut => self.panes.view_mut().zoom_by(0.5),
            Action::Power(power) => {
                if !self.panes.view_mut().zoom_to_magnification(power) && self.session.active().is_some() {
                    self.notice(context, "This slide is not calibrated: its magnification is unknown. Press M to enter its pixel size.");
                }
            }
            Action::Pixels => self.panes.view_mut().zoom_to_pixels(),
            Action::Look(right, down) => self.panes.view_mut().step(right.into(), down.into()),
            Action::Turn(degrees) => self.panes.view_mut().turn_by(degrees.into()),
            Action::MirrorLeftRight => self.panes.view_mut().mirror(Mirror::LeftRight),
            Action::MirrorTopBottom => self.panes.view_mut().mirror(Mirror::TopBottom),
            Action::Upright => self.panes.view_mut().make_upright(),
            Action::Appearance => self.chrome.appearance_open ^= true,
            Action::NextColouring => self.appearance.colouring = self.appearance.colouring.next(),
            Action::OwnColours => self.appearance.reset(),
            Action::Split(split) => self.panes.divide(split, &self.session, &self.renderer, &self.loader),
            Action::LinkPanes => self.panes.linked = !self.panes.linked && self.panes.split() != Split::ONE,
            Action::Tool(tool) => {
                self.region_tool.put_down();
                self.annotator.take_up(tool);
            }
            Action::ResizeBrush(larger) => self.annotator.resize_brush(if larger { 1.25 } else { 0.8 }),
            Action::Undo => self.annotate(Annotate::Undo),
            Action::Redo => self.annotate(Annotate::Redo),
            Action::SelectAnnotations => self.select_annotations(),
            Action::DeleteAnnotations => self.delete_annotations(),
            Action::ImportAnnotations => self.choose_file(context, Choose::Annotations),
            Action::ExportAnnotations => {
                let name = self.export_path().file_name().map(|name| name.to_string_lossy().into_owned());
                self.choose_file(context, Choose::SaveAnnotations(name.unwrap_or_default()));
            }
            Action::ExportAnnotationsPath => {
                let typed = self.export_path().display().to_string();
                self.toggle_dialog_for_slide(|slide| Dialog::ExportAnnotations {
                    slide,
                    typed,
                    is_new: true,
                });
            }
            Action::ToggleAnnotations => self.chrome.annotations_open ^= true,
            Action::ToggleViewHistory => self.chrome.view_history_shown ^= true,
            Action::ClearViewHistory => {
                let in_view: Vec<SlideId> = self.panes.slides().cloned().collect();
                in_view.iter().for_each(|slide| self.view_histories.clear(slide));
            }
            Action::SaveView => {
                if self.session.active().is_some() {
                    self.offer_picture(self.area_in_view());
                }
            }
            Action::SaveRegion => {
                self.chrome.dialog = None;
                self.take_region_tool(context, RegionShape::Rect, RegionUse::Picture);
            }
            Action::CopyView => {
                if self.session.active().is_some() {
                    self.export(context, SaveRequest::copy_of(self.area_in_view()));
                }
            }
            Action::Back => {
                if !self.annotator.take_back_point() {
                    self.command(Command::Back);
                }
            }
            Action::SetUpArchive => self.chrome.dialog = Some(Dialog::archive(self.session.project())),
            Action::ToggleHeatMap => self.heat_map.is_on ^= true,
            Action::ExportHeatMap => match self.heat_map.shown() {
                Some((tile, on)) => self.command(Command::ExportHeatMap { tile, on }),
                None => self.notice(
                    context,
                    "Switch the heat map on (D) and move the cursor over embedded tissue first.",
                ),
            },
            Action::ClearQuery => {
                if self.chrome.dialog.take().is_none()
                    && !self.region_tool.put_down()
                    && !self.annotator.escape()
                    && !self.deselect()
                {
                    self.command(Command::ClearQuery);
                }
            }
            Action::PauseOrResume => {
                let embedding = self.session.embedding();
                let resume = embedding.paused || embedding.cancelled;
                self.command(if resume { Command::ResumeEmbedding } else { Command::PauseEmbedding });
            }
            Action::EmbeddingSettings => self.chrome.tissue_settings_open ^= true,
            Action::StopEmbedding => self.command(Command::CancelEmbedding),
            Action::ToggleSlides => self.chrome.slides_open ^= true,
            Action::ToggleMatches => self.chrome.matches_open ^= true,
            Action::ToggleTraining => {
                self.chrome.training_open ^= true;
                self.chrome.training.opened(&self.session);
            }
            Action::LoadTrainingSettings => self.choose_file(context, Choose::TrainingSettings),
            Action::SaveTrainingSettings => self.choose_file(context, Choose::SaveTrainingSettings),
            Action::ToggleTissue => self.chrome.tissue_shown ^= true,
            Action::ToggleMarks => self.chrome.marks_shown ^= true,
            Action::ToggleReport => self.chrome.report_open ^= true,
            Action::WriteReport => {
                self.command(Command::WriteReport { pseudonymise: self.report.pseudonymise })
            }
            Action::ToggleTheme => {
                let dark = context.theme() == egui::Theme::Dark;
                context.set_theme(if dark { egui::Theme::Light } else { egui::Theme::Dark });
            }
            Action::TextLarger => egui::gui_zoom::zoom_in(context),
            Action::TextSmaller => egui::gui_zoom::zoom_out(context),
            Action::TextUsual => context.set_zoom_factor(1.0),
            Action::FindSimilar
            | Action::SelectRegion(_)
            | Action::QueryAnnotations
            | Action::QuerySlide
            | Action::ChooseQueryPicture
            | Action::PasteQuery
            | Action::ChoosePatients
            | Action::NextMatch
            | Action::PreviousMatch
            | Action::CompareWithQuery
            | Action::Judge(_)
            | Action::UndoJudgement
            | Action::ChooseMatch
            | Action::ClassifyMatches
            | Action::UndoClassification
            | Action::ExportMatches
            | Action::ToggleHistory => {}
            Action::Palette => {
                let open = matches!(self.chrome.dialog, Some(Dialog::Palette { .. }));
                self.chrome.dialog = (!open).then(Dialog::palette);
            }
            Action::About => {
                let open = matches!(self.chrome.dialog, Some(Dialog::About));
                self.chrome.dialog = (!open).then_some(Dialog::About);
            }
            Action::CopyDiagnostics => {
                context.copy_text(diagnostics::text(&self.session, &self.graphics));
                self.notice(
                    context,
                    "The diagnostics are on the clipboard. They contain no paths and no names.",
                );
            }
            Action::Help => {
                let open = matches!(self.chrome.dialog, Some(Dialog::Help));
                self.chrome.dialog = (!open).then_some(Dialog::Help);
            }
        }
    }

    fn show_neighbour(&mut self, step: isize) {
        let Some(active) = self.session.active().map(|slide| slide.id().clone()) else { return };
        let slides = self.session.slides();
        let index = slides.iter().position(|slide| *slide.id() == active).unwrap_or(0);
        let next = (index as isize + step).rem_euclid(slides.len() as isize) as usize;
        let id = slides[next].id().clone();
        self.command(Command::Show(id));
    }

    /// Selects or deselects the region tool.
    pub(super) fn take_region_tool(&mut self, context: &Context, shape: RegionShape, purpose: RegionUse) {
        if self.session.active().is_none() {
            return;
        }
        self.annotator.put_down();
        self.region_tool.toggle(shape, purpose);
        if self.region_tool.shape.is_some() {
            let hint = match purpose {
                RegionUse::Question => "Draw around the tissue to search for. Esc cancels.",
                RegionUse::Picture => "Draw a rectangle around the region to save. Esc cancels.",
            };
            self.notice(context, hint);
        }
    }

    /// Opens a file dialog of the system.
    pub(super) fn choose_file(&mut self, context: &Context, choose: Choose) {
        if let Err(error) = self.file_dialog.open(choose, waker(context)) {
            self.command(Command::Report(format!("the dialog could not be opened: {error}")));
        }
    }

    fn toggle_dialog_for_slide(&mut self, dialog: impl FnOnce(SlideId) -> Dialog) {
        let id = self.session.active().map(|slide| slide.id().clone());
        self.chrome.dialog = if self.chrome.dialog.is_some() { None } else { id.map(dialog) };
    }

    /// The current slide and view, to return to later.
    pub(super) fn place(&self) -> Option<(SlideId, Level0Rect)> {
        Some((self.session.active()?.id().clone(), self.panes.view().field()?))
    }
}
