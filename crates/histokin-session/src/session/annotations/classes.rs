//! The classes of a project.

use super::super::{Job, Session};
use histokin_core::annotation::{AnnotationClass, AnnotationSet, Edit};
use histokin_core::slide::SlideId;

impl Session {
    /// Adds the classes of a file that the project does not have yet.
    pub(super) fn add_classes_of(&mut self, set: &AnnotationSet) -> Vec<Job> {
        match self.project.add_classes(&set.classes()) {
            true => vec![self.save_project()],
            false => Vec::new(),
        }
    }

    pub(super) fn change_class(&mut self, name: &str, to: AnnotationClass) -> Vec<Job> {
        let mut classes = self.project.classes();
        let taken = to.name != name && classes.iter().any(|class| class.name == to.name);
        let Some(class) = classes.iter_mut().find(|class| class.name == name) else { return Vec::new() };
        if taken || to.name.trim().is_empty() {
            self.messages.error(format!("The name {:?} is empty or already used by another class.", to.name));
            return Vec::new();
        }
        *class = to.clone();
        if self.annotations.class.as_ref().is_some_and(|chosen| chosen.name == name) {
            self.annotations.class = Some(to.clone());
        }
        let mut jobs = self.keep_classes(classes);
        let slides: Vec<SlideId> = self.annotations.slides.keys().cloned().collect();
        for slide in slides {
            jobs.extend(self.edit_annotations(&slide, |history, set, _| {
                history.apply(set, Edit::Reclassify { from: name.to_owned(), to: Some(to.clone()) }).is_some()
            }));
        }
        jobs
    }

    pub(super) fn keep_classes(&mut self, classes: Vec<AnnotationClass>) -> Vec<Job> {
        self.project.set_classes(classes);
        vec![self.save_project()]
    }
}
