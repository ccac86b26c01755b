//! The system's file dialogs, each on a separate thread, because they block until the user is done.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

/// A file dialog, open or not.
#[derive(Default)]
pub struct FileDialog {
    chosen: Option<Receiver<(Choose, Vec<PathBuf>)>>,
}

/// What the user chooses in a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choose {
    /// Slides to open.
    Files,
    /// A folder of slides to open.
    Folder,
    /// Files of annotations to import.
    Annotations,
    /// The file to export annotations to; holds the suggested name.
    SaveAnnotations(String),
    /// The file to save a picture to.
    Picture,
    /// A TOML file of training settings to load.
    TrainingSettings,
    /// The TOML file to save training settings to.
    SaveTrainingSettings,
    /// A picture to search with.
    QueryPicture,
    /// A list that assigns slides to patients.
    Patients,
    /// Weights of an encoder.
    Encoder,
}

impl FileDialog {
    /// Opens a dialog unless one is open already.
    ///
    /// # Errors
    /// If the thread cannot be started.
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
                    let dialog = rfd::FileDialog::new().set_title("Save view");
                    let formats = ["png", "jpg", "tif"];
                    dialog.add_filter("Images", &formats).save_file().into_iter().collect()
                }
                Choose::QueryPicture => {
                    let dialog = rfd::FileDialog::new().set_title("Search by image");
                    let formats = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"];
                    dialog.add_filter("Images", &formats).pick_file().into_iter().collect()
                }
                Choose::Patients => {
                    let dialog = rfd::FileDialog::new().set_title("Load patient list");
                    dialog.add_filter("Tables", &["csv"]).pick_file().into_iter().collect()
                }
                Choose::Encoder => {
                    let dialog = rfd::FileDialog::new().set_title("Choose an encoder");
                    let formats = ["safetensors", "bin", "pth", "pt", "ckpt", "torch", "json", "toml"];
                    dialog.add_filter("Encoders", &formats).pick_file().into_iter().collect()
                }
                Choose::Folder => {
                    let folder = rfd::FileDialog::new().set_title("Open folder").pick_folder();
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
                        .add_filter("QuPath GeoJSON, compressed", &["gz"])
                        .add_filter("ASAP XML", &["xml"])
                        .add_filter("Counts of detections", &["csv"])
                        .set_file_name(name);
                    dialog.save_file().into_iter().collect()
                }
            };
            // The window may have been closed meanwhile; then the result is not needed.
            if sender.send((choose, paths)).is_ok() {
                wake();
            }
        })?;
        self.chosen = Some(receiver);
        Ok(())
    }

    /// Returns the purpose of the dialog and the chosen paths, once. There are no paths if the dialog was
    /// cancelled or the system has none.
    pub fn take_chosen(&mut self) -> Option<(Choose, Vec<PathBuf>)> {
        let chosen = self.chosen.as_ref()?.try_recv().ok()?;
        self.chosen = None;
        Some(chosen)
    }
}
