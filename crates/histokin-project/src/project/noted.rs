//! Slides that jobs working side by side have listed: one file a slide, so that no job writes what another writes,
//! and folders of several jobs become one project by copying.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::file::{ProjectFile, one_line};
use super::{PROJECT_FILE, Project, ProjectError, SlideEntry};
use histokin_core::durable;
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::slide::SlideInfo;

/// Folder of the notes.
const FOLDER: &str = "slides";

impl Project {
    /// List a slide in a file of its own, with its absolute path: the note may be copied elsewhere.
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

    /// Keep the settings alone, where those on the disk differ: jobs that work side by side all write the same.
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

    /// List the slides that were noted, but for those that are listed already.
    pub(super) fn take_in_noted(&mut self) -> Result<(), ProjectError> {
        for path in notes(&self.root.join(FOLDER))? {
            let text = fs::read_to_string(&path)
                .map_err(|source| ProjectError::Io { path: path.clone(), source })?;
            let entry: SlideEntry = toml::from_str(&text).map_err(|error| ProjectError::Damaged {
                path: path.clone(),
                reason: one_line(&error.to_string()),
            })?;
            self.list_noted(entry);
            self.noted.push(path);
        }
        Ok(())
    }
}

/// The files of a folder of notes, by name; none where there is no folder.
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
        if path.extension().is_some_and(|extension| extension == "toml") {
            notes.push(path);
        }
    }
    notes.sort();
    Ok(notes)
}
