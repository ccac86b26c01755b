//! What is done to the annotations of the slide in view.

use std::path::PathBuf;

use super::App;
use crate::annotation::Edit;
use crate::session::{Annotate, Command, SlideAnnotations};
use crate::slide::SlideId;

impl App {
    /// Do something to the annotations of the slide in view.
    pub(super) fn annotate(&mut self, wish: impl FnOnce(SlideId) -> Annotate) {
        if let Some(slide) = self.session.active().map(|slide| slide.id().clone()) {
            self.command(Command::Annotate(wish(slide)));
        }
    }

    pub(super) fn selection(&self) -> Option<&SlideAnnotations> {
        let annotations = self.session.annotations(self.session.active()?.id())?;
        (!annotations.selection().is_empty()).then_some(annotations)
    }

    /// Select nothing; `false` when nothing was selected.
    pub(super) fn deselect(&mut self) -> bool {
        let any = self.selection().is_some();
        if any {
            self.annotate(|slide| Annotate::Select { slide, ids: Vec::new() });
        }
        any
    }

    /// Select all of the slide in view that is not hidden.
    pub(super) fn select_annotations(&mut self) {
        let Some(slide) = self.session.active() else { return };
        let Some(annotations) = self.session.annotations(slide.id()) else { return };
        let shown =
            annotations.set().iter().map(|one| one.id).filter(|id| !annotations.hidden().contains(id));
        let ids = shown.collect();
        self.annotate(|slide| Annotate::Select { slide, ids });
    }

    pub(super) fn delete_annotations(&mut self) {
        let Some(annotations) = self.selection() else { return };
        let ids: Vec<_> = annotations.selected().filter(|one| !one.locked).map(|one| one.id).collect();
        self.annotate(|slide| Annotate::Edit { slide, edit: Edit::Remove(ids) });
    }

    /// Where annotations are exported to unless the user says otherwise: beside the slide.
    pub(super) fn export_path(&self) -> PathBuf {
        let path = self.session.active().map(|slide| slide.source.info().path.clone());
        path.unwrap_or_default().with_extension("geojson")
    }
}
