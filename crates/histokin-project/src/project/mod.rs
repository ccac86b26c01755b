//! A project: a plain folder with `project.toml`, `descriptors/`, `annotations/`, `models/`, `reports/`, and
//! `index/`, which can be made again. Jobs that work on it side by side list their slides in `slides/`.
//!
//! Whoever writes in it claims it first ([`Project::claim`]): one program at a time, and none that is older than
//! the project. Others read. Only jobs that share the work claim nothing: no two of them write the same file.

mod access;
mod archive_url;
mod file;
mod format;
mod listing;
mod lock;
mod noted;
mod password;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::Access;
use file::ProjectFile;
use format::FORMAT;
use histokin_core::annotation::{AnnotationClass, AnnotationStore};
use histokin_core::descriptors::{DescriptorStore, Recipe};
use histokin_core::index::IndexCache;
use histokin_core::slide::computed;
use histokin_core::stain::StainSetting;
use histokin_core::{durable, untrusted};
use histokin_encoder::{self as encoder, EncoderSpec};

pub use access::{Claim, ReadOnly};
pub use archive_url::{ArchiveUrl, UrlError};
pub use file::{ProjectSettings, SlideEntry};
pub use listing::FormerIds;
pub use lock::{Holder, LOCK_FILE, LockError, ProjectLock};
pub use password::Password;

/// Name of the file that makes a folder a project.
pub const PROJECT_FILE: &str = "project.toml";

/// Folder of a project that holds the annotations of its slides.
pub const ANNOTATIONS_FOLDER: &str = "annotations";

/// Folder of a project that may hold labels of its slides, in any of the files that are understood.
pub const LABELS_FOLDER: &str = "labels";

/// The most that the file may hold, in bytes: a million slides.
const MOST_BYTES: u64 = 1 << 28;

/// An open project. Changes are made in memory and kept by [`Project::save`].
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
    file: ProjectFile,
    /// Files of slides that were noted beside `project.toml`: their content moves there when it is next saved.
    noted: Vec<PathBuf>,
    access: Access,
    /// The version and the text of the file that was found, when an older program wrote it.
    older: Option<(u32, Arc<str>)>,
}

/// What can go wrong with a project. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: cannot be understood: {reason}; it was left as it is, mend it or choose another project", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "{}: was written by a newer version of histokin (format {found}, this one knows {FORMAT}), and cannot even be \
         shown by this one ({reason}); update histokin",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, reason: String },
    #[error("{}: the project is open for reading only: {why}", root.display())]
    ReadOnly { root: PathBuf, why: ReadOnly },
    #[error("{}: no project here; make one with `histokin embed {} SLIDE…`", root.display(), root.display())]
    Missing { root: PathBuf },
    #[error("no slide {name:?} in the project; it has: {known}")]
    NoSuchSlide { name: String, known: String },
    #[error("{name:?} means several slides of the project ({known}); give the id or the path")]
    Ambiguous { name: String, known: String },
}

