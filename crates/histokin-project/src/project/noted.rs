//! Notes of slides listed by concurrent processes: one file per slide, so that no two processes write the
//! same file and the folders of several processes can be merged into one project by copying.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::file::{ProjectFile, one_line, pixel_size_problem};
use super::{PROJECT_FILE, Project, ProjectError, SlideEntry};
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::slide::SlideInfo;
use histokin_core::{durable, untrusted};

/// Folder of the notes.
const FOLDER: &str = "slides";

/// Extension of a note while it is decided whether it is removed. After a crash, it is read like the others.
const ASIDE: &str = "aside";

/// Maximum size of a note, in bytes.
const LONGEST_NOTE: u64 = 1 << 20;

impl Project {
    /// Lists a slide in a separate file, with its absolute path, since the note may be copied elsewhere.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_slide(
        &self,
        info: &SlideInfo,
        user_mpp: Option<MicronsPerPixel>,
    ) -> Result<(), ProjectError> {
        let folder = self.root.join(FOLDER);
        let path = folder.join(format!("{}.toml", info.id));
        let io = |source| ProjectError::Io { path: path.clone(), source };
        let slide = std::path::absolute(&info.path).unwrap_or_else(|_| info.path.clone());
        let mut entry = SlideEntry::new(info.id.clone(), slide);
        entry.user_mpp = user_mpp;
        if let Some(known) = self.slides().iter().find(|known| known.id == info.id) {
            entry.former_ids.clone_from(&known.former_ids);
        }
        let text = toml::to_string_pretty(&entry)
            .map_err(|error| ProjectError::Damaged { path: path.clone(), reason: error.to_string() })?;
        fs::create_dir_all(&folder).map_err(io)?;
        durable::write(&path, text.as_bytes()).map_err(io)
    }

    /// Writes only the settings, and only if those on disk differ; concurrent processes all write the same
    /// ones.
    ///
    /// # Errors
    /// When `project.toml` cannot be read or written.
    pub fn save_settings(&self) -> Result<(), ProjectError> {
        let path = self.root.join(PROJECT_FILE);
        let io = |source| ProjectError::Io { path: path.clone(), source };
        let damaged =
            |reason: String| ProjectError::Damaged { path: path.clone(), reason: one_line(&reason) };
        let text = fs::read_to_string(&path).map_err(io)?;
        let (kept, _) = ProjectFile::parse(&path, &text)?;
        if kept.settings == self.file.settings {
            return Ok(());
        }
        self.require_writable()?;
        self.keep_older()?;
        let file = ProjectFile { settings: self.file.settings.clone(), ..kept };
        let text = toml::to_string_pretty(&file).map_err(|error| damaged(error.to_string()))?;
        durable::write(&path, text.as_bytes()).map_err(io)
    }

    /// Removes the notes whose slides are in `project.toml` now. A note that another process has written again since it
    /// was read stays, and so does one that cannot be removed; both are read when the project is opened again.
    pub(super) fn remove_noted(&self) {
        for (path, text) in &self.noted {
            // Moved aside first: the other process may write it at any time.
            let aside = path.with_extension(ASIDE);
            if fs::rename(path, &aside).is_err() {
                continue;
            }
            let is_read = fs::read_to_string(&aside).is_ok_and(|now| now == *text);
            // If there is a note again, it is the newer one.
            _ = match is_read || path.exists() {
                true => fs::remove_file(&aside),
                false => fs::rename(&aside, path),
            };
        }
    }

    /// Adds the slides from notes; those already listed are only updated.
    ///
    /// # Errors
    /// When a note cannot be read.
    pub(super) fn add_noted(&mut self) -> Result<(), ProjectError> {
        for path in notes(&self.root.join(FOLDER))? {
            let text = untrusted::read_text(&path, LONGEST_NOTE)
                .map_err(|source| ProjectError::Io { path: path.clone(), source })?;
            let invalid =
                |reason: &str| ProjectError::Damaged { path: path.clone(), reason: one_line(reason) };
            let damaged = |error: toml::de::Error| invalid(&error.to_string());
            let mut entry: toml::Table = toml::from_str(&text).map_err(damaged)?;
            if let Some(problem) = pixel_size_problem(&entry) {
                tracing::warn!(
                    "{}: {problem}; that of its file is used until you set another",
                    path.display()
                );
                entry.remove("user_mpp");
            }
            let entry: SlideEntry = entry.try_into().map_err(damaged)?;
            if let Some(problem) = entry.id_problem() {
                return Err(invalid(&problem));
            }
            self.list_noted(entry);
            self.noted.push((path, text));
        }
        Ok(())
    }
}

