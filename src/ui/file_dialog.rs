//! The system's dialogs for choosing files, each on a thread of its own: they return when the user is done.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

/// A dialog that is open, or was.
#[derive(Default)]
pub struct FileDialog {
    chosen: Option<Receiver<(Choose, Vec<PathBuf>)>>,
}

/// What is to be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choose {
    Files,
    Folder,
    /// A file of annotations to read.
    Annotations,
    /// Where to write annotations, with a name to begin with.
    SaveAnnotations(String),
    /// A new picture.
    Picture,
    /// A TOML file of training settings to read, and where to write one.
    TrainingSettings,
    SaveTrainingSettings,
    /// A picture to ask with.
    QueryPicture,
    /// A list of slides and patients.
    Patients,
}

impl FileDialog {
    /// Open a dialog unless one is open already.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn open(&mut self, choose: Choose, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<()> {
        if self.chosen.is_some() {
            return Ok(());
        }
        let (sender, receiver) = bounded(1);
        std::thread::Builder::new().name("file-dialog".into()).spawn(move || {
            let paths = match &choose {
                Choose::Files => {
                    rfd::FileDialog::new().set_title("Open slides").pick_files().unwrap_or_default()
                }
                Choose::Picture => {
                    let dialog = rfd::FileDialog::new().set_title("Save the view");
                    let formats = ["png", "jpg", "tif"];
                    dialog.add_filter("Pictures", &formats).save_file().into_iter().collect()
                }
                Choose::QueryPicture => {
                    let dialog = rfd::FileDialog::new().set_title("Find tissue like a picture's");
                    let formats = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"];
                    dialog.add_filter("Pictures", &formats).pick_file().into_iter().collect()
                }
                Choose::Patients => {
                    let dialog = rfd::FileDialog::new().set_title("Choose a list of slides and patients");
                    dialog.add_filter("Tables", &["csv"]).pick_file().into_iter().collect()
                }
                Choose::Folder => {
                    let folder = rfd::FileDialog::new().set_title("Open a folder of slides").pick_folder();
                    folder.into_iter().collect()
                }
                Choose::TrainingSettings => {
                    let dialog = rfd::FileDialog::new().set_title("Load training settings");
                    dialog.add_filter("Settings", &["toml"]).pick_file().into_iter().collect()
                }
                Choose::SaveTrainingSettings => {
                    let dialog = rfd::FileDialog::new().set_title("Save training settings");
                    let dialog = dialog.add_filter("Settings", &["toml"]).set_file_name("training.toml");
                    dialog.save_file().into_iter().collect()
                }
                Choose::Annotations => rfd::FileDialog::new()
                    .set_title("Import annotations")
                    .add_filter(
                        "QuPath, ASAP, ImageScope",
                        &["geojson", "json", "xml", "annotations", "gz", "zip"],
                    )
                    .pick_files()
                    .unwrap_or_default(),
                Choose::SaveAnnotations(name) => {
                    let dialog = rfd::FileDialog::new()
                        .set_title("Export annotations")
                        .add_filter("QuPath GeoJSON", &["geojson"])
                        .add_filter("ASAP XML", &["xml"])
                        .set_file_name(name);
                    dialog.save_file().into_iter().collect()
                }
            };
            // The window may have been closed meanwhile; then nobody waits for the answer.
            if sender.send((choose, paths)).is_ok() {
                wake();
            }
        })?;
        self.chosen = Some(receiver);
        Ok(())
    }

    /// What was asked for and what was chosen, once; nothing when the dialog was cancelled or the system has
    /// none.
    pub fn take_chosen(&mut self) -> Option<(Choose, Vec<PathBuf>)> {
        let chosen = self.chosen.as_ref()?.try_recv().ok()?;
        self.chosen = None;
        Some(chosen)
    }
}
