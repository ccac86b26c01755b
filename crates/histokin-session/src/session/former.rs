//! Projects that were open before in this window, and what their jobs report late.
//!
//! Such reports change nothing of the project that is open now. What the user waits for, or would miss, is told; each
//! event has to be named here, so that a new one is not forgotten.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::opened::ProjectNumber;
use super::training::stopped_in;
use super::{
    AnnotationEvent, ConceptEvent, EmbeddingEvent, EvaluationEvent, Event, FileTrouble, Job, QueryEvent,
    ReadFile, Remedy, Session, Severity, SlideEvent, TrainingEvent,
};
use histokin_core::annotation::AnnotationSet;
use histokin_core::number_format::counted;
use histokin_core::slide::SlideId;

/// Why something of a project that was left was not done.
const LEFT: &str = "because another project was opened in the meantime";

/// Annotations of a project that was open before, which could not be saved. They are kept in memory, and saving them is
/// tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsavedElsewhere {
    /// Folder of the project.
    pub root: PathBuf,
    /// Slide of the annotations.
    pub slide: SlideId,
    /// Name of the slide.
    pub name: String,
    /// Why they could not be saved.
    pub reason: String,
}

/// The projects that were open before.
#[derive(Default)]
pub(super) struct FormerProjects {
    list: Vec<FormerProject>,
    unsaved: Vec<UnsavedElsewhere>,
}

/// What is remembered of a project that was open before.
pub(super) struct FormerProject {
    pub(super) number: ProjectNumber,
    pub(super) root: PathBuf,
    /// Names of its slides.
    pub(super) names: HashMap<SlideId, String>,
    /// Annotations of slides to which files were being added, as they were when the project was left.
    pub(super) importing: HashMap<SlideId, Arc<AnnotationSet>>,
}

impl FormerProject {
    fn name(&self, slide: &SlideId) -> String {
        self.names.get(slide).cloned().unwrap_or_else(|| slide.short().to_owned())
    }
}

impl FormerProjects {
    pub(super) fn add(&mut self, project: FormerProject) {
        self.list.push(project);
    }

    fn get(&self, number: ProjectNumber) -> Option<&FormerProject> {
        self.list.iter().find(|project| project.number == number)
    }

    /// Notes why annotations could not be saved, or that they were; returns whether that is new.
    fn set_unsaved(&mut self, entry: UnsavedElsewhere) -> bool {
        let is_known = self.unsaved.contains(&entry);
        self.set_saved(&entry.root, &entry.slide);
        self.unsaved.push(entry);
        !is_known
    }

    /// Forgets that annotations are not saved; returns whether they were not.
    fn set_saved(&mut self, root: &Path, slide: &SlideId) -> bool {
        let count = self.unsaved.len();
        self.unsaved.retain(|entry| entry.root != root || entry.slide != *slide);
        self.unsaved.len() < count
    }
}

impl Session {
    /// Annotations of projects that were open before, which could not be saved.
    pub fn unsaved_elsewhere(&self) -> &[UnsavedElsewhere] {
        &self.formers.unsaved
    }

    /// Notes annotations of a project that was left which are not saved, and tells the user.
    pub(super) fn unsaved_in_former(&mut self, entry: UnsavedElsewhere) {
        let root = entry.root.clone();
        if self.formers.set_unsaved(entry) {
            self.tell_unsaved(&root);
        }
    }

    /// Notes that annotations of a project are saved, which may have been left.
    pub(super) fn saved_in_former(&mut self, root: &Path, slide: &SlideId) {
        if self.formers.set_saved(root, slide) {
            self.tell_unsaved(root);
        }
    }

    /// Tells which annotations of a project that was left are not saved, in place of what was told before.
    fn tell_unsaved(&mut self, root: &Path) {
        let remedy = Remedy::OpenProject(root.to_owned());
        self.messages.withdraw(&remedy);
        for entry in self.formers.unsaved.iter().filter(|entry| entry.root == root) {
            let text = format!(
                "The annotations of {} in the project {} are not saved: {}. They are kept in memory, and saving is tried \
                 again every few seconds. Leave this window open until then, or open that project again to save them \
                 elsewhere.",
                entry.name,
                root.display(),
                entry.reason
            );
            self.messages.add(Severity::Error, text, Some(remedy.clone()));
        }
    }