/// Returns the note files in a folder, sorted by name; none if the folder does not exist.
fn notes(folder: &Path) -> Result<Vec<PathBuf>, ProjectError> {
    let io = |source| ProjectError::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io(source)),
    };
    let mut notes = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "toml" || extension == ASIDE) {
            notes.push(path);
        }
    }
    notes.sort();
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::slide::SlideId;

    /// Makes a project; returns the folder of its notes.
    fn folder_of_notes(root: &Path) -> PathBuf {
        Project::open_or_create(root).unwrap();
        let notes = root.join(FOLDER);
        fs::create_dir_all(&notes).unwrap();
        notes
    }

    /// The pixel sizes that the user has set for the slides of a project, as it is opened.
    fn pixel_sizes(root: &Path) -> Vec<Option<MicronsPerPixel>> {
        Project::open(root).unwrap().slides().iter().map(|entry| entry.user_mpp).collect()
    }

    #[test]
    fn an_impossible_pixel_size_in_a_note_leaves_the_project_readable() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        let notes = folder_of_notes(&root);
        for (id, um) in [("00000000000000aa", "0.0"), ("00000000000000bb", "0.5")] {
            let text = format!("id = \"{id}\"\npath = \"/{id}.svs\"\nuser_mpp = {{ x = {um}, y = {um} }}\n");
            fs::write(notes.join(format!("{id}.toml")), text).unwrap();
        }
        assert_eq!(pixel_sizes(&root), [None, Some(MicronsPerPixel::square(0.5).unwrap())]);
    }

    #[test]
    fn a_note_that_was_written_again_after_it_was_read_stays() {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder_of_notes(folder.path());
        let note = |id: &str| notes.join(format!("{id}.toml"));
        let [first, second] = ["00000000000000aa", "00000000000000bb"];
        let text = |id: &str, more: &str| format!("id = \"{id}\"\npath = \"/{id}.svs\"\n{more}");
        fs::write(note(first), text(first, "")).unwrap();
        fs::write(note(second), text(second, "")).unwrap();
        let project = Project::open(folder.path()).unwrap();
        fs::write(note(second), text(second, "user_mpp = { x = 0.5, y = 0.5 }\n")).unwrap();
        for _ in 0..2 {
            // A window saves its project again and again.
            project.save().unwrap();
            assert!(!note(first).exists() && note(second).exists());
        }
        assert_eq!(fs::read_dir(&notes).unwrap().count(), 1);
        assert_eq!(pixel_sizes(folder.path()), [None, Some(MicronsPerPixel::square(0.5).unwrap())]);
        // What a crash left aside is read.
        fs::rename(note(second), note(second).with_extension(ASIDE)).unwrap();
        assert_eq!(pixel_sizes(folder.path()), [None, Some(MicronsPerPixel::square(0.5).unwrap())]);
    }

    /// Files are named after IDs.
    #[test]
    fn a_note_with_an_impossible_id_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder_of_notes(folder.path());
        fs::write(notes.join("a.toml"), "id = \"../elsewhere\"\npath = \"/a.svs\"\n").unwrap();
        let refused = Project::open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("a.toml") && refused.contains("is not a slide ID"), "{refused}");
    }

    #[test]
    fn a_note_of_another_project_adds_to_what_is_known_of_a_slide() {
        let folder = tempfile::tempdir().unwrap();
        let mut project = Project::open_or_create(folder.path()).unwrap();
        let (id, former) = (SlideId("00000000000000aa".to_owned()), SlideId("00000000000000bb".to_owned()));
        let mut known = SlideEntry::new(id.clone(), "/a.svs".into());
        known.former_ids.push(former.clone());
        project.file.slides.push(known);
        project.save().unwrap();
        let notes = folder.path().join(FOLDER);
        fs::create_dir_all(&notes).unwrap();
        let text = format!("id = \"{id}\"\npath = \"/a.svs\"\nuser_mpp = {{ x = 0.5, y = 0.5 }}\n");
        fs::write(notes.join(format!("{id}.toml")), text).unwrap();
        let project = Project::open(folder.path()).unwrap();
        let [entry] = project.slides() else { panic!("one slide") };
        // Annotations and descriptors may be stored under the former ID.
        assert_eq!(entry.former_ids, [former]);
        assert_eq!(entry.user_mpp, Some(MicronsPerPixel::square(0.5).unwrap()));
    }
}
