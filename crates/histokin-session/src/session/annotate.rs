//! Annotations of the slides: what the user does to them, with undo and redo, and what is kept of it.

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

/// One wish of the user that concerns annotations.
#[derive(Debug, Clone, PartialEq)]
pub enum Annotate {
    Edit {
        slide: SlideId,
        edit: Edit,
    },
    Undo(SlideId),
    Redo(SlideId),
    /// Select these and no others.
    Select {
        slide: SlideId,
        ids: Vec<Uuid>,
    },
    /// Show or hide annotations; they stay as they are otherwise.
    Show {
        slide: SlideId,
        ids: Vec<Uuid>,
        shown: bool,
    },
    /// Bring an annotation into view.
    GoTo {
        slide: SlideId,
        id: Uuid,
    },
    /// The class of what is drawn from now on.
    ChooseClass(Option<AnnotationClass>),
    /// Add a class to the project.
    AddClass(AnnotationClass),
    /// Rename or recolour a class of the project, and all annotations that have it.
    ChangeClass {
        name: String,
        to: AnnotationClass,
    },
    /// Take a class off the project's list; annotations that have it keep it.
    RemoveClass(String),
    /// Add the annotations of a file.
    Import {
        slide: SlideId,
        path: PathBuf,
    },
    /// Write all annotations of a slide into a file; its name tells the format.
    Export {
        slide: SlideId,
        path: PathBuf,
    },
    /// Try once more to keep annotations that could not be saved.
    SaveAgain(SlideId),
}

/// What a worker has to do for annotations.
#[derive(Clone)]
pub enum AnnotationJob {
    Load {
        store: AnnotationStore,
        slide: SlideId,
    },
    /// Keep them; of several sets for one slide, the newest counts.
    Save {
        store: AnnotationStore,
        slide: SlideId,
        set: Arc<AnnotationSet>,
        /// The project stays this program's until they are saved.
        claim: Claim,
    },
    Import {
        info: Box<SlideInfo>,
        path: PathBuf,
    },
    Export {
        info: Box<SlideInfo>,
        set: Arc<AnnotationSet>,
        path: PathBuf,
    },
}

/// What a worker has found out about annotations.
pub enum AnnotationEvent {
    /// The annotations that the project holds of a slide; after an error nothing may be written over them.
    Loaded {
        slide: SlideId,
        loaded: Result<AnnotationSet, String>,
    },
    Saved {
        slide: SlideId,
    },
    /// They are tried again and again; the file of before is still there.
    NotSaved {
        slide: SlideId,
        reason: String,
    },
    Imported {
        slide: SlideId,
        path: PathBuf,
        file: Result<Box<AnnotationFile>, String>,
    },
    /// How many annotations a file was written with, and what its reader should know.
    Exported {
        path: PathBuf,
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
    /// Why the last changes are not on the disk, if they could not be written.
    unsaved: Option<String>,
}

#[derive(Default)]
enum Loading {
    #[default]
    UnderWay,
    Done,
    /// They could not be read; nothing may be written in their place.
    Failed,
}

impl SlideAnnotations {
    /// Another set is another [`Arc`].
    pub fn set(&self) -> &Arc<AnnotationSet> {
        &self.set
    }

    /// Whether what the project holds is known.
    pub fn is_loaded(&self) -> bool {
        matches!(self.state, Loading::Done)
    }

    pub fn selection(&self) -> &[Uuid] {
        &self.selection
    }

    /// Those that are not drawn.
    pub fn hidden(&self) -> &Arc<HashSet<Uuid>> {
        &self.hidden
    }

    /// The selected annotations.
    pub fn selected(&self) -> impl Iterator<Item = &Arc<Annotation>> {
        self.selection.iter().filter_map(|id| self.set.get(*id))
    }

    /// Why the last changes are not on the disk, if they could not be written.
    pub fn unsaved(&self) -> Option<&str> {
        self.unsaved.as_deref()
    }

