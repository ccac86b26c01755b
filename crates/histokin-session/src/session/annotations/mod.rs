//! Annotations of the slides: editing with undo and redo, selection, visibility, classes, import and export.

mod classes;
mod commands;
mod counts;
mod files;
mod worker;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

pub use commands::AnnotationCommand;
pub use worker::{AnnotationEvent, AnnotationJob, Counts, FileTrouble, FileWork, ReadFile};

use super::messages::without_error_numbers;
use super::{Job, Remedy, Session, Severity, UnsavedElsewhere, ViewTarget};
use histokin_core::annotation::{
    Annotation, AnnotationClass, AnnotationSet, DetectionColours, Detections, Edit, History, Polygon, Shape,
};
use histokin_core::geometry::{Level0Point, Level0Rect};
use histokin_core::query::TilePosition;
use histokin_core::slide::SlideId;

/// The annotations of all slides of a session.
#[derive(Default)]
pub(super) struct Annotations {
    slides: HashMap<SlideId, SlideAnnotations>,
    class: Option<AnnotationClass>,
}

impl Annotations {
    /// Stops imports and exports, since the project is left. Returns the annotations of the slides to which files were
    /// being added.
    pub(super) fn leave(&self) -> HashMap<SlideId, Arc<AnnotationSet>> {
        let mut importing = HashMap::new();
        for (slide, annotations) in &self.slides {
            if let Some(stop) = &annotations.stop_file {
                stop.store(true, Ordering::Relaxed);
                importing.insert(slide.clone(), annotations.set.clone());
            }
        }
        importing
    }
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
    colours: Arc<DetectionColours>,
    counts: Option<Arc<Counts>>,
    /// Whether the detections are being counted.
    counting: bool,
    /// What is done with a file, and the share that is done.
    file_work: Option<(FileWork, f32)>,
    /// Stops the imports and exports that are under way.
    stop_file: Option<Arc<AtomicBool>>,
    /// What has been read of a file that is still being read.
    parts: Arc<Vec<Arc<Detections>>>,
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

    /// How detections in compact form are coloured.
    pub fn detection_colours(&self) -> &Arc<DetectionColours> {
        &self.colours
    }

    /// What is being read or written for long, the project's file or another one, and the share that is done, from 0 to 1.
    pub fn file_work(&self) -> Option<(FileWork, f32)> {
        self.file_work
    }

    /// Whether what is being read or written can be stopped.
    pub fn can_stop_file(&self) -> bool {
        self.is_loaded() && self.stop_file.is_some()
    }

    /// Detections that have been read from a file that is still being read, so that they can be drawn. They are no annotations
    /// of the slide yet: those are in [`Self::set`] once the whole file has been read.
    pub fn parts(&self) -> &Arc<Vec<Arc<Detections>>> {
        &self.parts
    }

    /// Forgets what has been read of a file. Returns whether there was anything.
    fn forget_parts(&mut self) -> bool {
        let had_parts = !self.parts.is_empty();
        if had_parts {
            self.parts = Arc::default();
        }
        had_parts
    }

    /// The latest counts of detections, which may be those of earlier annotations.
    pub fn counts(&self) -> Option<&Counts> {
        self.counts.as_deref()
    }

    /// Returns the selected annotations.
    pub fn selected(&self) -> impl Iterator<Item = Arc<Annotation>> + '_ {
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