impl Project {
    /// Open the project in `root`, for reading until it is [claimed](Self::claim). One that a newer program has
    /// written stays read-only; one of an older program is brought up to date in memory.
    pub fn open(root: &Path) -> Result<Self, ProjectError> {
        let path = root.join(PROJECT_FILE);
        let text = match untrusted::read_text(&path, MOST_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ProjectError::Missing { root: root.to_owned() });
            }
            Err(source) => return Err(ProjectError::Io { path, source }),
        };
        let (file, found) = ProjectFile::parse(&path, &text)?;
        if let Some(reason) = file.problem() {
            return Err(ProjectError::Damaged { path, reason });
        }
        let access = match found > FORMAT {
            true => Access::ReadOnly(ReadOnly::Newer { found, written_by: file.written_by.clone() }),
            false => Access::Unclaimed,
        };
        let older = (found < FORMAT).then(|| (found, text.into()));
        let mut project = Self { root: absolute(root)?, file, noted: Vec::new(), access, older };
        project.take_in_noted()?;
        Ok(project)
    }

    /// Open the project in `root`, or make an empty one there.
    pub fn open_or_create(root: &Path) -> Result<Self, ProjectError> {
        match Self::open(root) {
            Err(ProjectError::Missing { .. }) => {}
            other => return other,
        }
        let io = |source| ProjectError::Io { path: root.to_owned(), source: durable::advised(source) };
        for folder in ["descriptors", ANNOTATIONS_FOLDER, "models", "reports"] {
            fs::create_dir_all(root.join(folder)).map_err(io)?;
        }
        let settings =
            ProjectSettings { encoder: Some(encoder::DEFAULT.to_owned()), ..ProjectSettings::default() };
        let classes = AnnotationClass::defaults();
        let file = ProjectFile { format: FORMAT, settings, classes, ..ProjectFile::default() };
        let access = Access::Unclaimed;
        let project = Self { root: absolute(root)?, file, noted: Vec::new(), access, older: None };
        project.save()?;
        Ok(project)
    }

    /// Whether `folder` is a project.
    pub fn is_project(folder: &Path) -> bool {
        folder.join(PROJECT_FILE).is_file()
    }

    /// Keep `project.toml`: written beside, synced, renamed. The file of an older program is kept as
    /// `project.toml.format-N` once.
    pub fn save(&self) -> Result<(), ProjectError> {
        self.require_writable()?;
        let path = self.root.join(PROJECT_FILE);
        self.keep_older()?;
        let file =
            ProjectFile { written_by: Some(env!("CARGO_PKG_VERSION").to_owned()), ..self.file.clone() };
        let text = toml::to_string_pretty(&file)
            .map_err(|error| ProjectError::Damaged { path: path.clone(), reason: error.to_string() })?;
        durable::write(&path, text.as_bytes()).map_err(|source| ProjectError::Io { path, source })?;
        // Listed there now; a note that stays is taken in again.
        self.noted.iter().for_each(|path| _ = fs::remove_file(path));
        Ok(())
    }

    /// Keep the file of an older program beside, before it is replaced for the first time.
    fn keep_older(&self) -> Result<(), ProjectError> {
        let Some((format, text)) = &self.older else { return Ok(()) };
        let path = self.root.join(format!("{PROJECT_FILE}.format-{format}"));
        if path.exists() {
            return Ok(());
        }
        durable::write(&path, text.as_bytes()).map_err(|source| ProjectError::Io { path, source })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn settings(&self) -> &ProjectSettings {
        &self.file.settings
    }

    pub fn settings_mut(&mut self) -> &mut ProjectSettings {
        &mut self.file.settings
    }

    pub fn set_settings(&mut self, settings: ProjectSettings) {
        self.file.settings = settings;
    }

    /// The archive that questions may be put to, too.
    pub fn archive(&self) -> Option<&ArchiveUrl> {
        self.file.archive.as_ref()
    }

    pub fn set_archive(&mut self, archive: Option<ArchiveUrl>) {
        self.file.archive = archive;
    }

    /// Whether slides are described by the encoder that was the default when the project was made, and nobody has
    /// chosen it since.
    pub fn has_former_default(&self) -> bool {
        self.file.settings.encoder.is_none()
    }

    /// Name or path of the encoder; a file in the project's folder is found wherever that has moved.
    pub fn encoder_name(&self) -> String {
        let Some(name) = &self.file.settings.encoder else { return encoder::FORMER_DEFAULT.to_owned() };
        let own = self.root.join(name);
        if own.is_file() { own.to_string_lossy().into_owned() } else { name.clone() }
    }

    /// All that decides the descriptors of this project's slides, with that encoder. Imported ones have tiles
    /// of their own. Colours are normalised for encoders that were made on normalised ones, unless the project asks for
    /// none to be.
    pub fn recipe(&self, encoder: &EncoderSpec) -> Recipe {
        let settings = &self.file.settings;
        let tiles = if encoder.id.is_imported() { encoder.tiles } else { settings.tiles };
        let stain = if settings.stain.is_lab() { encoder.stain } else { StainSetting::None };
        Recipe { encoder_id: encoder.id.clone(), encoder_name: encoder.name.clone(), tiles, stain }
    }

    /// The descriptors of this project's slides.
    pub fn descriptors(&self) -> DescriptorStore {
        let store = DescriptorStore::new(self.root.join("descriptors"));
        let store = store.with_former_ids(self.former_ids_of_descriptors());
        if self.read_only().is_some() { store.read_only() } else { store }
    }

    /// What can be made again from the descriptors: the parts of the index.
    pub fn index_cache(&self) -> IndexCache {
        let cache = IndexCache::new(self.root.join("index"));
        if self.read_only().is_some() { cache.read_only() } else { cache }
    }

    /// From now on, keep the levels that are computed for slides in this project's folder, if it may be written.
    pub fn keep_computed_levels(&self) {
        if self.read_only().is_none() {
            computed::keep_in(Some(self.root.join("levels")));
        }
    }

    /// The annotations of this project's slides.
    pub fn annotations(&self) -> AnnotationStore {
        let store =
            AnnotationStore::new(self.root.join(ANNOTATIONS_FOLDER)).with_former_ids(self.former_ids());
        if self.read_only().is_some() { store.read_only() } else { store }
    }

    /// The classes that annotations can have here.
    pub fn classes(&self) -> Vec<AnnotationClass> {
        self.file.classes.clone()
    }

    pub fn set_classes(&mut self, classes: Vec<AnnotationClass>) {
        self.file.classes = classes;
    }

    /// Take over classes that are not known yet; whether there were any.
    pub fn add_classes<'a>(&mut self, classes: impl IntoIterator<Item = &'a AnnotationClass>) -> bool {
        let mut all = self.classes();
        let known = all.len();
        for class in classes {
            if !all.iter().any(|one| one.name == class.name) {
                all.push(class.clone());
            }
        }
        let has_new = all.len() > known;
        if has_new {
            self.set_classes(all);
        }
        has_new
    }

    /// Slides, by file name or stem, and their patients, where a list told them.
    pub fn patients(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.file.patients.iter().map(|(slide, patient)| (slide.clone(), patient.clone()))
    }

    /// Keep what a list tells of slides and their patients, in the place of an earlier one.
    pub fn set_patients(&mut self, list: impl IntoIterator<Item = (String, String)>) {
        self.file.patients = list.into_iter().collect();
    }

    /// The absolute path of a slide's file, without detours through the project's folder.
    pub fn slide_path(&self, entry: &SlideEntry) -> PathBuf {
        let mut path = PathBuf::new();
        for part in self.root.join(entry.path()).components() {
            // The root is canonical, so that leaving a folder of it is the same as never entering it.
            match part {
                std::path::Component::ParentDir => _ = path.pop(),
                other => path.push(other),
            }
        }
        path
    }

    /// Find a slide by id (or its first characters), path, file name or file stem.
    pub fn find_slide(&self, name: &str) -> Result<&SlideEntry, ProjectError> {
        let wanted = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
        // Names that are no UTF-8 go by what is shown of them.
        let is = |part: Option<&OsStr>| part.is_some_and(|part| part.to_string_lossy() == name);
        let ranked: [&dyn Fn(&SlideEntry) -> bool; 6] = [
            &|entry| entry.id.0 == name,
            &|entry| self.slide_path(entry).to_string_lossy() == wanted.to_string_lossy(),
            &|entry| is(entry.path().file_name()),
            &|entry| is(entry.path().file_stem()),
            &|entry| name.len() >= 6 && entry.id.0.starts_with(name),
            &|entry| name.len() >= 6 && entry.former_ids.iter().any(|id| id.0.starts_with(name)),
        ];
        let names = |entries: &[&SlideEntry]| {
            entries.iter().map(|entry| entry.path().display().to_string()).collect::<Vec<_>>().join(", ")
        };
        for is_meant in ranked {
            let found: Vec<&SlideEntry> = self.slides().iter().filter(|entry| is_meant(entry)).collect();
            match found.as_slice() {
                [] => {}
                [entry] => return Ok(entry),
                several => {
                    return Err(ProjectError::Ambiguous { name: name.to_owned(), known: names(several) });
                }
            }
        }
        let all: Vec<&SlideEntry> = self.slides().iter().collect();
        let known = if all.is_empty() { "no slides".to_owned() } else { names(&all) };
        Err(ProjectError::NoSuchSlide { name: name.to_owned(), known })
    }

    /// The path as it is kept: relative to the project where a folder above both is not the root of the
    /// file system, so that a project that moves together with its slides keeps working.
    fn stored_path(&self, slide: &Path) -> PathBuf {
        let slide = std::path::absolute(slide).unwrap_or_else(|_| slide.to_owned());
        let shared = self.root.components().zip(slide.components()).take_while(|(a, b)| a == b).count();
        if shared <= 1 {
            return slide;
        }
        let up = self.root.components().skip(shared).map(|_| std::path::Component::ParentDir);
        up.chain(slide.components().skip(shared)).collect()
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ProjectError> {
    fs::canonicalize(path).map_err(|source| ProjectError::Io { path: path.to_owned(), source })
}
