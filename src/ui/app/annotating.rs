//! Commands on the annotations of the active slide.

use std::path::PathBuf;

use super::App;
use crate::annotation::Edit;
use crate::session::{Annotate, Command, SlideAnnotations};
use crate::slide::SlideId;

impl App {
    /// Sends a command on the annotations of the active slide.
    pub(super) fn annotate(&mut self, make: impl FnOnce(SlideId) -> Annotate) {
        if let Some(slide) = self.session.active().map(|slide| slide.id().clone()) {
            self.command(Command::Annotate(make(slide)));
        }
    }

    /// The annotations of the active slide, if any are selected.
    pub(super) fn selection(&self) -> Option<&SlideAnnotations> {
        let annotations = self.session.annotations(self.session.active()?.id())?;
        (!annotations.selection().is_empty()).then_some(annotations)
    }

    /// Clears the selection. Returns `false` if nothing was selected.
    pub(super) fn deselect(&mut self) -> bool {
        let any = self.selection().is_some();
        if any {
            self.annotate(|slide| Annotate::Select { slide, ids: Vec::new() });
        }
        any
    }

    /// Selects all visible annotations of the active slide.
    pub(super) fn select_annotations(&mut self) {
        let Some(slide) = self.session.active() else { return };
        let Some(annotations) = self.session.annotations(slide.id()) else { return };
        let shown =
            annotations.set().iter().map(|one| one.id).filter(|id| !annotations.hidden().contains(id));
        let ids = shown.collect();
        self.annotate(|slide| Annotate::Select { slide, ids });
    }

    /// Deletes the selected annotations that are not locked.
    pub(super) fn delete_annotations(&mut self) {
        let Some(annotations) = self.selection() else { return };
        let ids: Vec<_> = annotations.selected().filter(|one| !one.locked).map(|one| one.id).collect();
        self.annotate(|slide| Annotate::Edit { slide, edit: Edit::Remove(ids) });
    }

    /// Default path for exported annotations: beside the slide.
    pub(super) fn export_path(&self) -> PathBuf {
        let path = self.session.active().map(|slide| slide.source.info().path.clone());
        path.unwrap_or_default().with_extension("geojson")
    }
}
