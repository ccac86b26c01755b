//! Annotations of the slides: editing with undo and redo, selection, visibility, classes, import and export.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::state::{Place, Remedy, Severity};
use super::{Job, Session};
use histokin_core::annotation::{
    Annotation, AnnotationClass, AnnotationFile, AnnotationSet, AnnotationStore, Edit, History,
};
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::{SlideId, SlideInfo};
use histokin_project::project::Claim;

/// A user action on annotations.
#[derive(Debug, Clone, PartialEq)]
pub enum Annotate {
    /// Applies an edit to the annotations of a slide.
    Edit {
        /// Slide whose annotations are edited.
        slide: SlideId,
        /// Edit to apply.
        edit: Edit,
    },
    /// Undoes the last edit of a slide's annotations.
    Undo(SlideId),
    /// Redoes the last undone edit of a slide's annotations.
    Redo(SlideId),
    /// Selects exactly these annotations.
    Select {
        /// Slide of the annotations.
        slide: SlideId,
        /// Annotations to select; empty to select none.
        ids: Vec<Uuid>,
    },
    /// Shows or hides annotations without changing them.
    Show {
        /// Slide of the annotations.
        slide: SlideId,
        /// Annotations to show or hide.
        ids: Vec<Uuid>,
        /// True to show them, false to hide them.
        shown: bool,
    },
    /// Brings an annotation into view and selects it.
    GoTo {
        /// Slide of the annotation.
        slide: SlideId,
        /// Annotation to go to.
        id: Uuid,
    },
    /// Sets the class of annotations drawn from now on; `None` for no class.
    ChooseClass(Option<AnnotationClass>),
    /// Adds a class to the project.
    AddClass(AnnotationClass),
    /// Renames or recolours a class of the project and of all annotations that have it.
    ChangeClass {
        /// Current name of the class.
        name: String,
        /// New name and colour.
        to: AnnotationClass,
    },
    /// Removes a class from the project's list; annotations that have it keep it.
    RemoveClass(String),
    /// Adds the annotations of a file to a slide.
    Import {
        /// Slide that gets the annotations.
        slide: SlideId,
        /// File to read.
        path: PathBuf,
    },
    /// Writes all annotations of a slide to a file; the file name decides the format.
    Export {
        /// Slide whose annotations are written.
        slide: SlideId,
        /// File to write.
        path: PathBuf,
    },
    /// Retries saving annotations that could not be saved.
    SaveAgain(SlideId),
}

/// A job for the annotation worker.
#[derive(Clone)]
pub enum AnnotationJob {
    /// Reads the annotations that the project has of a slide.
    Load {
        /// Store to read from.
        store: AnnotationStore,
        /// Slide whose annotations are read.
        slide: SlideId,
    },
    /// Saves the annotations of a slide; of several waiting sets for one slide, only the newest is saved.
    Save {
        /// Store to save to.
        store: AnnotationStore,
        /// Slide of the annotations.
        slide: SlideId,
        /// All annotations of the slide.
        set: Arc<AnnotationSet>,
        /// Keeps the project claimed by this process until the set is saved.
        claim: Claim,
    },
    /// Reads annotations from a file.
    Import {
        /// Slide on which they are placed.
        info: Box<SlideInfo>,
        /// File to read.
        path: PathBuf,
    },
    /// Writes annotations to a file.
    Export {
        /// Slide of the annotations.
        info: Box<SlideInfo>,
        /// Annotations to write.
        set: Arc<AnnotationSet>,
        /// File to write.
        path: PathBuf,
    },
}

/// A report of the annotation worker.
pub enum AnnotationEvent {
    /// The project's annotations of a slide were read; after an error, nothing may be written over them.
    Loaded {
        /// Slide of the annotations.
        slide: SlideId,
        /// The annotations, or why they could not be read.
        loaded: Result<AnnotationSet, String>,
    },
    /// The annotations of a slide were saved.
    Saved {
        /// Slide of the annotations.
        slide: SlideId,
    },
    /// The annotations of a slide could not be saved. Saving is retried; the previous file still exists.
    NotSaved {
        /// Slide of the annotations.
        slide: SlideId,
        /// Why they could not be saved.
        reason: String,
    },
    /// A file with annotations was read, or could not be.
    Imported {
        /// Slide that gets the annotations.
        slide: SlideId,
        /// File that was read.
        path: PathBuf,
        /// Its annotations, or why it could not be read.
        file: Result<Box<AnnotationFile>, String>,
    },
    /// A file with annotations was written, or could not be.
    Exported {
        /// File that was written.
        path: PathBuf,
        /// Number of annotations and notes for the user, or why the file could not be written.
        written: Result<(usize, Vec<String>), String>,
    },
}

