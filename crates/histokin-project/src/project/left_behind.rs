//! Slides that are not where a project says, after its folder was moved or copied without them, or came from another system.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::{Project, SlideEntry, joined};
use histokin_core::slide::names;

impl Project {
    /// Finds slides that are missing at their paths, which are relative to the project's folder, if that folder was another one
    /// when the project was written last: beside its place of that time, and under names that another system spells with other
    /// capital letters, Unicode forms or separators.
    pub(super) fn find_left_behind(&mut self) {
        let before = self.file.folder.as_deref().map(Path::new);
        if before == Some(&self.root) {
            return;
        }
        let before = before.filter(|folder| folder.is_absolute());
        let find = |entry: &SlideEntry| {
            let is_missing = entry.path().is_relative() && !self.slide_path(entry).exists();
            let stored = is_missing.then(|| with_own_separators(entry.path()))?;
            let folders = || before.into_iter().chain([self.root.as_path()]);
            let exact = folders().map(|folder| joined(folder, &stored)).find(|path| path.exists());
            let path =
                exact.or_else(|| folders().find_map(|folder| spelt_otherwise(&joined(folder, &stored))))?;
            Some(self.stored_path(&path))
        };
        let found: Vec<Option<PathBuf>> = self.file.slides.iter().map(find).collect();
        for (entry, path) in self.file.slides.iter_mut().zip(found) {
            path.into_iter().for_each(|path| entry.set_path(path));
        }
    }
}

/// Returns a path with the separators of this system, if it has only those of Windows.
fn with_own_separators(path: &Path) -> PathBuf {
    match path.to_str() {
        Some(text) if text.contains('\\') && !text.contains('/') => PathBuf::from(text.replace('\\', "/")),
        _ => path.to_owned(),
    }
}

/// Returns what there is at an absolute path of which each part may be spelt with other capital letters or in another Unicode
/// form; `None` if there is nothing, or if there are several.
fn spelt_otherwise(path: &Path) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else {
            found.push(part);
            continue;
        };
        if found.join(name).exists() {
            found.push(name);
            continue;
        }
        let wanted = names::plain(&name.to_string_lossy());
        let entries = std::fs::read_dir(&found).ok()?.flatten().map(|entry| entry.file_name());
        let alike: Vec<OsString> =
            entries.filter(|entry| names::plain(&entry.to_string_lossy()) == wanted).take(2).collect();
        let [alike] = alike.as_slice() else { return None };
        found.push(alike);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use histokin_core::slide::SlideId;

    use super::*;

    #[test]
    fn slides_stay_found_when_the_folder_of_the_project_moves_without_them() {
        let parent = tempfile::tempdir().unwrap();
        let at = |path: &str| parent.path().canonicalize().unwrap().join(path);
        fs::create_dir_all(at("slides")).unwrap();
        fs::create_dir_all(at("elsewhere/deep")).unwrap();
        fs::write(at("slides/a.svs"), "a").unwrap();
        fs::write(at("slides/b.svs"), "b").unwrap();
        let ids = ["0123456789abcdef", "123456789abcdef0"].map(|id| SlideId(id.to_owned()));
        let mut project = Project::open_or_create(&at("project")).unwrap().claim().unwrap();
        project.list_slide(&ids[0], &at("slides/a.svs"));
        project.list_slide(&ids[1], &at("slides/b.svs"));
        project.save().unwrap();
        drop(project);
        let path = |project: &Project, id: &SlideId| {
            project.slide_path(project.slides().iter().find(|entry| entry.id == *id).unwrap())
        };

        fs::rename(at("project"), at("elsewhere/deep/project")).unwrap();
        // A slide beside the project's new place is the one that is meant.
        fs::create_dir_all(at("elsewhere/deep/slides")).unwrap();
        fs::rename(at("slides/b.svs"), at("elsewhere/deep/slides/b.svs")).unwrap();
        let moved = Project::open(&at("elsewhere/deep/project")).unwrap();
        assert_eq!(path(&moved, &ids[0]), at("slides/a.svs"));
        assert_eq!(path(&moved, &ids[1]), at("elsewhere/deep/slides/b.svs"));
        // It is found from there as well, once that is saved.
        moved.claim().unwrap().save().unwrap();
        fs::remove_dir_all(at("elsewhere/deep/slides")).unwrap();
        let again = Project::open(&at("elsewhere/deep/project")).unwrap();
        assert_eq!(path(&again, &ids[0]), at("slides/a.svs"));
    }

    #[test]
    fn slides_are_found_however_another_system_spells_their_paths() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().canonicalize().unwrap();
        let project = root.join("project");
        let slide = root.join("slides").join("M\u{fc}ller 1.svs");
        fs::create_dir_all(root.join("slides")).unwrap();
        fs::write(&slide, "a").unwrap();
        let mut listed = Project::open_or_create(&project).unwrap().claim().unwrap();
        listed.list_slide(&SlideId("0123456789abcdef".to_owned()), &slide);
        listed.save().unwrap();
        drop(listed);
        let text = fs::read_to_string(project.join("project.toml")).unwrap();
        let written = "\"../slides/M\u{fc}ller 1.svs\"";
        assert!(text.contains(written), "{text}");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("folder =")).collect();
        for path in
            ["../Slides/M\u{fc}ller 1.SVS", "../slides/Mu\u{308}ller 1.svs", "..\\slides\\M\u{fc}ller 1.svs"]
        {
            let text = lines.join("\n").replace(written, &format!("'{path}'"));
            fs::write(project.join("project.toml"), text).unwrap();
            let opened = Project::open(&project).unwrap();
            let found = opened.slide_path(&opened.slides()[0]);
            assert!(
                found.exists() && fs::canonicalize(&found).unwrap() == slide,
                "{path}: {}",
                found.display()
            );
        }
    }
}