    /// Takes in what a job reports of a project that was open before.
    pub(super) fn late_event(&mut self, of: ProjectNumber, event: Event) -> Vec<Job> {
        match event {
            Event::Found(found) => return self.found(*found),
            Event::Messages(event) => self.messages.absorb(event),
            Event::Slides(event) => self.late_slide_event(of, event),
            Event::Embedding(event) => return self.late_embedding_event(event),
            Event::Query(event) => self.late_query_event(of, event),
            Event::Concepts(event) => self.late_concept_event(of, event),
            Event::Annotations(event) => return self.late_annotation_event(of, event),
            Event::Evaluation(event) => self.late_evaluation_event(event),
            Event::Training(event) => return self.late_training_event(of, event),
            Event::Index(_) => {}
        }
        Vec::new()
    }

    /// Folder of a project that was open before, for messages.
    fn former_root(&self, of: ProjectNumber) -> String {
        self.formers.get(of).map_or_else(String::new, |project| project.root.display().to_string())
    }

    fn late_slide_event(&mut self, of: ProjectNumber, event: SlideEvent) {
        match event {
            SlideEvent::StainsEstimated { slide, .. } => {
                let root = self.former_root(of);
                let name = self.formers.get(of).map(|project| project.name(&slide)).unwrap_or_default();
                self.messages.note(format!(
                    "{name}: no stain vectors were set in {root}, {LEFT}. Open it again and estimate them there."
                ));
            }
            SlideEvent::Opened(_)
            | SlideEvent::ListedPathChecked { .. }
            | SlideEvent::Failed { .. }
            | SlideEvent::Missing { .. }
            | SlideEvent::Unavailable { .. }
            | SlideEvent::Available { .. }
            | SlideEvent::AssociatedRead { .. }
            | SlideEvent::TileRead { .. }
            | SlideEvent::ThumbnailMade { .. }
            | SlideEvent::ChannelsApplied { .. }
            | SlideEvent::NoThumbnail { .. }
            | SlideEvent::FindingTissue { .. }
            | SlideEvent::TissueFound { .. }
            | SlideEvent::ProfileRead { .. }
            | SlideEvent::ColoursMeasured { .. } => {}
        }
    }

    fn late_embedding_event(&mut self, event: EmbeddingEvent) -> Vec<Job> {
        match event {
            // The user's encoders belong to no project.
            EmbeddingEvent::EncodersChanged(_) => self.embedding_event(event),
            EmbeddingEvent::EncoderKnown { .. }
            | EmbeddingEvent::EncodersListed(_)
            | EmbeddingEvent::PreviewProgress { .. }
            | EmbeddingEvent::Previewed { .. }
            | EmbeddingEvent::ComparisonProgress { .. }
            | EmbeddingEvent::Compared { .. }
            | EmbeddingEvent::EncoderExamined { .. }
            | EmbeddingEvent::EncoderRuns { .. }
            | EmbeddingEvent::EncoderFailed { .. }
            | EmbeddingEvent::EncoderUntrusted { .. }
            | EmbeddingEvent::NoDescriptors { .. }
            | EmbeddingEvent::Started { .. }
            | EmbeddingEvent::Progress { .. }
            // They are stored.
            | EmbeddingEvent::DescriptorsReady { .. }
            | EmbeddingEvent::NoTiles { .. }
            | EmbeddingEvent::Interrupted { .. }
            // Embedding is tried again when the project is opened.
            | EmbeddingEvent::Failed { .. } => Vec::new(),
        }
    }

    fn late_query_event(&mut self, of: ProjectNumber, event: QueryEvent) {
        match event {
            QueryEvent::PatientsRead { path, patients: Ok(_) } => {
                let root = self.former_root(of);
                self.messages.note(format!(
                    "{}: the patients were not added to {root}, {LEFT}. Open it again and read the list there.",
                    path.display()
                ));
            }
            QueryEvent::PatientsRead { patients: Err(reason), .. } => self.messages.error(reason),
            QueryEvent::Answered { .. }
            | QueryEvent::ArchiveAnswered { .. }
            | QueryEvent::PictureEmbedded(_)
            | QueryEvent::TilesEmbedded { .. }
            | QueryEvent::RecipesFound(_)
            | QueryEvent::SecondEncoderOpened { .. }
            // What was to be added to it has been sent after it.
            | QueryEvent::HistoryLoaded { .. } => {}
        }
    }

