//! Which encoder the settings name: one by its name or path, or a file in the project's folder.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The setting that was looked up last, and what it stands for. The window asks with every picture, so that the folder,
/// which may lie on a network drive, is looked at only when the setting has changed.
#[derive(Debug, Clone, Default)]
pub(super) struct LocalEncoder(Arc<Mutex<Option<(String, String)>>>);

impl LocalEncoder {
    /// Returns the path of the file that `setting` names in `root`, or `setting` itself if there is no such file.
    pub fn resolve(&self, root: &Path, setting: &str) -> String {
        // A poisoned lock is harmless: both texts are replaced at once.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = last.as_ref().filter(|(asked, _)| asked == setting) {
            return answer.clone();
        }
        let local = root.join(setting);
        let answer = if local.is_file() { local.to_string_lossy().into_owned() } else { setting.to_owned() };
        *last = Some((setting.to_owned(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_project_is_looked_for_once_per_setting() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("mine.pt");
        std::fs::write(&file, "").unwrap();
        let encoder = LocalEncoder::default();
        let path = file.to_string_lossy();
        assert_eq!(encoder.resolve(root.path(), "mine.pt"), path);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(
            encoder.clone().resolve(root.path(), "mine.pt"),
            path,
            "the folder is not looked at again"
        );
        assert_eq!(encoder.resolve(root.path(), "tissue-views"), "tissue-views");
        assert_eq!(encoder.resolve(root.path(), "mine.pt"), "mine.pt");
    }
}