    /// What undoing would take back.
    pub fn undo_title(&self) -> Option<&'static str> {
        self.history.undo_title()
    }

    /// What redoing would do again.
    pub fn redo_title(&self) -> Option<&'static str> {
        self.history.redo_title()
    }
}

impl Session {
    /// The annotations of a slide that was opened.
    pub fn annotations(&self, slide: &SlideId) -> Option<&SlideAnnotations> {
        self.annotations.slides.get(slide)
    }

    /// Slides with annotations that could not be saved.
    pub fn unsaved_annotations(&self) -> impl Iterator<Item = &SlideId> {
        let unsaved = self.annotations.slides.iter().filter(|(_, marks)| marks.unsaved.is_some());
        unsaved.map(|(slide, _)| slide)
    }

    /// The class of what is drawn from now on.
    pub fn annotation_class(&self) -> Option<&AnnotationClass> {
        self.annotations.class.as_ref()
    }

    /// Read what the project holds of a slide that has been opened.
    pub(super) fn load_annotations(&mut self, slide: &SlideId) -> Vec<Job> {
        if self.annotations.slides.contains_key(slide) {
            return Vec::new();
        }
        self.annotations.slides.insert(slide.clone(), SlideAnnotations::default());
        let store = self.project.annotations();
        vec![Job::Annotations(AnnotationJob::Load { store, slide: slide.clone() })]
    }