    pub(super) fn annotation_command(&mut self, command: AnnotationCommand) -> Vec<Job> {
        match command {
            AnnotationCommand::Edit { slide, edit } => {
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
                        "Annotations nested in the deleted ones were kept ({kept}). Undo restores the deleted ones."
                    );
                    self.messages.note(text);
                }
                jobs
            }
            AnnotationCommand::Undo(slide) => self.edit_annotations(&slide, |history, set, selection| {
                history.undo(set).is_some_and(|change| {
                    *selection = change.restored().collect();
                    true
                })
            }),
            AnnotationCommand::Redo(slide) => self.edit_annotations(&slide, |history, set, selection| {
                history.redo(set).is_some_and(|change| {
                    *selection = change.touched().collect();
                    true
                })
            }),
            AnnotationCommand::Select { slide, ids } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    annotations.selection = ids;
                }
                Vec::new()
            }
            AnnotationCommand::Show { slide, ids, shown } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    let hidden = Arc::make_mut(&mut annotations.hidden);
                    match shown {
                        true => ids.iter().for_each(|id| _ = hidden.remove(id)),
                        false => hidden.extend(ids),
                    }
                }
                Vec::new()
            }
            AnnotationCommand::ColourDetections { slide, by } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    annotations.colours = Arc::new(by);
                }
                Vec::new()
            }
            AnnotationCommand::Count(slide) => self.count(&slide),
            AnnotationCommand::GoTo { slide, id } => self.go_to_annotation(slide, id),
            AnnotationCommand::ChooseClass(class) => {
                self.annotations.class = class;
                Vec::new()
            }
            AnnotationCommand::AddClass(_)
            | AnnotationCommand::ChangeClass { .. }
            | AnnotationCommand::RemoveClass(_)
                if self.refuse("classes cannot be changed") =>
            {
                Vec::new()
            }
            AnnotationCommand::AddClass(class) => {
                let mut classes = self.project.classes();
                if class.name.trim().is_empty() || classes.iter().any(|known| known.name == class.name) {
                    return Vec::new();
                }
                classes.push(class);
                self.keep_classes(classes)
            }
            AnnotationCommand::ChangeClass { name, to } => self.change_class(&name, to),
            AnnotationCommand::RemoveClass(name) => {
                let mut classes = self.project.classes();
                classes.retain(|class| class.name != name);
                self.annotations.class = self.annotations.class.take().filter(|class| class.name != name);
                self.keep_classes(classes)
            }
            AnnotationCommand::Import { .. } if self.refuse("annotations cannot be changed") => Vec::new(),
            AnnotationCommand::Import { slide, path } => self.import(&slide, path, None),
            AnnotationCommand::StopFile(slide) => {
                let annotations = self.annotations.slides.get_mut(&slide);
                if let Some(stop) = annotations.and_then(|annotations| annotations.stop_file.take()) {
                    stop.store(true, Ordering::Relaxed);
                }
                Vec::new()
            }
            AnnotationCommand::Export { slide, path } => self.export(&slide, path),
            AnnotationCommand::SaveAgain(slide) => self.save_annotations(slide),
            AnnotationCommand::AnnotateTiles { tiles, class } => self.annotate_tiles(tiles, &class),
        }
    }

    fn save_annotations(&self, slide: SlideId) -> Vec<Job> {
        let Some(annotations) = self.annotations.slides.get(&slide) else { return Vec::new() };
        let set = annotations.set.clone();
        let store = self.project.annotations();
        vec![Job::Annotations(AnnotationJob::Save { store, slide, set })]
    }

    /// Adds one annotation of `class` to each slide, around all of its `tiles`.
    fn annotate_tiles(&mut self, tiles: Vec<TilePosition>, class: &AnnotationClass) -> Vec<Job> {
        let mut of_slide: BTreeMap<SlideId, Vec<Polygon>> = BTreeMap::new();
        for TilePosition { slide, rect } in tiles {
            let corner = |x: i64, y: i64| Level0Point::new(x as f64, y as f64);
            let (right, bottom) = (rect.right(), rect.bottom());
            let corners = [
                corner(rect.x, rect.y),
                corner(right, rect.y),
                corner(right, bottom),
                corner(rect.x, bottom),
            ];
            of_slide.entry(slide).or_default().push(Polygon::new(corners.to_vec()));
        }
        let annotate = |(slide, polygons): (SlideId, Vec<Polygon>)| {
            // Merges tiles that touch into one area.
            let shape = Shape::Polygons(polygons).union(&Shape::Polygons(Vec::new()));
            let edit = Edit::Add(vec![Annotation::new(shape, Some(class.clone()))]);
            self.annotation_command(AnnotationCommand::Edit { slide, edit })
        };
        of_slide.into_iter().flat_map(annotate).collect()
    }

    /// Records the result of saving annotations, and reports it if it has changed.
    fn annotations_saved(&mut self, slide: &SlideId, problem: Option<String>) {
        let name = self.slides.name(slide);
        let root = self.project.root().to_owned();
        self.saved_in_former(&root, slide);
        let Some(annotations) = self.annotations.slides.get_mut(slide) else { return };
        let before = std::mem::replace(&mut annotations.unsaved, problem.clone());
        if before == problem {
            return;
        }
        let remedy = Remedy::SaveAnnotations(slide.clone());
        self.messages.withdraw(&remedy);
        match problem {
            Some(reason) => {
                let text = format!(
                    "The annotations of {name} are not saved: {reason}. They are kept in memory, and saving is tried \
                     again every few seconds."
                );
                self.messages.add(Severity::Error, text, Some(remedy));
            }
            None => self.messages.note(format!("The annotations of {name} are saved.")),
        }
    }

    /// The annotations of this project that could not be saved.
    pub(super) fn unsaved_of_this_project(&self) -> impl Iterator<Item = UnsavedElsewhere> {
        self.annotations.slides.iter().filter_map(|(slide, annotations)| {
            Some(UnsavedElsewhere {
                root: self.project.root().to_owned(),
                slide: slide.clone(),
                name: self.slides.name(slide),
                reason: annotations.unsaved.clone()?,
            })
        })
    }

    pub(super) fn annotation_event(&mut self, event: AnnotationEvent) -> Vec<Job> {
        match event {
            AnnotationEvent::Progress { slide, work, share } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    annotations.file_work = Some((work, share));
                }
                Vec::new()
            }
            AnnotationEvent::Loaded { slide, loaded } => {
                let Some(annotations) = self.annotations.slides.get_mut(&slide) else { return Vec::new() };
                annotations.file_work = None;
                annotations.forget_parts();
                match loaded {
                    Ok(set) => {
                        annotations.set = Arc::new(set);
                        annotations.state = Loading::Done;
                    }
                    Err(reason) => {
                        annotations.state = Loading::Failed;
                        self.messages.error(reason);
                    }
                }
                self.select_by_annotations(&slide)
            }
            AnnotationEvent::Part { slide, detections } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    Arc::make_mut(&mut annotations.parts).push(detections);
                }
                Vec::new()
            }
            AnnotationEvent::Saved { slide } => {
                self.annotations_saved(&slide, None);
                Vec::new()
            }
            AnnotationEvent::NotSaved { slide, reason } => {
                self.annotations_saved(&slide, Some(without_error_numbers(&reason)));
                Vec::new()
            }
            AnnotationEvent::Imported { slide, path, file } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    annotations.file_work = None;
                }
                match file {
                    Ok(file) => self.imported(slide, &path, *file),
                    Err(trouble) => self.not_imported(&slide, &path, trouble),
                }
            }
            AnnotationEvent::Counted { slide, counts } => {
                self.counted(&slide, counts);
                Vec::new()
            }
            AnnotationEvent::Exported { slide, path, written } => {
                if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
                    annotations.file_work = None;
                }
                match written {
                    Ok((count, notes)) => self.exported(&path, count, &notes),
                    Err(trouble) => self.not_done(&path, trouble, "Export stopped. Nothing was written."),
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
            let name = self.slides.name(slide);
            self.messages.error(format!("{name}: its annotations {problem}"));
            return Vec::new();
        }
        let set = Arc::make_mut(&mut annotations.set);
        if !change(&mut annotations.history, set, &mut annotations.selection) {
            return Vec::new();
        }
        let set = annotations.set.clone();
        annotations.selection.retain(|id| set.contains(*id));
        let mut jobs = self.save_annotations(slide.clone());
        jobs.extend(self.search_if_annotations_filter());
        jobs
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
        self.go_to(ViewTarget { slide, field })
    }
}
