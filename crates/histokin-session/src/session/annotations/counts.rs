//! Counts of detections.

use std::sync::Arc;

use super::super::{Job, Session};
use super::{AnnotationJob, Counts};
use histokin_core::slide::SlideId;

impl Session {
    /// Requests counts of a slide's detections, unless they are known or have been requested.
    pub(super) fn count(&mut self, slide: &SlideId) -> Vec<Job> {
        let Some(info) = self.slide(slide).map(|state| state.source.info()) else { return Vec::new() };
        let (size_px, mpp) = ((f64::from(info.width()), f64::from(info.height())), info.mpp);
        let Some(annotations) = self.annotations.slides.get_mut(slide) else { return Vec::new() };
        let set = annotations.set.clone();
        let is_known = annotations.counts.as_ref().is_some_and(|counts| Arc::ptr_eq(&counts.set, &set));
        if is_known || annotations.counting {
            return Vec::new();
        }
        annotations.counting = true;
        let slide = slide.clone();
        vec![Job::Annotations(AnnotationJob::Count { slide, set, size_px, mpp })]
    }

    pub(super) fn counted(&mut self, slide: &SlideId, counts: Option<Arc<Counts>>) {
        if let Some(annotations) = self.annotations.slides.get_mut(slide) {
            annotations.counting = false;
            // After a crash, which has been reported, the same annotations are not counted again.
            let set = annotations.set.clone();
            let none =
                || Arc::new(Counts { set, areas: Vec::new(), measured: Vec::new(), densities: Vec::new() });
            annotations.counts = Some(counts.unwrap_or_else(none));
        }
    }
}