/// The annotations of all slides of a session.
#[derive(Default)]
pub struct Annotations {
    slides: HashMap<SlideId, SlideAnnotations>,
    class: Option<AnnotationClass>,
}

/// The annotations of one slide.
#[derive(Default)]
pub struct SlideAnnotations {
    set: Arc<AnnotationSet>,
    history: History,
    selection: Vec<Uuid>,
    hidden: Arc<HashSet<Uuid>>,
    state: Loading,
    /// Why the last changes are not on disk, if they could not be written.
    unsaved: Option<String>,
}

#[derive(Default)]
enum Loading {
    #[default]
    UnderWay,
    Done,
    /// The annotations could not be read; nothing may be written over them.
    Failed,
}

impl SlideAnnotations {
    /// Returns the annotations. Every change makes a new [`Arc`], so a changed set is recognised by its
    /// pointer.
    pub fn set(&self) -> &Arc<AnnotationSet> {
        &self.set
    }

    /// Whether the project's annotations of the slide have been read.
    pub fn is_loaded(&self) -> bool {
        matches!(self.state, Loading::Done)
    }

    /// IDs of the selected annotations.
    pub fn selection(&self) -> &[Uuid] {
        &self.selection
    }

    /// IDs of the annotations that are not drawn.
    pub fn hidden(&self) -> &Arc<HashSet<Uuid>> {
        &self.hidden
    }

    /// Returns the selected annotations.
    pub fn selected(&self) -> impl Iterator<Item = &Arc<Annotation>> {
        self.selection.iter().filter_map(|id| self.set.get(*id))
    }

    /// Why the last changes are not on disk, if they could not be written.
    pub fn unsaved(&self) -> Option<&str> {
        self.unsaved.as_deref()
    }

    /// Name of the edit that undo would revert, if any.
    pub fn undo_title(&self) -> Option<&'static str> {
        self.history.undo_title()
    }

    /// Name of the edit that redo would apply again, if any.
    pub fn redo_title(&self) -> Option<&'static str> {
        self.history.redo_title()
    }
}

impl Session {
    /// Returns the annotations of a slide, if it was opened.
    pub fn annotations(&self, slide: &SlideId) -> Option<&SlideAnnotations> {
        self.annotations.slides.get(slide)
    }

    /// Returns the slides with annotations that could not be saved.
    pub fn unsaved_annotations(&self) -> impl Iterator<Item = &SlideId> {
        let unsaved = self.annotations.slides.iter().filter(|(_, annotations)| annotations.unsaved.is_some());
        unsaved.map(|(slide, _)| slide)
    }

    /// Class of annotations drawn from now on; `None` for no class.
    pub fn annotation_class(&self) -> Option<&AnnotationClass> {
        self.annotations.class.as_ref()
    }

    /// Requests the project's annotations of a newly opened slide, unless that was done already.
    pub(super) fn load_annotations(&mut self, slide: &SlideId) -> Vec<Job> {
        if self.annotations.slides.contains_key(slide) {
            return Vec::new();
        }
        self.annotations.slides.insert(slide.clone(), SlideAnnotations::default());
        let store = self.project.annotations();
        vec![Job::Annotations(AnnotationJob::Load { store, slide: slide.clone() })]
    }

