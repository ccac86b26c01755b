//! Import and export of annotation files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::{Job, Session};
use super::{AnnotationCommand, AnnotationJob, FileTrouble, Loading, ReadFile};
use histokin_core::annotation::{AnnotationFile, AnnotationSet};
use histokin_core::number_format::counted;
use histokin_core::slide::SlideId;

impl Session {
    /// Reads a file, unless that is done, to add its annotations to a slide.
    pub(super) fn import(
        &mut self,
        slide: &SlideId,
        path: PathBuf,
        read: Option<Box<AnnotationFile>>,
    ) -> Vec<Job> {
        let Some(state) = self.slide(slide) else { return Vec::new() };
        let info = Box::new(state.source.info().clone());
        let store = self.project.annotations();
        let Some(annotations) = self.annotations.slides.get_mut(slide) else { return Vec::new() };
        let stop = annotations.stop_file.get_or_insert_default().clone();
        let set = annotations.set.clone();
        vec![Job::Annotations(AnnotationJob::Import { info, path, read, set, store, stop })]
    }

    /// Writes the annotations of a slide to a file. Those that have not been read are not: the file would replace an earlier
    /// one with nothing.
    pub(super) fn export(&mut self, slide: &SlideId, path: PathBuf) -> Vec<Job> {
        let Some(state) = self.slide(slide) else { return Vec::new() };
        let info = Box::new(state.source.info().clone());
        let Some(annotations) = self.annotations.slides.get_mut(slide) else { return Vec::new() };
        let problem = match annotations.state {
            Loading::Done => None,
            Loading::UnderWay => Some("are still being read; try again in a moment"),
            Loading::Failed => Some("could not be read"),
        };
        if let Some(problem) = problem {
            let name = self.slides.name(slide);
            self.messages
                .error(format!("{} was not written: the annotations of {name} {problem}", path.display()));
            return Vec::new();
        }
        let stop = annotations.stop_file.get_or_insert_default().clone();
        let set = annotations.set.clone();
        vec![Job::Annotations(AnnotationJob::Export { info, set, path, stop })]
    }

    /// Tells that a file was not read or written; `stopped` is what to say if the user wanted that.
    pub(in crate::session) fn not_done(&mut self, path: &Path, trouble: FileTrouble, stopped: &str) {
        match trouble {
            FileTrouble::Stopped => self.messages.note(format!("{}: {stopped}", path.display())),
            FileTrouble::Failed(reason) => self.messages.error(reason),
        }
    }

    /// Tells that annotations were written to a file.
    pub(in crate::session) fn exported(&mut self, path: &Path, count: usize, notes: &[String]) {
        let done = format!("{}: {count} annotations written.", path.display());
        self.messages.note(with_notes(done, notes));
    }

    pub(super) fn imported(&mut self, slide: SlideId, path: &Path, read: ReadFile) -> Vec<Job> {
        let ReadFile { mut file, edit, stop, .. } = read;
        let is_current = |base: &Arc<AnnotationSet>| {
            self.annotations(&slide).is_some_and(|known| Arc::ptr_eq(&known.set, base))
        };
        if edit.as_ref().is_some_and(|(base, _)| !is_current(base)) {
            if stop.load(Ordering::Relaxed) {
                return self.not_imported(&slide, path, FileTrouble::Stopped);
            }
            // The annotations were edited in the meantime. Adding many takes too long to do it here.
            return self.import(&slide, path.to_owned(), Some(Box::new(file)));
        }
        if let Some(annotations) = self.annotations.slides.get_mut(&slide) {
            annotations.forget_parts();
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let count = counted(file.set.len() as u64, "annotation");
        let mut jobs = self.add_classes_of(&file.set);
        jobs.extend(self.edit_annotations(&slide, |history, set, selection| {
            let edit = edit.map_or_else(|| file.edit_for(set), |(_, edit)| edit);
            set.take_over(&file.set);
            let changed = history.apply(set, edit).is_some();
            // Selecting a whole file would cover the tissue with selection marks.
            selection.clear();
            changed
        }));
        let done = format!("{name}: {count} read ({}).", file.format.name());
        self.messages.note(with_notes(done, &file.notes));
        jobs
    }

    /// Tells that a file was not read, and forgets what has been read of it.
    pub(super) fn not_imported(&mut self, slide: &SlideId, path: &Path, trouble: FileTrouble) -> Vec<Job> {
        let annotations = self.annotations.slides.get_mut(slide);
        let had_parts = annotations.is_some_and(|annotations| annotations.forget_parts());
        let trouble = match trouble {
            FileTrouble::Failed(reason) if had_parts => {
                FileTrouble::Failed(format!("{reason}. None of its detections were added"))
            }
            other => other,
        };
        self.not_done(path, trouble, "Import stopped. Nothing was added.");
        Vec::new()
    }

    /// Imports annotation files onto the slide in view; returns the other paths and the jobs.
    pub(in crate::session) fn import_dropped(&mut self, paths: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<Job>) {
        let (files, others): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.into_iter().partition(|path| is_annotation_file(path));
        let Some(slide) = self.view.active.clone() else {
            for file in files {
                let text = format!("{}: open the slide these annotations belong to first", file.display());
                self.messages.error(text);
            }
            return (others, Vec::new());
        };
        let import = |path| AnnotationCommand::Import { slide: slide.clone(), path };
        let jobs =
            files.into_iter().map(import).flat_map(|command| self.annotation_command(command)).collect();
        (others, jobs)
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