    pub(super) fn annotate(&mut self, wish: Annotate) -> Vec<Job> {
        match wish {
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
                        "{kept} annotations below what was deleted are kept. Undo brings back what they lay below."
                    );
                    self.tell(Severity::Note, text, None);
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
                if let Some(marks) = self.annotations.slides.get_mut(&slide) {
                    marks.selection = ids;
                }
                Vec::new()
            }
            Annotate::Show { slide, ids, shown } => {
                if let Some(marks) = self.annotations.slides.get_mut(&slide) {
                    let hidden = Arc::make_mut(&mut marks.hidden);
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
                let set = self.annotations(&slide).map(|marks| marks.set.clone()).unwrap_or_default();
                vec![Job::Annotations(AnnotationJob::Export { info, set, path })]
            }
            Annotate::SaveAgain(slide) => self.save_annotations(slide),
        }
    }

    fn save_annotations(&self, slide: SlideId) -> Vec<Job> {
        let Some(marks) = self.annotations.slides.get(&slide) else { return Vec::new() };
        let (store, set, claim) = (self.project.annotations(), marks.set.clone(), self.project.claim_held());
        vec![Job::Annotations(AnnotationJob::Save { store, slide, set, claim })]
    }

    /// What became of saving annotations.
    fn annotations_saved(&mut self, slide: &SlideId, problem: Option<String>) {
        let name =
            self.slide(slide).map_or_else(|| slide.short().to_owned(), |state| state.source.info().name());
        let Some(marks) = self.annotations.slides.get_mut(slide) else { return };
        let before = std::mem::replace(&mut marks.unsaved, problem.clone());
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
                self.tell(Severity::Error, text, Some(remedy));
            }
            None => self.tell(Severity::Note, format!("The annotations of {name} are saved."), None),
        }
    }

    pub(super) fn annotations_event(&mut self, event: AnnotationEvent) -> Vec<Job> {
        match event {
            AnnotationEvent::Loaded { slide, loaded } => {
                let Some(marks) = self.annotations.slides.get_mut(&slide) else { return Vec::new() };
                match loaded {
                    Ok(set) => {
                        marks.set = Arc::new(set);
                        marks.state = Loading::Done;
                    }
                    Err(reason) => {
                        marks.state = Loading::Failed;
                        self.tell(Severity::Error, reason, None);
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
                    self.tell(Severity::Error, reason, None);
                    Vec::new()
                }
            },
            AnnotationEvent::Exported { path, written } => {
                match written {
                    Ok((count, notes)) => {
                        let done = format!("{}: {count} annotations written.", path.display());
                        self.tell(Severity::Note, with_notes(done, &notes), None);
                    }
                    Err(reason) => self.tell(Severity::Error, reason, None),
                }
                Vec::new()
            }
        }
    }

    /// Change the annotations of a slide and have them kept.
    pub(super) fn edit_annotations(
        &mut self,
        slide: &SlideId,
        change: impl FnOnce(&mut History, &mut AnnotationSet, &mut Vec<Uuid>) -> bool,
    ) -> Vec<Job> {
        if self.refuse("annotations cannot be changed") {
            return Vec::new();
        }
        let Some(marks) = self.annotations.slides.get_mut(slide) else { return Vec::new() };
        let problem = match marks.state {
            Loading::Done => None,
            Loading::UnderWay => Some("are still being read; try again in a moment"),
            Loading::Failed => Some("could not be read, and are not changed so that nothing is lost"),
        };
        if let Some(problem) = problem {
            let name = self.slide(slide).map(|state| state.source.info().name()).unwrap_or_default();
            self.tell(Severity::Error, format!("{name}: its annotations {problem}"), None);
            return Vec::new();
        }
        if !change(&mut marks.history, Arc::make_mut(&mut marks.set), &mut marks.selection) {
            return Vec::new();
        }
        let set = marks.set.clone();
        marks.selection.retain(|id| set.get(*id).is_some());
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
            // A whole file selected would hide the tissue.
            selection.clear();
            changed
        }));
        let done = format!("{name}: {count} annotations read ({}).", file.format.name());
        self.tell(Severity::Note, with_notes(done, &file.notes), None);
        jobs
    }

    /// Classes of a file that the project does not know yet join its list.
    fn take_over_classes(&mut self, set: &AnnotationSet) -> Vec<Job> {
        match self.project.add_classes(set.iter().filter_map(|annotation| annotation.class.as_ref())) {
            true => vec![Job::SaveProject(Box::new(self.project.clone()))],
            false => Vec::new(),
        }
    }

    fn go_to_annotation(&mut self, slide: SlideId, id: Uuid) -> Vec<Job> {
        let annotation = self.annotations(&slide).and_then(|marks| marks.set.get(id));
        let Some(bounds) = annotation.and_then(|annotation| annotation.shape().bounds()) else {
            return Vec::new();
        };
        // With its surroundings, and not closer than tissue can be judged.
        let air = (bounds.width().max(bounds.height()) * 0.4).max(200.0);
        let field = bounds.grown(air);
        let (width, height) = (field.width().ceil() as u32, field.height().ceil() as u32);
        let field = Level0Rect::new(field.min.x.floor() as i64, field.min.y.floor() as i64, width, height);
        if let Some(marks) = self.annotations.slides.get_mut(&slide) {
            marks.selection = vec![id];
        }
        self.travel(Place { slide, field })
    }

    /// Bring files of annotations onto the slide in view; the other paths come back.
    pub(super) fn import_dropped(&mut self, paths: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<Job>) {
        let (files, others): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.into_iter().partition(|path| is_annotation_file(path));
        let Some(slide) = self.active.clone() else {
            for file in files {
                let text =
                    format!("{}: open the slide first to which these annotations belong", file.display());
                self.tell(Severity::Error, text, None);
            }
            return (others, Vec::new());
        };
        let import = |path| Annotate::Import { slide: slide.clone(), path };
        let jobs = files.into_iter().map(import).flat_map(|wish| self.annotate(wish)).collect();
        (others, jobs)
    }

    fn change_class(&mut self, name: &str, to: AnnotationClass) -> Vec<Job> {
        let mut classes = self.project.classes();
        let taken = to.name != name && classes.iter().any(|class| class.name == to.name);
        let Some(class) = classes.iter_mut().find(|class| class.name == name) else { return Vec::new() };
        if taken || to.name.trim().is_empty() {
            self.tell(
                Severity::Error,
                format!("There is a class {:?} already, or the name is empty.", to.name),
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

/// Whether a path is that of a file of annotations, by its name.
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