    pub(super) fn annotate(&mut self, command: Annotate) -> Vec<Job> {
        match command {
            Annotate::Edit { slide, edit } => {
                let mut kept = 0;
                let jobs = self.edit_annotations(&slide, |history, set, selection| {
                    let selects = matches!(edit, Edit::Add(_));
                    let Some(change) = history.apply(set, edit) else { return false };
                    if selects {
                        *selection = change.touched().collect();
                    }
                    kept = change.kept_below_removed();
                    true
                });
                if kept > 0 {
                    let text = format!(
                        "Annotations below the deleted ones were kept ({kept}). Undo restores what was deleted."
                    );
                    self.notify(Severity::Note, text, None);
                }
                jobs
            }
            Annotate::Undo(slide) => self.edit_annotations(&slide, |history, set, selection| {
                history.undo(set).is_some_and(|change| {
                    *selection = change.restored().collect();
                    true
                })
            }),
            Annotate::Redo(slide) => self.edit_annotations(&slide, |history, set, selection| {
                history.redo(set).is_some_and(|change| {
                    *selection = change.touched().collect();
                    true
                })
            }),
            Annotate::Select { slide, ids } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    annotations.selection = ids;
                }
                Vec::new()
            }
            Annotate::Show { slide, ids, shown } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    let hidden = Arc::make_mut(&mut annotations.hidden);
                    match shown {
                        true => ids.iter().for_each(|id| _ = hidden.remove(id)),
                        false => hidden.extend(ids),
                    }
                }
                Vec::new()
            }
            Annotate::GoTo { slide, id } => self.go_to_annotation(slide, id),
            Annotate::ChooseClass(class) => {
                self.annotations.class = class;
                Vec::new()
            }
            Annotate::AddClass(_) | Annotate::ChangeClass { .. } | Annotate::RemoveClass(_)
                if self.refuse("classes cannot be changed") =>
            {
                Vec::new()
            }
            Annotate::AddClass(class) => {
                let mut classes = self.project.classes();
                if class.name.trim().is_empty() || classes.iter().any(|known| known.name == class.name) {
                    return Vec::new();
                }
                classes.push(class);
                self.keep_classes(classes)
            }
            Annotate::ChangeClass { name, to } => self.change_class(&name, to),
            Annotate::RemoveClass(name) => {
                let mut classes = self.project.classes();
                classes.retain(|class| class.name != name);
                self.annotations.class = self.annotations.class.take().filter(|class| class.name != name);
                self.keep_classes(classes)
            }
            Annotate::Import { .. } if self.refuse("annotations cannot be changed") => Vec::new(),
            Annotate::Import { slide, path } => {
                let info = self.slide(&slide).map(|state| Box::new(state.source.info().clone()));
                info.map(|info| Job::Annotations(AnnotationJob::Import { info, path })).into_iter().collect()
            }
            Annotate::Export { slide, path } => {
                let Some(state) = self.slide(&slide) else { return Vec::new() };
                let info = Box::new(state.source.info().clone());
                let set = self.annotations(&slide).map(|known| known.set.clone()).unwrap_or_default();
                vec![Job::Annotations(AnnotationJob::Export { info, set, path })]
            }
            Annotate::SaveAgain(slide) => self.save_annotations(slide),
        }
    }

    fn save_annotations(&self, slide: SlideId) -> Vec<Job> {
        let Some(annotations) = self.annotations.slides.get(&slide) else { return Vec::new() };
        let set = annotations.set.clone();
        let (store, claim) = (self.project.annotations(), self.project.shared_claim());
        vec![Job::Annotations(AnnotationJob::Save { store, slide, set, claim })]
    }

    /// Records the result of saving annotations, and reports it if it has changed.
    fn annotations_saved(&mut self, slide: &SlideId, problem: Option<String>) {
        let name =
            self.slide(slide).map_or_else(|| slide.short().to_owned(), |state| state.source.info().name());
        let Some(annotations) = self.annotations.slides.get_mut(slide) else { return };
        let before = std::mem::replace(&mut annotations.unsaved, problem.clone());
        if before == problem {
            return;
        }
        let remedy = Remedy::SaveAnnotations(slide.clone());
        self.withdraw(&remedy);
        match problem {
            Some(reason) => {
                let text = format!(
                    "The annotations of {name} are not saved: {reason}. They are kept in memory, and saving is tried \
                     again every few seconds."
                );
                self.notify(Severity::Error, text, Some(remedy));
            }
            None => self.notify(Severity::Note, format!("The annotations of {name} are saved."), None),
        }
    }

    pub(super) fn annotations_event(&mut self, event: AnnotationEvent) -> Vec<Job> {
        match event {
            AnnotationEvent::Loaded { slide, loaded } => {
                let Some(annotations) = self.annotations.slides.get_mut(&slide) else { return Vec::new() };
                match loaded {
                    Ok(set) => {
                        annotations.set = Arc::new(set);
                        annotations.state = Loading::Done;
                    }
                    Err(reason) => {
                        annotations.state = Loading::Failed;
                        self.notify(Severity::Error, reason, None);
                    }
                }
                self.select_by_annotations(&slide)
            }
            AnnotationEvent::Saved { slide } => {
                self.annotations_saved(&slide, None);
                Vec::new()
            }
            AnnotationEvent::NotSaved { slide, reason } => {
                self.annotations_saved(&slide, Some(reason));
                Vec::new()
            }
            AnnotationEvent::Imported { slide, path, file } => match file {
                Ok(file) => self.imported(slide, &path, *file),
                Err(reason) => {
                    self.notify(Severity::Error, reason, None);
                    Vec::new()
                }
            },
            AnnotationEvent::Exported { path, written } => {
                match written {
                    Ok((count, notes)) => {
                        let done = format!("{}: {count} annotations written.", path.display());
                        self.notify(Severity::Note, with_notes(done, &notes), None);
                    }
                    Err(reason) => self.notify(Severity::Error, reason, None),
                }
                Vec::new()
            }
        }
    }

    /// Changes the annotations of a slide with `change` and saves them, if `change` returns true.
    pub(super) fn edit_annotations(
        &mut self,
        slide: &SlideId,
        change: impl FnOnce(&mut History, &mut AnnotationSet, &mut Vec<Uuid>) -> bool,
    ) -> Vec<Job> {
        if self.refuse("annotations cannot be changed") {
            return Vec::new();
        }
        let Some(annotations) = self.annotations.slides.get_mut(slide) else { return Vec::new() };
        let problem = match annotations.state {
            Loading::Done => None,
            Loading::UnderWay => Some("are still being read; try again in a moment"),
            Loading::Failed => Some("could not be read, and are not changed so that nothing is lost"),
        };
        if let Some(problem) = problem {
            let name = self.slide(slide).map(|state| state.source.info().name()).unwrap_or_default();
            self.notify(Severity::Error, format!("{name}: its annotations {problem}"), None);
            return Vec::new();
        }
        let set = Arc::make_mut(&mut annotations.set);
        if !change(&mut annotations.history, set, &mut annotations.selection) {
            return Vec::new();
        }
        let set = annotations.set.clone();
        annotations.selection.retain(|id| set.get(*id).is_some());
        let mut jobs = self.save_annotations(slide.clone());
        jobs.extend(self.search_if_marked());
        jobs
    }

    fn imported(&mut self, slide: SlideId, path: &std::path::Path, mut file: AnnotationFile) -> Vec<Job> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let count = file.set.len();
        let mut jobs = self.take_over_classes(&file.set);
        jobs.extend(self.edit_annotations(&slide, |history, set, selection| {
            let edit = file.edit_for(set);
            set.take_over(&file.set);
            let changed = history.apply(set, edit).is_some();
            // Selecting a whole file would cover the tissue with selection marks.
            selection.clear();
            changed
        }));
        let done = format!("{name}: {count} annotations read ({}).", file.format.name());
        self.notify(Severity::Note, with_notes(done, &file.notes), None);
        jobs
    }

    /// Adds the classes of a file that the project does not have yet.
    fn take_over_classes(&mut self, set: &AnnotationSet) -> Vec<Job> {
        match self.project.add_classes(set.iter().filter_map(|annotation| annotation.class.as_ref())) {
            true => vec![Job::SaveProject(Box::new(self.project.clone()))],
            false => Vec::new(),
        }
    }

    fn go_to_annotation(&mut self, slide: SlideId, id: Uuid) -> Vec<Job> {
        let annotation = self.annotations(&slide).and_then(|annotations| annotations.set.get(id));
        let Some(bounds) = annotation.and_then(|annotation| annotation.shape().bounds()) else {
            return Vec::new();
        };
        // Include the surroundings, and do not zoom in closer than is useful to judge tissue.
        let margin = (bounds.width().max(bounds.height()) * 0.4).max(200.0);
        let field = bounds.grown(margin);
        let (width, height) = (field.width().ceil() as u32, field.height().ceil() as u32);
        let field = Level0Rect::new(field.min.x.floor() as i64, field.min.y.floor() as i64, width, height);
        if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
            annotations.selection = vec![id];
        }
        self.go_to(Place { slide, field })
    }

    /// Imports annotation files onto the slide in view; returns the other paths and the jobs.
    pub(super) fn import_dropped(&mut self, paths: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<Job>) {
        let (files, others): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.into_iter().partition(|path| is_annotation_file(path));
        let Some(slide) = self.active.clone() else {
            for file in files {
                let text = format!("{}: open the slide these annotations belong to first", file.display());
                self.notify(Severity::Error, text, None);
            }
            return (others, Vec::new());
        };
        let import = |path| Annotate::Import { slide: slide.clone(), path };
        let jobs = files.into_iter().map(import).flat_map(|command| self.annotate(command)).collect();
        (others, jobs)
    }

    fn change_class(&mut self, name: &str, to: AnnotationClass) -> Vec<Job> {
        let mut classes = self.project.classes();
        let taken = to.name != name && classes.iter().any(|class| class.name == to.name);
        let Some(class) = classes.iter_mut().find(|class| class.name == name) else { return Vec::new() };
        if taken || to.name.trim().is_empty() {
            self.notify(
                Severity::Error,
                format!("The name {:?} is empty or already used by another class.", to.name),
                None,
            );
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

    fn keep_classes(&mut self, classes: Vec<AnnotationClass>) -> Vec<Job> {
        self.project.set_classes(classes);
        vec![Job::SaveProject(Box::new(self.project.clone()))]
    }
}

/// Whether a path names a file of annotations, judged by its extension.
fn is_annotation_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    [".geojson", ".json", ".xml", ".annotations", ".geojson.zip", ".json.zip"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

fn with_notes(done: String, notes: &[String]) -> String {
    std::iter::once(&done).chain(notes).map(String::as_str).collect::<Vec<_>>().join(" ")
}