    fn late_concept_event(&mut self, of: ProjectNumber, event: ConceptEvent) {
        match event {
            ConceptEvent::Failed(error) => {
                let named = |slide: &SlideId| {
                    let project = self.formers.get(of);
                    project.map_or_else(|| slide.short().to_owned(), |project| project.name(slide))
                };
                let text = format!("{}: {}", self.former_root(of), error.naming(named));
                self.messages.error(text);
            }
            ConceptEvent::Loaded(_) | ConceptEvent::Applied(_) => {}
        }
    }

    fn late_annotation_event(&mut self, of: ProjectNumber, event: AnnotationEvent) -> Vec<Job> {
        let Some(project) = self.formers.get(of) else { return Vec::new() };
        // It has been opened again.
        let is_open = project.root == self.project.root();
        match event {
            AnnotationEvent::Saved { .. } | AnnotationEvent::NotSaved { .. } if is_open => {
                return self.annotation_event(event);
            }
            AnnotationEvent::Saved { slide } => {
                let root = project.root.clone();
                self.saved_in_former(&root, &slide);
            }
            AnnotationEvent::NotSaved { slide, reason } => {
                let (root, name) = (project.root.clone(), project.name(&slide));
                self.unsaved_in_former(UnsavedElsewhere { root, slide, name, reason });
            }
            AnnotationEvent::Imported { slide, path, file: Ok(file) } if is_kept(project, &slide, &file) => {
                let root = project.root.display();
                let count = counted(file.file.set.len() as u64, "annotation");
                self.messages.note(format!("{}: {count} read and saved in {root}.", path.display()));
            }
            AnnotationEvent::Imported { path, file, .. } => {
                let text = format!(
                    "Import into {} stopped, {LEFT}. Nothing was added; open it again and add the file there.",
                    project.root.display()
                );
                self.not_done(&path, file.err().unwrap_or(FileTrouble::Stopped), &text);
            }
            AnnotationEvent::Exported { path, written: Ok((count, notes)), .. } => {
                self.exported(&path, count, &notes);
            }
            AnnotationEvent::Exported { path, written: Err(trouble), .. } => {
                self.not_done(&path, trouble, &format!("Export stopped, {LEFT}. Nothing was written."));
            }
            AnnotationEvent::Loaded { .. }
            | AnnotationEvent::Progress { .. }
            | AnnotationEvent::Part { .. }
            | AnnotationEvent::Counted { .. } => {}
        }
        Vec::new()
    }

    fn late_evaluation_event(&mut self, event: EvaluationEvent) {
        match event {
            EvaluationEvent::ReportWritten(_) => self.evaluation_event(event),
            EvaluationEvent::Progress { .. }
            | EvaluationEvent::Finished(_)
            | EvaluationEvent::DistancesMeasured { .. } => {}
        }
    }

    fn late_training_event(&mut self, of: ProjectNumber, event: TrainingEvent) -> Vec<Job> {
        match event {
            TrainingEvent::Ended(end) => {
                let root = self.former_root(of);
                match end {
                    Ok(end) => self.messages.note(stopped_in(&root, &end)),
                    Err(reason) => self.messages.error(format!("{root}: training ended: {reason}")),
                }
                Vec::new()
            }
            // Files of the user's choice.
            TrainingEvent::SettingsRead(_)
            | TrainingEvent::SettingsWritten(_)
            | TrainingEvent::Exported { .. } => self.training_event(event),
            TrainingEvent::Counted { .. }
            | TrainingEvent::Previewed(_)
            | TrainingEvent::Listed(_)
            | TrainingEvent::Preparing { .. }
            | TrainingEvent::Progress(_)
            | TrainingEvent::TrialProgress { .. }
            | TrainingEvent::Tried { .. } => Vec::new(),
        }
    }
}

/// Whether a file that was being added when its project was left is in the project all the same: it was saved with the
/// annotations of the slide, and these were not edited any more.
fn is_kept(project: &FormerProject, slide: &SlideId, file: &ReadFile) -> bool {
    let left = project.importing.get(slide);
    file.is_saved
        && file.edit.as_ref().is_some_and(|(base, _)| left.is_some_and(|left| Arc::ptr_eq(left, base)))
}

#[cfg(test)]
mod tests;
