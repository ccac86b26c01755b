//! Actions on the annotations of the active slide.

use std::path::PathBuf;

use egui::Context;
use uuid::Uuid;

use super::App;
use crate::annotation::Edit;
use crate::session::{AnnotationCommand, MatchCommand, SlideAnnotations};
use crate::slide::SlideId;
use crate::ui::actions::AnnotationAction;
use crate::ui::file_dialog::Choose;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::slide_view::Tool;

impl App {
    pub(super) fn perform_annotation_action(&mut self, context: &Context, action: AnnotationAction) {
        match action {
            AnnotationAction::Tool(tool) => {
                self.canvas.region_tool.deselect_tool();
                self.canvas.annotator.select_tool(tool);
                // What is drawn should be seen.
                if self.canvas.annotator.tool() != Tool::Hand {
                    self.chrome.annotations_shown = true;
                }
            }
            AnnotationAction::ResizeBrush(larger) => {
                self.canvas.annotator.resize_brush(if larger { 1.25 } else { 0.8 })
            }
            AnnotationAction::Undo if self.undoes_judgement() => self.command(MatchCommand::UndoJudgement),
            AnnotationAction::Undo => self.annotate(AnnotationCommand::Undo),
            AnnotationAction::Redo => self.annotate(AnnotationCommand::Redo),
            AnnotationAction::SelectAll => self.select_annotations(),
            AnnotationAction::Delete => {
                if !self.canvas.annotator.take_back_point() {
                    self.delete_annotations();
                }
            }
            AnnotationAction::Import => self.choose_file(context, Choose::Annotations),
            AnnotationAction::Export => {
                let name = self.export_path().file_name().map(|name| name.to_string_lossy().into_owned());
                self.choose_file(context, Choose::SaveAnnotations(name.unwrap_or_default()));
            }
            AnnotationAction::ExportToPath => {
                let typed = self.export_path().display().to_string();
                self.toggle_dialog_for_slide(|slide| Dialog::ExportAnnotations {
                    slide,
                    typed,
                    is_new: true,
                });
            }
            AnnotationAction::ToggleList => self.chrome.annotations_open ^= true,
        }
    }

    /// Sends a command on the annotations of the active slide.
    pub(in crate::ui::app) fn annotate(&mut self, make: impl FnOnce(SlideId) -> AnnotationCommand) {
        if let Some(slide) = self.session.active().map(|slide| slide.id().clone()) {
            self.command(make(slide));
        }
    }

    /// The annotations of the active slide, if any are selected.
    pub(in crate::ui::app) fn selection(&self) -> Option<&SlideAnnotations> {
        let annotations = self.session.annotations(self.session.active()?.id())?;
        (!annotations.selection().is_empty()).then_some(annotations)
    }

    /// Clears the selection. Returns `false` if nothing was selected.
    pub(in crate::ui::app) fn deselect(&mut self) -> bool {
        let any = self.selection().is_some();
        if any {
            self.annotate(|slide| AnnotationCommand::Select { slide, ids: Vec::new() });
        }
        any
    }

    /// Selects all visible annotations of the active slide.
    pub(in crate::ui::app) fn select_annotations(&mut self) {
        let Some(slide) = self.session.active() else { return };
        let Some(annotations) = self.session.annotations(slide.id()) else { return };
        let shown = annotations.set().ids().filter(|id| !annotations.hidden().contains(id));
        let ids = shown.collect();
        self.annotate(|slide| AnnotationCommand::Select { slide, ids });
    }

    /// Deletes the selected annotations that are not locked.
    pub(in crate::ui::app) fn delete_annotations(&mut self) {
        let Some(annotations) = self.selection() else { return };
        let set = annotations.set();
        let is_free = |id: &Uuid| set.described(*id).is_some_and(|one| !one.locked);
        let ids: Vec<_> = annotations.selection().iter().copied().filter(is_free).collect();
        self.annotate(|slide| AnnotationCommand::Edit { slide, edit: Edit::Remove(ids) });
    }

    /// Default path for exported annotations: beside the slide.
    pub(in crate::ui::app) fn export_path(&self) -> PathBuf {
        let path = self.session.active().map(|slide| slide.source.info().path.clone());
        path.unwrap_or_default().with_extension("geojson")
    }
}
